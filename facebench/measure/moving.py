"""What moves the rates of the groups of one grouping at one threshold, and points that stand for their replicates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from facebench.measure import joint
from facebench.measure.delta import POOLED, Deltas
from facebench.measure.rates import Rate
from facebench.metrics.clusters import Influence

Floats = NDArray[np.float64]


class AtThreshold(Protocol):
    """Influences of the rates of cells at one threshold, which one cell sets."""

    def false(self, cell: int) -> Influence:
        """Return the influence of the FMR of a cell."""

    def missed(self, cell: int) -> Influence:
        """Return the influence of the FNMR of a cell."""

    def false_slope(self, cell: int, source: int) -> float:
        """Return by how much the FMR of a cell rises per FMR gained in the cell that sets the threshold."""

    def miss_slope(self, cell: int, source: int) -> float:
        """Return by how much the FNMR of a cell falls per FMR gained in the cell that sets the threshold."""


class Held:
    """`AtThreshold` of comparisons whose scores are held in memory; one cell, or none, sets the threshold."""

    def __init__(self, deltas: Deltas, threshold: float, source: int | None) -> None:
        self._deltas, self._threshold, self._source = deltas, threshold, source
        self._false: dict[int, Influence] = {}
        self._slopes: dict[int, float] = {}

    def keep(self, cell: int) -> None:
        """Compute what is asked of a cell's impostor comparisons, so that their index can be dropped."""
        self.false(cell)
        if self._source is not None:
            self.false_slope(cell, self._source)

    def false(self, cell: int) -> Influence:
        """Return the influence of the FMR of a cell."""
        if cell not in self._false:
            self._false[cell] = self._deltas.impostors(cell).rate(self._threshold)
        return self._false[cell]

    def missed(self, cell: int) -> Influence:
        """Return the influence of the FNMR of a cell."""
        return self._deltas.missed(cell, self._threshold)

    def false_slope(self, cell: int, source: int) -> float:
        """Return by how much the FMR of a cell rises per FMR gained in the cell that sets the threshold."""
        if cell not in self._slopes:
            self._slopes[cell] = self._deltas.fmr_slope(cell, self._threshold, source)
        return self._slopes[cell]

    def miss_slope(self, cell: int, source: int) -> float:
        """Return by how much the FNMR of a cell falls per FMR gained in the cell that sets the threshold."""
        return self._deltas.fnmr_slope(cell, self._threshold, source)


class Together:
    """How the rates of the groups of one grouping move together at one threshold.

    Args:
        at: their influences.
        sizes: per cell, its impostor comparisons.
        beside: the cells of the grouping that have any, those between groups included.
        source: the cell that sets the threshold; None where it stands.
    """

    def __init__(self, at: AtThreshold, sizes: NDArray[np.int64], beside: Sequence[int], source: int | None) -> None:
        self._at, self._sizes, self._beside, self._source = at, sizes, beside, source
        self._setting = POOLED if source is None else source
        sums = [(self._root(c) * int(sizes[c])) ** 2 for c in (POOLED, *beside)]
        self._alike = joint.alike_between_cells(sums[0], sums[1:])

    def points(
        self, own: Sequence[int], fmr: Sequence[Rate | None], fnmr: Sequence[Rate | None]
    ) -> tuple[Floats, Floats]:
        """Return points that stand for replicates of both rates, (P, G) each; NaN columns where undefined.

        Args:
            own: (G,) the cell of each group.
            fmr, fnmr: (G,) rates of the groups.
        """
        known = [(column, rate) for column, rate in enumerate([*fmr, *fnmr]) if rate is not None]
        moving = [self._moving(own[c % len(own)], c < len(own), rate.variance or 0.0) for c, rate in known]
        means = np.array([rate.value for _, rate in known])
        drawn = joint.points(means, joint.covariance(moving, self._at.false(self._setting), self._alike))
        columns = np.full((drawn.shape[0], 2 * len(own)), np.nan)
        columns[:, [column for column, _ in known]] = drawn
        return columns[:, : len(own)], columns[:, len(own) :]

    def _moving(self, cell: int, impostor: bool, variance: float) -> joint.Moving:
        """Return what moves the FMR or the FNMR of the group of a cell."""
        if impostor:
            slope = 0.0 if self._source is None else -self._at.false_slope(cell, self._source)
            return joint.Moving(self._at.false(cell), True, self._with_setting(cell), slope, variance)
        slope = 0.0 if self._source is None else self._at.miss_slope(cell, self._source)
        return joint.Moving(self._at.missed(cell), False, 0.0, slope, variance)

    def _with_setting(self, cell: int) -> float:
        """Return the sum over pairs of identities of the influence on a cell's FMR times that on the setting one."""
        if self._setting != POOLED:
            return self._root(cell) * self._root(self._setting) * (1.0 if cell == self._setting else self._alike)
        parts = (
            self._root(c) * int(self._sizes[c]) / int(self._sizes[POOLED]) * (1.0 if c == cell else self._alike)
            for c in self._beside
        )
        return float(self._root(cell) * sum(parts))

    def _root(self, cell: int) -> float:
        return float(np.sqrt(self._at.false(cell).independent))
