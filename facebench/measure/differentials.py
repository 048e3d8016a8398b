"""Differential measures of one grouping at one operating point, with intervals and what equal groups would show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from facebench.measure.rates import Rate
from facebench.metrics import disparity, fairness, power
from facebench.metrics.disparity import Disparity
from facebench.metrics.group_draws import DRAWS, GroupCounts, correlated_normals, effective_numbers
from facebench.metrics.inversion import Inverted, Supposed
from facebench.schema import Estimate, Flag

Floats = NDArray[np.float64]
METHOD = "test-inversion"


@dataclass(frozen=True)
class Context:
    """What all differentials of one grouping share.

    Attributes:
        groups: names of all groups, those without comparisons included.
        target: the FMR target, against which `mape` is computed.
        flags, common: fields of every estimate.
        confidence: of the intervals.
        rng: for the samples of supposed rates.
    """

    groups: Sequence[str]
    target: float
    flags: tuple[Flag, ...]
    common: dict[str, object]
    confidence: float
    rng: np.random.Generator

    def estimate(self, metric: str, found: Inverted, left_out: Sequence[str], **fields: object) -> Estimate:
        """Return the estimate of a measure."""
        flags = self.flags
        if left_out:
            flags, fields = (*flags, Flag.GROUPS_LEFT_OUT), {**fields, "left_out": tuple(left_out)}
        if found.value is None or (
            found.low is not None and found.expected is None and not metric.endswith("_debiased")
        ):
            flags = (*flags, Flag.INSUFFICIENT)
        if found.low is None:
            flags = (*flags, Flag.NO_INTERVAL)
        return Estimate.model_validate(
            {**self.common, **fields, **inverted_fields(found), "metric": metric, "flags": flags}
        )

    def missing(self, metric: str, why: Flag, left_out: Sequence[str] = ()) -> Estimate:
        """Return an estimate without a value."""
        fields = {"left_out": tuple(left_out)} if left_out else {}
        flags = (*self.flags, why, *((Flag.GROUPS_LEFT_OUT,) if left_out else ()))
        return Estimate.model_validate({**self.common, **fields, "metric": metric, "value": None, "flags": flags})


def inverted_fields(found: Inverted) -> dict[str, object]:
    """Return the fields of an estimate that say how far a measure is known, and from what alike groups would show."""
    fields: dict[str, object] = {"value": found.value}
    if found.low is not None:
        fields |= {"ci_low": found.low, "ci_high": found.high, "ci_method": METHOD}
    if found.expected is not None:
        fields |= {"expected_if_fair": found.expected, "expected_as": "median" if found.ratio else "mean"}
    if found.excess is not None:
        fields |= {"excess": found.excess, "excess_as": "ratio" if found.ratio else "difference"}
        fields |= {"excess_low": found.excess_low, "excess_high": found.excess_high}
    return fields


def estimates(fmr: Kind | None, fnmr: Kind | None, context: Context) -> list[Estimate]:
    """Return every differential of one grouping; a kind is None when fewer than two groups have any."""
    kinds = {"fmr": fmr, "fnmr": fnmr}
    together = fmr is not None and fnmr is not None and fmr.present == fnmr.present
    supposed: dict[str, Supposed] = {}
    both: Supposed | None = None
    if together and fmr is not None and fnmr is not None and fmr.counted is not None and fnmr.counted is not None:
        both = suppose((fmr, fnmr), context.rng)
        supposed = {"fmr": both.one(0), "fnmr": both.one(1)}
    for name, kind in kinds.items():
        if name not in supposed and kind is not None and kind.counted is not None:
            supposed[name] = suppose((kind,), context.rng)
    found: list[Estimate] = []
    for name, kind in kinds.items():
        found += _of_one_kind(name, kind, supposed.get(name), context)
    for metric, measure in disparity.OF_BOTH.items():
        if fmr is None or fnmr is None or not together:
            why = Flag.NO_GENUINE if fnmr is None else Flag.NO_IMPOSTOR if fmr is None else Flag.INSUFFICIENT
            absent = _absent(fmr, fnmr, context.groups) if fmr is not None and fnmr is not None else ()
            found.append(context.missing(metric, why, absent))
            continue
        inverted = _inverted(measure, both, context.confidence, fmr, fnmr)
        counts = {"n_impostor": fmr.counts()["n_impostor"], "n_genuine": fnmr.counts()["n_genuine"]}
        found.append(context.estimate(metric, inverted, fmr.left_out(context.groups), **counts))
    return found


def suppose(kinds: tuple[Kind, ...], rng: np.random.Generator, draws: int = DRAWS) -> Supposed:
    """Return the samples under supposed rates of kinds that have effective numbers of comparisons."""
    counted = tuple(kind.counted for kind in kinds if kind.counted is not None)
    replicates = [kind.replicates for kind in kinds if kind.replicates is not None]
    drawn = np.concatenate(replicates, axis=1) if len(replicates) == len(kinds) else None
    return Supposed(counted, correlated_normals(sum(kind.n.size for kind in counted), drawn, rng, draws))


def _absent(fmr: Kind, fnmr: Kind, groups: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name in groups if name in {*fmr.left_out(groups), *fnmr.left_out(groups)})


def _inverted(measure: Disparity, supposed: Supposed | None, confidence: float, *kinds: Kind) -> Inverted:
    if supposed is not None:
        return supposed.invert(measure, confidence)
    value = float(measure.rows(*(kind.values for kind in kinds)))
    return Inverted(value if np.isfinite(value) else None)


def _of_one_kind(name: str, kind: Kind | None, supposed: Supposed | None, context: Context) -> list[Estimate]:
    """Return the measures of FMR or of FNMR, and the test of equal rates."""
    missing = Flag.NO_IMPOSTOR if name == "fmr" else Flag.NO_GENUINE
    measures = {f"{name}_{metric}": measure for metric, measure in disparity.OF_ONE_RATE.items()}
    measures["sedg" if name == "fmr" else "fnmr_sedg"] = measures.pop(f"{name}_sedg")
    test = f"equal_{name}_test"
    if kind is None:
        last = ("mape",) if name == "fmr" else ()
        return [context.missing(metric, missing) for metric in (*measures, f"{name}_gap_debiased", *last, test)]
    counts = kind.counts()
    counts["n_genuine" if name == "fmr" else "n_impostor"] = None
    left_out = kind.left_out(context.groups)
    found = []
    for metric, measure in measures.items():
        inverted = _inverted(measure, supposed, context.confidence, kind)
        if metric == f"{name}_gap":
            inverted = _bounded(inverted, kind, context.confidence)
        seen = {"detectable_ratio": kind.detectable_ratio} if metric == f"{name}_max_min" else {}
        found.append(context.estimate(metric, inverted, left_out, **counts, **seen))
        if metric == f"{name}_gap":
            found.append(context.estimate(f"{metric}_debiased", _debiased(kind, inverted), left_out, **counts))
    if name == "fmr":
        found.append(context.estimate("mape", _mape(kind, context), left_out, **counts))
    if supposed is not None:
        outcome = supposed.equal_rates()
        value, p = (None, None) if outcome is None else outcome
        undefined = (Flag.INSUFFICIENT,) if outcome is None else ()
        left = {"left_out": left_out} if left_out else {}
        flags = (*context.flags, Flag.NO_INTERVAL, *undefined, *((Flag.GROUPS_LEFT_OUT,) if left_out else ()))
        fields = {"metric": test, "value": value, "p_value": p, "flags": flags}
        found.append(Estimate.model_validate({**context.common, **counts, **left, **fields}))
    return found


def _bounded(gap: Inverted, kind: Kind, confidence: float) -> Inverted:
    """Return a gap whose interval reaches as far as the bounds of the groups' rates where none shows an error."""
    if gap.high is None or any(rate.errors for rate in kind.rates):
        return gap
    return replace(gap, high=max(gap.high, *(float(rate.interval(confidence)["ci_high"]) for rate in kind.rates)))


def _debiased(kind: Kind, gap: Inverted) -> Inverted:
    """Return the gap without noise; its interval is that of the gap, from which chance was taken out already."""
    if kind.variances is None:
        return Inverted(None)
    value = fairness.debiased_gap(kind.values, kind.variances)
    if value is None or gap.low is None or gap.high is None:
        return Inverted(value)
    return Inverted(value, min(gap.low, value), max(gap.high, value))


def _mape(kind: Kind, context: Context) -> Inverted:
    """Return `mape`; rates are supposed nearer to, or further from, the target instead of the pooled rate.

    Its expectation is that of groups that all have the target for their rate.
    """
    if not context.target:  # a threshold that accepts no impostor: there is nothing to be relative to
        return Inverted(None)
    measure = disparity.mean_absolute_error(context.target)
    if kind.counted is None:
        return _inverted(measure, None, context.confidence, kind)
    normals = correlated_normals(len(kind.rates), kind.replicates, context.rng)
    return Supposed((kind.counted,), normals, context.target).invert(measure, context.confidence)


@dataclass(frozen=True, eq=False)
class Kind:
    """FMR or FNMR of the groups that have comparisons.

    Attributes:
        present: indices of these groups.
        counted: their counts and effective numbers; None where dependence is unknown.
        replicates: (R, G) rates in bootstrap replicates, for how the groups move together.
    """

    present: tuple[int, ...]
    rates: list[Rate]
    counted: GroupCounts | None
    replicates: Floats | None

    @classmethod
    def of(cls, rates: Sequence[Rate | None], replicates: Floats | None) -> Kind | None:
        """Keep the groups that have comparisons; None when there are fewer than two."""
        present = tuple(g for g, rate in enumerate(rates) if rate is not None)
        known = [rate for rate in rates if rate is not None]
        if len(known) < 2:
            return None
        drawn = None if replicates is None else replicates[:, list(present)]
        return cls(present, known, _counted(known), drawn)

    @property
    def values(self) -> Floats:
        """(G,) observed rates."""
        return np.array([rate.value for rate in self.rates])

    @property
    def variances(self) -> Floats | None:
        """(G,) variances of the rates, never zero; None where dependence is unknown."""
        if self.counted is None:
            return None
        p = self.counted.smoothed
        return p * (1 - p) / self.counted.n_eff

    @property
    def pooled(self) -> float:
        """The common rate were all groups alike."""
        return sum(rate.errors for rate in self.rates) / sum(rate.n for rate in self.rates)

    @property
    def detectable_ratio(self) -> float | None:
        """The smallest ratio of two groups' rates seen with 80 % power, were the pooled rate the common one."""
        p = self.pooled
        if not 0 < p < 1 or self.counted is None:
            return None
        found = power.detectable_ratio((p * self.counted.n_eff).tolist())
        return found if found is not None and p * found < 1 else None  # no rate exceeds 1

    def left_out(self, groups: Sequence[str]) -> tuple[str, ...]:
        """Return the names of the groups that have no comparisons of this kind."""
        return tuple(name for g, name in enumerate(groups) if g not in self.present)

    def counts(self) -> dict[str, object]:
        """Return the comparisons a differential rests on, whatever their kind."""
        total = sum(rate.n for rate in self.rates)
        return {"errors": sum(rate.errors for rate in self.rates), "n_impostor": total, "n_genuine": total}


def _counted(rates: Sequence[Rate]) -> GroupCounts | None:
    if any(rate.variance is None for rate in rates):
        return None
    errors, n = (np.array([getattr(rate, name) for rate in rates], float) for name in ("errors", "n"))
    variances = np.array([rate.variance for rate in rates], float)
    independent = np.array([max(rate.n_independent, 1) for rate in rates], float)
    return GroupCounts(errors, n, effective_numbers(errors, n, variances, independent))
