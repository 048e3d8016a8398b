"""Causal sweeps: one attribute of the probe changes, all else stays, and the score is compared with its own before.

For every edited image the score with each enrolled image of the same person is held against the score of the unedited
image with the same enrolled image. The design follows Liang et al., "Benchmarking Algorithmic Bias in Face Recognition:
An Experimental Approach Using Synthetic Faces and Human Evaluation", 2023.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.errors import UnknownNameError
from facebench.execution.counterfactuals import Edited
from facebench.measure.every_score import Measurement
from facebench.measure.sample import Images
from facebench.measure.study import crossed_grouping
from facebench.metrics.paired_change import Change, mean_change
from facebench.metrics.streams import Stream, generator
from facebench.metrics.uncertainty import zero_error_bounds
from facebench.schema import Estimate, Flag, ProtocolSpec, Result, Unmeasured, point_fields
from facebench.schema.causal import CausalDetails, CausalSpec, Sweep
from facebench.scoring import compare_pairs
from facebench.sections.contract import PlanRow, RunContext, Saved, SectionResult

Floats = NDArray[np.float64]
FEW = 30


def plan(spec: ProtocolSpec, n_images: int, seconds_per_image: float) -> list[PlanRow]:  # noqa: ARG001 - all is embedded already
    """Return the cost: the edited images are embedded with the others."""
    return [PlanRow("causal sweeps", 0, 1.0)]


def run(context: RunContext) -> SectionResult:
    """Measure every sweep of the counterfactual images."""
    edited, comparator = context.edited, context.model.card.comparator.value
    if edited is None or not edited.base.size:
        why = "the dataset has no counterfactual images (columns counterfactual_of, attribute, level)"
        return SectionResult(unmeasured=(Unmeasured(what="causal sweeps", why=why),))
    return _measured(
        context.spec, context.images, context.embedded.vectors, edited, context.clean, comparator, context.options.seed
    )


def remeasure(saved: Saved) -> SectionResult:
    """Measure again from the stored embeddings of the edited images."""
    if not saved.tensors:
        gaps = tuple(gap for gap in saved.result.unmeasured if gap.what == "causal sweeps")
        return SectionResult(unmeasured=gaps)
    edited = _loaded(saved.tensors, saved.result)
    comparator = saved.result.model.comparator.value
    return _measured(saved.spec, saved.images, saved.vectors, edited, saved.clean, comparator, saved.result.run.seed)


def _loaded(tensors: Mapping[str, NDArray[Any]], result: Result) -> Edited:
    assert result.causal is not None
    sweeps = result.causal.sweeps
    numbers = list(zip(tensors["sweep"].tolist(), tensors["level"].tolist(), strict=True))
    return Edited(
        tensors["embeddings"], tensors["base"],
        tuple(sweeps[sweep].attribute for sweep, _ in numbers),
        tuple(sweeps[sweep].levels[level] for sweep, level in numbers),
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Case:
    """What every estimate of the section shares."""

    spec: ProtocolSpec
    threshold: float
    source: str | None
    identity: NDArray[np.int64]
    rng: np.random.Generator


@dataclass(frozen=True, eq=False)
class _Probes:
    """(P,) comparisons of one level: scores of the edited and of the unedited probe, and whose they are.

    `key` names enrolled image and unedited probe, so that levels can be paired with each other.
    """

    edited: Floats
    plain: Floats
    base: NDArray[np.int64]
    key: NDArray[np.int64]


def _measured(
    spec: ProtocolSpec,
    images: Images,
    vectors: NDArray[np.float32],
    edited: Edited,
    clean: Measurement,
    comparator: str,
    seed: int,
) -> SectionResult:
    asked = spec.causal
    assert asked is not None
    if images.identities is None:
        why = "the dataset names no identities"
        return SectionResult(unmeasured=(Unmeasured(what="causal sweeps", why=why),))
    sweeps = _sweeps(edited, asked)
    point = clean.at(spec.primary)
    rng = generator(Stream.CAUSAL, seed)
    case = _Case(spec, point.threshold or 0.0, point.threshold_source, images.identity, rng)
    others = bool((np.bincount(images.identity) > 1).all())
    groups = _groups(spec, images, asked.group_by)
    estimates: list[Estimate] = []
    for sweep in sweeps:
        levels = [_probes(sweep, level, edited, vectors, images.identity, comparator, others) for level in sweep.levels]
        for number, (level, probes) in enumerate(zip(sweep.levels, levels, strict=True)):
            condition = f"causal:{sweep.attribute}={level}"
            for group, inside in groups:
                estimates += _level(case, condition, group, _only(probes, inside), others)
                if number and _are_numbers(sweep.levels):
                    estimates.append(_step(case, condition, group, _only(levels[number - 1], inside), probes))
    index = {sweep.attribute: (number, sweep.levels) for number, sweep in enumerate(sweeps)}
    kept = [row for row, attribute in enumerate(edited.attributes) if attribute in index]
    tensors: dict[str, NDArray[Any]] = {
        "embeddings": edited.vectors[kept],
        "base": edited.base[kept],
        "sweep": np.array([index[edited.attributes[row]][0] for row in kept], np.int64),
        "level": np.array([index[edited.attributes[row]][1].index(edited.levels[row]) for row in kept], np.int64),
    }
    details = CausalDetails(sweeps=tuple(sweeps), enrolled_other=others)
    return SectionResult(estimates=tuple(estimates), tensors=tensors, details=details)


def _sweeps(edited: Edited, spec: CausalSpec) -> list[Sweep]:
    found: dict[str, dict[str, int]] = {}
    for attribute, level in zip(edited.attributes, edited.levels, strict=True):
        counts = found.setdefault(attribute, {})
        counts[level] = counts.get(level, 0) + 1
    wanted = list(found) if spec.attributes == "all" else list(spec.attributes)
    for attribute in wanted:
        if attribute not in found:
            raise UnknownNameError("attribute of counterfactual images", attribute, found, where="causal.attributes")
    return [
        Sweep(attribute=name, levels=tuple(_ordered(found[name])), n_images=sum(found[name].values()))
        for name in wanted
    ]


def _are_numbers(levels: Iterable[str]) -> bool:
    try:
        return all(np.isfinite(float(level)) for level in levels)
    except ValueError:
        return False


def _ordered(levels: Mapping[str, int]) -> list[str]:
    return sorted(levels, key=float) if _are_numbers(levels) else list(levels)


def _groups(spec: ProtocolSpec, images: Images, columns: Sequence[str]) -> list[tuple[str, NDArray[np.bool_]]]:
    """Return everyone, and the groups of the crossed columns."""
    found = [("all", np.ones(len(images.image_ids), bool))]
    grouping = crossed_grouping(spec, images, columns) if columns else None
    if grouping is not None:
        found += [(group, grouping.label == number) for number, group in enumerate(grouping.groups)]
    return found


def _probes(
    sweep: Sweep,
    level: str,
    edited: Edited,
    vectors: NDArray[np.float32],
    identity: NDArray[np.int64],
    comparator: str,
    others: bool,
) -> _Probes:
    wanted = zip(edited.attributes, edited.levels, strict=True)
    rows = [row for row, each in enumerate(wanted) if each == (sweep.attribute, level)]
    enrolled, probe, base = [], [], []
    for row in rows:
        own = int(edited.base[row])
        mates = np.flatnonzero(identity == identity[own])
        for mate in mates[mates != own] if others else [own]:
            enrolled.append(int(mate))
            probe.append(row)
            base.append(own)
    a, b, p = (np.array(column, np.int64) for column in (enrolled, base, probe))
    n = len(vectors)
    everything = np.concatenate([vectors, edited.vectors])
    after = compare_pairs(everything, a, n + p, comparator).astype(np.float64)
    before = compare_pairs(vectors, a, b, comparator).astype(np.float64)
    return _Probes(after, before, b, a * n + b)


def _only(probes: _Probes, inside: NDArray[np.bool_]) -> _Probes:
    rows = inside[probes.base]
    return _Probes(probes.edited[rows], probes.plain[rows], probes.base[rows], probes.key[rows])


def _level(case: _Case, condition: str, group: str, probes: _Probes, others: bool) -> list[Estimate]:
    """Return the change of score, and of FNMR at the clean threshold, against the unedited probes."""
    both = np.isfinite(probes.edited) & np.isfinite(probes.plain)
    change = _change(case, probes.edited[both] - probes.plain[both], probes.base[both])
    found = [_estimate(case, "score_change", condition, group, change)]
    if not others:
        return found
    # a failed probe is never accepted: it counts as missed
    missed = probes.edited < np.float32(case.threshold)
    before = probes.plain < np.float32(case.threshold)
    flips = _change(case, missed.astype(np.float64) - before.astype(np.float64), probes.base)
    fields: dict[str, object] = {"errors": int(missed.sum()), **point_fields(case.spec.primary)}
    fields |= {"threshold": case.threshold, "threshold_source": case.source}
    flags = (Flag.FEW_ERRORS,) if 0 < missed.sum() < FEW else ()
    if flips is not None and not (missed ^ before).any():
        # nothing flipped: the bootstrap would say that nothing can
        people = flips.n_identities
        _, bound = zero_error_bounds(flips.n, people, flips.n / people, case.spec.uncertainty.confidence)
        flips = Change(0.0, (-bound, bound), flips.n, flips.n_identities)
        fields["ci_method"] = "rule-of-three"
    return [*found, _estimate(case, "fnmr_change", condition, group, flips, flags, **fields)]


def _step(case: _Case, condition: str, group: str, before: _Probes, after: _Probes) -> Estimate:
    """Return the change of score from the level before, over comparisons that have both."""
    place = {key: row for row, key in enumerate(after.key.tolist())}
    pairs = [(row, place[key]) for row, key in enumerate(before.key.tolist()) if key in place]
    rows = np.array(pairs, np.int64).reshape(-1, 2)
    difference = after.edited[rows[:, 1]] - before.edited[rows[:, 0]]
    kept = np.isfinite(difference)
    change = _change(case, difference[kept], before.base[rows[:, 0]][kept])
    return _estimate(case, "score_step", condition, group, change)


def _change(case: _Case, differences: Floats, base: NDArray[np.int64]) -> Change | None:
    uncertainty = case.spec.uncertainty
    return mean_change(
        differences, case.identity[base], replicates=uncertainty.replicates, confidence=uncertainty.confidence,
        rng=case.rng,
    )  # fmt: skip


def _estimate(
    case: _Case,
    metric: str,
    condition: str,
    group: str,
    change: Change | None,
    flags: tuple[Flag, ...] = (),
    **fields: object,
) -> Estimate:
    common = {"metric": metric, "condition": condition, "group": group, **fields}
    if change is None:
        return Estimate.model_validate({**common, "value": None, "flags": (*flags, Flag.NO_GENUINE)})
    if change.n_identities < (case.spec.groups.min_identities if case.spec.groups else 2):
        flags = (*flags, Flag.FEW_IDENTITIES)
    limits: dict[str, object] = {}
    if change.interval is None:
        flags = (*flags, Flag.NO_INTERVAL)
    else:
        limits = {"ci_low": change.interval[0], "ci_high": change.interval[1], "ci_method": "identity-bootstrap"}
    counts = {"n_genuine": change.n, "n_identities": change.n_identities, "value": change.value, "flags": flags}
    return Estimate.model_validate({**limits, **common, **counts})
