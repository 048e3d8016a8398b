"""Inner loops: order statistics of a tail, and the vertex bootstrap compiled with numba.

Compiled once and cached on disk. All kernels release the interpreter lock, so threads share the work.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray


def largest(scores: NDArray[np.floating[Any]], ranks: Sequence[int]) -> list[tuple[float, int]]:
    """Return the values at some ranks of the scores in falling order, and how many scores exceed each.

    Only the tail down to the lowest rank is selected and sorted; the rest stays unsorted.

    Args:
        scores: (N,) float32 or float64 without NaN.
        ranks: 0 is the highest score, N - 1 the lowest.

    >>> largest(np.array([.3, .1, .2]), [0, 2])
    [(0.3, 0), (0.1, 2)]
    """
    lowest = scores.size - 1 - max(ranks)
    tail = np.partition(scores, lowest)[lowest:]
    tail.sort()
    values = [tail[tail.size - 1 - rank] for rank in ranks]
    return [(float(value), int(tail.size - np.searchsorted(tail, value, side="right"))) for value in values]


@njit(cache=True, nogil=True)
def greedy_matching(first: Any, second: Any, n: Any) -> Any:
    """Return how many pairs without a common end are found by taking each pair, in order, whose ends are both free."""
    taken = np.zeros(n, np.bool_)
    found = 0
    for i in range(first.size):
        if not taken[first[i]] and not taken[second[i]]:
            taken[first[i]] = taken[second[i]] = True
            found += 1
    return found


@njit(cache=True, nogil=True)
def sums_at_ends(first: Any, second: Any, values: Any, n: Any) -> Any:
    """Return (n,) sums of the values of all pairs that end at each identity, as two `bincount` would give them."""
    here = np.zeros(n, np.float64)
    there = np.zeros(n, np.float64)
    for i in range(values.size):
        here[first[i]] += values[i]
        there[second[i]] += values[i]
    return here + there


@njit(cache=True, nogil=True)
def tail_cutoffs(weights: Any, first: Any, second: Any, scores: Any, budgets: Any, filled: Any, cutoffs: Any) -> Any:
    """Find, per replicate and FMR target, the highest score that must be refused.

    Args:
        weights: (R, I) how often each replicate drew each identity.
        first, second: (K,) identities of the comparisons, scores falling.
        scores: (K,) falling scores.
        budgets: (R, T) weight that may be accepted; rises along T.
        filled: (R,) weight per position of the list that repeat draws of one identity add (see `vertex_bootstrap`).
        cutoffs: (R, T) written: comparisons with score > cutoff are accepted.

    Returns:
        False when a replicate needs more than the K scores given.
    """
    enough = True
    for r in range(weights.shape[0]):
        row = weights[r]
        total = 0.0
        target = 0
        for i in range(scores.size):
            total += row[first[i]] * row[second[i]]
            while target < budgets.shape[1] and total + filled[r] * (i + 1) > budgets[r, target]:
                cutoffs[r, target] = scores[i]
                target += 1
            if target == budgets.shape[1]:
                break
        # a replicate without any weight never exceeds its budget of 0; the replicates after it still count
        enough &= target == budgets.shape[1]
    return enough


@njit(cache=True, nogil=True)
def accepted_weights(weights: Any, first: Any, second: Any, scores: Any, cells: Any, cutoffs: Any, sums: Any) -> None:
    """Sum, per replicate, target and cell, the weight of the comparisons above that replicate's cutoffs.

    Args:
        weights: (R, I) draws per identity.
        first, second: (K,) identities; equal for genuine comparisons, which weigh their identity once.
        scores: (K,) falling.
        cells: (K, S) cell of each comparison in each of S groupings, -1 for none.
        cutoffs: (R, T) falling along T; a comparison counts when score > cutoff.
        sums: (R, T, C) written.
    """
    n_targets = cutoffs.shape[1]
    for r in range(weights.shape[0]):
        row = weights[r]
        totals = np.zeros(sums.shape[2], np.float64)
        i = 0
        for target in range(n_targets):
            while i < scores.size and scores[i] > cutoffs[r, target]:
                u = first[i]
                v = second[i]
                weight = row[u] if u == v else row[u] * row[v]
                if weight != 0:
                    for s in range(cells.shape[1]):
                        if cells[i, s] >= 0:
                            totals[cells[i, s]] += weight
                i += 1
            sums[r, target] = totals


@njit(cache=True, nogil=True)
def equal_error_rates(
    weights: Any,
    genuine: Any,
    genuine_id: Any,
    genuine_total: Any,
    impostor: Any,
    first: Any,
    second: Any,
    impostor_total: Any,
    filled: Any,
    whole: Any,
    rates: Any,
) -> Any:
    """Find the equal error rate of each replicate by walking down both lists of falling scores until they cross.

    Every distinct score of either list is a threshold, tied scores are accepted together, and of the last threshold
    before the crossing and the first one after it the closer counts, as in `verification.equal_error_rate`.

    Args:
        weights: (R, I) draws per identity.
        genuine, genuine_id: (G,) falling scores and their identity.
        genuine_total: (R,) weight of all genuine comparisons.
        impostor, first, second: (K,) falling scores and their identities.
        impostor_total: (R,) weight of all impostor comparisons, repeat draws included.
        filled: (R,) as in `tail_cutoffs`.
        whole: whether the K impostor scores are all there are.
        rates: (R,) written.

    Returns:
        False when a replicate needs more impostor scores than given.
    """
    for r in range(weights.shape[0]):
        row = weights[r]
        false_accepts = 0.0
        true_accepts = 0.0
        g = 0
        i = 0
        fmr = 0.0
        fnmr = 1.0
        while fmr < fnmr:
            # past the last impostor score given, the next threshold is known only when there are no more
            if i == impostor.size and (g == genuine.size or not whole):
                return False
            if i == impostor.size or (g < genuine.size and genuine[g] > impostor[i]):
                threshold = genuine[g]
            else:
                threshold = impostor[i]
            while g < genuine.size and genuine[g] == threshold:
                true_accepts += row[genuine_id[g]]
                g += 1
            while i < impostor.size and impostor[i] == threshold:
                false_accepts += row[first[i]] * row[second[i]]
                i += 1
            if i == impostor.size and not whole:  # more ties may follow
                return False
            before_fmr = fmr
            before_fnmr = fnmr
            fmr = (false_accepts + filled[r] * i) / impostor_total[r]
            fnmr = 1.0 - true_accepts / genuine_total[r]
        here = 0.5 * (fmr + fnmr)
        before = 0.5 * (before_fmr + before_fnmr)
        lead = (fmr - fnmr) - (before_fnmr - before_fmr)
        if abs(lead) <= 1e-12:
            rates[r] = min(here, before)
        else:
            rates[r] = here if lead < 0 else before
    return True
