"""Differential measures as formulas over the last axis of arrays of rates, with their ranges.

`facebench.metrics.fairness` gives the same measures for one sample. Here a row may be one of many samples; a measure
that is undefined is NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def gap(x: Floats) -> Floats:
    """Return max - min."""
    return np.asarray(x.max(axis=-1) - x.min(axis=-1))


def max_min(x: Floats) -> Floats:
    """Return max / min."""
    return _quotient(x.max(axis=-1), x.min(axis=-1))


def max_geomean(x: Floats) -> Floats:
    """Return max / geometric mean."""
    with np.errstate(divide="ignore"):
        found = _quotient(x.max(axis=-1), np.exp(np.log(x).mean(axis=-1)))
    return np.asarray(np.maximum(found, 1.0))  # equal rates may give a little less by rounding


def gini(x: Floats) -> Floats:
    """Return Gini's coefficient with the small-sample correction."""
    n = x.shape[-1]
    differences = 2 * np.sort(x, axis=-1) @ (2.0 * np.arange(n) - n + 1)
    # equal rates may give a little less than 0 by rounding
    return _quotient(n / (n - 1) * np.maximum(differences, 0.0), 2 * n * n * x.mean(axis=-1))


def sedg(x: Floats) -> Floats:
    """Return the sum of relative deviations from the mean."""
    mean = x.mean(axis=-1, keepdims=True)
    return _quotient(np.abs(x - mean).sum(axis=-1), mean[..., 0])


def accuracy_std(x: Floats) -> Floats:
    """Return the ddof-0 standard deviation."""
    return np.asarray(x.std(axis=-1))


def fdr(fmr: Floats, fnmr: Floats) -> Floats:
    """Return the fairness discrepancy rate."""
    return np.asarray(1 - (gap(fmr) + gap(fnmr)) / 2)


def inequity_rate(fmr: Floats, fnmr: Floats) -> Floats:
    """Return the inequity rate."""
    return np.asarray(np.sqrt(max_min(fmr) * max_min(fnmr)))


def garbe(fmr: Floats, fnmr: Floats) -> Floats:
    """Return the mean of the two Gini coefficients."""
    return np.asarray((gini(fmr) + gini(fnmr)) / 2)


def werm(fmr: Floats, fnmr: Floats) -> Floats:
    """Return the worst-case error rate metric."""
    return np.asarray(np.sqrt(max_geomean(fmr) * max_geomean(fnmr)))


def equalised_odds_difference(fmr: Floats, fnmr: Floats) -> Floats:
    """Return the larger of the two ranges."""
    return np.maximum(gap(fmr), gap(fnmr))


def equalised_odds_ratio(fmr: Floats, fnmr: Floats) -> Floats:
    """Return the smaller of min/max FMR and min/max TAR."""
    tar = 1 - fnmr
    ratios = [_quotient(x.min(axis=-1), x.max(axis=-1)) for x in (fmr, tar)]
    return np.asarray(np.minimum(*ratios))


def _quotient(above: Floats, below: Floats) -> Floats:
    """Return above / below, NaN where the denominator is zero."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(below > 0, above / np.where(below > 0, below, 1.0), np.nan))


@dataclass(frozen=True)
class Disparity:
    """One differential measure.

    Attributes:
        rows: the formula; takes the rates of one kind, or FMR and FNMR, each (..., G).
        alike: the value of equal rates.
        low, high: the range for G groups; high None means without limit.
        scale: a ratio is compared on its logarithm, and its excess is a quotient.
    """

    rows: Callable[..., Floats]
    alike: float
    low: float
    high: Callable[[int], float] | None
    scale: Literal["difference", "ratio"] = "difference"


def _one(_: int) -> float:
    return 1.0


OF_ONE_RATE = {
    "gap": Disparity(gap, 0, 0, _one),
    "max_min": Disparity(max_min, 1, 1, None, "ratio"),
    "max_geomean": Disparity(max_geomean, 1, 1, None, "ratio"),
    "gini": Disparity(gini, 0, 0, _one),
    "sedg": Disparity(sedg, 0, 0, lambda n: 2.0 * (n - 1)),
}
"""Measures of FMR or of FNMR."""

OF_BOTH = {
    "fdr": Disparity(fdr, 1, 0, _one),
    "ir": Disparity(inequity_rate, 1, 1, None, "ratio"),
    "garbe": Disparity(garbe, 0, 0, _one),
    "werm": Disparity(werm, 1, 1, None, "ratio"),
    "equalised_odds_difference": Disparity(equalised_odds_difference, 0, 0, _one),
    "equalised_odds_ratio": Disparity(equalised_odds_ratio, 1, 0, _one),
}
"""Measures of FMR and FNMR together."""

OF_ACCURACY = {
    "accuracy_std": Disparity(accuracy_std, 0, 0, lambda _: 0.5),
    "ser": OF_ONE_RATE["max_min"],
}
"""Measures of the groups' shares of wrong decisions, as RFW tables print them."""


def mean_absolute_error(reference: float) -> Disparity:
    """Return `mape` against a declared reference rate: its mean absolute deviation in percent."""

    def rows(x: Floats) -> Floats:
        return np.asarray(100 * np.abs(x - reference).mean(axis=-1) / reference)

    return Disparity(rows, 0, 0, lambda _: 100 * max(1 / reference - 1, 1.0))
