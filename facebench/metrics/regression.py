"""Logistic regression of rare errors on covariates, with variances over identities that comparisons share.

The comparisons are far too many for a design matrix, so the functions here work on sums that a caller accumulates block
by block.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_MAX_STEPS = 40
_CLOSE = 1e-9


@dataclass(frozen=True, eq=False)
class Fit:
    """Coefficients of a logistic regression and their covariance over identities."""

    coefficients: Floats
    covariance: Floats


def fit_logistic(
    gradient_and_hessian: Callable[[Floats], tuple[Floats, Floats]],
    meat: Callable[[Floats], Floats],
    start: Floats,
) -> Fit | None:
    """Fit by Newton's method; None when the data cannot tell the coefficients apart (a singular or endless ascent).

    Args:
        gradient_and_hessian: of the log likelihood at some coefficients: ``sum x (e - p)`` and ``sum p (1 - p) x x'``.
        meat: the middle of the sandwich at the solution, see `dyadic_meat` and `cluster_meat`.
        start: coefficients to begin with.
    """
    beta = start.astype(np.float64)
    for _ in range(_MAX_STEPS):
        gradient, hessian = gradient_and_hessian(beta)
        try:
            step = np.linalg.solve(hessian, gradient)
        except np.linalg.LinAlgError:
            return None
        if not np.isfinite(step).all():
            return None
        longest = np.abs(step).max()
        beta = beta + step * min(1.0, 2.0 / longest if longest > 0 else 1.0)
        if longest < _CLOSE:
            bread = np.linalg.inv(hessian)
            return Fit(beta, bread @ meat(beta) @ bread)
    return None


def dyadic_meat(per_identity: Floats, pair_products: Floats, n_identities: int) -> Floats:
    """Return the middle of the sandwich when comparisons that share an identity depend on each other.

    ``sum_u S_u S_u' - sum_{u<v} s_uv s_uv'`` with s_uv the sum of ``x (e - p)`` over the comparisons of u and v, S_u
    that over all comparisons of u; times n / (n - 1). Where the difference is not positive, the second sum alone is
    used, which takes pairs of identities as independent. Source: Aronow, Samii and Assenova, "Cluster-robust variance
    estimation for dyadic data", 2015.

    Args:
        per_identity: (I, K) S_u.
        pair_products: (K, K) ``sum_{u<v} s_uv s_uv'``.
        n_identities: I.
    """
    middle = per_identity.T @ per_identity - pair_products
    if np.linalg.eigvalsh(middle).min() <= 0:
        middle = pair_products
    return np.asarray(middle * n_identities / max(1, n_identities - 1))


def cluster_meat(per_identity: Floats) -> Floats:
    """Return the middle of the sandwich when comparisons belong to one identity: ``sum_u S_u S_u' n / (n - 1)``."""
    n = per_identity.shape[0]
    return np.asarray(per_identity.T @ per_identity * n / max(1, n - 1))
