"""What is independent of what: persons, videos, families; and how their re-weighted sums become intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from facebench.errors import UnknownNameError
from facebench.measure.groups import Column
from facebench.measure.sample import Images
from facebench.metrics.answers import Figure, Ranked
from facebench.metrics.answers import intervals as own
from facebench.metrics.answers.ranked import ends_of_ties
from facebench.metrics.streams import Stream, generator

Floats = NDArray[np.float64]
MAX_RANKED = 100_000_000
"""Weights of images, times replicates, that a figure of ranks may take; beyond it fewer replicates are used."""


@dataclass(frozen=True, eq=False)
class Units:
    """The sampling units of the judged images.

    Attributes:
        index: (n,) unit of each image.
        name: what a unit is: identity, a column, or image.
        known: whether the data says what belongs together; without it intervals are naive.
    """

    index: NDArray[np.int64]
    name: str
    known: bool
    count: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "count", int(self.index.max()) + 1 if self.index.size else 0)

    def inside(self, rows: NDArray[np.int64]) -> int:
        """Return how many units have images among some rows."""
        return int(np.unique(self.index[rows]).size)


def units_of(images: Images, column: str | None, columns: Mapping[str, Column], rows: NDArray[np.int64]) -> Units:
    """Return the units of the judged images: a column of the manifest, else identities, else every image its own.

    An image without a value in the column is a unit of its own.

    Raises:
        UnknownNameError: the manifest has no such column.
    """
    if column is not None and column != "identity":
        if column not in columns:
            raise UnknownNameError("column", column, columns, where="the protocol's uncertainty.unit")
        cells = [f"\0{row}" if cell is None else str(cell) for row, cell in enumerate(columns[column])]
        return Units(_numbered([cells[row] for row in rows]), column, True)
    if images.identities is None:
        return Units(np.arange(rows.size), "image", False)
    return Units(_numbered([images.identities[row] for row in rows]), "identity", True)


def _numbered(names: list[str]) -> NDArray[np.int64]:
    index = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return np.array([index[name] for name in names], np.int64)


class Resampled:
    """Sums per unit, and what re-weighting the units does to figures."""

    def __init__(self, units: Units, *, replicates: int, seed: int) -> None:
        self.units = units
        self._weights = None
        if units.count * replicates <= own.MAX_WEIGHTS:
            self._weights = own.unit_weights(units.count, replicates, generator(Stream.ANSWERS, seed))

    @property
    def method(self) -> str:
        """How variances are found."""
        return "delta" if self._weights is None else "units"

    def cell(self, rows: Floats, inside: NDArray[np.int64]) -> Cell:
        """Return the sums of some images."""
        from scipy.sparse import csr_array

        present, position = np.unique(self.units.index[inside], return_inverse=True)
        members = csr_array((np.ones(inside.size), (position, inside)), shape=(present.size, len(rows)))
        sums = np.asarray(members @ rows)
        drawn = None if self._weights is None else own.weighted_sums(self._weights[:, present], sums)
        return Cell(sums, drawn)

    def ranked(self, figure: Ranked, inside: NDArray[np.bool_]) -> tuple[float, float | None]:
        """Return a figure of ranks among the images inside, and its variance over replicates."""
        kept = inside[figure.rows]
        score, hit, images = figure.score[kept], figure.hit[kept], figure.rows[kept]
        order = np.argsort(-score, kind="stable")
        hit, ends, unit = hit[order], ends_of_ties(score[order]), self.units.index[images[order]]
        value = float(figure.value(np.ones((1, order.size)), hit, ends)[0]) if order.size else float("nan")
        if self._weights is None or order.size == 0:
            return value, None
        most = min(len(self._weights), max(100, MAX_RANKED // order.size))
        found = [figure.value(weights[None, unit].astype(float), hit, ends)[0] for weights in self._weights[:most]]
        return value, own.replicate_variance(lambda x: x, np.array(found))


@dataclass(frozen=True, eq=False)
class Cell:
    """Images of one group: (U, C) sums of its units, and (R, C) sums of every replicate."""

    sums: Floats
    drawn: Floats | None

    @cached_property
    def total(self) -> Floats:
        """The (C,) sums over all units."""
        return np.asarray(self.sums.sum(axis=0), np.float64)

    @cached_property
    def _scatter(self) -> Floats:
        return own.scatter_of(self.sums)

    @property
    def n_units(self) -> int:
        """How many units it holds."""
        return len(self.sums)

    def value(self, figure: Figure) -> float:
        """Return a figure; NaN where it is undefined."""
        return float(figure.value(self.total))

    def bias(self, figure: Figure) -> float:
        """Return by how much replicates lie above a figure on average.

        A calibration error is a mean of absolute differences, which chance alone keeps above 0.
        """
        if self.drawn is None:
            return 0.0
        return max(0.0, float(np.nanmean(figure.value(self.drawn))) - self.value(figure))

    def variance(self, figure: Figure) -> float | None:
        """Return the variance of a figure over units."""
        if self.n_units < 2:
            return None
        if self.drawn is None:
            return own.influence_variance(figure.value, self.total, self._scatter, self.n_units)
        found = own.replicate_variance(figure.value, self.drawn)
        # drawing n of n units makes the variance (n - 1) / n of what it should be
        return None if found is None else found * self.n_units / (self.n_units - 1)
