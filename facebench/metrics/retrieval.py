"""Retrieval metrics of one query against a gallery that holds several mates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Retrieval:
    """Values per query, (Q,) each, in [0, 1]."""

    precision_at_1: Floats
    r_precision: Floats
    map_at_r: Floats


def retrieval(scores: NDArray[np.floating[Any]], mates: NDArray[np.bool_]) -> Retrieval:
    """Return P@1, R-precision and MAP@R of each query.

    With R the number of mates of a query, ``r_precision`` is the share of mates among the best R, and ``map_at_r`` is
    ``(1 / R) sum_{i <= R} [i is a mate] P(i)`` with P(i) the share of mates among the best i. Source: Musgrave et al.,
    "A metric learning reality check", 2020. A tie with a non-mate counts against the model, and so does a comparison
    that failed: a score of ``-inf`` is never a hit.

    Args:
        scores: (Q, G) of each query against each gallery entry.
        mates: (Q, G) whether the entry is of the query's identity; at least one per query.

    >>> found = retrieval(np.array([[.9, .8, .7]]), np.array([[True, False, True]]))
    >>> found.precision_at_1.item(), found.r_precision.item(), found.map_at_r.item()
    (1.0, 0.5, 0.5)
    """
    order = np.lexsort((mates, -scores), axis=1)
    hits = np.take_along_axis(mates & np.isfinite(scores), order, axis=1)
    total = mates.sum(axis=1)
    place = np.arange(1, hits.shape[1] + 1)
    inside = hits & (place <= total[:, None])
    precision = np.cumsum(hits, axis=1) / place
    return Retrieval(
        hits[:, 0].astype(np.float64), inside.sum(axis=1) / total, (inside * precision).sum(axis=1) / total
    )
