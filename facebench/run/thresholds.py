"""Thresholds from a result: for wanted FMRs with intervals, and for protocols that are read at those of another set."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from facebench.errors import InputError, NotComparableError
from facebench.files import is_folder
from facebench.measure.overall import false_match_rate, leaning
from facebench.measure.sample import Images, Sample, Scored, score_embeddings, score_listed
from facebench.measure.saved import is_scored, load_inputs, load_result, load_scores
from facebench.measure.study import Points
from facebench.metrics.verification import OperatingPoint, fixed_point
from facebench.schema import FromResult, ModelCard, ProtocolSpec, Result, UncertaintySpec
from facebench.scoring import MAX_IMAGES


@dataclass(frozen=True)
class Threshold:
    """The threshold of one wanted FMR, as the model's own scores are written.

    Attributes:
        threshold, low, high: accept at or above it, or at or below it where the scores are distances; the limits are
            the thresholds at which the interval of the FMR still holds the one wanted; None where nothing limits it on
            that side, without identities, and where one identity decides.
        fmr, fmr_low, fmr_high: the FMR achieved, with its interval.
        false_matches, n_impostor: its counts.
        resolvable: whether the data allows one false match at this target.
        leaning: whether one identity takes part in half of the impostor comparisons or more; no limits are given then.
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
    leaning: bool = False


def thresholds(path: Path, targets: Sequence[float]) -> tuple[Result, list[Threshold]]:
    """Return a result, and the threshold of each wanted FMR on all its impostor comparisons.

    Raises:
        InputError: a target outside 0 and 1, or a file beside the result is missing or changed.
    """
    result, images, scored, spec = _load(path)
    found = thresholds_of(images, scored, targets, spec.uncertainty, result.run.seed)
    if not result.model.distances:
        return result, found
    return result, [_as_distance(each) for each in found]


def thresholds_of(
    images: Images, scored: Scored, targets: Sequence[float], asked: UncertaintySpec, seed: int
) -> list[Threshold]:
    """Return the threshold of each wanted FMR on all impostor scores, as similarities.

    Raises:
        InputError: a target outside 0 and 1.
    """
    wrong = [target for target in targets if not 0 < target < 1]
    if wrong:
        raise InputError(f"an FMR lies between 0 and 1, found {wrong[0]:g}")
    points = Points(tuple(sorted(set(targets))))
    confidence = asked.confidence
    sample = Sample(images, scored.scores, [], replicates=asked.replicates, seed=seed)
    # where one identity takes part in most comparisons, limits held the threshold in .63 of trials: none are given
    leans = bool(leaning(sample))
    found = []
    for point in points.on(sample.impostor.scores):
        limits: tuple[float | None, float | None] = (None, None)
        if sample.has_identities and not leans:
            limits = _limits(sample, point, confidence)
        rate = false_match_rate(sample, point).interval(confidence)
        found.append(
            Threshold(
                point.fmr_target, point.threshold, *limits, point.fmr, rate["ci_low"], rate["ci_high"],
                point.false_accepts, point.n_impostor, point.resolvable, leans,
            )
        )  # fmt: skip
    return found


def _limits(sample: Sample, point: OperatingPoint, confidence: float) -> tuple[float | None, float | None]:
    """Return the lowest and the highest threshold whose FMR may be the one wanted: its interval holds it there.

    None where no threshold is too low, or none too high, for these comparisons to tell.
    """
    impostor = sample.impostor.scores
    falling = np.unique(impostor)[::-1]
    target = point.fmr_target

    def limits(place: int) -> tuple[float, float]:
        here = fixed_point(impostor, float(falling[place]))
        found = false_match_rate(sample, here).interval(confidence)
        return found["ci_low"], found["ci_high"]

    places = range(falling.size)
    first = bisect_left(places, True, key=lambda place: limits(place)[1] >= target)  # the highest one that may be
    last = bisect_left(places, True, key=lambda place: limits(place)[0] > target)  # the first that is too low
    high = None if first == 0 else max(float(falling[min(first, falling.size - 1)]), point.threshold)
    low = None if last == falling.size else min(float(falling[last]), point.threshold)
    return low, high


def _as_distance(found: Threshold) -> Threshold:
    """Return a threshold in distances, which are the negative of similarities."""
    low, high = found.low, found.high
    return replace(
        found, threshold=-found.threshold, low=None if high is None else -high, high=None if low is None else -low
    )


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
