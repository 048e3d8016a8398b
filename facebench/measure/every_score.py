"""From embeddings to estimates: one pure function, used by a run and by rescoring alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from facebench.errors import InputError
from facebench.execution.options import Progress, no_progress
from facebench.measure import control, overall
from facebench.measure.acquisition import acquisition_estimates
from facebench.measure.grouped import GroupMeasurer
from facebench.measure.identification import identification
from facebench.measure.sample import Images, Pairs, Sample, Scored, score_embeddings
from facebench.measure.study import Points, groupings_of, points_of
from facebench.schema import Curve, Estimate, Point, ProtocolSpec, Unmeasured
from facebench.schema.task import TaskDetails
from facebench.scoring import ScoreSet


@dataclass(frozen=True)
class Measurement:
    """Everything a result says about scores, or about answers; of these `task` says what was answered."""

    estimates: tuple[Estimate, ...]
    curves: tuple[Curve, ...]
    unmeasured: tuple[Unmeasured, ...]
    task: TaskDetails | None = None

    def at(self, point: Point) -> Estimate:
        """Return the pooled FMR at an operating point, which carries the threshold everything is read at.

        Raises:
            InputError: the protocol has no such operating point.
        """
        for e in self.estimates:
            own = (e.metric, e.group, e.rule, e.failures, e.condition)
            if e.point == point and own == ("fmr", "all", "strict", "counted", "clean"):
                return e
        raise InputError(f"the protocol has no operating point {point}")


def measure(
    spec: ProtocolSpec,
    images: Images,
    vectors: NDArray[np.float32],
    pairs: Pairs | None,
    *,
    comparator: str,
    seed: int,
    compat: Sequence[str] = (),
    progress: Progress = no_progress,
) -> Measurement:
    """Compute every estimate a protocol asks for.

    Args:
        images: N images.
        vectors: (N, D) embeddings; rows of NaN failed.
        pairs: the comparisons of a pair-list protocol; None compares all.
        comparator: of the model.
        seed: of the bootstrap.
        compat: threshold rules of other tools to reproduce beside the strict one.
        progress: told how much is done of the stage ``measure``.

    Raises:
        InputError: there is no impostor comparison at all.
    """
    progress("measure", 0, 1)
    searched = search_estimates(spec, images, vectors, comparator)
    found = measure_scores(
        spec, images, score_embeddings(vectors, images, pairs, comparator), searched[0], seed=seed, compat=compat,
        vectors=vectors, progress=progress,
    )  # fmt: skip
    return replace(found, curves=(*found.curves, *searched[1]))


OVERALL = 8
"""What is measured over all comparisons takes as long as this many groupings at one target (1,800 images, measured)."""


class Steps:
    """Counts what is done of measuring, in units of one grouping at one FMR target."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0
        self.finish(0)

    def finish(self, steps: int = 1) -> None:
        """Note that so many more are done."""
        self._done += steps
        self._progress("measure", self._done, self._total)


def search_estimates(
    spec: ProtocolSpec, images: Images, vectors: NDArray[np.float32], comparator: str
) -> tuple[list[Estimate], list[Curve]]:
    """Return the estimates and curves of 1:N search, if the protocol asks for it and there are identities."""
    if spec.identification is None or images.identities is None:
        return [], []
    return identification(vectors, images, spec.identification, comparator, spec.uncertainty.confidence)


def measure_scores(
    spec: ProtocolSpec,
    images: Images,
    scored: Scored,
    searched: Sequence[Estimate] = (),
    *,
    seed: int,
    compat: Sequence[str] = (),
    vectors: NDArray[np.float32] | None = None,
    progress: Progress = no_progress,
) -> Measurement:
    """Compute every estimate that follows from scores; `searched` is what was found by searching embeddings.

    With `vectors` failures to acquire are counted per group; scores of another tool do not tell them.

    Raises:
        InputError: there is no impostor comparison at all.
    """
    groupings, unmeasured = groupings_of(spec, images)
    if not scored.scores.impostor.size:
        raise InputError("there are no impostor comparisons: the data holds fewer than two identities")
    points = points_of(spec)
    confidence = spec.uncertainty.confidence
    # shuffled labels go through the whole measurement beside the real ones
    shuffled = groupings[:1] if images.identities is not None else []
    controls = [control.control_grouping(grouping, images.identity, seed) for grouping in shuffled]
    steps = Steps(progress, OVERALL + len(points.keys) * (len(groupings) + len(controls)))
    working, listed, pairs = scored.working, scored.listed, scored.pairs
    sample = Sample(images, scored.scores, [*groupings, *controls], replicates=spec.uncertainty.replicates, seed=seed)
    del scored  # memory: from here on the ranked scores serve
    at_targets, pooled_rates = overall.threshold_estimates(sample, points, confidence)
    estimates = [*at_targets, *overall.separation_estimates(sample, confidence)]
    estimates += overall.compat_estimates(sample, compat, points.targets)
    if pairs is not None and listed is not None:
        estimates += overall.fold_estimates(listed, pairs, confidence)
    estimates += searched
    steps.finish(OVERALL)
    if working is not None:
        estimates += _without_failures(spec, images, working, seed, points)
    if groupings:
        if vectors is not None:
            estimates += acquisition_estimates(vectors, images, groupings, confidence)
        measured = GroupMeasurer(
            sample, points, policy=spec.threshold_policy, confidence=confidence,
            min_identities=spec.groups.min_identities if spec.groups else 2,
            design_effects=overall.pooled_design_effects(pooled_rates), seed=seed,
            step=steps.finish,
        ).estimates()  # fmt: skip
        estimates += control.corrected([e for e in measured if not control.of_control(e)])
        for grouping in shuffled:
            estimates += control.as_control(measured, grouping.name)
    unmeasured += gaps(spec, images, sample.genuine.scores.size, sample.impostor.scores.size)
    return Measurement(tuple(estimates), tuple(overall.curves(sample)), tuple(unmeasured))


def _without_failures(
    spec: ProtocolSpec, images: Images, scores: ScoreSet, seed: int, points: Points
) -> list[Estimate]:
    """Return tar, fnmr and fmr over the comparisons that did not fail, with a threshold of their own."""
    if not scores.impostor.size:
        return []
    sample = Sample(images, scores, [], replicates=spec.uncertainty.replicates, seed=seed)
    return overall.threshold_estimates(sample, points, spec.uncertainty.confidence, failures="excluded")[0]


def gaps(spec: ProtocolSpec, images: Images, n_genuine: int, n_impostor: int) -> list[Unmeasured]:
    """Say what this data cannot answer."""
    found = []
    if not n_genuine:
        why = "no identity has two images, so there are no genuine comparisons; only false matches can be counted"
        found.append(Unmeasured(what="TAR, FNMR and EER", why=why))
    if images.identities is None:
        why = "the dataset names no identities; intervals treat comparisons as independent and are too narrow"
        found.append(Unmeasured(what="intervals that account for shared identities", why=why))
        if spec.identification:
            found.append(Unmeasured(what="rank-k identification", why="the dataset names no identities"))
    for target in spec.fmr_targets:
        if target * n_impostor < 1:
            why = f"{n_impostor:,} impostor comparisons allow less than one false match at this target"
            found.append(Unmeasured(what=f"TAR at FMR {target:g}", why=why))
    return found
