"""Estimates per demographic group of a run too large to hold its scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.measure import joint
from facebench.measure.grouped import GroupMeasurer, GroupRates, Operating
from facebench.measure.rates import Rate
from facebench.measure.streaming_counts import Influence, Tallied, false_non_match_rate, independent_pairs
from facebench.metrics import clusters
from facebench.metrics.streams import Stream, generator

Floats = NDArray[np.float64]


class LargeGroups(GroupMeasurer):
    """Measures all groupings at the pooled and named thresholds; variances are closed forms without replicates."""

    def __init__(
        self,
        tallied: Tallied,
        *,
        confidence: float,
        min_identities: int,
        design_effects: Sequence[float],
        seed: int,
    ) -> None:
        self.sample: Any = tallied
        self.step = lambda: None  # a run of this size reports tiles, not groupings
        self.points = tallied.points
        self.policy = "pooled"
        self.confidence = confidence
        self.min_identities = min_identities
        self.design_effects = list(design_effects)
        self.rng = generator(Stream.FAIR_DRAWS, seed)
        thresholds = tallied.thresholds[: len(self.points.keys)]
        named = range(len(self.points.targets), len(self.points.keys))
        self.wanted = [*self.points.targets, *(tallied.false_matches(0, t).rate for t in named)]
        self.pooled = Operating("pooled", thresholds, None, tuple(tallied.resolvable), self._set_on(0))
        self.tallied = tallied

    def _rates(
        self, t: int, operating: dict[int, Operating], counted: dict[Operating, tuple[Floats, Floats] | None]
    ) -> tuple[GroupRates, dict[int, Rate | None], dict[int, Rate | None]]:
        del counted  # there are no replicates to count in
        fmr = {i: self._false_matches(i, t) for i in operating}
        own = [i for i in operating if self.tallied.cells[i].first == self.tallied.cells[i].second]
        fnmr: dict[int, Rate | None] = dict.fromkeys(operating)
        fnmr |= {i: self._false_non_matches(i, t) for i in own}
        rates = [fmr[i] for i in own], [fnmr[i] for i in own]
        return GroupRates(*rates, *self._moving_together(own, t, *rates)), fmr, fnmr

    def _moving_together(
        self, own: list[int], t: int, fmr: list[Rate | None], fnmr: list[Rate | None]
    ) -> tuple[Floats, Floats] | tuple[None, None]:
        """Return points that stand for replicates of the rates of groups, (P, G) each; NaN columns where undefined."""
        known = [(column, rate.value) for column, rate in enumerate([*fmr, *fnmr]) if rate is not None]
        if not self.tallied.has_identities or not known:
            return None, None
        moving = [self._moving(own[c % len(own)], t, c < len(own), [*fmr, *fnmr][c]) for c, _ in known]
        pooled = self.tallied.false_matches(0, t).of_rate
        found = joint.points(
            np.array([value for _, value in known]), joint.covariance(moving, pooled, self._alike(own[0], t))
        )
        columns = np.full((found.shape[0], 2 * len(own)), np.nan)
        columns[:, [column for column, _ in known]] = found
        return columns[:, : len(own)], columns[:, len(own) :]

    def _moving(self, i: int, t: int, impostor: bool, rate: Rate | None) -> joint.Moving:
        tallied, cell, fixed = self.tallied, self.tallied.cells[i], self.points.fixed(t)
        variance = (rate and rate.variance) or 0.0
        if impostor:
            found = tallied.false_matches(i, t)
            slope = 0.0 if fixed else -self._slope(i, t, found)
            with_pooled = self._root(i, t) * sum(
                self._root(c, t) * tallied.n_impostor[c] / tallied.n * (1.0 if c == i else self._alike(i, t))
                for c in self._cells_beside(i)
            )
            return joint.Moving(found.of_rate, True, float(with_pooled), slope, variance)
        missed = tallied.false_non_matches(cell.grouping, cell.first, tallied.thresholds[t])
        slope = 0.0 if fixed else tallied.slope(cell.grouping, cell.first, self.points.targets[t])
        return joint.Moving(missed.of_rate, False, 0.0, slope, variance)

    def _cells_beside(self, i: int) -> list[int]:
        """Return the cells of a cell's grouping that have comparisons."""
        number = self.tallied.cells[i].grouping
        return [
            c for c, cell in enumerate(self.tallied.cells) if cell.grouping == number and self.tallied.n_impostor[c]
        ]

    def _root(self, i: int, t: int) -> float:
        return float(np.sqrt(self.tallied.false_matches(i, t).of_rate.independent))

    def _alike(self, i: int, t: int) -> float:
        """Return how alike pairs of identities err in different cells of a cell's grouping."""
        sums = [(self._root(c, t) * self.tallied.n_impostor[c]) ** 2 for c in (0, *self._cells_beside(i))]
        return joint.alike_between_cells(sums[0], sums[1:])

    def _false_matches(self, i: int, t: int) -> Rate | None:
        cell = self.tallied.cells[i]
        if not self.tallied.n_impostor[i]:
            return None
        found = self.tallied.false_matches(i, t)
        variance = self._variance(i, t, found) if self.tallied.has_identities else None
        independent = independent_pairs(self.tallied, cell.grouping, cell.first, cell.second)
        return Rate(found.errors, found.n, variance, independent, self.design_effects[t], "wilson-delta")

    def _variance(self, i: int, t: int, found: Influence) -> float:
        """Return the variance of a cell's FMR at a threshold that is itself estimated.

        Where chance raises all false matches, the threshold rises and takes the cell's with it: the slope of the cell's
        FMR in the pooled one times the influence of the pooled one is subtracted (delta method). The comparisons of a
        pair of identities are taken to lie either all in the cell or none; where people carry several labels, this
        makes the variance of cells between groups too large.
        """
        if self.points.fixed(t):
            return found.of_rate.variance
        pooled = self.tallied.false_matches(0, t)
        slope = self._slope(i, t, found)
        own, every = found.of_rate, pooled.of_rate
        # of pairs inside the cell the squares are those of the difference; of the others those of the pooled part
        part = found.n / pooled.n
        inside, outside = (1 - slope * part) ** 2, slope**2
        return clusters.Influence(
            own.together - slope * every.together,
            inside * own.squares + outside * np.maximum(0.0, every.squares - part**2 * own.squares),
            inside * own.independent + outside * max(0.0, every.independent - part**2 * own.independent),
        ).variance

    def _slope(self, i: int, t: int, found: Influence) -> float:
        """Return by how much the FMR of a cell rises per pooled FMR gained."""
        pooled = self.tallied.false_matches(0, t)
        return self._elasticity(i, t) * found.rate / pooled.rate if pooled.errors else 0.0

    def _elasticity(self, i: int, t: int) -> float:
        """Return d ln FMR of a cell / d ln FMR of all, between the operating points around one; 1 where unknown."""
        points = []
        for other in (max(0, t - 1), min(len(self.points.targets) - 1, t + 1)):
            cell, pooled = self.tallied.false_matches(i, other), self.tallied.false_matches(0, other)
            if cell.errors and pooled.errors:
                points.append((np.log(cell.rate), np.log(pooled.rate)))
        if len(points) < 2 or points[0][1] == points[1][1]:
            return 1.0
        return float((points[1][0] - points[0][0]) / (points[1][1] - points[0][1]))

    def _false_non_matches(self, i: int, t: int) -> Rate | None:
        cell = self.tallied.cells[i]
        if not self.tallied.n_genuine[i]:
            return None
        return false_non_match_rate(self.tallied, cell.grouping, cell.first, t)
