"""Every estimate of a task: over all images, per group, and between groups."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.errors import UnknownNameError
from facebench.measure.answers.between import differences_between
from facebench.measure.answers.columns import Judged
from facebench.measure.answers.truth import judged
from facebench.measure.answers.units import Cell, Resampled, Units, units_of
from facebench.measure.every_score import Measurement
from facebench.measure.rates import Rate
from facebench.measure.sample import Images
from facebench.measure.study import groupings_of
from facebench.metrics import catalogue
from facebench.metrics.answers import Figure
from facebench.metrics.answers.classify import confusion_of, reliability
from facebench.metrics.answers.intervals import bounded_interval, finite
from facebench.metrics.answers.score import AT_THRESHOLD
from facebench.metrics.catalogue import Direction
from facebench.metrics.uncertainty import identity_variance
from facebench.schema import Curve, Estimate, Flag, ModelCard, ProtocolSpec
from facebench.schema.task import ClassifyTask, DistributionTask, TaskDetails

LOW_COVERAGE = 0.95
_PRIMARY = {"classify": "uar", "multilabel": "mean_f1", "regress": "mae", "score": "apcer_worst", "distribution": "js"}


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
    known = {f.metric for f in found.table.figures if f.of is None}
    known |= {r.metric for r in found.table.ranked if r.of is None}
    if task.primary is not None and task.primary not in known:
        raise UnknownNameError("metric", task.primary, known, where=f"{where}, task.primary")
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
        threshold=None if found.threshold is None else found.threshold.value,
        threshold_source="" if found.threshold is None else found.threshold.source,
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
            fields = {**common, "metric": ranked.metric, "of": ranked.of, "at": ranked.at, "nulls": None}
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
        fields |= self._at_threshold(figure.metric, common)
        if figure.parts:
            return self._largest(figure, cell, fields)
        if figure.total is not None:
            fields["n_images"] = round(float(figure.total(cell.sums).sum()))
        if figure.hits is None:
            if figure.metric == "uar_present" and np.isfinite(self._plain_mean(cell)):
                return None  # all classes are there, and it is the same as the mean over all
            shift = cell.bias(figure) if figure.metric == "ece" else 0.0
            return self._estimate_of(cell.value(figure), cell.variance(figure), cell.n_units, fields, shift)
        if not fields["n_images"]:
            return Estimate(value=None, **{**fields, "flags": (*fields["flags"], Flag.UNDEFINED_CLASS)})
        return self._rate(figure, cell, fields)

    def _rate(self, figure: Figure, cell: Cell, fields: dict[str, Any]) -> Estimate:
        """Return a share of images; `errors` counts the wrong ones, whichever way the share is told."""
        worse = catalogue.metric(figure.metric).direction is Direction.LOWER
        rate = self._counted(figure, cell, worse)
        share = (rate.errors if worse else rate.n - rate.errors) / rate.n
        if _unknown(rate):
            flags = (*fields["flags"], *rate.flags(), Flag.NO_INTERVAL)
            return Estimate(value=share, errors=rate.errors, **{**fields, "flags": tuple(dict.fromkeys(flags))})
        found = rate.interval(self.confidence)
        if not worse:
            low, high = found["ci_low"], found["ci_high"]
            found |= {"ci_low": 1 - high, "ci_high": 1 - low}
            if found.get("bracket"):
                found["bracket"] = (1 - found["bracket"][1], 1 - found["bracket"][0])
        flags = tuple(dict.fromkeys((*fields["flags"], *rate.flags())))
        return Estimate(value=share, errors=rate.errors, **{**fields, "flags": flags, **found})

    def _counted(self, figure: Figure, cell: Cell, worse: bool) -> Rate:
        """Return the errors of a share of images, and what is known of their dependence."""
        assert figure.hits is not None
        assert figure.total is not None
        hits, total = figure.hits(cell.sums), figure.total(cell.sums)
        n, found = round(float(total.sum())), round(float(hits.sum()))
        people = int((total > 0).sum())
        variance = None
        if self.units.known:
            deviations = hits - found / n * total
            variance = identity_variance(deviations, np.arange(deviations.size), n)
        return Rate(found if worse else n - found, n, variance, people, n / people, "wilson-identity")

    def _largest(self, figure: Figure, cell: Cell, fields: dict[str, Any]) -> Estimate:
        """Return the largest of several rates, which must all be known.

        Its upper limit is the highest of theirs; its lower one the highest of theirs at ``1 - alpha / S``, since any of
        the S may lie high by chance.
        """
        assert all(part.total is not None for part in figure.parts)
        totals = [round(float(part.total(cell.sums).sum())) for part in figure.parts if part.total is not None]
        if not all(totals):
            return Estimate(
                value=None, **{**fields, "n_images": sum(totals), "flags": (*fields["flags"], Flag.UNDEFINED_CLASS)}
            )
        rates = [self._counted(part, cell, True) for part in figure.parts]
        each = 1 - (1 - self.confidence) / len(rates)
        top = max(rates, key=lambda rate: rate.value)
        flags = tuple(dict.fromkeys((*fields["flags"], *top.flags())))
        fields |= {"n_images": top.n, "errors": top.errors, "value": top.value}
        if any(_unknown(rate) for rate in rates):
            return Estimate(**{**fields, "flags": (*flags, Flag.NO_INTERVAL)})
        return Estimate(
            ci_low=max(rate.interval(each)["ci_low"] for rate in rates),
            ci_high=max(rate.interval(self.confidence)["ci_high"] for rate in rates),
            ci_method="largest-of-rates", **{**fields, "flags": flags},
        )  # fmt: skip

    def _at_threshold(self, metric: str, common: dict[str, Any]) -> dict[str, Any]:
        """Return what a figure that is read at a threshold says of it."""
        threshold = self.found.threshold
        if threshold is None or metric not in AT_THRESHOLD:
            return {}
        flags = (*common["flags"], Flag.THRESHOLD_ON_TEST) if threshold.on_test else common["flags"]
        return {"threshold": threshold.value, "threshold_source": threshold.source, "flags": flags}

    def _estimate_of(
        self, value: float, variance: float | None, n_units: int, fields: dict[str, Any], bias: float = 0.0
    ) -> Estimate:
        """Return a figure that is no share of images.

        `bias` is what resampling adds to it. Of a mean of absolute differences that are all chance it is
        ``sqrt(2) - 1`` of what chance has added already, so the interval reaches down by as much more.
        """
        known = finite(value)
        if known is None:
            return Estimate(value=None, **{**fields, "flags": (*fields["flags"], Flag.UNDEFINED_CLASS)})
        if variance is None:
            return Estimate(value=known, **{**fields, "flags": (*fields["flags"], Flag.NO_INTERVAL)})
        bounds = catalogue.metric(fields["metric"]).bounds
        low, high = bounded_interval(known, variance, bounds, n_units, self.confidence)
        if bias:
            low, _ = bounded_interval(
                max(known - bias / (sqrt(2) - 1), bounds[0]), variance, bounds, n_units, self.confidence
            )
        return Estimate(value=known, ci_low=low, ci_high=high, ci_method=f"t-{self.resampled.method}", **fields)

    def _plain_mean(self, cell: Cell) -> float:
        (figure,) = (f for f in self.found.table.figures if f.metric == "uar")
        return cell.value(figure)


def _unknown(rate: Rate) -> bool:
    """Whether a rate is of one unit alone, so that nothing shows how units differ; with no error a bound is known."""
    return rate.variance is not None and rate.n_independent < 2 and rate.errors not in (0, rate.n)


def _truths(task: Any) -> Sequence[str]:
    if isinstance(task, DistributionTask):
        return tuple(task.truth.values())
    return task.truth if not isinstance(task.truth, str) else (task.truth,)


def _confusion(task: Any, cell: Cell) -> tuple[tuple[int, ...], ...]:
    if not isinstance(task, ClassifyTask | DistributionTask):
        return ()
    counts = confusion_of(cell.total, len(task.classes))
    return tuple(tuple(round(float(n)) for n in row) for row in counts)


def _reliability(task: Any, cell: Cell, found: Judged) -> list[Curve]:
    if not isinstance(task, ClassifyTask | DistributionTask) or not any(f.metric == "ece" for f in found.table.figures):
        return []
    n, confidence, accuracy = reliability(cell.total, len(task.classes), task.calibration_bins)
    kept = n > 0
    return [Curve(kind="reliability", name="all", x=tuple(confidence[kept].tolist()), y=tuple(accuracy[kept].tolist()))]
