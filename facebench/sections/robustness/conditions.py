"""Verification again under a condition: the same comparisons with altered probes, read at the clean thresholds.

Every comparison of the clean measurement counts once, in one fixed direction: of two images the earlier one (in the
order of the dataset; of a listed pair the first) is enrolled and stays clean, the later one is the probe and is
altered. So each condition has exactly the comparisons of the clean condition, and the two can be held against each
other comparison by comparison.

Thresholds are those of the clean estimates and are held fixed in the intervals: they answer what happens to a system
that has been set up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.measure.acquisition import acquisition_estimate
from facebench.measure.differentials import Context, Kind, suppose
from facebench.measure.drawn import drawn_pairs
from facebench.measure.every_score import Measurement
from facebench.measure.groups import Grouping
from facebench.measure.rates import (
    Rate,
    complement,
    design_effect_of,
    genuine_rate,
    impostor_rate,
    rate_estimate,
)
from facebench.measure.sample import Images, Pairs
from facebench.measure.study import groupings_of
from facebench.metrics import disparity, fairness, paired, uncertainty, verification
from facebench.metrics.inversion import Inverted
from facebench.metrics.streams import Fixed, fixed_generator
from facebench.schema import Estimate, Flag, Point, ProtocolSpec, point_fields
from facebench.scoring import compare_pairs, failed_rows
from facebench.scoring.probes import compare_probes

Bools = NDArray[np.bool_]
Scores = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Cell:
    """The comparisons one rate is counted over, with the clean estimate it is held against.

    Attributes:
        rows: indices into the comparisons.
        first, second: (n,) identities of the enrolled image and of the probe.
        fields: of every estimate of the cell: group, threshold and so on.
    """

    rows: NDArray[np.int64]
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    threshold: float
    fields: dict[str, Any]
    flags: tuple[Flag, ...]
    design_effect: float


class Baseline:
    """The clean measurement as conditions are held against it."""

    def __init__(
        self,
        spec: ProtocolSpec,
        images: Images,
        vectors: NDArray[np.float32],
        pairs: Pairs | None,
        clean: Measurement,
        *,
        comparator: str,
    ) -> None:
        self.spec, self.images, self.comparator = spec, images, comparator
        self.vectors = vectors
        self.confidence = spec.uncertainty.confidence
        self.targets = spec.points
        self.primary = spec.primary
        self._clean = {
            (e.metric, e.point, e.group, e.group_b): e
            for e in reversed(clean.estimates)
            if e.failures == "counted" and e.rule == "strict" and e.condition == "clean"
        }
        n = len(images.image_ids)
        self.drawn = drawn_pairs(images) if pairs is None else None
        self.pairs = pairs = pairs or self.drawn
        if pairs is None:
            self.enrolled, self.probe = (ends.astype(np.int64) for ends in np.triu_indices(n, 1))
            self.genuine = images.identity[self.enrolled] == images.identity[self.probe]
        else:
            self.enrolled, self.probe = pairs.a.astype(np.int64), pairs.b.astype(np.int64)
            self.genuine = pairs.genuine
        self.clean_scores = self.scores(vectors)

    def scores(self, probes: NDArray[np.float32], *, both: bool = False) -> Scores:
        """Return (P,) scores of all comparisons with altered probes; ``-inf`` where an image failed.

        Args:
            probes: (N, D) embeddings of the altered images; a failed one is a row of NaN.
            both: compare altered with altered images.
        """
        enrolled = probes if both else self.vectors
        if self.pairs is None:
            return compare_probes(enrolled, probes, self.comparator)
        stacked = np.concatenate([enrolled, probes])
        return compare_pairs(stacked, self.enrolled, self.probe + len(enrolled), self.comparator)

    def clean(
        self, metric: str, target: Point | None, group: str = "all", group_b: str | None = None
    ) -> Estimate | None:
        """Return a clean estimate, or None."""
        return self._clean.get((metric, target, group, group_b))

    @property
    def expected_fmr(self) -> float:
        """The FMR the leading operating point is meant to have: its target, or what its threshold achieves clean."""
        found = self.clean("fmr", self.primary)
        achieved = 0.0 if found is None or found.value is None else found.value
        return achieved if isinstance(self.primary, str) else self.primary

    @cached_property
    def groupings(self) -> list[Grouping]:
        """The groupings of the protocol that this data has."""
        return groupings_of(self.spec, self.images)[0]

    @cached_property
    def pooled(self) -> dict[tuple[bool, Point], Cell]:
        """The cell of all genuine and of all impostor comparisons at each operating point."""
        return {
            (genuine, target): self._cell(genuine, target, "all", np.flatnonzero(self.genuine == genuine))
            for target in self.targets
            for genuine in (True, False)
        }

    @cached_property
    def grouped(self) -> dict[str, list[tuple[Cell, Cell]]]:
        """Genuine and impostor cell of each group of each grouping, at the primary target."""
        found: dict[str, list[tuple[Cell, Cell]]] = {}
        for grouping in self.groupings:
            same = grouping.label[self.enrolled] == grouping.label[self.probe]
            label = np.where(same, grouping.label[self.probe], -1)
            for g, group in enumerate(grouping.groups):
                inside = label == g
                genuine, impostor = (np.flatnonzero(inside & (self.genuine == kind)) for kind in (True, False))
                found.setdefault(grouping.name, []).append(
                    (self._cell(True, self.primary, group, genuine), self._cell(False, self.primary, group, impostor))
                )
        return found

    def _cell(self, genuine: bool, target: Point, group: str, rows: NDArray[np.int64]) -> Cell:
        clean = self.clean("fnmr" if genuine else "fmr", target, group)
        pooled = self.clean("fmr", target)
        used = clean if clean is not None and clean.threshold is not None else pooled
        assert pooled is not None  # every measurement holds the pooled rates
        assert used is not None
        assert used.threshold is not None
        fields = {
            **point_fields(target), "group": group, "threshold": used.threshold,
            "threshold_source": used.threshold_source, "n_genuine" if genuine else "n_impostor": int(rows.size),
            "n_identities": None if clean is None else clean.n_identities,
        }  # fmt: skip
        kept = (Flag.UNRESOLVABLE, Flag.FEW_IDENTITIES, Flag.LABELS_INCOMPLETE)
        flags = tuple(flag for flag in (clean or pooled).flags if flag in kept)
        identity = self.images.identity
        first, second = identity[self.enrolled[rows]], identity[self.probe[rows]]
        return Cell(rows, first, second, used.threshold, fields, flags, design_effect_of(clean or pooled))

    def rate(self, cell: Cell, events: Bools, *, genuine: bool) -> Rate:
        """Return the rate of events over a cell, with its variance over identities at a fixed threshold."""
        if self.images.identities is None:
            return Rate(int(events.sum()), events.size, None, events.size, 1.0, "naive-wilson")
        if genuine:
            return genuine_rate(events, cell.first)
        return impostor_rate(events, cell.first, cell.second, design_effect=cell.design_effect)


def accepted(scores: Scores, cell: Cell) -> Bools:
    """Return which comparisons of a cell are accepted."""
    return np.asarray(scores[cell.rows].astype(np.float64) >= cell.threshold)


def condition_estimates(baseline: Baseline, scores: Scores, condition: str) -> list[Estimate]:
    """Return every estimate of one condition: tar, fnmr, fmr and relative_drop at each FMR target, then per group.

    Groups are read at the primary FMR target, each at the threshold its clean rate was read at; with the gaps between
    the groups of each grouping.

    Args:
        scores: (P,) of all comparisons, from `Baseline.scores` or from elsewhere in the same order.
        condition: its full name.
    """
    found: list[Estimate] = []
    for target in baseline.targets:
        for genuine in (False, True):
            found += _rates(baseline, baseline.pooled[genuine, target], scores, condition, genuine=genuine, near=True)
    for name, cells in baseline.grouped.items():
        kinds = []
        for index, genuine in ((1, False), (0, True)):
            rates: list[Rate | None] = []
            for cell in (pair[index] for pair in cells):
                part = _rates(baseline, cell, scores, condition, genuine=genuine)
                found += [e for e in part if e.metric in ("fmr", "fnmr")]
                events = accepted(scores, cell) != genuine
                rates.append(baseline.rate(cell, events, genuine=genuine) if events.size else None)
            kinds.append(rates)
        found += _gaps(baseline, name, cells, kinds, condition)
    return found


def _rates(
    baseline: Baseline, cell: Cell, scores: Scores, condition: str, *, genuine: bool, near: bool = False
) -> list[Estimate]:
    common = {**cell.fields, "condition": condition}
    if not cell.rows.size:
        flag = Flag.NO_GENUINE if genuine else Flag.NO_IMPOSTOR
        names = ("fnmr", "tar", "relative_drop") if genuine else ("fmr",)
        return [Estimate(metric=name, value=None, flags=(*cell.flags, flag), **common) for name in names]
    events = accepted(scores, cell) != genuine
    if near:
        common["near_threshold"] = verification.near_threshold(scores[cell.rows], cell.threshold)
    metric = "fnmr" if genuine else "fmr"
    rate = rate_estimate(
        metric, baseline.rate(cell, events, genuine=genuine), baseline.confidence, flags=cell.flags, **common
    )
    if not genuine:
        return [rate]
    return [rate, complement(rate, "tar"), relative_drop(baseline, cell, ~events, condition)]


def relative_drop(
    baseline: Baseline, cell: Cell, now: NDArray[Any], condition: str, metric: str = "relative_drop"
) -> Estimate:
    """Return ``1 - TAR / TAR_clean`` at one threshold, paired comparison by comparison.

    With a and b in [0, 1] whether (how often) a comparison is accepted clean and altered, A and B their means, the
    influence of a comparison is ``-(b - (B / A) a) / A``. The drop is what was lost less what was gained, over A, and
    its limits are made of those of both shares (`paired.discordant_interval`), with the variance of the influences over
    identities.
    """
    before = accepted(baseline.clean_scores, cell).astype(np.float64)
    after = np.asarray(now, np.float64)
    common = {**cell.fields, "condition": condition, "metric": metric}
    if not before.any():
        return Estimate.model_validate({**common, "value": None, "flags": (*cell.flags, Flag.INSUFFICIENT)})
    clean = float(before.mean())
    value = 1 - float(after.mean() / clean)
    influence = -(after - (1 - value) * before) / clean
    known = baseline.images.identities is not None
    variance = uncertainty.identity_variance(influence, cell.first, influence.size) if known else 0.0
    if variance == 0:  # without identities, and where nothing changed, or everything, there is nothing to go by
        return Estimate.model_validate({**common, "value": value, "flags": (*cell.flags, Flag.NO_INTERVAL)})
    lost, gained = (float(np.maximum(change, 0.0).sum()) for change in (before - after, after - before))
    whole = bool((after == np.rint(after)).all())  # of a mean over conditions the changes are parts of one
    (low, high), _ = paired.discordant_interval(
        lost, gained, after.size, variance * clean**2, baseline.confidence, least_effect=1.0 if whole else 0.0
    )
    limits = {"ci_low": min(low / clean, value), "ci_high": min(1.0, max(high / clean, value)), "ci_method": "mover"}
    return Estimate.model_validate({**common, **limits, "value": value, "flags": cell.flags})


def _gaps(
    baseline: Baseline,
    grouping: str,
    cells: Sequence[tuple[Cell, Cell]],
    kinds: Sequence[Sequence[Rate | None]],
    condition: str,
) -> list[Estimate]:
    """Return the gap of FMR and of FNMR between the groups of a grouping."""
    found = []
    for metric, index, rates in (("fmr_gap", 1, kinds[0]), ("fnmr_gap", 0, kinds[1])):
        kind = Kind.of(list(rates), None)
        flags = tuple(dict.fromkeys(flag for pair in cells for flag in pair[index].flags))
        sources = {pair[index].fields["threshold_source"] for pair in cells}
        common: dict[str, Any] = {
            "metric": metric, **point_fields(baseline.primary), "group": grouping, "condition": condition,
            "threshold_source": sources.pop() if len(sources) == 1 else "per-group",
        }  # fmt: skip
        if kind is None:
            found.append(Estimate(value=None, flags=(*flags, Flag.INSUFFICIENT), **common))
            continue
        side = "n_impostor" if index else "n_genuine"
        common |= {side: kind.counts()[side], "errors": kind.counts()["errors"]}
        left_out = kind.left_out([str(pair[index].fields["group"]) for pair in cells])
        rng = fixed_generator(Fixed.ALTERED_FAIR_DRAWS)
        context = Context((), baseline.expected_fmr, flags, common, baseline.confidence, rng)
        inverted = Inverted(fairness.gap(kind.values))
        if kind.counted is not None:
            inverted = suppose((kind,), rng).invert(disparity.OF_ONE_RATE["gap"], baseline.confidence)
        found.append(context.estimate(metric, inverted, left_out))
    return found


def failure_to_acquire(baseline: Baseline, probes: NDArray[np.float32], condition: str) -> Estimate:
    """Return `fta`: the share of images without a usable embedding under a condition.

    Comparisons with such an image count as non-matches in every rate.
    """
    failed = failed_rows(probes)
    everyone = np.ones(failed.size, bool)
    found = acquisition_estimate("all", failed, baseline.images, everyone, baseline.confidence)
    return found.model_copy(update={"condition": condition})
