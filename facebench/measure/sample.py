"""The sample a run measures: scores ranked, cells numbered, and the bootstrap weights every interval shares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.measure.delta import Deltas
from facebench.measure.groups import Column, Grouping
from facebench.metrics import bootstrap
from facebench.metrics.bootstrap import RankedComparisons, Totals
from facebench.metrics.sorting import BLOCK, fallen_with_ends, falling_order
from facebench.metrics.streams import Stream, generator
from facebench.scoring import ScoreSet, compare_all, compare_pairs, failed_rows


@dataclass(frozen=True, eq=False)
class Pairs:
    """Listed comparisons: image indices, whether genuine, and their fold if the list has folds."""

    a: NDArray[np.integer[Any]]
    b: NDArray[np.integer[Any]]
    genuine: NDArray[np.bool_]
    fold: NDArray[np.int64] | None


@dataclass(frozen=True, eq=False)
class Images:
    """What is known of the images: all that rescoring needs besides the embeddings."""

    image_ids: tuple[str, ...]
    identities: tuple[str, ...] | None
    attributes: Mapping[str, Column]
    roles: tuple[str | None, ...] | None = None  # gallery, gallery-2 or probe, for 1:N search

    def some(self, rows: NDArray[np.int64]) -> Images:
        """Return some of the images, in the order of `rows`."""
        identities, roles = self.identities, self.roles
        return Images(
            tuple(self.image_ids[row] for row in rows),
            None if identities is None else tuple(identities[row] for row in rows),
            {name: [column[row] for row in rows] for name, column in self.attributes.items()},
            None if roles is None else tuple(roles[row] for row in rows),
        )

    @cached_property
    def identity(self) -> NDArray[np.int64]:
        """(N,) identity index; without labels every image is one of its own."""
        if self.identities is None:
            return np.arange(len(self.image_ids))
        index = {name: i for i, name in enumerate(dict.fromkeys(self.identities))}
        return np.array([index[name] for name in self.identities], np.int64)


@dataclass(frozen=True)
class Cell:
    """One cell of a grouping: its two groups, equal on the diagonal."""

    grouping: int
    first: int
    second: int


class Partition:
    """Images, and the cells into which groupings divide their comparisons.

    Column 0 of all cell arrays is the pooled sample, columns 1.. are the groupings; cells are numbered through.
    """

    def __init__(self, images: Images, groupings: list[Grouping]) -> None:
        self.images = images
        n = len(images.image_ids)
        self.groupings = [Grouping("all", ("all",), np.zeros(n, np.int32)), *groupings]
        self.cells = [
            Cell(number, g, h)
            for number, grouping in enumerate(self.groupings)
            for g in range(len(grouping.groups))
            for h in range(g, len(grouping.groups))
        ]
        self.index = {cell: i for i, cell in enumerate(self.cells)}
        self.has_identities = images.identities is not None
        self.identity_count = int(images.identity.max()) + 1 if n else 0
        self._people: dict[tuple[int, int], int] = {}

    def group_name(self, grouping: int, group: int) -> str:
        """Return the name of a group."""
        return self.groupings[grouping].groups[group]

    def n_identities(self, grouping: int, group: int) -> int | None:
        """Return how many identities have images in a group, or None without identity labels."""
        if not self.has_identities:
            return None
        if (grouping, group) not in self._people:
            inside = self.groupings[grouping].label == group
            self._people[grouping, group] = int(np.unique(self.images.identity[inside]).size)
        return self._people[grouping, group]


class Sample(Partition):
    """Scores of one condition, with everything that intervals over groups need."""

    def __init__(
        self, images: Images, scores: ScoreSet, groupings: list[Grouping], *, replicates: int, seed: int
    ) -> None:
        super().__init__(images, groupings)
        self._complete = scores.complete
        self._draws = replicates, seed
        self.genuine = self._ranked(scores.genuine, scores.genuine_ends)
        self.impostor = self._ranked(scores.impostor, scores.impostor_ends)

    @cached_property
    def weights(self) -> NDArray[np.int32] | None:
        """(R, I) how often each replicate drew each identity; None without identities."""
        replicates, seed = self._draws
        rng = generator(Stream.VERTEX_WEIGHTS, seed)
        return bootstrap.vertex_weights(self.identity_count, replicates, rng) if self.has_identities else None

    def _ranked(self, scores: NDArray[np.float32], ends: NDArray[np.integer[Any]]) -> RankedComparisons:
        from facebench.metrics.kernels import cells_of

        scores, first, second = _falling(scores, ends, complete=self._complete)
        kind = np.int8 if len(self.cells) <= 127 else np.int16 if len(self.cells) < 2**15 else np.int32
        # by column, since groupings are asked for one at a time; the first column is the one cell of all
        cells = np.zeros((scores.size, len(self.groupings)), kind, order="F")
        for column, grouping in list(enumerate(self.groupings))[1:]:
            table = np.full((len(grouping.groups) + 1,) * 2, -1, kind)  # the last row and column stand for "none"
            for cell, number in self.index.items():
                if cell.grouping == column:
                    table[cell.first, cell.second] = table[cell.second, cell.first] = number

            def write(
                rows: slice, label: Any = grouping.label, table: Any = table, own: Any = cells[:, column]
            ) -> None:
                cells_of(first[rows], second[rows], label, table, own[rows])

            bootstrap.in_threads(write, scores.size)
        identity = self.images.identity.astype(np.uint16 if self.identity_count <= 2**16 else np.int32)
        return RankedComparisons(scores, identity[first], identity[second], cells, len(self.cells))

    @cached_property
    def deltas(self) -> Deltas:
        """Influences of the rates, per identity."""
        columns = [cell.grouping for cell in self.cells]
        return Deltas(self.genuine, self.impostor, columns, self.identity_count)

    @cached_property
    def n_genuine(self) -> NDArray[np.int64]:
        """(C,) genuine comparisons per cell."""
        return _count(self.genuine.cells, len(self.cells))

    @cached_property
    def n_impostor(self) -> NDArray[np.int64]:
        """(C,) impostor comparisons per cell."""
        return _count(self.impostor.cells, len(self.cells))

    @cached_property
    def genuine_weight(self) -> NDArray[np.float64]:
        """(R, C) weight of the genuine comparisons per replicate."""
        assert self.weights is not None
        counts = np.zeros((self.weights.shape[1], len(self.cells)))
        for column in range(self.genuine.cells.shape[1]):
            known = self.genuine.cells[:, column] >= 0
            np.add.at(counts, (self.genuine.first[known], self.genuine.cells[known, column]), 1)
        product: NDArray[np.float64] = self.weights.astype(np.float64) @ counts
        return product

    @cached_property
    def impostor_totals(self) -> Totals:
        """Weight of the impostor comparisons per replicate and cell."""
        assert self.weights is not None
        if not self._complete:
            listed = self.impostor
            return bootstrap.listed_totals(self.weights, listed.first, listed.second, listed.cells, len(self.cells))
        ends = [
            np.array([(cell.first, cell.second) for cell in self.cells if cell.grouping == column])
            for column in range(len(self.groupings))
        ]
        labels = [grouping.label for grouping in self.groupings]
        return bootstrap.all_pairs_totals(self.weights, self.images.identity, labels, ends)

    def only(self, ranked: RankedComparisons, cell: int) -> RankedComparisons:
        """Return the comparisons of one cell."""
        column = self.cells[cell].grouping
        rows = ranked.cells[:, column] == cell
        return RankedComparisons(
            ranked.scores[rows], ranked.first[rows], ranked.second[rows], ranked.cells[rows], ranked.n_cells
        )

    def totals_of(self, cell: int) -> Totals:
        """Return the impostor totals of one cell."""
        totals = self.impostor_totals
        one = slice(cell, cell + 1)
        return Totals(totals.weight[:, one], totals.filled[:, one], totals.observed[one])


def _count(cells: NDArray[np.integer[Any]], n_cells: int) -> NDArray[np.int64]:
    counts = np.zeros(n_cells, np.int64)
    for column in range(cells.shape[1]):
        for start in range(0, len(cells), BLOCK):
            part = cells[start : start + BLOCK, column]
            counts += np.bincount(part[part >= 0], minlength=n_cells)
    return counts


def _falling(
    scores: NDArray[np.float32], ends: NDArray[np.integer[Any]], *, complete: bool
) -> tuple[NDArray[np.float32], NDArray[np.integer[Any]], NDArray[np.integer[Any]]]:
    """Return scores in falling order and the images at both ends of each comparison.

    Of all pairs, whose ends rise and fit 16 bits, the ends themselves are sorted behind the scores: equal scores keep
    their order all the same.
    """
    if complete and scores.dtype == np.float32 and ends.dtype == np.uint16:
        return fallen_with_ends(scores, ends.astype(np.uint16, copy=False))
    from facebench.metrics.kernels import take_ends

    order = falling_order(scores)
    first, second = np.empty(order.size, ends.dtype), np.empty(order.size, ends.dtype)

    def take(rows: slice) -> None:
        take_ends(order[rows], ends, first[rows], second[rows])

    bootstrap.in_threads(take, order.size)
    return scores[order], first, second


@dataclass(frozen=True, eq=False)
class Scored:
    """The scores of a run, computed from embeddings or read from a file.

    Attributes:
        scores: all comparisons; ``-inf`` where one failed.
        working: those that did not fail; None when none failed.
        listed: (P,) scores in the order of the pair list; None when all images were compared.
        pairs: that list.
    """

    scores: ScoreSet
    working: ScoreSet | None
    listed: NDArray[np.floating[Any]] | None
    pairs: Pairs | None


def score_embeddings(vectors: NDArray[np.float32], images: Images, pairs: Pairs | None, comparator: str) -> Scored:
    """Compare the images of a run; a comparison with a failed image (a row of NaN) fails."""
    scores = make_scores(vectors, images, pairs, comparator)
    listed = None
    if pairs is not None:
        listed = np.empty(pairs.genuine.size, scores.genuine.dtype)
        listed[pairs.genuine], listed[~pairs.genuine] = scores.genuine, scores.impostor
    failed = failed_rows(vectors)
    if not failed.any():
        return Scored(scores, None, listed, pairs)
    genuine = np.asarray(~failed[scores.genuine_ends].any(axis=1))
    impostor = np.asarray(~failed[scores.impostor_ends].any(axis=1))
    return Scored(scores, _some(scores, genuine, impostor), listed, pairs)


def make_scores(vectors: NDArray[np.float32], images: Images, pairs: Pairs | None, comparator: str) -> ScoreSet:
    """Compare the images of a run: the listed pairs, or all."""
    if pairs is None:
        return compare_all(vectors, images.identity, comparator)
    return _of_list(compare_pairs(vectors, pairs.a, pairs.b, comparator), pairs)


def score_listed(listed: NDArray[np.floating[Any]], pairs: Pairs) -> Scored:
    """Take the scores of a pair list as they are; ``-inf`` is a comparison that failed."""
    scores = _of_list(listed, pairs)
    genuine, impostor = (np.asarray(each > -np.inf) for each in (scores.genuine, scores.impostor))
    working = None if genuine.all() and impostor.all() else _some(scores, genuine, impostor)
    return Scored(scores, working, listed, pairs)


def _of_list(listed: NDArray[Any], pairs: Pairs) -> ScoreSet:
    g = pairs.genuine
    ends = []
    for rows in (g, ~g):
        both = np.empty((int(np.count_nonzero(rows)), 2), np.int32)
        both[:, 0], both[:, 1] = pairs.a[rows], pairs.b[rows]
        ends.append(both)
    return ScoreSet(listed[g], ends[0], listed[~g], ends[1], complete=False)


def _some(scores: ScoreSet, genuine: NDArray[np.bool_], impostor: NDArray[np.bool_]) -> ScoreSet:
    return ScoreSet(
        scores.genuine[genuine], scores.genuine_ends[genuine],
        scores.impostor[impostor], scores.impostor_ends[impostor], complete=False,
    )  # fmt: skip
