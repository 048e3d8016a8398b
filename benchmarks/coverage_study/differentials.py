"""Intervals of differential measures and of their excesses, as a run prints them, with the threshold estimated."""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite

import numpy as np

from benchmarks.coverage_study import truths
from benchmarks.coverage_study.designs import Design, draw
from facebench.measure.grouped import GroupMeasurer
from facebench.measure.groups import make_groupings
from facebench.measure.sample import Sample
from facebench.measure.study import Points
from facebench.metrics import disparity
from facebench.schema import Estimate, GroupSpec

ALIKE = {name: measure.alike for name, measure in disparity.OF_BOTH.items()} | {
    f"{rate}_{name}": measure.alike for rate in ("fmr", "fnmr") for name, measure in disparity.OF_ONE_RATE.items()
}


def estimates(design: Design, rng: np.random.Generator, replicates: int) -> list[Estimate]:
    """Return every estimate of groups of one draw of a design; none for a single group."""
    if len(design.groups) < 2:
        return []
    drawn = draw(design, rng)
    groupings, _ = make_groupings(drawn.images.attributes, GroupSpec(intersections="none", min_identities=2))
    seed = int(rng.integers(2**31))
    sample = Sample(drawn.images, drawn.models[0].scores, groupings, replicates=replicates, seed=seed)
    points = Points((design.target,))
    measurer = GroupMeasurer(
        sample, points, policy="pooled", confidence=0.95, min_identities=2,
        design_effects=[1.0], seed=seed,
    )  # fmt: skip
    return measurer.estimates()


def truth(design: Design, metric: str) -> float | None:
    """Return a measure of the population's rates of the groups."""
    rates = {"fmr": np.empty(len(design.groups)), "fnmr": np.empty(len(design.groups))}
    for i, group in enumerate(design.groups):
        for rate, known in (("fmr", truths.fmr), ("fnmr", truths.fnmr)):
            asked = Estimate(metric=rate, value=None, fmr_target=design.target, group=f"group={group.name}")
            rates[rate][i] = known(design, asked) or 0.0
    if metric in disparity.OF_BOTH:
        return float(disparity.OF_BOTH[metric].rows(rates["fmr"], rates["fnmr"]))
    if metric == "mape":
        return float(disparity.mean_absolute_error(design.target).rows(rates["fmr"]))
    rate, name = ("fmr", "sedg") if metric == "sedg" else tuple(metric.split("_", 1))
    measure = disparity.OF_ONE_RATE.get(name.removesuffix("_debiased")) if rate in rates else None
    return None if measure is None else float(measure.rows(rates[rate]))


Printed = tuple[str, float, float | None, float | None, float | None]


def printed(design: Design, found: list[Estimate]) -> Iterator[Printed]:
    """Yield kind, value, limits and truth of each.

    Groups that are alike have no excess; of others the truth of an excess is its mean over all runs.
    """
    for e in found:
        if e.group != "group" or e.value is None or e.ci_low is None:
            continue
        known = truth(design, e.metric)
        if known is not None and isfinite(known):
            yield e.metric, e.value, e.ci_low, e.ci_high, known
        if e.excess is not None and e.excess_low is not None:
            alike = known is not None and abs(known - ALIKE.get(e.metric, 0.0)) < 1e-12
            none = (1.0 if e.excess_as == "ratio" else 0.0) if alike else None
            yield f"excess of {e.metric}", e.excess, e.excess_low, e.excess_high, none
