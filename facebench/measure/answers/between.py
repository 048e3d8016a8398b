"""How far groups lie apart in what a task leads with, beside what chance alone would show."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from facebench.measure.answers.units import Cell
from facebench.measure.groups import Grouping
from facebench.metrics.answers import Table
from facebench.metrics.answers.gaps import gap
from facebench.metrics.streams import Stream, generator
from facebench.schema import Estimate, Flag, ProtocolSpec


def differences_between(
    spec: ProtocolSpec, grouping: Grouping, cells: Mapping[str, Cell], table: Table, *, seed: int, known: bool
) -> list[Estimate]:
    """Return the gap of each leading metric over the groups, with its expectation were all alike, and the test of that.

    Groups without images, without a defined figure or without a variance are left out, and the gap says so.
    """
    found = []
    for metric in table.lead:
        figure = next((f for f in table.figures if f.metric == metric and f.of is None), None)
        if figure is None:
            continue
        values, variances = [], []
        for cell in cells.values():
            value, variance = cell.value(figure), cell.variance(figure)
            if np.isfinite(value) and variance is not None and variance > 0:
                values.append(value)
                variances.append(variance)
        flags: list[Flag] = [] if known else [Flag.NAIVE_INTERVAL]
        if len(values) < len(grouping.groups):
            flags.append(Flag.LABELS_INCOMPLETE)
        common = {"metric": f"{metric}_gap", "group": grouping.name}
        if len(values) < 2:
            found.append(Estimate(value=None, flags=(*flags, Flag.INSUFFICIENT), **common))
            continue
        found.append(_gap(values, variances, spec.uncertainty.confidence, flags, common, seed))
    return found


def _gap(
    values: list[float], variances: list[float], confidence: float, flags: list[Flag], common: dict[str, str], seed: int
) -> Estimate:
    found = gap(values, variances, confidence, generator(Stream.FAIR_ANSWERS, seed))
    return Estimate(
        value=found.value, ci_low=found.low, ci_high=found.high, ci_method="simultaneous-pairs",
        expected_if_fair=found.expected, excess=found.value - found.expected,
        excess_low=found.low - found.expected, excess_high=found.high - found.expected,
        p_value=found.p_value, flags=tuple(flags), **common,
    )  # fmt: skip
