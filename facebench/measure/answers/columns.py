"""What is known of the images and what was answered, column by column."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from facebench.data.table import is_number
from facebench.errors import InputError, UnknownNameError, did_you_mean
from facebench.measure.groups import Column
from facebench.metrics.answers import Table
from facebench.metrics.answers.table import known_rows
from facebench.schema.model import Activation, OutputSpec

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Threshold:
    """Where scores are told apart.

    Attributes:
        value: accept from here on.
        source: where it comes from, in words.
        on_test: whether the judged images themselves set it.
    """

    value: float
    source: str
    on_test: bool


@dataclass(frozen=True, eq=False)
class Judged:
    """Answers and truth of the images that count.

    Attributes:
        table: contributions of these images.
        rows: (n,) which images of the dataset they are.
        names: classes, labels or values.
        answered: (n,) whether the model answered.
        left_out: images that do not count, by reason.
        threshold: of scores.
        truth: (n, T) class numbers, labels 0 or 1 (NaN where not coded), true values, or bona fide 1 and attacks 0.
    """

    table: Table
    rows: NDArray[np.int64]
    names: tuple[str, ...]
    answered: NDArray[np.bool_]
    left_out: dict[str, int]
    threshold: Threshold | None = None
    truth: Floats = field(default_factory=lambda: np.empty((0, 0)))


def truth_column(name: str, columns: Mapping[str, Column], where: str) -> Column:
    """Return a column of the manifest.

    Raises:
        UnknownNameError: it has no such column.
    """
    if name not in columns:
        raise UnknownNameError("truth column", name, columns, where=f"{where}, task.truth")
    return columns[name]


def as_word(cell: str | float | None) -> str:
    """Return a cell as a word; empty where it is."""
    if cell is None:
        return ""
    return f"{cell:g}" if isinstance(cell, float) else cell


def order_of_classes(
    head: OutputSpec, classes: tuple[str, ...], merge: Mapping[str, str], where: str
) -> list[int | None]:
    """Return the class each number of the model stands for; None for one the protocol does not know.

    Raises:
        InputError: a class has no answer; the nearest of the model's own is named.
    """
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


def in_order(shares: Floats, order: list[int | None], k: int) -> Floats:
    """Return (N, k) shares of the classes; several words of the model may stand for one."""
    found = np.zeros((len(shares), k))
    for number, place in enumerate(order):
        if place is not None:
            found[:, place] += shares[:, number]
    return found


def as_stored(threshold: float) -> float:
    """Return a threshold as answers are stored, in single precision, so that a score of .7 reaches one of .7.

    >>> float(np.float32(0.7)) >= 0.7, float(np.float32(0.7)) >= as_stored(0.7)
    (False, True)
    """
    return float(np.float32(threshold))


def probabilities(given: Floats, head: OutputSpec, where: str) -> Floats:
    """Return (N, K) probabilities of the classes of a head.

    Raises:
        InputError: the answers are none.
    """
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


def values(name: str, columns: Mapping[str, Column], ignore: tuple[float, ...], where: str) -> Floats:
    """Return (N,) numbers of a column, NaN where there is none or one to ignore.

    Raises:
        InputError: it holds words.
    """
    found = truth_column(name, columns, where)
    words = [cell for cell in found if isinstance(cell, str)]
    if words:
        # one word in a column makes all its cells words
        first = next((cell for cell in words if not is_number(cell)), words[0])
        raise InputError(f"{where}: the true column {name!r} holds words such as {first!r}; numbers are needed")
    numbers = np.array([np.nan if cell is None else float(cell) for cell in found])
    return np.where(np.isin(numbers, ignore), np.nan, numbers)


def refuse_nothing(rows: NDArray[np.int64], column: str, where: str) -> None:
    """Refuse a protocol under which nothing can be judged."""
    if not rows.size:
        raise InputError(f"{where}: no image has a truth that counts in {column}; there is nothing to judge")
