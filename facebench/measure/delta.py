"""Influences of the rates of a sample, thresholds included, per identity: what every interval of a rate rests on.

A rate read at a threshold that was set on impostor comparisons moves with their chance too. To first order it moves by
the influence of its own comparisons plus its slope in the FMR times the influence of those that set the threshold
(delta method); the slope is a difference quotient about the operating point.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from math import ceil, floor, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.metrics import clusters
from facebench.metrics.bootstrap import RankedComparisons
from facebench.metrics.clusters import Influence, PairIndex
from facebench.metrics.verification import held

POOLED = 0  # the cell of all comparisons
SLOPE_STEP = 0.2
PRIOR_MOVED = 10.0
"""Genuine comparisons of a group between two thresholds from which its own slope counts for more than that of all."""


class Impostors:
    """The impostor comparisons of one cell, scores falling."""

    def __init__(self, ranked: RankedComparisons, rows: NDArray[np.int64] | slice, n_identities: int) -> None:
        self.scores = ranked.scores[rows]
        self._ends = ranked.first[rows], ranked.second[rows], n_identities

    @cached_property
    def index(self) -> PairIndex:
        """The same comparisons by pair of identities."""
        return PairIndex(*self._ends)

    @cached_property
    def disjoint(self) -> int:
        """How many comparisons that share nobody can be picked (`PairIndex.disjoint`)."""
        return self.index.disjoint()

    def accepted(self, threshold: float) -> int:
        """Return how many scores are at or above a threshold."""
        wanted = held(threshold, self.scores.dtype)
        below = np.searchsorted(self.scores[::-1], self.scores.dtype.type(wanted), side="left")
        return int(self.scores.size - below)

    def beside(self, threshold: float) -> tuple[float, float, float]:
        """Return a higher and a lower threshold about one, and by how much the FMR of this cell rises between them."""
        k = max(1, self.accepted(threshold))
        step = min(0.9, max(SLOPE_STEP, 2 / sqrt(k)))
        few, many = floor(k * (1 - step)), min(ceil(k * (1 + step)), self.scores.size)
        high = float(self.scores[few - 1]) if few else np.inf
        return high, float(self.scores[many - 1]), (many - few) / self.scores.size

    def rate(self, threshold: float) -> Influence:
        """Return the influence of the FMR at a threshold; where it accepts none, at that of the highest score."""
        return self.index.rate(max(1, self.accepted(threshold)))


class Deltas:
    """Influences of the rates of a sample; keeps the index of each cell it was asked for.

    Args:
        genuine, impostor: all comparisons.
        columns: per cell its grouping.
        n_identities: I.
    """

    def __init__(
        self, genuine: RankedComparisons, impostor: RankedComparisons, columns: Sequence[int], n_identities: int
    ) -> None:
        self.genuine, self.impostor, self.n_identities = genuine, impostor, n_identities
        self._columns = columns
        self._impostors: dict[int, Impostors] = {}

    def impostors(self, cell: int) -> Impostors:
        """Return the impostor comparisons of a cell."""
        if cell not in self._impostors:
            inside = self.impostor.cells[:, self._columns[cell]] == cell
            rows = slice(None) if cell == POOLED else np.flatnonzero(inside)
            self._impostors[cell] = Impostors(self.impostor, rows, self.n_identities)
        return self._impostors[cell]

    def forget_cells(self) -> None:
        """Drop all cells but the pooled one: their indices are as large as the list of comparisons."""
        self._impostors = {cell: found for cell, found in self._impostors.items() if cell == POOLED}

    def _genuine(self, cell: int) -> tuple[NDArray[Any], NDArray[np.int32]]:
        rows = self.genuine.cells[:, self._columns[cell]] == cell
        return self.genuine.scores[rows], self.genuine.first[rows]

    def missed(self, cell: int, threshold: float) -> Influence:
        """Return the influence of the FNMR of a cell at a fixed threshold."""
        scores, identity = self._genuine(cell)
        errors = (scores < threshold).astype(np.float64)
        each = (errors - errors.mean()) / errors.size
        return clusters.of_people(each, identity, self.n_identities)

    def fnmr_slope(self, cell: int, threshold: float, source: int) -> float:
        """Return by how much the FNMR of a cell falls per FMR gained in the cell that sets the threshold."""
        high, low, gained = self.impostors(source).beside(threshold)
        scores, _ = self._genuine(cell)
        moved = float(((scores < high) & (scores >= low)).sum())
        if cell != POOLED:  # few comparisons of a group tell little of its slope: it leans on that of all
            everyone = self.genuine.scores
            share = float(((everyone < high) & (everyone >= low)).mean())
            moved = scores.size * share * (moved + PRIOR_MOVED) / (scores.size * share + PRIOR_MOVED)
        return moved / scores.size / gained

    def fnmr(self, cell: int, threshold: float, source: int | None) -> Influence:
        """Return the influence of the FNMR of a cell at a threshold set on those of another; None holds it fixed."""
        if source is None:
            return self.missed(cell, threshold)
        slope = self.fnmr_slope(cell, threshold, source)
        of_threshold = self.impostors(source).rate(threshold)
        return clusters.added([(1.0, self.missed(cell, threshold)), (slope, of_threshold)])

    def fmr_slope(self, cell: int, threshold: float, source: int) -> float:
        """Return by how much the FMR of a cell rises per FMR gained in the cell that sets the threshold."""
        own = self.impostors(cell)
        high, low, gained = self.impostors(source).beside(threshold)
        return (own.accepted(low) - own.accepted(high)) / own.scores.size / gained

    def fmr(self, cell: int, threshold: float, source: int | None) -> Influence:
        """Return the influence of the FMR of a cell at a threshold set on those of another; None holds it fixed."""
        own = self.impostors(cell)
        errors = own.accepted(threshold)
        if source is None:
            return own.index.rate(errors)
        others, slope = self.impostors(source), self.fmr_slope(cell, threshold, source)
        if source == POOLED:
            n, k = others.scores.size, max(1, others.accepted(threshold))
            return own.index.rate_beyond(errors, slope, others.rate(threshold), k / n, n)
        weight = (1.0 - slope) if source == cell else 1.0
        parts = [(weight, own.index.rate(errors))]
        return clusters.added(parts if source == cell else [*parts, (-slope, others.rate(threshold))])

    def equal_error(self, threshold: float) -> Influence:
        """Return the influence of the EER, found at a threshold."""
        slope = self.fnmr_slope(POOLED, threshold, POOLED)
        false = self.impostors(POOLED).rate(threshold)
        return clusters.added([(1 / (1 + slope), self.missed(POOLED, threshold)), (slope / (1 + slope), false)])

    def of_both(self, genuine: NDArray[np.float64], impostor: NDArray[np.float64]) -> Influence:
        """Return the influence of a statistic of both kinds of comparisons, in the order of falling scores.

        Args:
            genuine: (P_g,) influence of each genuine comparison on the statistic, of mean zero.
            impostor: (P_i,) of each impostor comparison.
        """
        own = clusters.of_people(genuine / genuine.size, self.genuine.first, self.n_identities)
        others = self.impostors(POOLED).index.influence(impostor / impostor.size)
        return clusters.added([(1.0, own), (1.0, others)])
