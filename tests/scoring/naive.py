"""The plain way to compare everything with everything: all scores in one matrix, every count a loop over pairs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facebench.scoring import engine
from facebench.scoring.arrange import Arrangement, blocks


def score_matrix(arrangement: Arrangement) -> np.ndarray:
    """(N, N) the engine's own scores, in its order; NaN below the blocks it computes."""
    n = arrangement.image.size
    scores = np.full((n, n), np.nan, np.float32)
    for task in arrangement.tasks():
        for rows, columns in blocks(arrangement, task):
            scores[rows, columns] = arrangement.scores(rows, columns)
    return scores


@dataclass
class Naive:
    """Impostor and genuine scores in the original numbering."""

    impostor: np.ndarray
    impostor_ends: np.ndarray
    genuine: np.ndarray
    genuine_ends: np.ndarray


def compare(arrangement: Arrangement, identity: np.ndarray) -> Naive:
    first, second = np.triu_indices(arrangement.image.size, 1)
    scores = score_matrix(arrangement)[first, second]
    assert not np.isnan(scores).any()
    ends = np.sort(arrangement.image[np.stack([first, second], axis=1)], axis=1)
    same = identity[ends[:, 0]] == identity[ends[:, 1]]
    return Naive(scores[~same], ends[~same], scores[same], ends[same])


def count(
    found: Naive, identity: np.ndarray, labels: np.ndarray, cells: engine.Cells, cutoff: float
) -> tuple[list[int], list[int], list[int]]:
    """Per cell: accepted comparisons, sum over pairs of identities of k², and of k m."""
    accepted, squares, products = [], [], []
    n = int(identity.max()) + 1
    people = np.sort(identity[found.impostor_ends], axis=1)
    pair = people[:, 0].astype(np.int64) * n + people[:, 1]
    passed = found.impostor >= np.float32(cutoff)
    for s, g, h in cells.ends:
        groups = np.sort(labels[found.impostor_ends, s], axis=1)
        inside = (groups[:, 0] == g) & (groups[:, 1] == h)
        k = np.bincount(pair[inside], passed[inside], minlength=n * n)
        m = np.bincount(pair[inside], minlength=n * n)
        accepted.append(int(k.sum()))
        squares.append(int((k * k).sum()))
        products.append(int((k * m).sum()))
    return accepted, squares, products


def cells_of(arrangement: Arrangement, identity: np.ndarray, labels: np.ndarray) -> engine.Cells:
    n_groups = tuple(int(column.max()) + 1 if column.max() >= 0 else 1 for column in labels.T)
    n = int(identity.max()) + 1
    columns = [
        np.bincount(identity[labels[:, s] == g], minlength=n)
        for s, groups in enumerate(n_groups)
        for g in range(groups)
    ]
    return engine.Cells(n_groups, np.stack(columns, axis=1).astype(np.int32)[arrangement.identity])


def accepted_per_cell(arrangement: Arrangement, cells: engine.Cells, counts: engine.Counts, t: int) -> list[int]:
    found = []
    for s, g, h in cells.ends:
        mine = arrangement.labels[:, s] == g
        k = int(counts.per_segment[mine, cells.offsets[s] + h, t].sum())
        found.append(k // 2 if g == h else k)
    return found
