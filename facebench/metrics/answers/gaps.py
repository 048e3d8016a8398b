"""How far values of groups lie apart that are no rates: means, correlations, mean recalls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import inf, sqrt

import numpy as np
from numpy.typing import NDArray

FAIR_DRAWS = 2000


@dataclass(frozen=True)
class Gap:
    """The highest minus the lowest of several values.

    Attributes:
        value: as observed.
        low, high: its simultaneous interval.
        expected: what groups that are alike would show, by chance alone.
        p_value: of the test that all are alike.
        fair: draws of what groups that are alike would show.
    """

    value: float
    low: float
    high: float
    expected: float
    p_value: float
    fair: NDArray[np.float64]


def gap(values: Sequence[float], variances: Sequence[float], confidence: float, rng: np.random.Generator) -> Gap:
    """Return the gap of two or more values.

    The interval is ``[max L, max U]`` over all pairs, with ``|x_a - x_b| -+ c sqrt(V_a + V_b)`` and c the quantile of
    the studentised range over the square root of 2 (Tukey, "The problem of multiple comparisons", 1953), never below
    0. The test weighs squared deviations from the precision-weighted mean: ``Q = sum (x - m)² / V`` against chi-squared
    with G - 1 degrees of freedom (Cochran, "The combination of estimates", 1954).

    Args:
        values: of G groups.
        variances: of each value, above 0.
        confidence: of the interval.
        rng: for the expectation.
    """
    from scipy.special import chdtrc

    x, v = np.asarray(values, float), np.asarray(variances, float)
    pairs = np.triu_indices(x.size, 1)
    difference = np.abs(x[:, None] - x[None, :])[pairs]
    margin = range_quantile(x.size, confidence) * np.sqrt(v[:, None] + v[None, :])[pairs]
    draws = rng.normal(size=(FAIR_DRAWS, x.size)) * np.sqrt(v)
    fair = draws.max(axis=1) - draws.min(axis=1)
    mean = float((x / v).sum() / (1 / v).sum())
    statistic = float(((x - mean) ** 2 / v).sum())
    low, high = max(0.0, float((difference - margin).max())), float((difference + margin).max())
    return Gap(float(difference.max()), low, high, float(fair.mean()), float(chdtrc(x.size - 1, statistic)), fair)


def larger(first: Gap, second: Gap) -> Gap:
    """Return the larger of two gaps, as equalised odds takes those of recall and of false alarms.

    Its limits are the larger ones of two intervals; with each at ``1 - alpha / 2`` both hold at once. What alike groups
    would show is taken from independent draws, as the two count different images. The p-value is Bonferroni's.
    """
    pairs = np.sort(np.stack([first.fair, second.fair]), axis=0)
    return Gap(
        max(first.value, second.value), max(first.low, second.low), max(first.high, second.high),
        float(pairs[1].mean()), min(1.0, 2 * min(first.p_value, second.p_value)), pairs[1],
    )  # fmt: skip


@lru_cache(maxsize=64)
def range_quantile(n_groups: int, confidence: float) -> float:
    """Return c such that ``|D| <= c sqrt(Va + Vb)`` for all pairs of groups at once.

    >>> round(range_quantile(2, 0.95), 3), round(range_quantile(4, 0.95), 3)
    (1.96, 2.569)
    """
    from scipy.stats import studentized_range

    return float(studentized_range.ppf(confidence, n_groups, inf) / sqrt(2))
