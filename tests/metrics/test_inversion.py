"""Differential measures: intervals within their range and around their value, expectations right about chance."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facebench.metrics import fairness
from facebench.metrics.disparity import OF_BOTH, OF_ONE_RATE, mean_absolute_error
from facebench.metrics.group_draws import GroupCounts, correlated_normals, effective_numbers
from facebench.metrics.inversion import Supposed

from .phantoms import errors_of_fair_cell, rates_and_variances

GAP, RATIO, GINI = (OF_ONE_RATE[name] for name in ("gap", "max_min", "gini"))


def counts(errors, n, n_eff=None):
    errors, n = np.asarray(errors, float), np.asarray(n, float)
    return GroupCounts(errors, n, n if n_eff is None else np.asarray(n_eff, float))


def supposed(*kinds, seed=0, draws=1000, replicates=None):
    columns = sum(kind.n.size for kind in kinds)
    return Supposed(kinds, correlated_normals(columns, replicates, np.random.default_rng(seed), draws))


def test_expectation_of_small_variances():
    """d2(G) SE for the gap and SE / (sqrt(pi) p) for Gini's coefficient: what is known in closed form."""
    for groups, d2 in [(2, 1.13), (3, 1.69), (5, 2.33), (8, 2.85)]:
        fair = supposed(counts([2000] * groups, [10000] * groups), draws=20_000)
        se = np.sqrt(0.2 * 0.8 / 10000)
        assert fair.invert(GAP, 0.95).expected == pytest.approx(d2 * se, rel=0.03)
        assert fair.invert(GINI, 0.95).expected == pytest.approx(se / (np.sqrt(np.pi) * 0.2), rel=0.03)


def test_expectation_is_what_fair_phantoms_show():
    """Eight fair groups of 50 people at FMR .01: far from the ideal values, and the expectation says how far."""
    rng = np.random.default_rng(8)
    groups = [rates_and_variances(errors_of_fair_cell(rng, 50, 0.01, 0.2, 300)) for _ in range(8)]
    errors = np.stack([k for k, _, _ in groups], 1)
    rates = errors / 1225
    n_eff = 0.01 * 0.99 / rates.var()
    found = supposed(counts([12.25] * 8, [1225] * 8, [n_eff] * 8), draws=4000)
    assert found.invert(GAP, 0.95).expected == pytest.approx(np.mean([fairness.gap(r) for r in rates]), rel=0.1)
    assert found.invert(GINI, 0.95).expected == pytest.approx(np.mean([fairness.gini(r) for r in rates]), rel=0.1)
    ratios = [fairness.max_min(row) or np.inf for row in rates]
    assert found.invert(RATIO, 0.95).expected == pytest.approx(np.median(ratios), rel=0.15)
    zeros = (found.counts(0)[0] == 0).mean()
    assert abs(zeros - (errors == 0).mean()) < 0.01


def test_a_ratio_without_enough_errors_has_no_expectation():
    """One tiny group: the mean of its ratios is infinite, and figures such as 1e41 were printed for it."""
    found = supposed(counts([3, 1, 1], [54, 1377, 1377], [10, 1300, 1300])).invert(RATIO, 0.95)
    assert found.value == pytest.approx(76.5)
    assert found.expected is None
    assert found.excess is None
    assert 1 <= found.low < 5


@pytest.mark.parametrize(
    ("errors", "n", "n_eff"),
    [
        ([23, 18, 41, 6], [24, 18, 42, 6], [3, 2, 4, 1]),
        ([23, 18, 41, 6], [24, 18, 42, 6], [13, 10, 30, 3]),
        ([398, 4], [400, 4], [400, 4]),
    ],
)
def test_a_ratio_of_groups_that_nearly_always_err_is_as_open_as_their_gap(errors, n, n_eff):
    """Half an error added to unlike sizes set all-error groups apart: the upper limit was the observed ratio itself."""
    kind = supposed(counts(errors, n, n_eff))
    gap, ratio = kind.invert(GAP, 0.95), kind.invert(RATIO, 0.95)
    widest = 1 / (1 - gap.high)  # the smallest ratio of rates that lie so far apart
    assert ratio.value < 1.05
    assert np.log(ratio.high) > 0.75 * np.log(widest)


def test_a_clear_ratio_is_compared_as_a_quotient():
    found = supposed(counts([100, 1000], [10000, 10000])).invert(RATIO, 0.95)
    assert found.expected == pytest.approx(1.06, abs=0.04)
    assert found.excess == pytest.approx(10 / found.expected)
    assert 1 < found.excess_low < found.excess < found.excess_high
    assert found.low < 10 < found.high
    assert found.low == pytest.approx(10 * np.exp(-0.22), rel=0.05)  # two standard errors of the logarithm


@settings(max_examples=60, deadline=None)
@given(
    groups=st.lists(st.tuples(st.integers(1, 400), st.floats(0, 1), st.floats(0.02, 1)), min_size=2, max_size=5),
    seed=st.integers(0, 99),
)
def test_every_interval_lies_in_its_range_and_holds_its_value(groups, seed):
    n = np.array([g[0] for g in groups], float)
    errors = np.array([round(g[1] * g[0]) for g in groups], float)
    n_eff = np.array([max(1.0, g[2] * g[0]) for g in groups])
    kinds = counts(errors, n, n_eff), counts(n - errors, n, n_eff)
    both = supposed(*kinds, seed=seed, draws=200)
    alone = both.one(0)
    cases = [(alone, m) for m in OF_ONE_RATE.values()] + [(both, m) for m in OF_BOTH.values()]
    cases.append((Supposed((kinds[0],), np.random.default_rng(seed).standard_normal((200, n.size)), 0.01),
                  mean_absolute_error(0.01)))  # fmt: skip
    for samples, measure in cases:
        found = samples.invert(measure, 0.95)
        for figure in (found.value, found.low, found.high, found.expected, found.excess, found.excess_low):
            assert figure is None or np.isfinite(figure)
        if found.low is not None:
            top = np.inf if measure.high is None else measure.high(n.size)
            assert measure.low <= found.low <= (top if found.high is None else found.high) <= top + 1e-9
            if found.value is not None:
                assert found.low <= found.value <= (np.inf if found.high is None else found.high)
        if found.excess is not None and found.excess_low is not None:
            assert found.excess_low <= found.excess


@pytest.mark.parametrize("errors", [(100, 130), (100, 180), (60, 90), (0, 12)])
def test_the_interval_of_the_excess_agrees_with_that_of_the_value(errors):
    found = supposed(counts(errors, [1000, 1000])).invert(GAP, 0.95)
    assert (found.excess_low > 0) == (found.low > 0)


def test_rates_that_share_a_threshold_are_not_taken_as_independent():
    """Where one group's rate rises as the other's falls, the same gap is less surprising."""
    rng = np.random.default_rng(0)
    z = rng.standard_normal((1000, 1))
    against = np.hstack([z, -z])
    kind = counts([100, 140], [1000, 1000])
    apart, opposed = supposed(kind), supposed(kind, replicates=against)
    assert opposed.invert(GAP, 0.95).expected > 1.2 * apart.invert(GAP, 0.95).expected
    assert opposed.equal_rates()[1] > apart.equal_rates()[1]


def test_false_alarms_of_the_test_of_equal_rates():
    rng = np.random.default_rng(5)
    n = np.array([2000.0, 300.0, 800.0])
    alarms = [supposed(counts(rng.binomial(n.astype(int), 0.05), n), seed=i, draws=400).equal_rates()[1] < 0.05
              for i in range(400)]  # fmt: skip
    assert 4 <= sum(alarms) <= 38  # exact binomial limits of .05 in 400, 1e-4 each


def test_without_errors_all_rates_are_equal():
    assert supposed(counts([0, 0], [50, 60])).equal_rates() == (0.0, 1.0)
    found = supposed(counts([0, 0], [50, 60])).invert(GAP, 0.95)
    assert found.value == 0
    assert found.low == 0
    assert 0.01 < found.high < 0.3


def test_effective_numbers_of_groups_with_few_errors_lean_on_the_others():
    errors, n = np.array([400.0, 2.0]), np.array([4000.0, 400.0])
    variances = np.array([10 * 0.09 / 4000, 1e-12])
    independent = np.array([200.0, 40.0])
    found = effective_numbers(errors, n, variances, independent, np.ones(2))
    assert found[0] == pytest.approx(400, rel=0.1)
    assert found[1] < 250
    assert (effective_numbers(np.zeros(2), n, variances, independent, np.array([4.0, 4.0])) <= n / 4).all()
