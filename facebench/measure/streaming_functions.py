"""The functions of the score by which AUC, minCllr, d' and Cllr move with each impostor score.

The first pass makes them known: they rest on the genuine scores, which are all kept, and on the distribution of the
impostor scores, of which the digits tell enough for a variance.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from facebench.metrics.binned import Binned
from facebench.scoring.digits import digit_floor, digits_of
from facebench.scoring.engine import Selection
from facebench.scoring.sums import Functions, step_scores

Floats = NDArray[np.float64]
ORDERED = ("auc", "min_cllr")
"""Statistics that failed comparisons, which rank below all others, take part in."""
MEASURED = ("dprime", "cllr")
"""Statistics of the scores as numbers: with failed comparisons they do not exist."""


def functions_of(selection: Selection, genuine: NDArray[np.float32], n_lowest: int) -> Functions | None:
    """Return the functions to be summed, in the order of `ORDERED`, then `MEASURED`; None without genuine scores.

    Those of `ORDERED` are 0 for a failed comparison: it adds nothing to sums, as it is accepted at no threshold.

    Args:
        selection: what the first pass found.
        genuine: all genuine scores; ``-inf`` where a comparison failed.
        n_lowest: impostor comparisons that failed.
    """
    digits = np.flatnonzero(selection.histogram)
    finite = genuine[np.isfinite(genuine)].astype(np.float64)
    if not genuine.size or not digits.size:
        return None
    low, high = digit_floor(np.array([digits[0], digits[-1] + 1])).astype(np.float64).tolist()
    if finite.size:
        low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    at = step_scores(low, high)
    columns = [_share_not_below(genuine, at), _pooled_cost(selection.histogram, genuine, n_lowest, at)]
    if not n_lowest and finite.size == genuine.size:
        columns += [_separation(selection.histogram, finite, at), np.logaddexp(0.0, at) / (2 * np.log(2))]
    return Functions(low, high, selection.refused[-1], np.stack(columns, axis=1))


def _share_not_below(genuine: NDArray[np.float32], at: Floats) -> Floats:
    """Return the share of genuine scores above each score, ties counting half, less that above a failed comparison."""
    rising = np.sort(genuine)
    below = np.searchsorted(rising, at, side="left") + np.searchsorted(rising, at, side="right")
    failed = int(np.isneginf(genuine).sum())
    share: Floats = (failed - below) / (2 * genuine.size)
    return share


def _pooled_cost(histogram: NDArray[np.int64], genuine: NDArray[np.float32], n_lowest: int, at: Floats) -> Floats:
    """Return the cost of an impostor at each score after recalibration, halved, less that of a failed comparison."""
    finite = genuine[np.isfinite(genuine)]
    own = np.bincount(digits_of(finite), minlength=histogram.size)
    binned = Binned(*(np.append(first, rest).astype(np.float64) for first, rest in (
        (genuine.size - finite.size, own), (n_lowest, histogram))))  # fmt: skip
    llr = binned.llr()
    # where only genuine scores lie in a digit the fit costs an impostor infinitely; there is none
    llr = np.minimum(llr, llr[binned.impostor > 0].max())
    cost = np.logaddexp(0.0, llr) / (2 * np.log(2))
    found: Floats = cost[1 + digits_of(at.astype(np.float32))] - (cost[0] if n_lowest else 0.0)
    return found


def _separation(histogram: NDArray[np.int64], genuine: Floats, at: Floats) -> Floats:
    """Return by how much an impostor moves d' at each score, see `facebench.metrics.influence.d_prime_influence`."""
    used = np.flatnonzero(histogram)
    middle = (digit_floor(used).astype(np.float64) + digit_floor(used + 1).astype(np.float64)) / 2
    mean = float(np.average(middle, weights=histogram[used]))
    variance = float(np.average((middle - mean) ** 2, weights=histogram[used]))
    spread = np.sqrt((genuine.var() + variance) / 2)
    if not spread:
        return np.zeros_like(at)
    scale = (genuine.mean() - mean) / spread / (4 * spread**2)
    found: Floats = -(at - mean) / spread - scale * (at - mean) ** 2
    return found
