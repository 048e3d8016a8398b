"""Paired differences under conditions: the altered probes of both models, comparison by comparison.

Each model is read at its own clean threshold, which is held fixed: the question is what happens to a system that has
been set up. Only conditions whose embeddings lie beside both results are paired here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.comparison.paired import Pairing, Side
from facebench.measure.every_score import Measurement
from facebench.measure.saved import load_section
from facebench.metrics import paired
from facebench.schema import Difference, Flag
from facebench.sections.robustness.conditions import Baseline, Cell, accepted

Scores = NDArray[np.float32]


def condition_differences(pairing: Pairing) -> list[Difference]:
    """Return the differences of fmr, fnmr and tar under every condition both results hold, overall and per group."""
    base, model = (_Altered(side) for side in (pairing.base, pairing.model))
    found: list[Difference] = []
    for condition in base.conditions:
        if condition not in model.conditions:
            continue
        scores = base.scores(condition), model.scores(condition)
        cells = zip(base.cells(), model.cells(), strict=True)
        for (genuine, first), (_, second) in cells:
            if first.rows.size:
                found += _cell(pairing, (first, second), scores, condition, genuine=genuine)
    return found


class _Altered:
    """The altered embeddings of one model with its clean thresholds."""

    def __init__(self, side: Side) -> None:
        loaded = side.loaded
        spec = loaded.spec.robustness
        self._both = spec is not None and spec.apply_to == "both"
        tensors = load_section(loaded.result, loaded.folder, "robustness") if spec is not None else {}
        # the names of conditions; what else a section saves is not an embedding per image
        wanted = spec.expanded if spec is not None else ()
        self.conditions = {name: tensors[name] for name in wanted if name in tensors}
        clean = Measurement(loaded.result.estimates, (), ())
        self._baseline: Baseline | None = None
        if self.conditions:
            self._baseline = Baseline(
                loaded.spec, loaded.images, loaded.vectors, loaded.pairs, clean, comparator=side.comparator
            )

    def scores(self, condition: str) -> Scores:
        assert self._baseline is not None
        return self._baseline.scores(self.conditions[condition], both=self._both)

    def cells(self) -> list[tuple[bool, Cell]]:
        """Return whether genuine, and the cell: all comparisons at every target, then the groups at the primary one."""
        assert self._baseline is not None
        pooled = [(genuine, cell) for (genuine, _), cell in self._baseline.pooled.items()]
        groups = [
            (genuine, cell)
            for cells in self._baseline.grouped.values()
            for pair in cells
            for genuine, cell in zip((True, False), pair, strict=True)
        ]
        return [*pooled, *groups]


def _cell(
    pairing: Pairing, cells: tuple[Cell, Cell], scores: tuple[Scores, Scores], condition: str, *, genuine: bool
) -> list[Difference]:
    first = cells[0]
    errors = [accepted(each, cell) != genuine for cell, each in zip(cells, scores, strict=True)]
    if genuine:
        change = paired.paired_genuine(errors[0], errors[1], first.first)
    else:
        change = paired.paired_impostor(errors[0], errors[1], first.first, first.second)
    naive = () if pairing.base.sample.has_identities else (Flag.NAIVE_INTERVAL,)
    values = [float(each.mean()) for each in errors]
    error = float(np.sqrt(change.variance))
    fields: dict[str, Any] = {
        key: first.fields[key]
        for key in ("fmr_target", "operating_point", "group", "n_identities")
        if key in first.fields
    }
    fields |= {"condition": condition, "n_comparisons": change.n}
    fields |= {"newly_wrong": change.newly_wrong, "newly_right": change.newly_right, "flags": (*first.flags, *naive)}
    metric = "fnmr" if genuine else "fmr"
    found = [pairing.difference(metric, values, error, "paired-identity", **fields)]
    if genuine:
        tars = [1 - value for value in values]
        found.append(pairing.difference("tar", tars, error, "paired-identity", **fields))
    return found
