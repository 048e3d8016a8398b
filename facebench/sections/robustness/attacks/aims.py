"""What an attack on answers aims at: which images, what is true of them, and how far each answer is right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.errors import InputError
from facebench.measure.answers.columns import Judged, as_stored, order_of_classes
from facebench.measure.answers.scores import score_place
from facebench.measure.answers.truth import head_of, judged, number_order
from facebench.measure.sample import Images
from facebench.schema import ModelCard, ProtocolSpec
from facebench.schema.model import Activation, OutputSpec
from facebench.schema.task import ClassifyTask, DistributionTask, MultilabelTask, RegressTask, ScoreTask

Vectors = NDArray[np.float32]
ALLOWED = 0.1
"""Of the standard deviation of the true values: how far an error must grow where the protocol names no tolerance."""


@dataclass(frozen=True, eq=False)
class Aims:
    """The judged images as targets.

    Attributes:
        rows: (n,) which images of the dataset they are.
        truth: (n, T) what the rule takes as true.
        rule: `probes.attacks.head.MarginRule`.
        right: (n,) whether the clean answer is right.
        words: what is attacked.
        key: what the rule takes from all the data, such as a threshold; together with the task it names the rule.
    """

    rows: NDArray[np.int64]
    truth: NDArray[np.float32]
    rule: Any
    right: NDArray[np.bool_]
    words: str
    key: dict[str, float | None]

    def margins(self, answers: Vectors, places: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return margins of (A, W) answers of some of the images; NaN where there is none."""
        import torch

        said = torch.from_numpy(np.nan_to_num(answers)).double()
        found = self.rule(said, torch.from_numpy(self.truth[places]).double()).numpy()
        return np.where(np.isfinite(answers).all(axis=1), found, np.nan)


def aims_of(spec: ProtocolSpec, card: ModelCard, images: Images, vectors: Vectors) -> Aims:
    """Return what attacks on a protocol's answers aim at.

    Raises:
        InputError: videos are judged, or answers are words.
    """
    task, where = spec.task, f"protocol {spec.name}"
    assert task is not None
    if isinstance(task, ScoreTask) and task.video is not None:
        raise InputError(
            f"{where}: a video's score is a mean over frames, and attacks change one picture; leave one out"
        )
    head, numbers = head_of(task.head, card, where)
    if head.activation is Activation.LABEL:
        raise InputError(f"{where}: the answers are words, and attacks need gradients; leave out robustness.attacks")
    found = judged(task, card, vectors, images.attributes, where)
    truth, make, words = _aimed(task, head, numbers, found, where)
    clean, everyone = vectors[found.rows], np.arange(found.rows.size)

    def margins(unit: float) -> NDArray[np.float64]:
        return Aims(found.rows, truth, make(unit=unit), np.ones(everyone.size, bool), words, {}).margins(
            clean, everyone
        )

    if isinstance(task, RegressTask):
        allowed = task.within[0] if task.within else ALLOWED * float(found.truth.std(axis=0).mean()) or 1e-6
        truth[:, -1] = np.nan_to_num(-margins(1.0)) + allowed
        words = f"{words}; an attack succeeds where it grows by more than {allowed:.3g}"
    size = np.abs(margins(1.0))
    unit = float(np.median(size[np.isfinite(size)])) if np.isfinite(size).any() else 0.0
    unit = unit if unit > 0 else 1.0
    key = {"unit": unit, "threshold": None if found.threshold is None else found.threshold.value}
    return Aims(found.rows, truth, make(unit=unit), np.asarray(margins(1.0) >= 0), words, key)


def _aimed(
    task: Any, head: OutputSpec, numbers: slice, found: Judged, where: str
) -> tuple[NDArray[np.float32], Callable[..., Any], str]:
    """Return the truth as the rule takes it, the rule without its unit, and what it says in words."""
    from facebench.probes.attacks import answers as rules

    start, truth = numbers.start, found.truth.astype(np.float32)
    if isinstance(task, ClassifyTask | DistributionTask):
        order = order_of_classes(head, task.classes, task.merge, where)
        logits = head.activation is Activation.LOGITS
        make = partial(rules.class_rule, numbers, order, len(task.classes), logits=logits)
        return truth, make, "log odds of the true class against the strongest other"
    if isinstance(task, RegressTask):
        places = [start + place for place in number_order(task.truth, head.names, where)]
        make = partial(rules.value_rule, places, scale=head.scale, wrap=task.wrap == "360")
        return np.column_stack([truth, np.zeros(len(truth), np.float32)]), make, "size of the error of the value"
    if isinstance(task, ScoreTask):
        assert found.threshold is not None
        sign = -1.0 if task.higher == "attack" else 1.0
        place = score_place(task, head, where)
        make = partial(
            rules.score_rule, numbers, place, activation=head.activation.value, scale=head.scale,
            threshold=sign * found.threshold.value,
        )  # fmt: skip
        signs = (sign * np.where(truth > 0, 1, -1)).astype(np.float32)
        return signs, make, f"distance of the score from the threshold {found.threshold.value:.4g}"
    assert isinstance(task, MultilabelTask)
    make = partial(
        rules.label_rule, [start + head.names.index(label) for label in found.names],
        logits=head.activation is Activation.LOGITS, threshold=as_stored(task.threshold),
    )  # fmt: skip
    signs = np.where(np.isnan(truth), 0, np.where(truth > 0, 1, -1)).astype(np.float32)
    return signs, make, "mean distance of the labels from their threshold"
