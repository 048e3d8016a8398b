"""Estimates per demographic group of a run too large to hold its scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.errors import InputError
from facebench.measure.delta import POOLED
from facebench.measure.grouped import GroupMeasurer, GroupRates, Operating
from facebench.measure.moving import AtThreshold
from facebench.measure.rates import Rate
from facebench.measure.sample import Cell
from facebench.measure.streaming_counts import (
    Influence,
    Tallied,
    false_non_match_rate,
    independent_pairs,
    leading_share,
)
from facebench.metrics import clusters
from facebench.metrics.streams import Stream, generator

Floats = NDArray[np.float64]


class _Counted:
    """`AtThreshold` of a run whose scores are only counted."""

    def __init__(self, groups: LargeGroups, place: int, t: int) -> None:
        self._groups, self._tallied, self._place, self._t = groups, groups.tallied, place, t

    def false(self, cell: int) -> clusters.Influence:
        """Return the influence of the FMR of a cell."""
        return self._tallied.false_matches(cell, self._place).of_rate

    def missed(self, cell: int) -> clusters.Influence:
        """Return the influence of the FNMR of a cell."""
        own = self._tallied.cells[cell]
        found = self._tallied.false_non_matches(own.grouping, own.first, self._tallied.thresholds[self._place])
        return found.of_rate

    def false_slope(self, cell: int, source: int) -> float:
        """Return by how much the FMR of a cell rises per FMR gained in the cell that sets the threshold."""
        return self._groups.slope(cell, source, self._t)

    def miss_slope(self, cell: int, source: int) -> float:
        """Return by how much the FNMR of a cell falls per FMR gained in the cell that sets the threshold."""
        own = self._tallied.cells[cell]
        return self._tallied.slope(own.grouping, own.first, self._tallied.points.targets[self._t], source)


class LargeGroups(GroupMeasurer):
    """Measures all groupings of a run; variances are closed forms without replicates."""

    def __init__(
        self,
        tallied: Tallied,
        *,
        policy: str = "pooled",
        confidence: float,
        min_identities: int,
        design_effects: Sequence[float],
        seed: int,
    ) -> None:
        self.sample: Any = tallied
        self.step = lambda: None  # a run of this size reports tiles, not groupings
        self.points = tallied.points
        self.policy = policy
        self.confidence = confidence
        self.min_identities = min_identities
        self.design_effects = list(design_effects)
        self.rng = generator(Stream.FAIR_DRAWS, seed)
        thresholds = tallied.thresholds[: len(self.points.keys)]
        named = range(len(self.points.targets), len(self.points.keys))
        self.wanted = [*self.points.targets, *(tallied.false_matches(0, t).rate for t in named)]
        self.pooled = Operating("pooled", thresholds, tuple(tallied.resolvable), self._set_on(POOLED))
        self.tallied = tallied

    def _own(self, number: int, group: int) -> Operating:
        cell = self.tallied.index[Cell(number, group, group)]
        own = self.tallied.own.get(cell)
        if own is None:
            name = self.tallied.group_name(number, group)
            raise InputError(f"threshold_policy: group {name} has no impostor comparisons to set a threshold on")
        named = self.pooled.thresholds[len(self.points.targets) :]
        return Operating(
            self.tallied.group_name(number, group), (*own.thresholds, *named),
            (*own.resolvable, *(True for _ in named)), self._set_on(cell),
        )  # fmt: skip

    def _rates(
        self, t: int, operating: dict[int, Operating]
    ) -> tuple[GroupRates, dict[int, Rate | None], dict[int, Rate | None]]:
        sources = {i: source.cells[t] for i, source in operating.items()}
        fmr = {i: self._false_matches(i, sources[i], t) for i in operating}
        own = [i for i in operating if self.tallied.cells[i].first == self.tallied.cells[i].second]
        fnmr: dict[int, Rate | None] = dict.fromkeys(operating)
        fnmr |= {i: self._false_non_matches(i, sources[i], t) for i in own}
        return self._together(t, operating, fmr, fnmr), fmr, fnmr

    def _at(self, operating: Operating, source: int | None, t: int) -> AtThreshold:  # noqa: ARG002 - counted by t
        return _Counted(self, self.tallied.place(source or POOLED, t), t)

    def _false_matches(self, i: int, source: int | None, t: int) -> Rate | None:
        cell = self.tallied.cells[i]
        if not self.tallied.n_impostor[i]:
            return None
        found = self.tallied.false_matches(i, self.tallied.place(source or POOLED, t))
        variance = self._variance(i, source, t, found) if self.tallied.has_identities else None
        independent = independent_pairs(self.tallied, cell.grouping, cell.first, cell.second)
        leading = self._leading(i)
        return Rate(found.errors, found.n, variance, independent, self.design_effects[t], "wilson-delta", leading)

    def _leading(self, i: int) -> float:
        cell = self.tallied.cells[i]
        return leading_share(self.tallied, cell.grouping, cell.first, cell.second)

    def _variance(self, i: int, source: int | None, t: int, found: Influence) -> float:
        """Return the variance of a cell's FMR at a threshold that is itself estimated.

        Where chance raises the false matches that set it, the threshold rises and takes the cell's with it: the slope
        of the cell's FMR in theirs times the influence of theirs is subtracted (delta method). Where all comparisons
        set it, those of a pair of identities are taken to lie either all in the cell or none; where people carry
        several labels, this makes the variance of cells between groups too large.
        """
        if source is None:
            return found.of_rate.variance
        slope = self.slope(i, source, t)
        setting = self.tallied.false_matches(source, self.tallied.place(source, t))
        own, every = found.of_rate, setting.of_rate
        if source == i:
            return clusters.added([(1.0 - slope, own)]).variance
        if source != POOLED:
            return clusters.added([(1.0, own), (-slope, every)]).variance
        # of pairs inside the cell the squares are those of the difference; of the others those of the pooled part
        part = found.n / setting.n
        inside, outside = (1 - slope * part) ** 2, slope**2
        return clusters.Influence(
            own.together - slope * every.together,
            inside * own.squares + outside * np.maximum(0.0, every.squares - part**2 * own.squares),
            inside * own.independent + outside * max(0.0, every.independent - part**2 * own.independent),
        ).variance

    def slope(self, i: int, source: int, t: int) -> float:
        """Return by how much the FMR of a cell rises per FMR gained in the cell that sets the threshold."""
        place = self.tallied.place(source, t)
        cell, setting = (self.tallied.false_matches(c, place) for c in (i, source))
        return self._elasticity(i, source, t) * cell.rate / setting.rate if setting.errors else 0.0

    def _elasticity(self, i: int, source: int, t: int) -> float:
        """Return d ln FMR of a cell / d ln FMR of another, between the operating points around one; 1 where unknown."""
        points = []
        for other in (max(0, t - 1), min(len(self.points.targets) - 1, t + 1)):
            place = self.tallied.place(source, other)
            cell, setting = (self.tallied.false_matches(c, place) for c in (i, source))
            if cell.errors and setting.errors:
                points.append((np.log(cell.rate), np.log(setting.rate)))
        if len(points) < 2 or points[0][1] == points[1][1]:
            return 1.0
        return float((points[1][0] - points[0][0]) / (points[1][1] - points[0][1]))

    def _false_non_matches(self, i: int, source: int | None, t: int) -> Rate | None:
        cell = self.tallied.cells[i]
        if not self.tallied.n_genuine[i]:
            return None
        return false_non_match_rate(self.tallied, cell.grouping, cell.first, t, source)
