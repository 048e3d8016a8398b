"""Which answers are explained: the true class of images spread over classes and identities."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.errors import InputError
from facebench.measure.answers.columns import order_of_classes
from facebench.measure.answers.scores import score_place
from facebench.measure.answers.truth import head_of, judged, number_order
from facebench.measure.sample import Images
from facebench.metrics.streams import Stream, generator
from facebench.probes.saliency.heads import HeadTarget
from facebench.schema import ModelCard, ProtocolSpec
from facebench.schema.model import Activation
from facebench.schema.task import ClassifyTask, DistributionTask, MultilabelTask, RegressTask, ScoreTask

Explainee = tuple[int, HeadTarget, str]
"""Row of an image, what is explained of it, and that in words."""


def choose_answers(
    spec: ProtocolSpec, card: ModelCard, images: Images, vectors: NDArray[np.float32], seed: int
) -> list[Explainee]:
    """Return up to `pairs` answers to explain, each of another identity as far as there are.

    Of classes the true one is explained, of labels one that is there, of numbers the first value, of a score the bona
    fide. Classes take turns. The choice does not look at the answers, so that models are held against each other on the
    same images.

    Raises:
        InputError: the answers are words, which have no scores.
    """
    task, own, where = spec.task, spec.explanation, f"protocol {spec.name}"
    assert task is not None
    assert own is not None
    head, numbers = head_of(task.head, card, where)
    if head.activation is Activation.LABEL:
        raise InputError(f"{where}: the answers are words, and maps need scores; leave out `explanation`")
    found = judged(task, card, vectors, images.attributes, where)
    kind: Any = head.activation.value
    names: tuple[str, ...]
    if isinstance(task, ClassifyTask | DistributionTask):
        order = order_of_classes(head, task.classes, task.merge, where)
        targets = [
            HeadTarget(numbers, tuple(n for n, stands in enumerate(order) if stands == k), kind)
            for k in range(len(task.classes))
        ]
        names, member = task.classes, np.asarray(found.truth[:, :1] == np.arange(len(targets)))
    elif isinstance(task, MultilabelTask):
        kind = "logits" if head.activation is Activation.LOGITS else "values"
        targets = [_single(numbers, head.names.index(name), kind) for name in found.names]
        names, member = found.names, found.truth == 1
    elif isinstance(task, ScoreTask):
        targets = [HeadTarget(numbers, (score_place(task, head, where),), kind)]
        names, member = (
            (task.bona_fide if task.higher == "bona_fide" else "attack",),
            np.ones((found.rows.size, 1), bool),
        )
    else:
        assert isinstance(task, RegressTask)
        targets = [HeadTarget(numbers, (number_order(task.truth, head.names, where)[0],), "values")]
        names, member = task.truth[:1], np.ones((found.rows.size, 1), bool)
    usable: NDArray[np.bool_] = np.asarray(np.isfinite(vectors[found.rows]).all(axis=1))
    chosen = _spread(found.rows, member & usable[:, None], images, own.pairs, seed)
    return [(row, targets[k], names[k]) for row, k in chosen]


def _single(numbers: slice, place: int, kind: Any) -> HeadTarget:
    at = numbers.start + place
    return HeadTarget(slice(at, at + 1), (0,), kind)


def _spread(
    rows: NDArray[np.int64], member: NDArray[np.bool_], images: Images, n: int, seed: int
) -> list[tuple[int, int]]:
    """Return up to `n` images and the class each stands for; classes take turns, new identities come first."""
    rng = generator(Stream.EXPLAINED_ANSWERS, seed)
    waiting = [list(rng.permutation(np.flatnonzero(member[:, k]))) for k in range(member.shape[1])]
    seen: set[int] = set()
    chosen: list[tuple[int, int]] = []
    while len(chosen) < n and any(waiting):
        for k, places in enumerate(waiting):
            if not places or len(chosen) == n:
                continue
            fresh = next((p for p in places if int(images.identity[rows[p]]) not in seen), places[0])
            places.remove(fresh)
            row = int(rows[fresh])
            seen.add(int(images.identity[row]))
            chosen.append((row, k))
    return chosen
