"""Exact comparison of embeddings, behind one small interface: vectors in, `ScoreSet` out.

Dot products are taken in float64 and rounded to float32, so that a score hardly depends on the machine or on how the
work is divided. All scores are held in memory, which limits the number of images.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.errors import InputError
from facebench.scoring.comparators import PLAIN, pair_comparator
from facebench.scoring.listed import ROWS, by_pair, by_tile

Vectors = NDArray[np.floating[Any]]
Ints = NDArray[np.integer[Any]]

MAX_IMAGES = 12_000
_BLOCK = 512


@dataclass(frozen=True, eq=False)
class ScoreSet:
    """Scores of all comparisons of a run.

    Attributes:
        genuine, impostor: (P,) float32; ``-inf`` where one of the images failed.
        genuine_ends, impostor_ends: (P, 2) image indices.
        complete: every unordered pair of images was compared.
    """

    genuine: NDArray[np.float32]
    genuine_ends: Ints
    impostor: NDArray[np.float32]
    impostor_ends: Ints
    complete: bool


def failed_rows(vectors: Vectors) -> NDArray[np.bool_]:
    """Return (N,) which images have no usable embedding (NaN rows)."""
    failed = np.empty(vectors.shape[0], bool)
    for start in range(0, failed.size, ROWS):  # in blocks: the mask of all of them is a quarter of the embeddings
        failed[start : start + ROWS] = np.isnan(vectors[start : start + ROWS]).any(axis=1)
    return failed


def similarity(probes: Vectors, gallery: Vectors, comparator: str) -> NDArray[np.float32]:
    """Return (P, G) similarity scores; ``-inf`` where a row is NaN.

    Args:
        comparator: ``cosine``, ``dot``, ``euclidean`` (the negative distance), or a name in `comparators`.
    """
    a, b = probes.astype(np.float64), gallery.astype(np.float64)
    if comparator not in PLAIN:
        scores = np.asarray(pair_comparator(comparator).matrix(a, b))
        scores[failed_rows(a)] = -np.inf
        scores[:, failed_rows(b)] = -np.inf
        return scores.astype(np.float32)
    with np.errstate(invalid="ignore"):
        if comparator == "cosine":
            a = a / np.linalg.norm(a, axis=1, keepdims=True)
            b = b / np.linalg.norm(b, axis=1, keepdims=True)
        scores = a @ b.T
        if comparator == "euclidean":
            squared = (a * a).sum(1)[:, None] + (b * b).sum(1)[None, :] - 2 * scores
            scores = -np.sqrt(np.maximum(squared, 0))
    scores[failed_rows(a)] = -np.inf
    scores[:, failed_rows(b)] = -np.inf
    return scores.astype(np.float32)


def compare_all(vectors: Vectors, identity: Ints, comparator: str = "cosine") -> ScoreSet:
    """Compare every image with every other, each unordered pair once.

    Args:
        vectors: (N, D); a failed image is a row of NaN.
        identity: (N,) identity index.

    Raises:
        InputError: more than `MAX_IMAGES` images.
    """
    n = vectors.shape[0]
    if n > MAX_IMAGES:
        raise InputError(
            f"all pairs of {n:,} images do not fit in memory (at most {MAX_IMAGES:,}); "
            "use a protocol with a pair list, or --limit"
        )
    sizes = np.bincount(np.unique(identity, return_inverse=True)[1]) if n else np.zeros(0, np.int64)
    n_genuine = int((sizes * (sizes - 1) // 2).sum())
    columns = np.arange(n, dtype=np.uint16)  # of 16 bits: there may be 72 million comparisons
    # genuine, then impostor comparisons: scores and both images
    lengths = n_genuine, n * (n - 1) // 2 - n_genuine
    scores = [np.empty(length, np.float32) for length in lengths]
    ends = [np.empty((length, 2), np.uint16) for length in lengths]
    filled = [0, 0]
    for start in range(0, n, _BLOCK):
        block = similarity(vectors[start : start + _BLOCK], vectors[start:], comparator)
        for row in range(block.shape[0]):
            values, partners = block[row, row + 1 :], columns[start + row + 1 :]
            same = identity[partners] == identity[start + row]
            for kind, inside in enumerate((same, ~same)):
                own = partners[inside]
                rows = slice(filled[kind], filled[kind] + own.size)
                scores[kind][rows], ends[kind][rows, 0], ends[kind][rows, 1] = values[inside], start + row, own
                filled[kind] += own.size
    return ScoreSet(scores[0], ends[0], scores[1], ends[1], complete=True)


def compare_pairs(vectors: Vectors, a: Ints, b: Ints, comparator: str = "cosine") -> NDArray[np.float32]:
    """Return (P,) scores of listed pairs of images."""

    def rowwise(left: Vectors, right: Vectors) -> NDArray[np.float32]:
        return _rowwise(left, right, comparator)

    if comparator not in ("cosine", "dot"):  # the product of a tile would round distances otherwise
        return by_pair(vectors, a, b, rowwise)

    def combine(products: NDArray[np.float64], left: Vectors, right: Vectors) -> NDArray[np.float64]:
        if comparator == "cosine":
            with np.errstate(invalid="ignore", divide="ignore"):
                products /= np.linalg.norm(left, axis=1)[:, None] * np.linalg.norm(right, axis=1)[None, :]
        return products

    return by_tile(vectors, a, b, rowwise, combine)


def _rowwise(left: Vectors, right: Vectors, comparator: str) -> NDArray[np.float32]:
    a, b = left.astype(np.float64), right.astype(np.float64)
    if comparator not in PLAIN:
        scores = pair_comparator(comparator).rowwise(a, b)
    elif comparator == "euclidean":
        scores = -np.linalg.norm(a - b, axis=1)
    else:
        scores = np.einsum("nd,nd->n", a, b)
        if comparator == "cosine":
            scores = scores / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))
    return np.where(np.isnan(scores), -np.inf, scores).astype(np.float32)
