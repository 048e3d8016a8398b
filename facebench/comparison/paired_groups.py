"""How the rates of the groups of two models move together on the same comparisons, thresholds included.

To first order a rate moves by the influence of each comparison, of those that set the threshold too. With T_u the sum
over identity u and x_i over the impostor comparisons of one pair of identities, two rates have the covariance
``sum_u T_u T'_u - sum_i x_i x'_i``, since the first sum counts such a pair at both ends (`facebench.metrics.clusters`).
The correlations that follow hold in any list; each rate keeps the variance its own interval rests on.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from facebench.measure.delta import POOLED
from facebench.measure.grouped import GroupMeasurer, GroupRates
from facebench.measure.rates import Rate
from facebench.measure.sample import Sample
from facebench.metrics.clusters import PairIndex
from facebench.metrics.streams import Fixed, fixed_generator

Floats = NDArray[np.float64]
DRAWS = 1000
LEAST_SHARE = 1e-12  # of the largest variance; what is below is rounding


class Measured(Protocol):
    """What is read of one model of a comparison."""

    sample: Sample
    groups: GroupMeasurer

    @property
    def group_rates(self) -> list[list[tuple[GroupRates, tuple[float, ...]]]]:
        """Per grouping and target: the rates of its groups and the thresholds they are read at."""


@dataclass(frozen=True, eq=False)
class _Units:
    """Influence of pairs of identities: of those numbered `at`; of all others it is 0."""

    at: NDArray[np.int64]
    values: Floats


@dataclass(frozen=True, eq=False)
class _Moving:
    """One rate of one model.

    Attributes:
        together: (I,) T_u.
        impostor: influence of each pair of identities by the rate's own comparisons; None for an FNMR.
        setting, slope: that of each pair of identities on the FMR which sets the threshold, and by how much the rate
            moves with it.
        variance: of the rate.
    """

    together: Floats
    impostor: _Units | None
    setting: Floats
    slope: float
    variance: float


class Together:
    """The rates of the groups of one grouping at one operating point under two models.

    Args:
        sides: the base and the model.
        number: of the grouping.
        t: of the operating point.
    """

    def __init__(self, sides: tuple[Measured, Measured], number: int, t: int) -> None:
        self.columns: dict[tuple[int, str, int], int] = {}
        settings: dict[tuple[int, int], Floats] = {}
        moving: list[_Moving] = []
        self.values: list[float] = []
        for model, side in enumerate(sides):
            rates = side.group_rates[number][t][0]
            for kind in ("fmr", "fnmr"):
                for g, rate in enumerate(getattr(rates, kind)):
                    if rate is not None:
                        self.columns[model, kind, g] = len(moving)
                        self.values.append(rate.value)
                        moving.append(_moving(side, (model, number, t), kind, g, rate, settings))
        self.covariance = _covariance(moving)

    def variance(self, kind: str, g: int) -> float:
        """Return the variance of the difference of one rate of one group."""
        a, b = (self.columns[model, kind, g] for model in (0, 1))
        found = self.covariance
        return float(max(0.0, found[a, a] + found[b, b] - 2 * found[a, b]))

    def draws(self, model: int, kind: str, groups: list[int]) -> Floats:
        """Return (R, G) rates of a model as chance would move them, above 0; those of both models go together.

        They are lognormal, with the covariances of the rates.
        """
        columns = [self.columns[model, kind, g] for g in groups]
        rates = np.array(self.values)[columns]
        relative = self._normals[:, columns] / np.maximum(rates, 1e-12)
        return np.asarray(np.minimum(rates * np.exp(np.clip(relative, -30, 30)), 1.0))

    def moved(self, model: int, kind: str, groups: list[int]) -> Floats:
        """Return (R, G) rates of a model as chance would move them, normal and within 0 and 1."""
        columns = [self.columns[model, kind, g] for g in groups]
        return np.asarray(np.clip(np.array(self.values)[columns] + self._normals[:, columns], 0.0, 1.0))

    @cached_property
    def _normals(self) -> Floats:
        values, vectors = np.linalg.eigh(self.covariance)
        values = np.where(values > LEAST_SHARE * values.max(initial=0.0), values, 0.0)
        drawn = fixed_generator(Fixed.PAIRED_GROUPS).standard_normal((DRAWS // 2, values.size))
        swapped = [self.columns.get((1 - model, kind, g), at) for (model, kind, g), at in self.columns.items()]
        both = np.concatenate([drawn, drawn[:, swapped]])  # alike whichever of the two models is the base
        return np.asarray(both @ ((vectors * np.sqrt(values)) @ vectors.T))


def _moving(
    side: Measured, place: tuple[int, int, int], kind: str, g: int, rate: Rate, settings: dict[tuple[int, int], Floats]
) -> _Moving:
    model, number, t = place
    cell, operating = list(side.groups.own(number + 1).items())[g]
    threshold, source = operating.thresholds[t], operating.cells[t]
    deltas, everyone = side.sample.deltas, side.sample.deltas.impostors(POOLED).index
    setting = POOLED if source is None else source
    if (model, setting) not in settings:
        settings[model, setting] = np.zeros(everyone.sizes.size)
        units = _units(side, setting, threshold, everyone)
        settings[model, setting][units.at] = units.values
    own = None
    if kind == "fmr":
        own = _units(side, cell, threshold, everyone)
        together = deltas.fmr(cell, threshold, source).together
        slope = 0.0 if source is None else -deltas.fmr_slope(cell, threshold, source)
    else:
        together = deltas.fnmr(cell, threshold, source).together
        slope = 0.0 if source is None else deltas.fnmr_slope(cell, threshold, source)
    return _Moving(together, own, settings[model, setting], slope, rate.variance or 0.0)


def _units(side: Measured, cell: int, threshold: float, everyone: PairIndex) -> _Units:
    """Return the influence of each pair of identities on the FMR of a cell."""
    impostor = side.sample.impostor
    inside = np.flatnonzero(impostor.cells[:, side.sample.cells[cell].grouping] == cell)
    errors = max(1, side.sample.deltas.impostors(cell).accepted(threshold))
    pairs = everyone.pair()[inside]
    sizes = np.bincount(pairs, minlength=everyone.sizes.size)
    counts = np.bincount(pairs[:errors], minlength=everyone.sizes.size)
    at = np.flatnonzero(sizes)
    return _Units(at, (counts[at] - errors / inside.size * sizes[at]) / inside.size)


def _covariance(moving: list[_Moving]) -> Floats:
    n = len(moving)
    found = np.zeros((n, n))
    between: dict[tuple[int, int], float] = {}
    for r, a in enumerate(moving):
        own = np.zeros(a.setting.size)
        if a.impostor is not None:
            own[a.impostor.at] = a.impostor.values
        for s, b in enumerate(moving[: r + 1]):
            key = id(a.setting), id(b.setting)
            if key not in between:
                between[key] = float(a.setting @ b.setting)
            shared = a.slope * b.slope * between[key]
            if a.impostor is not None and b.slope:
                shared += b.slope * float(b.setting[a.impostor.at] @ a.impostor.values)
            if b.impostor is not None:
                shared += a.slope * float(a.setting[b.impostor.at] @ b.impostor.values)
                shared += float(own[b.impostor.at] @ b.impostor.values)
            found[r, s] = found[s, r] = float(a.together @ b.together) - shared
    size = np.sqrt(np.maximum(np.diag(found), 0.0))
    scale = np.where(size > 0, 1 / np.where(size > 0, size, 1.0), 0.0)
    correlation = np.clip(found * scale[:, None] * scale, -1.0, 1.0)
    np.fill_diagonal(correlation, 1.0)
    errors = np.sqrt([each.variance for each in moving])
    return np.asarray(correlation * errors[:, None] * errors, np.float64)
