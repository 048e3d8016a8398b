"""Inner loop of the sums over impostor scores, compiled once with numba and cached on disk."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

FUNCTIONS = 4
"""Functions of the score that are summed: four, written out."""


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
    places = np.empty(n_columns, np.uint32)  # of a row, in a loop of its own: the processor does several at a time
    top = float(fine.size - 1)
    low_row = 0
    while low_row < n_rows:
        u = row_person[low_row]
        start = starts[low_row]
        alone = low_row + 1 == n_rows or row_person[low_row + 1] != u
        i = low_row
        while i < n_rows and row_person[i] == u:
            for j in range(start, n_columns):
                places[j] = np.uint32(min(max((float(scores[i, j]) - low) * scale, 0.0), top))
            _add_moments(scores[i], start, centre, moments)
            # sums of the row are kept out of memory: the compiler cannot know that arrays do not overlap
            own_a = own_b = own_c = own_d = 0.0
            aa = bb = cc = dd = 0.0
            am = bm = cm = dm = 0.0
            j = start
            while j < n_columns:
                v = column_person[j]
                a = b = c = d = 0.0
                while j < n_columns and column_person[j] == v:
                    place = places[j]
                    fine[place] += 1
                    step = place >> shift
                    a += values[step, 0]
                    b += values[step, 1]
                    c += values[step, 2]
                    d += values[step, 3]
                    j += 1
                if alone:
                    size = float(column_sizes[v])
                    own_a, own_b, own_c, own_d = own_a + a, own_b + b, own_c + c, own_d + d
                    aa, bb, cc, dd = aa + a * a, bb + b * b, cc + c * c, dd + d * d
                    am, bm, cm, dm = am + a * size, bm + b * size, cm + c * size, dm + d * size
                    column_sums[v, 0] += a
                    column_sums[v, 1] += b
                    column_sums[v, 2] += c
                    column_sums[v, 3] += d
                else:
                    found[v, 0] += a
                    found[v, 1] += b
                    found[v, 2] += c
                    found[v, 3] += d
            if alone:
                _add(row_sums[u], 1.0, own_a, own_b, own_c, own_d)
                _add(squares, 1.0, aa, bb, cc, dd)
                _add(products, float(row_sizes[u]), am, bm, cm, dm)
            i += 1
        low_row = i
        if alone or start >= n_columns:
            continue
        for v in range(column_person[start], column_person[n_columns - 1] + 1):
            a, b, c, d = found[v, 0], found[v, 1], found[v, 2], found[v, 3]
            _add(row_sums[u], 1.0, a, b, c, d)
            _add(column_sums[v], 1.0, a, b, c, d)
            _add(squares, 1.0, a * a, b * b, c * c, d * d)
            _add(products, float(row_sizes[u]) * float(column_sizes[v]), a, b, c, d)
            found[v] = 0.0


@njit(cache=True, nogil=True)
def _add(sums: Any, times: float, a: float, b: float, c: float, d: float) -> None:
    sums[0] += times * a
    sums[1] += times * b
    sums[2] += times * c
    sums[3] += times * d


@njit(cache=True, nogil=True)
def _add_moments(row: Any, start: int, centre: float, moments: Any) -> None:
    """Add a row to the moments, in four sums that do not wait for each other."""
    a = b = c = d = 0.0
    aa = bb = cc = dd = 0.0
    j = start
    while j + 4 <= row.size:
        e, f, g, h = row[j] - centre, row[j + 1] - centre, row[j + 2] - centre, row[j + 3] - centre
        a, b, c, d = a + e, b + f, c + g, d + h
        aa, bb, cc, dd = aa + e * e, bb + f * f, cc + g * g, dd + h * h
        j += 4
    while j < row.size:
        e = row[j] - centre
        a, aa = a + e, aa + e * e
        j += 1
    moments[0] += a + b + c + d
    moments[1] += aa + bb + cc + dd
