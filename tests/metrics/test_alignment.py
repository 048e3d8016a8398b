"""Rank correlation of score matrices: closed cases, invariances, and whether its interval covers the truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from facebench.errors import InputError
from facebench.metrics.alignment import rank_alignment, spearman


def population(people: int, shared: float, seed: int) -> tuple[np.ndarray, ...]:
    """Scores of all pairs of people under two models whose embeddings share a part."""
    rng = np.random.default_rng(seed)
    common = rng.normal(size=(people, 6))
    models = [shared * common + (1 - shared) * rng.normal(size=common.shape) for _ in range(2)]
    left, right = np.triu_indices(people, 1)
    scores = [np.einsum("nd,nd->n", m[left], m[right]) for m in models]
    return scores[0], scores[1], left, right


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_the_value_is_scipys_and_does_not_change_under_rising_transformations(seed: int) -> None:
    rng = np.random.default_rng(seed)
    first, second = rng.integers(0, 6, (2, 40)).astype(float)
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return
    assert spearman(first, second) == pytest.approx(spearmanr(first, second).statistic)
    assert spearman(np.exp(first), second**3) == pytest.approx(spearman(first, second))
    assert spearman(first, -second) == pytest.approx(-spearman(first, second))


def test_what_has_no_correlation_or_no_interval_has_none() -> None:
    left, right = np.triu_indices(12, 1)
    rising = np.arange(len(left), dtype=float)
    flat = rank_alignment(np.ones(len(left)), rising, left, right)
    assert (flat.value, flat.ci_low) == (None, None)
    same = rank_alignment(rising, rising**2, left, right)
    assert same.value == pytest.approx(1)
    few_left, few_right = np.triu_indices(6, 1)
    few = rank_alignment(*np.random.default_rng(0).normal(size=(2, 15)), few_left, few_right)
    assert few.value is not None
    assert few.ci_low is None
    with pytest.raises(InputError, match="NaN"):
        rank_alignment(np.full(len(left), np.nan), rising, left, right)
    with pytest.raises(InputError, match="for every comparison"):
        rank_alignment(rising[:-1], rising, left, right)


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    truth = spearman(*population(2000, 0.7, 99)[:2])
    assert truth is not None
    found = [rank_alignment(*population(60, 0.7, seed)) for seed in range(200)]
    covered = np.mean([each.ci_low <= truth <= each.ci_high for each in found])
    assert 0.90 <= covered <= 0.99
    # an interval that took comparisons for independent would be far too narrow
    width = np.mean([each.ci_high - each.ci_low for each in found])
    assert width > 2 * 2 * 1.96 * (1 - truth**2) / np.sqrt(60 * 59 / 2)
