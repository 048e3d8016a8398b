"""Influences of the rates of a sample, thresholds included, per identity: what every interval of a rate rests on.

A rate read at a threshold that was set on impostor comparisons moves with their chance too. To first order it moves by
the influence of its own comparisons plus its slope in the FMR times the influence of those that set the threshold
(delta method); the slope is a difference quotient about the operating point.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from functools import cached_property
from math import ceil, floor, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.metrics import clusters
from facebench.metrics.bootstrap import RankedComparisons
from facebench.metrics.clusters import Influence, PairIndex
from facebench.metrics.influence import Parts
from facebench.metrics.verification import held

POOLED = 0  # the cell of all comparisons
SLOPE_STEP = 0.2
PRIOR_MOVED = 10.0
"""Genuine comparisons of a group between two thresholds from which its own slope counts for more than that of all."""


class Impostors:
    """The impostor comparisons of one cell, scores falling."""

    def __init__(
        self,
        scores: NDArray[Any],
        first: NDArray[np.integer[Any]],
        second: NDArray[np.integer[Any]],
        n_identities: int,
    ) -> None:
        self.scores = scores
        self._ends = first, second, n_identities
        self._rates: dict[int, Influence] = {}

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
        errors = max(1, self.accepted(threshold))
        if errors not in self._rates:  # every cell read at this threshold asks for it
            self._rates[errors] = self.index.rate(errors)
        return self._rates[errors]


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
            every = self.impostor
            own = (every.scores, every.first, every.second)
            if cell != POOLED:
                own = every.of_cell(cell, self._columns[cell])
            self._impostors[cell] = Impostors(*own, self.n_identities)
        return self._impostors[cell]

    def forget_cells(self, kept: Container[int | None] = ()) -> None:
        """Drop cells but the pooled one and some others: their indices are as large as the list of comparisons."""
        self._impostors = {cell: found for cell, found in self._impostors.items() if cell == POOLED or cell in kept}

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

    def of_both(self, statistics: Sequence[Parts]) -> list[Influence]:
        """Return the influences of statistics of both kinds of comparisons.

        Args:
            statistics: their influences, of genuine comparisons with scores falling; all have mean zero.
        """
        scores = self.impostor.scores

        def blocks(of_impostor: Callable[[NDArray[Any]], NDArray[np.float64]]) -> clusters.Blocks:
            return lambda rows: of_impostor(scores[rows]) / scores.size

        others = self.impostors(POOLED).index.influences([blocks(each.of_impostor) for each in statistics])
        own = [
            clusters.of_people(each.genuine / each.genuine.size, self.genuine.first, self.n_identities)
            for each in statistics
        ]
        return [clusters.added([(1.0, a), (1.0, b)]) for a, b in zip(own, others, strict=True)]
