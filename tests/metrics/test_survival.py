"""The Kaplan-Meier estimate against published figures."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facebench.metrics.survival import kaplan_meier, median_size

# remission under 6-MP, weeks; Freireich et al. 1963, as tabled in Kleinbaum and Klein, "Survival analysis"
WEEKS = np.array([6, 6, 6, 7, 10, 13, 16, 22, 23, 6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35], float)
ENDED = np.arange(21) < 9


def test_published_remission_times() -> None:
    found = kaplan_meier(WEEKS, ENDED)
    assert found.at.tolist() == [6, 7, 10, 13, 16, 22, 23]
    np.testing.assert_allclose(found.share, [0.8571, 0.8067, 0.7529, 0.6902, 0.6275, 0.5378, 0.4482], atol=5e-5)
    # log-log limits at 6 and 23 weeks, as R's survfit(conf.type = "log-log") prints them
    np.testing.assert_allclose([found.low[0], found.high[0]], [0.620, 0.952], atol=1e-3)
    np.testing.assert_allclose([found.low[-1], found.high[-1]], [0.188, 0.680], atol=1e-3)
    median, low, high = median_size(found)
    assert (median, low, high) == (23, 13, None)


def test_without_any_event_nothing_is_known() -> None:
    assert median_size(kaplan_meier(np.ones(4), np.zeros(4, bool))) == (None, None, None)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=40))
def test_without_censoring_it_is_the_share_that_is_larger(sizes: list[int]) -> None:
    values = np.array(sizes, float)
    found = kaplan_meier(values, np.ones(values.size, bool))
    for at, share in zip(found.at, found.share, strict=True):
        assert share == pytest.approx((values > at).mean())
