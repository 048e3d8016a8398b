"""Inner loop of the sums over impostor scores, compiled once with numba and cached on disk."""

from __future__ import annotations

from typing import Any

from numba import njit

FUNCTIONS = 4
"""Functions of the score that are summed; a constant, so that the compiler unrolls the loop over them."""


@njit(cache=True, nogil=True)
def add_scores(
    scores: Any, starts: Any, row_person: Any, column_person: Any, row_sizes: Any, column_sizes: Any, low: float,
    scale: float, centre: float, shift: int, values: Any, fine: Any, found: Any, row_sums: Any, column_sums: Any,
    squares: Any, products: Any, moments: Any,
) -> None:  # fmt: skip
    """Add a block of impostor scores to a fine histogram, to its moments, and to the sums of functions of the score.

    Args:
        scores: (R, C) float32 block; rows and columns hold whole identities.
        starts: (R,) first column that counts in each row, the same for all rows of an identity.
        row_person, column_person: (R,), (C,) number of each image's identity within the block, rising from 0.
        row_sizes, column_sizes: images of each of these identities, those that were not compared included.
        low, scale: a score lies in bin ``(score - low) * scale`` of `fine`.
        centre: moments are taken about it.
        shift: bins of `fine` per step of `values`, as a power of two.
        values: (S, FUNCTIONS) the functions, by step.
        fine: (B,) uint32, added to.
        found: (V, FUNCTIONS) zeros, for at least as many identities as the columns have; left as zeros.
        row_sums, column_sums: (U, FUNCTIONS), (V, FUNCTIONS) float64, added to: sums over the scores of each identity.
        squares, products: (FUNCTIONS,) float64, added to: sums over pairs of identities of k² and of k m, k the sum
            over the scores of a pair and m its comparisons, those that were not computed included.
        moments: (2,) float64, added to: sums of ``score - centre`` and of its square.
    """
    n_rows, n_columns = scores.shape
    last_bin = fine.size - 1
    low_row = 0
    while low_row < n_rows:
        u = row_person[low_row]
        start = starts[low_row]
        i = low_row
        while i < n_rows and row_person[i] == u:
            first = 0.0
            second = 0.0
            for j in range(start, n_columns):
                score = float(scores[i, j])
                place = min(max(int((score - low) * scale), 0), last_bin)
                fine[place] += 1
                step = place >> shift
                v = column_person[j]
                for f in range(FUNCTIONS):
                    found[v, f] += values[step, f]
                off = score - centre
                first += off
                second += off * off
            moments[0] += first
            moments[1] += second
            i += 1
        low_row = i
        if start >= n_columns:
            continue
        for v in range(column_person[start], column_person[n_columns - 1] + 1):
            size = float(row_sizes[u]) * float(column_sizes[v])
            for f in range(FUNCTIONS):
                k = found[v, f]
                row_sums[u, f] += k
                column_sums[v, f] += k
                squares[f] += k * k
                products[f] += k * size
                found[v, f] = 0.0
