"""Paired differences of figures beyond error rates: EER, AUC, ranks, fold accuracy, differentials, other conditions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.comparison.paired import Pairing
from facebench.errors import InputError
from facebench.measure.control import in_control
from facebench.measure.grouped import GroupRates
from facebench.measure.identification import closed_set, roles_of
from facebench.measure.rates import spread
from facebench.metrics import catalogue, disparity, influence, paired, uncertainty, verification
from facebench.metrics.catalogue import Kind, Topic
from facebench.metrics.disparity import Disparity
from facebench.schema import Difference, Estimate, Flag, Result, point_fields
from facebench.schema.timed import timed_estimates, why_times_differ
from facebench.scoring import compare_pairs

MAX_WIDTH = 1e100  # its square is still a number


def separation_differences(pairing: Pairing) -> list[Difference]:
    """Return the differences of eer, auc, dprime and min_cllr."""
    base, model = pairing.base, pairing.model
    sizes = base.scores.genuine.size, base.scores.impostor.size
    if not all(sizes):
        return []
    common: dict[str, Any] = {"n_comparisons": int(sum(sizes)), "n_identities": base.n_identities}
    (a, of_base), (b, of_model) = base.equal_error(), model.equal_error()
    variance = pairing.influence_variance(of_base, of_model)
    error = None if variance is None else float(np.sqrt(variance))
    found = [pairing.difference("eer", (a, b), error, "paired-delta", **common)]
    for metric, value, effects in (
        ("auc", verification.area_under_curve, influence.area_under_curve_influence),
        ("dprime", verification.d_prime, influence.d_prime_influence),
        ("min_cllr", verification.min_cllr, influence.min_cllr_influence),
    ):
        scores = [[s.astype(np.float64) for s in (side.scores.genuine, side.scores.impostor)] for side in (base, model)]
        if metric == "dprime" and not all(np.isfinite(s).all() for pair in scores for s in pair):
            continue
        values = [value(*pair) for pair in scores]
        variance = None if None in values else pairing.influence_variance(*(effects(*pair) for pair in scores))
        if metric == "min_cllr" and variance is not None:  # what two fits to the same comparisons gain is not the same
            gains = [influence.min_cllr_optimism(*pair) for pair in scores]
            variance += (gains[1] - gains[0]) ** 2 + (gains[0] * gains[1]) / 4
        error = None if variance is None else float(np.sqrt(variance))
        found.append(pairing.difference(metric, values, error, "paired-delta", **common))
    return found


def rank_differences(pairing: Pairing) -> list[Difference]:
    """Return the differences of the rank-k identification rates."""
    asked = pairing.base.loaded.spec.identification
    images = pairing.base.loaded.images
    if asked is None or images.identities is None:
        return []
    roles = roles_of(images, asked)
    sides = pairing.base, pairing.model
    closed = [closed_set(side.loaded.vectors, images, roles, side.comparator) for side in sides]
    first = closed[0]
    if not first.ranks.size or first.smallest < 2:
        return []
    found = []
    for k in (k for k in asked.ranks if k <= first.smallest):
        misses = [each.ranks > k for each in closed]
        change = paired.paired_genuine(misses[0], misses[1], first.identity)
        values = [1 - float(m.mean()) for m in misses]
        error = float(np.sqrt(change.variance))
        fields: dict[str, Any] = {"k": k, "n_comparisons": change.n, "n_identities": first.enrolled}
        fields |= {"newly_wrong": change.newly_wrong, "newly_right": change.newly_right}
        found.append(pairing.difference("rank", values, error, "paired-identity", **fields))
    return found


def fold_differences(pairing: Pairing) -> list[Difference]:
    """Return the difference of the k-fold accuracy, with a t interval over the folds' differences."""
    pairs = pairing.base.loaded.pairs
    if pairs is None or pairs.fold is None:
        return []
    accuracies = [
        np.array(
            verification.fold_accuracy(
                compare_pairs(side.loaded.vectors, pairs.a, pairs.b, side.comparator), pairs.genuine, pairs.fold
            ).accuracies
        )
        for side in (pairing.base, pairing.model)
    ]
    change = accuracies[1] - accuracies[0]
    # the normal interval of this error is the t interval over folds
    error = uncertainty.fold_margin(change, pairing.confidence) / uncertainty.normal_quantile(pairing.confidence)
    values = [float(a.mean()) for a in accuracies]
    return [pairing.difference("accuracy", values, error, "paired-folds", n_comparisons=int(pairs.genuine.size))]


OF_ONE_RATE, OF_BOTH = ("gap", "max_min", "gini"), ("garbe", "ir", "fdr")


def differential_differences(pairing: Pairing) -> list[Difference]:
    """Return the differences of the differential measures of every grouping at every target.

    The rates of both models are moved together as chance would move them: what it does to the groups, it does to both.
    """
    found: list[Difference] = []
    base = pairing.base
    for number, grouping in enumerate(base.sample.groupings[1:]):
        for t, target in enumerate(base.targets):
            rates = [side.group_rates[number][t][0] for side in (base, pairing.model)]
            flags = () if base.points[t].resolvable else (Flag.UNRESOLVABLE,)
            for metric, measure, kinds in _measures():
                present = _present(rates[0], kinds), _present(rates[1], kinds)
                if present[0] is None or present[0] != present[1]:
                    continue
                a, b = (
                    _defined(measure.rows(*(np.array([getattr(rate, k)[g].value for g in present[0]]) for k in kinds)))
                    for rate in rates
                )
                error, limits, method = None, None, "paired-delta"
                together = pairing.together(number, t)
                if together is not None and a is not None and b is not None:
                    ratio = measure.scale == "ratio"
                    drawn = together.draws if ratio else together.moved
                    values = np.stack([measure.rows(*(drawn(m, k, present[0]) for k in kinds)) for m in (0, 1)], axis=1)
                    variance = spread(values[:, 1] - values[:, 0])
                    error = None if variance is None else float(np.sqrt(variance))
                    if ratio and error is not None:
                        limits, method = paired.ratio_difference((a, b), values, pairing.confidence), "mover"
                found.append(
                    pairing.difference(
                        metric, (a, b), error, method, limits=limits,
                        flags=flags, **point_fields(target), group=grouping.name, n_identities=base.n_identities,
                    )
                )  # fmt: skip
    return found


def _measures() -> Iterator[tuple[str, Disparity, tuple[str, ...]]]:
    for rate in ("fmr", "fnmr"):
        for name in OF_ONE_RATE:
            yield f"{rate}_{name}", disparity.OF_ONE_RATE[name], (rate,)
    for name in OF_BOTH:
        yield name, disparity.OF_BOTH[name], ("fmr", "fnmr")


MEASURES = frozenset(name for name, _, _ in _measures())


def _defined(value: NDArray[np.float64]) -> float | None:
    return float(value) if np.isfinite(value) else None


def _present(rates: GroupRates, kinds: tuple[str, ...]) -> list[int] | None:
    """Return the groups that have the rates; None where there are fewer than two, or where the kinds differ in them."""
    found = [[g for g, rate in enumerate(getattr(rates, kind)) if rate is not None] for kind in kinds]
    return found[0] if len(found[0]) > 1 and all(each == found[0] for each in found) else None


def unpaired_differences(pairing: Pairing, done: list[Difference]) -> list[Difference]:
    """Return the differences of all other estimates both results hold, as if the two were independent.

    Their comparisons are not recomputed here, so the interval is wider than a paired one would be.
    """
    known = {_key(d) for d in done}
    results = pairing.base.loaded.result, pairing.model.loaded.result
    base, model = (_estimates(result, timed=not why_times_differ(*results)) for result in results)
    found = []
    for key, a in base.items():
        b = model.get(key)
        if b is None or key in known:
            continue
        definition = catalogue.metric(a.metric)
        flags = tuple(dict.fromkeys([*a.flags, *b.flags]))
        errors = [_interval_error(e, pairing.confidence) for e in (a, b)]
        error = None if None in errors else paired.independent_error([e for e in errors if e is not None])
        if Flag.NOISY in flags:  # the interval of a median says nothing of a machine that was busy with other work
            error = None
        method = "exact" if definition.kind is Kind.COUNT else "unpaired-intervals"
        found.append(
            pairing.difference(
                a.metric, (a.value, b.value), error, method, flags=flags, **point_fields(a.point),
                fpir_target=a.fpir_target, k=a.k, discarded=a.discarded, group=a.group, condition=a.condition,
                n_comparisons=definition.total(
                    n_genuine=a.n_genuine, n_impostor=a.n_impostor, n_images=a.n_images
                ),
                n_identities=a.n_identities,
            )
        )  # fmt: skip
    return found


def _key(row: Difference | Estimate) -> tuple[Any, ...]:
    return row.metric, row.point, row.fpir_target, row.k, row.discarded, row.group, row.condition


def _estimates(result: Result, *, timed: bool) -> dict[tuple[Any, ...], Estimate]:
    rows = (*result.estimates, *(timed_estimates(result) if timed else ()))
    return {_key(e): e for e in rows if not why_not_compared(e)}


def why_not_compared(estimate: Estimate) -> str:
    """Return why an estimate is not held against that of another model; empty when it is."""
    definition = catalogue.metric(estimate.metric)
    if definition.topic is Topic.EXPLANATION:
        return "figures of maps depend on the scale of each model’s scores; maps are compared pair by pair instead"
    if definition.kind is Kind.TEST or in_control(estimate.condition):
        return "it checks the instrument, not the model"
    if definition.topic is Topic.DIFFERENTIAL and estimate.condition == "clean" and definition.name not in MEASURES:
        return "it repeats, on another scale, the rates of groups whose differences are compared"
    if definition.topic is Topic.COVARIATES:
        return "an odds ratio is a property of a model and its data; neither direction is better"
    if estimate.rule != "strict":
        return "the threshold rule of another tool has no interval"
    if estimate.failures != "counted":
        return "failed images count in a comparison, so that no model gains by failing"
    if estimate.group_b is not None:
        return "rates between two groups are not compared"
    return ""


def _interval_error(estimate: Estimate, confidence: float) -> float | None:
    if estimate.ci_low is None or estimate.ci_high is None:
        return None
    width = estimate.ci_high - estimate.ci_low
    if not 0 <= width < MAX_WIDTH:
        raise InputError(
            f"{estimate.metric} of {estimate.group}: its interval from {estimate.ci_low:g} to {estimate.ci_high:g} is "
            "none a run would state"
        )
    return width / (2 * uncertainty.normal_quantile(confidence))
