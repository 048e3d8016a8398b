"""Any of M labels, each by a score: F1 per label and its mean, accuracy, ROC area, average precision."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from facebench.metrics.answers.ranked import average_precision, roc_area
from facebench.metrics.answers.table import Figure, Floats, Ranked, Table, known_rows, rate, share, total_of

_EACH = ("selection_rate", "recall", "false_alarm_rate")
_TP, _FP, _FN, _TN = range(4)


def multilabel_table(scores: Floats, truth: Floats, labels: Sequence[str], *, threshold: float) -> Table:
    """Return the table of a task with M labels.

    A score from the threshold on says yes. An image without an answer is wrong: a miss where the label is there, a
    false alarm where it is not.

    Args:
        scores: (N, M); rows of NaN are no answer.
        truth: (N, M) 1, 0, or NaN where a label is not coded for the image.
        labels: M names.
        threshold: of the scores.
    """
    answered = known_rows(scores)
    coded, true = np.isfinite(truth), truth == 1
    yes = np.where(answered[:, None], scores >= threshold, ~true)
    cells = np.stack([true & yes, ~true & yes, true & ~yes, ~true & ~yes], axis=2) & coded[:, :, None]
    figures = _means()
    ranked = []
    for number, name in enumerate(labels):
        share_true = float(true[coded[:, number], number].mean()) if coded[:, number].any() else 0.0
        figures += _of_label(number, name, share_true)
        rows = np.flatnonzero(answered & coded[:, number])
        hit = true[rows, number].astype(float)
        given = scores[rows, number]
        ranked += [
            Ranked("answer_auc", rows, given, hit, roc_area, of=name),
            Ranked("average_precision", rows, given, hit, average_precision, of=name),
        ]
    rows_of = cells.reshape(len(scores), -1).astype(np.float64)
    return Table(rows_of, tuple(figures), tuple(ranked), ("mean_f1", "mean_label_accuracy"), _EACH)


def _cells(sums: Floats) -> Floats:
    return sums.reshape(*sums.shape[:-1], -1, 4)


def _f1(cells: Floats) -> Floats:
    """2 TP / (2 TP + FP + FN); undefined where a label is neither there nor answered."""
    return share(2 * cells[..., _TP], 2 * cells[..., _TP] + cells[..., _FP] + cells[..., _FN])


def _accuracy(cells: Floats) -> Floats:
    return share(cells[..., _TP] + cells[..., _TN], cells.sum(axis=-1))


def _means() -> list[Figure]:
    return [
        Figure("mean_f1", lambda sums: _f1(_cells(sums)).mean(axis=-1)),
        Figure("mean_label_accuracy", lambda sums: _accuracy(_cells(sums)).mean(axis=-1)),
    ]


def _of_label(number: int, name: str, share_true: float) -> list[Figure]:
    def cell(sums: Floats) -> Floats:
        return _cells(sums)[..., number, :]

    always = {"always yes": 2 * share_true / (1 + share_true)}  # its recall is 1, its precision the share of positives
    majority = {"always the commoner answer": max(share_true, 1 - share_true)}
    return [
        Figure("f1", lambda sums: _f1(cell(sums)), of=name, null=always),
        rate(
            "label_accuracy", lambda s: cell(s)[..., _TP] + cell(s)[..., _TN], lambda s: cell(s).sum(axis=-1),
            of=name, null=majority,
        ),
        rate("selection_rate", lambda s: total_of(cell(s)[..., [_TP, _FP]]), lambda s: total_of(cell(s)), of=name),
        rate("recall", lambda s: cell(s)[..., _TP], lambda s: cell(s)[..., _TP] + cell(s)[..., _FN], of=name),
        rate("false_alarm_rate", lambda s: cell(s)[..., _FP], lambda s: cell(s)[..., _FP] + cell(s)[..., _TN], of=name),
    ]  # fmt: skip
