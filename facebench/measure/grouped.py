"""Estimates per demographic group: FMR and FNMR at one threshold, the cross-group matrix, and the differentials."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facebench.errors import UnknownNameError
from facebench.measure import differentials
from facebench.measure.delta import POOLED
from facebench.measure.moving import AtThreshold, Held, Together
from facebench.measure.rates import Rate, leaning_flags, rate_estimate
from facebench.measure.sample import Cell, Sample
from facebench.measure.study import Points
from facebench.metrics.bootstrap import RankedComparisons
from facebench.metrics.sorting import BLOCK
from facebench.metrics.streams import Stream, generator
from facebench.schema import Estimate, Flag, point_fields

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Operating:
    """The thresholds one set of cells is read at.

    Attributes:
        source: ``pooled``, ``reference:<group>``, ``worst of <attributes>`` or the group itself.
        thresholds: (T,) per operating point.
        resolvable: (T,) whether each allows a false accept.
        cells: (T,) the cell whose impostor comparisons set each threshold; None for one that stands.
    """

    source: str
    thresholds: tuple[float, ...]
    resolvable: tuple[bool, ...]
    cells: tuple[int | None, ...]


@dataclass(frozen=True, eq=False)
class GroupRates:
    """Rates of the groups of one grouping at one target, and points (P, G) that stand for replicates of them.

    The points have the variances of the rates and say how they move together; columns are NaN where undefined.
    """

    fmr: list[Rate | None]
    fnmr: list[Rate | None]
    fmr_replicates: Floats | None
    fnmr_replicates: Floats | None


class GroupMeasurer:
    """Measures all groupings of a sample at the operating points of a protocol."""

    def __init__(
        self,
        sample: Sample,
        points: Points,
        *,
        policy: str,
        confidence: float,
        min_identities: int,
        design_effects: Sequence[float],
        seed: int,
        step: Callable[[], None] = lambda: None,
    ) -> None:
        self.sample = sample
        self.step = step  # called when one grouping is measured at one operating point
        self.points = points
        self.policy = policy
        self.confidence = confidence
        self.min_identities = min_identities
        self.design_effects = list(design_effects)
        self.rng = generator(Stream.FAIR_DRAWS, seed)
        found = points.on(sample.impostor.scores)
        self.wanted = [p.fmr_target for p in found]  # the FMR each point is meant to have
        self._counted: dict[float, tuple[NDArray[np.int64], NDArray[np.int64]]] = {}
        self._spreads: dict[tuple[int, int], tuple[float, int, float]] = {}
        self._held: dict[tuple[Operating, int], Held] = {}
        self.pooled = Operating(
            "pooled", tuple(p.threshold for p in found), tuple(p.resolvable for p in found), self._set_on(POOLED)
        )  # fmt: skip

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
        per_target: list[GroupRates] = []
        for t in range(len(self.points.keys)):
            rates = self._rates(t, operating)
            per_target.append(rates[0])
            found += self._group_estimates(number, t, rates, operating)
        for t in range(len(self.points.keys)):
            found += self._differentials(number, t, per_target[t], operating)
            self.step()
        return found

    def own(self, number: int) -> dict[int, Operating]:
        """Return the cell of each group of a grouping, with the thresholds it is read at."""
        cells = [i for i, cell in enumerate(self.sample.cells) if cell.grouping == number]
        found = self._operating(number, cells)
        return {i: o for i, o in found.items() if self.sample.cells[i].first == self.sample.cells[i].second}

    def group_rates(self, number: int) -> list[tuple[GroupRates, tuple[float, ...]]]:
        """Return per target the rates of the groups of one grouping, and their thresholds."""
        cells = [i for i, cell in enumerate(self.sample.cells) if cell.grouping == number]
        operating, own = self._operating(number, cells), self.own(number).values()
        return [
            (self._rates(t, operating)[0], tuple(o.thresholds[t] for o in own)) for t in range(len(self.points.keys))
        ]

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
            highest = [max(every, key=lambda o: o.thresholds[t]) for t in range(len(self.points.keys))]
            worst = Operating(
                f"worst of {self.sample.groupings[number].name}",
                tuple(o.thresholds[t] for t, o in enumerate(highest)),
                tuple(all(o.resolvable[t] for o in every) for t in range(len(self.points.keys))),
                tuple(o.cells[t] for t, o in enumerate(highest)),
            )
            return dict.fromkeys(cells, worst)
        return {i: diagonal.get(self.sample.cells[i].first, self.pooled) for i in cells}

    def _set_on(self, cell: int) -> tuple[int | None, ...]:
        """Return (T,) the cell that sets the threshold of each FMR target, and none for those that stand."""
        return tuple(None if self.points.fixed(t) else cell for t in range(len(self.points.keys)))

    def _find(self, group: str) -> tuple[int, int]:
        for number, grouping in enumerate(self.sample.groupings):
            if group in grouping.groups:
                return number, grouping.groups.index(group)
        known = [name for grouping in self.sample.groupings[1:] for name in grouping.groups]
        raise UnknownNameError("reference group", group, known, where="threshold_policy")

    def _own(self, number: int, group: int) -> Operating:
        cell = self.sample.index[Cell(number, group, group)]
        own = self.sample.only(self.sample.impostor, cell)
        points = self.points.on(own.scores)
        name = self.sample.group_name(number, group)
        return Operating(
            name, tuple(p.threshold for p in points), tuple(p.resolvable for p in points), self._set_on(cell)
        )  # fmt: skip

    # ---- rates

    def _rates(
        self, t: int, operating: dict[int, Operating]
    ) -> tuple[GroupRates, dict[int, Rate | None], dict[int, Rate | None]]:
        if not t:
            self._find_spreads(operating)
        fmr: dict[int, Rate | None] = {}
        fnmr: dict[int, Rate | None] = {}
        counts = {source: self._point_counts(source.thresholds[t]) for source in dict.fromkeys(operating.values())}
        for i, source in operating.items():
            false_accepts, true_accepts = counts[source]
            fmr[i] = self._impostor_rate(i, int(false_accepts[i]), t)
            own = self.sample.cells[i].first == self.sample.cells[i].second
            fnmr[i] = self._genuine_rate(i, int(true_accepts[i]), source, t) if own else None
        return self._together(t, operating, fmr, fnmr), fmr, fnmr

    def _together(
        self, t: int, operating: dict[int, Operating], fmr: dict[int, Rate | None], fnmr: dict[int, Rate | None]
    ) -> GroupRates:
        """Return the rates of the groups, with points that stand for replicates: how they move together."""
        cells = self.sample.cells
        own = [i for i in operating if cells[i].first == cells[i].second]
        rates = [fmr[i] for i in own], [fnmr[i] for i in own]
        sources = {operating[i].cells[t] for i in own}
        known = any(rate is not None for kind in rates for rate in kind)
        if not self.sample.has_identities or not known or len(sources) > 1:
            return GroupRates(*rates, None, None)  # groups with a threshold each do not move together
        (source,) = sources
        at = self._at(operating[own[0]], source, t)
        beside = [i for i in operating if self.sample.n_impostor[i]]
        return GroupRates(*rates, *Together(at, self.sample.n_impostor, beside, source).points(own, *rates))

    def _at(self, operating: Operating, source: int | None, t: int) -> AtThreshold:  # noqa: ARG002 - of large runs
        """Return the influences at the threshold of an operating point."""
        return self._held[operating, t]

    def _point_counts(self, threshold: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return (C,) false accepts and (C,) true accepts per cell at one threshold."""
        if threshold not in self._counted:
            self._counted[threshold] = (
                _counts(self.sample.impostor, threshold), _counts(self.sample.genuine, threshold)
            )  # fmt: skip
        return self._counted[threshold]

    def _impostor_rate(self, i: int, errors: int, t: int) -> Rate | None:
        n = int(self.sample.n_impostor[i])
        if not n:
            return None
        if not self.sample.has_identities:
            return Rate(errors, n, None, n, 1.0, "naive-wilson")
        variance, disjoint, leading = self._spreads[i, t]
        return Rate(errors, n, variance, disjoint, self.design_effects[t], "wilson-delta", leading)

    def _find_spreads(self, operating: dict[int, Operating]) -> None:
        """Keep variance, disjoint comparisons, leading share and influence of the FMR of each cell at each point.

        Cell by cell, because what is computed from one is as large as its comparisons.
        """
        if not self.sample.has_identities:
            return
        deltas = self.sample.deltas
        setting = {cell for source in operating.values() for cell in source.cells}
        self._held = {
            (source, t): Held(deltas, threshold, source.cells[t])
            for source in dict.fromkeys(operating.values())
            for t, threshold in enumerate(source.thresholds)
        }
        for i, source in operating.items():
            if not self.sample.n_impostor[i]:
                continue
            own = deltas.impostors(i)
            for t, threshold in enumerate(source.thresholds):
                variance = deltas.fmr(i, threshold, source.cells[t]).variance
                self._spreads[i, t] = variance, own.disjoint, own.index.leading
                self._held[source, t].keep(i)
            deltas.forget_cells(setting)

    def _leading(self, i: int) -> float:
        """Return the share of the impostor comparisons of a cell that one identity takes part in."""
        return float(self.sample.deltas.impostors(i).index.leading) if self.sample.has_identities else 0.0

    def _genuine_rate(self, i: int, accepts: int, source: Operating, t: int) -> Rate | None:
        n = int(self.sample.n_genuine[i])
        if not n:
            return None
        if not self.sample.has_identities:
            return Rate(n - accepts, n, None, n, 1.0, "naive-wilson")
        column = self.sample.genuine.cells[:, self.sample.cells[i].grouping]
        people = int(np.unique(self.sample.genuine.first[column == i]).size)
        variance = self.sample.deltas.fnmr(i, source.thresholds[t], source.cells[t]).variance
        return Rate(n - accepts, n, variance, people, n / people, "wilson-delta")

    def _group_estimates(
        self,
        number: int,
        t: int,
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
                **point_fields(self.points.keys[t]), "group": self.sample.group_name(number, cell.first),
                "group_b": None if own else self.sample.group_name(number, cell.second),
                "threshold": source.thresholds[t], "threshold_source": self.points.source(t, source.source),
                "n_genuine": int(self.sample.n_genuine[i]) if own else None,
                "n_impostor": int(self.sample.n_impostor[i]),
                "n_identities": None if None in identities else sum(n or 0 for n in identities),
            }  # fmt: skip
            flags: tuple[Flag, ...] = () if source.resolvable[t] else (Flag.UNRESOLVABLE,)
            if any(n is not None and n < self.min_identities for n in identities):
                flags = (*flags, Flag.FEW_IDENTITIES)
            set_on = source.cells[t]  # of a threshold that leans on one identity every rate read at it does
            flags = (*flags, *(() if set_on is None else leaning_flags(self._leading(set_on))))
            if self.sample.groupings[number].incomplete:
                flags = (*flags, Flag.LABELS_INCOMPLETE)
            flags = tuple(dict.fromkeys(flags))
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

    def _differentials(self, number: int, t: int, rates: GroupRates, operating: dict[int, Operating]) -> list[Estimate]:
        source = next(iter(operating.values()))
        grouping = self.sample.groupings[number]
        flags: tuple[Flag, ...] = () if source.resolvable[t] else (Flag.UNRESOLVABLE,)
        if any((self.sample.n_identities(number, g) or 0) < self.min_identities for g in range(len(grouping.groups))):
            flags = (*flags, Flag.FEW_IDENTITIES)
        set_on = {o.cells[t] for o in operating.values()} - {None}
        leading = [rate.leading for rate in rates.fmr if rate is not None]
        leading += [self._leading(cell) for cell in set_on if cell is not None]
        flags = (*flags, *leaning_flags(max(leading, default=0.0)))
        shared_threshold = self.points.fixed(t) or len({id(o) for o in operating.values()}) == 1
        common = {
            **point_fields(self.points.keys[t]), "group": grouping.name,
            "threshold_source": self.points.source(t, source.source) if shared_threshold else "per-group",
            "threshold": source.thresholds[t] if shared_threshold else None,
        }  # fmt: skip
        kinds = (
            differentials.Kind.of(rates.fmr, rates.fmr_replicates),
            differentials.Kind.of(rates.fnmr, rates.fnmr_replicates),
        )
        wanted = self.wanted[t]
        context = differentials.Context(
            grouping.groups, wanted, tuple(dict.fromkeys(flags)), common, self.confidence, self.rng
        )
        return differentials.estimates(*kinds, context)


def _counts(ranked: RankedComparisons, threshold: float) -> NDArray[np.int64]:
    """Return (C,) comparisons at or above a threshold per cell."""
    size = ranked.reaching(threshold)
    counts = np.zeros(ranked.n_cells, np.int64)
    for column in range(ranked.cells.shape[1]):
        for start in range(0, size, BLOCK):
            inside = ranked.cells[start : min(start + BLOCK, size), column]
            counts += np.bincount(inside[inside >= 0], minlength=ranked.n_cells)
    return counts
