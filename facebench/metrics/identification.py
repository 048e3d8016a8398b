"""Identification metrics: where the mate of each probe ranks among the gallery."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def mate_ranks(scores: NDArray[np.floating[Any]], mate: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """Return the rank of each probe's mate, 1 being best; ties with a non-mate count against the model.

    Args:
        scores: (P, G) of each probe against each gallery entry; ``-inf`` for comparisons that failed.
        mate: (P,) gallery column of each probe's mate.

    Returns:
        (P,) ranks; G + 1 where the comparison with the mate failed.

    >>> mate_ranks(np.array([[.9, .9, .1]]), np.array([0]))
    array([2])
    """
    own = scores[np.arange(mate.size), mate]
    at_or_above = (scores >= own[:, None]).sum(axis=1)
    ranks: NDArray[np.int64] = np.where(np.isneginf(own), scores.shape[1] + 1, at_or_above).astype(np.int64)
    return ranks


def rank_k_rate(ranks: NDArray[np.int64], k: int) -> float:
    """Return the share of probes whose mate is among the k best (one point of the CMC curve)."""
    return float(np.mean(ranks <= k))


def cumulative_match(ranks: NDArray[np.int64], highest: int) -> NDArray[np.float64]:
    """Return (highest,) the share of probes whose mate is among the 1, 2, ... best: the CMC curve.

    >>> cumulative_match(np.array([1, 3, 1, 9]), 3)
    array([0.5 , 0.5 , 0.75])
    """
    counts = np.bincount(ranks, minlength=highest + 1)[1 : highest + 1]
    return np.cumsum(counts) / ranks.size


def missed_searches(
    mate: NDArray[np.floating[Any]], ranks: NDArray[np.int64], threshold: float, rank: int = 1
) -> NDArray[np.bool_]:
    """Return which mated searches miss: the mate scores below the threshold, or is not among the first `rank`.

    Source: ISO/IEC 19795-1, false negative identification rate; Grother et al., NISTIR 8271, 2019.

    >>> missed_searches(np.array([.9, .9, .4]), np.array([1, 2, 1]), .5)
    array([False,  True,  True])
    """
    missed: NDArray[np.bool_] = (mate < threshold) | (ranks > rank)
    return missed
