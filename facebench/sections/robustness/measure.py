"""Section ``robustness``: corruptions, occlusions and geometry, each verification again at the clean thresholds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from facebench.errors import InputError
from facebench.measure.drawn import said_of_draw
from facebench.schema import Estimate, ProtocolSpec
from facebench.schema.robustness import ConditionFailure, RobustnessDetails, RobustnessSpec
from facebench.scoring import failed_rows
from facebench.sections.contract import PlanRow, RunContext, Saved, SectionResult
from facebench.sections.robustness.altered import AlteredFaces, examples
from facebench.sections.robustness.answers import answers_under, check_conditions
from facebench.sections.robustness.attacks.needs import attack_needs
from facebench.sections.robustness.attacks.section import plan_attacks, remeasure_attacks, run_attacks, with_attacks
from facebench.sections.robustness.conditions import Baseline, condition_estimates, failure_to_acquire
from facebench.sections.robustness.summaries import Summary

Vectors = NDArray[np.float32]

needs = attack_needs


def run(context: RunContext) -> SectionResult:
    """Embed the images under every condition and measure.

    Raises:
        InputError: a condition needs landmarks, and an image has none.
    """
    names = _spec(context.spec).expanded
    if context.spec.task is not None:
        check_conditions(context.spec, _spec(context.spec))
    probes = AlteredFaces(context).embed(names)
    details = RobustnessDetails(
        conditions=names, apply_to=_spec(context.spec).apply_to, failures=_failures(context, probes),
        examples=examples(context, names) if context.dataset.phantom else (),
    )  # fmt: skip
    if context.spec.task is not None:
        rows, gaps = answers_under(
            context.spec, context.model.card, context.images, context.embedded.vectors, probes, context.options.seed
        )
        found = SectionResult(estimates=rows, details=details, tensors=probes, unmeasured=gaps)
        return with_attacks(found, run_attacks(context))
    baseline = Baseline(
        context.spec, context.images, context.embedded.vectors, context.pairs, context.clean,
        comparator=context.model.card.comparator.value,
    )  # fmt: skip
    estimates = measure(baseline, probes, both=details.apply_to == "both")
    found = SectionResult(
        estimates=estimates, details=details, tensors=probes, unmeasured=said_of_draw("conditions", baseline.drawn)
    )
    return with_attacks(found, run_attacks(context))


def remeasure(saved: Saved) -> SectionResult:
    """Compute the estimates again from the embeddings of the altered images; pictures and failures are copied."""
    names = _spec(saved.spec).expanded
    missing = [name for name in names if name not in saved.tensors]
    if missing:
        raise InputError(f"robustness.safetensors lacks the embeddings of {missing[0]}; run the protocol again")
    probes = {name: saved.tensors[name] for name in names}
    if saved.spec.task is not None:
        again, gaps = answers_under(
            saved.spec, saved.result.model, saved.images, saved.vectors, probes, saved.result.run.seed
        )
        found = SectionResult(estimates=again, details=saved.result.robustness, tensors=probes, unmeasured=gaps)
        return with_attacks(found, remeasure_attacks(saved))
    baseline = Baseline(
        saved.spec, saved.images, saved.vectors, saved.pairs, saved.clean,
        comparator=saved.result.model.comparator.value,
    )  # fmt: skip
    estimates = measure(baseline, probes, both=_spec(saved.spec).apply_to == "both")
    found = SectionResult(
        estimates=estimates, details=saved.result.robustness, tensors=probes,
        unmeasured=said_of_draw("conditions", baseline.drawn),
    )  # fmt: skip
    return with_attacks(found, remeasure_attacks(saved))


def plan(spec: ProtocolSpec, n_images: int, seconds_per_image: float) -> Sequence[PlanRow]:
    """Return what the section will cost."""
    asked = len(_spec(spec).expanded)
    images = n_images * asked
    rows = [PlanRow(f"embedding under {asked} conditions", images, images * seconds_per_image)] if asked else []
    return [*rows, *plan_attacks(spec, seconds_per_image)]


def measure(baseline: Baseline, probes: dict[str, Vectors], *, both: bool) -> tuple[Estimate, ...]:
    """Return the estimates of every condition, then those over all conditions of each family."""
    found: list[Estimate] = []
    summary = Summary(baseline)
    for condition, vectors in probes.items():
        scores = baseline.scores(vectors, both=both)
        part = [*condition_estimates(baseline, scores, condition), failure_to_acquire(baseline, vectors, condition)]
        summary.add(condition, scores)
        found += part
    return (*found, *summary.estimates())


def _spec(spec: ProtocolSpec) -> RobustnessSpec:
    assert spec.robustness is not None  # a section is run only when the protocol asks for it
    return spec.robustness


def _failures(context: RunContext, probes: dict[str, Vectors]) -> tuple[ConditionFailure, ...]:
    clean = failed_rows(context.embedded.vectors)
    return tuple(
        ConditionFailure(condition=name, image_id=context.images.image_ids[i], reason="no usable embedding")
        for name, vectors in probes.items()
        for i in np.flatnonzero(failed_rows(vectors) & ~clean)
    )
