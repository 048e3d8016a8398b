"""Writes estimates about maps: means over pairs with intervals over identities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.metrics.uncertainty import identity_variance
from facebench.schema import Estimate, Flag
from facebench.schema.explanation import saliency_condition

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Explainees:
    """Whom the maps are of: identity index and groups of each pair, identity and part of each triplet."""

    pair_identity: NDArray[np.int64]
    pair_groups: Mapping[str, Mask]  # group name to (P,) members
    triplet_identity: NDArray[np.int64]
    triplet_part: tuple[str, ...]


def is_map(h: NDArray[Any]) -> bool:
    """Return whether a map says anything: finite and not constant."""
    return bool(np.isfinite(h).all() and np.ptp(h) > 0)


class Writer:
    """Writes the mean of one value per pair as an estimate, with an interval over identities."""

    def __init__(self, method: str, flags: tuple[Flag, ...], confidence: float) -> None:
        self.method = method
        self.flags = flags
        self.confidence = confidence

    def mean(
        self, metric: str, values: Sequence[float | None], identity: NDArray[np.int64], *, lowest: float = -1.0,
        highest: float = 1.0, nulls: dict[str, float] | None = None, **fields: Any,
    ) -> Estimate:  # fmt: skip
        """Return the mean over pairs; pairs without a map are left out and counted in a flag."""
        from scipy.special import stdtrit

        known = np.array([value is not None and np.isfinite(value) for value in values], bool)
        x = np.array([value for value, ok in zip(values, known, strict=True) if ok], np.float64)
        who = identity[known]
        n_identities = int(np.unique(who).size)
        flags = self.flags if known.all() else (*self.flags, Flag.DEGENERATE_MAPS)
        condition = saliency_condition(self.method, fields.pop("region", None))
        common = {"metric": metric, "condition": condition, "nulls": nulls, "n_genuine": int(x.size), **fields}
        if not x.size:
            return Estimate(value=None, flags=(*flags, Flag.INSUFFICIENT), **common)
        value = float(x.mean())
        common["n_identities"] = n_identities
        if n_identities < 2:
            return Estimate(value=value, flags=(*flags, Flag.NO_INTERVAL), **common)
        variance = identity_variance(x - value, who, x.size)
        if n_identities < 10:
            flags = (*flags, Flag.FEW_IDENTITIES)
        if variance == 0:  # equal values, often all 0 or all 1: no spread from which an interval could be had
            return Estimate(value=value, flags=(*flags, Flag.NO_INTERVAL), **common)
        half = float(stdtrit(n_identities - 1, 0.5 + self.confidence / 2)) * float(np.sqrt(variance))
        return Estimate(
            value=value, ci_low=max(lowest, value - half), ci_high=min(highest, value + half),
            ci_method="t-over-identities", flags=flags, **common,
        )  # fmt: skip
