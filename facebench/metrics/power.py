"""What a sample can show before anything is measured: design effects of score phantoms, and the ratios they resolve.

A score phantom is ``score = mu_cell + a_u + a_v + b_uv + noise`` with total variance 1. `Shares` says how much of it is
due to the identities (a), and to the pair of identities that several image pairs have in common (b). With it, the
design effect of a cell is known before any image is embedded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import exp, inf, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

POWER_FACTOR = 7.849
"""(1.960 + 0.842)²: 80 % power at the two-sided 5 % level."""


@dataclass(frozen=True)
class Shares:
    """Shares of the variance of impostor scores: of the two identities together, and of their pair beyond them.

    The defaults are near what a MobileFaceNet shows at FMR 1e-3 on the AT&T and UTKFace images.
    """

    identity: float = 0.3
    pair: float = 0.2

    def __post_init__(self) -> None:
        if not (self.identity >= 0 and self.pair >= 0 and self.identity + self.pair < 1):
            raise ValueError("shares of variance must be at least 0 and sum to less than 1")


@lru_cache(maxsize=512)
def error_correlation(rate: float, correlation: float) -> float:
    """Return the correlation of two error indicators whose scores are normal with some correlation.

    ``(P(X >= t, Y >= t) - f²) / (f (1 - f))`` with ``f = P(X >= t)``, by Gauss-Hermite quadrature over the part the two
    scores share.

    >>> round(error_correlation(0.5, 0.5), 4)  # 4 (1/4 + asin(1/2) / 2 pi) - 1
    0.3333
    """
    if correlation <= 0 or not 0 < rate < 1:
        return 0.0
    from scipy.special import ndtr, ndtri

    # shifting the nodes to where both are errors keeps the tail accurate at small rates
    threshold = -float(ndtri(rate))
    centre = sqrt(correlation) * threshold / (1 + correlation) * 2 / (1 + correlation) if threshold > 0 else 0.0
    nodes, weights = np.polynomial.hermite_e.hermegauss(120)
    z = nodes + centre
    density = weights / sqrt(2 * np.pi) * np.exp(-centre * nodes - centre**2 / 2)
    given = ndtr((sqrt(correlation) * z - threshold) / sqrt(1 - correlation))
    both = float(density @ given**2)
    return max(0.0, (both - rate**2) / (rate * (1 - rate)))


def impostor_design_effect(fmr: float, images: Sequence[int], shares: Shares | None = None) -> float:
    """Return P / n_eff of the FMR of a cell whose identities have so many images each.

    ``DEFF = 1 + sum of error correlations over the other comparisons that share a pair, or one identity``, averaged
    over comparisons.

    >>> impostor_design_effect(1e-3, [1] * 50, Shares(0.0, 0.0))
    1.0
    """
    own = shares or Shares()
    m = np.asarray(images, float)
    total, squares = m.sum(), (m**2).sum()
    comparisons = (total**2 - squares) / 2
    if comparisons <= 0:
        return 1.0
    # ordered couples of comparisons with the same two identities, and with exactly one in common
    same = ((squares**2) - (m**4).sum()) / 2
    per_identity = m * (total - m)
    one = (per_identity**2).sum() - 2 * same
    pair = error_correlation(fmr, own.identity + own.pair)
    single = error_correlation(fmr, own.identity / 2)
    return float(1 + ((same - comparisons) * pair + one * single) / comparisons)


def detectable_ratio(effective_errors: Sequence[float]) -> float | None:
    """Return the smallest ratio of two groups' rates seen with 80 % power, for the two least informed groups.

    ``ln R = sqrt(7.849 (1/e_a + 1/e_b))`` with e the expected errors over the design effect; with equal e this is the
    rule ``k >= 2 * 7.849 DEFF / (ln R)²``. None with fewer than two groups, or none to be expected at all.

    >>> round(detectable_ratio([32.67, 32.67]), 2)
    2.0
    """
    least = sorted(effective_errors)[:2]
    if len(least) < 2 or least[0] <= 0:
        return None
    exponent = sqrt(POWER_FACTOR * (1 / least[0] + 1 / least[1]))
    return exp(exponent) if exponent < 50 else inf


def images_per_identity(identity: NDArray[np.integer[Any]], inside: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return how many images each identity has among some images; identities with none are left out."""
    _, counts = np.unique(identity[inside], return_counts=True)
    return np.asarray(counts, np.int64)
