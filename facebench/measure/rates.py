"""One rate with its interval: the rules that every FMR, FNMR and TAR in a result follows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.metrics import catalogue
from facebench.metrics.clusters import MOST_LEVERAGE, PairIndex
from facebench.metrics.uncertainty import identity_variance, wilson, wilson_from_variance, zero_error_bounds
from facebench.schema import Estimate, Flag

FEW_ERRORS = 30


@dataclass(frozen=True)
class Rate:
    """Errors among comparisons, and what is known of their dependence.

    Attributes:
        errors, n: comparisons that are errors, and all.
        variance: of the rate over identities; None when it is unknown, so that only a naive interval exists.
        n_independent: comparisons between disjoint identities: all that is certain when no error was seen.
        design_effect: of the pooled sample, assumed for a cell without errors.
        method: how the variance was found.
        leading: share of the comparisons that one identity takes part in, where it is known.
    """

    errors: int
    n: int
    variance: float | None
    n_independent: int
    design_effect: float
    method: str
    leading: float = 0.0

    @property
    def value(self) -> float:
        """The rate."""
        return self.errors / self.n

    def interval(self, confidence: float) -> dict[str, Any]:
        """Return the interval fields of an estimate."""
        if self.variance is None:
            low, high = wilson(self.value, self.n, confidence)
            return {"ci_low": low, "ci_high": high, "ci_method": "naive-wilson"}
        if self.errors in (0, self.n):
            return one_sided(self.errors > 0, self.n, self.n_independent, self.design_effect, confidence)
        found = wilson_from_variance(self.value, self.n, self.variance, confidence)
        return {"ci_low": found.low, "ci_high": found.high, "ci_method": self.method, "n_eff": found.n_eff}

    def flags(self) -> list[Flag]:
        """Return what these counts oblige us to say."""
        flags = []
        if self.variance is None:
            flags.append(Flag.NAIVE_INTERVAL)
        if self.errors == 0:
            flags.append(Flag.ZERO_ERRORS)
        elif self.errors == self.n:
            flags.append(Flag.ALL_ERRORS)
        elif self.errors < FEW_ERRORS:
            flags.append(Flag.FEW_ERRORS)
        return [*flags, *leaning_flags(self.leading)]


def one_sided(
    all_errors: bool, n: float, n_independent: float, design_effect: float, confidence: float
) -> dict[str, Any]:
    """Return the interval fields of a rate of 0, or of 1; `bracket` holds its one limit, hopeful and safe, rising."""
    hopeful, safe = zero_error_bounds(n, n_independent, design_effect, confidence)
    low, high = (1 - safe, 1.0) if all_errors else (0.0, safe)
    bracket = (1 - safe, 1 - hopeful) if all_errors else (hopeful, safe)
    return {"ci_low": low, "ci_high": high, "ci_method": "rule-of-three", "bracket": bracket}


def impostor_rate(
    errors: NDArray[Any], first: NDArray[Any], second: NDArray[Any], *, design_effect: float = 1.0
) -> Rate:
    """Return a rate over impostor comparisons at a fixed threshold, with its variance over identities.

    Args:
        errors: (P,) whether each comparison is one.
        first, second: (P,) identity index of its ends.
        design_effect: assumed where no error was seen.
    """
    index = PairIndex(first, second, int(max(first.max(), second.max())) + 1)
    each = errors.astype(np.float64)
    variance = index.influence((each - each.mean()) / each.size).variance
    independent = index.disjoint()
    return Rate(int(errors.sum()), errors.size, variance, independent, design_effect, "wilson-vertex", index.leading)


def genuine_rate(errors: NDArray[Any], identity: NDArray[Any], method: str = "wilson-identity-fixed-threshold") -> Rate:
    """Return a rate over comparisons of one identity each (or over images) at a fixed threshold.

    Args:
        errors: (P,) whether each is one.
        identity: (P,) identity index.
    """
    each = errors.astype(np.float64)
    variance = identity_variance(each - each.mean(), identity, each.size)
    people = int(np.unique(identity).size)
    return Rate(int(errors.sum()), errors.size, variance, people, errors.size / people, method)


def leaning_flags(leading: float) -> tuple[Flag, ...]:
    """Return what must be said where one identity takes part in such a share of the comparisons."""
    return (Flag.FEW_IDENTITIES,) if leading >= MOST_LEVERAGE else ()


def threshold_flags(false_matches: int) -> tuple[Flag, ...]:
    """Return what the false matches that set a threshold oblige us to say of every rate read at it."""
    return (Flag.FEW_FALSE_MATCHES,) if 0 < false_matches < FEW_ERRORS else ()


def rate_estimate(
    metric: str, rate: Rate, confidence: float, *, flags: tuple[Flag, ...] = (), **fields: Any
) -> Estimate:
    """Return the estimate of an error rate."""
    return Estimate(
        metric=metric, value=rate.value, errors=rate.errors, flags=tuple(dict.fromkeys((*flags, *rate.flags()))),
        **rate.interval(confidence), **fields,
    )  # fmt: skip


def complement(estimate: Estimate, metric: str) -> Estimate:
    """Return the estimate of 1 - rate: TAR from FNMR. `errors` still counts the errors."""
    assert estimate.value is not None
    low, high = estimate.ci_low, estimate.ci_high
    bracket = estimate.bracket
    return estimate.model_copy(
        update={
            "metric": metric,
            "value": (estimate.n_genuine - estimate.errors) / estimate.n_genuine
            if estimate.n_genuine and estimate.errors is not None
            else 1 - estimate.value,
            "ci_low": None if high is None else 1 - high,
            "ci_high": None if low is None else 1 - low,
            "bracket": None if bracket is None else (1 - bracket[1], 1 - bracket[0]),
        }
    )


def spread(replicates: NDArray[np.float64]) -> float | None:
    """Return the variance over replicates (last axis rows), or None when fewer than half of them are defined."""
    defined = replicates[np.isfinite(replicates)]
    if defined.size < max(2, replicates.size / 2):
        return None
    return float(defined.var(ddof=1))


def design_effect_of(estimate: Estimate) -> float:
    """Return P / n_eff of a measured rate, 1 when it cannot be told."""
    n = catalogue.metric(estimate.metric).total(n_genuine=estimate.n_genuine, n_impostor=estimate.n_impostor)
    return max(1.0, n / estimate.n_eff) if n and estimate.n_eff else 1.0


def design_effect(rate: Rate) -> float:
    """Return P / n_eff of a rate, 1 when it cannot be told."""
    if rate.variance is None or rate.errors in (0, rate.n):
        return 1.0
    return max(1.0, rate.variance / (rate.value * (1 - rate.value) / rate.n))
