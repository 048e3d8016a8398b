"""Estimates over the whole sample: TAR, FNMR and FMR at each target, EER, AUC, d', Cllr, rank-k, fold accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.measure.rates import (
    Rate,
    complement,
    design_effect,
    genuine_rate,
    leaning_flags,
    one_sided,
    rate_estimate,
    threshold_flags,
)
from facebench.measure.sample import Pairs, Sample
from facebench.measure.study import Points
from facebench.metrics import clusters, compat, influence, uncertainty, verification
from facebench.metrics.sorting import about, counts_in_bins, recalibration_counts, thinned_curve
from facebench.metrics.verification import OperatingPoint
from facebench.schema import Curve, Estimate, Flag, point_fields

Floats = NDArray[np.float64]
TOTAL = 0  # the cell of the pooled sample


def pooled_cutoffs(sample: Sample, points: Points) -> Floats | None:
    """Return (R, T) replicate thresholds, those of FMR targets set on all impostors; None without identities."""
    if sample.weights is None or not sample.impostor.scores.size:
        return None
    return points.cutoffs(sample.weights, sample.impostor, sample.totals_of(TOTAL))


def false_match_rate(sample: Sample, point: OperatingPoint) -> Rate:
    """Return the pooled FMR at a fixed threshold, with its variance over identities."""
    n = point.n_impostor
    if not sample.has_identities:
        return Rate(point.false_accepts, n, None, n, 1.0, "naive-wilson")
    variance = sample.deltas.fmr(TOTAL, point.threshold, None).variance
    everyone = sample.deltas.impostors(TOTAL)
    return Rate(point.false_accepts, n, variance, everyone.disjoint, 1.0, "wilson-vertex", everyone.index.leading)


def leaning(sample: Sample) -> tuple[Flag, ...]:
    """Return what must be said where one identity takes part in half of the impostor comparisons or more."""
    if not sample.has_identities or not sample.impostor.scores.size:
        return ()
    return leaning_flags(sample.deltas.impostors(TOTAL).index.leading)


def threshold_estimates(
    sample: Sample, points: Points, confidence: float, *, failures: str = "counted"
) -> tuple[list[Estimate], list[Rate]]:
    """Return tar, fnmr and fmr at each operating point, and the pooled FMR rates (for their design effects)."""
    estimates: list[Estimate] = []
    rates: list[Rate] = []
    genuine = sample.genuine.scores
    for number, (key, point) in enumerate(zip(points.keys, points.on(sample.impostor.scores), strict=True)):
        common = {
            **point_fields(key), "threshold": point.threshold, "threshold_source": points.source(number, "pooled"),
            "n_genuine": int(genuine.size), "n_impostor": point.n_impostor,
            "n_identities": sample.n_identities(0, 0), "failures": failures,
        }  # fmt: skip
        limits = () if point.resolvable else (Flag.UNRESOLVABLE,)
        close = about(sample.impostor.scores, point.threshold, verification.NEAR_THRESHOLD)
        impostors_near = verification.near_threshold(close, point.threshold)
        fmr = false_match_rate(sample, point)
        rates.append(fmr)
        estimates.append(rate_estimate("fmr", fmr, confidence, flags=limits, near_threshold=impostors_near, **common))
        # a threshold that rests on few false matches is itself uncertain, whatever the number of genuine errors
        unsure = limits
        if not points.fixed(number):
            unsure = (*limits, *threshold_flags(point.false_accepts), *leaning(sample))
        if not genuine.size:
            for metric in ("fnmr", "tar"):
                estimates.append(Estimate(metric=metric, value=None, flags=(*unsure, Flag.NO_GENUINE), **common))
            continue
        fnmr = false_non_match_rate(sample, point, fixed=points.fixed(number))
        near = verification.near_threshold(genuine, point.threshold)
        found = rate_estimate("fnmr", fnmr, confidence, flags=unsure, near_threshold=near, **common)
        estimates += [found, complement(found, "tar")]
        if points.fixed(number):
            estimates.append(_half_total_error_rate(sample, point, [estimates[-3], found], common))
    return estimates, rates


def _half_total_error_rate(
    sample: Sample,
    point: OperatingPoint,
    rates: Sequence[Estimate],
    common: dict[str, Any],
) -> Estimate:
    """Return hter, the mean of FMR and FNMR at a threshold that was not set on this data."""
    missed = (sample.genuine.scores < point.threshold).astype(np.float64)
    value = (missed.mean() + point.false_accepts / point.n_impostor) / 2
    field = {"metric": "hter", "value": float(value), "errors": int(missed.sum() + point.false_accepts), **common}
    if not sample.has_identities:
        return Estimate.model_validate({**field, "flags": (Flag.NO_INTERVAL,)})
    parts = (sample.deltas.missed(TOTAL, point.threshold), sample.deltas.fmr(TOTAL, point.threshold, None))
    both = clusters.added([(1.0, part) for part in parts])
    found = half_of_rates(field, rates, parts[1].variance, parts[0].variance, both)
    return found.model_copy(update={"flags": (*found.flags, *leaning(sample))})


def half_of_rates(
    field: dict[str, Any], rates: Sequence[Estimate], of_fmr: float, of_fnmr: float, of_sum: clusters.Influence
) -> Estimate:
    """Return hter with limits made of those of its two rates, by the method of variance estimates recovery.

    Args:
        rates: the estimates of FMR and FNMR.
        of_fmr, of_fnmr: their variances.
        of_sum: influence on their sum, which tells how the two depend on each other.

    Source: Zou and Donner, "Construction of confidence limits about effect measures", 2008.
    """
    product = float(np.sqrt(of_fmr * of_fnmr))
    alike = float(np.clip((of_sum.variance - of_fmr - of_fnmr) / (2 * product), -1, 1)) if product > 0 else 0.0
    below, above = (
        float(np.sqrt(max(0.0, a * a + b * b + 2 * alike * a * b)) / 2)
        for a, b in (
            [(e.value or 0.0) - (e.ci_low or 0.0) for e in rates],
            [(1.0 if e.ci_high is None else e.ci_high) - (e.value or 0.0) for e in rates],
        )
    )
    value = field["value"]
    limits = {"ci_low": max(0.0, value - below), "ci_high": min(1.0, value + above), "ci_method": "mover"}
    flags = (Flag.ZERO_ERRORS,) if not value else ()
    return Estimate.model_validate({**field, **limits, "flags": flags})


def false_non_match_rate(sample: Sample, point: OperatingPoint, *, fixed: bool = False) -> Rate:
    """Return the FNMR at a threshold; its variance includes that of the threshold, unless that stands."""
    n = int(sample.genuine.scores.size)
    errors = n - verification.accepted(sample.genuine.scores, point.threshold)
    if not sample.has_identities:
        return Rate(errors, n, None, n, 1.0, "naive-wilson")
    variance = sample.deltas.fnmr(TOTAL, point.threshold, None if fixed else TOTAL).variance
    identities = int(np.unique(sample.genuine.first).size)
    return Rate(errors, n, variance, identities, n / identities, "wilson-delta")


def separation_estimates(sample: Sample, confidence: float) -> list[Estimate]:
    """Return eer, auc, dprime, cllr, min_cllr and fnmr_at_zero_fmr."""
    genuine, impostor = sample.genuine.scores, sample.impostor.scores
    common = {
        "n_genuine": int(genuine.size),
        "n_impostor": int(impostor.size),
        "n_identities": sample.n_identities(0, 0),
    }
    names = ("eer", "auc", "dprime", "cllr", "min_cllr", "fnmr_at_zero_fmr")
    if not genuine.size or not impostor.size:
        flag = Flag.NO_IMPOSTOR if genuine.size else Flag.NO_GENUINE
        return [Estimate(metric=name, value=None, flags=(flag,), **common) for name in names]
    leans = leaning(sample)
    found = [
        _eer(sample, confidence, common),
        *_influence_estimates(sample, confidence, common),
        _zero_fmr(sample, confidence, common),
    ]
    return [e.model_copy(update={"flags": (*e.flags, *leans)}) for e in found] if leans else found


def _eer(sample: Sample, confidence: float, common: dict[str, Any]) -> Estimate:
    found = verification.equal_error_rate(sample.genuine.scores, sample.impostor.scores)
    variance = sample.deltas.equal_error(found.threshold).variance if sample.has_identities else None
    interval = equal_error_interval(found.value, sample.genuine.first, variance, confidence)
    flags = (Flag.NAIVE_INTERVAL,) if variance is None else ()
    return Estimate(metric="eer", value=found.value, threshold=found.threshold, flags=flags, **interval, **common)


def equal_error_interval(
    value: float, genuine_identity: NDArray[np.integer[Any]], variance: float | None, confidence: float
) -> dict[str, Any]:
    """Return the interval fields of an EER, which is the mean of two rates and need not be a number of errors."""
    n, people = genuine_identity.size, int(np.unique(genuine_identity).size)
    if value in (0.0, 1.0) or variance is None:
        return Rate(round(value * n), n, variance, people, n / people, "wilson-delta").interval(confidence)
    n_eff = value * (1 - value) / variance if variance else n
    low, high = uncertainty.wilson(value, n_eff, confidence)
    return {"ci_low": low, "ci_high": high, "ci_method": "wilson-delta", "n_eff": n_eff}


def _influence_estimates(sample: Sample, confidence: float, common: dict[str, Any]) -> list[Estimate]:
    """Return auc, dprime, cllr and min_cllr, with delta-method intervals over identities."""
    g, i = sample.genuine.scores, sample.impostor.scores
    finite = bool(np.isfinite(g).all() and np.isfinite(i).all())
    counts = recalibration_counts(g, i)
    parts: dict[str, influence.Parts | None] = {
        "auc": influence.area_under_curve_parts(g, i),
        "dprime": influence.d_prime_parts(g, i) if finite else None,
        "cllr": influence.cllr_parts(g, i) if finite else None,
        "min_cllr": influence.min_cllr_parts(g, i, counts),
    }
    known = {name: part for name, part in parts.items() if part is not None}
    influences = sample.deltas.of_both(list(known.values())) if sample.has_identities else []
    moved = dict(zip(known, influences, strict=False))
    estimates = []
    for name, part in parts.items():
        value = None if part is None else part.value
        if value is None or name not in moved:
            flag = Flag.INSUFFICIENT if value is None else Flag.NO_INTERVAL
            estimates.append(Estimate(metric=name, value=value, flags=(flag,), **common))
            continue
        optimism = influence.pooled_optimism(verification.pool_bins(*counts)) if name == "min_cllr" else 0.0
        limits = separation_interval(name, value, moved[name].variance, confidence, optimism)
        if name == "auc" and value in (0.0, 1.0):
            limits = _perfect(sample, value, confidence)
        estimates.append(Estimate(metric=name, value=value, **limits, **common))
    return estimates


def separation_interval(
    name: str, value: float, variance: float, confidence: float, optimism: float = 0.0
) -> dict[str, Any]:
    """Return the interval fields of auc, dprime, cllr or min_cllr.

    `optimism` is by about how much the value lies too low; it is known no better than to its own size.
    """
    if name == "auc":
        low, high = uncertainty.logit_interval(value, variance, confidence)
        return {"ci_low": low, "ci_high": high, "ci_method": "logit-delta"}
    half = uncertainty.normal_quantile(confidence) * float(np.sqrt(variance + optimism**2))
    low, high = min(value, value + optimism - half), value + optimism + half
    if name != "dprime":
        low = max(0.0, low)
    if name == "min_cllr":
        high = min(1.0, high)
    return {"ci_low": low, "ci_high": high, "ci_method": "delta"}


def _perfect(sample: Sample, value: float, confidence: float) -> dict[str, Any]:
    """Return the interval of an AUC of 1 or 0: no genuine score met an impostor score on its wrong side."""
    people = int(np.unique(sample.genuine.first).size)
    independent = min(people, sample.deltas.impostors(TOTAL).disjoint)
    n = min(sample.genuine.scores.size, sample.impostor.scores.size)
    return one_sided(value == 1, n, independent, n / independent, confidence)


def _zero_fmr(sample: Sample, confidence: float, common: dict[str, Any]) -> Estimate:
    point = verification.zero_fmr_point(sample.impostor.scores)
    errors = (sample.genuine.scores < point.threshold).astype(np.float64)
    if sample.has_identities:
        rate = genuine_rate(errors, sample.genuine.first)
    else:
        rate = Rate(int(errors.sum()), errors.size, None, errors.size, 1.0, "naive-wilson")
    return rate_estimate(
        "fnmr_at_zero_fmr", rate, confidence, threshold=point.threshold, threshold_source="pooled", **common
    )


def compat_estimates(sample: Sample, rules: Sequence[str], targets: Sequence[float]) -> list[Estimate]:
    """Return TAR and FMR under other tools' rules; they come without intervals, as those tools print them."""
    genuine, impostor = sample.genuine.scores, sample.impostor.scores
    estimates = []
    for rule in rules:
        for target in targets if genuine.size else ():
            found = compat.tar_under_rule(rule, genuine, impostor, target)
            common = {
                "fmr_target": target, "rule": rule, "threshold": found.point.threshold, "threshold_source": "pooled",
                "n_genuine": int(genuine.size), "n_impostor": int(impostor.size),
            }  # fmt: skip
            flags = (Flag.NO_INTERVAL, *(() if found.point.resolvable else (Flag.UNRESOLVABLE,)))
            misses = int(genuine.size) - verification.accepted(genuine, found.point.threshold)
            estimates.append(Estimate(metric="tar", value=found.tar, errors=misses, flags=flags, **common))
            fmr, k = found.point.fmr, found.point.false_accepts
            estimates.append(Estimate(metric="fmr", value=fmr, errors=k, flags=flags, **common))
        if rule == "pyeer" and genuine.size:
            estimates += _pyeer_crossing(genuine, impostor)
    return estimates


def _pyeer_crossing(genuine: verification.Scores, impostor: verification.Scores) -> list[Estimate]:
    met = compat.pyeer_equal_error_rate(genuine, impostor)
    if met is None:
        return []
    counts = {"n_genuine": int(genuine.size), "n_impostor": int(impostor.size)}
    flags = (Flag.NO_INTERVAL,)
    return [Estimate(metric="eer", value=met[0], threshold=met[1], rule="pyeer", flags=flags, **counts)]


def fold_estimates(scores: NDArray[np.float32], pairs: Pairs, confidence: float) -> list[Estimate]:
    """Return k-fold accuracy of a pair list with folds, with a t interval over folds."""
    if pairs.fold is None:
        return []
    found = verification.fold_accuracy(scores, pairs.genuine, pairs.fold)
    folds = len(found.accuracies)
    half = uncertainty.fold_margin(np.array(found.accuracies), confidence)
    counts = {"n_genuine": int(pairs.genuine.sum()), "n_impostor": int((~pairs.genuine).sum())}
    return [
        Estimate(
            metric="accuracy", value=found.mean,
            ci_low=max(0.0, found.mean - half), ci_high=min(1.0, found.mean + half),
            ci_method=f"t-over-{folds}-folds", threshold=float(np.mean(found.thresholds)),
            threshold_source="fitted on the other folds", **counts,
        ),
        Estimate(metric="accuracy_fold_std", value=found.std, flags=(Flag.NO_INTERVAL,), **counts),
    ]  # fmt: skip


def curves(sample: Sample) -> list[Curve]:
    """Return the DET curve, thinned to about 300 points, and histograms of both kinds of scores."""
    genuine, impostor = sample.genuine.scores[::-1], sample.impostor.scores[::-1]
    found: list[Curve] = []
    if genuine.size and impostor.size:
        levels = np.geomspace(max(1 / impostor.size, 1e-7), 1, 300)
        fmr, fnmr = thinned_curve(genuine, impostor, levels[::-1].tolist())
        found.append(Curve(kind="det", name="all", x=tuple(fmr), y=tuple(fnmr)))
    finite = [each[np.searchsorted(each, -np.inf, side="right") :] for each in (genuine, impostor)]
    ends = [float(each[place]) for each in finite if each.size for place in (0, -1)]
    if ends:
        low, high = min(ends), max(ends)
        edges = np.linspace(low, high if high > low else low + 1e-6, 61)
        for name, scores in zip(("genuine", "impostor"), finite, strict=True):
            if scores.size:
                x, y = tuple(edges.tolist()), tuple(map(float, counts_in_bins(scores, edges)))
                found.append(Curve(kind="histogram", name=name, x=x, y=y))
    return found


def pooled_design_effects(rates: Sequence[Rate]) -> list[float]:
    """Return the design effect of the pooled FMR at each target, assumed for cells without errors."""
    return [design_effect(rate) for rate in rates]
