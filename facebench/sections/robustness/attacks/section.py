"""Attacks as a part of section ``robustness``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from facebench.schema import ProtocolSpec
from facebench.schema.attack_report import AnswerAttackReport
from facebench.schema.robustness import RobustnessDetails
from facebench.sections.contract import PlanRow, RunContext, Saved, SectionResult
from facebench.sections.robustness.attacks.answers import attack_answers, remeasure_answers
from facebench.sections.robustness.attacks.cost import plan
from facebench.sections.robustness.attacks.measure import remeasure_part
from facebench.sections.robustness.attacks.run import attack_pairs


def run_attacks(context: RunContext) -> SectionResult | None:
    """Run the attacks a protocol asks for, if any."""
    spec = context.spec.robustness
    if spec is None or spec.attacks is None:
        return None
    return attack_answers(context, spec.attacks) if context.spec.task else attack_pairs(context, spec.attacks)


def remeasure_attacks(saved: Saved) -> SectionResult | None:
    """Compute what attacks added to a result again, from the files beside it."""
    gaps = tuple(gap for gap in saved.result.unmeasured if gap.what.startswith("attack:"))
    if saved.spec.task is not None:
        return remeasure_answers(saved, gaps)
    stored = saved.result.robustness
    if stored is None or stored.attacks is None:
        return SectionResult(unmeasured=gaps) if gaps else None
    comparator = saved.result.model.comparator.value
    part = remeasure_part(saved.spec, saved.images, saved.vectors, comparator, stored.attacks, saved.tensors)
    return SectionResult(estimates=part.estimates, unmeasured=gaps, details=part.details, tensors=part.tensors)


def with_attacks(found: SectionResult, attacks: SectionResult | None) -> SectionResult:
    """Return the section with what attacks add to it."""
    if attacks is None:
        return found
    details = found.details
    assert isinstance(details, RobustnessDetails)
    field = "answer_attacks" if isinstance(attacks.details, AnswerAttackReport) else "attacks"
    return replace(
        found, estimates=(*found.estimates, *attacks.estimates), unmeasured=(*found.unmeasured, *attacks.unmeasured),
        details=details.model_copy(update={field: attacks.details}), tensors={**found.tensors, **attacks.tensors},
    )  # fmt: skip


def plan_attacks(spec: ProtocolSpec, seconds_per_image: float) -> Sequence[PlanRow]:
    """Return the expected cost of every cell; a backward pass counts as a forward one."""
    asked = spec.robustness.attacks if spec.robustness else None
    if asked is None:
        return ()
    return [PlanRow(row.condition, row.passes, row.passes * seconds_per_image) for row in plan(asked)]
