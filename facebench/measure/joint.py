"""How the rates of groups move together when no replicates are drawn: the delta method's covariances.

Rates of groups that are read at one threshold depend on each other: where chance raises the false matches of one group,
the threshold rises and lowers those of the others. Each rate moves by an influence of its own comparisons and by a
slope times that of the pooled impostor comparisons, which set the threshold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facebench.metrics import clusters

Floats = NDArray[np.float64]
_POINTS = 200
"""About as many points stand for the distribution."""


@dataclass(frozen=True, eq=False)
class Moving:
    """What moves one rate.

    Attributes:
        own: influence of its own comparisons.
        impostor: whether these are impostor comparisons, which are part of the pooled ones.
        with_pooled: sum over pairs of identities of their influence on it, by its own comparisons, times that on the
            pooled FMR.
        slope: by how much the rate rises per pooled FMR gained at its threshold.
        variance: of the rate.
    """

    own: clusters.Influence
    impostor: bool
    with_pooled: float
    slope: float
    variance: float


def covariance(rates: Sequence[Moving], pooled: clusters.Influence, alike: float) -> Floats:
    """Return (R, R) covariances of rates of different groups, with their variances on the diagonal.

    Of T_u and x_i, the influence of the comparisons of identity u and of a pair of identities i, on two rates::

        Cov = sum_u T_u T'_u - sum_i x_i x'_i

    since the sum over u counts each pair of identities at both ends (`facebench.metrics.clusters`).

    Args:
        rates: R rates.
        pooled: influence of the pooled FMR.
        alike: see `alike_between_cells`.
    """
    together = np.stack([rate.own.together + rate.slope * pooled.together for rate in rates], axis=1)
    n = len(rates)
    # pairs of identities on the basis of the rates' own impostor comparisons, and last the pooled ones
    basis = np.zeros((n + 1, n + 1))
    basis[n, n] = pooled.independent
    for r, rate in enumerate(rates):
        if rate.impostor:
            basis[r, r] = rate.own.independent
            basis[r, n] = basis[n, r] = rate.with_pooled
            for q, other in enumerate(rates[:r]):
                if other.impostor:
                    basis[r, q] = basis[q, r] = alike * np.sqrt(rate.own.independent * other.own.independent)
    weights = np.vstack([np.eye(n), [rate.slope for rate in rates]])
    found = together.T @ together - weights.T @ basis @ weights
    size = np.sqrt(np.maximum(np.diag(found), 0.0))
    scale = np.where(size > 0, 1 / np.where(size > 0, size, 1.0), 0.0)
    correlation = np.clip(found * scale[:, None] * scale, -1.0, 1.0)
    np.fill_diagonal(correlation, 1.0)
    errors = np.sqrt([rate.variance for rate in rates])
    return np.asarray(correlation * errors[:, None] * errors, np.float64)


def alike_between_cells(pooled: float, cells: Sequence[float]) -> float:
    """Return how alike pairs of identities err in different cells of a grouping, from 0 to 1.

    Where people carry several labels the comparisons of a pair of identities lie in several cells c. With d_c the sum
    of ``e - p`` over them, the pooled sum of squares is ``sum d² = sum_c sum d_c² + sum_{c != c'} sum d_c d_c'``, so
    the last term is known in all; it is shared out in proportion to ``sqrt(sum d_c² sum d_c'²)``.

    Args:
        pooled: sum over pairs of identities of d².
        cells: per cell the sum of d_c².
    """
    roots = np.sqrt(np.maximum(cells, 0.0))
    most = float(roots.sum() ** 2 - (roots**2).sum())
    return float(np.clip((pooled - sum(cells)) / most, 0.0, 1.0)) if most > 0 else 0.0


def points(means: Floats, covariances: Floats) -> Floats:
    """Return (P, R) points about means that have these covariances exactly: they stand for bootstrap replicates.

    They lie on both sides of the mean along each principal direction (the sigma points of the unscented transform:
    Julier and Uhlmann, "Unscented filtering and nonlinear estimation", 2004).
    """
    values, vectors = np.linalg.eigh(covariances)
    n = means.size
    along = (vectors * np.sqrt(n * np.maximum(values, 0.0))).T
    times = -(-_POINTS // (2 * n))
    return np.asarray(means + np.tile(np.concatenate([along, -along]), (times, 1)), np.float64)
