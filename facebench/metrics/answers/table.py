"""What every task makes of its answers: rows of contributions, and figures that are functions of their sums."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Of = Callable[[Floats], Floats]


@dataclass(frozen=True, eq=False)
class Figure:
    """One figure.

    Attributes:
        metric: its name in the catalogue.
        value: (..., C) sums to (...) values; NaN where undefined.
        of: the class, label, value or bin it is about; None for all.
        at: its cut-off.
        hits: of a rate, so that value = hits / total; None for other figures.
        total: how many images it is about, where these are not all that are judged.
        null: what an answer that ignores the picture scores, by name.
        parts: of the largest of several rates, these rates.
    """

    metric: str
    value: Of
    of: str | None = None
    at: float | None = None
    hits: Of | None = None
    total: Of | None = None
    null: dict[str, float] = field(default_factory=dict)
    parts: tuple[Figure, ...] = ()


@dataclass(frozen=True, eq=False)
class Ranked:
    """One figure that depends on the order of scores; ties are one step.

    Attributes:
        metric, of, at: as in `Figure`.
        rows: (n,) images it is about.
        score: (n,) by which they are ordered, highest first.
        value: (r, n) weights of the ordered images to (r,) values; it is given (n,) `hit` in the same order.
        hit: (n,) 1 where the image is positive, or wrong; of figures that tell several kinds, its number.
    """

    metric: str
    rows: NDArray[np.int64]
    score: Floats
    hit: Floats
    value: Callable[[Floats, Floats, NDArray[np.int64]], Floats]
    of: str | None = None
    at: float | None = None


@dataclass(frozen=True, eq=False)
class Table:
    """Answers as contributions.

    Attributes:
        rows: (N, C) one row per judged image.
        figures, ranked: what is computed of them.
        lead: metrics that are also compared between groups.
        lead_each: the same, of each class or label.
    """

    rows: Floats
    figures: tuple[Figure, ...]
    ranked: tuple[Ranked, ...] = ()
    lead: tuple[str, ...] = ()
    lead_each: tuple[str, ...] = ()


def share(hits: Floats, total: Floats) -> Floats:
    """Return hits / total, NaN where nothing was counted."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(total > 0, hits / total, np.nan)


def rate(
    metric: str, hits: Of, total: Of, *, of: str | None = None, at: float | None = None,
    null: dict[str, float] | None = None,
) -> Figure:  # fmt: skip
    """Return the figure hits / total."""
    return Figure(metric, lambda sums: share(hits(sums), total(sums)), of, at, hits, total, null or {})


def column(index: int) -> Of:
    """Return the function that takes one column of the sums."""
    return lambda sums: sums[..., index]


def known_rows(values: Floats) -> NDArray[np.bool_]:
    """Return which rows hold finite numbers only."""
    return np.asarray(np.isfinite(values).all(axis=-1), np.bool_)


def diagonal(cells: Floats) -> Floats:
    """Return (..., K) entries (k, k) of (..., K, L) cells."""
    return np.asarray(np.diagonal(cells, axis1=-2, axis2=-1), np.float64)


def total_of(values: Floats, axes: int = 1) -> Floats:
    """Return the sums over the last axes."""
    return np.asarray(values.sum(axis=tuple(range(-axes, 0))), np.float64)
