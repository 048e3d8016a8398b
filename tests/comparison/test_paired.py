"""The arithmetic of paired differences, against hand counts, brute force and simulation."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facebench.metrics import families, paired, uncertainty


def test_a_hand_case():
    """Four identities with two comparisons each; two become wrong, one becomes right: D = 1/8."""
    base = np.array([0, 0, 0, 0, 1, 0, 0, 0], bool)
    model = np.array([1, 0, 1, 0, 0, 0, 0, 0], bool)
    identity = np.array([0, 0, 1, 1, 2, 2, 3, 3])
    found = paired.paired_genuine(base, model, identity)
    assert (found.newly_wrong, found.newly_right, found.n) == (2, 1, 8)
    assert found.difference == pytest.approx(1 / 8)
    sums, squares = np.array([1, 1, -1, 0]) - 2 / 8, np.array([1, 1, 1, 0]) - 2 / 8 * np.array([1, 1, -1, 0]) + 2 / 64
    shared = (sums**2 - squares) / (3 / 4) ** 2  # each identity has a quarter of the comparisons
    clustered = squares.sum() + max(0.0, shared.sum() + np.sqrt((shared**2).sum()))
    plain = max(clustered / 64, 3 / 64)
    assert found.variance == pytest.approx(plain * (1 + plain * 64 / 9))


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 40), st.integers(0, 40), st.integers(1, 100), st.floats(0, 0.5), st.floats(0.5, 0.999))
def test_a_paired_interval_stays_in_range_and_holds_its_estimate(wrong, right, rest, variance, confidence):
    n = wrong + right + rest
    (low, high), p_value = paired.discordant_interval(wrong, right, n, variance, confidence)
    d = (wrong - right) / n
    assert -1 <= low <= d <= high <= 1
    assert 0 <= p_value <= 1
    # p-value and interval never disagree
    assert (p_value < 1 - confidence) == (low > 0 or high < 0) or abs(p_value - (1 - confidence)) < 1e-6


def test_a_paired_interval_of_independent_comparisons():
    """Newcombe's limits of the two shares that changed sides, combined; where nothing changed Wilson's upper limits."""
    (low, high), p_value = paired.discordant_interval(10, 2, 200, 0.0, 0.95)
    (low_w, high_w), (low_r, high_r) = (0.02738, 0.08956), (0.00275, 0.03571)  # Wilson's of 10 and of 2 in 200
    below, above = np.hypot(0.05 - low_w, high_r - 0.01), np.hypot(high_w - 0.05, 0.01 - low_r)
    assert (low, high) == pytest.approx((0.04 - below, 0.04 + above), abs=2e-5)
    assert 0.01 < p_value < 0.05
    (low, high), p_value = paired.discordant_interval(0, 0, 200, 0.0, 0.95)
    assert (low, high) == pytest.approx((-0.01885, 0.01885), abs=1e-4)
    assert p_value == 1


def brute_variance(change, first, second):
    """V by its definition: the sum of products over all pairs of comparisons that share an identity."""
    d = change - change.mean()
    total = 0.0
    for i, j in itertools.product(range(d.size), repeat=2):
        if {first[i], second[i]} & {first[j], second[j]}:
            total += d[i] * d[j]
    return total / d.size**2


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_impostor_variance_is_the_sum_over_pairs_that_share_an_identity(seed):
    rng = np.random.default_rng(seed)
    first, second = np.triu_indices(7, 1)
    base, model = rng.random(first.size) < 0.3, rng.random(first.size) < 0.4
    found = paired.paired_impostor(base, model, first, second)
    changed = found.newly_wrong + found.newly_right
    n = first.size
    change = model.astype(float) - base
    deviations = change - change.mean()
    assert uncertainty.cell_variance(deviations, first, second, n) == pytest.approx(
        max(brute_variance(change, first, second), (deviations**2).sum() / n**2)
    )
    # the interval rests on the same variance, made safe for few identities
    safe = uncertainty.vertex_variance(deviations, first, second, n)
    assert safe >= uncertainty.cell_variance(deviations, first, second, n) * (1 - 1e-12)
    assert found.variance == pytest.approx(paired.small_count_variance(safe, changed, n))


def test_independent_changes_get_one_more():
    assert paired.small_count_variance(4 / 100**2, 4, 100) == pytest.approx(5 / 100**2)


def test_changes_of_one_identity_count_as_one():
    """Ten changes that all hang on one identity are one independent change: the variance doubles."""
    assert paired.small_count_variance(100 / 1000**2, 10, 1000) == pytest.approx(200 / 1000**2)


@settings(deadline=None)
@given(st.floats(1e-9, 1e-2), st.integers(0, 50), st.integers(60, 5000), st.floats(1, 20))
def test_the_small_count_variance_is_never_smaller_and_at_most_doubles(variance, discordant, n, effect):
    found = paired.small_count_variance(variance, discordant, n, effect)
    plain = max(variance, discordant / n**2)
    assert found >= plain
    if discordant:
        assert found <= 2 * plain * (1 + 1e-12)


def test_exchangeable_changes_raise_no_more_false_alarms_than_promised():
    """d changes, each for the worse or the better by a coin: few false alarms at any d, at most 5 % on average.

    Without the correction three changes raise an alarm in one case of eight.
    """
    from scipy.stats import binom

    def alarms(d, variance):
        worse = np.arange(d + 1)
        return binom.pmf(worse, d, 0.5)[(2 * worse - d) / 1000 > 1.6449 * variance**0.5].sum()

    sizes = [alarms(d, paired.small_count_variance(d / 1000**2, d, 1000)) for d in range(1, 200)]
    assert max(sizes) < 0.074
    assert np.mean(sizes) < 0.05
    assert alarms(3, 3 / 1000**2) == pytest.approx(1 / 8)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_and_benjamini_hochberg_keep_the_order_and_never_shrink(p_values):
    for adjust in (families.holm, families.benjamini_hochberg):
        adjusted = adjust(p_values)
        assert all(a >= p - 1e-15 and a <= 1 for a, p in zip(adjusted, p_values, strict=True))
        order = np.argsort(p_values, kind="stable")
        assert all(adjusted[a] <= adjusted[b] + 1e-15 for a, b in itertools.pairwise(order))


def test_holm_rejects_what_closed_testing_rejects():
    rng = np.random.default_rng(5)
    for _ in range(200):
        p = rng.random(4) ** 3
        closed = [
            all(
                min(p[list(subset)]) * len(subset) <= 0.05
                for size in range(1, 5)
                for subset in itertools.combinations(range(4), size)
                if i in subset
            )
            for i in range(4)
        ]
        assert [a <= 0.05 for a in families.holm(p.tolist())] == closed


def test_rank_intervals_and_letters():
    """1 beats 3; 2 is told apart from neither: ranks 1-2, 1-3, 2-3 and the letters a, ab, b."""
    better = np.zeros((3, 3), bool)
    better[0, 2] = True
    assert paired.rank_intervals(better) == [(1, 2), (1, 3), (2, 3)]
    assert paired.tie_letters([0, 1, 2], better) == ["a", "ab", "b"]


@settings(deadline=None)
@given(st.integers(2, 7), st.integers(0, 10_000))
def test_models_share_a_letter_exactly_when_neither_was_shown_better(m, seed):
    rng = np.random.default_rng(seed)
    better = np.triu(rng.random((m, m)) < 0.4, 1)
    letters = paired.tie_letters(range(m), better)
    for i, j in itertools.combinations(range(m), 2):
        assert bool(set(letters[i]) & set(letters[j])) == (not better[i, j])
    assert all(letters)


def test_identities_to_settle_settles_it():
    """At the number named, a difference of that size is shown with 80 % power."""
    needed = paired.identities_to_settle(0.01, 0.02, 40, 1.6449)
    assert needed is not None
    error = 0.02 * (40 / needed) ** 0.5
    assert paired.power_to_detect(0.01, 0.0, error, 1.6449) == pytest.approx(0.8, abs=0.002)
    assert paired.identities_to_settle(0.0, 0.02, 40, 1.6449) is None
