"""How far groups lie apart in what a task leads with, beside what chance alone would show."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from facebench.measure.answers.units import Cell
from facebench.measure.groups import Grouping
from facebench.metrics.answers import Figure, Table
from facebench.metrics.answers.gaps import Gap, gap, larger
from facebench.metrics.streams import Stream, generator
from facebench.schema import Estimate, Flag, ProtocolSpec

_ODDS = ("recall", "false_alarm_rate")


def differences_between(
    spec: ProtocolSpec, grouping: Grouping, cells: Mapping[str, Cell], table: Table, *, seed: int, known: bool
) -> list[Estimate]:
    """Return the gap of each leading metric over the groups, with its expectation were all alike, and the test of that.

    Metrics that lead of each class or label come after those of all, and where recall and false alarms are among them,
    equalised odds. Groups without images, without a defined figure or without a variance are left out, and the gap says
    so.
    """
    compared = [f for f in table.figures if f.metric in (table.lead if f.of is None else table.lead_each)]
    order = (*table.lead, *table.lead_each)
    compared.sort(key=lambda figure: (figure.of is not None, order.index(figure.metric)))
    flags = () if known else (Flag.NAIVE_INTERVAL,)
    confidence = spec.uncertainty.confidence
    found = []
    for figure in compared:
        values, variances = _of_groups(figure, cells)
        gaps = _gap(values, variances, confidence, seed)
        found.append(_estimate(f"{figure.metric}_gap", figure.of, grouping, gaps, (len(values),), flags))
    if "false_alarm_rate" in table.lead_each:
        for name in dict.fromkeys(f.of for f in compared if f.of is not None):
            both = [_of_groups(f, cells) for f in compared if f.of == name and f.metric in _ODDS]
            first, second = (_gap(*each, 1 - (1 - confidence) / 2, seed, place) for place, each in enumerate(both))
            odds = None if first is None or second is None else larger(first, second)
            sizes = tuple(len(values) for values, _ in both)
            found.append(_estimate("equalised_odds_gap", name, grouping, odds, sizes, flags))
    return found


def _of_groups(figure: Figure, cells: Mapping[str, Cell]) -> tuple[list[float], list[float]]:
    """Return the values of a figure in the groups that have one, and their variances."""
    values, variances = [], []
    for cell in cells.values():
        value, variance = cell.value(figure), cell.variance(figure)
        if variance == 0 and figure.hits is not None and figure.total is not None:
            variance = _unseen(value, int((figure.total(cell.sums) > 0).sum()))
        if np.isfinite(value) and variance is not None and variance > 0:
            values.append(value)
            variances.append(variance)
    return values, variances


def _unseen(share: float, units: int) -> float:
    """Return the variance of a share without any error, or with nothing else, which no resampling shows.

    It is that of as many trials as there are units, with one hit and one miss more (Laplace), so that the group with
    the highest or the lowest share of all is not left out.
    """
    likely = (share * units + 1) / (units + 2)
    return likely * (1 - likely) / units


def _gap(values: list[float], variances: list[float], confidence: float, seed: int, *more: int) -> Gap | None:
    if len(values) < 2:
        return None
    return gap(values, variances, confidence, generator(Stream.FAIR_ANSWERS, seed, *more))


def _estimate(
    metric: str, of: str | None, grouping: Grouping, found: Gap | None, sizes: tuple[int, ...], flags: tuple[Flag, ...]
) -> Estimate:
    if min(sizes) < len(grouping.groups):
        flags = (*flags, Flag.LABELS_INCOMPLETE)
    common = {"metric": metric, "of": of, "group": grouping.name}
    if found is None:
        return Estimate(value=None, flags=(*flags, Flag.INSUFFICIENT), **common)
    return Estimate(
        value=found.value, ci_low=found.low, ci_high=found.high, ci_method="simultaneous-pairs",
        expected_if_fair=found.expected, excess=found.value - found.expected,
        p_value=found.p_value, flags=flags, **common,
    )  # fmt: skip
