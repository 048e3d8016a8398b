"""All impostor comparisons of a run in blocks, summed per pair of identities: what variances over identities need."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facebench.measure.rates import Rate
from facebench.measure.sample import Images
from facebench.metrics import clusters
from facebench.scoring import similarity

Floats = NDArray[np.float64]
_ROWS = 512
_COLUMNS = 1 << 14


@dataclass(frozen=True, eq=False)
class Block:
    """Some images against some that come after them, sorted by identity.

    Attributes:
        rows, columns: image indices.
        impostor: (rows, columns) each unordered pair of images of different identities once.
    """

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    impostor: NDArray[np.bool_]
    _row_starts: NDArray[np.int64]
    _column_starts: NDArray[np.int64]
    row_identities: NDArray[np.int64]
    column_identities: NDArray[np.int64]

    def per_pair(self, values: NDArray[np.generic]) -> Floats:
        """Return (row identities, column identities) sums of a (rows, columns) array."""
        by_column = np.add.reduceat(values.astype(np.float64), self._column_starts, axis=1)
        summed: Floats = np.add.reduceat(by_column, self._row_starts, axis=0)
        return summed


def blocks(identity: NDArray[np.int64]) -> Iterator[Block]:
    """Yield blocks that together hold every impostor comparison once; an identity is never split.

    The first block of some rows begins with those rows as columns, in the same order.
    """
    order = np.argsort(identity, kind="stable")
    sorted_ids = identity[order]
    starts = np.flatnonzero(np.r_[True, np.diff(sorted_ids) != 0])
    ends = np.r_[starts[1:], order.size]
    first = 0
    while first < starts.size:
        last = _last(starts, ends, first, _ROWS)
        low, high = starts[first], ends[last]
        left = first
        while left < starts.size:
            right = max(last, _last(starts, ends, left, _COLUMNS))
            begin, end = starts[left], ends[right]
            yield Block(
                order[low:high], order[begin:end], sorted_ids[low:high, None] < sorted_ids[None, begin:end],
                starts[first : last + 1] - low, starts[left : right + 1] - begin,
                sorted_ids[starts[first : last + 1]], sorted_ids[starts[left : right + 1]],
            )  # fmt: skip
            left = right + 1
        first = last + 1


def _last(starts: NDArray[np.int64], ends: NDArray[np.int64], first: int, most: int) -> int:
    """Return the last identity, from the first on, with which the images are not too many; at least the first."""
    return max(first, int(np.searchsorted(ends, starts[first] + most, side="right")) - 1)


class PairSums:
    """Errors and comparisons of one set of impostor comparisons, ready for a rate with its variance."""

    def __init__(self, n_identities: int) -> None:
        self._errors, self._comparisons = np.zeros(n_identities), np.zeros(n_identities)
        # per identity, sums over its pairs of the products of errors and comparisons
        self._ee, self._en, self._nn = np.zeros(n_identities), np.zeros(n_identities), np.zeros(n_identities)

    def add(self, block: Block, inside: NDArray[np.bool_], errors: NDArray[np.bool_]) -> None:
        """Count the comparisons of a block that are inside, and those of them that are errors."""
        n = block.per_pair(inside)
        if not n.any():
            return
        e = block.per_pair(errors & inside)
        sums = (self._errors, e), (self._comparisons, n), (self._ee, e * e), (self._en, e * n), (self._nn, n * n)
        for totals, values in sums:
            np.add.at(totals, block.row_identities, values.sum(1))
            np.add.at(totals, block.column_identities, values.sum(0))

    @property
    def n_identities(self) -> int:
        """Identities with a comparison."""
        return int((self._comparisons > 0).sum())

    def rate(self, design_effect: float) -> Rate | None:
        """Return the rate with its variance over identities (see `facebench.metrics.clusters`); None when empty."""
        comparisons = round(self._comparisons.sum() / 2)
        if not comparisons:
            return None
        errors, n = round(self._errors.sum() / 2), self.n_identities
        p = errors / comparisons
        kept = 1 - np.minimum(self._comparisons / comparisons, clusters.MOST_LEVERAGE)
        squares = (self._ee - 2 * p * self._en + p * p * self._nn) / comparisons**2
        together = (self._errors - p * self._comparisons) / kept / comparisons
        variance = clusters.Influence(together, squares / kept**2, float(squares.sum()) / 2).variance
        return Rate(errors, comparisons, variance, n // 2, design_effect, "wilson-vertex")


Inside = Callable[[Block], NDArray[np.bool_]]


def count_rates(
    vectors: NDArray[np.float32],
    images: Images,
    comparator: str,
    thresholds: Sequence[float],
    subsets: Sequence[Inside],
    design_effects: Sequence[float],
) -> list[list[tuple[Rate | None, int]]]:
    """Return, per subset of the impostor comparisons and threshold, the rate and the identities it rests on.

    Args:
        subsets: each takes a block and tells which of its (rows, columns) comparisons belong to it.
        design_effects: per threshold, assumed for a rate without errors.
    """
    n = int(images.identity.max()) + 1
    sums = [[PairSums(n) for _ in thresholds] for _ in subsets]
    for block in blocks(images.identity):
        scores = similarity(vectors[block.rows], vectors[block.columns], comparator)
        inside = [block.impostor & subset(block) for subset in subsets]
        for t, threshold in enumerate(thresholds):
            errors = scores >= np.float32(threshold)
            for subset_sums, mask in zip(sums, inside, strict=True):
                subset_sums[t].add(block, mask, errors)
    return [
        [(each.rate(effect), each.n_identities) for each, effect in zip(row, design_effects, strict=True)]
        for row in sums
    ]
