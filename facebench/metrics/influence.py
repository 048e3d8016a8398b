"""Influence functions: how much each comparison moves AUC, d', Cllr and minCllr, to first order.

From them `facebench.metrics.uncertainty.two_sample_variance` computes variances over identities (the delta method).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from facebench.metrics.sorting import recalibration_bins, twice_below
from facebench.metrics.verification import (
    PooledScores,
    Scores,
    area_under_curve,
    pool_adjacent_violators,
)

Influence = tuple[NDArray[np.float64], NDArray[np.float64]]
"""First-order effect of each genuine and each impostor comparison on a statistic; each has mean zero."""


def area_under_curve_influence(genuine: Scores, impostor: Scores) -> Influence:
    """Return how much each comparison moves the AUC: its share of scores beaten, minus the AUC.

    Source: DeLong et al., "Comparing the areas under two or more correlated ROC curves", 1988.
    """
    value = area_under_curve(genuine, impostor)
    return _share_below(genuine, impostor) - value, (1 - _share_below(impostor, genuine)) - value


def _share_below(scores: Scores, others: Scores) -> NDArray[np.float64]:
    share: NDArray[np.float64] = twice_below(scores, others) / (2 * others.size)
    return share


def d_prime_influence(genuine: Scores, impostor: Scores) -> Influence:
    """Return how much each comparison moves d' (its influence function, delta method)."""
    means, variances = (genuine.mean(), impostor.mean()), (genuine.var(), impostor.var())
    spread = np.sqrt((variances[0] + variances[1]) / 2)
    value = (means[0] - means[1]) / spread
    scale = value / (4 * spread**2)
    g = (genuine - means[0]) / spread - scale * ((genuine - means[0]) ** 2 - variances[0])
    i = -(impostor - means[1]) / spread - scale * ((impostor - means[1]) ** 2 - variances[1])
    return g, i


def cllr_influence(genuine: Scores, impostor: Scores) -> Influence:
    """Return how much each comparison moves Cllr: its cost minus the mean cost of its kind, halved."""
    return _centred(np.logaddexp(0.0, -genuine)), _centred(np.logaddexp(0.0, impostor))


def _centred(costs: NDArray[np.float64]) -> NDArray[np.float64]:
    centred: NDArray[np.float64] = (costs - costs.mean()) / (2 * np.log(2))
    return centred


def min_cllr_influence(genuine: Scores, impostor: Scores) -> Influence:
    """Return how much each comparison moves minCllr; the recalibration is optimal, so its change does not count."""
    pooled = pool_adjacent_violators(genuine, impostor)
    with np.errstate(divide="ignore"):
        llr = np.log(pooled.genuine / genuine.size) - np.log(pooled.impostor / impostor.size)
    bins = recalibration_bins(genuine, impostor)
    n_all = sum(np.bincount(index, minlength=2 * genuine.size + 1) for index in bins)
    block = np.searchsorted(np.cumsum(pooled.genuine + pooled.impostor), np.cumsum(n_all) - 0.5)
    costs = np.logaddexp(0.0, -llr)[block[bins[0]]], np.logaddexp(0.0, llr)[block[bins[1]]]
    return _centred(costs[0]), _centred(costs[1])


def min_cllr_optimism(genuine: Scores, impostor: Scores) -> float:
    """Return by about how much minCllr lies too low, in bits: the recalibration is fitted to the same scores.

    Every block of the recalibration is a fitted number. On average the fit gains at most ``variance / curvature`` of
    the cost per block: ``[(1 - w)/n_g + w/n_i] / (2 ln 2)`` with w the block's weighted share of genuine scores.
    Source: the number of blocks is the degrees of freedom of isotonic regression; Meyer and Woodroofe, "On the degrees
    of freedom in shape-restricted regression", 2000.
    """
    return pooled_optimism(pool_adjacent_violators(genuine, impostor))


def pooled_optimism(pooled: PooledScores) -> float:
    """Return the same for scores that were pooled in blocks."""
    n_genuine, n_impostor = pooled.genuine.sum(), pooled.impostor.sum()
    shares = pooled.genuine / n_genuine, pooled.impostor / n_impostor
    w = shares[0] / (shares[0] + shares[1])
    return float(((1 - w) / n_genuine + w / n_impostor).sum() / (2 * np.log(2)))
