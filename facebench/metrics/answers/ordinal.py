"""Numbers as ordered bins: right bin, at most one bin off, agreement that weighs how far off it is."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from facebench.metrics.answers.table import Figure, Floats, Of, diagonal, rate, share, total_of


def ordinal_cells(answers: Floats, truth: Floats, bins: Sequence[float]) -> Floats:
    """Return (N, K * K) which cell of the table of true and answered bins an image falls in.

    Answers beyond the edges belong to the outermost bins; images whose truth lies there have no cell.

    Args:
        answers, truth: (N,) NaN where there is none.
        bins: K + 1 edges; lower <= value < upper.
    """
    k = len(bins) - 1
    found = np.zeros((len(truth), k * k))
    place = bin_of(truth, bins)
    inside = np.flatnonzero(np.isfinite(answers) & (place >= 0) & (place < k))
    found[inside, place[inside] * k + np.clip(bin_of(answers[inside], bins), 0, k - 1)] = 1
    return found


def bin_of(values: Floats, bins: Sequence[float]) -> NDArray[np.int64]:
    """Return the bin of each value: -1 below all, K above all."""
    return np.asarray(np.searchsorted(np.asarray(bins, float), values, side="right") - 1, np.int64)


def ordinal_figures(part: Of, start: int, k: int, of: str | None) -> list[Figure]:
    """Return the figures of K bins, whose cells begin at column `start` of what `part` gives."""
    cells = partial(_table, part, start, k)
    near = np.abs(np.subtract.outer(np.arange(k), np.arange(k))) <= 1
    return [
        rate("bin_accuracy", lambda sums: total_of(diagonal(cells(sums))), lambda s: total_of(cells(s), 2), of=of),
        rate("one_off", lambda sums: total_of(cells(sums) * near, 2), lambda s: total_of(cells(s), 2), of=of),
        Figure("qwk", lambda sums: quadratic_kappa(cells(sums)), of),
    ]


def _table(part: Of, start: int, k: int, sums: Floats) -> Floats:
    return part(sums)[..., start : start + k * k].reshape(*sums.shape[:-1], k, k)


def quadratic_kappa(cells: Floats) -> Floats:
    """Return kappa with quadratic weights of (..., K, K) counts. Source: Cohen, "Weighted kappa", 1968."""
    k = cells.shape[-1]
    weights = np.subtract.outer(np.arange(k), np.arange(k)) ** 2.0
    n = total_of(cells, 2)
    expected = cells.sum(axis=-1)[..., :, None] * cells.sum(axis=-2)[..., None, :]
    chance = share(total_of(expected * weights, 2), n)
    return 1 - share(total_of(cells * weights, 2), chance)
