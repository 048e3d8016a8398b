"""Sections beyond the groups' own rates: negative control, impostor ladder, causal sweeps, discard curves."""

from __future__ import annotations

import re

from facebench.run.report import render_report, verdict_sentences
from facebench.schema import Curve, Estimate, Flag, LadderDetails, Result, SecondModel
from facebench.schema.causal import CausalDetails, Sweep

from . import factory


def with_depth(name: str = "shade", level: str = "0.9", model: str = "other") -> Result:
    base = factory.full()
    ladder = [
        Estimate(
            metric=metric, value=value, ci_low=value / 2, ci_high=value * 2, errors=40, n_impostor=9000, n_eff=900.0,
            fmr_target=1e-3, condition=condition,
        )
        for metric, condition, value in (
            ("fmr", "impostors:random", 1e-3),
            ("fmr", "impostors:same-sex", 3e-3),
            ("lookalike_match_rate", "impostors:look-alikes", 0.25),
        )
    ]  # fmt: skip
    sweep = [
        Estimate(
            metric=metric, value=value, ci_low=value - 0.01, ci_high=value + 0.01, n_genuine=72, n_identities=36,
            condition=f"causal:{name}={step}", group=group,
        )
        for metric in ("score_change", "fnmr_change")
        for step, value in (("0.1", -0.004), (level, -0.062))
        for group in ("all", "sex=female")
    ]  # fmt: skip
    control = [
        Estimate(
            metric="fmr_gap", value=1e-4, expected_if_fair=1.2e-4, excess=-2e-5, excess_low=-1e-4, excess_high=1e-4,
            fmr_target=1e-3, group="race", condition="control:random-labels",
        ),
        Estimate(
            metric="equal_fmr_test", value=1.5, p_value=0.83, fmr_target=1e-3, group="race",
            condition="control:random-labels",
        ),
        Estimate(metric="fnmr_gap", value=None, fmr_target=1e-3, group="race", condition="control:random-labels"),
    ]  # fmt: skip
    edc = [
        Estimate(
            metric="edc_fnmr", value=0.03, ci_low=0.02, ci_high=0.04, discarded=0.1, n_genuine=500, fmr_target=1e-3,
            condition="quality:norm",
        )
    ]  # fmt: skip
    curve = Curve(kind="edc", name="norm", condition="quality:norm", x=(0.0, 0.1, 0.2), y=(0.05, 0.03, 0.02))
    return base.model_copy(
        update={
            "estimates": (*base.estimates, *ladder, *sweep, *control, *edc),
            "curves": (*base.curves, curve),
            "impostor_ladder": LadderDetails(
                rungs={
                    "impostors:random": "any two people", "impostors:same-sex": "same sex",
                    "impostors:look-alikes": "each image's 3 nearest strangers",
                },
                second_model=SecondModel(name=model, result_id="e" * 64),
            ),
            "causal": CausalDetails(
                sweeps=(Sweep(attribute=name, levels=("0.1", level), n_images=72),), enrolled_other=True
            ),
        }
    ).with_id()  # fmt: skip


def section(page: str, anchor: str) -> str:
    found = re.search(rf'<section[^>]*id="{anchor}".*?</section>', page, re.S)
    assert found, anchor
    return found[0]


def test_every_section_is_there_with_its_numbers() -> None:
    page = render_report(with_depth())
    control = section(page, "control")
    assert "1.2e-4" in control
    assert "0.83" in control
    assert "undefined" not in control
    ladder = section(page, "ladder")
    assert "any two people" in ladder
    assert "40 of 9,000" in ladder
    assert "enters none" in ladder
    causal = section(page, "causal")
    assert "−0.062" in causal
    assert "−0.072 to −0.052" in causal
    assert "female" in causal
    discard = section(page, "discard")
    assert "0.0300" in discard
    assert "10%" in discard


def test_nothing_of_them_lands_among_further_estimates() -> None:
    page = render_report(with_depth())
    assert 'id="further"' not in page or "impostors:" not in section(page, "further")
    assert render_report(factory.full()).count("<section") < page.count("<section")


def test_names_from_outside_are_escaped() -> None:
    page = render_report(with_depth(name=factory.HOSTILE, level=factory.HOSTILE, model=factory.HOSTILE))
    assert factory.HOSTILE not in page


def test_a_failed_control_is_a_caution_at_the_top() -> None:
    result = with_depth()
    failed = tuple(
        e.model_copy(update={"flags": (Flag.CONTROL_FAILED,)}) if e.condition.startswith("control:") else e
        for e in result.estimates
    )
    said = " ".join(verdict_sentences(result.model_copy(update={"estimates": failed})))
    assert "negative control failed" in said
    assert "negative control failed" not in " ".join(verdict_sentences(result))


def test_power_and_correction_stand_in_the_statements() -> None:
    base = factory.alike()

    def extended(e: Estimate) -> Estimate:
        if e.metric.endswith("_max_min"):
            return e.model_copy(update={"detectable_ratio": 1.7})
        if e.metric.startswith("equal_"):
            return e.model_copy(update={"p_holm": 0.62, "q_value": 0.41, "family": 4})
        return e

    said = " ".join(
        verdict_sentences(base.model_copy(update={"estimates": tuple(extended(e) for e in base.estimates)}))
    )
    assert "a ratio of 1.70 or more between two groups with 80% power" in said
    assert "p = 0.62, corrected by Holm for 4 tests" in said
