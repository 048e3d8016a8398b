"""Paired differences of two models: the same comparisons, the same bootstrap weights, each at its own threshold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.comparison.comparable import Loaded
from facebench.comparison.paired_groups import Together
from facebench.measure import overall
from facebench.measure.grouped import GroupMeasurer, GroupRates
from facebench.measure.rates import Rate, design_effect
from facebench.measure.sample import Sample, make_scores
from facebench.measure.study import groupings_of, points_of
from facebench.metrics import bootstrap, catalogue, clusters, influence, paired, uncertainty, verification
from facebench.metrics.catalogue import MetricDef
from facebench.schema import Comparator, Flag, Point, point_fields
from facebench.schema.comparison import Difference

Floats = NDArray[np.float64]
SIMILARITIES = frozenset({Comparator.COSINE, Comparator.DOT, Comparator.EUCLIDEAN})  # no log-likelihood ratios


class Side:
    """One model of a comparison: its scores and thresholds, and what the bootstrap weights make of them."""

    def __init__(self, loaded: Loaded, label: str, *, seed: int) -> None:
        spec = loaded.spec
        self.loaded = loaded
        self.label = label
        self.asked = points_of(spec)
        self.targets = self.asked.keys
        self.comparator = loaded.result.model.comparator.value
        self.scores = make_scores(loaded.vectors, loaded.images, loaded.pairs, self.comparator)
        groupings, _ = groupings_of(spec, loaded.images)
        self.sample = Sample(loaded.images, self.scores, groupings, replicates=spec.uncertainty.replicates, seed=seed)
        self.points = self.asked.on(self.scores.impostor)
        self.fmr = [overall.false_match_rate(self.sample, point) for point in self.points]
        self.groups = GroupMeasurer(
            self.sample, self.asked, policy=spec.threshold_policy,
            confidence=spec.uncertainty.confidence, min_identities=2,
            design_effects=overall.pooled_design_effects(self.fmr), seed=seed,
        )  # fmt: skip

    @property
    def n_identities(self) -> int | None:
        """Identities with images, or None without labels."""
        return self.sample.n_identities(0, 0)

    def misses(self, threshold: float) -> NDArray[np.bool_]:
        """Return (P,) which genuine comparisons are not accepted."""
        return np.asarray(self.scores.genuine < threshold)

    def false_matches(self, threshold: float) -> NDArray[np.bool_]:
        """Return (P,) which impostor comparisons are accepted."""
        return np.asarray(self.scores.impostor >= threshold)

    @cached_property
    def miss_rates(self) -> Floats | None:
        """(R, T) FNMR of all genuine comparisons per bootstrap replicate, at the replicate's own threshold."""
        cutoffs = overall.pooled_cutoffs(self.sample, self.asked)
        if cutoffs is None or self.sample.weights is None:
            return None
        accepts = bootstrap.replicate_accepts(self.sample.weights, self.sample.genuine, cutoffs)
        with np.errstate(invalid="ignore", divide="ignore"):
            rates: Floats = 1 - accepts[:, :, 0] / self.sample.genuine_weight[:, :1]
        return rates

    def miss_influence(self, threshold: float, *, fixed: bool) -> influence.Influence:
        """Return how much each comparison moves the FNMR at a threshold; one that is not fixed moves with impostors."""
        missed, accepted = self.misses(threshold).astype(np.float64), self.false_matches(threshold).astype(np.float64)
        slope = 0.0 if fixed else self.sample.deltas.fnmr_slope(0, threshold, 0)
        return missed - missed.mean(), slope * (accepted - accepted.mean())

    def equal_error(self) -> tuple[float, influence.Influence]:
        """Return the EER, and how much each comparison moves it."""
        found = verification.equal_error_rate(self.scores.genuine, self.scores.impostor)
        slope = self.sample.deltas.fnmr_slope(0, found.threshold, 0)
        genuine, impostor = self.miss_influence(found.threshold, fixed=False)
        return found.value, (genuine / (1 + slope), impostor / (1 + slope))

    @cached_property
    def group_rates(self) -> list[list[tuple[GroupRates, tuple[float, ...]]]]:
        """Per grouping and target: the rates of its groups and the thresholds they are read at."""
        return [self.groups.group_rates(number) for number in range(1, len(self.sample.groupings))]


@dataclass(frozen=True)
class Pairing:
    """Builds the differences of one model against the base."""

    base: Side
    model: Side
    confidence: float

    @cached_property
    def equal(self) -> bool:
        """Whether both models gave the same embeddings of the untouched images, so that nothing is left to chance."""
        return np.array_equal(self.base.loaded.vectors, self.model.loaded.vectors, equal_nan=True)

    def higher_is_better(self, definition: MetricDef) -> bool | None:
        """Whether more is better; None where neither is, as for the cost of reading cosines as likelihood ratios."""
        comparators = {side.loaded.result.model.comparator for side in (self.base, self.model)}
        if definition.log_likelihood_ratios and comparators & SIMILARITIES:
            return None
        return definition.higher_is_better

    def together(self, number: int, t: int) -> Together | None:
        """Return how the rates of the groups of a grouping move together; None where identities are not known."""
        if not self.base.sample.has_identities:
            return None
        if (number, t) not in self._together:
            self._together[number, t] = Together((self.base, self.model), number, t)
        return self._together[number, t]

    @cached_property
    def _together(self) -> dict[tuple[int, int], Together]:
        return {}

    @cached_property
    def _impostor_index(self) -> clusters.PairIndex:
        ends = self.base.loaded.images.identity[self.base.scores.impostor_ends]
        return clusters.PairIndex(ends[:, 0], ends[:, 1], self.base.sample.identity_count)

    def influence_variance(self, base: influence.Influence, model: influence.Influence) -> float | None:
        """Return the variance of a difference from how much each comparison moves both figures."""
        if not self.base.sample.has_identities:
            return None
        genuine, impostor = model[0] - base[0], model[1] - base[1]
        own = self.base.loaded.images.identity[self.base.scores.genuine_ends[:, 0]]
        people = clusters.of_people(genuine / genuine.size, own, self.base.sample.identity_count)
        pairs = self._impostor_index.influence(impostor / impostor.size)
        return clusters.added([(1.0, people), (1.0, pairs)]).variance

    def difference(
        self, metric: str, values: Sequence[float | None], error: float | None, method: str, *,
        flags: Sequence[Flag] = (), limits: uncertainty.Interval | None = None, **fields: Any,
    ) -> Difference:  # fmt: skip
        """Return one difference; `values` are the base's and the model's.

        Without `limits` its interval is that of the changed comparisons, where they are known, or the normal one. With
        them the standard error is the one that the wider side implies, so that nothing decided on it goes beyond them.
        """
        a, b = values
        shown = tuple(dict.fromkeys(flags))
        common = {"model": self.model.label, "base": self.base.label, "metric": metric, "base_value": a, "value": b}
        definition = catalogue.metric(metric)
        common |= {"higher_is_better": self.higher_is_better(definition), **fields}
        if a is None or b is None:
            return Difference.model_validate({**common, "difference": None, "flags": (*shown, Flag.INSUFFICIENT)})
        d = b - a
        if self.equal and fields.get("condition", "clean") == "clean":
            error = 0.0
        if error is None:
            flags = (*shown, Flag.NO_INTERVAL)
            return Difference.model_validate({**common, "difference": d, "flags": tuple(dict.fromkeys(flags))})
        if limits is None or not error:
            low, high, p_value = self._limits(d, error, fields)
        else:
            low, high, p_value = self._of(d, limits)
            error = max(paired.side_error(d, limit, self.confidence) for limit in limits)  # of the wider side
        least, most = definition.difference_bounds
        return Difference.model_validate(
            {**common, "difference": d, "standard_error": error, "ci_low": max(low, least), "ci_high": min(high, most),
             "ci_method": method, "p_value": p_value, "flags": shown}
        )  # fmt: skip

    def _of(self, d: float, limits: uncertainty.Interval) -> tuple[float, float, float]:
        """Return given limits and the p-value of none: normal, with the error that the limit towards 0 implies."""
        error = paired.side_error(d, limits[0] if d > 0 else limits[1], self.confidence)
        return *limits, paired.p_two_sided(d, error)

    def _limits(self, d: float, error: float, fields: Mapping[str, Any]) -> tuple[float, float, float]:
        """Return the limits of a difference and the p-value of none: of rates from what changed sides, else normal."""
        n = fields.get("n_comparisons")
        if "newly_wrong" not in fields or not n or not error:
            half = uncertainty.normal_quantile(self.confidence) * error
            return d - half, d + half, paired.p_two_sided(d, error)
        changed = fields["newly_wrong"], fields["newly_right"]
        limits, p_value = paired.discordant_interval(*changed, n, error**2, self.confidence)
        # of rates of success the difference is that of the errors, turned round
        low, high = limits if d * (changed[0] - changed[1]) >= 0 else (-limits[1], -limits[0])
        return low, high, p_value


def rate_differences(pairing: Pairing) -> list[Difference]:
    """Return the differences of tar, fnmr and fmr over all comparisons at every target."""
    found: list[Difference] = []
    base, model = pairing.base, pairing.model
    for t, target in enumerate(base.targets):
        thresholds = base.points[t].threshold, model.points[t].threshold
        flags = () if base.points[t].resolvable else (Flag.UNRESOLVABLE,)
        naive = () if base.sample.has_identities else (Flag.NAIVE_INTERVAL,)
        found.append(_false_matches(pairing, t, target, (*flags, *naive)))
        a, b = base.misses(thresholds[0]), model.misses(thresholds[1])
        if not a.size:
            continue
        wrong, right = _changes(a, b)
        fixed = base.asked.fixed(t)
        variance = pairing.influence_variance(
            base.miss_influence(thresholds[0], fixed=fixed), model.miss_influence(thresholds[1], fixed=fixed)
        )
        identities = int(np.unique(base.sample.genuine.first).size)
        error = _error(variance, wrong + right, a.size, a.size / identities)
        counts: dict[str, Any] = {
            **point_fields(target), "n_comparisons": int(a.size), "n_identities": base.n_identities,
            "newly_wrong": wrong, "newly_right": right, "flags": (*flags, *naive),
        }  # fmt: skip
        q_a, q_b = float(a.mean()), float(b.mean())
        method = "paired-delta"
        found.append(pairing.difference("fnmr", (q_a, q_b), error, method, **counts))
        found.append(pairing.difference("tar", (1 - q_a, 1 - q_b), error, method, **counts))
    return found


def _false_matches(pairing: Pairing, t: int, target: Point, flags: tuple[Flag, ...]) -> Difference:
    """The FMR over all comparisons hardly differs: both thresholds are set on it."""
    base, model = pairing.base, pairing.model
    a = base.false_matches(base.points[t].threshold)
    b = model.false_matches(model.points[t].threshold)
    ends = base.loaded.images.identity[base.scores.impostor_ends]
    found = paired.paired_impostor(a, b, ends[:, 0], ends[:, 1])
    return pairing.difference(
        "fmr", (float(a.mean()), float(b.mean())), float(np.sqrt(found.variance)), "paired-identity",
        flags=flags, **point_fields(target), n_comparisons=found.n,
        n_identities=base.n_identities, newly_wrong=found.newly_wrong, newly_right=found.newly_right,
    )  # fmt: skip


def _changes(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> tuple[int, int]:
    """Return how many comparisons became wrong and how many became right."""
    return int(np.count_nonzero(b & ~a)), int(np.count_nonzero(a & ~b))


def _error(variance: float | None, discordant: int, n: int, effect: float) -> float:
    """Return the standard error; without identities that of independent comparisons (the flags say so)."""
    if variance is None:
        variance, effect = 0.0, 1.0
    return float(np.sqrt(paired.small_count_variance(variance, discordant, n, effect)))


def group_differences(pairing: Pairing) -> list[Difference]:
    """Return the differences of FMR and FNMR of every group at every target."""
    base = pairing.base
    labels = [grouping.label for grouping in base.sample.groupings]
    found: list[Difference] = []
    for number in range(1, len(labels)):
        grouping = base.sample.groupings[number]
        for g, group in enumerate(grouping.groups):
            inside = labels[number] == g
            rows = {
                "fnmr": np.flatnonzero(inside[base.scores.genuine_ends].all(axis=1)),
                "fmr": np.flatnonzero(inside[base.scores.impostor_ends].all(axis=1)),
            }
            for t, target in enumerate(base.targets):
                for metric in ("fmr", "fnmr"):
                    found += _one_group(pairing, metric, number, g, group, t, target, rows[metric])
    return found


def _one_group(
    pairing: Pairing, metric: str, number: int, g: int, group: str, t: int, target: Point, rows: NDArray[np.int64]
) -> list[Difference]:
    (a, thresholds_a), (b, thresholds_b) = (side.group_rates[number - 1][t] for side in (pairing.base, pairing.model))
    first: Rate | None = getattr(a, metric)[g]
    second: Rate | None = getattr(b, metric)[g]
    if first is None or second is None:
        return []
    wrong_a, wrong_b = (
        (side.scores.impostor[rows] >= threshold) if metric == "fmr" else (side.scores.genuine[rows] < threshold)
        for side, threshold in ((pairing.base, thresholds_a[g]), (pairing.model, thresholds_b[g]))
    )
    newly_wrong, newly_right = _changes(wrong_a, wrong_b)
    together = pairing.together(number - 1, t)
    variance = None if together is None else together.variance(metric, g)
    effect = design_effect(first) if metric == "fmr" else first.n / max(first.n_independent, 1)
    error = _error(variance, newly_wrong + newly_right, first.n, effect)
    flags = (
        *(() if pairing.base.points[t].resolvable else (Flag.UNRESOLVABLE,)),
        *(() if pairing.base.sample.has_identities else (Flag.NAIVE_INTERVAL,)),
    )
    fields: dict[str, Any] = {
        **point_fields(target), "group": group, "n_comparisons": first.n,
        "n_identities": pairing.base.sample.n_identities(number, g),
        "newly_wrong": newly_wrong, "newly_right": newly_right, "flags": flags,
    }  # fmt: skip
    found = [pairing.difference(metric, (first.value, second.value), error, "paired-delta", **fields)]
    if metric == "fnmr":
        values = 1 - first.value, 1 - second.value
        found.append(pairing.difference("tar", values, error, "paired-delta", **fields))
    return found
