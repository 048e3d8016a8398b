"""Intervals of paired differences of two models on the same comparisons, as `facebench compare` prints them.

The second model separates by `DRIFT` less. Each is read at its own threshold.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from benchmarks.coverage_study import differentials, truths
from benchmarks.coverage_study.designs import Design, draw
from benchmarks.coverage_study.embeddings import embedded
from benchmarks.coverage_study.judged import Judged, protocol, warned
from facebench.comparison import paired, paired_figures
from facebench.comparison.comparable import Loaded
from facebench.comparison.paired import Pairing, Side
from facebench.schema import Comparator, Difference, Estimate, Flag

DRIFT = 0.3


def differences(design: Design, rng: np.random.Generator, replicates: int) -> Iterator[Judged]:
    """Yield the differences of two models."""
    drawn = draw(design, rng, models=2, drift=DRIFT)
    grouped = len(design.groups) > 1
    groups = {"attributes": "all", "intersections": "none", "min_identities": 2} if grouped else None
    searched = {"ranks": (1,)} if drawn.pairs is None else None
    spec = protocol(design, replicates=replicates, groups=groups, identification=searched)
    result: Any = SimpleNamespace(model=SimpleNamespace(comparator=Comparator.DOT))
    seed = int(rng.integers(2**31))
    sides = [
        Side(Loaded(result, Path(), embedded(drawn, model), drawn.images, drawn.pairs, spec), f"m{number}", seed=seed)
        for number, model in enumerate(drawn.models)
    ]
    pairing = Pairing(sides[0], sides[1], 0.95)
    found = [*paired.rate_differences(pairing), *paired_figures.separation_differences(pairing)]
    found += [*paired_figures.rank_differences(pairing), *paired_figures.fold_differences(pairing)]
    if grouped:
        found += [*paired.group_differences(pairing), *paired_figures.differential_differences(pairing)]
    later = replace(design, groups=tuple(replace(g, separation=g.separation - DRIFT) for g in design.groups))
    for d in found:
        if d.difference is not None and Flag.NO_INTERVAL not in d.flags:
            kind = f"difference of {d.metric}{' of a group' if '=' in d.group else ''}"
            yield Judged(warned(kind, d.flags), d.difference, d.ci_low, d.ci_high, _truth(design, later, d, sides))


def _truth(design: Design, later: Design, d: Difference, sides: list[Side]) -> float | None:
    if d.metric == "fmr" and d.group == "all":
        base, model = (truths.fmr_at(design, side.points[0].threshold) for side in sides)
        return model - base
    if d.group == "group":
        values = [differentials.truth(each, d.metric) for each in (design, later)]
        return None if values[0] is None or values[1] is None else values[1] - values[0]
    known = truths.TRUTHS.get(d.metric)
    if known is None:
        return None
    asked = Estimate(metric=d.metric, value=None, fmr_target=d.fmr_target, group=d.group)
    before, after = known(design, asked), known(later, asked)
    return None if before is None or after is None else after - before
