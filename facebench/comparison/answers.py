"""Paired differences of answers: the same images and units, one set of weights for all models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from math import isfinite, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.comparison.comparable import Loaded
from facebench.measure.answers.columns import Judged
from facebench.measure.answers.paired import paired_variance
from facebench.measure.answers.truth import judged
from facebench.measure.answers.units import Cell, Resampled, units_of
from facebench.measure.groups import Grouping
from facebench.measure.study import groupings_of
from facebench.metrics import catalogue
from facebench.metrics.answers import Figure
from facebench.metrics.answers import intervals as own
from facebench.schema import Difference, Flag

Floats = NDArray[np.float64]
Key = tuple[str, str | None, float | None]


@dataclass(frozen=True, eq=False)
class AnswerSide:
    """One model's answers, as contributions of the same images as those of all other sides."""

    loaded: Loaded
    label: str
    judged: Judged
    resampled: Resampled

    @classmethod
    def of(cls, loaded: Loaded, label: str, seed: int) -> AnswerSide:
        """Judge the answers beside a result again; equal seeds give equal weights."""
        spec = loaded.spec
        assert spec.task is not None
        found = judged(
            spec.task, loaded.result.model, loaded.vectors, loaded.images.attributes, f"protocol {spec.name}"
        )
        units = units_of(loaded.images, spec.uncertainty.unit, loaded.images.attributes, found.rows)
        return cls(loaded, label, found, Resampled(units, replicates=spec.uncertainty.replicates, seed=seed))

    @cached_property
    def groupings(self) -> list[Grouping]:
        """The groupings of the protocol."""
        return groupings_of(self.loaded.spec, self.loaded.images)[0]

    @cached_property
    def figures(self) -> dict[Key, Figure]:
        """Every figure, by what it is."""
        return {(f.metric, f.of, f.at): f for f in self.judged.table.figures}

    def cell(self, inside: NDArray[np.int64]) -> Cell:
        """Return the sums of some of the judged images."""
        return self.resampled.cell(self.judged.table.rows, inside)


def answer_differences(base: AnswerSide, model: AnswerSide, confidence: float) -> list[Difference]:
    """Return every figure of the model minus that of the base, over all images, per group and between groups."""
    everyone = np.arange(base.judged.rows.size)
    pair = _Pair(base, model, confidence)
    found = pair.figures("all", everyone)
    for grouping in base.groupings:
        label = grouping.label[base.judged.rows]
        inside = {g: np.flatnonzero(label == n) for n, g in enumerate(grouping.groups)}
        cells = {group: rows for group, rows in inside.items() if rows.size}
        for group, rows in cells.items():
            found += pair.figures(group, rows)
        found += pair.gaps(grouping.name, list(cells.values()))
    return found


class _Pair:
    """Two models on the same images."""

    def __init__(self, base: AnswerSide, model: AnswerSide, confidence: float) -> None:
        self.base, self.model, self.confidence = base, model, confidence
        self.shared = [key for key in base.figures if key in model.figures]
        self.equal = np.array_equal(base.loaded.vectors, model.loaded.vectors, equal_nan=True)

    def figures(self, group: str, inside: NDArray[np.int64]) -> list[Difference]:
        cells = self.base.cell(inside), self.model.cell(inside)
        changed = self._changed(inside)
        found: list[Difference] = []
        for key in self.shared:
            figures = self.base.figures[key], self.model.figures[key]
            values = [cell.value(figure) for cell, figure in zip(cells, figures, strict=True)]
            if key[0] == "uar_present" and found[-1].metric == "uar" and found[-1].difference is not None:
                continue  # all classes are there, and it is the same
            variance = paired_variance(cells, figures)
            fields = {"group": group, "of": key[1], "at": key[2], "n_comparisons": inside.size}
            if key[0] == "top1_accuracy":
                fields |= changed
            found.append(self._difference(key[0], values, variance, cells[0].n_units, fields))
        return found

    def gaps(self, grouping: str, members: Sequence[NDArray[np.int64]]) -> list[Difference]:
        """Return the differences of the gaps between groups; both gaps are re-weighted alike."""
        found = []
        for metric in self.base.judged.table.lead:
            key = (metric, None, None)
            if key not in self.shared or len(members) < 2:
                continue
            sides = [(side, side.figures[key]) for side in (self.base, self.model)]
            cells = [[side.cell(inside) for inside in members] for side, _ in sides]
            values = [_gap([c.value(f) for c in row]) for row, (_, f) in zip(cells, sides, strict=True)]
            drawn = [_drawn_gaps(row, figure) for row, (_, figure) in zip(cells, sides, strict=True)]
            variance = None
            if drawn[0] is not None and drawn[1] is not None:
                variance = own.replicate_variance(lambda x: x, drawn[1] - drawn[0])
            units = self.base.resampled.units.count
            found.append(self._difference(f"{metric}_gap", values, variance, units, {"group": grouping}))
        return found

    def _changed(self, inside: NDArray[np.int64]) -> dict[str, int]:
        """Count images that only one of the models answers rightly."""
        hits = []
        for side in (self.base, self.model):
            figure = side.figures.get(("top1_accuracy", None, None))
            if figure is None or figure.hits is None:
                return {}
            hits.append(figure.hits(side.judged.table.rows[inside]) > 0)
        return {"newly_wrong": int((hits[0] & ~hits[1]).sum()), "newly_right": int((~hits[0] & hits[1]).sum())}

    def _difference(
        self, metric: str, values: Sequence[float], variance: float | None, n_units: int, fields: dict[str, Any]
    ) -> Difference:
        definition = catalogue.metric(metric)
        units = self.base.resampled.units
        common = {
            "model": self.model.label, "base": self.base.label, "metric": metric,
            "base_value": own.finite(values[0]), "value": own.finite(values[1]),
            "higher_is_better": definition.higher_is_better, "n_identities": n_units if units.known else None,
            **fields,
        }  # fmt: skip
        flags = () if units.known else (Flag.NAIVE_INTERVAL,)
        if not all(map(isfinite, values)):
            return Difference(difference=None, flags=(*flags, Flag.INSUFFICIENT), **common)
        d = values[1] - values[0]
        if variance is None:
            return Difference(difference=d, flags=(*flags, Flag.NO_INTERVAL), **common)
        margin = own.t_quantile(self.confidence, n_units) * sqrt(variance)
        least, most = definition.difference_bounds
        if variance == 0 and not self.equal and isfinite(most):
            # no unit changed: what none of so many independent ones shows may still be so
            margin = (1 - (1 - self.confidence) ** (1 / n_units)) * most
            variance = (margin / own.t_quantile(self.confidence, n_units)) ** 2
        return Difference(
            difference=d, standard_error=sqrt(variance), ci_low=max(d - margin, least), ci_high=min(d + margin, most),
            ci_method="paired-units", p_value=_p_value(d, variance, n_units), flags=flags, **common,
        )  # fmt: skip


def _gap(values: Sequence[float]) -> float:
    known = [v for v in values if isfinite(v)]
    return max(known) - min(known) if len(known) == len(values) else float("nan")


def _drawn_gaps(cells: Sequence[Cell], figure: Figure) -> Floats | None:
    drawn = []
    for cell in cells:
        if cell.drawn is None:
            return None
        with np.errstate(divide="ignore", invalid="ignore"):
            drawn.append(figure.value(cell.drawn))
    table = np.array(drawn)
    return np.asarray(table.max(axis=0) - table.min(axis=0))


def _p_value(d: float, variance: float, n_units: int) -> float:
    from scipy.special import stdtr

    if variance <= 0:
        return 1.0 if d == 0 else 0.0
    return float(2 * stdtr(max(1, n_units - 1), -abs(d) / sqrt(variance)))


def leading_differences(
    sides: Sequence[AnswerSide], metric: str, confidence: float
) -> dict[tuple[int, int], Difference]:
    """Return the differences of the leading figure between every two models, for ranks."""
    everyone = np.arange(sides[0].judged.rows.size)
    found: dict[tuple[int, int], Difference] = {}
    for i, j in combinations(range(len(sides)), 2):
        rows = _Pair(sides[i], sides[j], confidence).figures("all", everyone)
        for d in rows:
            if d.metric == metric and d.of is None and d.at is None:
                found[i, j] = d
    return found
