"""1:N search: probes against a gallery, in blocks of probes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.scoring.arrange import Ints

Vectors = NDArray[np.floating[Any]]
_ROOM = 1 << 24
"""Scores held at a time."""
_COLUMNS = 4096


@dataclass(frozen=True, eq=False)
class Searches:
    """What became of each search.

    Attributes:
        rank: (P,) place of the mate, 1 being best; ties with a non-mate count against the model; G + 1 where the
            comparison with the mate failed, 0 for a probe without a mate.
        mate: (P,) score of the mate, ``-inf`` without one.
        best: (P,) highest score of the whole gallery.
    """

    rank: NDArray[np.int64]
    mate: NDArray[np.float32]
    best: NDArray[np.float32]


def search(probes: Vectors, gallery: Vectors, mate: Ints, comparator: str = "cosine") -> Searches:
    """Search every probe in the gallery.

    Args:
        probes: (P, D); rows of NaN failed.
        gallery: (G, D), one template per identity.
        mate: (P,) gallery row of each probe's mate, -1 for none.
        comparator: ``cosine``, ``dot``, or ``euclidean``.
    """
    from facebench.metrics.identification import mate_ranks
    from facebench.scoring import similarity

    n = len(probes)
    rank, own = np.zeros(n, np.int64), np.full(n, -np.inf, np.float32)
    best = np.empty(n, np.float32)
    step = max(64, _ROOM // max(len(gallery), 1))
    for start in range(0, n, step):
        rows = slice(start, start + step)
        scores = similarity(probes[rows], gallery, comparator)
        best[rows] = scores.max(axis=1)
        mated = np.flatnonzero(mate[rows] >= 0)
        columns = mate[rows][mated]
        rank[rows][mated] = mate_ranks(scores[mated], columns)
        own[rows][mated] = scores[mated, columns]
    return Searches(rank, own, best)


def top_k(probes: Vectors, gallery: Vectors, k: int) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Return the k highest products of each probe with the gallery, falling, and their gallery rows.

    Of equal scores the earlier row comes first. Exact: every product is looked at.

    Args:
        probes: (P, D) float32, normalised if cosines are wanted.
        gallery: (G, D) float32.
        k: at most G.
    """
    from facebench.scoring.search_kernels import keep_best, sort_falling

    probes, gallery = (np.ascontiguousarray(part, np.float32) for part in (probes, gallery))
    scores = np.full((len(probes), k), -np.inf, np.float32)
    rows = np.full((len(probes), k), -1, np.int32)
    step = max(64, _ROOM // _COLUMNS)
    product = np.empty((min(step, len(probes)), min(_COLUMNS, len(gallery))), np.float32)
    for start in range(0, len(probes), step):
        part = slice(start, min(start + step, len(probes)))
        for first in range(0, len(gallery), _COLUMNS):
            columns = gallery[first : first + _COLUMNS]
            out = product[: part.stop - start, : len(columns)]
            if out.shape == product.shape:
                np.matmul(probes[part], columns.T, out=out)
            else:
                out = probes[part] @ columns.T
            keep_best(out, first, scores[part], rows[part])
    sort_falling(scores, rows)
    return scores, rows
