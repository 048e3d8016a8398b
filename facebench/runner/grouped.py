"""Estimates per demographic group: FMR and FNMR at one threshold, the cross-group matrix, and the differentials."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facebench.errors import UnknownNameError
from facebench.metrics import bootstrap, fairness, uncertainty, verification
from facebench.runner.overall import TOTAL
from facebench.runner.rates import Rate, rate_estimate, spread
from facebench.runner.sample import Cell, Sample
from facebench.schema import Estimate, Flag

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Operating:
    """The thresholds one set of cells is read at.

    Attributes:
        source: ``pooled``, ``reference:<group>``, ``worst of <attributes>`` or the group itself.
        thresholds: (T,) per FMR target, rising targets.
        cutoffs: (R, T) of the replicates, or None without identities.
        resolvable: (T,) whether each target allows a false accept.
    """

    source: str
    thresholds: tuple[float, ...]
    cutoffs: Floats | None
    resolvable: tuple[bool, ...]


@dataclass(frozen=True, eq=False)
class GroupRates:
    """Rates of the groups of one grouping at one target, and their replicates (R, G); NaN columns where undefined."""

    fmr: list[Rate | None]
    fnmr: list[Rate | None]
    fmr_replicates: Floats | None
    fnmr_replicates: Floats | None


class GroupMeasurer:
    """Measures all groupings of a sample at the FMR targets of a protocol (rising)."""

    def __init__(
        self,
        sample: Sample,
        targets: Sequence[float],
        pooled: Floats | None,
        *,
        policy: str,
        confidence: float,
        min_identities: int,
        design_effects: Sequence[float],
        seed: int,
    ) -> None:
        self.sample = sample
        self.targets = list(targets)
        self.policy = policy
        self.confidence = confidence
        self.min_identities = min_identities
        self.design_effects = list(design_effects)
        self.rng = np.random.default_rng([seed, 2])
        points = verification.operating_points(sample.scores.impostor, self.targets)
        self.pooled = Operating(
            "pooled", tuple(p.threshold for p in points), pooled, tuple(p.resolvable for p in points)
        )

    def estimates(self) -> list[Estimate]:
        """Return the estimates of every grouping."""
        found: list[Estimate] = []
        for number in range(1, len(self.sample.groupings)):
            found += self._grouping(number)
        return found

    def _grouping(self, number: int) -> list[Estimate]:
        cells = [i for i, cell in enumerate(self.sample.cells) if cell.grouping == number]
        operating = self._operating(number, cells)
        found: list[Estimate] = []
        counted = {source: self._accepts(source) for source in {id(o): o for o in operating.values()}.values()}
        per_target: list[GroupRates] = []
        for t, target in enumerate(self.targets):
            rates = self._rates(number, t, operating, counted)
            per_target.append(rates[0])
            found += self._group_estimates(number, t, target, rates, operating)
        for t, target in enumerate(self.targets):
            found += self._differentials(number, t, target, per_target[t], operating)
        return found

    # ---- thresholds

    def _operating(self, number: int, cells: list[int]) -> dict[int, Operating]:
        """Return the thresholds each cell of a grouping is read at, under the declared policy."""
        if self.policy == "pooled":
            return dict.fromkeys(cells, self.pooled)
        if self.policy.startswith("reference:"):
            return dict.fromkeys(cells, self._own(*self._find(self.policy.removeprefix("reference:"))))
        diagonal = {
            cell.first: self._own(number, cell.first)
            for cell in (self.sample.cells[i] for i in cells)
            if cell.first == cell.second and self.sample.n_impostor[self.sample.index[cell]]
        }
        if not diagonal:
            return dict.fromkeys(cells, self.pooled)
        if self.policy == "worst":
            every = list(diagonal.values())
            worst = Operating(
                f"worst of {self.sample.groupings[number].name}",
                tuple(max(o.thresholds[t] for o in every) for t in range(len(self.targets))),
                None if every[0].cutoffs is None else np.max([o.cutoffs for o in every], axis=0),
                tuple(all(o.resolvable[t] for o in every) for t in range(len(self.targets))),
            )
            return dict.fromkeys(cells, worst)
        return {i: diagonal.get(self.sample.cells[i].first, self.pooled) for i in cells}

    def _find(self, group: str) -> tuple[int, int]:
        for number, grouping in enumerate(self.sample.groupings):
            if group in grouping.groups:
                return number, grouping.groups.index(group)
        known = [name for grouping in self.sample.groupings[1:] for name in grouping.groups]
        raise UnknownNameError("reference group", group, known, where="threshold_policy")

    def _own(self, number: int, group: int) -> Operating:
        cell = self.sample.index[Cell(number, group, group)]
        own = self.sample.only(self.sample.impostor, cell)
        points = verification.operating_points(own.scores, self.targets)
        cutoffs = None
        if self.sample.weights is not None:
            totals = self.sample.totals_of(cell)
            cutoffs = bootstrap.replicate_cutoffs(self.sample.weights, own, totals, self.targets)
        name = self.sample.group_name(number, group)
        return Operating(name, tuple(p.threshold for p in points), cutoffs, tuple(p.resolvable for p in points))

    def _accepts(self, operating: Operating) -> tuple[Floats, Floats] | None:
        """Return (R, T, C) rates of false matches and of true matches in each replicate, or None."""
        if operating.cutoffs is None or self.sample.weights is None:
            return None
        weights, totals = self.sample.weights, self.sample.impostor_totals
        false = bootstrap.replicate_accepts(weights, self.sample.impostor, operating.cutoffs)
        for t, threshold in enumerate(operating.thresholds):
            observed = _counts(self.sample.impostor.cells, self.sample.impostor.scores, threshold, totals.observed.size)
            with np.errstate(invalid="ignore", divide="ignore"):
                false[:, t] += np.nan_to_num(totals.filled * (observed / totals.observed))
        true = bootstrap.replicate_accepts(weights, self.sample.genuine, operating.cutoffs)
        with np.errstate(invalid="ignore", divide="ignore"):
            return false / totals.weight[:, None], true / self.sample.genuine_weight[:, None]

    # ---- rates

    def _rates(
        self, number: int, t: int, operating: dict[int, Operating], counted: dict[Operating, tuple[Floats, Floats] | None]
    ) -> tuple[GroupRates, dict[int, Rate | None], dict[int, Rate | None]]:
        fmr: dict[int, Rate | None] = {}
        fnmr: dict[int, Rate | None] = {}
        replicates: dict[str, dict[int, Floats]] = {"fmr": {}, "fnmr": {}}
        for i, source in operating.items():
            cell = self.sample.cells[i]
            found = counted[source]
            threshold = source.thresholds[t]
            false, true = (None, None) if found is None else (found[0][:, t, i], 1 - found[1][:, t, i])
            fmr[i] = self._impostor_rate(i, cell, threshold, false, t)
            fnmr[i] = self._genuine_rate(i, cell, threshold, true) if cell.first == cell.second else None
            if false is not None and true is not None:
                replicates["fmr"][i], replicates["fnmr"][i] = false, true
        own = [i for i in operating if self.sample.cells[i].first == self.sample.cells[i].second]
        columns = [
            np.stack([replicates[kind][i] for i in own], axis=1) if replicates[kind] else None for kind in ("fmr", "fnmr")
        ]
        rates = GroupRates([fmr[i] for i in own], [fnmr[i] for i in own], columns[0], columns[1])
        return rates, fmr, fnmr

    def _impostor_rate(self, i: int, cell: Cell, threshold: float, replicates: Floats | None, t: int) -> Rate | None:
        n = int(self.sample.n_impostor[i])
        if not n:
            return None
        errors = int(_counts(self.sample.impostor.cells, self.sample.impostor.scores, threshold, len(self.sample.cells))[i])
        first = self.sample.n_identities(cell.grouping, cell.first) or 0
        second = self.sample.n_identities(cell.grouping, cell.second) or 0
        independent = uncertainty.disjoint_pairs(first) if cell.first == cell.second else min(first, second)
        variance = None if replicates is None else spread(replicates)
        return Rate(errors, n, variance, independent, self.design_effects[t], "wilson-bootstrap")

    def _genuine_rate(self, i: int, cell: Cell, threshold: float, replicates: Floats | None) -> Rate | None:
        n = int(self.sample.n_genuine[i])
        if not n:
            return None
        accepts = _counts(self.sample.genuine.cells, self.sample.genuine.scores, threshold, len(self.sample.cells))[i]
        column = self.sample.genuine.cells[:, cell.grouping]
        identities = int(np.unique(self.sample.genuine.first[column == i]).size)
        variance = None if replicates is None else spread(replicates)
        return Rate(n - int(accepts), n, variance, identities, n / max(identities, 1), "wilson-bootstrap")

    def _group_estimates(
        self,
        number: int,
        t: int,
        target: float,
        rates: tuple[GroupRates, dict[int, Rate | None], dict[int, Rate | None]],
        operating: dict[int, Operating],
    ) -> list[Estimate]:
        found = []
        _, fmr, fnmr = rates
        for i, source in operating.items():
            cell = self.sample.cells[i]
            own = cell.first == cell.second
            identities = [self.sample.n_identities(number, g) for g in {cell.first, cell.second}]
            common = {
                "fmr_target": target, "group": self.sample.group_name(number, cell.first),
                "group_b": None if own else self.sample.group_name(number, cell.second),
                "threshold": source.thresholds[t], "threshold_source": source.source,
                "n_genuine": int(self.sample.n_genuine[i]) if own else None,
                "n_impostor": int(self.sample.n_impostor[i]),
                "n_identities": None if None in identities else sum(n or 0 for n in identities),
            }  # fmt: skip
            flags = () if source.resolvable[t] else (Flag.UNRESOLVABLE,)
            if any(n is not None and n < self.min_identities for n in identities):
                flags = (*flags, Flag.FEW_IDENTITIES)
            if self.sample.groupings[number].incomplete:
                flags = (*flags, Flag.LABELS_INCOMPLETE)
            found.append(self._one("fmr", fmr[i], Flag.NO_IMPOSTOR, flags, common))
            if own:
                found.append(self._one("fnmr", fnmr[i], Flag.NO_GENUINE, flags, common))
        return found

    def _one(
        self, metric: str, rate: Rate | None, missing: Flag, flags: tuple[Flag, ...], common: dict[str, object]
    ) -> Estimate:
        if rate is None:
            return Estimate.model_validate({"metric": metric, "value": None, "flags": (*flags, missing), **common})
        return rate_estimate(metric, rate, self.confidence, flags=flags, **common)

    # ---- differentials

    def _differentials(
        self, number: int, t: int, target: float, rates: GroupRates, operating: dict[int, Operating]
    ) -> list[Estimate]:
        source = next(iter(operating.values()))
        grouping = self.sample.groupings[number]
        flags: tuple[Flag, ...] = () if source.resolvable[t] else (Flag.UNRESOLVABLE,)
        if any((self.sample.n_identities(number, g) or 0) < self.min_identities for g in range(len(grouping.groups))):
            flags = (*flags, Flag.FEW_IDENTITIES)
        shared_threshold = len({id(o) for o in operating.values()}) == 1
        common = {
            "fmr_target": target, "group": grouping.name, "threshold_source": source.source if shared_threshold else "per-group",
            "threshold": source.thresholds[t] if shared_threshold else None,
        }  # fmt: skip
        fmr = _Kind.of(rates.fmr, rates.fmr_replicates)
        fnmr = _Kind.of(rates.fnmr, rates.fnmr_replicates)
        found = []
        for name, kind, missing in (("fmr", fmr, Flag.NO_IMPOSTOR), ("fnmr", fnmr, Flag.NO_GENUINE)):
            found += self._of_one_kind(name, kind, target, missing, flags, common)
        both = fmr is not None and fnmr is not None and len(fmr.rates) == len(fnmr.rates)
        for name, measure in _COMBINED.items():
            if not both or fmr is None or fnmr is None:
                missing = Flag.NO_GENUINE if fnmr is None else Flag.NO_IMPOSTOR
                found.append(Estimate.model_validate({"metric": name, "value": None, "flags": (*flags, missing), **common}))
            else:
                found.append(self._combined(name, measure, fmr, fnmr, flags, common))
        return found

    def _of_one_kind(
        self, name: str, kind: _Kind | None, target: float, missing: Flag, flags: tuple[Flag, ...], common: dict[str, object]
    ) -> list[Estimate]:
        measures: dict[str, Callable[[Floats], float | None]] = {
            f"{name}_gap": fairness.gap, f"{name}_max_min": fairness.max_min,
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
                expected = uncertainty.fair_expectation(measure, kind.pooled, kind.fair_variances, self.rng)
                fields = {**kind.interval(metric, measure, self.confidence), "expected_if_fair": expected, "flags": flags}
            found.append(_differential(metric, measure(kind.values), {**common, **kind.counts(), **fields}))
        if kind.variances is not None:
            outcome = uncertainty.equal_rates_test(kind.values.tolist(), kind.variances.tolist())
            value, p = (None, None) if outcome is None else (outcome.statistic, outcome.p_value)
            undefined = (Flag.INSUFFICIENT,) if outcome is None else ()
            fields = {"metric": test, "value": value, "p_value": p, "flags": (*flags, Flag.NO_INTERVAL, *undefined)}
            found.append(Estimate.model_validate({**common, **kind.counts(), **fields}))
        return found

    def _combined(
        self,
        name: str,
        measure: Callable[[Floats, Floats], float | None],
        fmr: _Kind,
        fnmr: _Kind,
        flags: tuple[Flag, ...],
        common: dict[str, object],
    ) -> Estimate:
        half = len(fmr.rates)
        value = measure(fmr.values, fnmr.values)
        fields: dict[str, object] = {"flags": flags}
        if fmr.variances is None or fnmr.variances is None or fmr.replicates is None or fnmr.replicates is None:
            fields = {"flags": (*flags, Flag.NO_INTERVAL)}
        elif value is not None:
            both = np.concatenate([fmr.replicates, fnmr.replicates], axis=1)
            interval = _centred(value, [measure(row[:half], row[half:]) for row in both], self.confidence)
            fields = {**interval, "expected_if_fair": self._combined_expectation(measure, fmr, fnmr), "flags": flags}
        counts = {"n_impostor": fmr.counts()["n_impostor"], "n_genuine": fnmr.counts()["n_genuine"]}
        return _differential(name, value, {**common, **counts, **fields})

    def _combined_expectation(
        self, measure: Callable[[Floats, Floats], float | None], fmr: _Kind, fnmr: _Kind
    ) -> float | None:
        if fmr.pooled <= 0 or fnmr.pooled <= 0:
            return None
        draws = [
            np.minimum(self.rng.gamma(k.pooled**2 / k.fair_variances, k.fair_variances / k.pooled, (500, len(k.rates))), 1)
            for k in (fmr, fnmr)
        ]
        values = [measure(x, y) for x, y in zip(*draws, strict=True)]
        defined = [value for value in values if value is not None]
        return float(np.mean(defined)) if len(defined) >= 0.99 * len(values) else None


_COMBINED: dict[str, Callable[[Floats, Floats], float | None]] = {
    "fdr": fairness.fdr,
    "ir": fairness.inequity_rate,
    "garbe": fairness.garbe,
    "werm": fairness.werm,
    "equalised_odds_difference": fairness.equalised_odds_difference,
    "equalised_odds_ratio": fairness.equalised_odds_ratio,
}


@dataclass(frozen=True, eq=False)
class _Kind:
    """FMR or FNMR of the groups that have comparisons, with variances that are never zero."""

    rates: list[Rate]
    values: Floats
    variances: Floats | None
    replicates: Floats | None

    @classmethod
    def of(cls, rates: list[Rate | None], replicates: Floats | None) -> _Kind | None:
        present = [g for g, rate in enumerate(rates) if rate is not None]
        known = [rate for rate in rates if rate is not None]
        if len(known) < 2:
            return None
        variances = None
        if all(rate.variance is not None for rate in known):
            variances = np.array([_safe_variance(rate) for rate in known])
        drawn = None if replicates is None else replicates[:, present]
        return cls(known, np.array([rate.value for rate in known]), variances, drawn)

    @property
    def pooled(self) -> float:
        """The common rate were all groups alike."""
        return sum(rate.errors for rate in self.rates) / sum(rate.n for rate in self.rates)

    @property
    def fair_variances(self) -> Floats:
        """(G,) variances at the common rate, with each group's own design effect."""
        p = self.pooled
        effects = [
            _safe_variance(rate) / (_smoothed(rate) * (1 - _smoothed(rate)) / rate.n) for rate in self.rates
        ]
        return np.array([p * (1 - p) / rate.n * max(e, 1.0) for rate, e in zip(self.rates, effects, strict=True)])

    def counts(self) -> dict[str, object]:
        """Return the comparisons a differential rests on, whatever their kind."""
        total = sum(rate.n for rate in self.rates)
        return {"errors": sum(rate.errors for rate in self.rates), "n_impostor": total, "n_genuine": total}

    def interval(self, metric: str, measure: Callable[[Floats], float | None], confidence: float) -> dict[str, object]:
        """Return the interval fields of a measure."""
        assert self.variances is not None
        if metric.endswith("_gap"):
            low, high = uncertainty.gap_interval(self.values.tolist(), self.variances.tolist(), confidence)
            return {"ci_low": low, "ci_high": high, "ci_method": "simultaneous-pairs"}
        if metric.endswith("_max_min"):
            errors, n = [rate.errors for rate in self.rates], [rate.n for rate in self.rates]
            low, high = uncertainty.ratio_interval(errors, n, self.variances.tolist(), confidence)
            unbounded = min(errors) == 0
            return {"ci_low": low, "ci_high": None if unbounded else high, "ci_method": "simultaneous-log-pairs"}
        value = measure(self.values)
        if value is None or self.replicates is None:
            return {}
        return _centred(value, [measure(row) for row in self.replicates], confidence)


def _smoothed(rate: Rate) -> float:
    return (rate.errors + 0.5) / (rate.n + 1)


def _safe_variance(rate: Rate) -> float:
    """Return the variance of a rate; a group without errors gets that of half an error at the pooled design effect."""
    p = _smoothed(rate)
    independent = p * (1 - p) / rate.n
    if rate.errors in (0, rate.n) or rate.variance is None:
        return independent * rate.design_effect
    return max(rate.variance, rate.value * (1 - rate.value) / rate.n)


def _centred(value: float, replicates: list[float | None], confidence: float) -> dict[str, object]:
    """Return the bootstrap interval, with replicates shifted to their mean: they share the measure's upward bias."""
    defined = np.array([v for v in replicates if v is not None and np.isfinite(v)])
    if defined.size < max(2, len(replicates) / 2):
        return {}
    tail = (1 - confidence) / 2
    low, high = np.quantile(defined, [tail, 1 - tail]) - defined.mean()
    return {"ci_low": float(value + low), "ci_high": float(value + high), "ci_method": "centred-bootstrap"}


def _differential(metric: str, value: float | None, fields: dict[str, object]) -> Estimate:
    counted = "n_impostor" if not metric.startswith("fnmr") else "n_genuine"
    other = {"n_impostor", "n_genuine"} - {counted}
    if metric not in _COMBINED:
        fields = {**fields, other.pop(): None}
    expected = fields.get("expected_if_fair")
    flags = tuple(fields.get("flags") or ())  # type: ignore[call-overload]
    if value is None:
        flags = (*flags, Flag.INSUFFICIENT)
    elif "ci_low" not in fields and Flag.NO_INTERVAL not in flags:
        flags = (*flags, Flag.NO_INTERVAL)
    excess = value - float(expected) if value is not None and isinstance(expected, float) else None
    return Estimate.model_validate({**fields, "metric": metric, "value": value, "excess": excess, "flags": flags})


def _counts(cells: NDArray[np.int32], scores: NDArray[np.floating], threshold: float, n_cells: int) -> NDArray[np.int64]:
    """Return (C,) comparisons at or above a threshold per cell; scores fall."""
    size = int(np.searchsorted(-scores, -threshold, side="right"))
    counts = np.zeros(n_cells, np.int64)
    for column in range(cells.shape[1]):
        inside = cells[:size, column]
        counts += np.bincount(inside[inside >= 0], minlength=n_cells)
    return counts


__all__ = ["TOTAL", "GroupMeasurer"]
