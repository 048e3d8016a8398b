"""The impostor ladder: how often strangers are taken for each other as they become more alike.

Every rung is read at the one common threshold. Rungs of shared attributes are FMRs. Look-alikes chosen by a second
model are not zero-effort impostors, so they have a metric of their own and never enter an FMR.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.errors import InputError, UnknownNameError
from facebench.files import is_folder
from facebench.measure.every_score import Measurement
from facebench.measure.pairwise import Block, Inside, count_rates
from facebench.measure.rates import Rate, impostor_rate, rate_estimate
from facebench.measure.sample import Images
from facebench.measure.saved import load_inputs, load_result
from facebench.measure.study import attributes_of
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
from facebench.sections.contract import PlanRow, RunContext, Saved, SectionResult

LOOKALIKES = "impostors:look-alikes"
METRIC = "lookalike_match_rate"


@dataclass(frozen=True)
class Rung:
    """One rung: the condition of its estimates, what it asks, and the comparisons it keeps."""

    condition: str
    words: str
    keeps: Inside


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
    comparator = context.model.card.comparator.value
    return _measured(context.spec, context.images, context.embedded.vectors, comparator, context.clean, chosen, second)


def remeasure(saved: Saved) -> SectionResult:
    """Count again; the look-alikes are those chosen in the run."""
    stored = saved.result.impostor_ladder
    second = None if stored is None else stored.second_model
    comparator = saved.result.model.comparator.value
    return _measured(saved.spec, saved.images, saved.vectors, comparator, saved.clean, saved.tensors, second)


def _measured(
    protocol: ProtocolSpec,
    images: Images,
    vectors: NDArray[np.float32],
    comparator: str,
    clean: Measurement,
    chosen: Mapping[str, NDArray[Any]],
    second: SecondModel | None,
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
    counted = count_rates(vectors, images, comparator, thresholds, [rung.keeps for rung in rungs], effects)
    confidence = protocol.uncertainty.confidence
    estimates = [
        _estimate("fmr", rung.condition, rate, people, point, confidence)
        for rung, row in zip(rungs, counted, strict=True)
        for (rate, people), point in zip(row, points, strict=True)
    ]
    words = {rung.condition: rung.words for rung in rungs}
    unmeasured = []
    if chosen:
        words[LOOKALIKES] = f"each image's {spec.neighbours} nearest strangers, by a second model"
        for point, effect in zip(points, effects, strict=True):
            rate, people = _lookalike_rate(vectors, images, comparator, chosen, point, effect)
            estimates.append(_estimate(METRIC, LOOKALIKES, rate, people, point, confidence))
    elif spec.neighbours is not None:
        why = "no second model was given; name its result with --second-model"
        unmeasured.append(Unmeasured(what="false matches of look-alikes", why=why))
    return SectionResult(
        estimates=tuple(estimates), unmeasured=tuple(unmeasured), tensors=dict(chosen),
        details=LadderDetails(rungs=words, second_model=second),
    )  # fmt: skip


def _design_effect(e: Estimate) -> float:
    return max(1.0, (e.n_impostor or 1) / e.n_eff) if e.n_eff else 1.0


def _rungs(spec: LadderSpec, attributes: Mapping[str, Sequence[str | float | None]]) -> list[Rung]:
    """Return the rungs, each with the conditions of the one before it."""
    kept: list[Inside] = [lambda block: block.impostor]
    rungs = [Rung("impostors:random", "any two people", kept[0])]
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


def _all_of(conditions: tuple[Inside, ...]) -> Inside:
    return lambda block: np.logical_and.reduce([condition(block) for condition in conditions])


def _same(column: Sequence[str | float | None]) -> Inside:
    values = {value: i for i, value in enumerate(dict.fromkeys(column)) if value is not None}
    code = np.array([values.get(value, -1) for value in column])  # type: ignore[arg-type]

    def keeps(block: Block) -> NDArray[np.bool_]:
        left, right = code[block.rows][:, None], code[block.columns][None, :]
        return np.asarray((left == right) & (left >= 0))

    return keeps


def _within(name: str, column: Sequence[str | float | None], width: float) -> Inside:
    if any(isinstance(value, str) for value in column):
        raise InputError(f"impostor_ladder.age: the column {name!r} holds words; it must hold numbers")
    age = np.array([np.nan if value is None else float(value) for value in column])

    def keeps(block: Block) -> NDArray[np.bool_]:
        with np.errstate(invalid="ignore"):
            return np.asarray(np.abs(age[block.rows][:, None] - age[block.columns][None, :]) <= width)

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
