"""Thresholds of single groups in a run too large to hold its scores: each is selected among the group's comparisons."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facebench.execution.compute import Compute
from facebench.metrics.verification import false_accept_budget, just_above
from facebench.scoring import engine
from facebench.scoring.arrange import arrange
from facebench.scoring.digits import digit_floor


@dataclass(frozen=True, eq=False)
class Impostors:
    """What is known of the impostor scores of one cell without holding them.

    Attributes:
        histogram: (65536,) those that were computed, per digit.
        n: all of them, failed ones included.
    """

    histogram: NDArray[np.int64]
    n: int

    def score_at(self, fmr: float) -> float:
        """Return about the threshold of an FMR, interpolated within a digit of the histogram."""
        above = np.cumsum(self.histogram[::-1])[::-1]  # at or above each digit
        wanted = min(fmr * self.n, float(above[0]))
        digit = max(int(np.searchsorted(-above, -wanted, side="right")) - 1, 0)
        low, high = digit_floor(np.array([digit, digit + 1])).astype(np.float64)
        inside = int(self.histogram[digit])
        over = int(above[digit]) - inside
        share = (wanted - over) / inside if inside else 0.5
        return float(high - share * (high - low))


@dataclass(frozen=True, eq=False)
class OwnThresholds:
    """Thresholds set on the comparisons within one group.

    Attributes:
        thresholds: (T,) per FMR target.
        resolvable: (T,) whether each allows a false accept.
        impostors: the scores they were set on.
    """

    thresholds: tuple[float, ...]
    resolvable: tuple[bool, ...]
    impostors: Impostors


def own_thresholds(
    vectors: NDArray[np.float32],
    identity: NDArray[np.int64],
    n: int,
    targets: tuple[float, ...],
    comparator: str,
    compute: Compute,
) -> OwnThresholds:
    """Return the thresholds of one group, under the strict rule.

    Args:
        vectors: (N, D) embeddings of its images that can be compared.
        identity: (N,) their identities.
        n: impostor comparisons within the group, those with a failed image included; at least one.
        targets: FMR targets.
    """
    budgets = [false_accept_budget(target, n) for target in targets]
    resolvable = tuple(budget >= 1 for budget in budgets)
    if np.unique(identity).size < 2:  # all comparisons failed
        nothing = just_above(-np.inf, np.float32)
        return OwnThresholds((nothing,) * len(targets), resolvable, Impostors(np.zeros(1 << 16, np.int64), n))
    arrangement = arrange(
        vectors, identity, np.zeros((identity.size, 1), np.int32), comparator, product=compute.product
    )
    ranks = [min(budget, n - 1) for budget in budgets]
    found = engine.select(arrangement, ranks, crossing=False, run=compute.run)
    return OwnThresholds(engine.thresholds(found), resolvable, Impostors(found.histogram, n))
