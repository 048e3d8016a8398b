"""How far genuine and impostor scores lie apart, from what a result holds of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facebench.schema import Curve, Estimate

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Separation:
    """How far genuine and impostor scores lie apart.

    Attributes:
        auc, low, high: with its interval, 0 to 1.
        medians: of genuine and of impostor scores, to the width of a histogram's bar.
        spread: distance of the quartiles of the impostor scores.
        span: of all scores, from the least to the greatest.
    """

    auc: float
    low: float
    high: float
    medians: tuple[float, float]
    spread: float
    span: float


def separation(estimates: Sequence[Estimate], curves: Sequence[Curve]) -> Separation | None:
    """Return how far scores lie apart; None where one of the two kinds is missing.

    Without a stored AUC that of the histograms is taken; without an interval, the one of equal and independent scores
    (Mann and Whitney, 1947).
    """
    bars = {
        curve.name: curve
        for curve in curves
        if (curve.kind, curve.group, curve.condition) == ("histogram", "all", "clean")
    }
    if len(bars) < 2 or not all(sum(bar.y) for bar in bars.values()):
        return None
    edges = np.array(bars["genuine"].x)
    genuine, impostor = np.array(bars["genuine"].y), np.array(bars["impostor"].y)
    auc, low, high = _auc(estimates, genuine, impostor)
    medians = (_quantile(edges, genuine, 0.5), _quantile(edges, impostor, 0.5))
    spread = _quantile(edges, impostor, 0.75) - _quantile(edges, impostor, 0.25)
    used = np.flatnonzero(genuine + impostor)
    span = 0.0 if used.size == 1 and edges.size > 2 else float(edges[used[-1] + 1] - edges[used[0]])
    return Separation(auc, low, high, medians, spread, span)


def _auc(estimates: Sequence[Estimate], genuine: Floats, impostor: Floats) -> tuple[float, float, float]:
    stored = next(
        (e for e in estimates if (e.metric, e.group, e.condition, e.rule) == ("auc", "all", "clean", "strict")), None
    )
    value = stored.value if stored else None
    if stored is not None and value is not None and stored.ci_low is not None and stored.ci_high is not None:
        return value, stored.ci_low, stored.ci_high
    m, n = genuine.sum(), impostor.sum()
    if value is None:
        below = np.cumsum(impostor) - impostor / 2
        value = float(genuine @ below / (m * n))
    half = 1.96 * float(np.sqrt((m + n + 1) / (12 * m * n)))
    return value, max(0.0, value - half), min(1.0, value + half)


def _quantile(edges: Floats, counts: Floats, share: float) -> float:
    """Return a quantile of a histogram, as if scores were even within its bars."""
    total = np.append(0, np.cumsum(counts)) / counts.sum()
    return float(np.interp(share, total, edges))
