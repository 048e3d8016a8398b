"""Repeat a design many times and count, per kind of interval, how often it holds the truth.

A source takes a design and random numbers and yields every interval one run would print. Add a source to `SOURCES`, or
a truth to `truths.TRUTHS`, and its kinds are studied with all others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.coverage_study import differentials, truths
from benchmarks.coverage_study.designs import Design, draw
from facebench.measure.every_score import measure_scores
from facebench.run.thresholds import thresholds_of
from facebench.schema import Estimate, PointSpec, ProtocolSpec

LOWEST, HIGHEST = 0.92, 0.99
TOLERANCE = 1e-9


@dataclass(frozen=True)
class Judged:
    """One interval of one run; `truth` is None where it is the mean of the values over all runs."""

    kind: str
    value: float
    low: float | None
    high: float | None
    truth: float | None


Source = Callable[[Design, np.random.Generator, int], Iterator[Judged]]


def protocol(design: Design, *, replicates: int, **more: Any) -> ProtocolSpec:
    """Return the protocol every design is measured under."""
    return ProtocolSpec.model_validate(
        {
            "name": "coverage", "title": "coverage", "fmr_targets": (design.target,),
            "primary_fmr_target": design.target,
            "groups": None, "uncertainty": {"replicates": replicates}, **more,
        }
    )  # fmt: skip


def kind_of(estimate: Estimate) -> str:
    """Return the kind of an interval: its metric, of all comparisons or of a group."""
    if estimate.group_b is not None:
        return f"{estimate.metric} between groups"
    return estimate.metric if "=" not in estimate.group else f"{estimate.metric} of a group"


def judged(design: Design, estimates: Iterable[Estimate]) -> Iterator[Judged]:
    """Yield the estimates whose truth is known."""
    for e in estimates:
        if e.value is None or e.condition != "clean":
            continue
        known = truths.TRUTHS.get(e.metric)
        truth = None if known is None else known(design, e)
        if truth is not None or e.metric in truths.EXPECTED:
            yield Judged(kind_of(e), e.value, e.ci_low, e.ci_high, truth)


def verification(design: Design, rng: np.random.Generator, replicates: int) -> Iterator[Judged]:
    """Yield what a run prints of all comparisons together."""
    drawn = draw(design, rng)
    found = measure_scores(
        protocol(design, replicates=replicates), drawn.images, drawn.models[0], seed=int(rng.integers(2**31))
    )
    yield from judged(design, found.estimates)


def groups(design: Design, rng: np.random.Generator, replicates: int) -> Iterator[Judged]:
    """Yield what a run prints of groups, and of how far they lie apart."""
    found = differentials.estimates(design, rng, replicates)
    yield from judged(design, found)
    yield from (Judged(*each) for each in differentials.printed(design, found))


def points(design: Design, rng: np.random.Generator, replicates: int) -> Iterator[Judged]:
    """Yield what a run prints at a threshold that stands, and what `facebench thresholds` prints."""
    if not truths.genuine_shares(design):
        return
    drawn = draw(design, rng)
    stands = truths.threshold_of(design, design.target)
    seed = int(rng.integers(2**31))
    spec = protocol(design, replicates=replicates).model_copy(update={
        "fmr_targets": (), "operating_points": (PointSpec(threshold=stands, name="fixed"),),
        "primary_operating_point": "fixed",
    })  # fmt: skip
    fmr, fnmr = truths.fmr_at(design, stands), truths.fnmr_at(design, stands)
    true = {"fmr": fmr, "fnmr": fnmr, "hter": (fmr + fnmr) / 2}
    for e in measure_scores(spec, drawn.images, drawn.models[0], seed=seed).estimates:
        if e.metric in true and e.value is not None:
            kind = e.metric if e.metric == "hter" else f"{e.metric} at a fixed threshold"
            yield Judged(kind, e.value, e.ci_low, e.ci_high, true[e.metric])
    (found,) = thresholds_of(drawn.images, drawn.models[0], [design.target], spec.uncertainty, seed)
    yield Judged("threshold of an FMR", found.threshold, found.low, found.high, stands)


SOURCES: dict[str, Source] = {"verification": verification, "groups": groups, "points": points}


@dataclass(frozen=True)
class Count:
    """How one kind of interval fared on one design."""

    design: str
    kind: str
    intervals: int
    covered: int
    missing: int  # intervals that were not given
    below: int  # truth below the interval
    loose: int  # intervals that do not hold their own estimate
    width: float  # mean

    @property
    def coverage(self) -> float:
        """The share of intervals that hold the truth."""
        return self.covered / self.intervals if self.intervals else float("nan")


def study(design: Design, source: str, *, runs: int, seed: int, replicates: int = 100, first: int = 0) -> list[Judged]:
    """Return every interval of runs `first` .. `first + runs` of a design; each run has random numbers of its own."""
    found: list[Judged] = []
    name = int.from_bytes(f"{design.name}/{source}".encode(), "big")
    for run in range(first, first + runs):
        rng = np.random.default_rng([seed, name, run])
        found += SOURCES[source](design, rng, replicates)
    return found


def count(design: Design, found: Sequence[Judged]) -> list[Count]:
    """Count what intervals hold, per kind."""
    kinds: dict[str, list[Judged]] = {}
    for each in found:
        kinds.setdefault(each.kind, []).append(each)
    return [_count(design.name, kind, members) for kind, members in kinds.items()]


def _count(design: str, kind: str, members: Sequence[Judged]) -> Count:
    mean = float(np.mean([each.value for each in members]))
    given = [each for each in members if each.low is not None or each.high is not None]
    covered = below = loose = 0
    widths = []
    for each in given:
        low = -np.inf if each.low is None else each.low - TOLERANCE
        high = np.inf if each.high is None else each.high + TOLERANCE
        truth = mean if each.truth is None else each.truth
        covered += int(low <= truth <= high)
        below += int(truth < low)
        loose += int(not low <= each.value <= high)
        widths.append(high - low)
    width = float(np.mean(widths)) if widths else float("nan")
    return Count(design, kind, len(given), covered, len(members) - len(given), below, loose, width)
