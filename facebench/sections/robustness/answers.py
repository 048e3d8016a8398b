"""Answers under conditions: the same figures on altered pictures, and what each condition costs."""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from facebench.errors import InputError
from facebench.measure.answers import measure_answers
from facebench.measure.answers.moved import mirrored_truth, turned_truth
from facebench.measure.answers.paired import paired_variance
from facebench.measure.answers.truth import judged
from facebench.measure.answers.units import Resampled, units_of
from facebench.measure.sample import Images
from facebench.metrics import catalogue
from facebench.metrics.answers.intervals import finite, t_quantile
from facebench.probes import conditions
from facebench.schema import Estimate, Flag, ModelCard, ProtocolSpec, Unmeasured
from facebench.schema.robustness import RobustnessSpec, family_of
from facebench.schema.task import AnyTask, RegressTask, mirror_of

Vectors = NDArray[np.float32]


def check_conditions(spec: ProtocolSpec, asked: RobustnessSpec) -> None:
    """Refuse what a condition would make of the truth.

    Raises:
        InputError: geometry where the truth turns with the picture.
    """
    task = spec.task
    if not isinstance(task, RegressTask) or (task.wrap != "360" and task.rotation is None):
        return
    for name in asked.expanded:
        if conditions.mirrored(name) and mirror_of(task) is None:
            raise InputError(
                f"protocol {spec.name}: {name} mirrors the picture, and true angles with it; say in task.mirror which "
                "change their sign, such as [yaw, roll], or leave it out"
            )
        if conditions.turns(name) and task.turns is None:
            raise InputError(
                f"protocol {spec.name}: {name} turns the picture, and true angles with it; say in task.turns which "
                "grows and which way, such as {roll: clockwise}, {} if none does, or leave it out"
            )


def answers_under(
    spec: ProtocolSpec, card: ModelCard, images: Images, clean: Vectors, probes: Mapping[str, Vectors], seed: int
) -> tuple[tuple[Estimate, ...], tuple[Unmeasured, ...]]:
    """Return the leading figures under every condition, overall and per group, and how much worse each makes them.

    Where a condition turns pictures beyond the range of the protocol, answers are cut to it on neither side of the
    loss; the second value says so.
    """
    found: list[Estimate] = []
    gaps: list[Unmeasured] = []
    for condition, vectors in probes.items():
        seen = _moved(spec, images, condition, seed)
        own = _within_reach(spec, seen)
        measured = measure_answers(own, card, seen, vectors, seed=seed)
        assert measured.task is not None
        led = {measured.task.primary, "top1_accuracy", "recall"}
        found += [
            e.model_copy(update={"condition": condition, "nulls": None})
            for e in measured.estimates
            if e.metric in led and (e.of is None or e.group == "all")
        ]
        sides = ((own, images, clean), (own, seen, vectors))
        found.append(_loss(card, sides, measured.task.primary, condition, seed))
        if _clips(spec) and not _clips(own):
            why = "pictures were turned beyond the range of the protocol: answers are not cut to it here"
            gaps.append(Unmeasured(what=f"clip under {condition}", why=f"{why}, on neither side of answer_loss"))
    return tuple(found), tuple(gaps)


def _moved(spec: ProtocolSpec, images: Images, condition: str, seed: int) -> Images:
    """Return the images with what is true of them under a condition."""
    assert spec.task is not None
    if family_of(condition) != "geometry":
        return images
    if conditions.mirrored(condition):
        return mirrored_truth(spec.task, images)
    if not conditions.turns(condition):
        return images
    return turned_truth(spec.task, images, [conditions.turned(condition, i, seed=seed) for i in images.image_ids])


def _within_reach(spec: ProtocolSpec, seen: Images) -> ProtocolSpec:
    """Return the protocol without its range where pictures were turned beyond it."""
    task = spec.task
    if not isinstance(task, RegressTask) or task.range is None or not task.turns:
        return spec
    low, high = task.range
    cells = [float(cell) for name in task.turns for cell in seen.attributes[name] if cell is not None]
    if all(low <= cell <= high for cell in cells):
        return spec
    return spec.model_copy(update={"task": task.model_copy(update={"range": None, "clip": False})})


def _loss(
    card: ModelCard, sides: tuple[tuple[ProtocolSpec, Images, Vectors], ...], primary: str, condition: str, seed: int
) -> Estimate:
    """Return how much worse the leading figure is than on clean pictures, both on the same images and units."""
    spec, images, _ = sides[0]
    both = [judged(_task(s), card, v, seen.attributes, f"protocol {s.name}") for s, seen, v in sides]
    units = units_of(images, spec.uncertainty.unit, images.attributes, both[0].rows)
    resampled = Resampled(units, replicates=spec.uncertainty.replicates, seed=seed)
    everyone = np.arange(both[0].rows.size)
    cells = [resampled.cell(each.table.rows, everyone) for each in both]
    figures = [next(f for f in each.table.figures if f.metric == primary and f.of is None) for each in both]
    values = [cell.value(figure) for cell, figure in zip(cells, figures, strict=True)]
    sign = -1.0 if catalogue.metric(primary).higher_is_better else 1.0
    loss = finite(sign * (values[1] - values[0]))
    flags = () if units.known else (Flag.NAIVE_INTERVAL,)
    common = {"metric": "answer_loss", "condition": condition, "of": primary, "n_images": everyone.size}
    variance = paired_variance(cells, figures)
    if loss is None or variance is None:
        return Estimate(value=loss, flags=(*flags, Flag.NO_INTERVAL), **common)
    margin = t_quantile(spec.uncertainty.confidence, units.count) * sqrt(variance)
    n = units.count if units.known else None
    return Estimate(
        value=loss, ci_low=loss - margin, ci_high=loss + margin, ci_method="paired-units", n_identities=n, flags=flags,
        **common,
    )  # fmt: skip


def _clips(spec: ProtocolSpec) -> bool:
    return isinstance(spec.task, RegressTask) and spec.task.clip


def _task(spec: ProtocolSpec) -> AnyTask:
    assert spec.task is not None
    return spec.task
