"""Intervals of functions of sums, from re-weighted units or from their influence.

A unit is what is independent: a person, a video, a family. The interval is taken on a scale on which the figure has no
bounds, so that it never leaves its range: the log odds of a share, Fisher's z of a correlation, the logarithm of an
error. Student's t with units - 1 degrees of freedom stands for the uncertainty of the variance itself.
"""

from __future__ import annotations

from math import atanh, exp, isfinite, isinf, log, sqrt, tanh

import numpy as np
from numpy.typing import NDArray

from facebench.metrics.answers.table import Floats, Of

MAX_WEIGHTS = 20_000_000
"""Weights, replicates times units, that are drawn; beyond it the closed form of the same variance is used."""
_BLOCK = 64


def unit_weights(n_units: int, replicates: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return (replicates, n_units) how often each unit is drawn; every row sums to n_units."""
    weights = np.empty((replicates, n_units), np.uint8)
    for row in weights:
        row[:] = np.bincount(rng.integers(0, n_units, n_units), minlength=n_units)
    return weights


def weighted_sums(weights: NDArray[np.uint8], sums: Floats) -> Floats:
    """Return (R, C) sums of every replicate, from (R, U) weights and (U, C) sums of the units."""
    found = np.empty((len(weights), sums.shape[1]))
    for start in range(0, len(weights), _BLOCK):
        found[start : start + _BLOCK] = weights[start : start + _BLOCK].astype(np.float64) @ sums
    return found


def replicate_variance(value: Of, drawn: Floats) -> float | None:
    """Return the variance of a figure over replicates; None when fewer than half of them are defined."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found = value(drawn)
    known = found[np.isfinite(found)]
    if known.size < max(2, found.size / 2):
        return None
    return float(known.var(ddof=1))


def influence_variance(value: Of, total: Floats, scatter: Floats, n: int) -> float | None:
    """Return the linearised variance of a figure: the sum over units of its slope times their deviation, squared.

    ``V = U / (U - 1) sum_u (g · (s_u - mean s))² = U / (U - 1) g' S g`` with g the slope of the figure at the sums. It
    is what `replicate_variance` tends to with many units.

    Args:
        value: the figure.
        total: (C,) sums.
        scatter: (C, C) S, from `scatter_of`.
        n: units.
    """
    if n < 2:
        return None
    slope = slope_of(value, total)
    return max(0.0, float(slope @ scatter @ slope)) * n / (n - 1)


def scatter_of(sums: Floats) -> Floats:
    """Return (C, C) the sum over units of the products of their deviations from the mean of (U, C) sums."""
    off = sums - sums.mean(axis=0)
    return np.asarray(off.T @ off)


def influences(value: Of, sums: Floats) -> Floats:
    """Return (U,) what each unit adds to a figure: its slope at the sums times the unit's deviation from their mean."""
    total = sums.sum(axis=0)
    return np.asarray((sums - total / len(sums)) @ slope_of(value, total), np.float64)


def slope_of(value: Of, total: Floats) -> Floats:
    """Return (C,) the slope of a figure at the sums, by central differences; 0 where it has none."""
    step = 1e-4 * np.maximum(np.abs(total), 1.0)
    moved = np.concatenate([total + np.diag(step), total - np.diag(step)])
    with np.errstate(divide="ignore", invalid="ignore"):
        found = value(moved)
        slope = (found[: step.size] - found[step.size :]) / (2 * step)
    return np.where(np.isfinite(slope), slope, 0.0)


def t_quantile(confidence: float, n_units: int) -> float:
    """Return the two-sided quantile of Student's t with units - 1 degrees of freedom."""
    from scipy.special import stdtrit

    return float(stdtrit(max(1, n_units - 1), 0.5 + confidence / 2))


def bounded_interval(
    value: float, variance: float, bounds: tuple[float, float], n_units: int, confidence: float
) -> tuple[float, float]:
    """Return an interval inside `bounds` that holds the value.

    Ranges are real numbers, numbers from 0, shares, or correlations from -1 to 1. At a bound itself the variance says
    nothing; there the interval reaches as far as a rate with no error in `n_units` independent trials:
    ``1 - (1 - c)^(1 / n)`` of the range.
    """
    low, high = bounds
    margin = t_quantile(confidence, n_units) * sqrt(variance)
    if isinf(low) and isinf(high):
        return value - margin, value + margin
    if isinf(high):
        if value <= low:
            return low, low + margin
        step = min(margin / (value - low), 500.0)
        return low + (value - low) * exp(-step), low + (value - low) * exp(step)
    share = (value - low) / (high - low)
    unseen = 1 - (1 - confidence) ** (1 / max(1, n_units))
    if share <= 1e-12:
        return low, low + unseen * (high - low)
    if share >= 1 - 1e-12:
        return high - unseen * (high - low), high
    if low < 0:
        at, slope = atanh(value), 1 - value**2
        step = min(margin / slope, 500.0)
        return tanh(at - step), tanh(at + step)
    at, slope = log(share / (1 - share)), share * (1 - share) * (high - low)
    step = min(margin / slope, 500.0)
    return low + (high - low) * _logistic(at - step), low + (high - low) * _logistic(at + step)


def _logistic(z: float) -> float:
    return 1 / (1 + exp(-z)) if z >= 0 else exp(z) / (1 + exp(z))


def finite(value: float) -> float | None:
    """Return the value, or None when it is not a finite number."""
    return float(value) if isfinite(value) else None
