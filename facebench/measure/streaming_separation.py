"""AUC, d', Cllr and minCllr of a run too large to hold its scores: from a fine histogram, moments and sums."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.measure.overall import separation_interval
from facebench.measure.rates import one_sided
from facebench.measure.streaming_counts import Tallied, independent_pairs
from facebench.measure.streaming_functions import MEASURED, ORDERED
from facebench.metrics import clusters, influence
from facebench.metrics.binned import Binned
from facebench.schema import Estimate, Flag
from facebench.scoring.sums import BINS, Functions, Sums, bins_of

Floats = NDArray[np.float64]
TOTAL = 0


@dataclass(frozen=True, eq=False)
class Statistic:
    """One figure, and what each genuine comparison adds to it.

    Attributes:
        value: None where the scores do not allow it.
        each: (P,) influence of each genuine comparison.
        bounds: between which the value of the scores themselves lies, where bins leave that open.
        optimism: by how much the value lies too low, about.
    """

    value: float | None
    each: Floats
    bounds: tuple[float, float] | None = None
    optimism: float = 0.0


def separation_estimates(tallied: Tallied, confidence: float) -> list[Estimate]:
    """Return auc, dprime, cllr and min_cllr, with delta-method intervals over identities."""
    common = {
        "n_genuine": int(tallied.genuine.size), "n_impostor": tallied.n, "n_identities": tallied.n_identities(0, 0)
    }  # fmt: skip
    names = ("auc", "dprime", "cllr", "min_cllr")
    functions, sums = tallied.functions, tallied.counts.sums
    if functions is None or sums is None:
        flag = Flag.INSUFFICIENT if tallied.genuine.size else Flag.NO_GENUINE
        return [Estimate(metric=name, value=None, flags=(flag,), **common) for name in names]
    found = _Separation(tallied, functions, sums)
    return [_estimate(name, found, confidence, common) for name in names]


def _estimate(name: str, separation: _Separation, confidence: float, common: dict[str, Any]) -> Estimate:
    tallied = separation.tallied
    found = separation.statistic(name)
    if found.value is None:
        return Estimate(metric=name, value=None, flags=(Flag.INSUFFICIENT,), **common)
    if not tallied.has_identities:
        return Estimate(metric=name, value=found.value, flags=(Flag.NO_INTERVAL,), **common)
    if name == "auc" and found.value in (0.0, 1.0):
        return Estimate(metric=name, value=found.value, **_perfect(tallied, found.value, confidence), **common)
    variance = separation.variance(name, found.each)
    limits = separation_interval(name, found.value, variance, confidence, found.optimism)
    if found.bounds is not None:
        limits["ci_low"] = max(0.0, limits["ci_low"] - (found.value - found.bounds[0]))
    return Estimate(metric=name, value=found.value, **limits, **common)


def _perfect(tallied: Tallied, value: float, confidence: float) -> dict[str, Any]:
    people = int(np.unique(tallied.images.identity[tallied.genuine_ends[:, 0]]).size)
    independent = min(people, independent_pairs(tallied, TOTAL, 0, 0))
    n = min(tallied.genuine.size, tallied.n)
    return one_sided(value == 1, n, independent, n / independent, confidence)


class _Separation:
    """The statistics of one run."""

    def __init__(self, tallied: Tallied, functions: Functions, sums: Sums) -> None:
        self.tallied, self.functions, self.sums = tallied, functions, sums
        genuine = tallied.genuine
        self.genuine = genuine.astype(np.float64)
        self.bin = np.zeros(genuine.size, np.int64)  # the first bin holds failed comparisons
        working = np.isfinite(genuine)
        self.bin[working] = 1 + bins_of(genuine[working], functions.low, functions.high)
        self.finite = functions.values.shape[1] > len(ORDERED)

    @cached_property
    def binned(self) -> Binned:
        """Counts of both kinds of scores."""
        impostor = np.append(self.tallied.n_lowest, self.sums.fine).astype(np.float64)
        return Binned(np.bincount(self.bin, minlength=BINS + 1).astype(np.float64), impostor)

    def statistic(self, name: str) -> Statistic:
        """Return a figure."""
        if name == "auc":
            return self._area()
        if name == "min_cllr":
            return self._min_cllr()
        if not self.finite:
            return Statistic(None, np.zeros(0))
        return self._d_prime() if name == "dprime" else self._cllr()

    def _area(self) -> Statistic:
        above_all = self.functions.centre < self.genuine.min()
        value = 1.0 if above_all else self.binned.area_under_curve()
        return Statistic(value, self.binned.share_below[self.bin] - value)

    def _min_cllr(self) -> Statistic:
        low, value = self.binned.min_cllr()
        costs = np.logaddexp(0.0, -self.binned.llr()[self.bin])
        optimism = influence.pooled_optimism(self.binned.pooled)
        return Statistic(value, _centred(costs), (low, value), optimism)

    def _d_prime(self) -> Statistic:
        sums, g = self.sums, self.genuine
        first, second = sums.first / sums.n, sums.second / sums.n
        mean, variance = self.functions.centre + first, second - first * first
        if np.ptp(g) == 0 and second == 0:
            return Statistic(None, np.zeros(0))
        spread = float(np.sqrt((g.var() + variance) / 2))
        value = float((g.mean() - mean) / spread)
        off = g - g.mean()
        return Statistic(value, off / spread - value / (4 * spread**2) * (off**2 - g.var()))

    def _cllr(self) -> Statistic:
        used = np.flatnonzero(self.sums.fine)
        middle = self.functions.low + (used + 0.5) / self.functions.scale
        cost = float(np.logaddexp(0.0, middle) @ self.sums.fine[used]) / self.sums.n
        costs = np.logaddexp(0.0, -self.genuine)
        return Statistic((cost + float(costs.mean())) / (2 * np.log(2)), _centred(costs))

    def variance(self, name: str, each: Floats) -> float:
        """Return the variance of a figure over identities, given what each genuine comparison adds."""
        tallied, sums = self.tallied, self.sums
        column = (*ORDERED, *MEASURED).index(name)
        k = np.zeros(tallied.identity_count)
        k[tallied.arrangement.identity] = sums.per_person[:, column]
        mean = float(k.sum()) / 2 / tallied.n
        others = tallied.influence(TOTAL, k, mean, float(sums.squares[column]), float(sums.products[column]))
        person = tallied.images.identity[tallied.genuine_ends[:, 0]]
        own = clusters.of_people(each / each.size, person, tallied.identity_count)
        return clusters.added([(1.0, own), (1.0, others)]).variance


def _centred(costs: Floats) -> Floats:
    centred: Floats = (costs - costs.mean()) / (2 * np.log(2))
    return centred
