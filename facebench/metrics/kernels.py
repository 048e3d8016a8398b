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

    Only the tail down to the lowest rank is selected and sorted; the rest stays unsorted. Falling scores stay as they
    are.

    Args:
        scores: (N,) float32 or float64 without NaN.
        ranks: 0 is the highest score, N - 1 the lowest.

    >>> largest(np.array([.3, .1, .2]), [0, 2])
    [(0.3, 0), (0.1, 2)]
    """
    lowest = scores.size - 1 - max(ranks)
    if (scores[1:] <= scores[:-1]).all():
        tail = scores[: scores.size - lowest][::-1]
    else:
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
def mark(first: Any, second: Any, present: Any) -> None:
    """Set `present` at both ends of every comparison."""
    for i in range(first.size):
        present[first[i]] = True
        present[second[i]] = True


@njit(cache=True, nogil=True)
def cells_of(first: Any, second: Any, label: Any, table: Any, cells: Any) -> None:
    """Write the cell of each comparison: `table` at the labels of both images, of which the last stands for none."""
    for i in range(first.size):
        cells[i] = table[label[first[i]], label[second[i]]]


@njit(cache=True, nogil=True)
def select(
    cells: Any, cell: int, scores: Any, first: Any, second: Any, own_scores: Any, own_first: Any, own_second: Any
) -> None:
    """Write scores and ends of the comparisons of one cell, in their order, into arrays of that length."""
    n = 0
    for i in range(cells.size):
        if cells[i] == cell:
            own_scores[n], own_first[n], own_second[n] = scores[i], first[i], second[i]
            n += 1


@njit(cache=True, nogil=True)
def number_pairs(first: Any, second: Any, place: Any, n: int, table: Any) -> None:
    """Count the comparisons of each pair of identities in `table` (n * n), by the places of the lower and the higher.

    Args:
        first, second: (P,) identities.
        place: of each identity among the n that occur.
        table: (n * n,) int32 zeros, added to.
    """
    for i in range(first.size):
        a, b = place[first[i]], place[second[i]]
        table[min(a, b) * n + max(a, b)] += 1


@njit(cache=True, nogil=True)
def pairs_of(first: Any, second: Any, place: Any, n: int, table: Any, found: Any) -> None:
    """Write the entry of `table` (n * n) for the pair of each comparison, see `number_pairs`, into `found` (P,)."""
    for i in range(first.size):
        a, b = place[first[i]], place[second[i]]
        found[i] = table[min(a, b) * n + max(a, b)]


@njit(cache=True, nogil=True)
def add_at(index: Any, values: Any, sums: Any) -> None:
    """Add each value to the sum of its index, one after the other, as `bincount` does."""
    for i in range(index.size):
        sums[index[i]] += values[i]


@njit(cache=True, nogil=True)
def count_pairs(first: Any, second: Any, place: Any, n: int, table: Any, counts: Any) -> None:
    """Count the comparisons of each pair, numbered in `table` (n * n) as in `pairs_of`, in `counts` (U,)."""
    for i in range(first.size):
        a, b = place[first[i]], place[second[i]]
        counts[table[min(a, b) * n + max(a, b)]] += 1


@njit(cache=True, nogil=True)
def take_ends(order: Any, ends: Any, first: Any, second: Any) -> None:
    """Write both ends (P, 2) of comparisons, in an order, into arrays of their own."""
    for i in range(order.size):
        first[i] = ends[order[i], 0]
        second[i] = ends[order[i], 1]


@njit(cache=True, nogil=True)
def sums_and_squares_at_ends(first: Any, second: Any, values: Any, squares: Any, n: int) -> Any:
    """Write the squares of the values (U,) and return what `sums_at_ends` gives of the values and of the squares."""
    here = np.zeros((n, 2), np.float64)
    there = np.zeros((n, 2), np.float64)
    for i in range(values.size):
        value = values[i]
        square = value * value
        squares[i] = square
        here[first[i], 0] += value
        here[first[i], 1] += square
        there[second[i], 0] += value
        there[second[i], 1] += square
    return here + there


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
def tail_cutoffs(
    weights: Any, draws: Any, first: Any, second: Any, scores: Any, budgets: Any, filled: Any, band: int, cutoffs: Any
) -> bool:
    """Find, per replicate and FMR target, the highest score that must be refused.

    Whole bands of the list are summed for all replicates at once, in vector instructions; a replicate walks one by one
    only through the bands in which it exceeds a budget. Weights are whole numbers, so the order of sums is no matter.

    Args:
        weights: (R, I) how often each replicate drew each identity.
        draws: (I, R) the same, turned.
        first, second: (K,) identities of the comparisons, scores falling.
        scores: (K,) falling scores.
        budgets: (R, T) weight that may be accepted; rises along T.
        filled: (R,) weight per position of the list that repeat draws of one identity add (see `vertex_bootstrap`).
        band: comparisons in a band, few enough that 32 bits hold their weight.
        cutoffs: (R, T) written: comparisons with score > cutoff are accepted.

    Returns:
        False when a replicate needs more than the K scores given.
    """
    n, n_targets = weights.shape[0], budgets.shape[1]
    totals = np.zeros(n, np.float64)
    target = np.zeros(n, np.int64)
    inside = np.empty(n, np.int32)
    left = n
    for start in range(0, scores.size, band):
        if not left:
            break
        stop = min(start + band, scores.size)
        inside[:] = 0
        for i in range(start, stop):
            a, b = draws[first[i]], draws[second[i]]
            for r in range(n):
                inside[r] += a[r] * b[r]
        for r in range(n):
            t = target[r]
            # sums rise along the list, so the last one of a band tells whether any exceeds the budget
            if t < n_targets and totals[r] + inside[r] + filled[r] * stop > budgets[r, t]:
                row = weights[r]
                total = totals[r]
                for i in range(start, stop):
                    total += row[first[i]] * row[second[i]]
                    while t < n_targets and total + filled[r] * (i + 1) > budgets[r, t]:
                        cutoffs[r, t] = scores[i]
                        t += 1
                    if t == n_targets:
                        left -= 1
                        break
                target[r] = t
            totals[r] += inside[r]
    # a replicate without any weight never exceeds its budget of 0; the others still count
    return bool(left == 0)


@njit(cache=True, nogil=True)
def accepted_weights(
    weights: Any, draws: Any, first: Any, second: Any, scores: Any, combination: Any, cells: Any, cutoffs: Any,
    band: int, sums: Any,
) -> None:  # fmt: skip
    """Sum, per replicate, target and cell, the weight of the comparisons above that replicate's cutoffs.

    Args:
        weights, draws: (R, I) and (I, R) draws per identity, as in `tail_cutoffs`.
        first, second: (K,) identities; equal for genuine comparisons, which weigh their identity once.
        scores: (K,) falling.
        combination: (K,) which cells each comparison lies in, as the row of `cells`.
        cells: (M, S) the cell in each of S groupings, -1 for none, of every combination of cells that occurs.
        cutoffs: (R, T) falling along T; a comparison counts when score > cutoff.
        band: as in `tail_cutoffs`.
        sums: (R, T, C) written.
    """
    n, n_targets, n_cells = sums.shape[0], cutoffs.shape[1], sums.shape[2]
    totals = np.zeros((n_cells, n), np.float64)
    inside = np.empty((cells.shape[0], n), np.int32)
    own = np.empty(n_cells, np.float64)
    target = np.zeros(n, np.int64)
    for start in range(0, scores.size, band):
        stop = min(start + band, scores.size)
        for r in range(n):
            t = target[r]
            if t == n_targets or cutoffs[r, t] < scores[stop - 1]:
                continue
            own[:] = totals[:, r]  # the list above a cutoff ends in this band
            row = weights[r]
            i = start
            while t < n_targets and cutoffs[r, t] >= scores[stop - 1]:
                while scores[i] > cutoffs[r, t]:
                    u, v = first[i], second[i]
                    weight = row[u] if u == v else row[u] * row[v]
                    for s in range(cells.shape[1]):
                        if cells[combination[i], s] >= 0:
                            own[cells[combination[i], s]] += weight
                    i += 1
                sums[r, t] = own
                t += 1
            target[r] = t
        inside[:] = 0
        for i in range(start, stop):
            u, v = first[i], second[i]
            a, b, into = draws[u], draws[v], inside[combination[i]]
            if u == v:
                for r in range(n):
                    into[r] += a[r]
            else:
                for r in range(n):
                    into[r] += a[r] * b[r]
        for m in range(cells.shape[0]):
            for s in range(cells.shape[1]):
                if cells[m, s] >= 0:
                    for r in range(n):
                        totals[cells[m, s], r] += inside[m, r]
    for r in range(n):
        for t in range(target[r], n_targets):
            sums[r, t] = totals[:, r]


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
