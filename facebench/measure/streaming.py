"""Estimates of a run too large to hold its scores; point estimates are exact, and what cannot be had is said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.errors import InputError
from facebench.execution.compute import Compute
from facebench.measure import control
from facebench.measure.acquisition import acquisition_estimates
from facebench.measure.every_score import Measurement, gaps
from facebench.measure.overall import equal_error_interval, half_of_rates
from facebench.measure.rates import (
    Rate,
    complement,
    design_effect,
    genuine_rate,
    leaning_flags,
    rate_estimate,
    threshold_flags,
)
from facebench.measure.sample import Images
from facebench.measure.streaming_counts import Tallied, false_non_match_rate, independent_pairs, leading_share
from facebench.measure.streaming_groups import LargeGroups
from facebench.measure.streaming_separation import separation_estimates
from facebench.measure.study import groupings_of, points_of
from facebench.metrics import clusters
from facebench.metrics.verification import near_threshold
from facebench.schema import Curve, Estimate, Flag, ProtocolSpec, Unmeasured, point_fields
from facebench.scoring import failed_rows
from facebench.scoring.digits import digit_floor, ordered_bits

TOTAL = 0
N_BARS = 60


def measure_large(
    spec: ProtocolSpec,
    images: Images,
    vectors: NDArray[np.float32],
    searched: Sequence[Estimate],
    *,
    comparator: str,
    seed: int,
    compat: Sequence[str] = (),
    compute: Compute,
) -> Measurement:
    """Compute the estimates of all pairs of many images; see `facebench.measure.every_score.measure`.

    Intervals are closed forms of the vertex bootstrap's variance: no replicates are drawn.

    Raises:
        InputError: there is no impostor comparison at all.
    """
    groupings, unmeasured = groupings_of(spec, images)
    points, confidence = points_of(spec), spec.uncertainty.confidence
    shuffled = groupings[:1] if images.identities is not None else []
    controls = [control.control_grouping(grouping, images.identity, seed) for grouping in shuffled]
    if np.unique(images.identity).size < 2:
        raise InputError("there are no impostor comparisons: the data holds fewer than two identities")
    tallied = Tallied(
        images, vectors, [*groupings, *controls], points, comparator, compute, policy=spec.threshold_policy
    )
    at_targets, rates = _at_targets(tallied, confidence)
    estimates = [*at_targets, *_crossing(tallied, confidence), *separation_estimates(tallied, confidence)]
    estimates += [*_zero_fmr(tallied, confidence), *searched]
    if failed_rows(vectors).any():
        working = Tallied(images, vectors, [], points, comparator, compute, drop_failed=True)
        estimates += _at_targets(working, confidence, failures="excluded")[0]
    if groupings:
        estimates += acquisition_estimates(vectors, images, groupings, confidence)
        measured = LargeGroups(
            tallied, policy=spec.threshold_policy, confidence=confidence,
            min_identities=spec.groups.min_identities if spec.groups else 2,
            design_effects=[design_effect(rate) for rate in rates], seed=seed,
        ).estimates()  # fmt: skip
        estimates += control.corrected([e for e in measured if not control.of_control(e)])
        for grouping in shuffled:
            estimates += control.as_control(measured, grouping.name)
    unmeasured += [*gaps(spec, images, tallied.genuine.size, tallied.n), *_not_at_this_size(images, compat, compute)]
    return Measurement(tuple(estimates), tuple(_curves(tallied)), tuple(unmeasured))


def _not_at_this_size(images: Images, compat: Sequence[str], compute: Compute) -> list[Unmeasured]:
    why = f"it needs every score at once; {_too_many(images, compute)}"
    return [Unmeasured(what=f"TAR under the rule {rule}", why=why) for rule in compat]


def _too_many(images: Images, compute: Compute) -> str:
    return f"those of {len(images.image_ids):,} images are not held in memory (at most {compute.dense_limit:,})"


def _common(tallied: Tallied, t: int) -> dict[str, Any]:
    return {
        "threshold": tallied.thresholds[t], "threshold_source": "pooled", "n_genuine": int(tallied.genuine.size),
        "n_impostor": tallied.n, "n_identities": tallied.n_identities(0, 0),
    }  # fmt: skip


def _without_genuine(metric: str, tallied: Tallied) -> Estimate:
    people = tallied.n_identities(0, 0)
    return Estimate(
        metric=metric, value=None, flags=(Flag.NO_GENUINE,), n_genuine=0, n_impostor=tallied.n, n_identities=people
    )


def _at_targets(tallied: Tallied, confidence: float, *, failures: str = "counted") -> tuple[list[Estimate], list[Rate]]:
    """Return tar, fnmr and fmr at each operating point, and the pooled FMR rates."""
    estimates: list[Estimate] = []
    rates = []
    points = tallied.points
    for t, key in enumerate(points.keys):
        source = points.source(t, "pooled")
        common = {**_common(tallied, t), **point_fields(key), "threshold_source": source, "failures": failures}
        limits = () if tallied.resolvable[t] else (Flag.UNRESOLVABLE,)
        false = tallied.false_matches(TOTAL, t)
        variance = false.of_rate.variance if tallied.has_identities else None
        independent = independent_pairs(tallied, TOTAL, 0, 0)
        leading = leading_share(tallied, TOTAL, 0, 0) if tallied.has_identities else 0.0
        fmr = Rate(false.errors, false.n, variance, independent, 1.0, "wilson-vertex", leading)
        rates.append(fmr)
        near = int(tallied.counts.near[t])
        estimates.append(rate_estimate("fmr", fmr, confidence, flags=limits, near_threshold=near, **common))
        unsure = limits if points.fixed(t) else (*limits, *threshold_flags(false.errors), *leaning_flags(leading))
        if not tallied.genuine.size:
            estimates += [
                Estimate(metric=metric, value=None, flags=(*unsure, Flag.NO_GENUINE), **common)
                for metric in ("fnmr", "tar")
            ]
            continue
        fnmr = false_non_match_rate(tallied, 0, 0, t)
        near = near_threshold(tallied.genuine, tallied.thresholds[t])
        found = rate_estimate("fnmr", fnmr, confidence, flags=unsure, near_threshold=near, **common)
        estimates += [found, complement(found, "tar")]
        if points.fixed(t):
            estimates.append(_half_total_error_rate(tallied, t, [estimates[-3], found], common))
    return estimates, rates


def _half_total_error_rate(tallied: Tallied, t: int, rates: Sequence[Estimate], common: dict[str, Any]) -> Estimate:
    missed, false = tallied.false_non_matches(0, 0, tallied.thresholds[t]), tallied.false_matches(TOTAL, t)
    value = (missed.rate + false.rate) / 2
    field = {"metric": "hter", "value": value, "errors": missed.errors + false.errors, **common}
    if not tallied.has_identities:
        return Estimate.model_validate({**field, "flags": (Flag.NO_INTERVAL,)})
    both = clusters.added([(1.0, missed.of_rate), (1.0, false.of_rate)])
    return half_of_rates(field, rates, false.of_rate.variance, missed.of_rate.variance, both)


def _crossing(tallied: Tallied, confidence: float) -> list[Estimate]:
    """Return eer; its influence is the mean of those of FMR and FNMR, weighed by the slope of one in the other."""
    t = len(tallied.points.keys) + 1
    if tallied.crossing is None:
        return [_without_genuine("eer", tallied)]
    value = (tallied.crossing.fmr + tallied.crossing.fnmr) / 2
    missed = tallied.false_non_matches(0, 0, tallied.thresholds[t])
    variance = 0.0 if tallied.has_identities else None
    if tallied.has_identities and value > 0:
        slope = tallied.slope(0, 0, value)
        false = tallied.false_matches(TOTAL, t)
        parts = [(1 / (1 + slope), missed.of_rate), (slope / (1 + slope), false.of_rate)]
        variance = clusters.added(parts).variance
    owners = tallied.images.identity[tallied.genuine_ends[:, 0]]
    interval = equal_error_interval(value, owners, variance, confidence)
    flags = (Flag.NAIVE_INTERVAL,) if variance is None else ()
    common = _common(tallied, t)
    del common["threshold_source"]
    return [Estimate(metric="eer", value=value, flags=flags, **interval, **common)]


def _zero_fmr(tallied: Tallied, confidence: float) -> list[Estimate]:
    t = len(tallied.points.keys)
    if not tallied.genuine.size:
        return [_without_genuine("fnmr_at_zero_fmr", tallied)]
    missed = tallied.false_non_matches(0, 0, tallied.thresholds[t])
    owners = tallied.images.identity[tallied.genuine_ends[:, 0]]
    if tallied.has_identities:
        rate = genuine_rate(tallied.genuine < np.float32(tallied.thresholds[t]), owners)
    else:
        rate = Rate(missed.errors, missed.n, None, missed.n, 1.0, "naive-wilson")
    return [rate_estimate("fnmr_at_zero_fmr", rate, confidence, **_common(tallied, t))]


def _curves(tallied: Tallied) -> list[Curve]:
    """Return the DET curve and score histograms at the edges of digits, where counts are exact."""
    counts = tallied.selection.histogram
    used = np.flatnonzero(counts)
    genuine = np.sort(tallied.genuine[np.isfinite(tallied.genuine)])
    if not used.size:
        return []
    digits = np.arange(used[0], used[-1] + 2)
    floors = digit_floor(digits)
    above = np.append(np.cumsum(counts[used[0] : used[-1] + 1][::-1])[::-1], 0)
    found = []
    if genuine.size:
        failed = tallied.genuine.size - genuine.size
        fmr, fnmr = above / tallied.n, (np.searchsorted(genuine, floors) + failed) / tallied.genuine.size
        levels = np.geomspace(max(1 / tallied.n, 1e-7), 1, 300)
        rows = np.unique(np.searchsorted(-fmr, -levels[::-1], side="left"))
        rows = rows[rows < fmr.size]
        found.append(Curve(kind="det", name="all", x=tuple(fmr[rows].tolist()), y=tuple(fnmr[rows].tolist())))
    low, high = float(floors[0]), float(max(floors[-1], genuine[-1] if genuine.size else floors[-1]))
    if genuine.size:
        low = min(low, float(genuine[0]))
    # edges of digits nearest to even ones: the counts between them are exact
    even = ordered_bits(np.linspace(low, high, N_BARS + 1).astype(np.float32)) >> 16
    edges = np.unique(np.append(even, even[-1] + 1)) + 32768
    over = np.append(np.cumsum(counts[::-1])[::-1], 0)
    bars = over[edges[:-1]] - over[edges[1:]]
    x = digit_floor(edges)
    for name, heights in (("genuine", np.histogram(genuine, x)[0]), ("impostor", bars)):
        if heights.any():
            y = tuple(float(height) for height in heights)
            found.append(Curve(kind="histogram", name=name, x=tuple(x.astype(float).tolist()), y=y))
    return found
