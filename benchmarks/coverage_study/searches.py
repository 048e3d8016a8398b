"""Intervals of search: rank-k, FPIR and FNIR.

What they are in the population hangs on the size of the gallery, so it is found from draws set apart for that.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from benchmarks.coverage_study.designs import Design, Floats, draw
from benchmarks.coverage_study.embeddings import embedded
from benchmarks.coverage_study.judged import Judged, warned
from facebench.measure.identification import held_out, identification, roles_of
from facebench.measure.sample import Images
from facebench.schema.identification import IdentificationSpec, OpenSetSpec

TARGET = 0.1
REFERENCE = 400  # draws
SPEC = IdentificationSpec(ranks=(1, 5), open_set=OpenSetSpec(hold_out=20, fpir_targets=(TARGET,)))


def searches(design: Design, rng: np.random.Generator, replicates: int) -> Iterator[Judged]:  # noqa: ARG001 - none are drawn
    """Yield what a run prints of search."""
    drawn = draw(design, rng)
    found, _ = identification(embedded(drawn, drawn.models[0]), drawn.images, SPEC, "dot", 0.95)
    known = _population(design)
    for e in found:
        if e.value is None:
            continue
        if e.metric == "rank":
            truth = float(np.mean(known.ranks <= (e.k or 0)))
        elif e.metric == "fpir":
            truth = float(np.mean(known.best >= (e.threshold or 0.0)))
        else:
            threshold = np.quantile(known.best, 1 - TARGET)
            truth = float(np.mean((known.mate < threshold) | (known.place > 1)))
        kind = e.metric if e.metric != "rank" else f"rank-{e.k}"
        yield Judged(warned(kind, e.flags), e.value, e.ci_low, e.ci_high, truth)


@dataclass(frozen=True, eq=False)
class _Population:
    """Many searches: ranks among all enrolled; in the open set best scores of strangers, scores and ranks of mates."""

    ranks: Floats
    best: Floats
    mate: Floats
    place: Floats


@lru_cache(maxsize=4)
def _population(design: Design) -> _Population:
    rng = np.random.default_rng(20_260_101)
    parts = []
    for _ in range(REFERENCE):
        drawn = draw(design, rng)
        n = len(drawn.images.image_ids)
        scores, model = np.zeros((n, n)), drawn.models[0].scores
        for ends, each in ((model.genuine_ends, model.genuine), (model.impostor_ends, model.impostor)):
            scores[ends[:, 0], ends[:, 1]] = scores[ends[:, 1], ends[:, 0]] = each
        parts.append(_searched(drawn.images, scores))
    return _Population(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def _searched(images: Images, scores: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Search every image but the first of each person, by plain comparison of rows."""
    roles = roles_of(images, SPEC)
    identity, gallery = images.identity, roles.enrolled
    assert SPEC.open_set is not None
    away = np.isin(identity, held_out(images, gallery, SPEC.open_set.hold_out))
    ranks = _ranks(scores, identity, roles.probes, gallery)[0]
    kept = gallery[~away[gallery]]
    strangers, known = np.flatnonzero(away), roles.probes[~away[roles.probes]]
    place, mate = _ranks(scores, identity, known, kept)
    return ranks, scores[np.ix_(strangers, kept)].max(axis=1), mate, place


def _ranks(scores: Floats, identity: Floats, probes: Floats, gallery: Floats) -> tuple[Floats, Floats]:
    rows = scores[np.ix_(probes, gallery)]
    mate = rows[identity[probes][:, None] == identity[gallery]]
    return (rows >= mate[:, None]).sum(axis=1), mate
