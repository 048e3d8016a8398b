"""Inner loops of 1:N search, compiled once with numba and cached on disk."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def _before(a: float, i: int, b: float, j: int) -> bool:
    """Tell whether a candidate ranks below another: a lower score, or the same and a later row."""
    return a < b or (a == b and i > j)


@njit(cache=True, nogil=True)
def _sink(scores: Any, rows: Any, place: int, size: int) -> None:
    """Restore the heap, lowest candidate first, below one place."""
    score, row = scores[place], rows[place]
    while True:
        child = 2 * place + 1
        if child >= size:
            break
        if child + 1 < size and _before(scores[child + 1], rows[child + 1], scores[child], rows[child]):
            child += 1
        if not _before(scores[child], rows[child], score, row):
            break
        scores[place], rows[place] = scores[child], rows[child]
        place = child
    scores[place], rows[place] = score, row


@njit(cache=True, nogil=True)
def keep_best(block: Any, first: int, scores: Any, rows: Any) -> None:
    """Keep the best candidates of each probe among those kept so far and a block of scores.

    Args:
        block: (P, C) scores; columns are gallery rows from `first` on.
        first: gallery row of the first column; blocks come in rising order, so that an equal score never displaces.
        scores, rows: (P, k) heaps, the lowest candidate first; updated.
    """
    k = scores.shape[1]
    width = 16
    for i in range(block.shape[0]):
        floor = scores[i, 0]
        for start in range(0, block.shape[1], width):
            stop = min(start + width, block.shape[1])
            some = False
            for j in range(start, stop):  # without a branch, so that it is done several at a time
                some |= block[i, j] > floor
            if some:
                for j in range(start, stop):
                    if block[i, j] > floor:
                        scores[i, 0], rows[i, 0] = block[i, j], np.int32(first + j)
                        _sink(scores[i], rows[i], 0, k)
                        floor = scores[i, 0]


@njit(cache=True, nogil=True)
def sort_falling(scores: Any, rows: Any) -> None:
    """Turn heaps into lists of falling scores."""
    for i in range(scores.shape[0]):
        for size in range(scores.shape[1] - 1, 0, -1):
            scores[i, 0], scores[i, size] = scores[i, size], scores[i, 0]
            rows[i, 0], rows[i, size] = rows[i, size], rows[i, 0]
            _sink(scores[i], rows[i], 0, size)
