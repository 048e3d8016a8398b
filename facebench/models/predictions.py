"""Answers of any system, from a file: ``predictions:FILE`` in place of a model file.

One row per image: a column ``image_id``, and

- columns ``p_<class>``: probabilities of the classes (option ``activation=logits`` if they are none), or
- one column of words, ``label`` or the one that ``label=COLUMN`` names: the class answered, or what a language model
  said; words that are no class of the protocol count as no answer, or
- columns of numbers: values, called as the true columns are.

Images of the data without a row, and rows with empty cells, are no answer and counted; images the data does not have
are refused, since they mean that the two do not belong together.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facebench.data.table import Table, is_number, number_column, read_table
from facebench.errors import InputError, did_you_mean
from facebench.files import read_bytes, sha256_file
from facebench.models.protocol import Embeddings
from facebench.models.references import file_and_options
from facebench.schema import ModelCard
from facebench.schema.model import Activation, OutputSpec

PREFIX = "predictions:"
_KEYS = ("label", "activation", "name")
_ID = "image_id"
_LABEL = "label"
MAX_WORDS = 10_000


class StoredPredictions:
    """A table of answers by image id."""

    def __init__(self, answers: NDArray[np.float32], ids: Sequence[str], card: ModelCard, where: str) -> None:
        self.card = card
        self._answers = answers
        self._row = {image_id: row for row, image_id in enumerate(ids)}
        self._where = where

    def lookup(self, image_ids: Sequence[str]) -> Embeddings:
        """Return (N, W) float32 answers of images by id; a row of NaN is no answer.

        Raises:
            InputError: the file answers images that are not asked for.
        """
        wanted = set(image_ids)
        strange = [image_id for image_id in self._row if image_id not in wanted]
        if strange:
            raise InputError(
                f"{self._where}: {len(strange):,} of {len(self._row):,} rows name images the data does not have, the "
                f"first {strange[0]!r}.{did_you_mean(strange[0], image_ids[:2000])} Ids must be those of the manifest"
            )
        found = np.full((len(image_ids), self._answers.shape[1]), np.nan, np.float32)
        rows = np.array([self._row.get(image_id, -1) for image_id in image_ids])
        found[rows >= 0] = self._answers[rows[rows >= 0]]
        return found


def is_prediction_reference(reference: str) -> bool:
    """Whether a reference names a file of answers."""
    return reference.startswith(PREFIX)


def load_predictions(reference: str) -> StoredPredictions:
    """Read ``predictions:FILE`` or ``predictions:FILE#KEY=VALUE,...`` with the keys label, activation and name.

    Raises:
        InputError: a key is unknown, or the file does not add up; with file, line and cause.
    """
    path, options = _parts(reference)
    where = str(path)
    table = read_table(read_bytes(path, "predictions file"), where, parquet=path.suffix == ".parquet")
    if _ID not in table.columns:
        raise InputError(f"{where} lacks the column {_ID}; it has {', '.join(table.columns)}")
    ids = table.columns[_ID]
    if len(set(ids)) < len(ids):
        twice = next(i for i in ids if ids.count(i) > 1)
        rows = [row for row, cell in enumerate(ids) if cell == twice]
        raise InputError(f"{table.places(rows)}: image {twice!r} is answered {len(rows)} times")
    output, answers = _answers(table, options, where)
    card = ModelCard(
        name=options.get("name", path.stem), adapter="predictions", weights_sha256=sha256_file(path),
        embedding_dim=answers.shape[1], outputs=(output,), options={"file": path.name, **options},
    )  # fmt: skip
    return StoredPredictions(answers, ids, card, where)


def _parts(reference: str) -> tuple[Path, dict[str, str]]:
    path, options = file_and_options(reference, PREFIX)
    for key in options:
        if key not in _KEYS:
            raise InputError(f"{reference!r}: unknown key {key!r}.{did_you_mean(key, _KEYS)} Known: {', '.join(_KEYS)}")
    return path, options


def _answers(table: Table, options: dict[str, str], where: str) -> tuple[OutputSpec, NDArray[np.float32]]:
    columns = [name for name in table.columns if name != _ID]
    shares = [name for name in columns if name.startswith("p_") and len(name) > 2]
    word = options.get("label", _LABEL if _LABEL in columns and not shares else None)
    if word is not None:
        if word not in table.columns:
            raise InputError(f"{where} has no column {word!r} (label=); it has {', '.join(table.columns)}")
        return _words(table.columns[word], where)
    if shares:
        activation = options.get("activation", Activation.PROBABILITIES.value)
        if activation not in (Activation.PROBABILITIES, Activation.LOGITS):
            raise InputError(f"{where}: activation={activation}; known: probabilities, logits")
        output = OutputSpec(name="answer", names=tuple(n[2:] for n in shares), activation=Activation(activation))
        return output, _numbers(table, shares)
    named = [name for name in columns if number_column(table, name) is not None]
    if not named:
        raise InputError(
            f"{where} holds no answers: it needs columns p_<class>, a column {_LABEL}, or columns of numbers; it has "
            f"{', '.join(table.columns)}"
        )
    return OutputSpec(name="answer", names=tuple(named)), _numbers(table, named)


def _numbers(table: Table, names: Sequence[str]) -> NDArray[np.float32]:
    found = np.empty((len(table), len(names)), np.float32)
    for place, name in enumerate(names):
        column = number_column(table, name)
        if column is None and any(table.columns[name]):
            wrong = next(row for row, cell in enumerate(table.columns[name]) if cell and not is_number(cell))
            raise InputError(f"{table.place(wrong)}: {name} is {table.columns[name][wrong]!r}; expected a number")
        found[:, place] = np.nan if column is None else [np.nan if cell is None else cell for cell in column]
    found[np.isnan(found).any(axis=1)] = np.nan
    return found


def _words(cells: Sequence[str], where: str) -> tuple[OutputSpec, NDArray[np.float32]]:
    words = [cell.strip().strip(".").lower() if cell else "" for cell in cells]
    names = sorted({word for word in words if word})
    if not names:
        raise InputError(f"{where}: not one answer is given")
    if len(names) > MAX_WORDS:
        raise InputError(f"{where}: {len(names):,} different answers; at most {MAX_WORDS:,} words can be told apart")
    place = {name: number for number, name in enumerate(names)}
    found = np.zeros((len(words), len(names)), np.float32)
    for row, word in enumerate(words):
        if word:
            found[row, place[word]] = 1.0
        else:
            found[row] = np.nan
    return OutputSpec(name="answer", names=tuple(names), activation=Activation.LABEL), found
