"""Does a quality score know which comparisons will fail? Error-versus-discard curves and their partial area."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class DiscardCurve:
    """Error rate of the comparisons left, after the poorest were discarded.

    Attributes:
        discarded: rising share of comparisons discarded, from 0; only shares that split no ties.
        rate: error rate of the rest.
        errors, left: errors among the rest, and how many comparisons it holds; sums of weights where there are any.
    """

    discarded: Floats
    rate: Floats
    errors: Floats
    left: Floats

    def counts(self, share: float) -> tuple[float, float]:
        """Return errors and comparisons left when at most that share is discarded, and no tie is split."""
        point = int(np.searchsorted(self.discarded, share + 1e-12, side="right")) - 1
        return float(self.errors[point]), float(self.left[point])

    def step(self, share: float) -> float:
        """Return the rate of what is left then: errors over comparisons."""
        errors, left = self.counts(share)
        return min(1.0, max(0.0, errors / left))

    def at(self, share: float) -> float:
        """Return the rate at a share discarded, linear between the points of the curve."""
        return float(np.interp(share, self.discarded, self.rate))

    def mean_rate(self, up_to: float) -> float:
        """Return the partial area divided by its width: the mean rate while up to that share is discarded."""
        inside = self.discarded < up_to
        x = np.r_[self.discarded[inside], up_to]
        y = np.r_[self.rate[inside], self.at(up_to)]
        return float(np.sum(np.diff(x) * (y[1:] + y[:-1]) / 2) / up_to)


def error_versus_discard(
    errors: NDArray[Any], quality: NDArray[np.floating[Any]], weights: NDArray[np.floating[Any]] | None = None
) -> DiscardCurve | None:
    """Return the curve for comparisons whose quality is that of the poorer image; None without weight.

    Comparisons of equal quality are discarded together. Source: Grother and Tabassi, "Performance of biometric quality
    measures", 2007; partial areas as in Schlett et al., "Considerations on the evaluation of biometric quality
    assessment algorithms", 2023.

    Args:
        errors: (P,) 0 or 1.
        quality: (P,) higher is better.
        weights: (P,) of each comparison, for bootstrap replicates; default 1.

    >>> curve = error_versus_discard(np.array([1, 0, 0, 0]), np.array([0.1, 0.5, 0.6, 0.9]))
    >>> curve.at(0.0), curve.at(0.25)
    (0.25, 0.0)
    """
    w = np.ones(len(errors)) if weights is None else np.asarray(weights, float)
    order = np.argsort(quality, kind="stable")
    sorted_quality, w = quality[order], w[order]
    missed = w * np.asarray(errors, float)[order]
    total = w.sum()
    if total <= 0:
        return None
    starts = np.flatnonzero(np.r_[True, np.diff(sorted_quality) > 0])
    before = np.r_[0.0, np.cumsum(w)][starts]
    left = total - before
    errors_left = missed.sum() - np.r_[0.0, np.cumsum(missed)][starts]
    some = left > 1e-12 * total
    rate = np.clip(errors_left[some] / left[some], 0.0, 1.0)
    return DiscardCurve(before[some] / total, rate, errors_left[some], left[some])
