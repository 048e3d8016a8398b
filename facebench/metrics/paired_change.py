"""Paired changes with identities as the sampling unit: the mean of differences that come in clusters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.metrics.uncertainty import Interval


@dataclass(frozen=True)
class Change:
    """A mean difference, its interval, and what it rests on; `interval` is None with fewer than two identities."""

    value: float
    interval: Interval | None
    n: int
    n_identities: int


def mean_change(
    differences: NDArray[np.floating[Any]],
    identity: NDArray[np.integer[Any]],
    *,
    replicates: int,
    confidence: float,
    rng: np.random.Generator,
) -> Change | None:
    """Return the mean of paired differences with an identity-bootstrap interval; None when there are none.

    Identities are drawn with replacement, and all differences of one go together: ``sum w_u S_u / sum w_u n_u``.

    Args:
        differences: (P,) finite.
        identity: (P,) identity index of each.
    """
    if not differences.size:
        return None
    names, owner = np.unique(identity, return_inverse=True)
    sums, counts = np.bincount(owner, differences), np.bincount(owner).astype(np.float64)
    value = float(sums.sum() / counts.sum())
    if names.size < 2:
        return Change(value, None, int(differences.size), int(names.size))
    weights = rng.multinomial(names.size, np.full(names.size, 1 / names.size), size=replicates)
    drawn = (weights @ sums) / (weights @ counts)
    tail = (1 - confidence) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return Change(value, (float(low), float(high)), int(differences.size), int(names.size))
