"""What is known of the images and what was answered, brought into one order: classes are joined by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from facebench.errors import InputError, UnknownNameError, did_you_mean
from facebench.measure.answers.columns import (
    Floats,
    Judged,
    as_stored,
    as_word,
    in_order,
    order_of_classes,
    probabilities,
    refuse_nothing,
    truth_column,
    values,
)
from facebench.measure.answers.scores import judged_scores
from facebench.measure.answers.votes import judged_votes
from facebench.measure.groups import Column
from facebench.metrics.answers import classify_table, multilabel_table, regress_table
from facebench.metrics.answers.table import known_rows
from facebench.schema import ModelCard
from facebench.schema.model import Activation, OutputSpec
from facebench.schema.task import AnyTask, ClassifyTask, DistributionTask, MultilabelTask, RegressTask, ScoreTask


def judged(
    task: AnyTask, card: ModelCard, vectors: NDArray[np.float32], columns: Mapping[str, Column], where: str
) -> Judged:
    """Return the answers of a task beside the truth.

    Args:
        task: of the protocol.
        card: of the model, which names the numbers of its answers.
        vectors: (N, W) answers of all heads side by side, rows of NaN for none.
        columns: of the manifest.
        where: what asks, for messages.

    Raises:
        InputError: a column or a head is missing, names differ, a true value is out of range, nothing can be judged.
    """
    head, place = head_of(task.head, card, where)
    given = vectors[:, place].astype(np.float64)
    if isinstance(task, ClassifyTask):
        return _classes(task, head, given, truth_column(task.truth, columns, where), where)
    if isinstance(task, MultilabelTask):
        return _labels(task, head, given, columns, where)
    if isinstance(task, DistributionTask):
        return judged_votes(task, head, given, columns, where)
    if isinstance(task, ScoreTask):
        return judged_scores(task, head, given, columns, where)
    return _numbers(task, head, given, columns, where)


def check_model(task: AnyTask | None, card: ModelCard, where: str) -> None:
    """Refuse, before any work, a model that does not give what a protocol judges: answers, or embeddings.

    Raises:
        InputError: it gives the other, or has no such head.
    """
    if task is not None:
        head_of(task.head, card, where)
    elif card.outputs:
        raise InputError(
            f"{where} compares embeddings, but model {card.name} gives answers "
            f"({', '.join(output.name for output in card.outputs)}); take a protocol with a `task`"
        )


def head_of(name: str, card: ModelCard, where: str) -> tuple[OutputSpec, slice]:
    """Return the head a protocol asks, and where its numbers stand in a row.

    Raises:
        InputError: the model gives embeddings, or has no such head.
    """
    if not card.outputs:
        raise InputError(
            f"{where} judges answers, but model {card.name} gives embeddings: its file names no `outputs`; write "
            "outputs: [{name: expression, names: [neutral, happiness, ...], activation: logits}]"
        )
    try:
        return card.head(name)
    except KeyError:
        raise UnknownNameError("output", name, [o.name for o in card.outputs], where=f"{where}, task.head") from None


def _classes(task: ClassifyTask, head: OutputSpec, given: Floats, column: Column, where: str) -> Judged:
    order = order_of_classes(head, task.classes, task.merge, where)
    known = {name: number for number, name in enumerate(task.classes)}
    truth, left_out = np.full(len(column), -1), Counter[str]()
    for row, cell in enumerate(column):
        word = as_word(cell)
        name = task.merge.get(word, word)
        if name in known:
            truth[row] = known[name]
        elif name in task.ignore or not word:
            left_out["no true class" if not word else f"true class {word}, which the protocol leaves out"] += 1
        else:
            hint = did_you_mean(word, [*task.classes, *task.merge])
            raise InputError(
                f"{where}: image row {row + 1} has {task.truth} {word!r}, which is no class of the protocol "
                f"({', '.join(task.classes)}).{hint} Name it in task.merge, or in task.ignore to leave it out."
            )
    rows = np.flatnonzero(truth >= 0)
    refuse_nothing(rows, task.truth, where)
    shares = probabilities(given[rows], head, where)
    merged = in_order(shares, order, len(task.classes))
    only = head.activation is Activation.LABEL
    strange = [number for number, place in enumerate(order) if place is None]
    other = shares[:, strange].max(axis=1) if strange else None  # answered, but no class of the protocol: wrong
    merged[~known_rows(shares) | (only & (merged.sum(axis=1) == 0))] = np.nan
    table = classify_table(
        merged, truth[rows], task.classes, bins=task.calibration_bins, labels_only=only, other=None if only else other
    )
    return Judged(table, rows, task.classes, known_rows(merged), dict(left_out), truth=_column(truth[rows]))


def _labels(task: MultilabelTask, head: OutputSpec, given: Floats, columns: Mapping[str, Column], where: str) -> Judged:
    labels = tuple(task.truth)
    missing = [label for label in labels if label not in head.names]
    if missing:
        hint = did_you_mean(missing[0], head.names)
        raise InputError(f"{where}: the model has no score for {missing[0]!r}; its own: {', '.join(head.names)}.{hint}")
    truth = np.stack([values(task.truth[label], columns, task.ignore_values, where) for label in labels], axis=1)
    coded = np.isfinite(truth)
    truth = np.where(coded, truth >= task.positive_from, np.nan)
    rows = np.flatnonzero(coded.any(axis=1))
    refuse_nothing(rows, ", ".join(task.truth.values()), where)
    scores = given[:, [head.names.index(label) for label in labels]]
    if head.activation is Activation.LOGITS:
        scores = 1 / (1 + np.exp(-scores))
    left_out = {"no label is coded": len(truth) - rows.size} if rows.size < len(truth) else {}
    table = multilabel_table(scores[rows], truth[rows], labels, threshold=as_stored(task.threshold))
    return Judged(table, rows, labels, known_rows(scores[rows]), left_out, truth=truth[rows])


def _numbers(task: RegressTask, head: OutputSpec, given: Floats, columns: Mapping[str, Column], where: str) -> Judged:
    names = task.truth
    truth = np.stack([values(name, columns, task.ignore_values, where) for name in names], axis=1)
    _check_range(task, truth, where)
    order = number_order(names, head.names, where)
    answers = given[:, order] * head.scale
    if task.clip and task.range is not None:
        answers = np.clip(answers, *task.range)
    sigma = None if task.sigma is None else values(task.sigma, columns, (), where)
    known = known_rows(truth)
    if sigma is not None:
        known &= np.isfinite(sigma) & (sigma > 0)
    rows = np.flatnonzero(known)
    refuse_nothing(rows, ", ".join(names), where)
    signed = task.range is not None and task.range[0] < 0 < task.range[1] and task.wrap == "none"
    table = regress_table(
        answers[rows], truth[rows], names, wrap=task.wrap == "360", within=task.within,
        sigma=None if sigma is None else sigma[rows], bins=task.bins, signed=signed,
        rotation=None if task.rotation is None else [names.index(name) for name in task.rotation],
    )  # fmt: skip
    left_out = {"no true value": len(truth) - rows.size} if rows.size < len(truth) else {}
    return Judged(table, rows, names, known_rows(answers[rows]), left_out, truth=truth[rows])


def _column(numbers: NDArray[np.int64]) -> Floats:
    return numbers[:, None].astype(np.float64)


def number_order(names: tuple[str, ...], answers: tuple[str, ...], where: str) -> list[int]:
    """Return where each true value stands among a head's numbers.

    Raises:
        InputError: the head has no number of that name.
    """
    if len(names) == len(answers) == 1:
        return [0]
    missing = [name for name in names if name not in answers]
    if missing:
        hint = did_you_mean(missing[0], answers)
        raise InputError(
            f"{where}: the model has no value called {missing[0]!r}; its own: {', '.join(answers)}.{hint} The names of "
            "its output are those of the true columns."
        )
    return [answers.index(name) for name in names]


def _check_range(task: RegressTask, truth: Floats, where: str) -> None:
    if task.range is None:
        return
    low, high = task.range
    wrong = np.flatnonzero(((truth < low) | (truth > high)).any(axis=1))
    if wrong.size:
        row = truth[wrong[0]]
        value = row[(row < low) | (row > high)][0]
        raise InputError(
            f"{where}: image row {wrong[0] + 1} has the true value {value:g}, outside {low:g} to {high:g}; name it in "
            "task.ignore_values if it means not annotated"
        )
