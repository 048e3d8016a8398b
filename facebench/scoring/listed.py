"""Listed comparisons: tiles of which much is listed are matrix products, all others go pair by pair.

A list such as that of IJB-C names a fifth of all pairs of its templates. Gathering two embeddings for each of them
moves far more memory than multiplying whole blocks, so such tiles are multiplied and the listed scores are picked out.
Both ways take dot products in float64 and round them once, to float32.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.floating[Any]]
Ints = NDArray[np.integer[Any]]

SIDE = 1024  # embeddings along each side of a tile
DENSE = 1 / 64
"""Share of a tile from which multiplying all of it takes less time than its listed pairs one by one (measured)."""
ROWS = 2048  # pairs compared one by one at a time: what is gathered for them stays in the cache
CHUNK = 1 << 22  # pairs of the list that are sorted into tiles at a time


def by_pair(
    vectors: Vectors, a: Ints, b: Ints, compare: Callable[[Vectors, Vectors], NDArray[np.float32]]
) -> NDArray[np.float32]:
    """Return (P,) scores of listed pairs, each from its own two rows."""
    scores = np.empty(a.size, np.float32)
    for start in range(0, a.size, ROWS):
        rows = slice(start, start + ROWS)
        scores[rows] = compare(vectors[a[rows]], vectors[b[rows]])
    return scores


def by_tile(
    vectors: Vectors,
    a: Ints,
    b: Ints,
    compare: Callable[[Vectors, Vectors], NDArray[np.float32]],
    combine: Callable[[NDArray[np.float64], Vectors, Vectors], NDArray[np.float64]],
) -> NDArray[np.float32]:
    """Return (P,) scores of listed pairs; the number of threads changes no bit of them.

    Args:
        compare: scores of rows with rows, for tiles of which little is listed.
        combine: (M, N) scores from the products of (M, D) with (N, D) embeddings, in float64; it may change them.
    """
    scores = np.empty(a.size, np.float32)
    for start in range(0, a.size, CHUNK):
        rows = slice(start, start + CHUNK)
        _chunk(vectors, a[rows], b[rows], compare, combine, scores[rows])
    return scores


def _chunk(
    vectors: Vectors, first: Ints, second: Ints, compare: Any, combine: Any, scores: NDArray[np.float32]
) -> None:
    from threadpoolctl import threadpool_limits

    low, high = np.minimum(first, second), np.maximum(first, second)
    dense, sparse = _tiles(low, high, vectors.shape[0])

    def multiply(pairs: Ints) -> None:
        left, right = low[pairs], high[pairs]
        top, across = left.min(), right.min()
        rows = vectors[top : left.max() + 1].astype(np.float64)
        columns = vectors[across : right.max() + 1].astype(np.float64)
        found = combine(rows @ columns.T, rows, columns)[left - top, right - across]
        scores[pairs] = np.where(np.isnan(found), -np.inf, found)

    if dense:
        with threadpool_limits(1), ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            list(pool.map(multiply, dense))
    scores[sparse] = by_pair(vectors, first[sparse], second[sparse], compare)


def _tiles(low: Ints, high: Ints, n: int) -> tuple[list[Ints], Ints]:
    """Return the pairs of each tile of which enough is listed, and all other pairs in the order of the list."""
    if low.size < ROWS:
        return [], np.arange(low.size)
    wide = -(-n // SIDE)
    tile = ((low // SIDE) * wide + high // SIDE).astype(np.min_scalar_type(wide * wide))
    order = np.argsort(tile, kind="stable").astype(np.int32)  # of 16 bits: a radix sort
    edges = [0, *(np.flatnonzero(np.diff(tile[order])) + 1).tolist(), order.size]
    groups: list[Ints] = [order[begin:end] for begin, end in pairwise(edges) if end > begin]
    dense = [pairs for pairs in groups if pairs.size >= max(ROWS, DENSE * _area(low[pairs], high[pairs]))]
    left = np.ones(low.size, bool)
    for pairs in dense:
        left[pairs] = False
    return dense, np.flatnonzero(left)


def _area(low: Ints, high: Ints) -> int:
    return int((low.max() - low.min() + 1) * (high.max() - high.min() + 1))
