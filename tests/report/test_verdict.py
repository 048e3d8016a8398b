from pathlib import Path
from typing import Any

import pytest

from facebench.report.reading import Reading
from facebench.report.statement import Statement, Tone
from facebench.run.report import verdict_of as verdict
from facebench.run.report import verdict_sentences
from facebench.schema import Estimate, Flag, LeftOut, Result

from . import factory

GOLDEN = Path(__file__).parent / "verdicts.txt"


def statement(result: Result, topic: str) -> Statement:
    return next(s for s in verdict(Reading(result)) if s.topic == topic)


def altered(result: Result, metric: str, group: str, **changes: Any) -> Result:
    """The result with one kind of estimate changed at the primary operating point."""

    def change(e: Estimate) -> Estimate:
        hit = e.metric == metric and e.group == group and e.fmr_target == 1e-3 and e.group_b is None
        return e.model_copy(update=changes) if hit else e

    return result.model_copy(update={"estimates": tuple(map(change, result.estimates))})


def test_the_verdicts_read_as_agreed() -> None:
    """The wording is an interface to people: a change of it is made on purpose, here too."""
    made = "\n\n".join("\n".join([f"# {name}", *verdict_sentences(make())]) for name, make in factory.ALL.items())
    assert made + "\n" == GOLDEN.read_text(encoding="utf-8")


def test_recognition_comes_with_interval_and_counts() -> None:
    found = statement(factory.full(), "Recognition")
    assert "TAR" in found.headline
    assert "95% interval 0.942 to 0.951" in found.headline
    assert "28,388 of 30,000" in found.detail


def test_a_differential_beyond_chance_is_a_finding_with_its_excess() -> None:
    found = statement(factory.full(), "False matches")
    assert found.tone is Tone.FINDING
    assert "more than chance explains" in found.headline
    assert "If all groups were alike, chance alone would show about 5.2e-4" in found.detail
    assert "an excess of 1.3e-3" in found.detail
    assert "corrected for 2 groupings" in found.detail


def test_no_differential_says_what_may_have_gone_unseen() -> None:
    found = statement(factory.alike(), "False matches")
    assert found.tone is Tone.PLAIN
    assert "can be told from chance" in found.headline
    assert "may have gone unseen" in found.detail


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"flags": (Flag.INSUFFICIENT,)}, "undefined on these counts"),
        ({"value": None, "flags": (Flag.NO_IMPOSTOR,)}, "no impostor comparisons"),
        ({"flags": (Flag.UNRESOLVABLE,)}, "too few impostor comparisons"),
        ({"flags": (Flag.NAIVE_INTERVAL,)}, "no identity labels"),
        ({"ci_low": None, "ci_high": None, "flags": (Flag.NO_INTERVAL,)}, "no interval is known"),
        ({"ci_low": None, "ci_high": None}, "No interval is known"),
        ({"p_value": 0.7}, "The interval and the test disagree"),
        ({"ci_low": 0.0}, "The interval and the test disagree"),
        ({"ci_low": 0.0, "p_value": 0.7}, "too few errors"),
    ],
)
def test_cannot_tell_and_why(changes: dict[str, Any], reason: str) -> None:
    result = altered(factory.full(), "fmr_gap", "race", **changes)
    result = altered(result, "fmr_gap", "gender", value=0.0, excess=-1.0)
    found = statement(result, "False matches")
    assert found.tone is Tone.UNKNOWN
    assert found.headline == "Cannot tell whether false matches differ by race."
    assert reason in found.detail


def test_few_identities_matter_where_the_extreme_groups_lack_them() -> None:
    result = altered(factory.full(), "fmr_gap", "race", flags=(Flag.FEW_IDENTITIES,))
    assert statement(result, "False matches").tone is Tone.FINDING
    thin = altered(result, "fmr", "race=asian", flags=(Flag.FEW_IDENTITIES,))
    assert statement(thin, "False matches").tone is Tone.UNKNOWN


def test_a_rate_that_was_not_compared_is_said_to_be_unknown() -> None:
    found = statement(factory.utk(), "False non-matches")
    assert found.tone is Tone.UNKNOWN
    assert found.text.startswith("Not known whether false non-matches differ between groups.")
    assert "no genuine comparisons" in found.detail


def test_own_thresholds_for_groups_are_called_a_diagnostic() -> None:
    result = factory.full()
    changed = result.protocol.model_copy(update={"threshold_policy": "per-group"})
    sentences = verdict_sentences(result.model_copy(update={"protocol": changed}))
    assert any("This is a diagnostic" in s for s in sentences)


def test_sentences_cannot_steer_a_terminal() -> None:
    result = factory.full()
    changed = result.model.model_copy(update={"name": "a\x1b[2Jb"})
    assert "\x1b" not in " ".join(verdict_sentences(result.model_copy(update={"model": changed})))


def test_a_finding_is_not_hidden_by_a_larger_gap_that_cannot_be_told() -> None:
    result = altered(factory.full(), "fmr_gap", "gender", value=0.5, excess=0.4, flags=(Flag.INSUFFICIENT,))
    assert "by race" in statement(result, "False matches").headline


def test_picking_the_largest_of_several_groupings_is_corrected_for() -> None:
    result = altered(factory.full(), "fmr_gap", "race", p_value=0.03)
    result = altered(result, "fmr_gap", "gender", value=0.0, excess=-1.0)
    assert statement(result, "False matches").tone is Tone.UNKNOWN


def test_no_excess_is_no_finding() -> None:
    result = altered(factory.full(), "fmr_gap", "race", excess=-1e-4)
    assert all(s.tone is not Tone.FINDING for s in verdict(Reading(result)) if s.topic == "False matches")


@pytest.mark.parametrize(
    ("make", "reason"),
    [(factory.utk, "no genuine comparisons"), (factory.tiny, "too few impostor comparisons for this target")],
)
def test_recognition_that_cannot_be_told(make: Any, reason: str) -> None:
    found = statement(make(), "Recognition")
    assert found.tone is Tone.UNKNOWN
    assert "cannot be told" in found.headline
    assert reason in found.detail


@pytest.mark.parametrize(("flag", "words"), [(Flag.FEW_ERRORS, "fewer than 30 errors"), (Flag.ZERO_ERRORS, "no error")])
def test_thin_recognition_is_read_with_care(flag: Flag, words: str) -> None:
    found = statement(altered(factory.full(), "tar", "all", flags=(flag,)), "Recognition")
    assert "Read with care" in found.detail
    assert words in found.detail


def test_no_missed_comparison_is_a_bound_and_not_a_tar_of_one() -> None:
    estimates = factory.overall(600, 40_000, mu=12)
    found = statement(factory.frame(estimates), "Recognition")
    assert found.headline.startswith("No genuine comparison was missed: true accept rate (TAR) at least 0.850")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            factory.phantom,
            "This result can show that the instrument can see a differential, never that a model is fair",
        ),
        (factory.tiny, "Limited run: only 8 images"),
        (factory.tiny, "The data has no identity labels"),
        (factory.failing, "130 of 8,192 images could not be used"),
        (factory.full, "2 known defects"),
    ],
)
def test_cautions(make: Any, words: str) -> None:
    assert any(words in sentence for sentence in verdict_sentences(make()))


def test_an_empty_result_still_gets_a_verdict() -> None:
    sentences = verdict_sentences(factory.frame([], curves=()))
    assert any("cannot be told" in s for s in sentences)
    assert any("compares no demographic groups" in s for s in sentences)


def test_no_error_in_any_group_is_told_by_the_bound() -> None:
    result = factory.zero_cells()
    for e in result.estimates:
        if e.metric == "fmr" and e.group.startswith("race=") and e.group_b is None:
            result = altered(result, "fmr", e.group, value=0.0, errors=0, ci_low=0.0, ci_high=0.02)
    for metric, changes in (
        ("fmr_gap", {"value": 0.0, "excess": -1e-4}),
        ("fmr_max_min", {"value": None, "ci_low": 1.0}),
    ):
        result = altered(result, metric, "race", **changes)
    detail = statement(result, "False matches").detail
    assert "No false match was seen in any group; a group's rate may be as high as 2.0e-2." in detail
    assert "A gap of up to 2.0e-2 may have gone unseen." in detail, "the bound of a group bounds the gap"
    assert "same in all groups" not in detail
    assert "The gap is 0" not in detail
    assert "times the lowest" not in detail, "that the highest is at least once the lowest says nothing"


def test_where_every_genuine_comparison_is_missed_the_bound_leads() -> None:
    result = altered(factory.full(), "tar", "all", value=0.0, ci_low=0.0, ci_high=0.031, flags=(Flag.ALL_ERRORS,))
    found = statement(result, "Recognition")
    assert found.headline.startswith("No genuine comparison was accepted: true accept rate (TAR) at most 0.0310,")
    assert "only a lower bound" not in found.detail


def test_the_excess_and_the_ratio_bring_their_intervals() -> None:
    result = altered(factory.full(), "fmr_gap", "race", excess_low=2e-4, excess_high=2.5e-3)
    detail = statement(result, "False matches").detail
    assert "an excess of 1.3e-3 (95% interval 2.0e-4 to 2.5e-3)." in detail
    assert "7.00 times the lowest (95% interval 4.20 to 12.6)." in detail


def test_data_left_out_stands_in_the_verdict() -> None:
    result = factory.full()
    left = tuple(LeftOut(what=f"kind {i} of file", count=3 + i, effect="not read") for i in range(7))
    result = result.model_copy(update={"data": result.data.model_copy(update={"left_out": left})})
    said = verdict_sentences(result)
    assert "Kind 0 of file: 3; not read. Provenance names them." in said
    assert "2 more kinds of data left out are listed under provenance." in said
