"""Differential measures against their double sums and fairlearn."""

import numpy as np
import pytest
from fairlearn.metrics import equalized_odds_difference, equalized_odds_ratio
from hypothesis import given, settings
from hypothesis import strategies as st

from facebench.metrics import fairness as fair

many = settings(max_examples=100, deadline=None)
some_rates = st.lists(st.floats(1e-6, 1), min_size=2, max_size=9)

MEASURES = [fair.gap, fair.max_min, fair.max_geomean, fair.gini, fair.sedg, fair.skewed_error_ratio, fair.accuracy_std]


@many
@given(some_rates)
def test_gini_is_its_double_sum(x):
    n = len(x)
    expected = n / (n - 1) * sum(abs(a - b) for a in x for b in x) / (2 * n * n * np.mean(x))
    assert fair.gini(x) == pytest.approx(expected, abs=1e-12)


@many
@given(some_rates, st.randoms())
def test_order_of_groups_and_unit_change_nothing(x, random):
    shuffled = random.sample(x, len(x))
    for measure in MEASURES:
        expected = measure(x)
        assert measure(shuffled) == (expected if expected is None else pytest.approx(expected, rel=1e-9, abs=1e-12))
    for measure in (fair.max_min, fair.max_geomean, fair.gini, fair.sedg):
        assert measure(np.array(x) / 7) == pytest.approx(measure(x), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("rate", [0.0, 0.2])
def test_equal_groups(rate):
    x = [rate] * 4
    assert fair.gap(x) == 0
    assert fair.accuracy_std(x) == pytest.approx(0)
    assert fair.fdr(x, x) == 1
    assert fair.equalised_odds_difference(x, x) == 0
    if rate:
        assert fair.inequity_rate(x, x) == fair.max_min(x) == fair.skewed_error_ratio(x) == 1
        assert fair.equalised_odds_ratio(x, x) == 1
        assert fair.werm(x, x) == pytest.approx(1)
        assert fair.garbe(x, x) == pytest.approx(0)
        assert fair.sedg(x) == pytest.approx(0)
        assert fair.mape(x, rate) == 0
    else:
        undefined = (fair.inequity_rate, fair.garbe, fair.werm, fair.equalised_odds_ratio)
        assert [measure(x, x) for measure in undefined] == [None] * 4
        assert fair.mape(x, rate) is None


def test_plain_measures():
    assert fair.mape([0.1, 0.3], 0.2) == pytest.approx(50)
    assert fair.skewed_error_ratio([0.9, 0.8]) == pytest.approx(2)
    assert fair.skewed_error_ratio([1.0, 0.8]) is None
    assert fair.accuracy_std([0.9, 0.8]) == pytest.approx(0.05)
    assert fair.fdr([0.1, 0.2], [0.1, 0.5], alpha=0.25) == pytest.approx(1 - 0.025 - 0.3)
    assert fair.signed_ratio_difference(1, 0) is None
    assert fair.signed_ratio_difference(2, 2) == (0, 0)


@many
@given(st.integers(0, 2**32 - 1))
def test_equalised_odds_are_those_of_fairlearn(seed):
    rng = np.random.default_rng(seed)
    n_groups, n = int(rng.integers(2, 5)), 200
    group = np.r_[np.repeat(np.arange(n_groups), 2), rng.integers(0, n_groups, n)]
    same = np.r_[np.tile([0, 1], n_groups), rng.integers(0, 2, n)]
    accept = (rng.random(group.size) < rng.uniform(0, 1, (2, n_groups))[same, group]).astype(int)
    accept[0] = accept[1] = 1  # no rate is zero in every group
    fmr = [accept[(same == 0) & (group == g)].mean() for g in range(n_groups)]
    fnmr = [1 - accept[(same == 1) & (group == g)].mean() for g in range(n_groups)]
    args = {"sensitive_features": group}
    assert fair.equalised_odds_difference(fmr, fnmr) == pytest.approx(equalized_odds_difference(same, accept, **args))
    assert fair.equalised_odds_ratio(fmr, fnmr) == pytest.approx(equalized_odds_ratio(same, accept, **args))
