"""The same images judged twice, by two models or under two conditions: what both share cancels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from facebench.measure.answers.units import Cell
from facebench.metrics.answers import Figure
from facebench.metrics.answers import intervals as own


def paired_variance(cells: Sequence[Cell], figures: Sequence[Figure]) -> float | None:
    """Return the variance of the difference of one figure over units; None where it is not known.

    Args:
        cells: of the same images, first and second.
        figures: the same figure of both.
    """
    n = cells[0].n_units
    if n < 2:
        return None
    if cells[0].drawn is None or cells[1].drawn is None:
        each = [own.influences(figure.value, cell.sums) for cell, figure in zip(cells, figures, strict=True)]
        change = each[1] - each[0]
        return float(change @ change) * n / (n - 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        change = figures[1].value(cells[1].drawn) - figures[0].value(cells[0].drawn)
    found = own.replicate_variance(lambda x: x, change)
    return None if found is None else found * n / (n - 1)
