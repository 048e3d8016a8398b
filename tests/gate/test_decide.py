"""What a gate concludes from a difference, and how the findings add up to a verdict."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facebench import check_gate, compare, load_policy, load_result
from facebench.errors import ExitCode, InputError, UnknownNameError
from facebench.gate.check import matches
from facebench.gate.decide import Question, decide
from facebench.gate.policy import policy_names
from facebench.schema import Difference, Flag, Outcome, Policy
from tests.comparison import factory


def policy(*rules, **fields):
    return Policy.parse({"rules": list(rules), **fields}, where="test")


def row(worsening, error, **fields):
    """A TAR that falls by `worsening`."""
    common = {"model": "b", "base": "a", "metric": "tar", "fmr_target": 0.01, "base_value": 0.9}
    common |= {"value": 0.9 - worsening, "difference": -worsening, "standard_error": error, "n_identities": 40}
    return Difference.model_validate({**common, "higher_is_better": True, **fields})


def outcome(worsening, error, *, margin=0.01, limited=False, p=None, rule=None, **fields):
    rules = policy({"metric": "tar", "margin": margin, **(rule or {})}, **fields)
    question = Question(1, rules.rules[0], row(worsening, error))
    p = question.p_regression(rules) if p is None else p
    return decide(question, rules, p, limited=limited)


@pytest.mark.parametrize(
    ("worsening", "error", "expected"),
    [
        (0.0, 0.006, Outcome.PASS),  # 1.645 * .006 = .00987 < .01
        (0.0, 0.0061, Outcome.INCONCLUSIVE),  # .01003
        (0.02, 0.006, Outcome.REGRESSION),  # .02 - .00987 > .01
        (0.02, 0.0061, Outcome.INCONCLUSIVE),
        (-0.05, 0.03, Outcome.PASS),
        (0.0, 0.0, Outcome.PASS),  # the same embeddings
    ],
)
def test_three_outcomes(worsening, error, expected):
    assert outcome(worsening, error).outcome is expected


@given(st.floats(-0.1, 0.1), st.floats(1e-6, 0.1), st.floats(0, 0.05))
def test_pass_and_regression_exclude_each_other(worsening, error, margin):
    found = outcome(worsening, error, margin=margin)
    assert found.outcome in (Outcome.PASS, Outcome.REGRESSION, Outcome.INCONCLUSIVE)
    if found.outcome is Outcome.PASS:
        assert worsening < margin
    if found.outcome is Outcome.REGRESSION:
        assert worsening > margin


def test_an_open_question_names_the_identities_that_would_settle_it():
    found = outcome(0.0, 0.02)
    assert found.identities_needed == pytest.approx(40 * (0.02 * (1.6449 + 0.8416) / 0.01) ** 2, rel=0.01)
    assert f"About {found.identities_needed:,} identities would settle it" in found.reason
    on_the_margin = outcome(0.01, 0.02)
    assert on_the_margin.identities_needed is None
    assert "No number of identities" in on_the_margin.reason


def test_above_zero_calls_any_shown_worsening_a_regression():
    assert outcome(0.005, 0.001, regression="above-zero").outcome is Outcome.REGRESSION
    assert outcome(0.005, 0.001).outcome is Outcome.PASS


def test_a_limited_run_never_passes():
    found = outcome(0.0, 0.0, limited=True, on_inconclusive="pass")
    assert found.outcome is Outcome.INCONCLUSIVE
    assert found.counts_as is Outcome.INCONCLUSIVE


@pytest.mark.parametrize(
    ("choice", "expected"),
    [("incomplete", Outcome.INCONCLUSIVE), ("fail", Outcome.REGRESSION), ("pass", Outcome.PASS)],
)
def test_the_policy_decides_what_doubt_does(choice, expected):
    assert outcome(0.0, 0.1, on_inconclusive=choice).counts_as is expected
    assert outcome(0.0, 0.1, rule={"on_inconclusive": choice}).counts_as is expected


def test_a_number_that_cannot_decide_says_why():
    rules = policy({"metric": "tar", "margin": 0.01})
    for flag, words in (
        (Flag.UNRESOLVABLE, "too few impostor comparisons"),
        (Flag.NAIVE_INTERVAL, "no identity labels"),
        (Flag.INSUFFICIENT, "undefined"),
    ):
        found = decide(Question(1, rules.rules[0], row(0.0, 0.001, flags=(flag,))), rules, None, limited=False)
        assert found.outcome is Outcome.INCONCLUSIVE
        assert words in found.reason
    accepting = policy({"metric": "tar", "margin": 0.01}, without_identities="accept")
    naive = Question(1, accepting.rules[0], row(0.0, 0.001, flags=(Flag.NAIVE_INTERVAL,)))
    assert decide(naive, accepting, 1.0, limited=False).outcome is Outcome.PASS


def test_a_relative_margin_is_a_share_of_the_base():
    rules = policy({"metric": "tar", "margin_relative": 0.1})
    found = decide(Question(1, rules.rules[0], row(0.0, 0.001)), rules, 1.0, limited=False)
    assert found.bound == pytest.approx(0.09)


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("sex=*", "sex=female", True),
        ("sex=*", "sex=female&tone=1", False),
        ("sex=*&tone=*", "sex=female&tone=1", True),
        ("*", "sex=female&tone=1", True),
        ("*=*", "all", False),
        ("all", "all", True),
    ],
)
def test_patterns(pattern, name, expected):
    assert matches(pattern, name) is expected


def gate(folders, base, candidate, *rules, **fields):
    comparison = compare(folders[base], folders[candidate])
    return check_gate(comparison, load_result(folders[candidate]), policy(*rules, **fields))


def test_equal_models_pass(folders):
    verdict = gate(
        folders, "base", "twin", {"metric": "tar", "margin": 0}, {"metric": "fmr", "group": "sex=*", "margin": 0}
    )
    assert verdict.passed
    assert bool(verdict)
    assert verdict.exit_code is ExitCode.PASS
    assert len(verdict.findings) == 3
    assert "to the last bit" in verdict.notes[0]


def test_a_worse_model_is_stopped(folders):
    verdict = gate(
        folders, "base", "worse", {"metric": "tar", "margin": 0.02}, {"metric": "tar", "group": "sex=*", "margin": 0.02}
    )
    assert verdict.outcome is Outcome.REGRESSION
    assert verdict.exit_code == 1
    assert verdict.family_size == 3
    assert all(f.p_adjusted >= f.p_value for f in verdict.findings)


@pytest.mark.parametrize(
    "rule",
    [
        {"metric": "robust_tar", "margin": 0.1},
        {"metric": "tar", "group": "race=*", "margin": 0.1},
        {"metric": "tar", "condition": "corruption:*", "margin": 0.1},
        {"metric": "tar", "fmr_target": 1e-5, "margin": 0.1},
        {"metric": "robust_tar", "min": 0.1},
    ],
)  # fmt: skip
def test_a_metric_that_was_not_run_never_passes(folders, rule):
    verdict = gate(folders, "base", "twin", rule, {"metric": "tar", "margin": 0.1}, on_inconclusive="pass")
    assert verdict.outcome is Outcome.MISSING
    assert verdict.exit_code == 3
    assert gate(folders, "base", "twin", rule, on_missing="fail").exit_code == 1


def test_absolute_bounds_read_the_candidate(folders):
    value = next(
        e.value
        for e in load_result(folders["noisy"]).estimates
        if (e.metric, e.fmr_target, e.group) == ("tar", 0.1, "all")
    )
    low = gate(folders, "base", "noisy", {"metric": "tar", "fmr_target": 0.1, "min": 0.1}).findings[0]
    assert (low.outcome, low.value, low.base_value) == (Outcome.PASS, value, None)
    assert gate(folders, "base", "worse", {"metric": "eer", "max": 0.001}).outcome is Outcome.REGRESSION
    near = gate(folders, "base", "worse", {"metric": "tar", "min": 0.5}, {"metric": "tar", "max": 0.0})
    assert {f.outcome for f in near.findings} <= set(Outcome)


def test_a_limited_result_does_not_pass_even_against_itself(tmp_path):
    folder = factory.write_result(tmp_path / "a", factory.vectors(), limit=96)
    verdict = check_gate(compare(folder, folder), load_result(folder), policy({"metric": "tar", "margin": 0.5}))
    assert verdict.exit_code == 3
    assert "A limited run never passes." in verdict.notes


def test_a_gate_takes_two_results_and_the_second_is_the_candidate(folders, comparison):
    rules = policy({"metric": "tar", "margin": 0.1})
    with pytest.raises(InputError, match="exactly these two"):
        check_gate(comparison, load_result(folders["worse"]), rules)
    with pytest.raises(InputError, match="exactly these two"):
        check_gate(compare(folders["base"], folders["worse"]), load_result(folders["base"]), rules)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"rules": []}, "rules"),
        ({}, "rules.* is missing"),
        ({"rules": [{"metric": "tar"}]}, "exactly one of margin"),
        ({"rules": [{"metric": "tar", "margin": 0.1, "min": 0.5}]}, "found margin and min"),
        ({"rules": [{"metric": "tar", "margn": 0.1}]}, "Did you mean 'margin'"),
        ({"rules": [{"metric": "tar", "margin": -0.1}]}, "margin"),
        ({"on_missing": "pass", "rules": [{"metric": "tar", "margin": 0.1}]}, "on_missing"),
        ({"confidence": 1.5, "rules": [{"metric": "tar", "margin": 0.1}]}, "confidence"),
    ],
)
def test_a_wrong_policy_is_refused_with_the_key_named(content, words):
    with pytest.raises(InputError, match=words):
        Policy.parse(content, where="policy p.yaml")


@pytest.mark.parametrize("name", policy_names())
def test_shipped_policies_are_valid(name):
    assert load_policy(name).name == name


def test_an_unknown_policy_name_is_answered_with_the_known_ones():
    with pytest.raises(UnknownNameError, match="Did you mean 'no-regression'"):
        load_policy("no-regresion")
