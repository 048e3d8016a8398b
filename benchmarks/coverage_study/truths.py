"""What the population of a design holds: the truth an interval is to cover, per metric.

`TRUTHS` maps a metric to a function of the design and the estimate; None where a group or target has none. For metrics
of `EXPECTED` no closed form is known, because they depend on the size of the sample (rank-k on that of the gallery):
there the truth is the mean of the estimate over all runs.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.stats import norm

from benchmarks.coverage_study.designs import Design, Group
from facebench.schema import Estimate

Truth = Callable[[Design, Estimate], float | None]


def impostor_shares(design: Design) -> dict[tuple[str, str], float]:
    """Return the share of the impostor comparisons that lies in each pair of groups."""
    counts: dict[tuple[str, str], float] = {}
    for i, a in enumerate(design.groups):
        for b in design.groups[i:]:
            if design.listing == "all":
                pairs = a.people * (a.people - 1) / 2 if a is b else a.people * b.people
                counts[a.name, b.name] = pairs * a.images * b.images
            elif a is b:
                counts[a.name, b.name] = a.people
    total = sum(counts.values())
    return {ends: n / total for ends, n in counts.items()}


def genuine_shares(design: Design) -> dict[str, float]:
    """Return the share of the genuine comparisons of each group."""
    counts = {g.name: g.people * g.images * (g.images - 1) / 2 for g in design.groups}
    total = sum(counts.values())
    return {name: n / total for name, n in counts.items()} if total else {}


def _group(design: Design, name: str) -> Group | None:
    return next((g for g in design.groups if f"group={g.name}" == name), None)


def _lift(design: Design, a: str, b: str) -> float:
    lifts = {g.name: g.lift for g in design.groups}
    return (lifts[a] + lifts[b]) / 2


def fmr_at(design: Design, threshold: float) -> float:
    """Return the FMR of the population at a threshold."""
    return sum(n * norm.sf(threshold - _lift(design, *ends)) for ends, n in impostor_shares(design).items())


def fnmr_at(design: Design, threshold: float) -> float:
    """Return the FNMR of the population at a threshold."""
    separation = {g.name: g.separation for g in design.groups}
    return sum(n * norm.cdf(threshold - separation[name]) for name, n in genuine_shares(design).items())


@lru_cache(maxsize=256)
def threshold_of(design: Design, target: float) -> float:
    """Return the threshold at which the population's FMR is the target."""
    return float(brentq(lambda t: fmr_at(design, t) - target, -10, 10))


def _threshold(design: Design, estimate: Estimate) -> float:
    """Return the threshold of the population at an FMR target, or the one that stands."""
    if estimate.fmr_target is not None:
        return threshold_of(design, estimate.fmr_target)
    assert estimate.threshold is not None
    return estimate.threshold


def fmr(design: Design, estimate: Estimate) -> float | None:
    """Return the FMR: of all comparisons at the threshold found, of groups at that of the population."""
    if estimate.group == "all":
        assert estimate.threshold is not None
        return fmr_at(design, estimate.threshold)
    group = _group(design, estimate.group)
    if group is None:
        return None
    other = group if estimate.group_b is None else _group(design, estimate.group_b)
    assert other is not None
    return float(norm.sf(_threshold(design, estimate) - (group.lift + other.lift) / 2))


def fnmr(design: Design, estimate: Estimate) -> float | None:
    """Return the FNMR at the population's threshold."""
    threshold = _threshold(design, estimate)
    if estimate.group == "all":
        return fnmr_at(design, threshold)
    group = _group(design, estimate.group)
    return None if group is None else float(norm.cdf(threshold - group.separation))


def tar(design: Design, estimate: Estimate) -> float | None:
    """Return 1 - FNMR."""
    missed = fnmr(design, estimate)
    return None if missed is None else 1 - missed


@lru_cache(maxsize=64)
def _eer(design: Design) -> float:
    t = brentq(lambda t: fmr_at(design, t) - fnmr_at(design, t), -10, 10)
    return fmr_at(design, t)


@lru_cache(maxsize=64)
def _auc(design: Design) -> float:
    separation = {g.name: g.separation for g in design.groups}
    return sum(
        n * m * norm.cdf((separation[g] - _lift(design, *ends)) / np.sqrt(2))
        for ends, n in impostor_shares(design).items()
        for g, m in genuine_shares(design).items()
    )


@lru_cache(maxsize=64)
def _dprime(design: Design) -> float:
    separation = {g.name: g.separation for g in design.groups}
    both = []
    for values, shares in (
        (separation, genuine_shares(design)),
        ({ends: _lift(design, *ends) for ends in impostor_shares(design)}, impostor_shares(design)),
    ):
        mean = sum(values[key] * share for key, share in shares.items())
        both.append((mean, 1 + sum((values[key] - mean) ** 2 * share for key, share in shares.items())))
    return float((both[0][0] - both[1][0]) / np.sqrt((both[0][1] + both[1][1]) / 2))


@lru_cache(maxsize=64)
def _cllr(design: Design) -> float:
    separation = {g.name: g.separation for g in design.groups}

    def cost(mean: float, sign: float) -> float:
        return float(quad(lambda x: np.logaddexp(0, sign * x) * norm.pdf(x, mean), mean - 9, mean + 9)[0]) / np.log(2)

    genuine = sum(m * cost(separation[g], -1) for g, m in genuine_shares(design).items())
    impostor = sum(n * cost(_lift(design, *ends), 1) for ends, n in impostor_shares(design).items())
    return (genuine + impostor) / 2


@lru_cache(maxsize=64)
def _min_cllr(design: Design) -> float:
    separation = {g.name: g.separation for g in design.groups}

    def g(x: float) -> float:
        return sum(m * norm.pdf(x, separation[name]) for name, m in genuine_shares(design).items())

    def i(x: float) -> float:
        return sum(n * norm.pdf(x, _lift(design, *ends)) for ends, n in impostor_shares(design).items())

    def cost(x: float) -> float:
        llr = np.log(g(x)) - np.log(i(x))
        return float(g(x) * np.logaddexp(0, -llr) + i(x) * np.logaddexp(0, llr)) / (2 * np.log(2))

    return float(quad(cost, -8, 11, limit=200)[0])


def _pooled(value: Callable[[Design], float]) -> Truth:
    return lambda design, estimate: value(design) if estimate.group == "all" and genuine_shares(design) else None


TRUTHS: dict[str, Truth] = {
    "fmr": fmr,
    "fnmr": fnmr,
    "tar": tar,
    "eer": _pooled(_eer),
    "auc": _pooled(_auc),
    "dprime": _pooled(_dprime),
    "cllr": _pooled(_cllr),
    "min_cllr": _pooled(_min_cllr),
}
EXPECTED: frozenset[str] = frozenset({"rank", "fnir", "fpir", "accuracy"})
