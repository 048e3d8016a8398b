"""What is known of the images and what was answered, brought into one order: classes are joined by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facebench.errors import InputError, UnknownNameError, did_you_mean
from facebench.measure.groups import Column
from facebench.metrics.answers import Table, classify_table, multilabel_table, regress_table
from facebench.metrics.answers.table import known_rows
from facebench.schema import ModelCard
from facebench.schema.model import Activation, OutputSpec
from facebench.schema.task import ClassifyTask, MultilabelTask, RegressTask

Floats = NDArray[np.float64]
TaskSpec = ClassifyTask | MultilabelTask | RegressTask


@dataclass(frozen=True, eq=False)
class Judged:
    """Answers and truth of the images that count.

    Attributes:
        table: contributions of these images.
        rows: (n,) which images of the dataset they are.
        names: classes, labels or values.
        answered: (n,) whether the model answered.
        left_out: images that do not count, by reason.
    """

    table: Table
    rows: NDArray[np.int64]
    names: tuple[str, ...]
    answered: NDArray[np.bool_]
    left_out: dict[str, int]


def judged(
    task: TaskSpec, card: ModelCard, vectors: NDArray[np.float32], columns: Mapping[str, Column], where: str
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
    head, place = _head(task.head, card, where)
    given = vectors[:, place].astype(np.float64)
    if isinstance(task, ClassifyTask):
        return _classes(task, head, given, _column(task.truth, columns, where), where)
    if isinstance(task, MultilabelTask):
        return _labels(task, head, given, columns, where)
    return _numbers(task, head, given, columns, where)


def check_model(task: TaskSpec | None, card: ModelCard, where: str) -> None:
    """Refuse, before any work, a model that does not give what a protocol judges: answers, or embeddings.

    Raises:
        InputError: it gives the other, or has no such head.
    """
    if task is not None:
        _head(task.head, card, where)
    elif card.outputs:
        raise InputError(
            f"{where} compares embeddings, but model {card.name} gives answers "
            f"({', '.join(output.name for output in card.outputs)}); take a protocol with a `task`"
        )


def _head(name: str, card: ModelCard, where: str) -> tuple[OutputSpec, slice]:
    if not card.outputs:
        raise InputError(
            f"{where} judges answers, but model {card.name} gives embeddings: its file names no `outputs`; write "
            "outputs: [{name: expression, names: [neutral, happiness, ...], activation: logits}]"
        )
    try:
        return card.head(name)
    except KeyError:
        raise UnknownNameError("output", name, [o.name for o in card.outputs], where=f"{where}, task.head") from None


def _column(name: str, columns: Mapping[str, Column], where: str) -> Column:
    if name not in columns:
        raise UnknownNameError("truth column", name, columns, where=f"{where}, task.truth")
    return columns[name]


def _classes(task: ClassifyTask, head: OutputSpec, given: Floats, column: Column, where: str) -> Judged:
    order = _order(head, task.classes, task.merge, where)
    known = {name: number for number, name in enumerate(task.classes)}
    truth, left_out = np.full(len(column), -1), Counter[str]()
    for row, cell in enumerate(column):
        word = _word(cell)
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
    _refuse_nothing(rows, task.truth, where)
    shares = _probabilities(given[rows], head, where)
    # several words of the model may stand for one class
    merged = np.zeros((rows.size, len(task.classes)))
    for number, place in enumerate(order):
        if place is not None:
            merged[:, place] += shares[:, number]
    only = head.activation is Activation.LABEL
    strange = [number for number, place in enumerate(order) if place is None]
    other = shares[:, strange].max(axis=1) if strange else None  # answered, but no class of the protocol: wrong
    merged[~known_rows(shares) | (only & (merged.sum(axis=1) == 0))] = np.nan
    table = classify_table(
        merged, truth[rows], task.classes, bins=task.calibration_bins, labels_only=only, other=None if only else other
    )
    return Judged(table, rows, task.classes, known_rows(merged), dict(left_out))


def _order(head: OutputSpec, classes: tuple[str, ...], merge: Mapping[str, str], where: str) -> list[int | None]:
    """Return the class each number of the model stands for; None for one the protocol does not know."""
    answers = head.names
    found = [merge.get(name, name) for name in answers]
    places = [classes.index(name) if name in classes else None for name in found]
    missing = [name for name in classes if name not in found]
    if missing and head.activation is not Activation.LABEL:
        unused = [name for name, place in zip(answers, places, strict=True) if place is None]
        hint = did_you_mean(missing[0], unused)
        raise InputError(
            f"{where}: the model has no answer for the class {missing[0]!r}; its own are {', '.join(answers)}.{hint} "
            "Say in task.merge which of them it is: {happy: happiness}"
        )
    return places


def _word(cell: str | float | None) -> str:
    if cell is None:
        return ""
    return f"{cell:g}" if isinstance(cell, float) else cell


def _probabilities(given: Floats, head: OutputSpec, where: str) -> Floats:
    if head.activation is Activation.LOGITS:
        shifted = np.exp(given - given.max(axis=1, keepdims=True))
        return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))
    if head.activation is Activation.LABEL:
        return given
    known = given[known_rows(given)]
    off = (known < -1e-3).any(axis=1) | (np.abs(known.sum(axis=1) - 1) > 1e-2)
    if off.any():
        total = float(known[off][0].sum())
        cause = "percent; divide by 100" if abs(total - 100) < 1 else "logits; say activation: logits"
        raise InputError(
            f"{where}: {int(off.sum())} of {len(known)} answers of {head.name!r} are no probabilities: the first sums "
            f"to {total:g}. They may be {cause}."
        )
    return np.clip(given, 0.0, None)


def _labels(task: MultilabelTask, head: OutputSpec, given: Floats, columns: Mapping[str, Column], where: str) -> Judged:
    labels = tuple(task.truth)
    missing = [label for label in labels if label not in head.names]
    if missing:
        hint = did_you_mean(missing[0], head.names)
        raise InputError(f"{where}: the model has no score for {missing[0]!r}; its own: {', '.join(head.names)}.{hint}")
    truth = np.stack([_values(task.truth[label], columns, task.ignore_values, where) for label in labels], axis=1)
    coded = np.isfinite(truth)
    truth = np.where(coded, truth >= task.positive_from, np.nan)
    rows = np.flatnonzero(coded.any(axis=1))
    _refuse_nothing(rows, ", ".join(task.truth.values()), where)
    scores = given[:, [head.names.index(label) for label in labels]]
    if head.activation is Activation.LOGITS:
        scores = 1 / (1 + np.exp(-scores))
    left_out = {"no label is coded": len(truth) - rows.size} if rows.size < len(truth) else {}
    table = multilabel_table(scores[rows], truth[rows], labels, threshold=task.threshold)
    return Judged(table, rows, labels, known_rows(scores[rows]), left_out)


def _numbers(task: RegressTask, head: OutputSpec, given: Floats, columns: Mapping[str, Column], where: str) -> Judged:
    names = task.truth
    truth = np.stack([_values(name, columns, task.ignore_values, where) for name in names], axis=1)
    _check_range(task, truth, where)
    order = _number_order(names, head.names, where)
    answers = given[:, order] * head.scale
    if task.clip and task.range is not None:
        answers = np.clip(answers, *task.range)
    sigma = None if task.sigma is None else _values(task.sigma, columns, (), where)
    known = known_rows(truth)
    if sigma is not None:
        known &= np.isfinite(sigma) & (sigma > 0)
    rows = np.flatnonzero(known)
    _refuse_nothing(rows, ", ".join(names), where)
    signed = task.range is not None and task.range[0] < 0 < task.range[1] and task.wrap == "none"
    table = regress_table(
        answers[rows], truth[rows], names, wrap=task.wrap == "360", within=task.within,
        sigma=None if sigma is None else sigma[rows], bins=task.bins, signed=signed,
    )  # fmt: skip
    left_out = {"no true value": len(truth) - rows.size} if rows.size < len(truth) else {}
    return Judged(table, rows, names, known_rows(answers[rows]), left_out)


def _number_order(names: tuple[str, ...], answers: tuple[str, ...], where: str) -> list[int]:
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


def _values(name: str, columns: Mapping[str, Column], ignore: tuple[float, ...], where: str) -> Floats:
    column = _column(name, columns, where)
    words = [cell for cell in column if isinstance(cell, str)]
    if words:
        raise InputError(f"{where}: the true column {name!r} holds words such as {words[0]!r}; numbers are needed")
    values = np.array([np.nan if cell is None else float(cell) for cell in column])
    return np.where(np.isin(values, ignore), np.nan, values)


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


def _refuse_nothing(rows: NDArray[np.int64], column: str, where: str) -> None:
    if not rows.size:
        raise InputError(f"{where}: no image has a truth that counts in {column}; there is nothing to judge")
