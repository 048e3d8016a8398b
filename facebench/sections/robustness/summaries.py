"""Figures over all conditions of one family: their mean, what they cost, and the worst of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.measure.rates import Rate, one_sided
from facebench.metrics import uncertainty
from facebench.schema import Estimate, Flag, Point
from facebench.schema.robustness import family_of, kind_of
from facebench.sections.robustness.conditions import Baseline, Cell, Scores, accepted, relative_drop

Floats = NDArray[np.float64]


class Summary:
    """Adds up conditions as they are measured, so that the scores of only one are in memory."""

    def __init__(self, baseline: Baseline) -> None:
        self._baseline = baseline
        self._sums: dict[str, dict[str, list[Floats]]] = {}  # family, kind: one sum of accepts per cell
        self._levels: dict[str, int] = {}
        self._rates: dict[tuple[str, bool, Point], list[Rate]] = {}
        self._cells = list(_genuine_cells(baseline))

    def add(self, condition: str, scores: Scores) -> None:
        """Count one condition in."""
        family, kind = family_of(condition), kind_of(condition)
        sums = self._sums.setdefault(family, {}).setdefault(kind, [np.zeros(c.rows.size) for c in self._cells])
        for total, cell in zip(sums, self._cells, strict=True):
            total += accepted(scores, cell)
        self._levels[kind] = self._levels.get(kind, 0) + 1
        for (genuine, target), cell in self._baseline.pooled.items():
            if cell.rows.size:
                events = accepted(scores, cell) != genuine
                rate = self._baseline.rate(cell, events, genuine=genuine)
                self._rates.setdefault((family, genuine, target), []).append(rate)

    def estimates(self) -> list[Estimate]:
        """Return mean_tar and mean_relative_drop of each family, over all and per group; worst_tar and worst_fmr."""
        found: list[Estimate] = []
        for family, kinds in self._sums.items():
            for number, cell in enumerate(self._cells):
                # every kind counts the same, however many levels it has
                shares = [sums[number] / self._levels[kind] for kind, sums in kinds.items()]
                found += self._mean(cell, np.mean(shares, axis=0), family)
            for target in self._baseline.targets:
                for genuine in (True, False):
                    rates = self._rates.get((family, genuine, target))
                    if rates:
                        found.append(
                            self._worst(self._baseline.pooled[genuine, target], rates, family, genuine=genuine)
                        )
        return found

    def _mean(self, cell: Cell, share: Floats, family: str) -> list[Estimate]:
        common = {**cell.fields, "condition": family}
        if not cell.rows.size:
            flags = (*cell.flags, Flag.NO_GENUINE)
            return [Estimate(metric=m, value=None, flags=flags, **common) for m in ("mean_tar", "mean_relative_drop")]
        drop = relative_drop(self._baseline, cell, share, family, "mean_relative_drop")
        value, n = float(share.mean()), share.size
        fields: dict[str, Any] = {"flags": (*cell.flags, Flag.NO_INTERVAL)}
        if self._baseline.images.identities is not None:
            variance = uncertainty.identity_variance(share - value, cell.first, n)
            if value in (0.0, 1.0):
                people = int(np.unique(cell.first).size)
                limits = one_sided(value == 1, n, people, n / people, self._baseline.confidence)
                fields = {**limits, "flags": cell.flags}
            elif variance > 0:
                found = uncertainty.wilson_from_variance(value, n, variance, self._baseline.confidence)
                method = "wilson-identity-fixed-threshold"
                fields = {
                    "ci_low": found.low, "ci_high": found.high, "ci_method": method, "n_eff": found.n_eff,
                    "flags": cell.flags,
                }  # fmt: skip
        return [Estimate.model_validate({**common, **fields, "metric": "mean_tar", "value": value}), drop]

    def _worst(self, cell: Cell, rates: list[Rate], family: str, *, genuine: bool) -> Estimate:
        """Return the highest error rate of a family as worst_fmr, or 1 minus it as worst_tar.

        The largest upper limit holds the largest rate as often as that condition's own does. The largest lower one
        may be that of another condition, so lower limits are taken at confidence ``1 - (1 - c) / m`` over m conditions.
        """
        worst = max(rates, key=lambda rate: rate.value)
        together = 1 - (1 - self._baseline.confidence) / len(rates)
        low = max(rate.interval(together)["ci_low"] for rate in rates)
        high = max(rate.interval(self._baseline.confidence)["ci_high"] for rate in rates)
        value = worst.value
        flags = (*cell.flags, *worst.flags())
        if genuine:
            value, low, high = 1 - value, 1 - high, 1 - low
        return Estimate(
            metric="worst_tar" if genuine else "worst_fmr", value=value, ci_low=low, ci_high=high,
            ci_method="bonferroni", errors=worst.errors, flags=flags, condition=family, **cell.fields,
        )  # fmt: skip


def _genuine_cells(baseline: Baseline) -> Iterator[Cell]:
    for (genuine, _), cell in baseline.pooled.items():
        if genuine:
            yield cell
    for cells in baseline.grouped.values():
        for genuine_cell, _ in cells:
            yield genuine_cell
