"""How the engine lays out images: people together, groups together, cut into blocks that never cut a person."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.errors import InputError

Ints = NDArray[np.integer[Any]]
Product = Callable[[NDArray[Any], NDArray[Any]], NDArray[Any]]
"""Rows (R, D) and columns (C, D) to their products (R, C)."""

BLOCK = 1024
PANELS = 24
MAX_PER_PERSON = 4096


def numpy_product(rows: NDArray[Any], columns: NDArray[Any]) -> NDArray[Any]:
    """Return the products of rows and columns with numpy's BLAS, the same bits wherever the arrays came from.

    numpy multiplies a matrix by itself with another routine, which rounds differently, but only where the array is
    aligned; one that arrived from another process may not be. Two copies always take the one routine.
    """
    if np.may_share_memory(rows, columns):
        columns = columns.copy()
    product: NDArray[Any] = rows @ columns.T
    return product


@dataclass(frozen=True, eq=False)
class Panel:
    """A range of whole blocks."""

    edges: tuple[int, ...]  # of its blocks, rising

    @property
    def first(self) -> int:
        """Where the panel begins."""
        return self.edges[0]

    @property
    def last(self) -> int:
        """Where the panel ends."""
        return self.edges[-1]


@dataclass(frozen=True, eq=False)
class Arrangement:
    """Images in the order in which they are compared.

    The order is by the labels of the identity's first image, then identity, then the image's own labels: most blocks
    lie in one cell of every grouping, and only blocks on the diagonal hold comparisons that do not count.

    Attributes:
        vectors: (N, D) rows whose products are scores; float32 for cosines, else float64.
        image: (N,) number of each row in the original order.
        person_end: (N,) where the images of the same identity end.
        segment: (N,) number of the run of images with one identity and one set of labels.
        segment_person: (Sg,) identity of each segment; identities are numbered in this order.
        labels: (Sg, G) group of each segment in each grouping, -1 for none.
        identity: (I,) original number of each identity.
        panels: of whole blocks.
        euclidean: scores are negative distances.
        product: how blocks are multiplied.
    """

    vectors: NDArray[Any]
    image: NDArray[np.int64]
    person_end: NDArray[np.int64]
    segment: NDArray[np.int64]
    segment_person: NDArray[np.int64]
    labels: NDArray[np.int32]
    identity: NDArray[np.int64]
    panels: tuple[Panel, ...]
    euclidean: bool
    product: Product

    @property
    def n_comparisons(self) -> int:
        """Unordered pairs of images."""
        n = self.image.size
        return n * (n - 1) // 2

    def tasks(self) -> list[tuple[int, int]]:
        """Return the pairs of panels that cover every comparison once."""
        return [(a, b) for a in range(len(self.panels)) for b in range(a, len(self.panels))]

    def segments(self, panel: int) -> slice:
        """Return the segments of a panel."""
        part = self.panels[panel]
        return slice(int(self.segment[part.first]), int(self.segment[part.last - 1]) + 1)

    def starts(self, rows: slice, first_column: int) -> NDArray[np.int64]:
        """Return (R,) the first column of a block that is an impostor comparison, row by row."""
        return np.maximum(self.person_end[rows] - first_column, 0)

    def scores(self, rows: slice, columns: slice) -> NDArray[np.float32]:
        """Return (R, C) float32 scores of a block; the same block has the same bits each time and everywhere."""
        left, right = (np.require(self.vectors[part], requirements=("C", "A")) for part in (rows, columns))
        found = self.product(left, right)
        if self.euclidean:
            squared = np.einsum("nd,nd->n", left, left)[:, None] - 2 * found
            squared += np.einsum("nd,nd->n", right, right)
            found = -np.sqrt(np.maximum(squared, 0))
        with np.errstate(over="ignore"):  # infinite scores are refused once they are counted
            return np.ascontiguousarray(found, np.float32)


def arrange(
    vectors: NDArray[np.floating[Any]],
    identity: Ints,
    labels: Ints,
    comparator: str = "cosine",
    *,
    product: Product = numpy_product,
    block: int = BLOCK,
    panels: int = PANELS,
) -> Arrangement:
    """Order images and cut them into blocks and panels.

    Args:
        vectors: (N, D) embeddings without NaN.
        identity: (N,) identity of each image.
        labels: (N, G) group of each image in each grouping, -1 for none.
        comparator: ``cosine``, ``dot``, or ``euclidean`` (the negative distance).
        product: multiplies a block.
        block: images per block, unless one identity has more.
        panels: about as many panels are made; pairs of panels are the tasks.

    Raises:
        InputError: a vector is not finite, or an identity has more than `MAX_PER_PERSON` images.
    """
    finite = np.isfinite(vectors).all(axis=1)
    if not finite.all():
        row = int(np.flatnonzero(~finite)[0])
        raise InputError(f"embeddings: {int((~finite).sum())} hold NaN or infinity, the first is that of image {row}")
    names, first, person = np.unique(identity, return_index=True, return_inverse=True)
    own = np.asarray(labels)
    leading = own[first][person]
    order = np.lexsort([*own.T[::-1], person, *leading.T[::-1]])
    person, own = person[order], own[order]
    changed = np.flatnonzero(np.diff(person)) + 1
    begins = np.concatenate([[0], changed])
    ends = np.concatenate([changed, [person.size]])
    count = ends - begins
    if count.max() > MAX_PER_PERSON:
        raise InputError(
            f"one identity has {count.max():,} images; at most {MAX_PER_PERSON:,} are compared in a dataset of this "
            "size. Is the identity column right? Unknown people need an identity each."
        )
    new = np.ones(person.size, bool)
    new[1:] = (person[1:] != person[:-1]) | (own[1:] != own[:-1]).any(axis=1)
    segment = np.cumsum(new) - 1
    rank = np.repeat(np.arange(count.size), count)
    return Arrangement(
        vectors=_prepared(vectors, comparator, order), image=order, person_end=np.repeat(ends, count), segment=segment,
        segment_person=rank[new], labels=np.ascontiguousarray(own[new], np.int32), identity=names[person[begins]],
        panels=_panels(ends, block, panels), euclidean=comparator == "euclidean", product=product,
    )  # fmt: skip


def _prepared(vectors: NDArray[np.floating[Any]], comparator: str, order: Ints) -> NDArray[Any]:
    if comparator != "cosine":
        # lengths are not bounded: only double precision keeps the error of a score within one float32 step
        return np.ascontiguousarray(vectors[order], np.float64)
    ready = np.empty(vectors.shape, np.float32)
    for start in range(0, order.size, 4096):
        rows = vectors[order[start : start + 4096]].astype(np.float64)
        ready[start : start + 4096] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return ready


def _panels(ends: Ints, block: int, panels: int) -> tuple[Panel, ...]:
    """Cut at the ends of identities: blocks of at most `block` images, and panels of whole blocks."""
    edges = [0]
    for end, following in pairwise([*ends.tolist(), None]):
        if following is None or following - edges[-1] > block:
            edges.append(end)
    size = max(2, -(-(len(edges) - 1) // panels))  # a task of one block spends its time on starting
    return tuple(Panel(tuple(edges[i : i + size + 1])) for i in range(0, len(edges) - 1, size))


def blocks(arrangement: Arrangement, task: tuple[int, int]) -> Sequence[tuple[slice, slice]]:
    """Return the blocks of a pair of panels, each unordered pair of blocks once."""
    rows, columns = (list(pairwise(arrangement.panels[panel].edges)) for panel in task)
    return [
        (slice(*row), slice(*column)) for row in rows for column in columns if task[0] != task[1] or row[0] <= column[0]
    ]
