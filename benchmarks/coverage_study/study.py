"""Repeat a design many times and count, per kind of interval, how often it holds the truth.

A source takes a design and random numbers and yields every interval one run would print. Add a source to `SOURCES`, or
a truth to `truths.TRUTHS`, and its kinds are studied with all others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.coverage_study import differentials, truths
from benchmarks.coverage_study.answers import Answering, answers
from benchmarks.coverage_study.conditions import conditions
from benchmarks.coverage_study.designs import ALIKE, DESIGNS, LISTED, UNLIKE, Design, draw
from benchmarks.coverage_study.judged import Judged, Source, protocol, warned
from benchmarks.coverage_study.paired import differences
from benchmarks.coverage_study.presentations import presentations
from benchmarks.coverage_study.searches import searches
from facebench.measure.every_score import measure_scores
from facebench.run.thresholds import thresholds_of
from facebench.schema import Estimate, PointSpec

TOLERANCE = 1e-9


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
            yield Judged(warned(kind_of(e), e.flags), e.value, e.ci_low, e.ci_high, truth)


def verification(design: Design, rng: np.random.Generator, replicates: int) -> Iterator[Judged]:
    """Yield what a run prints of all comparisons together."""
    drawn = draw(design, rng)
    found = measure_scores(
        protocol(design, replicates=replicates),
        drawn.images,
        drawn.models[0],
        seed=int(rng.integers(2**31)),
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
            yield Judged(warned(kind, e.flags), e.value, e.ci_low, e.ci_high, true[e.metric])
    (found,) = thresholds_of(drawn.images, drawn.models[0], [design.target], spec.uncertainty, seed)
    yield Judged("threshold of an FMR", found.threshold, found.low, found.high, stands)


@dataclass(frozen=True)
class Studied:
    """A source of intervals and the designs it is studied on."""

    source: Source
    designs: tuple[Any, ...]


def _named(*names: str) -> tuple[Design, ...]:
    return tuple(design for design in DESIGNS if design.name in names)


SEARCHED = _named("all pairs, 60 people, 3 images")
SINGLE = _named("all pairs, 40 people, 3 images", "sparse list, 600 people", "dense list, 150 people")
ANSWERING = tuple(
    Answering(f"{shape}, {people} people, {images} images, {how}", shape, people, images, unfair)
    for shape in ("classify", "multilabel", "regress")
    for people, images, how, unfair in ((20, 8, "alike", 0.0), (60, 4, "alike", 0.0), (60, 4, "unlike", 0.4))
)
SOURCES: dict[str, Studied] = {
    "verification": Studied(verification, DESIGNS),
    "points": Studied(points, DESIGNS),
    "groups": Studied(groups, tuple(design for design in DESIGNS if len(design.groups) > 1)),
    "differences": Studied(differences, (*SINGLE, ALIKE, UNLIKE, *LISTED)),
    "conditions": Studied(conditions, (SINGLE[0], ALIKE, UNLIKE)),
    "searches": Studied(searches, SEARCHED),
    "answers": Studied(answers, ANSWERING),
    "presentations": Studied(presentations, (SINGLE[0],)),
}


@dataclass(frozen=True)
class Count:
    """How one kind of interval fared on one design."""

    source: str
    design: str
    kind: str
    runs: int
    intervals: int
    covered: int
    missing: int  # intervals that were not given
    below: int  # truth below the interval
    loose: int  # intervals that do not hold their own estimate
    width: float | None  # mean of those with both limits

    @property
    def coverage(self) -> float:
        """The share of intervals that hold the truth."""
        return self.covered / self.intervals if self.intervals else float("nan")


def study(design: Any, source: str, *, runs: int, seed: int, replicates: int = 100, first: int = 0) -> list[Judged]:
    """Return every interval of runs `first` .. `first + runs` of a design; each run has random numbers of its own."""
    found: list[Judged] = []
    name = int.from_bytes(f"{design.name}/{source}".encode(), "big")
    for run in range(first, first + runs):
        rng = np.random.default_rng([seed, name, run])
        found += SOURCES[source].source(design, rng, replicates)
    return found


def count(source: str, design: Any, found: Sequence[Judged], runs: int) -> list[Count]:
    """Count what intervals hold, per kind."""
    kinds: dict[str, list[Judged]] = {}
    for each in found:
        kinds.setdefault(each.kind, []).append(each)
    return [_count(source, design.name, kind, members, runs) for kind, members in kinds.items()]


def together(before: Sequence[Count], more: Sequence[Count]) -> list[Count]:
    """Return the counts of two sets of runs of one source and design together."""
    own = {each.kind: each for each in before}
    new = {each.kind: each for each in more}
    runs = max((e.runs for e in before), default=0) + max((e.runs for e in more), default=0)
    return [_sum([part[kind] for part in (own, new) if kind in part], runs) for kind in dict.fromkeys([*own, *new])]


def _sum(parts: Sequence[Count], runs: int) -> Count:
    def total(name: str) -> int:
        return sum(getattr(part, name) for part in parts)

    n = total("intervals")
    wide = [(part.width, part.intervals) for part in parts if part.width is not None]
    width = sum(w * m for w, m in wide) / sum(m for _, m in wide) if wide else None
    counted = (total(name) for name in ("covered", "missing", "below", "loose"))
    return Count(parts[0].source, parts[0].design, parts[0].kind, runs, n, *counted, width)


def _count(source: str, design: str, kind: str, members: Sequence[Judged], runs: int) -> Count:
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
        if np.isfinite(high - low):
            widths.append(high - low)
    width = float(np.mean(widths)) if widths else None
    return Count(source, design, kind, runs, len(given), covered, len(members) - len(given), below, loose, width)
