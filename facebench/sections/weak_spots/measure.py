"""Finds slices with many errors on one half of the people and tests them on the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.errors import UnknownNameError
from facebench.measure.every_score import Measurement
from facebench.measure.groups import Column
from facebench.measure.sample import Images, Pairs
from facebench.metrics.answers.intervals import bounded_interval, t_quantile
from facebench.metrics.families import holm
from facebench.metrics.slices import Excess, described, excess, worst_slices
from facebench.metrics.streams import Stream, generator
from facebench.schema import Estimate, Flag, ModelCard, ProtocolSpec, Unmeasured
from facebench.schema.task import truth_columns
from facebench.schema.weak_spots import WeakSpot, WeakSpotDetails, WeakSpotSpec
from facebench.sections.contract import PlanRow, RunContext, Saved, SectionResult
from facebench.sections.weak_spots.losses import Losses, losses_of
from facebench.sections.weak_spots.properties import MAX_VALUES, masks_of, picture_properties

Tensors = Mapping[str, NDArray[Any]]


def plan(spec: ProtocolSpec, n_images: int, seconds_per_image: float) -> Sequence[PlanRow]:  # noqa: ARG001 - embeds nothing
    """Return the cost: every picture is read once."""
    return [PlanRow("brightness, blur and size of the pictures", n_images, n_images * 5e-4)]


def run(context: RunContext) -> SectionResult:
    """Measure the pictures, and scan."""
    properties = picture_properties(context.dataset, _spec(context.spec).properties, context.options.workers)
    tensors = {f"property.{name}": values for name, values in properties.items()}
    return _scanned(
        context.spec, context.model.card, context.images, context.pairs, context.embedded.vectors, context.clean,
        tensors, context.options.seed,
    )  # fmt: skip


def remeasure(saved: Saved) -> SectionResult:
    """Scan again, with the properties of the pictures as they were measured."""
    return _scanned(
        saved.spec, saved.result.model, saved.images, saved.pairs, saved.vectors, saved.clean, saved.tensors,
        saved.result.run.seed,
    )  # fmt: skip


def _spec(spec: ProtocolSpec) -> WeakSpotSpec:
    assert spec.weak_spots is not None
    return spec.weak_spots


def _scanned(
    spec: ProtocolSpec, card: ModelCard, images: Images, pairs: Pairs | None, vectors: NDArray[np.float32],
    clean: Measurement, tensors: Tensors, seed: int,
) -> SectionResult:  # fmt: skip
    own = _spec(spec)
    losses = losses_of(spec, card, images, pairs, vectors, clean)
    gaps = [
        Unmeasured(what=f"weak spots by {name}", why="no picture could be read, or none has landmarks")
        for name in own.properties
        if f"property.{name}" not in tensors
    ]
    if spec.task is None:
        why = "slices are of single images, and a false match is of two people; `groups` compares false match rates"
        gaps.append(Unmeasured(what="weak spots of false matches", why=why))
    if losses is None:
        gaps.append(Unmeasured(what="weak spots", why="the dataset names no identities, so it has no halves"))
        return SectionResult(unmeasured=tuple(gaps), tensors=dict(tensors))
    columns = _columns(spec, own, images, tensors)
    masks = masks_of(columns, losses.rows)
    why = f"a column of words needs two to {MAX_VALUES} values, and one of numbers two"
    gaps += [Unmeasured(what=f"weak spots by {name}", why=why) for name in columns if name not in masks]
    if losses.name == "image":
        why = "no people or other units are known, so that one person may be in both halves"
        gaps.append(Unmeasured(what="confirmation of weak spots", why=why))
    rng = generator(Stream.WEAK_SPOTS, seed)
    units = int(losses.unit.max()) + 1
    in_search = np.zeros(units, bool)
    in_search[rng.permutation(units)[: units // 2]] = True
    search = in_search[losses.unit]
    slices = described(masks)
    found = worst_slices(
        losses.loss[search], losses.unit[search], {name: mask[search] for name, mask in slices.items()},
        count=own.slices, min_units=own.min_units,
    )  # fmt: skip
    tested = [(name, excess(losses.loss[~search], losses.unit[~search], slices[name][~search])) for name in found]
    outside = {name: np.unique(losses.unit[~search & ~slices[name]]).size for name in found}
    kept = [(name, one) for name, one in tested if one is not None and min(one.units, outside[name]) >= own.min_units]
    gaps += [
        Unmeasured(
            what=f"weak spot {name}", why="found on one half, but the other holds too few units in or outside it"
        )
        for name in found
        if name not in dict(kept)
    ]
    corrected = holm([one.p_value for _, one in kept])
    spots, estimates = [], []
    for (name, one), p in zip(kept, corrected, strict=True):
        first = excess(losses.loss[search], losses.unit[search], slices[name][search])
        assert first is not None
        confirmed = losses.name != "image" and p < 1 - spec.uncertainty.confidence
        spots.append(WeakSpot(name=name, confirmed=confirmed, n_searched=first.n, excess_searched=first.value))
        tests = {"p_value": one.p_value, "p_holm": p, "family": len(kept)}
        estimates += _estimates(name, one, tests, losses, spec.uncertainty.confidence)
    details = WeakSpotDetails(
        loss=losses.words, share=losses.share, unit=losses.name,
        units=(int(in_search.sum()), int((~in_search).sum())), searched=len(slices), columns=tuple(masks),
        spots=tuple(spots),
    )  # fmt: skip
    return SectionResult(estimates=tuple(estimates), unmeasured=tuple(gaps), details=details, tensors=dict(tensors))


def _columns(spec: ProtocolSpec, own: WeakSpotSpec, images: Images, tensors: Tensors) -> dict[str, Column]:
    """Return the columns slices are made of; the truth and the unit are none unless named."""
    known = images.attributes
    if own.attributes == "all":
        hidden = {spec.uncertainty.unit, *(() if spec.task is None else truth_columns(spec.task))}
        columns = {name: column for name, column in known.items() if name not in hidden}
    else:
        for name in own.attributes:
            if name not in known:
                raise UnknownNameError("attribute", name, known, where="the protocol's weak_spots.attributes")
        columns = {name: known[name] for name in own.attributes}
    for name in own.properties:
        if f"property.{name}" in tensors:
            values = tensors[f"property.{name}"]
            columns[f"picture {name}"] = [float(v) if np.isfinite(v) else None for v in values]
    return columns


def _estimates(name: str, one: Excess, tests: Mapping[str, float], losses: Losses, confidence: float) -> list[Estimate]:
    flags = (Flag.NAIVE_INTERVAL,) if losses.name == "image" else ()
    n_units = None if losses.name == "image" else one.units
    common = {"of": name, "n_images": one.n, "n_identities": n_units, "flags": flags}
    bounds = (0.0, 1.0) if losses.share else (0.0, float("inf"))
    low, high = bounded_interval(one.inside, one.variance_inside, bounds, one.units, confidence)
    margin = t_quantile(confidence, one.units) * sqrt(one.variance)
    metric = "weak_spot_errors" if losses.share else "weak_spot_size"
    inside = Estimate(metric=metric, value=one.inside, ci_low=low, ci_high=high, ci_method="t-units", **common)
    excess = Estimate(
        metric="weak_spot_excess", value=one.value, ci_low=one.value - margin, ci_high=one.value + margin,
        ci_method="t-units", nulls={"elsewhere": one.outside}, **tests, **common,
    )  # fmt: skip
    # losses that are all alike have no variance, which says nothing of how far they may lie from what is true
    without = {"ci_low": None, "ci_high": None, "ci_method": None, "flags": (*flags, Flag.NO_INTERVAL)}
    return [
        inside.model_copy(update=without) if not losses.share and not one.variance_inside else inside,
        excess if one.variance else excess.model_copy(update=without),
    ]
