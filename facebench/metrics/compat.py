"""How other tools read "TAR at FAR = f", reproduced so that their figures can be compared with ours.

The differences are of definition, not of precision: on a few thousand impostor scores they reach several points of TAR.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from facebench.errors import UnknownNameError
from facebench.metrics.verification import (
    OperatingPoint,
    Scores,
    accepted,
    as_scores,
    error_curve,
    false_accept_budget,
    just_above,
)


@dataclass(frozen=True)
class CompatPoint:
    """TAR under another tool's rule, with the threshold that rule picks."""

    tar: float
    point: OperatingPoint


def tar_under_rule(rule: str, genuine: Scores, impostor: Scores, fmr_target: float) -> CompatPoint:
    """Return the TAR that another tool would print for an FMR target.

    Args:
        rule: one of `RULES`.
        genuine: scores of genuine comparisons; higher is more alike.
        impostor: scores of impostor comparisons.
        fmr_target: between 0 and 1.
    """
    if rule not in RULES:
        raise UnknownNameError("compatibility rule", rule, RULES)
    genuine = as_scores(genuine, "genuine scores")
    impostor = as_scores(impostor, "impostor scores")
    threshold = RULES[rule](genuine, impostor, fmr_target)
    false_accepts = accepted(impostor, threshold)
    resolvable = false_accept_budget(fmr_target, impostor.size) >= 1
    point = OperatingPoint(fmr_target, threshold, false_accepts, impostor.size, resolvable)
    return CompatPoint(accepted(genuine, threshold) / genuine.size, point)


def pyeer_equal_error_rate(genuine: Scores, impostor: Scores) -> tuple[float, float] | None:
    """Return the EER pyeer prints and its threshold: None where FMR is above FNMR at every observed score.

    Of the lowest observed score at which FMR is at most FNMR, and the one before it where they are not equal, the one
    with the smaller sum of both rates; of equals the lower score.

    >>> pyeer_equal_error_rate(np.array([0.4, 0.6]), np.array([0.1, 0.5]))
    (0.5, 0.5)
    """
    curve = error_curve(genuine, impostor)
    fmr, fnmr = curve.fmr[:-1], curve.fnmr[:-1]  # pyeer tries observed scores only
    met = np.flatnonzero(fmr - fnmr <= 0)
    if not met.size:
        return None
    after = int(met[0])
    before = after - 1 if fmr[after] != fnmr[after] and after else after
    chosen = before if fmr[before] + fnmr[before] <= fmr[after] + fnmr[after] else after
    return float(fmr[chosen] + fnmr[chosen]) / 2, float(curve.thresholds[chosen])


def _insightface(genuine: Scores, impostor: Scores, fmr_target: float) -> float:
    """Nearest point of scikit-learn's thinned ROC curve; of several the one with the largest TPR."""
    from sklearn.metrics import roc_curve

    labels = np.concatenate([np.ones(genuine.size, np.int8), np.zeros(impostor.size, np.int8)])
    scores = np.concatenate([genuine, impostor])
    scores = np.where(np.isneginf(scores), np.finfo(scores.dtype).min, scores)  # scikit-learn refuses infinities
    fpr, _, thresholds = roc_curve(labels, scores, drop_intermediate=True)
    distance = np.abs(fpr - fmr_target)
    return _finite(float(thresholds[np.flatnonzero(distance == distance.min())[-1]]), scores)


def _bob(_genuine: Scores, impostor: Scores, fmr_target: float) -> float:
    """The smallest impostor score whose FMR does not exceed the target: the threshold sits on an impostor score."""
    rising = np.sort(impostor)
    k = false_accept_budget(fmr_target, rising.size)
    candidates = rising[rising.size - k :]
    at_or_above = rising.size - np.searchsorted(rising, candidates, side="left")
    allowed = candidates[at_or_above <= k]
    return float(allowed[0]) if allowed.size else just_above(float(rising[-1]), rising.dtype)


def _pyeer(genuine: Scores, impostor: Scores, fmr_target: float) -> float:
    """The observed score whose FMR is nearest to the target; of several the smallest score."""
    curve = error_curve(genuine, impostor)
    distance = np.abs(curve.fmr - fmr_target)
    return float(curve.thresholds[np.flatnonzero(distance <= distance.min() + 1e-12)[0]])  # ties but for rounding


def _quantile(_genuine: Scores, impostor: Scores, fmr_target: float) -> float:
    """The linearly interpolated (1 - f) quantile of the impostor scores."""
    return float(np.quantile(impostor.astype(np.float64), 1 - fmr_target))


def _finite(threshold: float, scores: Scores) -> float:
    return threshold if np.isfinite(threshold) else just_above(float(scores.max()), scores.dtype)


RULES: dict[str, Callable[[Scores, Scores, float], float]] = {
    "bob": _bob,
    "insightface": _insightface,
    "pyeer": _pyeer,
    "quantile": _quantile,
}
