"""How well scores separate when only their counts in narrow bins are known, and how far that can be off.

Within a bin genuine and impostor scores are taken as tied. AUC and minCllr can only be off by what
the bins that hold both could hide, so their bounds follow from the same counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from facebench.metrics.verification import PooledScores, pool_counts, pooled_cllr

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Binned:
    """Counts of genuine and impostor scores per bin, bins rising; the first holds failed comparisons, if any.

    Attributes:
        genuine, impostor: (B,) counts.
    """

    genuine: Floats
    impostor: Floats

    @cached_property
    def share_below(self) -> Floats:
        """(B,) share of the impostor scores below each bin, those in it counting half."""
        found: Floats = (np.cumsum(self.impostor) - self.impostor / 2) / self.impostor.sum()
        return found

    def area_under_curve(self) -> float:
        """Return the AUC, ties within a bin counting half."""
        return float(self.genuine @ self.share_below / self.genuine.sum())

    def area_error(self) -> float:
        """Return by how much the AUC can be off at most: half the chance that both scores lie in one bin."""
        return float(self.genuine @ self.impostor / self.genuine.sum() / self.impostor.sum() / 2)

    @cached_property
    def pooled(self) -> PooledScores:
        """The best rising fit that is constant within bins."""
        used = self.genuine + self.impostor > 0
        return pool_counts(self.genuine[used], self.impostor[used])

    def min_cllr(self) -> tuple[float, float]:
        """Return a lower and an upper bound of minCllr, in bits; the upper one is that of scores tied within bins.

        Whatever the order within a bin, no fit is better than where all its impostor scores lie below its genuine ones.
        """
        best = np.zeros((self.genuine.size, 2, 2))
        best[:, 0, 0], best[:, 1, 1] = self.impostor, self.genuine
        split = best.reshape(-1, 2)[best.reshape(-1, 2).sum(axis=1) > 0]
        return pooled_cllr(pool_counts(split[:, 1], split[:, 0])), pooled_cllr(self.pooled)

    def llr(self) -> Floats:
        """(B,) the natural-log likelihood ratio that the fit gives each bin; of empty bins that of the one above."""
        pooled = self.pooled
        with np.errstate(divide="ignore"):
            each = np.log(pooled.genuine / self.genuine.sum()) - np.log(pooled.impostor / self.impostor.sum())
        ends = np.cumsum(pooled.genuine + pooled.impostor)
        counted = np.cumsum(self.genuine + self.impostor)
        found: Floats = each[np.minimum(np.searchsorted(ends, counted - 0.5), each.size - 1)]
        return found
