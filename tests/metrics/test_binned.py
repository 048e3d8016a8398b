"""Counts in bins give AUC and minCllr within the bounds they state, wherever the scores lie in their bins."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facebench.metrics import influence, verification
from facebench.metrics.binned import Binned

SCORES = st.lists(st.floats(0, 0.999), min_size=1, max_size=40)


def binned(genuine: np.ndarray, impostor: np.ndarray, bins: int) -> Binned:
    counts = [np.bincount((s * bins).astype(int), minlength=bins).astype(float) for s in (genuine, impostor)]
    return Binned(counts[0], counts[1])


@given(SCORES, SCORES, st.integers(1, 30))
def test_bounds_hold_the_truth(genuine: list[float], impostor: list[float], bins: int) -> None:
    g, i = np.array(genuine), np.array(impostor)
    found = binned(g, i, bins)
    truth = verification.area_under_curve(g, i)
    assert abs(found.area_under_curve() - truth) <= found.area_error() + 1e-12
    low, high = found.min_cllr()
    assert low - 1e-9 <= verification.min_cllr(g, i) <= high + 1e-9


def test_bins_as_fine_as_the_scores_give_what_the_scores_give() -> None:
    rng = np.random.default_rng(0)
    g, i = rng.integers(3, 20, 300) / 20, rng.integers(0, 15, 900) / 20
    found = binned(g + 0.01, i + 0.01, 20)
    assert found.area_under_curve() == pytest.approx(verification.area_under_curve(g, i), abs=1e-14)
    assert found.min_cllr()[1] == pytest.approx(verification.min_cllr(g, i), abs=1e-14)
    assert influence.pooled_optimism(found.pooled) == pytest.approx(influence.min_cllr_optimism(g, i))
    costs = np.logaddexp(0.0, -found.llr()[((g + 0.01) * 20).astype(int)]) / (2 * np.log(2))
    np.testing.assert_allclose(costs - costs.mean(), influence.min_cllr_influence(g, i)[0], atol=1e-12)


def test_a_wide_bin_states_a_wide_bound() -> None:
    found = Binned(np.array([0.0, 10.0]), np.array([0.0, 10.0]))
    assert found.area_under_curve() == 0.5
    assert found.area_error() == 0.5
    assert found.min_cllr() == (0.0, 1.0)
