"""Compiled inner loops (numba): order statistics without sorting, and the vertex bootstrap.

Compiled once and cached on disk. All kernels release the interpreter lock, so threads share the work.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

_BUCKETS = 1 << 16


def largest(scores: NDArray[np.floating[Any]], ranks: Sequence[int]) -> list[tuple[float, int]]:
    """Return the values at some ranks of the scores in falling order, and how many scores exceed each, without sorting.

    One pass counts the scores by the top 16 bits of a key that orders like the float; a second gathers the few
    buckets the ranks fall into, and only these are sorted.

    Args:
        scores: (N,) float32 or float64 without NaN.
        ranks: 0 is the highest score, N - 1 the lowest.

    >>> largest(np.array([.3, .1, .2]), [0, 2])
    [(0.3, 0), (0.1, 2)]
    """
    scores = np.ascontiguousarray(scores)
    bits = scores.view(np.uint32 if scores.dtype == np.float32 else np.uint64)
    shift, sign = (16, 31) if scores.dtype == np.float32 else (48, 63)
    counts = _bucket_counts(bits, shift, sign)
    above = scores.size - np.cumsum(counts)  # scores in higher buckets
    buckets = [int(np.searchsorted(-above, -rank, side="left")) for rank in ranks]
    wanted = np.zeros(_BUCKETS, np.bool_)
    wanted[buckets] = True
    gathered = _gather(scores, bits, shift, sign, wanted, int(counts[wanted].sum()))
    falling = np.sort(gathered)[::-1]
    first: dict[int, int] = {}
    for bucket in sorted(set(buckets), reverse=True):
        first[bucket] = sum(int(counts[higher]) for higher in first)
    found = []
    for bucket, rank in zip(buckets, ranks, strict=True):
        inside = falling[first[bucket] : first[bucket] + int(counts[bucket])]
        value = inside[rank - int(above[bucket])]
        found.append((float(value), int(above[bucket] + np.searchsorted(-inside, -value, side="left"))))
    return found


@njit(cache=True, nogil=True, inline="always")
def _bucket(bit: Any, shift: Any, sign: Any) -> Any:
    """Map float bits to a bucket that rises with the float: flip all bits of negatives, the sign bit of the others.

    -0.0 goes to the bucket of +0.0, to which it is equal.
    """
    top = (bit >> shift) & 0xFFFF
    if (bit >> sign) & 1:
        return 0x8000 if (bit << 1) & ((1 << (sign + 1)) - 1) == 0 else 0xFFFF - top
    return top | 0x8000


@njit(cache=True, nogil=True)
def _bucket_counts(bits: Any, shift: Any, sign: Any) -> Any:
    # four tables, because consecutive scores often share a bucket and would wait for each other
    tables = np.zeros((4, 65536), np.int64)
    whole = bits.size - bits.size % 4
    for i in range(0, whole, 4):
        tables[0, _bucket(bits[i], shift, sign)] += 1
        tables[1, _bucket(bits[i + 1], shift, sign)] += 1
        tables[2, _bucket(bits[i + 2], shift, sign)] += 1
        tables[3, _bucket(bits[i + 3], shift, sign)] += 1
    for i in range(whole, bits.size):
        tables[0, _bucket(bits[i], shift, sign)] += 1
    return tables[0] + tables[1] + tables[2] + tables[3]


@njit(cache=True, nogil=True)
def _gather(scores: Any, bits: Any, shift: Any, sign: Any, wanted: Any, size: Any) -> Any:
    found = np.empty(size, scores.dtype)
    n = 0
    for i in range(bits.size):
        if wanted[_bucket(bits[i], shift, sign)]:
            found[n] = scores[i]
            n += 1
    return found


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
