"""The verdict beyond clean recognition: altered probes, attacks, saliency maps."""

from __future__ import annotations

from facebench.report.reading import Reading
from facebench.report.statement import Statement, Tone
from facebench.run.report import verdict_of as verdict
from facebench.schema import Estimate, Flag, Result
from facebench.schema.attack_report import AttackReport
from facebench.schema.explanation import ExplanationDetails, MethodVerdict
from facebench.schema.robustness import RobustnessDetails

from . import factory

DARK, MASK = "corruption:low_light:3", "occlusion:surgical_mask"


def tar(condition: str, value: float) -> Estimate:
    return Estimate(metric="tar", value=value, ci_low=value - 0.02, ci_high=value + 0.02, fmr_target=1e-3,
                    condition=condition, n_genuine=1000, errors=round(1000 * (1 - value)))  # fmt: skip


def turned(condition: str, k: int, *flags: Flag) -> Estimate:
    return Estimate(metric="attack_success", value=k / 40, ci_low=0.0, ci_high=1.0, errors=k, n_genuine=40,
                    condition=f"attack:ensemble-{condition}", flags=flags)  # fmt: skip


def result(*estimates: Estimate, **parts: object) -> Result:
    base = factory.full()
    return base.model_copy(update={"estimates": (*base.estimates, *estimates), **parts})


def statement(found: Result, topic: str) -> Statement | None:
    return next((s for s in verdict(Reading(found)) if s.topic == topic), None)


def test_nothing_is_said_of_what_was_not_run() -> None:
    topics = {s.topic for s in verdict(Reading(factory.full()))}
    assert not topics & {"Altered probes", "Attacks", "Where it looks"}


def test_the_condition_that_costs_most_is_named_with_its_interval() -> None:
    details = RobustnessDetails(conditions=(DARK, MASK))
    found = statement(result(tar(DARK, 0.7), tar(MASK, 0.2), robustness=details), "Altered probes")
    assert found is not None
    assert found.headline == "TAR 0.200 (0.180 to 0.220) with surgical mask, the lowest of 2 conditions."
    assert "Clean probes reach" in found.detail
    excluded = tar(DARK, 0.1).model_copy(update={"failures": "excluded"})
    partly = statement(result(tar(DARK, 0.7), excluded, robustness=details), "Altered probes")
    assert partly is not None
    assert partly.headline.startswith("TAR 0.700")
    assert partly.detail.endswith("What 1 further condition cost cannot be told.")
    unknown = statement(result(robustness=details), "Altered probes")
    assert unknown is not None
    assert unknown.tone is Tone.UNKNOWN


def test_the_attacker_who_knows_most_is_spoken_of_unless_unreliable() -> None:
    details = RobustnessDetails(attacks=AttackReport.model_construct(cells=()))
    black, white = turned("black-box-linf:8/255:dodging", 39), turned("white-box-linf:2/255:dodging", 12)
    found = statement(result(black, white, robustness=details), "Attacks")
    assert found is not None
    assert found.headline == "A white-box attack (dodging, linf 2/255) turned 12 of 40 comparisons."
    masked = turned("white-box-linf:2/255:dodging", 0, Flag.UNRELIABLE)
    found = statement(result(masked, robustness=details), "Attacks")
    assert found is not None
    assert found.tone is Tone.UNKNOWN
    assert "unreliable" in found.detail


def test_where_it_looks_needs_a_method_that_passed() -> None:
    def mass(method: str, low: float) -> Estimate:
        return Estimate(metric="relevance_mass", value=low + 0.1, ci_low=low, ci_high=low + 0.2, nulls={"chance": 0.1},
                        condition=f"saliency:{method}:eyes")  # fmt: skip

    def explained(qualified: bool, low: float) -> Statement | None:
        methods = (MethodVerdict(method="gradient", qualified=qualified),)
        return statement(
            result(mass("gradient", low), explanation=ExplanationDetails(methods=methods)), "Where it looks"
        )

    sure, unsure, failed = explained(True, 0.3), explained(True, 0.05), explained(False, 0.3)
    assert sure is not None
    assert (sure.tone, "eyes" in sure.headline) == (Tone.PLAIN, True)
    assert unsure is not None
    assert (unsure.tone, "cannot be told" in unsure.headline) == (Tone.UNKNOWN, True)
    assert failed is not None
    assert (failed.tone, "No method passed" in failed.headline) == (Tone.UNKNOWN, True)
