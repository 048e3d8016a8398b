"""Planted and null changes, simulated: the gate catches what its power calculation says, and seldom cries wolf."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from facebench.gate.decide import Question, decide
from facebench.metrics import paired
from facebench.schema import Difference, Outcome, Policy

IDENTITIES, EACH, REPETITIONS = 100, 10, 2000
ALPHA = 0.05


def genuine_errors(rng, rate=0.05):
    """Return (P,) errors with effects of the identities, and the identity of each comparison."""
    identity = np.repeat(np.arange(IDENTITIES), EACH)
    odds = np.log(rate / (1 - rate)) + 0.8 * rng.standard_normal(IDENTITIES)[identity]
    return rng.random(identity.size) < 1 / (1 + np.exp(-odds)), identity


def finding(base, model, identity, policy):
    found = paired.paired_genuine(base, model, identity)
    difference = Difference(
        model="b", base="a", metric="fnmr", base_value=float(base.mean()), value=float(model.mean()),
        difference=found.difference, higher_is_better=False, standard_error=found.variance**0.5,
        n_identities=IDENTITIES, n_comparisons=found.n,
    )  # fmt: skip
    question = Question(1, policy.rules[0], difference)
    return decide(question, policy, question.p_regression(policy), limited=False)


def rules(margin, regression="beyond-margin"):
    return Policy.parse({"regression": regression, "rules": [{"metric": "fnmr", "margin": margin}]}, where="test")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("margin", "regression"), [(0.0, "beyond-margin"), (0.004, "beyond-margin"), (0.004, "above-zero")]
)
def test_one_per_cent_of_a_groups_genuine_scores_lowered(margin, regression):
    """Each genuine score of the group falls below every threshold with probability 1 %.

    The share caught is the one the power calculation gives from the design alone; what is not caught is called
    inconclusive, and hardly ever passes.
    """
    rng = np.random.default_rng(11)
    policy = rules(margin, regression)
    outcomes = Counter()
    for _ in range(REPETITIONS):
        base, identity = genuine_errors(rng)
        outcomes[finding(base, base | (rng.random(base.size) < 0.01), identity, policy).outcome] += 1
    n = IDENTITIES * EACH
    mean_rate = 0.05 * 1.2  # the effects of the identities raise the mean a little
    flips = 0.01 * (1 - mean_rate) * n
    line = 0.0 if regression == "above-zero" else margin
    predicted = paired.power_against_worsening(flips, n, IDENTITIES, line, paired.one_sided_quantile(0.95))
    caught = outcomes[Outcome.REGRESSION] / REPETITIONS
    assert caught == pytest.approx(predicted, abs=0.03)
    # to pass, the harm must look smaller than the margin although it is 2.3 margins large or more
    assert outcomes[Outcome.PASS] / REPETITIONS < 0.05


@pytest.mark.slow
def test_a_change_that_exceeds_the_margin_passes_no_more_often_than_promised():
    """The harm equals the margin exactly: the worst case of non-inferiority, at most 5 % may pass."""
    rng = np.random.default_rng(12)
    margin = 0.02
    passed = 0
    for _ in range(REPETITIONS):
        base, identity = genuine_errors(rng, rate=0.02)
        lowered = rng.random(base.size) < margin / (1 - base.mean())
        passed += finding(base, base | lowered, identity, rules(margin)).outcome is Outcome.PASS
    assert passed / REPETITIONS < 0.065


@pytest.mark.slow
def test_a_null_change_seldom_fails():
    """Both models err alike on average, on different comparisons; a worsening of any size counts as a regression."""
    rng = np.random.default_rng(13)
    policy = rules(0.01, "above-zero")
    outcomes = Counter()
    for _ in range(REPETITIONS):
        identity = np.repeat(np.arange(IDENTITIES), EACH)
        odds = np.log(0.05 / 0.95) + 0.8 * rng.standard_normal(IDENTITIES)[identity]
        hard = rng.standard_normal(identity.size)
        base, model = (odds + 2 * hard + rng.logistic(size=identity.size) > 0 for _ in range(2))
        outcomes[finding(base, model, identity, policy).outcome] += 1
    assert outcomes[Outcome.REGRESSION] / REPETITIONS < 0.07


@pytest.mark.slow
def test_changes_that_cluster_in_identities_do_not_raise_false_alarms():
    """A tenth of the identities changes as a whole, for better or worse: comparisons are not the sampling unit."""
    rng = np.random.default_rng(14)
    policy = rules(0.01, "above-zero")
    alarms = naive = 0
    for _ in range(REPETITIONS):
        base, identity = genuine_errors(rng, rate=0.3)
        other, _ = genuine_errors(rng, rate=0.3)  # errors of other people of the same population
        moved = rng.random(IDENTITIES) < 0.1
        model = np.where(moved[identity], other, base)
        found = finding(base, model, identity, policy)
        alarms += found.outcome is Outcome.REGRESSION
        change = paired.paired_genuine(base, model, identity)
        independent = (change.newly_wrong + change.newly_right) ** 0.5 / base.size
        naive += paired.p_above(change.difference, 0, independent) < ALPHA
    assert alarms / REPETITIONS < 0.07
    assert naive / REPETITIONS > alarms / REPETITIONS
