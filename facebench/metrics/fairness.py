"""Differential measures: how unequal error rates are between demographic groups.

Every function takes one rate per group and returns one number, or None where the measure is undefined (a zero in a
denominator, fewer than two groups). Nothing is smoothed. A measure never stands alone: print the rates beside it, and
its expectation under equal groups (`facebench.metrics.inversion`), because all of them are above
their ideal value even when the groups are alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import atan2, degrees
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.metrics import disparity

Rates = Sequence[float] | NDArray[np.float64]


def _array(rates: Rates) -> NDArray[np.float64]:
    return np.asarray(rates, dtype=np.float64)


def _one(measure: Callable[..., NDArray[np.float64]], *kinds: Rates) -> float | None:
    """Return the measure of one sample; None where undefined or with fewer than two groups."""
    arrays = [_array(rates) for rates in kinds]
    if any(x.size < 2 for x in arrays):
        return None
    value = float(measure(*arrays))
    return value if np.isfinite(value) else None


def gap(rates: Rates) -> float | None:
    """Return max - min; 0 when all groups are equal. Biased up in small samples."""
    return _one(disparity.gap, rates)


def debiased_gap(rates: Rates, variances: Rates) -> float | None:
    """Return the gap left after shrinking the rates towards their mean by their share of noise; 0 when equal.

    ``gap * max(0, 1 - (G - 1) / Q)`` with ``Q = sum (x - mean)² / mean V``: positive-part shrinkage, which takes out
    most of the upward bias of the gap. Source: Efron and Morris, "Data analysis using Stein's estimator", 1975.
    """
    x, v = _array(rates), _array(variances)
    if x.size < 2 or v.mean() <= 0:
        return None
    spread = float(np.sum((x - x.mean()) ** 2))
    kept = max(0.0, 1 - (x.size - 1) * float(v.mean()) / spread) if spread > 0 else 0.0
    return float(x.max() - x.min()) * kept


def max_min(rates: Rates) -> float | None:
    """Return max / min; 1 when equal, undefined when any rate is zero."""
    return _one(disparity.max_min, rates)


def max_geomean(rates: Rates) -> float | None:
    """Return max / geometric mean; 1 when equal, undefined when any rate is zero. Source: NISTIR 8429, 2022."""
    return _one(disparity.max_geomean, rates)


def gini(rates: Rates) -> float | None:
    """Return Gini's coefficient with the small-sample correction; 0 when equal, 1 when one group has all errors.

    ``G = n/(n-1) * sum_ij |x_i - x_j| / (2 n² mean)``. Undefined when all rates are zero. Source: Howard et al.,
    "Evaluating proposed fairness models for face recognition algorithms", 2022.
    """
    return _one(disparity.gini, rates)


def fdr(fmr: Rates, fnmr: Rates, alpha: float = 0.5) -> float | None:
    """Return the fairness discrepancy rate ``1 - [a range(FMR) + (1-a) range(FNMR)]``; 1 when equal.

    FMR ranges at usual thresholds are far below FNMR ranges, so the FMR part is nearly invisible. Source: de Freitas
    Pereira and Marcel, "Fairness in biometrics", 2022.
    """
    a, b = gap(fmr), gap(fnmr)
    return None if a is None or b is None else 1 - (alpha * a + (1 - alpha) * b)


def inequity_rate(fmr: Rates, fnmr: Rates, alpha: float = 0.5) -> float | None:
    """Return the inequity rate ``(max FMR / min FMR)^a (max FNMR / min FNMR)^(1-a)``; 1 when equal.

    Undefined when any rate is zero. Source: Grother, NISTIR 8429, 2022.
    """
    a, b = max_min(fmr), max_min(fnmr)
    return None if a is None or b is None else a**alpha * b ** (1 - alpha)


def garbe(fmr: Rates, fnmr: Rates, alpha: float = 0.5) -> float | None:
    """Return GARBE ``a Gini(FMR) + (1-a) Gini(FNMR)``; 0 when equal, undefined when all rates of a kind are zero.

    Source: Howard et al., 2022.
    """
    a, b = gini(fmr), gini(fnmr)
    return None if a is None or b is None else alpha * a + (1 - alpha) * b


def werm(fmr: Rates, fnmr: Rates, alpha: float = 0.5) -> float | None:
    """Return the worst-case error rate metric ``(max/geo FMR)^a (max/geo FNMR)^(1-a)``; 1 when equal.

    Undefined when any rate is zero; no epsilon is added to denominators.
    """
    a, b = max_geomean(fmr), max_geomean(fnmr)
    return None if a is None or b is None else a**alpha * b ** (1 - alpha)


def sedg(rates: Rates) -> float | None:
    """Return the sum of relative deviations ``sum |1 - x / mean|``; 0 when equal, undefined when the mean is zero."""
    return _one(disparity.sedg, rates)


def mape(rates: Rates, reference: float) -> float | None:
    """Return the mean absolute deviation from a declared reference rate, in percent of it; 0 when equal."""
    x = _array(rates)
    return float(100 * np.abs(x - reference).mean() / reference) if x.size and reference > 0 else None


def skewed_error_ratio(accuracies: Rates) -> float | None:
    """Return ``(1 - min accuracy) / (1 - max accuracy)``; 1 when equal, undefined at a perfect group.

    Source: Wang and Deng, "Mitigating bias in face recognition using skewness-aware reinforcement learning", 2020.
    Meant for comparison with figures on RFW only.
    """
    x = _array(accuracies)
    return float((1 - x.min()) / (1 - x.max())) if x.size > 1 and x.max() < 1 else None


def accuracy_std(accuracies: Rates) -> float | None:
    """Return the ddof-0 standard deviation of accuracies over groups, as RFW tables print it."""
    return _one(disparity.accuracy_std, accuracies)


def equalised_odds_difference(fmr: Rates, fnmr: Rates) -> float | None:
    """Return the larger of the ranges of FMR and of TAR over groups; 0 when equal (fairlearn's definition)."""
    return _one(disparity.equalised_odds_difference, fmr, fnmr)


def equalised_odds_ratio(fmr: Rates, fnmr: Rates) -> float | None:
    """Return the smaller of min/max FMR and min/max TAR over groups; 1 when equal (fairlearn's definition)."""
    return _one(disparity.equalised_odds_ratio, fmr, fnmr)


def signed_ratio_difference(first: float, second: float) -> tuple[float, float] | None:
    """Return ``|1 - first / second|`` and its sign (+1 when first is larger), or None when second is zero.

    With mean ranks of two groups this is the rank ratio, with errors the error ratio. Source: Dooley et al.,
    "Rethinking bias mitigation: fairer architectures make for fairer face recognition" (FR-NAS), 2023.
    """
    if second == 0:
        return None
    ratio = first / second
    return abs(1 - ratio), float(np.sign(ratio - 1))


def rank_disparity(first_ranks: Any, second_ranks: Any) -> tuple[float, float]:
    """Return the absolute difference of the mean ranks of the first mate in two groups, and its sign (FR-NAS)."""
    difference = float(np.mean(first_ranks) - np.mean(second_ranks))
    return abs(difference), float(np.sign(difference))


def individual_typology_angle(lightness: float, yellow: float) -> float:
    """Return ITA, the angle of skin colour in CIELAB, in degrees: ``atan2(L* - 50, b*)``; lighter skin is higher.

    Source: Chardon, Cretois and Hourseau, "Skin colour typology and suntanning pathways", 1991.

    >>> round(individual_typology_angle(70, 20), 1)
    45.0
    """
    return degrees(atan2(lightness - 50, yellow))
