"""The impostor ladder: how often strangers are taken for each other as they become more alike.

Every rung is read at the one common threshold. Rungs of shared attributes are FMRs. Look-alikes chosen by a second
model are not zero-effort impostors, so they have a metric of their own and never enter an FMR.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.errors import InputError, UnknownNameError
from facebench.files import is_folder
from facebench.measure.every_score import Measurement
from facebench.measure.pairwise import Inside, count_rates
from facebench.measure.rates import Rate, impostor_rate, rate_estimate
from facebench.measure.sample import Images
from facebench.measure.saved import load_inputs, load_result
from facebench.measure.study import attributes_of
from facebench.metrics.verification import held
from facebench.schema import (
    Estimate,
    Flag,
    LadderDetails,
    LadderSpec,
    ProtocolSpec,
    SecondModel,
    Unmeasured,
    point_fields,
)
from facebench.scoring import compare_pairs, similarity
from facebench.sections.contract import Listed, PlanRow, RunContext, Saved, SectionResult

LOOKALIKES = "impostors:look-alikes"
METRIC = "lookalike_match_rate"
Rows = NDArray[np.int64]
Alike = Callable[[Rows, Rows], NDArray[np.bool_]]  # of two images, or of arrays of them that fit together
Counted = list[list[tuple[Rate | None, int]]]  # per rung and operating point: the rate, and the people in it


@dataclass(frozen=True)
class Rung:
    """One rung: the condition of its estimates, what it asks, and the impostor comparisons it keeps."""

    condition: str
    words: str
    keeps: Alike


def plan(spec: ProtocolSpec, n_images: int, seconds_per_image: float) -> list[PlanRow]:  # noqa: ARG001 - no image is embedded
    """Return the cost: one more pass over all comparisons."""
    return [PlanRow("impostor ladder", 0, n_images**2 * 2e-8 * 5)]


def run(context: RunContext) -> SectionResult:
    """Count false matches on every rung; choose look-alikes by the second model, if one is given."""
    spec = context.spec.impostor_ladder
    assert spec is not None
    chosen: dict[str, NDArray[Any]] = {}
    second = None
    path = context.options.second_model
    if spec.neighbours is not None and path is not None:
        chosen, second = _lookalikes(path, context.images, spec.neighbours)
    faces = _Faces(context.images, context.embedded.vectors, context.model.card.comparator.value)
    return _measured(context.spec, context.images, faces.rates, context.clean, faces.lookalikes(chosen), second)


def remeasure(saved: Saved) -> SectionResult:
    """Count again; the look-alikes are those chosen in the run."""
    stored = saved.result.impostor_ladder
    second = None if stored is None else stored.second_model
    faces = _Faces(saved.images, saved.vectors, saved.result.model.comparator.value)
    return _measured(saved.spec, saved.images, faces.rates, saved.clean, faces.lookalikes(saved.tensors), second)


def from_scores(listed: Listed) -> SectionResult:
    """Count on the impostor comparisons of a file; look-alikes are found by embeddings only."""
    why = "look-alikes are chosen by embeddings, of which a file of scores has none"
    return _measured(listed.spec, listed.images, partial(_listed_rates, listed), listed.clean, None, None, why_none=why)


@dataclass(frozen=True)
class _Lookalikes:
    """Pairs chosen by a second model, and the rate at which they are taken for one person."""

    tensors: Mapping[str, NDArray[Any]]
    rate: Callable[[Estimate, float], tuple[Rate | None, int]]


@dataclass(frozen=True, eq=False)
class _Faces:
    """All images compared with each other."""

    images: Images
    vectors: NDArray[np.float32]
    comparator: str

    def rates(self, rungs: Sequence[Rung], thresholds: Sequence[float], effects: Sequence[float]) -> Counted:
        """Return the rates of each rung at each threshold."""
        inside = [_of_block(rung.keeps) for rung in rungs]
        return count_rates(self.vectors, self.images, self.comparator, thresholds, inside, effects)

    def lookalikes(self, chosen: Mapping[str, NDArray[Any]]) -> _Lookalikes | None:
        """Return the pairs chosen, None where there are none."""
        rate = partial(_lookalike_rate, self.vectors, self.images, self.comparator, chosen)
        return _Lookalikes(chosen, rate) if chosen else None


def _of_block(keeps: Alike) -> Inside:
    return lambda block: block.impostor & keeps(block.rows[:, None], block.columns[None, :])


def _listed_rates(
    listed: Listed, rungs: Sequence[Rung], thresholds: Sequence[float], effects: Sequence[float]
) -> Counted:
    """Return the rates of each rung at each threshold, over the impostor comparisons of a file."""
    scores, identity = listed.scored.scores, listed.images.identity
    first, second = scores.impostor_ends[:, 0].astype(np.int64), scores.impostor_ends[:, 1].astype(np.int64)
    found: Counted = []
    for rung in rungs:
        kept = rung.keeps(first, second)
        ends = identity[first[kept]], identity[second[kept]]
        people = int(np.unique(np.concatenate(ends)).size)
        row: list[tuple[Rate | None, int]] = []
        for threshold, effect in zip(thresholds, effects, strict=True):
            errors = scores.impostor[kept] >= held(threshold, scores.impostor.dtype)
            rate = impostor_rate(errors, *ends, design_effect=effect) if errors.size else None
            row.append((rate, people))
        found.append(row)
    return found


def _measured(
    protocol: ProtocolSpec,
    images: Images,
    count: Callable[[Sequence[Rung], Sequence[float], Sequence[float]], Counted],
    clean: Measurement,
    chosen: _Lookalikes | None,
    second: SecondModel | None,
    *,
    why_none: str = "no second model was given; name its result with --second-model",
) -> SectionResult:
    spec = protocol.impostor_ladder
    assert spec is not None
    if images.identities is None:
        why = "the dataset names no identities"
        return SectionResult(unmeasured=(Unmeasured(what="the impostor ladder", why=why),))
    rungs = _rungs(spec, attributes_of(protocol, images))
    points = [e for e in clean.estimates if e.metric == "fmr" and e.group == "all" and e.failures == "counted"]
    points = [e for e in points if e.threshold is not None and e.condition == "clean" and e.rule == "strict"]
    thresholds = [e.threshold for e in points if e.threshold is not None]
    effects = [_design_effect(e) for e in points]
    confidence = protocol.uncertainty.confidence
    estimates = [
        _estimate("fmr", rung.condition, rate, people, point, confidence)
        for rung, row in zip(rungs, count(rungs, thresholds, effects), strict=True)
        for (rate, people), point in zip(row, points, strict=True)
    ]
    words = {rung.condition: rung.words for rung in rungs}
    unmeasured = []
    if chosen is not None:
        words[LOOKALIKES] = f"each image's {spec.neighbours} nearest strangers, by a second model"
        for point, effect in zip(points, effects, strict=True):
            rate, people = chosen.rate(point, effect)
            estimates.append(_estimate(METRIC, LOOKALIKES, rate, people, point, confidence))
    elif spec.neighbours is not None:
        unmeasured.append(Unmeasured(what="false matches of look-alikes", why=why_none))
    tensors = {} if chosen is None else dict(chosen.tensors)
    return SectionResult(
        estimates=tuple(estimates), unmeasured=tuple(unmeasured), tensors=tensors,
        details=LadderDetails(rungs=words, second_model=second),
    )  # fmt: skip


def _design_effect(e: Estimate) -> float:
    return max(1.0, (e.n_impostor or 1) / e.n_eff) if e.n_eff else 1.0


def _rungs(spec: LadderSpec, attributes: Mapping[str, Sequence[str | float | None]]) -> list[Rung]:
    """Return the rungs, each with the conditions of the one before it."""
    kept: list[Alike] = []
    rungs = [Rung("impostors:random", "any two people", _all_of(()))]
    said: list[str] = []
    names: list[str] = []
    for kind, column in (("sex", spec.sex), ("race", spec.race), ("age", spec.age)):
        if column is None:
            continue
        if column not in attributes:
            raise UnknownNameError("attribute", column, attributes, where=f"the protocol's impostor_ladder.{kind}")
        condition = _within(column, attributes[column], spec.age_within) if kind == "age" else _same(attributes[column])
        kept.append(condition)
        names.append(kind)
        said.append(f"{column} within {spec.age_within:g}" if kind == "age" else f"same {column}")
        rungs.append(Rung(f"impostors:same-{'-'.join(names)}", ", ".join(said), _all_of(tuple(kept))))
    return rungs


def _all_of(conditions: tuple[Alike, ...]) -> Alike:
    def keeps(first: Rows, second: Rows) -> NDArray[np.bool_]:
        found = np.ones(np.broadcast_shapes(first.shape, second.shape), bool)
        for condition in conditions:
            found &= condition(first, second)
        return found

    return keeps


def _same(column: Sequence[str | float | None]) -> Alike:
    values = {value: i for i, value in enumerate(dict.fromkeys(column)) if value is not None}
    code = np.array([values.get(value, -1) for value in column])  # type: ignore[arg-type]

    def keeps(first: Rows, second: Rows) -> NDArray[np.bool_]:
        return np.asarray((code[first] == code[second]) & (code[first] >= 0))

    return keeps


def _within(name: str, column: Sequence[str | float | None], width: float) -> Alike:
    if any(isinstance(value, str) for value in column):
        raise InputError(f"impostor_ladder.age: the column {name!r} holds words; it must hold numbers")
    age = np.array([np.nan if value is None else float(value) for value in column])

    def keeps(first: Rows, second: Rows) -> NDArray[np.bool_]:
        with np.errstate(invalid="ignore"):
            return np.asarray(np.abs(age[first] - age[second]) <= width)

    return keeps


def _lookalikes(path: Path, images: Images, k: int) -> tuple[dict[str, NDArray[Any]], SecondModel]:
    """Return the k nearest strangers of each image by the embeddings of another result, each pair once."""
    other = load_result(path)
    folder = path if is_folder(path) else path.parent
    vectors, known, _, _ = load_inputs(other, folder)
    place = {image_id: row for row, image_id in enumerate(known.image_ids)}
    missing = [image_id for image_id in images.image_ids if image_id not in place]
    if missing:
        raise InputError(
            f"--second-model {path}: {len(missing)} images have no embedding there, the first {missing[0]}"
        )
    vectors = vectors[[place[image_id] for image_id in images.image_ids]]
    pairs = set()
    for start in range(0, len(vectors), 512):
        rows = np.arange(start, min(start + 512, len(vectors)))
        scores = similarity(vectors[rows], vectors, other.model.comparator.value)
        scores[images.identity[rows][:, None] == images.identity[None, :]] = -np.inf
        best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        for row, column in zip(np.repeat(rows, best.shape[1]), best.ravel(), strict=True):
            if scores[row - start, column] > -np.inf:
                pairs.add((min(row, column), max(row, column)))
    found = np.array(sorted(pairs), np.int64).reshape(-1, 2)
    card = other.model
    second = SecondModel(name=card.name, weights_sha256=card.weights_sha256, result_id=other.result_id)
    return {"first": found[:, 0], "second": found[:, 1]}, second


def _lookalike_rate(
    vectors: NDArray[np.float32],
    images: Images,
    comparator: str,
    chosen: Mapping[str, NDArray[Any]],
    point: Estimate,
    effect: float,
) -> tuple[Rate | None, int]:
    a, b = chosen["first"], chosen["second"]
    if not a.size:
        return None, 0
    assert point.threshold is not None
    errors = (compare_pairs(vectors, a, b, comparator) >= np.float32(point.threshold)).astype(np.float64)
    first, second = images.identity[a], images.identity[b]
    people = int(np.unique(np.concatenate([first, second])).size)
    return impostor_rate(errors, first, second, design_effect=effect), people


def _estimate(
    metric: str, condition: str, rate: Rate | None, people: int, point: Estimate, confidence: float
) -> Estimate:
    common = {
        "condition": condition, **point_fields(point.point), "threshold": point.threshold,
        "threshold_source": point.threshold_source, "n_identities": people,
    }  # fmt: skip
    if rate is None:
        return Estimate.model_validate({"metric": metric, "value": None, "flags": (Flag.NO_IMPOSTOR,), **common})
    limits = tuple(flag for flag in point.flags if flag is Flag.UNRESOLVABLE)
    return rate_estimate(metric, rate, confidence, flags=limits, n_impostor=rate.n, **common)
