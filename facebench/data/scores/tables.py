"""Score files in CSV: bob's, the BFW datatable, and a plain one; read line by line."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from facebench.data.left_out import left_out
from facebench.data.scores.rows import ScoreRows, ScoreTable, identities_from_genuine, parse_score
from facebench.data.table import check_commas
from facebench.errors import InputError, UnknownNameError

BOB = ("bio_ref_subject_id", "probe_subject_id", "probe_key", "score")
BFW = ("fold", "p1", "p2", "label", "id1", "id2", "att1", "att2", "a1", "a2", "g1", "g2", "e1", "e2")
BFW_GROUPS = {"subgroup": "a", "gender": "g", "ethnicity": "e"}
BOB_KEYS = ("subject_id", "template_id", "reference_id", "key")
UNREAD_COLUMNS = "columns of the score file"
PLAIN = ("a", "b", "genuine", "score")
_PLAIN_FIXED = (*PLAIN, "fold", "identity_a", "identity_b")
_TRUTH = {"1": True, "true": True, "1.0": True, "0": False, "false": False, "0.0": False}


def csv_lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the header of a CSV file and its rows with their line; blank lines are left out.

    Raises:
        InputError: not CSV in UTF-8, or a row with more or fewer cells than the header.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream, strict=True)
            width, start = 0, 0
            for cells in reader:
                line, start = start + 1, reader.line_num
                if not cells:
                    continue
                if not width:
                    check_commas(cells, str(path))
                width = width or len(cells)
                if len(cells) != width:
                    hint = "; a decimal comma, or a comma in a name without quotes?" if len(cells) > width > 1 else ""
                    raise InputError(f"{path}, line {line}: {len(cells)} cells, but the header has {width}{hint}")
                yield line, [cell.strip() for cell in cells]
            if not width:
                raise InputError(f"{path} is empty; its first line names the columns")
    except FileNotFoundError:
        raise InputError(f"score file not found: {path}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8 text; a pickle is never read, save the table as CSV") from None
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.line_num}: not valid CSV: {error}") from None
    except OSError as error:
        raise InputError(f"cannot read score file {path}: {error.strerror}") from error


class Columns:
    """The header of a CSV file."""

    def __init__(self, names: Sequence[str], where: str) -> None:
        self.names = list(names)
        self._where = where
        twice = next((name for name in names if self.names.count(name) > 1), None)
        if twice is not None:
            raise InputError(f"{where}, line 1: column {twice!r} is given twice")

    def getter(self, *wanted: str) -> Callable[[list[str]], list[str]]:
        """Return a function that takes columns out of a row.

        Raises:
            InputError: a column is missing.
        """
        missing = [name for name in wanted if name not in self.names]
        if missing:
            raise InputError(
                f"{self._where}, line 1: lacks the column {', '.join(missing)}; it has {', '.join(self.names)}"
            )
        places = [self.names.index(name) for name in wanted]
        return lambda cells: [cells[place] for place in places]


def read_csv(path: Path, column: str | None) -> ScoreTable:
    """Read a CSV of scores, whichever of the three kinds its header tells; `column` names the scores of a datatable.

    Raises:
        InputError: with file and line, for whatever does not add up.
    """
    lines = csv_lines(path)
    columns = Columns(next(lines)[1], str(path))
    if "bio_ref_subject_id" in columns.names:
        return _bob(path, lines, columns, column or "score")
    if {"p1", "p2", "id1", "id2"} <= set(columns.names):
        return _bfw(path, lines, columns, column)
    return _plain(path, lines, columns, column or "score")


def _bob(path: Path, lines: Iterator[tuple[int, list[str]]], columns: Columns, column: str) -> ScoreTable:
    """Read bob's CSV: ``bio_ref_subject_id, probe_subject_id, probe_key, score``, and attributes of both sides.

    An attribute is a column that the reference and the probe have: ``bio_ref_NAME`` and ``probe_NAME``.
    """
    take = columns.getter(*BOB[:3], column)
    named = "bio_ref_template_id" in columns.names
    reference_of = columns.getter("bio_ref_template_id" if named else "bio_ref_subject_id")
    groups = _both_sides(columns, "bio_ref_{}", "probe_{}", BOB_KEYS)
    sides = [columns.getter(*(f"{side}_{name}" for name in groups)) for side in ("bio_ref", "probe")]
    used = [*BOB[:3], column, *(f"{side}_{name}" for side in ("bio_ref", "probe") for name in (*groups, *BOB_KEYS))]
    rows = ScoreRows(str(path))
    for line, cells in lines:
        claimed, real, probe, score = take(cells)
        _need(rows, line, bio_ref_subject_id=claimed, probe_subject_id=real)
        reference = rows.sample(f"reference {reference_of(cells)[0]}", line, claimed, *map(_known, sides[0](cells)))
        a_probe = rows.sample(probe, line, real, *map(_known, sides[1](cells)))
        rows.add(reference, a_probe, claimed == real, _score(score, rows.place(line)), line)
    unread = left_out(UNREAD_COLUMNS, [name for name in columns.names if name not in used], "left out")
    unknown = sum("" in facts for facts in zip(*map(rows.facts, range(1, len(groups) + 1)), strict=True))
    return rows.table(
        "bob scores, CSV", unread, identities=rows.facts(0), attributes=rows.attributes(groups),
        notes=(f"nan in a metadata column counts as unknown: {unknown:,} samples",) if unknown else (),
    )  # fmt: skip


def _known(cell: str) -> str:
    """Return a cell of metadata; bob writes nan for what its database does not know."""
    return "" if cell.lower() == "nan" else cell


def _both_sides(columns: Columns, first: str, second: str, fixed: Sequence[str]) -> list[str]:
    """Return the names of which both samples have a column."""
    start, _, end = first.partition("{}")
    names = [name[len(start) : len(name) - len(end)] for name in columns.names if _between(name, start, end)]
    return [name for name in names if second.format(name) in columns.names and name not in fixed]


def _between(name: str, start: str, end: str) -> bool:
    return name.startswith(start) and name.endswith(end) and len(name) > len(start) + len(end)


def _bfw(path: Path, lines: Iterator[tuple[int, list[str]]], columns: Columns, column: str | None) -> ScoreTable:
    """Read the datatable of Balanced Faces in the Wild, one of whose score columns is chosen."""
    scores = [name for name in columns.names if name and name not in BFW and not name.startswith("Unnamed")]
    if column is None:
        raise InputError(f"{path} has several columns of scores; choose one, such as #column={(scores or ['NAME'])[0]}")
    if column not in scores:
        raise UnknownNameError("score column", column, scores, where=str(path))
    groups = [name for name, letter in BFW_GROUPS.items() if f"{letter}1" in columns.names]
    take = columns.getter("p1", "p2", "id1", "id2", "label", column)
    sides = [columns.getter(*(f"{BFW_GROUPS[name]}{side}" for name in groups)) for side in "12"]
    fold_of = columns.getter("fold") if "fold" in columns.names else None
    rows = ScoreRows(str(path))
    for line, cells in lines:
        p1, p2, id1, id2, label, score = take(cells)
        _need(rows, line, id1=id1, id2=id2)
        a = rows.sample(p1, line, id1, *sides[0](cells))
        b = rows.sample(p2, line, id2, *sides[1](cells))
        fold = None if fold_of is None else _fold(fold_of(cells)[0], rows.place(line))
        value = _score(score, rows.place(line))
        rows.add(a, b, _agreeing(label, id1, id2, rows.place(line), "label"), value, line, fold)
    unread = left_out(UNREAD_COLUMNS, [name for name in scores if name != column], "left out")
    attributes = rows.attributes(groups)
    table = rows.table(f"BFW datatable, column {column}", unread, identities=rows.facts(0), attributes=attributes)
    return _without_one_fold(table)


def _plain(path: Path, lines: Iterator[tuple[int, list[str]]], columns: Columns, column: str) -> ScoreTable:
    """Read ``a, b, genuine, score[, fold][, identity_a, identity_b][, NAME_a, NAME_b …]``; NAME is an attribute."""
    groups = _both_sides(columns, "{}_a", "{}_b", ("identity",))
    used = [*_PLAIN_FIXED[:3], column, *_PLAIN_FIXED[4:], *(f"{name}_{side}" for name in groups for side in "ab")]
    unread = [name for name in columns.names if name not in used]
    _check_score_column(path, columns, column, unread)
    _refuse_one_sided(path, unread)
    take = columns.getter("a", "b", "genuine", column)
    sides = [columns.getter(*(f"{name}_{side}" for name in groups)) for side in "ab"]
    known = "identity_a" in columns.names or "identity_b" in columns.names
    identity_of = columns.getter("identity_a", "identity_b") if known else None
    fold_of = columns.getter("fold") if "fold" in columns.names else None
    rows = ScoreRows(str(path))
    for line, cells in lines:
        name_a, name_b, label, score = take(cells)
        first = second = None
        if identity_of is not None:
            first, second = identity_of(cells)
            _need(rows, line, identity_a=first, identity_b=second)
        a = rows.sample(name_a, line, first, *sides[0](cells))
        b = rows.sample(name_b, line, second, *sides[1](cells))
        genuine = _agreeing(label, first, second, rows.place(line), "genuine")
        fold = None if fold_of is None else _fold(fold_of(cells)[0], rows.place(line))
        rows.add(a, b, genuine, _score(score, rows.place(line)), line, fold)
    table = rows.table(
        f"scores, column {column}", left_out(UNREAD_COLUMNS, unread, "left out"),
        identities=rows.facts(0) if known else None, attributes=rows.attributes(groups),
    )  # fmt: skip
    return _without_one_fold(table if known else identities_from_genuine(table, str(path)))


def _refuse_one_sided(path: Path, others: Sequence[str]) -> None:
    """Refuse an attribute of one of the two samples only: its name is likely misspelt."""
    odd = next((name for name in others if name.endswith(("_a", "_b"))), None)
    if odd is not None:
        raise InputError(
            f"{path}, line 1: column {odd!r} is unknown; an attribute NAME has the columns NAME_a and NAME_b"
        )


def _check_score_column(path: Path, columns: Columns, column: str, others: Sequence[str]) -> None:
    """Refuse a table without the column of scores that was asked for, or else expected."""
    if column in (*_PLAIN_FIXED[:3], *_PLAIN_FIXED[4:]):
        raise InputError(f"{path}, line 1: #column={column} is no column of scores")
    if column not in columns.names and {"a", "b", "genuine"} <= set(columns.names):
        choice = f"; choose the column of scores, such as #column={others[0]}" if others else ""
        raise InputError(f"{path}, line 1: lacks the column {column}; it has {', '.join(columns.names)}{choice}")


def _without_one_fold(table: ScoreTable) -> ScoreTable:
    from dataclasses import replace

    return replace(table, fold=None) if table.fold is not None and not table.fold.any() else table


def _need(rows: ScoreRows, line: int, **cells: str | None) -> None:
    for name, cell in cells.items():
        if not cell or cell in ("nan", "NaN"):
            raise InputError(f"{rows.place(line)}: {name} is {cell or 'empty'}; every sample needs one")


def _score(text: str, place: str) -> float:
    """Return a score; an empty cell is a comparison that failed."""
    return parse_score(text, place) if text else float("-inf")


def _fold(text: str, place: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 7):
        raise InputError(f"{place}: fold is {text!r}; it must be a whole number")
    return int(text)


def _agreeing(label: str, first: str | None, second: str | None, place: str, name: str) -> bool:
    """Return whether a comparison is genuine; the label must agree with the identities, where these are known."""
    genuine = _TRUTH.get(label.lower())
    if genuine is None:
        raise InputError(f"{place}: {name} is {label!r}; it must be 1 or 0")
    if first is not None and (first == second) != genuine:
        raise InputError(f"{place}: {name} is {label}, but the samples belong to {first!r} and {second!r}")
    return genuine
