"""Families of tests: p values corrected for how many questions were asked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p values that keep the chance of any false claim in the family below the level, in the given order.

    ``max over j <= i of (m - j + 1) p_(j)``, at most 1. Source: Holm, "A simple sequentially rejective multiple test
    procedure", 1979.

    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, float)
    order = np.argsort(p, kind="stable")
    adjusted = np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1))
    return _restored(adjusted, order)


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Return q values: calling all with q below a level false leaves at most that share of false calls, on average.

    ``min over j >= i of m p_(j) / j``, at most 1. For exploration; claims need `holm`. Source: Benjamini and Hochberg,
    "Controlling the false discovery rate", 1995.

    >>> [round(q, 3) for q in benjamini_hochberg([0.01, 0.04, 0.03])]
    [0.03, 0.04, 0.04]
    """
    p = np.asarray(p_values, float)
    order = np.argsort(p, kind="stable")
    raised = p[order] * p.size / np.arange(1, p.size + 1)
    adjusted = np.minimum.accumulate(raised[::-1])[::-1]
    return _restored(adjusted, order)


def _restored(adjusted: NDArray[np.float64], order: NDArray[np.int64]) -> list[float]:
    found = np.empty_like(adjusted)
    found[order] = np.minimum(adjusted, 1.0)
    return [float(value) for value in found]
