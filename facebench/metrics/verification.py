"""Verification metrics on genuine and impostor similarity scores: thresholds, TAR, EER, AUC, d', Cllr, DET.

A comparison is accepted when ``score >= threshold``; higher scores mean more alike. Rates are counts over counts.
Comparisons that could not be made (a failed image) carry the score ``-inf``: they are never accepted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.errors import InputError
from facebench.metrics.sorting import about_crossing, mean_in_blocks, moments, recalibration_counts, rising, twice_below

Scores = NDArray[np.floating[Any]]

ROUNDED_DIGITS = 8
"""A decimal with so many digits is taken for a rounded one."""

NEAR_THRESHOLD = 2e-6
"""Scores this close to a threshold may fall on either side of it on another machine (float32 dot products)."""


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold set for an FMR target, and what it does to the impostors it was set on.

    Attributes:
        fmr_target: the FMR asked for, between 0 and 1.
        threshold: accept when score >= threshold.
        false_accepts: impostor comparisons at or above it (k').
        n_impostor: impostor comparisons in all (N).
        resolvable: whether the target allows at least one false accept.
    """

    fmr_target: float
    threshold: float
    false_accepts: int
    n_impostor: int
    resolvable: bool

    @property
    def fmr(self) -> float:
        """The FMR achieved, ``false_accepts / n_impostor``."""
        return self.false_accepts / self.n_impostor


def as_scores(values: Any, what: str = "scores", *, allow_empty: bool = False) -> Scores:
    """Return a one-dimensional float array; NaN, +inf and (unless allowed) emptiness are errors.

    Raises:
        InputError: says how many values are NaN and where the first one is.
    """
    scores = np.asarray(values)
    if scores.dtype not in (np.float32, np.float64):
        scores = scores.astype(np.float64)
    if scores.ndim != 1:
        raise InputError(f"{what} must be one-dimensional, found shape {scores.shape}")
    if scores.size == 0 and not allow_empty:
        raise InputError(f"{what}: there are none")
    if scores.size and not scores.max() < np.inf:  # true of NaN as well
        bad = np.flatnonzero(np.isnan(scores) | np.isposinf(scores))
        raise InputError(f"{what}: {bad.size} of {scores.size} are NaN or infinite, the first at row {bad[0]}")
    return scores


def false_accept_budget(fmr_target: float, n_impostor: int) -> int:
    """Return k = floor(f * N), computed on the decimal the user wrote, not on its binary rounding.

    A target of eight digits or more is a rounded decimal, such as a share that was computed: where a whole number of
    comparisons lies within one unit of its last digit, that number is meant.

    >>> false_accept_budget(0.29, 100)  # 0.29 * 100 is 28.999999999999996 in binary
    29
    >>> false_accept_budget(4.8833333333333e-2, 12_000)  # 586 / 12,000
    586
    """
    written = Decimal(repr(float(fmr_target)))
    product = Fraction(written) * n_impostor
    parts = written.as_tuple()
    unit = Fraction(10) ** int(parts.exponent) * n_impostor
    nearest = round(product)
    if len(parts.digits) >= ROUNDED_DIGITS and unit < Fraction(1, 100) and abs(product - nearest) <= unit:
        return nearest
    return int(product)


def just_above(value: float, dtype: Any) -> float:
    """Return the smallest number of that type above `value`."""
    kind = np.dtype(dtype).type
    return float(np.nextafter(kind(value), kind(np.inf)))


def operating_points(impostor: Scores, fmr_targets: Sequence[float]) -> list[OperatingPoint]:
    """Return the operating point of each FMR target under the strict rule.

    For target f over N impostor comparisons, ``k = floor(f N)``; the threshold is the smallest value with at most k
    impostor scores at or above it. Ties are pooled: tied scores are accepted together or not at all. Found by partial
    selection, without sorting.

    Args:
        impostor: (N,) scores.
        fmr_targets: each between 0 and 1, exclusive.

    >>> point, = operating_points(np.array([.1, .2, .3, .4]), [.25])
    >>> point.false_accepts, .3 < point.threshold < .3001
    (1, True)
    """
    from facebench.metrics.kernels import largest

    impostor = as_scores(impostor, "impostor scores")
    n = impostor.size
    wrong = [target for target in fmr_targets if not 0 < target < 1]
    if wrong:
        raise InputError(f"an FMR target must lie between 0 and 1, found {wrong[0]:g}")
    budgets = [false_accept_budget(target, n) for target in fmr_targets]
    # the (k+1)-th highest score is the highest one that must be refused
    refused = largest(impostor, [min(k, n - 1) for k in budgets])
    points = []
    for target, k, (highest_refused, false_accepts) in zip(fmr_targets, budgets, refused, strict=True):
        threshold = just_above(highest_refused, impostor.dtype)
        points.append(OperatingPoint(target, threshold, false_accepts, n, resolvable=k >= 1))
    return points


def zero_fmr_point(impostor: Scores) -> OperatingPoint:
    """Return the lowest threshold that accepts no impostor comparison."""
    impostor = as_scores(impostor, "impostor scores")
    return OperatingPoint(0.0, just_above(float(impostor.max()), impostor.dtype), 0, impostor.size, resolvable=True)


def accepted(scores: Scores, threshold: float) -> int:
    """Return how many scores are at or above the threshold, compared exactly whatever the type of the scores."""
    return int(np.count_nonzero(scores >= scores.dtype.type(held(threshold, scores.dtype))))


def held(threshold: float, dtype: Any) -> float:
    """Return the smallest number of that type at or above a threshold, which accepts the same scores.

    A float64 threshold between two float32 scores must not fall onto the lower one.
    """
    kind = np.dtype(dtype).type
    rounded = kind(threshold)
    return float(np.nextafter(rounded, kind(np.inf)) if float(rounded) < threshold else rounded)


def fixed_point(impostor: Scores, threshold: float) -> OperatingPoint:
    """Return a threshold that was not set on these impostors as an operating point; `fmr_target` is the FMR it has."""
    impostor = as_scores(impostor, "impostor scores", allow_empty=True)
    false_accepts = accepted(impostor, threshold)
    achieved = false_accepts / max(impostor.size, 1)
    return OperatingPoint(achieved, held(threshold, impostor.dtype), false_accepts, impostor.size, resolvable=True)


def near_threshold(scores: Scores, threshold: float, margin: float = NEAR_THRESHOLD) -> int:
    """Return how many scores lie within `margin` of the threshold."""
    return int(np.count_nonzero(np.abs(scores.astype(np.float64, copy=False) - threshold) <= margin))


@dataclass(frozen=True)
class ErrorCurve:
    """Error rates at every threshold that matters, thresholds rising.

    Attributes:
        thresholds: (T,) the distinct observed scores, then one above them all.
        fmr: (T,) share of impostor scores at or above the threshold; falls from 1 to 0.
        fnmr: (T,) share of genuine scores below it; rises from 0 to 1.
    """

    thresholds: NDArray[np.float64]
    fmr: NDArray[np.float64]
    fnmr: NDArray[np.float64]


def error_curve(genuine: Scores, impostor: Scores) -> ErrorCurve:
    """Return FMR and FNMR at every distinct score (the DET curve, and with 1 - fnmr the ROC curve)."""
    genuine = rising(as_scores(genuine, "genuine scores"))
    impostor = rising(as_scores(impostor, "impostor scores"))
    thresholds = np.unique(np.concatenate([genuine, impostor]))
    fnmr = np.searchsorted(genuine, thresholds, side="left") / genuine.size
    fmr = 1.0 - np.searchsorted(impostor, thresholds, side="left") / impostor.size
    above = just_above(float(thresholds[-1]), thresholds.dtype)
    return ErrorCurve(np.append(thresholds.astype(np.float64), above), np.append(fmr, 0.0), np.append(fnmr, 1.0))


@dataclass(frozen=True)
class EqualErrorRate:
    """The equal error rate with the two rates it lies between."""

    value: float
    bracket: tuple[float, float]
    threshold: float


def equal_error_rate(genuine: Scores, impostor: Scores) -> EqualErrorRate:
    """Return the EER: the mean of FMR and FNMR at the threshold where they differ least.

    On finite samples the two curves jump past each other; `bracket` holds the smaller and the larger of the two rates.
    Among thresholds with the same difference the one with the smaller mean is taken.

    >>> equal_error_rate(np.array([.4, .6]), np.array([.1, .5])).value
    0.5
    """
    genuine = rising(as_scores(genuine, "genuine scores"))
    impostor = rising(as_scores(impostor, "impostor scores"))
    points = about_crossing(genuine, impostor)
    difference = np.array([abs(fmr - fnmr) for _, fmr, fnmr in points])
    mean = np.array([(fmr + fnmr) / 2 for _, fmr, fnmr in points])
    closest = np.flatnonzero(difference <= difference.min() + 1e-12)
    best = int(closest[np.argmin(mean[closest])])
    threshold, *rates = points[best]
    return EqualErrorRate(float(mean[best]), (min(rates), max(rates)), threshold)


def area_under_curve(genuine: Scores, impostor: Scores) -> float:
    """Return the AUC: the chance that a genuine score exceeds an impostor score, ties counting half.

    >>> area_under_curve(np.array([1., 2.]), np.array([1., 0.]))
    0.875
    """
    genuine, impostor = as_scores(genuine, "genuine scores"), as_scores(impostor, "impostor scores")
    return float(twice_below(genuine, impostor).sum()) / (2 * genuine.size * impostor.size)


def d_prime(genuine: Scores, impostor: Scores) -> float | None:
    """Return d' = (mean_g - mean_i) / sqrt((var_g + var_i) / 2), or None when both variances are zero.

    Variances are those of the sample (ddof 0). Source: Daugman, "Biometric decision landscapes", 2000.
    """
    genuine, impostor = as_scores(genuine, "genuine scores"), as_scores(impostor, "impostor scores")
    if np.ptp(genuine) == 0 and np.ptp(impostor) == 0:  # their variances may be rounding errors rather than zero
        return None
    (g_mean, g_variance), (i_mean, i_variance) = moments(genuine), moments(impostor)
    return float((g_mean - i_mean) / np.sqrt((g_variance + i_variance) / 2))


def cllr(genuine: Scores, impostor: Scores) -> float:
    """Return the log-likelihood-ratio cost of scores read as natural-log likelihood ratios, in bits.

    ``Cllr = (mean log2(1 + exp(-s_g)) + mean log2(1 + exp(s_i))) / 2``; 0 is perfect, 1 says nothing. Source: Brümmer
    and du Preez, "Application-independent evaluation of speaker detection", 2006. A failed comparison (``-inf``)
    makes it infinite on the genuine side.
    """
    genuine, impostor = as_scores(genuine, "genuine scores"), as_scores(impostor, "impostor scores")
    miss, false_alarm = mean_in_blocks(genuine, cost_of_genuine), mean_in_blocks(impostor, cost_of_impostor)
    return float((miss + false_alarm) / (2 * np.log(2)))


def cost_of_genuine(llr: Scores) -> NDArray[np.float64]:
    """Return the cost of each genuine log-likelihood ratio, in nats."""
    return np.logaddexp(0.0, -llr.astype(np.float64))


def cost_of_impostor(llr: Scores) -> NDArray[np.float64]:
    """Return the cost of each impostor log-likelihood ratio, in nats."""
    return np.logaddexp(0.0, llr.astype(np.float64))


@dataclass(frozen=True)
class PooledScores:
    """Genuine and impostor counts in blocks of scores, pooled until the genuine share rises (PAV), scores rising."""

    genuine: NDArray[np.float64]
    impostor: NDArray[np.float64]


def pool_adjacent_violators(genuine: Scores, impostor: Scores) -> PooledScores:
    """Return the best rising fit of the genuine share to the score (PAV), as blocks of pooled scores."""
    return pool_bins(*recalibration_counts(genuine, impostor))


def pool_bins(n_genuine: NDArray[np.float64], n_impostor: NDArray[np.float64]) -> PooledScores:
    """Return the same from the counts of bins of scores, some of which may be empty."""
    some = n_genuine + n_impostor > 0
    return pool_counts(n_genuine[some], n_impostor[some])


def pool_counts(n_genuine: NDArray[np.float64], n_impostor: NDArray[np.float64]) -> PooledScores:
    """Return the best rising fit of the genuine share to (B,) counts of scores, scores rising; none may be empty."""
    from scipy.optimize import isotonic_regression

    n_all = n_genuine + n_impostor
    starts = isotonic_regression(n_genuine / n_all, weights=n_all).blocks[:-1]
    return PooledScores(np.add.reduceat(n_genuine, starts), np.add.reduceat(n_impostor, starts))


def min_cllr(genuine: Scores, impostor: Scores) -> float:
    """Return the Cllr left after the best rising recalibration of the scores (PAV), ties pooled, in bits."""
    genuine = as_scores(genuine, "genuine scores")
    impostor = as_scores(impostor, "impostor scores")
    return pooled_cllr(pool_adjacent_violators(genuine, impostor))


def pooled_cllr(pooled: PooledScores) -> float:
    """Return the Cllr of scores that were recalibrated block by block, in bits."""
    n_genuine, n_impostor = pooled.genuine.sum(), pooled.impostor.sum()
    with np.errstate(divide="ignore"):
        llr = np.log(pooled.genuine / n_genuine) - np.log(pooled.impostor / n_impostor)
    miss = np.sum(_weighted(pooled.genuine, np.logaddexp(0.0, -llr))) / n_genuine
    false_alarm = np.sum(_weighted(pooled.impostor, np.logaddexp(0.0, llr))) / n_impostor
    return float((miss + false_alarm) / (2 * np.log(2)))


def _weighted(count: NDArray[np.float64], cost: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.multiply(count, cost, out=np.zeros_like(count), where=count > 0)


def rocch_equal_error_rate(genuine: Scores, impostor: Scores) -> float:
    """Return the EER on the convex hull of the ROC curve, where randomising between thresholds is allowed.

    The hull's corners are the block edges of the PAV solution. Source: Brümmer and de Villiers, "The BOSARIS toolkit",
    2013.
    """
    genuine = as_scores(genuine, "genuine scores")
    impostor = as_scores(impostor, "impostor scores")
    pooled = pool_adjacent_violators(genuine, impostor)
    miss = np.concatenate([[0.0], np.cumsum(pooled.genuine)]) / genuine.size
    false_alarm = 1.0 - np.concatenate([[0.0], np.cumsum(pooled.impostor)]) / impostor.size
    # the first corner at which the miss rate is no longer the smaller one; the crossing lies on the edge before it
    after = int(np.argmax(miss >= false_alarm))
    before = after - 1
    rise = (miss[after] - miss[before]) + (false_alarm[before] - false_alarm[after])
    step = (false_alarm[before] - miss[before]) / rise
    return float(miss[before] + step * (miss[after] - miss[before]))


def best_threshold(genuine: Scores, impostor: Scores) -> tuple[float, float]:
    """Return the threshold with the highest accuracy over all comparisons, and that accuracy.

    Exact: every distinct score is tried, and one value above them all. The smallest of equally good thresholds is
    returned.
    """
    return _best_threshold(as_scores(genuine, "genuine scores"), as_scores(impostor, "impostor scores"))


def _best_threshold(genuine: Scores, impostor: Scores) -> tuple[float, float]:
    curve = error_curve(genuine, impostor)
    correct = np.rint((1 - curve.fnmr) * genuine.size) + np.rint((1 - curve.fmr) * impostor.size)
    best = int(np.argmax(correct))
    return float(curve.thresholds[best]), float(correct[best] / (genuine.size + impostor.size))


@dataclass(frozen=True)
class FoldAccuracy:
    """Accuracy per fold, each at the threshold fitted on the other folds.

    Attributes:
        accuracies: (F,) share of correct decisions in each fold.
        mean: their mean.
        standard_error: ``std(ddof=1) / sqrt(F)``, as LFW asks for.
        std: ddof-0 standard deviation over folds, which some papers print instead.
    """

    accuracies: tuple[float, ...]
    thresholds: tuple[float, ...]
    mean: float
    standard_error: float
    std: float


def fold_accuracy(scores: Scores, genuine: NDArray[np.bool_], folds: NDArray[np.int64]) -> FoldAccuracy:
    """Return k-fold verification accuracy as LFW View 2 defines it.

    For each fold the threshold with the highest accuracy on all other folds is applied to it. Source: Huang et al.,
    "Labeled Faces in the Wild", 2007.

    Args:
        scores: (P,) one score per pair.
        genuine: (P,) whether the pair is of one identity.
        folds: (P,) fold of each pair.

    Raises:
        InputError: fewer than two folds, or a fold without genuine or impostor pairs.
    """
    scores = as_scores(scores)
    names = np.unique(folds)
    if names.size < 2:
        raise InputError("fold accuracy needs at least two folds")
    accuracies, thresholds = [], []
    for fold in names:
        inside = folds == fold
        if genuine[inside].all() or not genuine[inside].any():
            raise InputError(f"fold {fold} holds only one kind of pair; interleave genuine and impostor pairs")
        threshold, _ = _best_threshold(scores[~inside & genuine], scores[~inside & ~genuine])
        accuracies.append(float(np.mean((scores[inside] >= threshold) == genuine[inside])))
        thresholds.append(threshold)
    values = np.array(accuracies)
    return FoldAccuracy(
        tuple(accuracies),
        tuple(thresholds),
        float(values.mean()),
        float(values.std(ddof=1) / np.sqrt(values.size)),
        float(values.std()),
    )
