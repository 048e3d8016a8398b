"""Embeddings whose dot products are the scores that were drawn, so that whatever takes embeddings can be studied."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmarks.coverage_study.designs import Drawn, Floats
from facebench.measure.sample import Scored

Vectors = NDArray[np.float32]
MARGIN = 0.05  # of the largest eigenvalue: the smallest one that is kept


def embedded(drawn: Drawn, model: Scored) -> Vectors:
    """Return (N, D) vectors whose dot products are the scores of all comparisons of a draw.

    With every comparison in a symmetric matrix S, ``S + c I`` is positive for a large c and is its own Gram matrix; the
    diagonal is compared with nobody. Of a list every connected part has a space of its own.
    """
    n = len(drawn.images.image_ids)
    ends, scores = _comparisons(model)
    parts = _parts(n, ends) if drawn.pairs is not None else [np.arange(n)]
    place, part = np.empty(n, int), np.empty(n, int)
    for number, members in enumerate(parts):
        place[members], part[members] = np.arange(members.size), number
    width = max(members.size for members in parts)
    matrices = np.zeros((len(parts), width, width))
    a, b = place[ends].T
    matrices[part[ends[:, 0]], a, b] = matrices[part[ends[:, 0]], b, a] = scores
    vectors = _roots(matrices)
    return np.asarray(vectors[part, place], np.float32)


def altered(vectors: Vectors, model: Scored) -> Vectors:
    """Return (N, N) probes of all pairs: the dot product of image i and probe j > i is the score of i and j."""
    n = len(vectors)
    ends, scores = _comparisons(model)
    matrix = np.zeros((n, n))
    matrix[ends.min(axis=1), ends.max(axis=1)] = scores
    probes = np.linalg.solve(vectors.astype(np.float64), matrix).T
    return np.asarray(probes, np.float32)


def _comparisons(model: Scored) -> tuple[NDArray[np.int32], Floats]:
    found = model.scores
    return np.concatenate([found.genuine_ends, found.impostor_ends]), np.concatenate([found.genuine, found.impostor])


def _parts(n: int, ends: NDArray[np.int32]) -> list[NDArray[np.int64]]:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), (n, n))
    _, label = connected_components(graph, directed=False)
    order = np.argsort(label, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(label[order])) + 1)


def _roots(matrices: Floats) -> Floats:
    """Return (M, D, D) square roots of symmetric matrices whose diagonals are free."""
    values, axes = np.linalg.eigh(matrices)
    raised = values - values[:, :1] + MARGIN * np.abs(values).max(axis=1, keepdims=True) + 1e-3
    roots: Floats = axes * np.sqrt(raised)[:, None, :]
    return roots
