"""Error-versus-discard curves: FNMR at the clean threshold as the comparisons of poorest quality are left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.errors import InputError, UnknownNameError
from facebench.measure.drawn import listed_genuine
from facebench.measure.every_score import Measurement
from facebench.measure.groups import Column
from facebench.measure.rates import Rate
from facebench.measure.sample import Images, Pairs
from facebench.measure.study import attributes_of
from facebench.metrics.bootstrap import vertex_weights
from facebench.metrics.quality import DiscardCurve, error_versus_discard
from facebench.metrics.streams import Stream, generator
from facebench.metrics.verification import held
from facebench.schema import Curve, Estimate, Flag, ProtocolSpec, Unmeasured, point_fields
from facebench.scoring import compare_pairs
from facebench.sections.contract import Listed, PlanRow, RunContext, Saved, SectionResult

NORM = "norm"
POINTS = 101
FEW = 30


def plan(spec: ProtocolSpec, n_images: int, seconds_per_image: float) -> list[PlanRow]:  # noqa: ARG001 - embeds nothing
    """Return the cost: the genuine comparisons once more."""
    return [PlanRow("error versus discard", 0, n_images**2 * 1e-8)]


def run(context: RunContext) -> SectionResult:
    """Draw the curve of each quality the protocol names."""
    vectors = context.embedded.vectors
    scores = _genuine(vectors, context.images, context.pairs, context.model.card.comparator.value)
    return _measured(context.spec, context.images, scores, vectors, context.clean, context.options.seed)


def remeasure(saved: Saved) -> SectionResult:
    """Draw them again from the embeddings."""
    scores = _genuine(saved.vectors, saved.images, saved.pairs, saved.result.model.comparator.value)
    return _measured(saved.spec, saved.images, scores, saved.vectors, saved.clean, saved.result.run.seed)


def from_scores(listed: Listed) -> SectionResult:
    """Draw them from the scores of a file and the qualities it gives its samples."""
    scores = listed.scored.scores
    genuine = _Genuine(scores.genuine, scores.genuine_ends)
    return _measured(listed.spec, listed.images, genuine, None, listed.clean, listed.seed)


@dataclass(frozen=True, eq=False)
class _Genuine:
    """(P,) scores of the genuine comparisons and (P, 2) their images."""

    genuine: NDArray[np.floating[Any]]
    genuine_ends: NDArray[np.integer[Any]]


def _genuine(vectors: NDArray[np.float32], images: Images, pairs: Pairs | None, comparator: str) -> _Genuine:
    ends = listed_genuine(images, pairs)
    return _Genuine(compare_pairs(vectors, ends[:, 0], ends[:, 1], comparator), ends)


def _measured(
    spec: ProtocolSpec,
    images: Images,
    scores: _Genuine,
    vectors: NDArray[np.float32] | None,
    clean: Measurement,
    seed: int,
) -> SectionResult:
    asked = spec.error_versus_discard
    assert asked is not None
    if not scores.genuine.size:
        why = "there are no genuine comparisons"
        return SectionResult(unmeasured=(Unmeasured(what="error versus discard", why=why),))
    point = clean.at(spec.primary)
    missed = scores.genuine < held(point.threshold or 0.0, scores.genuine.dtype)
    estimates: list[Estimate] = []
    curves: list[Curve] = []
    unmeasured: list[Unmeasured] = []
    for name in asked.quality:
        if name == NORM and vectors is None:
            why = "a file of scores holds no embeddings, whose length it is"
            unmeasured.append(Unmeasured(what=f"error versus discard by {name}", why=why))
            continue
        quality = _quality(name, attributes_of(spec, images), vectors)
        poorer = quality[scores.genuine_ends].min(axis=1)
        known = ~np.isnan(poorer)
        curve = error_versus_discard(missed[known], poorer[known])
        if curve is None:
            unmeasured.append(Unmeasured(what=f"error versus discard by {name}", why="no image has this quality"))
            continue
        draws = _draws(spec, images, missed[known], poorer[known], scores.genuine_ends[known], seed)
        common: dict[str, object] = {
            "condition": f"quality:{name}", **point_fields(point.point), "threshold": point.threshold,
            "threshold_source": point.threshold_source,
        }  # fmt: skip
        owner = images.identity[scores.genuine_ends[known, 0]]
        for share in asked.discard:
            values = None if draws is None else [each.step(share) for each in draws]
            errors, left = (round(count) for count in curve.counts(share))
            people = np.unique(owner[np.argsort(poorer[known], kind="stable")[-left:]]).size
            field = {**common, "discarded": share, "errors": errors, "n_genuine": left, "n_identities": int(people)}
            estimates.append(_estimate(spec, "edc_fnmr", curve.step(share), values, field))
        values = None if draws is None else [each.mean_rate(asked.up_to) for each in draws]
        everyone = {"errors": int(missed[known].sum()), "n_genuine": int(known.sum())}
        field = {**common, **everyone, "discarded": asked.up_to, "n_identities": int(np.unique(owner).size)}
        estimates.append(_estimate(spec, "edc_area", curve.mean_rate(asked.up_to), values, field))
        x = np.linspace(0.0, asked.up_to, POINTS)
        y = tuple(curve.at(share) for share in x)
        curves.append(Curve(kind="edc", name=name, condition=f"quality:{name}", x=tuple(x.tolist()), y=y))
    return SectionResult(estimates=tuple(estimates), curves=tuple(curves), unmeasured=tuple(unmeasured))


def _quality(name: str, attributes: Mapping[str, Column], vectors: NDArray[np.float32] | None) -> NDArray[np.float64]:
    """Return (N,) the quality of each image; NaN where it is not known."""
    if name == NORM and vectors is not None:
        return np.asarray(np.linalg.norm(vectors.astype(np.float64), axis=1), np.float64)
    if name not in attributes:
        known = [*attributes, NORM]
        raise UnknownNameError("quality", name, known, where="the protocol's error_versus_discard")
    column = attributes[name]
    if any(isinstance(value, str) for value in column):
        raise InputError(f"error_versus_discard: the column {name!r} holds words; a quality is a number")
    return np.array([np.nan if value is None else float(value) for value in column])


def _draws(
    spec: ProtocolSpec,
    images: Images,
    missed: NDArray[np.bool_],
    quality: NDArray[np.float64],
    ends: NDArray[np.integer[Any]],
    seed: int,
) -> list[DiscardCurve] | None:
    """Return the curve of each bootstrap replicate over identities; None without identities."""
    if images.identities is None:
        return None
    n = int(images.identity.max()) + 1
    weights = vertex_weights(n, spec.uncertainty.replicates, generator(Stream.DISCARD, seed))
    owner = images.identity[ends[:, 0]]
    drawn = (error_versus_discard(missed, quality, row[owner]) for row in weights)
    return [curve for curve in drawn if curve is not None]


def _estimate(
    spec: ProtocolSpec, metric: str, value: float, draws: list[float] | None, fields: dict[str, object]
) -> Estimate:
    errors, people = (int(str(fields[key])) for key in ("errors", "n_identities"))
    flags: tuple[Flag, ...] = (Flag.ZERO_ERRORS,) if not errors else (Flag.FEW_ERRORS,) if errors < FEW else ()
    limits: dict[str, object] = {}
    if draws and errors:
        tail = (1 - spec.uncertainty.confidence) / 2
        low, high = np.quantile(draws, [tail, 1 - tail])
        limits = {"ci_low": float(low), "ci_high": float(high), "ci_method": "identity-bootstrap"}
    elif draws:  # no replicate of no error differs from it: what can be said rests on how many people were seen
        limits = Rate(0, int(str(fields["n_genuine"])), 0.0, people, 1.0, "").interval(spec.uncertainty.confidence)
        limits.pop("bracket", None)
    else:
        flags = (*flags, Flag.NO_INTERVAL)
    return Estimate.model_validate({**fields, **limits, "metric": metric, "value": value, "flags": flags})
