"""Differential measures of one grouping at one operating point, with intervals and what equal groups would show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import exp

import numpy as np
from numpy.typing import NDArray

from facebench.measure.rates import Rate
from facebench.metrics import fairness, power, uncertainty
from facebench.metrics.uncertainty import Interval
from facebench.schema import Estimate, Flag

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class _Context:
    """What all differentials of one grouping share."""

    flags: tuple[Flag, ...]
    common: dict[str, object]
    confidence: float
    rng: np.random.Generator


def estimates(
    fmr: Kind | None,
    fnmr: Kind | None,
    target: float,
    flags: tuple[Flag, ...],
    common: dict[str, object],
    *,
    confidence: float,
    rng: np.random.Generator,
) -> list[Estimate]:
    """Return every differential of one grouping.

    Args:
        fmr, fnmr: the groups' rates; None when fewer than two groups have any.
        target: the FMR target, against which `mape` is computed.
        flags, common: fields of every estimate.
        confidence: of the intervals.
        rng: for the expectations under equal groups.
    """
    context = _Context(flags, common, confidence, rng)
    found = _of_one_kind("fmr", fmr, Flag.NO_IMPOSTOR, target, context)
    found += _of_one_kind("fnmr", fnmr, Flag.NO_GENUINE, target, context)
    for name, measure in COMBINED.items():
        if fmr is not None and fnmr is not None and fmr.present == fnmr.present:
            found.append(_combined(name, measure, fmr, fnmr, context))
        else:
            missing = Flag.NO_GENUINE if fnmr is None else Flag.NO_IMPOSTOR if fmr is None else Flag.INSUFFICIENT
            found.append(Estimate.model_validate({**common, "metric": name, "value": None, "flags": (*flags, missing)}))
    return found


def _of_one_kind(name: str, kind: Kind | None, missing: Flag, target: float, context: _Context) -> list[Estimate]:
    """Return the measures of FMR or of FNMR, and the test of equal rates."""
    flags, common = context.flags, context.common
    variances = None if kind is None else kind.variances
    measures: dict[str, Callable[[Floats], float | None]] = {
        f"{name}_gap": fairness.gap,
        f"{name}_gap_debiased": lambda x: None if variances is None else fairness.debiased_gap(x, variances),
        f"{name}_max_min": fairness.max_min,
        f"{name}_max_geomean": fairness.max_geomean, f"{name}_gini": fairness.gini,
        "sedg" if name == "fmr" else "fnmr_sedg": fairness.sedg,
    }  # fmt: skip
    if name == "fmr":
        measures["mape"] = lambda x: fairness.mape(x, target)
    test = f"equal_{name}_test"
    if kind is None:
        return [
            Estimate.model_validate({"metric": metric, "value": None, "flags": (*flags, missing), **common})
            for metric in (*measures, test)
        ]
    found = []
    for metric, measure in measures.items():
        fields: dict[str, object] = {}
        if kind.variances is None:
            fields = {"flags": (*flags, Flag.NO_INTERVAL)}
        else:
            expected = uncertainty.fair_expectation(measure, kind.pooled, kind.fair_variances.tolist(), context.rng)
            fields = {
                **kind.interval(metric, measure, context.confidence),
                "expected_if_fair": expected,
                "detectable_ratio": kind.detectable_ratio if metric.endswith("_max_min") else None,
                "flags": flags,
            }
            fields |= {"spread": kind.spread(measure, context.confidence, of_ratio=metric.endswith("_max_min"))}
        found.append(_differential(metric, measure(kind.values), {**common, **kind.counts(), **fields}))
    if kind.variances is not None:
        outcome = uncertainty.equal_rates_test(kind.values.tolist(), kind.variances.tolist())
        value, p = (None, None) if outcome is None else (outcome.statistic, outcome.p_value)
        undefined = (Flag.INSUFFICIENT,) if outcome is None else ()
        fields = {"metric": test, "value": value, "p_value": p, "flags": (*flags, Flag.NO_INTERVAL, *undefined)}
        found.append(Estimate.model_validate({**common, **kind.counts(), **fields}))
    return found


def _combined(
    name: str,
    measure: Callable[[Floats, Floats], float | None],
    fmr: Kind,
    fnmr: Kind,
    context: _Context,
) -> Estimate:
    """Return one measure of FMR and FNMR together."""
    flags, common = context.flags, context.common
    half = len(fmr.rates)
    value = measure(fmr.values, fnmr.values)
    fields: dict[str, object] = {"flags": flags}
    if fmr.variances is None or fnmr.variances is None or fmr.replicates is None or fnmr.replicates is None:
        fields = {"flags": (*flags, Flag.NO_INTERVAL)}
    elif value is not None:
        both = np.concatenate([fmr.replicates, fnmr.replicates], axis=1)
        drawn = _spread([measure(row[:half], row[half:]) for row in both], context.confidence)
        fields = {
            **_centred(value, drawn),
            "spread": drawn,
            "expected_if_fair": _combined_expectation(measure, fmr, fnmr, context.rng),
            "flags": flags,
        }
    counts = {"n_impostor": fmr.counts()["n_impostor"], "n_genuine": fnmr.counts()["n_genuine"]}
    return _differential(name, value, {**common, **counts, **fields})


def _combined_expectation(
    measure: Callable[[Floats, Floats], float | None], fmr: Kind, fnmr: Kind, rng: np.random.Generator
) -> float | None:
    if not (0 < fmr.pooled < 1 and 0 < fnmr.pooled < 1):
        return None
    draws = [
        np.minimum(rng.gamma(k.pooled**2 / k.fair_variances, k.fair_variances / k.pooled, (500, len(k.rates))), 1)
        for k in (fmr, fnmr)
    ]
    values = [measure(x, y) for x, y in zip(*draws, strict=True)]
    defined = [value for value in values if value is not None]
    return float(np.mean(defined)) if len(defined) >= 0.99 * len(values) else None


COMBINED: dict[str, Callable[[Floats, Floats], float | None]] = {
    "fdr": fairness.fdr,
    "ir": fairness.inequity_rate,
    "garbe": fairness.garbe,
    "werm": fairness.werm,
    "equalised_odds_difference": fairness.equalised_odds_difference,
    "equalised_odds_ratio": fairness.equalised_odds_ratio,
}


@dataclass(frozen=True, eq=False)
class Kind:
    """FMR or FNMR of the groups that have comparisons, with variances that are never zero."""

    present: tuple[int, ...]
    rates: list[Rate]
    values: Floats
    variances: Floats | None
    replicates: Floats | None

    @classmethod
    def of(cls, rates: list[Rate | None], replicates: Floats | None) -> Kind | None:
        """Keep the groups that have comparisons; None when there are fewer than two."""
        present = tuple(g for g, rate in enumerate(rates) if rate is not None)
        known = [rate for rate in rates if rate is not None]
        if len(known) < 2:
            return None
        variances = None
        if all(rate.variance is not None for rate in known):
            variances = np.array([_safe_variance(rate) for rate in known])
        drawn = None if replicates is None else replicates[:, list(present)]
        return cls(present, known, np.array([rate.value for rate in known]), variances, drawn)

    @property
    def pooled(self) -> float:
        """The common rate were all groups alike."""
        return sum(rate.errors for rate in self.rates) / sum(rate.n for rate in self.rates)

    @property
    def fair_variances(self) -> Floats:
        """(G,) variances at the common rate, with each group's own design effect."""
        p = self.pooled
        effects = [_safe_variance(rate) / (_smoothed(rate) * (1 - _smoothed(rate)) / rate.n) for rate in self.rates]
        return np.array([p * (1 - p) / rate.n * max(e, 1.0) for rate, e in zip(self.rates, effects, strict=True)])

    @property
    def detectable_ratio(self) -> float | None:
        """The smallest ratio of two groups' rates seen with 80 % power, were the pooled rate the common one."""
        p = self.pooled
        if not 0 < p < 1:
            return None
        # p n / DEFF with DEFF = V n / (p (1 - p))
        found = power.detectable_ratio((p * p * (1 - p) / self.fair_variances).tolist())
        return found if found is not None and p * found < 1 else None  # no rate exceeds 1

    def counts(self) -> dict[str, object]:
        """Return the comparisons a differential rests on, whatever their kind."""
        total = sum(rate.n for rate in self.rates)
        return {"errors": sum(rate.errors for rate in self.rates), "n_impostor": total, "n_genuine": total}

    def interval(self, metric: str, measure: Callable[[Floats], float | None], confidence: float) -> dict[str, object]:
        """Return the interval fields of a measure."""
        assert self.variances is not None
        if metric.endswith(("_gap", "_gap_debiased")):
            low, high = uncertainty.gap_interval(self.values.tolist(), self.variances.tolist(), confidence)
            return {"ci_low": low, "ci_high": high, "ci_method": "simultaneous-pairs"}
        if metric.endswith("_max_min"):
            errors, n = [rate.errors for rate in self.rates], [rate.n for rate in self.rates]
            low, high = uncertainty.ratio_interval(errors, n, self.variances.tolist(), confidence)
            unbounded = min(errors) == 0
            return {"ci_low": low, "ci_high": None if unbounded else high, "ci_method": "simultaneous-log-pairs"}
        value = measure(self.values)
        return {} if value is None else _centred(value, self.spread(measure, confidence))

    def spread(
        self, measure: Callable[[Floats], float | None], confidence: float, *, of_ratio: bool = False
    ) -> Interval | None:
        """Return how far replicates of a measure lie from their mean; of a ratio, on the scale of its logarithm."""
        drawn = [] if self.replicates is None else [measure(row) for row in self.replicates]
        if not of_ratio:
            return _spread(drawn, confidence)
        value = measure(self.values)
        found = _spread([None if v is None else float(np.log(v)) for v in drawn], confidence)
        if value is None or found is None:
            return None
        return value * (exp(found[0]) - 1), value * (exp(min(found[1], 50.0)) - 1)


def _smoothed(rate: Rate) -> float:
    return (rate.errors + 0.5) / (rate.n + 1)


def _safe_variance(rate: Rate) -> float:
    """Return the variance of a rate; a group without errors gets that of half an error at the pooled design effect."""
    p = _smoothed(rate)
    independent = p * (1 - p) / rate.n
    if rate.errors in (0, rate.n) or rate.variance is None:
        return independent * rate.design_effect
    return max(rate.variance, rate.value * (1 - rate.value) / rate.n)


def _spread(replicates: list[float | None], confidence: float) -> Interval | None:
    """Return the quantiles of replicates about their mean, or None when fewer than half of them are defined."""
    defined = np.array([v for v in replicates if v is not None and np.isfinite(v)])
    if defined.size < max(2, len(replicates) / 2):
        return None
    tail = (1 - confidence) / 2
    low, high = np.quantile(defined, [tail, 1 - tail]) - defined.mean()
    return float(low), float(high)


def _centred(value: float, drawn: Interval | None) -> dict[str, object]:
    """Return the bootstrap interval, with replicates shifted to their mean: they share the measure's upward bias."""
    if drawn is None:
        return {}
    return {"ci_low": value + drawn[0], "ci_high": value + drawn[1], "ci_method": "centred-bootstrap"}


def _differential(metric: str, value: float | None, fields: dict[str, object]) -> Estimate:
    counted = "n_impostor" if not metric.startswith("fnmr") else "n_genuine"
    other = {"n_impostor", "n_genuine"} - {counted}
    if metric not in COMBINED:
        fields = {**fields, other.pop(): None}
    expected, drawn = fields.get("expected_if_fair"), fields.pop("spread", None)
    given = fields.get("flags")
    flags: tuple[Flag, ...] = given if isinstance(given, tuple) else ()
    if value is None:
        flags = (*flags, Flag.INSUFFICIENT)
    elif "ci_low" not in fields and Flag.NO_INTERVAL not in flags:
        flags = (*flags, Flag.NO_INTERVAL)
    excess = value - float(expected) if value is not None and isinstance(expected, float) else None
    if excess is not None and isinstance(drawn, tuple):
        fields |= {"excess_low": excess + drawn[0], "excess_high": excess + drawn[1]}
    return Estimate.model_validate({**fields, "metric": metric, "value": value, "excess": excess, "flags": flags})
