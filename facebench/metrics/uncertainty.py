"""Intervals, variances and tests in which identities, not comparisons, are the sampling unit.

Two comparisons that share an identity are dependent, so n comparisons carry less information than n independent ones.
Each variance below is turned into the effective number of comparisons ``n_eff = p (1 - p) / V`` and, with it, into a
Wilson interval.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import comb, exp, floor, log, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.errors import InputError
from facebench.metrics import clusters
from facebench.metrics.clusters import PairIndex

Interval = tuple[float, float]
Floats = NDArray[np.float64]
Ints = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class RateInterval:
    """An interval of a rate, with the effective sample size it rests on."""

    low: float
    high: float
    n_eff: float | None


@lru_cache(maxsize=32)
def normal_quantile(confidence: float) -> float:
    """Return z with ``P(|Z| < z) = confidence`` for a standard normal Z."""
    from scipy.special import ndtri

    return float(ndtri(0.5 + confidence / 2))


def wilson(rate: float, n: float, confidence: float = 0.95) -> Interval:
    """Return the Wilson score interval of a rate seen on n (effective) trials.

    ``(p + z²/2n -+ z sqrt(p(1-p)/n + z²/4n²)) / (1 + z²/n)``. Source: Wilson, "Probable inference", 1927.

    >>> low, high = wilson(0.4, 5)
    >>> round(low, 6), round(high, 6)
    (0.117621, 0.769276)
    """
    if n <= 0:
        return 0.0, 1.0
    z2 = normal_quantile(confidence) ** 2
    centre = (rate + z2 / (2 * n)) / (1 + z2 / n)
    half = sqrt(z2 * (rate * (1 - rate) / n + z2 / (4 * n * n))) / (1 + z2 / n)
    return max(0.0, centre - half), min(1.0, centre + half)


def wilson_from_variance(rate: float, n: int, variance: float, confidence: float = 0.95) -> RateInterval:
    """Return the Wilson interval at ``n_eff = p (1 - p) / V``, with V at least the variance of independent trials.

    Args:
        rate: errors / n.
        n: comparisons counted.
        variance: of the rate, from one of the functions below.
    """
    spread = rate * (1 - rate)
    if spread <= 0:
        low, high = wilson(rate, n, confidence)
        return RateInterval(low, high, None)
    n_eff = spread / max(variance, spread / n)
    low, high = wilson(rate, n_eff, confidence)
    return RateInterval(low, high, n_eff)


def fold_margin(values: Floats, confidence: float = 0.95) -> float:
    """Return half the width of the interval of a mean over k folds, each judged with what was fitted on the others.

    Folds are disjoint, but any two share most of what they were fitted on, so their results rise and fall together:
    ``t s sqrt(1/k + 1/(k - 1))`` with s the standard deviation over folds. Source: Nadeau and Bengio, "Inference for
    the generalization error", 2003.
    """
    from scipy.special import stdtrit

    k = values.size
    return float(stdtrit(k - 1, 0.5 + confidence / 2) * values.std(ddof=1) * sqrt(1 / k + 1 / (k - 1)))


def logit_interval(value: float, variance: float, confidence: float = 0.95) -> Interval:
    """Return the normal interval of a probability that is no share of trials, such as an AUC, on its log odds.

    The standard error of a log odds is ``sqrt(V) / (p (1 - p))``. Source: Pepe, "The statistical evaluation of medical
    tests for classification and prediction", 2003.
    """
    if variance <= 0 or not 0 < value < 1:
        return value, value
    half = normal_quantile(confidence) * sqrt(variance) / (value * (1 - value))
    centre = log(value / (1 - value))
    low, high = centre - half, centre + half
    return 1 / (1 + exp(min(-low, 700.0))), 1 / (1 + exp(min(-high, 700.0)))


def clopper_pearson(errors: int, n: int, confidence: float = 0.95) -> Interval:
    """Return the exact binomial interval of `errors` in n independent trials.

    Source: Clopper and Pearson, "The use of confidence or fiducial limits", 1934.
    """
    from scipy.special import betaincinv

    tail = (1 - confidence) / 2
    low = 0.0 if errors == 0 else float(betaincinv(errors, n - errors + 1, tail))
    high = 1.0 if errors == n else float(betaincinv(errors + 1, n - errors, 1 - tail))
    return low, high


def cell_variance(
    deviations: Floats, first: Ints, second: Ints, n_comparisons: int, rate: float | None = None
) -> float:
    """Return the dyadic cluster variance of a mean over comparisons between identities, from their deviations.

    With ``d_uv`` the sum of (e - p) over the comparisons of identities u and v, and ``S_u = sum_v d_uv``::

        V = [sum_{u<v} d_uv² + max(0, sum_u S_u² - 2 sum_{u<v} d_uv²)] / P²

    floored at ``p (1 - p) / P`` when `rate` is given. The first term is the variance of independent pairs, the second
    the covariance of pairs that share an identity. The same formula serves off-diagonal cells, and the difference of
    two models when ``e = e_B - e_A``. It is hardly biased but varies, so that intervals from it cover too seldom with
    few identities; they rest on `vertex_variance`.

    Args:
        deviations: (P,) e - p per comparison.
        first: (P,) identity index of one end.
        second: (P,) of the other end, a different identity.
        n_comparisons: P.
        rate: p.
    """
    n = int(max(first.max(), second.max())) + 1
    index = PairIndex(first, second, n)
    units = np.bincount(index.pair(), deviations, index.sizes.size)
    per_identity = np.bincount(index.ends[0], units, n) + np.bincount(index.ends[1], units, n)
    squares, shared = float(units @ units), float(per_identity @ per_identity)
    variance = (squares + max(0.0, shared - 2 * squares)) / n_comparisons**2
    return variance if rate is None else max(variance, rate * (1 - rate) / n_comparisons)


def vertex_variance(deviations: Floats, first: Ints, second: Ints, n_comparisons: int) -> float:
    """Return the variance intervals of impostor rates rest on: `cell_variance`, made safe for few identities.

    It is corrected for leverage and raised by one standard error of what sharing adds (`facebench.metrics.clusters`),
    so it equals the variance of independent comparisons where no two of them share an identity, in a list as in all
    pairs. See `cell_variance` for the arguments.
    """
    n = int(max(first.max(), second.max())) + 1
    return PairIndex(first, second, n).influence(deviations / n_comparisons).variance


def identity_variance(deviations: Floats, identity: Ints, n_comparisons: int) -> float:
    """Return the variance of a mean over comparisons that each belong to one identity (genuine ones).

    ``sum_u (sum of (e - q) over u's comparisons)² / P²``, corrected for leverage and raised by one standard error of
    what identities with several comparisons add (`facebench.metrics.clusters`).

    Args:
        deviations: (P,) e - q per comparison.
        identity: (P,) identity index.
        n_comparisons: P.
    """
    return clusters.of_people(deviations / n_comparisons, identity, int(identity.max()) + 1).variance


def two_sample_variance(
    genuine: Floats, identity: Ints, impostor: Floats, first: Ints, second: Ints, n_identities: int
) -> float:
    """Return the variance of a statistic of genuine and impostor comparisons, from the influence of each comparison.

    Both kinds share identities, so their influences are added per identity before squaring
    (`facebench.metrics.clusters`).

    Args:
        genuine: (P_g,) influence of each genuine comparison.
        identity: (P_g,) its identity.
        impostor: (P_i,) influence of each impostor comparison.
        first: (P_i,) its one identity.
        second: (P_i,) its other identity.
        n_identities: n.
    """
    own = clusters.of_people(genuine / genuine.size, identity, n_identities)
    shared = PairIndex(first, second, n_identities).influence(impostor / impostor.size)
    return clusters.added([(1.0, own), (1.0, shared)]).variance


def zero_error_bounds(
    n_comparisons: float, n_independent: float, design_effect: float, confidence: float = 0.95
) -> Interval:
    """Return two upper bounds of a rate with no error seen, the hopeful and the safe one; the safe one is the interval.

    ``-ln(1 - c) DEFF / P`` assumes that the design effect found elsewhere holds here; ``-ln(1 - c) / m`` assumes
    nothing but that m comparisons between disjoint identities are independent. At .95 the numerator is 3.00, the "rule
    of three". Of rates with nothing but errors the same bounds hold from above. Source: Hanley and Lippman-Hand, "If
    nothing goes wrong, is everything all right?", 1983.

    Args:
        n_comparisons: P.
        n_independent: m, comparisons no two of which share an identity (genuine: identities).
        design_effect: comparisons per independent one, at least 1.
        confidence: c.
    """
    evidence = -log(1 - confidence)
    hopeful = min(1.0, evidence * max(design_effect, 1.0) / n_comparisons)
    return hopeful, max(hopeful, min(1.0, evidence / n_independent)) if n_independent > 0 else 1.0


def errors_needed(ratio: float, design_effect: float = 1.0) -> float:
    """Return the errors each group must show for a ratio of rates to be seen: ``2 * 7.849 DEFF / (ln R)²``.

    For 80 % power at the two-sided 5 % level; 7.849 = (1.960 + 0.842)².
    """
    if ratio <= 0 or ratio == 1:
        raise InputError(f"a ratio to be seen must be positive and differ from 1, found {ratio:g}")
    return 2 * 7.849 * design_effect / log(ratio) ** 2


def smallest_ratio_seen(errors: float, design_effect: float = 1.0) -> float | None:
    """Return the smallest ratio of rates that `errors` errors per group can show; the inverse of `errors_needed`."""
    return exp(sqrt(2 * 7.849 * design_effect / errors)) if errors > 0 else None


def disjoint_pairs(n_first: int, n_second: int | None = None) -> int:
    """Return how many comparisons between disjoint identities a cell holds: floor(n/2) within, min(n, m) across."""
    return floor(n_first / 2) if n_second is None else min(n_first, n_second)


def n_pairs(n: int) -> int:
    """Return the number of unordered pairs of n things."""
    return comb(n, 2)
