"""Thresholds from a result: for wanted FMRs with intervals, and for protocols that are read at those of another set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facebench.errors import InputError, NotComparableError
from facebench.files import is_folder
from facebench.measure.overall import false_match_rate, pooled_cutoffs
from facebench.measure.sample import Images, Sample, Scored, score_embeddings, score_listed
from facebench.measure.saved import is_scored, load_inputs, load_result, load_scores
from facebench.measure.study import Points
from facebench.schema import FromResult, ModelCard, ProtocolSpec, Result
from facebench.scoring import MAX_IMAGES


@dataclass(frozen=True)
class Threshold:
    """The threshold of one wanted FMR, as the model's own scores are written.

    Attributes:
        threshold, low, high: accept at or above it, or at or below it where the scores are distances; the limits are
            quantiles over bootstrap replicates of people, None without identities.
        fmr, fmr_low, fmr_high: the FMR achieved, with its interval.
        false_matches, n_impostor: its counts.
        resolvable: whether the data allows one false match at this target.
    """

    fmr_target: float
    threshold: float
    low: float | None
    high: float | None
    fmr: float
    fmr_low: float
    fmr_high: float
    false_matches: int
    n_impostor: int
    resolvable: bool


def thresholds(path: Path, targets: Sequence[float]) -> tuple[Result, list[Threshold]]:
    """Return a result, and the threshold of each wanted FMR on all its impostor comparisons.

    Raises:
        InputError: a target outside 0 and 1, or a file beside the result is missing or changed.
    """
    result, images, scored, spec = _load(path)
    wrong = [target for target in targets if not 0 < target < 1]
    if wrong:
        raise InputError(f"an FMR lies between 0 and 1, found {wrong[0]:g}")
    points = Points(tuple(sorted(set(targets))))
    confidence = spec.uncertainty.confidence
    sample = Sample(images, scored.scores, [], replicates=spec.uncertainty.replicates, seed=result.run.seed)
    cutoffs = pooled_cutoffs(sample, points)
    found = []
    for t, point in enumerate(points.on(sample.scores.impostor)):
        limits: tuple[float | None, float | None] = (None, None)
        if cutoffs is not None:
            tail = (1 - confidence) / 2
            low, high = np.quantile(cutoffs[:, t], [tail, 1 - tail], method="nearest")
            limits = (min(float(low), point.threshold), max(float(high), point.threshold))
        rate = false_match_rate(sample, point).interval(confidence)
        found.append(
            Threshold(
                point.fmr_target, *_own(result.model, point.threshold, *limits), point.fmr, rate["ci_low"],
                rate["ci_high"], point.false_accepts, point.n_impostor, point.resolvable,
            )
        )  # fmt: skip
    return result, found


def _own(card: ModelCard, threshold: float, low: float | None, high: float | None) -> tuple[Any, Any, Any]:
    """Return threshold and limits as the model's scores are written: a distance is the negative of a similarity."""
    if not card.distances:
        return threshold, low, high
    return -threshold, None if high is None else -high, None if low is None else -low


def _load(path: Path) -> tuple[Result, Images, Scored, ProtocolSpec]:
    folder = path if is_folder(path) else path.parent
    result = load_result(path)
    if is_scored(result):
        scores, images, pairs, spec = load_scores(result, folder)
        return result, images, score_listed(scores, pairs), spec
    vectors, images, listed, spec = load_inputs(result, folder)
    if listed is None and len(vectors) > MAX_IMAGES:
        raise InputError(
            f"{path}: all pairs of {len(vectors):,} images are not held in memory (at most {MAX_IMAGES:,})"
        )
    return result, images, score_embeddings(vectors, images, listed, result.model.comparator.value), spec


def with_development(spec: ProtocolSpec, folder: Path) -> ProtocolSpec:
    """Return a protocol whose thresholds from development sets are filled in.

    Raises:
        InputError: no such result, or a file beside it is missing or changed.
    """
    if all(not isinstance(point.threshold, FromResult) for point in spec.thresholds.values()):
        return spec
    points = []
    for point in spec.operating_points or ():
        wanted = point.threshold
        if isinstance(wanted, FromResult) and wanted.value is None:
            result, (found,) = thresholds(folder / wanted.source, [wanted.fmr_target])
            facts = {
                "value": found.threshold, "result_id": result.result_id, "weights_sha256": result.model.weights_sha256,
                "manifest_sha256": result.protocol.manifest_sha256,
            }  # fmt: skip
            point = point.model_copy(update={"threshold": wanted.model_copy(update=facts)})
        points.append(point)
    return spec.model_copy(update={"operating_points": tuple(points)})


def check_development(spec: ProtocolSpec, card: ModelCard) -> None:
    """Refuse a threshold that was set for another model: scores of two models have no scale in common.

    Raises:
        NotComparableError: names both.
    """
    for name, point in spec.thresholds.items():
        if isinstance(point.threshold, FromResult) and point.threshold.weights_sha256 != card.weights_sha256:
            if card.adapter == "scores":  # a file of scores has no weights that could be told apart
                continue
            raise NotComparableError(
                f"operating point {name}: {point.threshold.source} is a result of another model than {card.name}; run "
                "the development set with this model first"
            )
