"""What a score file holds once read: comparisons with their scores, and what is known of the samples compared."""

from __future__ import annotations

import math
import re
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.data.dataset import left_out_words
from facebench.data.manifest import check_unique, read_attributes
from facebench.data.pairs import repeated_pairs
from facebench.data.table import Table, check_printable, read_table
from facebench.errors import InputError
from facebench.files import read_bytes
from facebench.schema import LeftOut

Attribute = str | float | None
BOTH_ORDERS = "comparisons listed in both orders"
SAVE_WITH_COMMAS = "save the file with commas between columns and points in numbers"
BLANKS = "a blank within a name splits it: put tabs between the columns, or save the table as CSV"
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?")


@dataclass(frozen=True, eq=False)
class ScoreTable:
    """Comparisons of N samples, as a file lists them.

    Attributes:
        format: what it was read from, such as ``bob scores, 4 columns``.
        names: (N,) of the samples; None when the file names none, and every comparison has two samples of its own.
        identities: (N,); None when unknown.
        attributes: by name, (N,) values; None where unknown.
        a, b: (P,) int32 samples compared, reference and probe where the file tells them apart.
        genuine: (P,) same identity.
        scores: (P,) float64, higher is more alike; ``-inf`` where the comparison failed.
        fold: (P,) 0..folds-1, or None.
        roles: (N,) gallery or probe, where every probe was searched for among the gallery; None when none was.
        notes: what the reader noticed.
        left_out: what it left out.
    """

    format: str
    names: tuple[str, ...] | None
    identities: tuple[str, ...] | None
    a: NDArray[np.int32]
    b: NDArray[np.int32]
    genuine: NDArray[np.bool_]
    scores: NDArray[np.float64]
    attributes: Mapping[str, tuple[Attribute, ...]] = field(default_factory=dict)
    fold: NDArray[np.int64] | None = None
    notes: tuple[str, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    roles: tuple[str | None, ...] | None = None

    @property
    def n_failed(self) -> int:
        """Comparisons that failed."""
        return int(np.isneginf(self.scores).sum())

    def summary(self) -> str:
        """Return what was found, in one line."""
        text = f"{self.format}: {len(self.scores):,} comparisons ({int(self.genuine.sum()):,} genuine)"
        if self.names is not None:
            text += f" of {len(self.names):,} samples"
        known = self.identities
        text += " without identities" if known is None else f" of {len(set(known)):,} identities"
        failed = (f"{self.n_failed:,} comparisons failed",) if self.n_failed else ()
        return "; ".join([text, *failed, *self.notes, *map(left_out_words, self.left_out)])


class ScoreRows:
    """Collects the rows of a score file; every sample is named once and must stay the same throughout."""

    def __init__(self, where: str) -> None:
        self.where = where
        self._index: dict[str, int] = {}
        self._facts: list[tuple[Any, ...]] = []
        self._first = array("q")  # the line that names a sample first
        self._a, self._b = array("i"), array("i")
        self._genuine, self._scores = bytearray(), array("d")
        self._line, self._fold = array("q"), array("q")
        self._files: list[str] = []
        self._file = array("i")

    def __len__(self) -> int:
        return len(self._scores)

    def place(self, line: int) -> str:
        """Return where a line lies, for people."""
        return f"{self.where}, line {line}"

    def sample(self, name: str, line: int, *facts: Attribute) -> int:
        """Return the index of a sample; `facts` are its identity, then its attributes.

        Raises:
            InputError: the name is empty, or the facts differ from those of an earlier line.
        """
        known = self._index.get(name)
        if known is None:
            if not name or not name.isprintable():
                raise InputError(f"{self.place(line)}: {name!r} names no sample")
            known = self._index[name] = len(self._facts)
            self._facts.append(facts)
            self._first.append(line)
        elif self._facts[known] != facts:
            before, now = next((x, y) for x, y in zip(self._facts[known], facts, strict=True) if x != y)
            raise InputError(
                f"{self.place(line)}: sample {name!r} has {now!r} here and {before!r} on an earlier line; "
                "mend the one that is wrong"
            )
        return known

    def add(self, a: int, b: int, genuine: bool, score: float, line: int, fold: int | None = None) -> None:
        """Add one comparison."""
        self._a.append(a)
        self._b.append(b)
        self._genuine.append(genuine)
        self._scores.append(score)
        self._line.append(line)
        if not self._files or self._files[-1] != self.where:
            self._files.append(self.where)
        self._file.append(len(self._files) - 1)
        if fold is not None:
            self._fold.append(fold)

    def facts(self, column: int) -> tuple[Any, ...]:
        """Return one fact of every sample, in order."""
        return tuple(facts[column] for facts in self._facts)

    def attributes(self, names: Sequence[str]) -> dict[str, tuple[Attribute, ...]]:
        """Return the facts after the identity as attributes, by the rules of a manifest: numbers, text, empty cells.

        Raises:
            InputError: a cell says nan or inf, or holds control characters.
        """
        columns = {name: list(self.facts(number)) for number, name in enumerate(names, start=1)}
        table = Table(self.where, columns, self._first, "line")
        check_printable(table)
        return read_attributes(table, list(names))

    def table(self, format_: str, left_out: tuple[LeftOut, ...] = (), **fields: Any) -> ScoreTable:
        """Return what was collected; `fields` are those of `ScoreTable` that the format knows.

        Two samples compared in both orders are counted once, and that is told.

        Raises:
            InputError: no rows, two samples compared twice in one order, or a sample compared with itself.
        """
        if not self._scores:
            raise InputError(f"{self.where} holds no scores")
        a, b = np.array(self._a, np.int32), np.array(self._b, np.int32)
        if self._facts:
            self._check_distinct(a, b)
        found = ScoreTable(
            format=format_,
            names=tuple(self._index) if self._facts else None,
            a=a,
            b=b,
            genuine=np.frombuffer(bytes(self._genuine), np.bool_),
            scores=np.array(self._scores, np.float64),
            fold=_renumbered(self._fold) if self._fold else None,
            left_out=left_out,
            **fields,
        )
        return count_once(found, self.where)

    def line_of(self, row: int) -> str:
        """Return where a comparison lies, for people."""
        return f"{self._files[self._file[row]]}, line {self._line[row]}"

    def _check_distinct(self, a: NDArray[np.int32], b: NDArray[np.int32]) -> None:
        names = list(self._index)
        same = np.flatnonzero(a == b)
        if same.size:
            row = int(same[0])
            raise InputError(f"{self.line_of(row)}: sample {names[a[row]]!r} is compared with itself; remove the line")
        key = a.astype(np.int64) * len(names) + b
        order = np.argsort(key, kind="stable")
        again = np.flatnonzero(np.diff(key[order]) == 0)
        if again.size:
            first, second = sorted(int(row) for row in order[again[0] : again[0] + 2])
            raise InputError(
                f"{self.line_of(second)}: {names[a[first]]!r} and {names[b[first]]!r} were compared before, in "
                f"{self.line_of(first)} ({again.size:,} such lines); keep one"
            )


def count_once(table: ScoreTable, where: str) -> ScoreTable:
    """Return the table without the comparisons that an earlier one makes in the other order.

    Raises:
        InputError: one order is called genuine and the other impostor.
    """
    again = repeated_pairs(table.a.astype(np.int64), table.b.astype(np.int64))
    if table.names is None or not again.size:
        return table
    low, high = np.minimum(table.a, table.b).astype(np.int64), np.maximum(table.a, table.b)
    key = low * len(table.names) + high
    _, first, place = np.unique(key, return_index=True, return_inverse=True)
    earlier = first[place[again]]
    torn = again[table.genuine[again] != table.genuine[earlier]]
    pairs = [f"{table.names[table.a[row]]} - {table.names[table.b[row]]}" for row in (*torn[:1], *again[:5])]
    if torn.size:
        raise InputError(f"{where}: {pairs[0]} is genuine in one order and impostor in the other; mend the labels")
    with np.errstate(invalid="ignore"):
        other = int((np.abs(table.scores[again] - table.scores[earlier]) > 1e-6 * np.abs(table.scores[earlier])).sum())
    unlike = f"; {other:,} have another score in the other order" if other else ""
    item = LeftOut(what=BOTH_ORDERS, count=again.size, examples=tuple(pairs), effect=f"counted once, as first{unlike}")
    keep = np.ones(len(table.a), np.bool_)
    keep[again] = False
    fold = None if table.fold is None else table.fold[keep]
    return replace(
        table, a=table.a[keep], b=table.b[keep], genuine=table.genuine[keep], scores=table.scores[keep], fold=fold,
        left_out=(*table.left_out, item),
    )  # fmt: skip


def _renumbered(folds: array[int]) -> NDArray[np.int64]:
    return np.unique(np.array(folds, np.int64), return_inverse=True)[1].astype(np.int64)


def parse_score(text: str, place: str) -> float:
    """Return a score; ``-inf`` says that the comparison failed.

    Raises:
        InputError: no number, nan, or infinity.
    """
    try:
        score = float(text)
        if "_" in text or not text.isascii():
            raise ValueError
    except ValueError:
        hint = "; it has a decimal comma, write a point" if _DECIMAL_COMMA.fullmatch(text) else ""
        raise InputError(f"{place}: {text!r:.80} is no score; expected a number{hint}") from None
    if math.isnan(score) or score == math.inf:
        raise InputError(f"{place}: the score is {text!r}; write -inf if the comparison failed, else a number")
    return score


def reject_unlabelled(table: ScoreTable, where: str) -> ScoreTable:
    """Refuse a table in which no impostor comparison exists, so that no threshold could be set."""
    if table.genuine.all():
        raise InputError(f"{where}: every comparison is genuine; without impostor comparisons no threshold can be set")
    return table


def identities_from_genuine(table: ScoreTable, where: str) -> ScoreTable:
    """Return the table with identities: samples joined by genuine comparisons show one person.

    Samples that no genuine comparison joins count as different people, which the file cannot confirm.

    Raises:
        InputError: an impostor comparison joins two samples that genuine ones say are one person.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    assert table.names is not None
    n = len(table.names)
    a, b = table.a[table.genuine], table.b[table.genuine]
    component = connected_components(coo_array((np.ones(a.size, np.int8), (a, b)), (n, n)), directed=False)[1]
    wrong = np.flatnonzero((component[table.a] == component[table.b]) & ~table.genuine)
    if wrong.size:
        first, second = table.names[table.a[wrong[0]]], table.names[table.b[wrong[0]]]
        raise InputError(
            f"{where}: {first!r} and {second!r} are compared as impostors, but genuine comparisons join them to one "
            f"person ({wrong.size:,} such comparisons); mend the labels"
        )
    note = "identities follow from the genuine comparisons"
    return replace(table, identities=tuple(f"person {c}" for c in component), notes=(*table.notes, note))


def with_samples(table: ScoreTable, path: Path) -> ScoreTable:
    """Return the table with what a list of samples says: identity and attributes by ``image_id``, or by ``identity``.

    Raises:
        InputError: a sample is not in the list, or its identity contradicts the scores.
    """
    listed = read_table(read_bytes(path, "list of samples"), str(path), parquet=path.suffix == ".parquet")
    key = next((column for column in ("image_id", "identity") if column in listed.columns), None)
    wanted = table.names if key == "image_id" else table.identities
    if key is None or wanted is None:
        needed = "image_id or identity" if table.identities is not None else "image_id"
        raise InputError(f"{path}: a list of samples needs the column {needed}; the score file must name its samples")
    check_unique(listed, key)
    rows = {name: row for row, name in enumerate(listed.columns[key])}
    unknown = [name for name in wanted if name not in rows]
    if unknown:
        raise InputError(
            f"{path}: {len(unknown):,} {key}s of the score file are not in the list, such as {unknown[0]!r}"
        )
    columns = read_attributes(listed, [name for name in listed.columns if name not in ("image_id", "identity")])
    found = {name: tuple(values[rows[sample]] for sample in wanted) for name, values in columns.items()}
    identities = table.identities
    if key == "image_id" and "identity" in listed.columns:
        identities = tuple(listed.columns["identity"][rows[name]] for name in wanted)
        if not all(identities):
            raise InputError(f"{path}: identity is empty for {identities.count('')} samples; give every sample one")
    return replace(table, identities=identities, attributes={**table.attributes, **found})


def check_identities(table: ScoreTable, where: str) -> ScoreTable:
    """Refuse labels that contradict the identities."""
    if table.identities is None or table.names is None:
        return table
    code = np.unique(np.asarray(table.identities), return_inverse=True)[1]
    wrong = np.flatnonzero((code[table.a] == code[table.b]) != table.genuine)
    if wrong.size:
        a, b = table.a[wrong[0]], table.b[wrong[0]]
        kind = "genuine" if table.genuine[wrong[0]] else "impostor"
        raise InputError(
            f"{where}: {table.names[a]!r} of {table.identities[a]!r} and {table.names[b]!r} of {table.identities[b]!r} "
            f"are called {kind} ({wrong.size:,} such comparisons); mend the labels or the identities"
        )
    return table
