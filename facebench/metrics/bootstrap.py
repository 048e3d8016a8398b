"""The vertex bootstrap: identities are drawn with replacement, and every rate is computed again.

Comparisons share images and identities, so they are far from independent; identities are the sampling unit. A
replicate draws as many identities as there are, with weights ``w`` (multinomial). A genuine comparison of identity u
then counts ``w_u`` times, an impostor comparison of u and v ``w_u w_v`` times. An identity drawn twice would also have
to be compared with its double; these comparisons do not exist and are filled with the rate observed on all data.
Source: Snijders and Borgatti, "Non-parametric standard errors and tests for network statistics", 1999.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from facebench.metrics.verification import Scores, held

Ints = NDArray[np.integer[Any]]
Floats = NDArray[np.float64]


def vertex_weights(n_identities: int, replicates: int, rng: np.random.Generator) -> NDArray[np.int32]:
    """Return (replicates, n_identities) draws per identity; every row sums to n_identities."""
    shares = np.full(n_identities, 1 / n_identities)
    return rng.multinomial(n_identities, shares, size=replicates).astype(np.int32)


@dataclass(frozen=True, eq=False)
class RankedComparisons:
    """Comparisons of one kind in falling order of score.

    Attributes:
        scores: (K,) falling.
        first, second: (K,) identity index of each end; equal for genuine comparisons.
        cells: (K, S) cell of each comparison in each of S groupings, numbered through over all groupings; -1 for none.
        n_cells: number of cells over all groupings.
    """

    scores: Scores
    first: NDArray[np.integer[Any]]
    second: NDArray[np.integer[Any]]
    cells: NDArray[np.integer[Any]]
    n_cells: int

    def head(self, size: int) -> RankedComparisons:
        """Return the `size` highest ones."""
        return RankedComparisons(
            self.scores[:size], self.first[:size], self.second[:size], self.cells[:size], self.n_cells
        )

    def reaching(self, threshold: float) -> int:
        """Return how many scores are at or above a threshold."""
        rising = self.scores[::-1]
        wanted = rising.dtype.type(held(threshold, rising.dtype))
        return int(rising.size - np.searchsorted(rising, wanted, side="left"))

    def of_cell(self, cell: int, column: int) -> tuple[Scores, Ints, Ints]:
        """Return scores, falling, and both identities of the comparisons of one cell of a grouping."""
        from facebench.metrics.kernels import select

        inside = self.cells[:, column]
        n = int(np.count_nonzero(inside == cell))
        found = np.empty(n, self.scores.dtype), np.empty(n, self.first.dtype), np.empty(n, self.second.dtype)
        select(inside, cell, self.scores, self.first, self.second, *found)
        return found

    def above(self, cutoff: float) -> int:
        """Return how many scores are above a cutoff."""
        rising = self.scores[::-1]
        kind = rising.dtype.type
        rounded = kind(cutoff)
        side: Literal["left", "right"] = "left" if float(rounded) > cutoff else "right"
        return int(rising.size - np.searchsorted(rising, rounded, side=side))


@dataclass(frozen=True, eq=False)
class Totals:
    """Weight of all comparisons per replicate and cell.

    Attributes:
        weight: (R, C) comparisons a replicate holds, filled ones included.
        filled: (R, C) how many of them are repeat draws of one identity.
        observed: (C,) comparisons in the data itself.
    """

    weight: Floats
    filled: Floats
    observed: NDArray[np.int64]


def all_pairs_totals(
    weights: NDArray[np.int32], identity: Ints, labels: Sequence[Ints], cell_ends: Sequence[Ints]
) -> Totals:
    """Return the totals of all impostor comparisons of a set of images, per cell, in closed form.

    With n_ug images of identity u in group g, cell (g, h) holds
    ``N_g N_h - sum_u w_u n_ug n_uh`` comparisons (halved when g = h), of which ``sum_u w_u (w_u - 1) n_ug n_uh``
    (halved) are repeat draws; ``N_g = sum_u w_u n_ug``.

    Args:
        weights: (R, I) draws per identity.
        identity: (N,) identity index of each image.
        labels: per grouping, (N,) group index of each image, -1 for none.
        cell_ends: per grouping, (C_s, 2) the two groups of each cell.
    """
    n_identities = weights.shape[1]
    w = weights.astype(np.float64)
    weight, filled, observed = [], [], []
    for group, ends in zip(labels, cell_ends, strict=True):
        n_groups = int(max(ends.max(initial=-1), group.max(initial=-1))) + 1
        known = group >= 0
        images = np.zeros((n_identities, n_groups))
        np.add.at(images, (identity[known], group[known]), 1)
        drawn = w @ images
        for g, h in ends:
            both = images[:, g] * images[:, h]
            share = 0.5 if g == h else 1.0
            weight.append(share * (drawn[:, g] * drawn[:, h] - w @ both))
            filled.append(share * ((w * (w - 1)) @ both))
            observed.append(round(share * float(images[:, g].sum() * images[:, h].sum() - both.sum())))
    return _totals(weights, weight, filled, observed)


def listed_totals(weights: NDArray[np.int32], first: Ints, second: Ints, cells: Ints, n_cells: int) -> Totals:
    """Return the totals of listed comparisons per cell; identities drawn twice add nothing that was not listed."""
    weight = np.zeros((weights.shape[0], n_cells))
    observed = np.zeros(n_cells, np.int64)
    genuine = first == second
    for column in range(cells.shape[1]):
        known = cells[:, column] >= 0
        observed += np.bincount(cells[known, column], minlength=n_cells)
        for r, row in enumerate(weights):
            w = np.where(genuine, row[first], row[first] * row[second])[known]
            weight[r] += np.bincount(cells[known, column], weights=w, minlength=n_cells)
    return Totals(weight, np.zeros_like(weight), observed)


def _totals(weights: Any, weight: list[Floats], filled: list[Floats], observed: list[int]) -> Totals:
    if not weight:
        empty = np.zeros((weights.shape[0], 0))
        return Totals(empty, empty, np.zeros(0, np.int64))
    return Totals(np.stack(weight, 1), np.stack(filled, 1), np.array(observed, np.int64))


def replicate_cutoffs(
    weights: NDArray[np.int32], impostor: RankedComparisons, totals: Totals, fmr_targets: Sequence[float]
) -> Floats:
    """Return (R, T): the highest impostor score each replicate must refuse, per FMR target.

    Args:
        impostor: the ranked impostor comparisons the threshold is set on.
        totals: of that one cell, C = 1.
        fmr_targets: rising.
    """
    from facebench.metrics.kernels import tail_cutoffs

    # a hair more than the product: a whole number of comparisons may fall short of itself in binary (.29 * 100)
    budgets = np.outer(totals.weight[:, 0], np.asarray(fmr_targets)) * (1 + 1e-10)
    filled = totals.filled[:, 0] / max(int(totals.observed[0]), 1)
    cutoffs = np.full(budgets.shape, -np.inf)
    size = _first_guess(impostor.scores.size, max(fmr_targets))
    band = _band(weights)
    while True:
        head = impostor.head(size)

        def work(rows: slice, head: RankedComparisons = head) -> bool:
            return bool(
                tail_cutoffs(
                    weights[rows], _turned(weights[rows]), head.first, head.second, head.scores, budgets[rows],
                    filled[rows], band, cutoffs[rows],
                )
            )  # fmt: skip

        if all(in_threads(work, weights.shape[0])) or size >= impostor.scores.size:
            return cutoffs
        size = min(impostor.scores.size, size * 4)


def replicate_accepts(weights: NDArray[np.int32], ranked: RankedComparisons, cutoffs: Floats) -> Floats:
    """Return (R, T, C): weight accepted per replicate, cutoff and cell; a comparison counts when score > cutoff."""
    from facebench.metrics.kernels import accepted_weights

    order = np.argsort(-cutoffs, axis=1, kind="stable")
    falling = np.take_along_axis(cutoffs, order, axis=1)
    sums = np.zeros((*cutoffs.shape, ranked.n_cells))
    size = ranked.above(float(cutoffs.min())) if cutoffs.size else 0
    head = ranked.head(size)

    band = _band(weights)
    combination, cells = _combinations(head.cells)

    def work(rows: slice) -> None:
        accepted_weights(
            weights[rows], _turned(weights[rows]), head.first, head.second, head.scores, combination, cells,
            falling[rows], band, sums[rows],
        )  # fmt: skip

    in_threads(work, weights.shape[0])
    return np.take_along_axis(sums, np.argsort(order, axis=1)[:, :, None], axis=1)


def replicate_equal_error_rates(
    weights: NDArray[np.int32], genuine: RankedComparisons, impostor: RankedComparisons, totals: Totals
) -> Floats:
    """Return (R,) the equal error rate of each replicate; NaN for a replicate without genuine comparisons."""
    from facebench.metrics.kernels import equal_error_rates

    per_identity = np.bincount(genuine.first, minlength=weights.shape[1])
    genuine_total = weights @ per_identity.astype(np.float64)
    filled = totals.filled[:, 0] / max(int(totals.observed[0]), 1)
    rates = np.full(weights.shape[0], np.nan)
    usable = np.flatnonzero((genuine_total > 0) & (totals.weight[:, 0] > 0))
    drawn, found = weights[usable], np.zeros(usable.size)
    size = _first_guess(impostor.scores.size, 0.1)
    while usable.size:
        head = impostor.head(size)
        whole = size >= impostor.scores.size

        def work(rows: slice, head: RankedComparisons = head, whole: bool = whole) -> bool:
            return bool(
                equal_error_rates(
                    drawn[rows], genuine.scores, genuine.first, genuine_total[usable][rows], head.scores,
                    head.first, head.second, totals.weight[usable, 0][rows], filled[usable][rows], whole,
                    found[rows],
                )
            )  # fmt: skip

        if all(in_threads(work, drawn.shape[0])) or whole:
            rates[usable] = found
            break
        size = min(impostor.scores.size, size * 4)
    return rates


_MOST_COMBINATIONS = 1 << 24  # of cells of several groupings, as a table
_BAND = 1 << 14  # comparisons: what a replicate walks through at a threshold takes less than the sums


def _band(weights: NDArray[np.int32]) -> int:
    """Return how many comparisons make a band of the kernels: the weight of all must fit 32 bits."""
    return max(1, min(_BAND, (2**31 - 1) // max(int(weights.max(initial=1)), 1) ** 2))


def _combinations(cells: Ints) -> tuple[NDArray[np.int32], Ints]:
    """Return (K,) the combination of cells of each comparison, and (M, S) the cells of each combination."""
    size, width = cells.shape
    key = np.zeros(size, np.int64)
    radix = 1
    for column in range(width):
        low, high = int(cells[:, column].min(initial=0)), int(cells[:, column].max(initial=0))
        if radix * (high - low + 1) > _MOST_COMBINATIONS:  # too many to number: every comparison is one of its own
            return np.arange(size, dtype=np.int32), cells
        key += (cells[:, column].astype(np.int64) - low) * radix
        radix *= high - low + 1
    table = np.zeros(radix, np.int32)
    table[key] = 1
    found = np.flatnonzero(table)
    table[found] = np.arange(found.size, dtype=np.int32)
    own = table[key]
    first = np.empty(found.size, np.int64)
    first[own] = np.arange(size)
    return own, cells[first]


def _turned(weights: NDArray[np.int32]) -> NDArray[np.int32]:
    return np.ascontiguousarray(weights.T)


def _first_guess(size: int, share: float) -> int:
    """Return how much of the ranked list replicates usually need: the tail twice over, and some for small samples."""
    return min(size, int(2 * share * size) + 1000)


def in_threads(work: Callable[[slice], Any], n_rows: int) -> list[Any]:
    """Run `work` on slices of the rows in threads and return its answers in order; the split never changes them."""
    n_threads = max(1, min(os.cpu_count() or 1, n_rows))
    edges = np.linspace(0, n_rows, n_threads + 1).astype(int)
    slices = [slice(low, high) for low, high in pairwise(edges)]
    with ThreadPoolExecutor(n_threads) as pool:
        return list(pool.map(work, slices))
