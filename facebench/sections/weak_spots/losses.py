"""What each image lost: the error of its answer, or the share of its genuine comparisons that were missed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facebench.measure.answers.truth import judged
from facebench.measure.answers.units import units_of
from facebench.measure.drawn import listed_genuine
from facebench.measure.every_score import Measurement
from facebench.measure.sample import Images, Pairs
from facebench.schema import ModelCard, ProtocolSpec
from facebench.scoring import compare_pairs

Floats = NDArray[np.float64]
_OF_SHAPE = {
    "classify": (("top1_accuracy",), True, "wrong class"), "distribution": (("top1_accuracy",), True, "wrong class"),
    "multilabel": (("mean_label_accuracy",), True, "labels wrong"), "regress": (("mae",), False, "size of the error"),
    "score": (("apcer_pooled", "bpcer"), False, "wrong side of the threshold"),
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Losses:
    """Losses of the images that have one.

    Attributes:
        rows: (n,) images.
        loss: (n,).
        unit: (n,) number, from 0, of what is independent; `name` as in `Units`.
        words: what a loss is.
        share: whether losses are shares of errors.
    """

    rows: NDArray[np.int64]
    loss: Floats
    unit: NDArray[np.int64]
    name: str
    words: str
    share: bool


def losses_of(
    spec: ProtocolSpec, card: ModelCard, images: Images, pairs: Pairs | None, vectors: NDArray[np.float32],
    clean: Measurement,
) -> Losses | None:  # fmt: skip
    """Return the losses; None without identities where comparisons are judged."""
    if spec.task is not None:
        return _of_answers(spec, card, images, vectors)
    if images.identities is None:
        return None
    threshold = clean.at(spec.primary).threshold
    assert threshold is not None, "every operating point has a threshold"
    first, second = listed_genuine(images, pairs).T.astype(np.int64)
    scores = compare_pairs(vectors, first, second, card.comparator.value)
    missed = ~(scores >= np.float32(threshold))
    ends, twice = np.concatenate([first, second]), np.concatenate([missed, missed])
    n = np.bincount(ends, minlength=len(vectors))
    rows = np.flatnonzero(n)
    loss = np.bincount(ends, twice, minlength=len(vectors))[rows] / n[rows]
    words = "genuine comparisons missed at the primary operating point"
    _, unit = np.unique(images.identity[rows], return_inverse=True)
    return Losses(rows, loss, unit, "identity", words, True)


def _of_answers(spec: ProtocolSpec, card: ModelCard, images: Images, vectors: NDArray[np.float32]) -> Losses:
    assert spec.task is not None
    found = judged(spec.task, card, vectors, images.attributes, f"protocol {spec.name}")
    metrics, right, words = _OF_SHAPE[spec.task.shape]
    figures = [f for f in found.table.figures if f.metric in metrics and f.of is None]
    each = np.stack([figure.value(found.table.rows) for figure in figures])
    known = np.isfinite(each).any(axis=0)
    loss = np.nanmax(each[:, known], axis=0)
    rows = found.rows[known]
    units = units_of(images, spec.uncertainty.unit, images.attributes, rows)
    _, unit = np.unique(units.index, return_inverse=True)
    return Losses(rows, 1 - loss if right else loss, unit, units.name, words, spec.task.shape != "regress")
