"""The Kaplan-Meier estimate: how large a change must be, when some faces withstood every change that was tried."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facebench.metrics.uncertainty import normal_quantile

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Survival:
    """A step function: the share still unopened beyond each size of change.

    Attributes:
        at: (K,) sizes at which something was opened, rising.
        share: (K,) share unopened from that size on.
        low, high: (K,) its pointwise interval.
    """

    at: Floats
    share: Floats
    low: Floats
    high: Floats


def kaplan_meier(sizes: Floats, opened: NDArray[np.bool_], confidence: float = 0.95) -> Survival:
    """Return the product-limit estimate ``S(t) = prod_{t_i <= t} (1 - d_i / n_i)``.

    ``d_i`` of the ``n_i`` faces not yet opened or censored are opened at ``t_i``. The interval is Greenwood's on the
    scale of ``log(-log S)``. Sources: Kaplan and Meier 1958; Kalbfleisch and Prentice 1980.

    Args:
        sizes: (N,) of the smallest change found, or of the largest tried where none was.
        opened: (N,) whether a change was found; the others are censored.

    >>> kaplan_meier(np.array([1.0, 2.0, 3.0, 4.0]), np.array([True, True, False, True])).share.tolist()
    [0.75, 0.5, 0.0]
    """
    at = np.unique(sizes[opened])
    risk = np.array([(sizes >= point).sum() for point in at], float)
    events = np.array([((sizes == point) & opened).sum() for point in at], float)
    share = np.cumprod(1 - events / risk) if at.size else np.zeros(0)
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = np.sqrt(np.cumsum(events / (risk * (risk - events)))) / np.abs(np.log(share))
        factor = np.exp(normal_quantile(confidence) * spread)
        low, high = share**factor, share ** (1 / factor)
    certain = share <= 0
    return Survival(at, share, np.where(certain, 0.0, low), np.where(certain, 0.0, high))


def median_size(survival: Survival) -> tuple[float | None, float | None, float | None]:
    """Return the smallest size at which no more than half are unopened, and its interval; None beyond the last size.

    The interval holds the sizes whose pointwise interval reaches one half. Source: Brookmeyer and Crowley 1982.
    """
    found = []
    for line in (survival.share, survival.low, survival.high):
        below = np.flatnonzero(line <= 0.5)
        found.append(float(survival.at[below[0]]) if below.size else None)
    return found[0], found[1], found[2]
