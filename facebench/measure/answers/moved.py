"""What is true of a picture that was mirrored or turned: yaw changes its sign, left becomes right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from facebench.data.table import is_number
from facebench.measure.answers.columns import as_word
from facebench.measure.groups import Column
from facebench.measure.sample import Images
from facebench.schema.task import AnyTask, ClassifyTask, DistributionTask, MultilabelTask, RegressTask, mirror_of


def mirrored_truth(task: AnyTask, images: Images) -> Images:
    """Return the images with what is true of their mirror images."""
    columns: dict[str, Column] = {}
    if isinstance(task, RegressTask):
        for name in mirror_of(task) or ():
            if name in images.attributes:
                columns[name] = [_negated(cell) for cell in images.attributes[name]]
    elif isinstance(task, ClassifyTask):
        pairs = mirror_of(task)
        classes = [task.merge.get(word, word) for word in map(as_word, images.attributes.get(task.truth, ()))]
        if pairs and classes:
            columns[task.truth] = [pairs.get(word, word) for word in classes]
    elif isinstance(task, MultilabelTask | DistributionTask):
        for name, other in mirror_of(task).items():
            columns[task.truth[name]] = images.attributes[task.truth[other]]
    return _with(images, columns)


def turned_truth(task: AnyTask, images: Images, degrees: Sequence[float]) -> Images:
    """Return the images with what is true of them turned by (N,) degrees, clockwise as they are looked at."""
    if not isinstance(task, RegressTask) or not task.turns:
        return images
    columns = {
        name: [
            None if cell is None else _wrapped(float(cell) + (turn if sense == "clockwise" else -turn))
            for cell, turn in zip(images.attributes[name], degrees, strict=True)
        ]
        for name, sense in task.turns.items()
        if name in images.attributes
    }
    return _with(images, columns)


def _with(images: Images, columns: Mapping[str, Column]) -> Images:
    return replace(images, attributes={**images.attributes, **columns}) if columns else images


def _negated(cell: str | float | None) -> str | float | None:
    return -float(cell) if cell is not None and is_number(str(cell)) else cell


def _wrapped(angle: float) -> float:
    return (angle + 180) % 360 - 180
