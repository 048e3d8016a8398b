"""Every estimate of a task: over all images, per group, and between groups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.measure.answers.between import differences_between
from facebench.measure.answers.truth import Judged, judged
from facebench.measure.answers.units import Cell, Resampled, Units, units_of
from facebench.measure.every_score import Measurement
from facebench.measure.rates import Rate
from facebench.measure.sample import Images
from facebench.measure.study import groupings_of
from facebench.metrics import catalogue
from facebench.metrics.answers import Figure
from facebench.metrics.answers.classify import confusion_of, reliability
from facebench.metrics.answers.intervals import bounded_interval, finite
from facebench.metrics.catalogue import Direction
from facebench.metrics.uncertainty import identity_variance
from facebench.schema import Curve, Estimate, Flag, ModelCard, ProtocolSpec
from facebench.schema.task import ClassifyTask, TaskDetails

LOW_COVERAGE = 0.95
_PRIMARY = {"classify": "uar", "multilabel": "mean_f1", "regress": "mae"}


def measure_answers(
    spec: ProtocolSpec, card: ModelCard, images: Images, vectors: NDArray[np.float32], *, seed: int
) -> Measurement:
    """Compute every estimate a protocol with a task asks for.

    Args:
        spec: with a task.
        card: of the model, which names its outputs.
        images: N images with their columns.
        vectors: (N, W) answers; rows of NaN are none.
        seed: of the replicates.

    Raises:
        InputError: truth and answers do not fit each other.
    """
    task = spec.task
    assert task is not None
    where = f"protocol {spec.name}"
    found = judged(task, card, vectors, images.attributes, where)
    units = units_of(images, spec.uncertainty.unit, images.attributes, found.rows)
    groupings, unmeasured = groupings_of(spec, images)
    measurer = _Measurer(spec, found, units, Resampled(units, replicates=spec.uncertainty.replicates, seed=seed))
    everyone = measurer.cell(np.arange(found.rows.size))
    estimates = measurer.estimates("all", everyone, np.arange(found.rows.size))
    confusion = {"all": _confusion(task, everyone)}
    for grouping in groupings:
        cells = {}
        label = grouping.label[found.rows]
        for number, group in enumerate(grouping.groups):
            inside = np.flatnonzero(label == number)
            if inside.size:
                cells[group] = measurer.cell(inside)
                estimates += measurer.estimates(group, cells[group], inside)
                confusion[group] = _confusion(task, cells[group])
        estimates += differences_between(spec, grouping, cells, found.table, seed=seed, known=units.known)
    details = TaskDetails(
        shape=task.shape, head=task.head, truth=tuple(_truths(task)), names=found.names,
        primary=task.primary or _PRIMARY[task.shape], unit=units.name, n_units=units.count,
        n_judged=found.rows.size, n_answered=int(found.answered.sum()), left_out=found.left_out,
        confusion={group: table for group, table in confusion.items() if table},
    )  # fmt: skip
    curves = _reliability(task, everyone, found)
    return Measurement(tuple(estimates), tuple(curves), tuple(unmeasured), details)


class _Measurer:
    """Turns figures into estimates with one set of rules."""

    def __init__(self, spec: ProtocolSpec, found: Judged, units: Units, resampled: Resampled) -> None:
        self.confidence = spec.uncertainty.confidence
        self.floor = spec.groups.min_identities if spec.groups else 2
        self.found, self.units, self.resampled = found, units, resampled

    def cell(self, inside: NDArray[np.int64]) -> Cell:
        """Return the sums of some of the judged images."""
        return self.resampled.cell(self.found.table.rows, inside)

    def estimates(self, group: str, cell: Cell, inside: NDArray[np.int64]) -> list[Estimate]:
        """Return every figure of a group."""
        common = self._common(group, cell, inside)
        rows = [self._estimate(figure, cell, common) for figure in self.found.table.figures]
        rows = [row for row in rows if row is not None]
        chosen = np.zeros(self.found.rows.size, bool)
        chosen[inside] = True
        for ranked in self.found.table.ranked:
            value, variance = self.resampled.ranked(ranked, chosen)
            fields = {**common, "metric": ranked.metric, "of": ranked.of, "nulls": None}
            rows.append(self._estimate_of(value, variance, cell.n_units, fields))
        return [row for row in rows if row is not None]

    def _common(self, group: str, cell: Cell, inside: NDArray[np.int64]) -> dict[str, Any]:
        flags = []
        if not self.units.known:
            flags.append(Flag.NAIVE_INTERVAL)
        elif cell.n_units < self.floor:
            flags.append(Flag.FEW_IDENTITIES)
        if self.found.answered[inside].mean() < LOW_COVERAGE:
            flags.append(Flag.COVERAGE_LOW)
        n = cell.n_units if self.units.known else None
        return {"group": group, "n_images": inside.size, "n_identities": n, "flags": tuple(flags)}

    def _estimate(self, figure: Figure, cell: Cell, common: dict[str, Any]) -> Estimate | None:
        fields = {**common, "metric": figure.metric, "of": figure.of, "at": figure.at, "nulls": figure.null or None}
        if figure.hits is None or figure.total is None:
            if figure.metric == "uar_present" and np.isfinite(self._plain_mean(cell)):
                return None  # all classes are there, and it is the same as the mean over all
            return self._estimate_of(cell.value(figure), cell.variance(figure), cell.n_units, fields)
        per_unit = figure.total(cell.sums)
        total, hits = round(float(per_unit.sum())), round(float(figure.hits(cell.sums).sum()))
        fields["n_images"] = total
        if not total:
            return Estimate(value=None, **{**fields, "flags": (*common["flags"], Flag.UNDEFINED_CLASS)})
        return self._rate(figure, hits, total, figure.hits(cell.sums), per_unit, fields)

    def _rate(
        self, figure: Figure, hits: int, total: int, per_unit: NDArray[np.float64], of_unit: NDArray[np.float64],
        fields: dict[str, Any],
    ) -> Estimate:  # fmt: skip
        """Return a share of images; `errors` counts the wrong ones, whichever way the share is told."""
        share = hits / total
        worse = catalogue.metric(figure.metric).direction is Direction.LOWER
        errors = hits if worse else total - hits
        variance = None
        people = int((of_unit > 0).sum())
        if self.units.known:
            deviations = per_unit - share * of_unit
            variance = identity_variance(deviations, np.arange(deviations.size), total)
        rate = Rate(errors, total, variance, people, total / people, "wilson-identity")
        found = rate.interval(self.confidence)
        if not worse:
            low, high = found["ci_low"], found["ci_high"]
            found |= {"ci_low": 1 - high, "ci_high": 1 - low}
            if found.get("bracket"):
                found["bracket"] = (1 - found["bracket"][1], 1 - found["bracket"][0])
        flags = tuple(dict.fromkeys((*fields["flags"], *rate.flags())))
        return Estimate(value=share, errors=errors, **{**fields, "flags": flags, **found})

    def _estimate_of(self, value: float, variance: float | None, n_units: int, fields: dict[str, Any]) -> Estimate:
        """Return a figure that is no share of images."""
        known = finite(value)
        if known is None:
            return Estimate(value=None, **{**fields, "flags": (*fields["flags"], Flag.UNDEFINED_CLASS)})
        if variance is None:
            return Estimate(value=known, **{**fields, "flags": (*fields["flags"], Flag.NO_INTERVAL)})
        bounds = catalogue.metric(fields["metric"]).bounds
        low, high = bounded_interval(known, variance, bounds, n_units, self.confidence)
        return Estimate(value=known, ci_low=low, ci_high=high, ci_method=f"t-{self.resampled.method}", **fields)

    def _plain_mean(self, cell: Cell) -> float:
        (figure,) = (f for f in self.found.table.figures if f.metric == "uar")
        return cell.value(figure)


def _truths(task: Any) -> Sequence[str]:
    return task.truth if not isinstance(task.truth, str) else (task.truth,)


def _confusion(task: Any, cell: Cell) -> tuple[tuple[int, ...], ...]:
    if not isinstance(task, ClassifyTask):
        return ()
    counts = confusion_of(cell.sums.sum(axis=0), len(task.classes))
    return tuple(tuple(round(float(n)) for n in row) for row in counts)


def _reliability(task: Any, cell: Cell, found: Judged) -> list[Curve]:
    if not isinstance(task, ClassifyTask) or not any(f.metric == "ece" for f in found.table.figures):
        return []
    n, confidence, accuracy = reliability(cell.sums.sum(axis=0), len(task.classes), task.calibration_bins)
    kept = n > 0
    return [Curve(kind="reliability", name="all", x=tuple(confidence[kept].tolist()), y=tuple(accuracy[kept].tolist()))]
