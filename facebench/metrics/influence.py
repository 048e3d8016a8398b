"""Influence functions: how much each comparison moves AUC, d', Cllr and minCllr, to first order.

From them `facebench.metrics.uncertainty.two_sample_variance` computes variances over identities (the delta method).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from facebench.metrics.sorting import mean_in_blocks, moments, recalibration_counts, twice_below
from facebench.metrics.verification import (
    PooledScores,
    Scores,
    area_under_curve,
    cost_of_genuine,
    cost_of_impostor,
    d_prime,
    pool_adjacent_violators,
    pool_bins,
    pooled_cllr,
)

Floats = NDArray[np.float64]
Influence = tuple[Floats, Floats]
"""First-order effect of each genuine and each impostor comparison on a statistic; each has mean zero."""


class Parts(NamedTuple):
    """A statistic and how much comparisons move it.

    Attributes:
        value: of the statistic.
        genuine: (P_g,) effect of each genuine comparison.
        of_impostor: gives that of impostor comparisons from their scores, since there may be many.
    """

    value: float
    genuine: Floats
    of_impostor: Callable[[Scores], Floats]

    def whole(self, impostor: Scores) -> Influence:
        """Return the effects of all comparisons."""
        return self.genuine, self.of_impostor(impostor)


def area_under_curve_influence(genuine: Scores, impostor: Scores) -> Influence:
    """Return how much each comparison moves the AUC: its share of scores beaten, minus the AUC.

    Source: DeLong et al., "Comparing the areas under two or more correlated ROC curves", 1988.
    """
    return area_under_curve_parts(genuine, impostor).whole(impostor)


def area_under_curve_parts(genuine: Scores, impostor: Scores) -> Parts:
    """Return the AUC and what `area_under_curve_influence` returns, in parts."""
    value = area_under_curve(genuine, impostor)
    own = _share_below(genuine, impostor) - value
    return Parts(value, own, lambda scores: (1 - _share_below(scores, genuine)) - value)


def _share_below(scores: Scores, others: Scores) -> Floats:
    share: Floats = twice_below(scores, others) / (2 * others.size)
    return share


def d_prime_influence(genuine: Scores, impostor: Scores) -> Influence:
    """Return how much each comparison moves d' (its influence function, delta method); some scores must differ."""
    parts = d_prime_parts(genuine, impostor)
    assert parts is not None
    return parts.whole(impostor)


def d_prime_parts(genuine: Scores, impostor: Scores) -> Parts | None:
    """Return d' and what `d_prime_influence` returns, in parts; None where d' is not defined."""
    value = d_prime(genuine, impostor)
    if value is None:
        return None
    means, variances = zip(moments(genuine), moments(impostor), strict=True)
    spread = np.sqrt((variances[0] + variances[1]) / 2)
    scale = value / (4 * spread**2)

    def of_impostor(scores: Scores) -> Floats:
        off = scores.astype(np.float64) - means[1]
        found: Floats = -off / spread - scale * (off**2 - variances[1])
        return found

    off = genuine.astype(np.float64) - means[0]
    return Parts(value, off / spread - scale * (off**2 - variances[0]), of_impostor)


def cllr_influence(genuine: Scores, impostor: Scores) -> Influence:
    """Return how much each comparison moves Cllr: its cost minus the mean cost of its kind, halved."""
    return cllr_parts(genuine, impostor).whole(impostor)


def cllr_parts(genuine: Scores, impostor: Scores) -> Parts:
    """Return Cllr and what `cllr_influence` returns, in parts."""
    means = mean_in_blocks(genuine, cost_of_genuine), mean_in_blocks(impostor, cost_of_impostor)
    value = float((means[0] + means[1]) / (2 * np.log(2)))
    own = _centred(cost_of_genuine(genuine), means[0])
    return Parts(value, own, lambda scores: _centred(cost_of_impostor(scores), means[1]))


def min_cllr_influence(genuine: Scores, impostor: Scores) -> Influence:
    """Return how much each comparison moves minCllr; the recalibration is optimal, so its change does not count."""
    return min_cllr_parts(genuine, impostor, recalibration_counts(genuine, impostor)).whole(impostor)


def min_cllr_parts(genuine: Scores, impostor: Scores, counts: tuple[Floats, Floats]) -> Parts:
    """Return minCllr and what `min_cllr_influence` returns, in parts, given the counts of recalibration."""
    pooled = pool_bins(*counts)
    with np.errstate(divide="ignore"):
        llr = np.log(pooled.genuine / genuine.size) - np.log(pooled.impostor / impostor.size)
    n_all = counts[0] + counts[1]
    block = np.searchsorted(np.cumsum(pooled.genuine + pooled.impostor), np.cumsum(n_all) - 0.5)
    by_bin = np.logaddexp(0.0, -llr), np.logaddexp(0.0, llr)

    def costs(scores: Scores, kind: int) -> Floats:
        found: Floats = by_bin[kind][block[twice_below(scores, genuine)]]
        return found

    mean = mean_in_blocks(impostor, lambda scores: costs(scores, 1))
    own = costs(genuine, 0)
    return Parts(pooled_cllr(pooled), _centred(own, own.mean()), lambda scores: _centred(costs(scores, 1), mean))


def _centred(costs: Floats, mean: Any) -> Floats:
    centred: Floats = (costs - mean) / (2 * np.log(2))
    return centred


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
