"""Variances and intervals against naive computations and published constants."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facebench.errors import InputError
from facebench.metrics import uncertainty as unc

many = settings(max_examples=60, deadline=None)
seeds = st.integers(0, 2**32 - 1)


def some_comparisons(seed):
    """Return errors of impostor comparisons of a few identities, both ends in any order."""
    rng = np.random.default_rng(seed)
    n, size = int(rng.integers(2, 10)), int(rng.integers(2, 80))
    first = rng.integers(0, n, size)
    second = (first + rng.integers(1, n, size)) % n
    return rng.random(size) < 0.3, first, second, n


@many
@given(seeds)
def test_variances_against_double_loops(seed):
    errors, first, second, n = some_comparisons(seed)
    p, size = errors.mean(), errors.size
    deviations = errors - p
    independent = shared = 0.0  # sums of products of comparisons with both, and with exactly one, identity in common
    for a in range(size):
        for b in range(size):
            common = len({first[a], second[a]} & {first[b], second[b]})
            independent += deviations[a] * deviations[b] * (common == 2)
            shared += deviations[a] * deviations[b] * (common == 1)
    expected = (independent + max(0, shared)) / size**2
    assert unc.cell_variance(deviations, first, second, size) == pytest.approx(expected, abs=1e-12)
    floored = unc.cell_variance(deviations, first, second, size, p)
    assert floored == pytest.approx(max(expected, p * (1 - p) / size), abs=1e-12)
    units = {frozenset((a, b)): 0.0 for a, b in zip(first, second, strict=True)}
    for d, a, b in zip(deviations, first, second, strict=True):
        units[frozenset((a, b))] += d
    members = [[x for ends, x in units.items() if u in ends] for u in range(n)]
    share = [np.mean((first == u) | (second == u)) for u in range(n)]
    vertex = clustered(members, share) + sum(x * x for x in units.values())
    assert unc.vertex_variance(deviations, first, second, size) == pytest.approx(vertex / size**2, abs=1e-12)
    people = [list(deviations[first == u]) for u in range(n)]
    own = clustered(people, [np.mean(first == u) for u in range(n)]) + float(deviations @ deviations)
    assert unc.identity_variance(deviations, first, size) == pytest.approx(own / size**2, abs=1e-12)


def clustered(members, share):
    """Return what sharing adds, raised by its standard error: the formula of `clusters` word for word."""
    b = [
        (sum(units) ** 2 - sum(x * x for x in units)) / (1 - min(h, 0.5)) ** 2
        for units, h in zip(members, share, strict=True)
    ]
    return max(0.0, sum(b) + sum(x * x for x in b) ** 0.5)


def test_pairs_that_share_nobody_are_independent():
    """1,000 comparisons of 2,000 people carry 1,000 comparisons' worth, however few or many err."""
    first = np.arange(1000)
    for k in (1, 50, 500):
        errors = np.arange(1000) < k
        p = k / 1000
        variance = unc.vertex_variance(errors - p, first, first + 1000, 1000)
        assert variance == pytest.approx(p * (1 - p) / 1000)
        assert unc.wilson_from_variance(p, 1000, variance).n_eff == pytest.approx(1000)
        both = unc.two_sample_variance(errors - p, first + 2000, errors - p, first, first + 1000, 3000)
        assert both == pytest.approx(2 * p * (1 - p) / 1000)


@many
@given(seeds)
def test_the_more_comparisons_share_the_more_the_variance(seed):
    """People who err in all their comparisons with each other: the comparisons are far from independent."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(20, 60))
    first, second = np.triu_indices(n, 1)
    liked = rng.random(n) < 0.3
    errors = liked[first] & liked[second]
    if liked.sum() > 2 and not errors.all():  # two such people share one comparison, and nothing with others
        shared = unc.vertex_variance(errors - errors.mean(), first, second, errors.size)
        assert shared > 1.5 * errors.mean() * (1 - errors.mean()) / errors.size


@many
@given(seeds, st.integers(2, 4))
def test_duplicated_images_add_no_information(seed, copies):
    """Every image twice means every comparison four times: as many errors per comparison, the same n_eff."""
    errors, first, second, _ = some_comparisons(seed)
    p, times = errors.mean(), copies**2
    many_deviations, many_first, many_second = (np.repeat(x, times) for x in (errors - p, first, second))
    for variance in (
        lambda d, u, v: unc.cell_variance(d, u, v, d.size),
        lambda d, u, v: unc.vertex_variance(d, u, v, d.size),
    ):
        one, repeated = variance(errors - p, first, second), variance(many_deviations, many_first, many_second)
        assert repeated == pytest.approx(one, abs=1e-14)
        if 0 < p < 1 and one > p * (1 - p) / errors.size:
            n_eff = unc.wilson_from_variance(p, errors.size, one).n_eff
            assert unc.wilson_from_variance(p, errors.size * times, repeated).n_eff == pytest.approx(n_eff)


def test_closed_form_of_one_image_per_identity():
    """S_u = k_u - p (n - 1) and sum d² = k - 2 p k + p² P need no list of comparisons."""
    from .phantoms import errors_of_fair_cell, pair_ends, rates_and_variances

    errors = errors_of_fair_cell(np.random.default_rng(1), 30, 0.1, 0.3, 5)
    first, second = pair_ends(30)
    for matrix, k, cell, _ in zip(errors, *rates_and_variances(errors), strict=True):
        e = matrix[first, second].astype(float)
        p = e.mean()
        assert e.sum() == k
        assert unc.cell_variance(e - p, first, second, e.size, p) == pytest.approx(cell)


def test_the_variance_of_independent_comparisons_is_a_floor():
    assert unc.wilson_from_variance(0.3, 50, 1e-9).n_eff == pytest.approx(50)
    low, high = unc.wilson(0.3, 50)
    assert unc.wilson_from_variance(0.3, 50, 0.0) == unc.RateInterval(low, high, pytest.approx(50))


@given(st.floats(0, 1), st.floats(0.5, 1e6), st.floats(0.5, 0.999))
def test_wilson_holds_the_rate_and_stays_within_bounds(rate, n, confidence):
    low, high = unc.wilson(rate, n, confidence)
    assert 0 <= low <= rate + 1e-12
    assert rate - 1e-12 <= high <= 1


def test_wilson_without_trials_says_nothing():
    assert unc.wilson(0.5, 0) == (0, 1)


@given(st.integers(0, 50), st.floats(0.5, 0.999))
def test_clopper_pearson_is_exact(errors, confidence):
    from scipy.stats import binomtest

    exact = binomtest(errors, 50).proportion_ci(confidence)
    assert unc.clopper_pearson(errors, 50, confidence) == pytest.approx((exact.low, exact.high), abs=1e-9)


def test_bounds_without_errors():
    evidence = -np.log(0.05)
    assert unc.zero_error_bounds(1225, 25, 2.0) == pytest.approx((2 * evidence / 1225, evidence / 25))
    assert unc.zero_error_bounds(1225, 25, 0.5)[0] == pytest.approx(evidence / 1225)
    assert unc.zero_error_bounds(10, 0, 1)[1] == 1
    assert unc.zero_error_bounds(100, 2, 1)[1] == 1


@given(st.integers(1, 10_000), st.floats(0.5, 0.999))
def test_the_bound_without_errors_follows_the_confidence(n, confidence):
    """At the bound, n independent trials show no error with probability 1 - c or less."""
    bound = unc.zero_error_bounds(n, n, 1.0, confidence)[1]
    assert (1 - bound) ** n <= (1 - confidence) * (1 + 1e-9)


def test_power():
    assert unc.errors_needed(2) == pytest.approx(33, abs=0.5)
    assert unc.errors_needed(0.5, 3) == pytest.approx(3 * unc.errors_needed(2))
    assert unc.smallest_ratio_seen(unc.errors_needed(3, 2), 2) == pytest.approx(3)
    assert unc.smallest_ratio_seen(0) is None
    for ratio in (0, -1, 1):
        with pytest.raises(InputError, match="ratio"):
            unc.errors_needed(ratio)


def test_counting():
    assert [unc.disjoint_pairs(5), unc.disjoint_pairs(5, 3)] == [2, 3]
    assert [unc.n_pairs(n) for n in (0, 1, 2, 5)] == [0, 0, 1, 10]
