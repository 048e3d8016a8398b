"""Estimates of attacks: success, robust TAR and robust FAR, per condition, per ensemble, and per group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facebench.measure.groups import Grouping
from facebench.measure.rates import Rate, complement, genuine_rate, impostor_rate, rate_estimate
from facebench.measure.sample import Images
from facebench.measure.study import groupings_of
from facebench.metrics import uncertainty
from facebench.schema import Estimate, Flag, Point, ProtocolSpec, Unmeasured, point_fields
from facebench.schema.attacks import AttackCell, Goal, Norm, epsilon_value
from facebench.sections.robustness.attacks.sample import Victims

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
BINS = 3  # of the clean margin, for margin-matched rates


@dataclass(eq=False)
class Judged:
    """One cell at the clean threshold.

    Attributes:
        n_pairs: comparisons drawn for it, clean errors among them.
        rows: (A,) which of them were attacked.
        scores: (E, A) of the attacked 8-bit probes.
        success: (E, A) whether the attacker got what he wanted.
        unreliable: a masking check failed.
    """

    cell: AttackCell
    victims: Victims
    n_pairs: int
    rows: Ints
    scores: NDArray[np.float32]
    success: Bools
    unreliable: bool = False


@dataclass(frozen=True, eq=False)
class _Sample:
    """The comparisons a rate is counted over."""

    victims: Victims
    rows: Ints
    images: Images
    common: dict[str, object]
    confidence: float

    @property
    def genuine(self) -> bool:
        return self.victims.goal is Goal.DODGING

    def ends(self) -> tuple[Ints, Ints]:
        identity = self.images.identity
        return identity[self.victims.probe[self.rows]], identity[self.victims.enrolled[self.rows]]

    def only(self, which: Bools) -> _Sample:
        return _Sample(self.victims, self.rows[which], self.images, self.common, self.confidence)

    def rate(self, events: Bools) -> Rate:
        """Return the rate of some events with its variance over identities, the threshold held fixed."""
        first, second = self.ends()
        if self.images.identities is None:
            return Rate(int(events.sum()), events.size, None, events.size, 1.0, "naive")
        return genuine_rate(events, first) if self.genuine else impostor_rate(events, first, second)

    def counts(self) -> dict[str, object]:
        first, second = self.ends()
        people = None if self.images.identities is None else _distinct(np.concatenate([first, second]))
        return {"n_genuine" if self.genuine else "n_impostor": int(self.rows.size), "n_identities": people}


def _distinct(values: Ints) -> int:
    return int(np.unique(values).size)


def condition_estimates(
    judged: Judged, protocol: ProtocolSpec, images: Images, threshold: float, point: Point | None
) -> list[Estimate]:
    """Return attack_success and robust_tar or robust_far of a cell at each of its budgets, over all comparisons."""
    found: list[Estimate] = []
    for e, eps in enumerate(judged.cell.eps or (None,)):
        success = np.zeros(judged.n_pairs, bool)
        success[judged.rows] = judged.success[e]
        attacked = np.zeros(judged.n_pairs, bool)
        attacked[judged.rows] = True
        common = _common(judged.cell.condition(eps), protocol, threshold, point)
        sample = _Sample(judged.victims, np.arange(judged.n_pairs), images, common, protocol.uncertainty.confidence)
        found += _pair_estimates(sample, success, attacked, judged.unreliable)
    return found


def _common(condition: str, protocol: ProtocolSpec, threshold: float, point: Point | None) -> dict[str, object]:
    source = protocol.thresholds[point].origin if isinstance(point, str) else "pooled"
    return {"condition": condition, "threshold": threshold, "threshold_source": source, **point_fields(point)}


def _pair_estimates(
    sample: _Sample, success: Bools, attacked: Bools, unreliable: bool, group: str = "all", extra: tuple[Flag, ...] = ()
) -> list[Estimate]:
    """Return the success rate among attacked comparisons, and the rate after the attack among all of them."""
    flags = (*((Flag.UNRELIABLE,) if unreliable else ()), *extra)
    found = [_success(sample.only(attacked), success[attacked], flags, group)]
    wrong = sample.victims.wrong[sample.rows] | success
    fields = {**sample.common, **sample.counts(), "group": group}
    if not wrong.size:
        return found
    rate = rate_estimate("robust_far", sample.rate(wrong), sample.confidence, flags=flags, **fields)
    found.append(complement(rate, "robust_tar") if sample.genuine else rate)
    return found


def _success(
    sample: _Sample, success: Bools, flags: tuple[Flag, ...], group: str, group_b: str | None = None
) -> Estimate:
    fields = {**sample.common, **sample.counts(), "group": group, "group_b": group_b}
    if not success.size:
        flag = Flag.NO_GENUINE if sample.genuine else Flag.NO_IMPOSTOR
        return Estimate.model_validate({"metric": "attack_success", "value": None, "flags": (*flags, flag), **fields})
    return rate_estimate("attack_success", sample.rate(success), sample.confidence, flags=flags, **fields)


# ---- the ensemble: worst case per comparison


def ensemble_estimates(
    judged: Sequence[Judged], protocol: ProtocolSpec, images: Images, threshold: float, point: Point | None
) -> tuple[list[Estimate], list[Unmeasured]]:
    """Return estimates of the worst case per comparison, over all attacks with one kind of knowledge and one budget.

    A change within a smaller budget lies within a larger one too, so what was reached with less counts as well.
    Patterns, universal changes and occluders are left out: they are other threats.
    """
    threats: dict[tuple[str, str], list[tuple[Judged, int, str]]] = {}
    for one in judged:
        cell = one.cell
        if cell.norm is Norm.PATTERN or cell.known.universal:
            continue
        for e, eps in enumerate(cell.eps):
            threats.setdefault((f"{cell.knowledge}-{cell.norm}", cell.goal), []).append((one, e, eps))
    members: dict[str, list[tuple[Judged, int]]] = {}
    for (threat, goal), every in threats.items():
        for eps in dict.fromkeys(eps for _, _, eps in every):
            within = [(one, e) for one, e, own in every if epsilon_value(own) <= epsilon_value(eps)]
            members[f"attack:ensemble-{threat}:{eps}:{goal}"] = within
    groupings, gaps = groupings_of(protocol, images)[0], list[Unmeasured]()
    found: list[Estimate] = []
    for name, parts in members.items():
        n = min(one.n_pairs for one, _ in parts)
        success, attacked = np.zeros(n, bool), np.ones(n, bool)
        for one, e in parts:
            inside = one.rows < n
            reached = np.zeros(n, bool)
            reached[one.rows[inside]] = True
            attacked &= reached
            success[one.rows[inside]] |= one.success[e][inside]
        unreliable = any(one.unreliable for one, _ in parts)
        common = _common(name, protocol, threshold, point)
        sample = _Sample(parts[0][0].victims, np.arange(n), images, common, protocol.uncertainty.confidence)
        found += _pair_estimates(sample, success & attacked, attacked, unreliable)
        floor = protocol.groups.min_identities if protocol.groups else 2
        for grouping in groupings:
            found += _group_estimates(sample, success & attacked, attacked, unreliable, grouping, floor)
    return found, gaps


def _group_estimates(
    sample: _Sample, success: Bools, attacked: Bools, unreliable: bool, grouping: Grouping, floor: int
) -> list[Estimate]:
    """Return the rates of comparisons within each group, margin-matched ones, and attackers of one group on another."""
    probe = grouping.label[sample.victims.probe[sample.rows]]
    enrolled = grouping.label[sample.victims.enrolled[sample.rows]]
    found: list[Estimate] = []
    base = (Flag.UNRELIABLE,) if unreliable else ()
    for g, name in enumerate(grouping.groups):
        own = (probe == g) & (enrolled == g)
        part = sample.only(own)
        few = (Flag.FEW_IDENTITIES,) if _distinct(np.concatenate(part.ends())) < floor else ()
        found += _pair_estimates(part, success[own], attacked[own], unreliable, name, few)
        found.append(_matched(sample, success, attacked, own, name, (*base, *few)))
        if sample.genuine or "&" in grouping.name:
            continue
        for h, victim in enumerate(grouping.groups):
            cross = attacked & (probe == g) & (enrolled == h)
            if g != h and cross.any():
                found.append(_success(sample.only(cross), success[cross], base, name, victim))
    return found


def _matched(
    sample: _Sample, success: Bools, attacked: Bools, own: Bools, name: str, flags: tuple[Flag, ...]
) -> Estimate:
    """Return a group's success rate as if its clean margins were those of all attacked comparisons.

    Direct standardisation over thirds of the clean score: ``sum_b w_b p_gb`` with w the shares of all attacked
    comparisons. What is left of a difference between groups is not explained by how near they are to the threshold.
    """
    inside = attacked & own
    fields = {**sample.common, **sample.only(inside).counts(), "group": name}
    score = sample.victims.score[sample.rows].astype(float)
    edges = np.quantile(score[attacked], np.arange(1, BINS) / BINS) if attacked.any() else np.zeros(0)
    place = np.searchsorted(edges, score, side="right")
    weights = [float((place[attacked] == b).mean()) if attacked.any() else 0.0 for b in range(BINS)]
    counts = [int((inside & (place == b)).sum()) for b in range(BINS)]
    if any(weight and not count for weight, count in zip(weights, counts, strict=True)) or not sum(counts):
        return Estimate.model_validate(
            {"metric": "attack_success_matched", "value": None, "flags": (*flags, Flag.INSUFFICIENT), **fields}
        )
    value, influence, n = 0.0, np.zeros(sample.rows.size), sum(counts)
    for b, (weight, count) in enumerate(zip(weights, counts, strict=True)):
        which = inside & (place == b)
        if count:
            rate = float(success[which].mean())
            value += weight * rate
            influence[which] = weight * n / count * (success[which] - rate)
    part = sample.only(inside)
    first, second = part.ends()
    if sample.images.identities is None:
        low, high = uncertainty.wilson(value, n, sample.confidence)
        interval = uncertainty.RateInterval(low, high, None)
        flags = (*flags, Flag.NAIVE_INTERVAL)
    else:
        variance = (
            uncertainty.identity_variance(influence[inside], first, n)
            if sample.genuine
            else uncertainty.vertex_variance(influence[inside], first, second, n)
        )
        interval = uncertainty.wilson_from_variance(value, n, variance, sample.confidence)
    return Estimate.model_validate({
        "metric": "attack_success_matched", "value": value, "ci_low": interval.low, "ci_high": interval.high,
        "ci_method": "wilson-standardised", "n_eff": interval.n_eff, "flags": flags, **fields,
    })  # fmt: skip
