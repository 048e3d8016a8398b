"""Answers under conditions: the same figures on altered pictures, and what each condition costs."""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from facebench.errors import InputError
from facebench.measure.answers import measure_answers
from facebench.measure.answers.paired import paired_variance
from facebench.measure.answers.truth import judged
from facebench.measure.answers.units import Resampled, units_of
from facebench.measure.sample import Images
from facebench.metrics import catalogue
from facebench.metrics.answers.intervals import finite, t_quantile
from facebench.schema import Estimate, Flag, ModelCard, ProtocolSpec
from facebench.schema.robustness import RobustnessSpec, family_of
from facebench.schema.task import RegressTask

Vectors = NDArray[np.float32]


def check_conditions(spec: ProtocolSpec, asked: RobustnessSpec) -> None:
    """Refuse what a condition would make of the truth, and what is not known for answers.

    Raises:
        InputError: attacks, or geometry where the truth turns with the picture.
    """
    if asked.attacks is not None:
        raise InputError(f"protocol {spec.name}: attacks are known for comparisons only; leave out robustness.attacks")
    turned = [name for name in asked.expanded if family_of(name) == "geometry"]
    if isinstance(spec.task, RegressTask) and spec.task.wrap == "360" and turned:
        raise InputError(
            f"protocol {spec.name}: {turned[0]} turns or mirrors the picture, and the true angles with it; leave out "
            "geometry for a task of angles"
        )


def answers_under(
    spec: ProtocolSpec, card: ModelCard, images: Images, clean: Vectors, probes: Mapping[str, Vectors], seed: int
) -> tuple[Estimate, ...]:
    """Return the leading figures under every condition, overall and per group, and how much worse each makes them."""
    found: list[Estimate] = []
    for condition, vectors in probes.items():
        measured = measure_answers(spec, card, images, vectors, seed=seed)
        assert measured.task is not None
        led = {measured.task.primary, "top1_accuracy", "recall"}
        found += [
            e.model_copy(update={"condition": condition, "nulls": None})
            for e in measured.estimates
            if e.metric in led and (e.of is None or e.group == "all")
        ]
        found.append(_loss(spec, card, images, (clean, vectors), measured.task.primary, condition, seed))
    return tuple(found)


def _loss(
    spec: ProtocolSpec, card: ModelCard, images: Images, vectors: tuple[Vectors, Vectors], primary: str,
    condition: str, seed: int,
) -> Estimate:  # fmt: skip
    """Return how much worse the leading figure is than on clean pictures, both on the same images and units."""
    assert spec.task is not None
    both = [judged(spec.task, card, v, images.attributes, f"protocol {spec.name}") for v in vectors]
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
