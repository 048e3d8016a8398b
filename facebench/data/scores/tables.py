"""Score files in CSV: bob's, the BFW datatable, and a plain one; read line by line."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from facebench.data.scores.rows import ScoreRows, ScoreTable, identities_from_genuine, parse_score
from facebench.errors import InputError, UnknownNameError

BOB = ("bio_ref_subject_id", "probe_subject_id", "probe_key", "score")
BFW = ("fold", "p1", "p2", "label", "id1", "id2", "att1", "att2", "a1", "a2", "g1", "g2", "e1", "e2")
BFW_GROUPS = {"subgroup": "a", "gender": "g", "ethnicity": "e"}
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
                width = width or len(cells)
                if len(cells) != width:
                    raise InputError(f"{path}, line {line}: {len(cells)} cells, but the header has {width}")
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
    """Read bob's CSV: ``bio_ref_subject_id, probe_subject_id, probe_key, score`` and what else it has."""
    take = columns.getter(*BOB[:3], column)
    named = "bio_ref_template_id" in columns.names
    reference_of = columns.getter("bio_ref_template_id" if named else "bio_ref_subject_id")
    rows = ScoreRows(str(path))
    for line, cells in lines:
        claimed, real, probe, score = take(cells)
        _need(rows, line, bio_ref_subject_id=claimed, probe_subject_id=real)
        reference = rows.sample(f"reference {reference_of(cells)[0]}", line, claimed)
        a_probe = rows.sample(probe, line, real)
        rows.add(reference, a_probe, claimed == real, _score(score, rows.place(line)), line)
    return rows.table("bob scores, CSV", identities=rows.facts(0))


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
        a = rows.sample(p1, line, id1, *(value or None for value in sides[0](cells)))
        b = rows.sample(p2, line, id2, *(value or None for value in sides[1](cells)))
        fold = None if fold_of is None else _fold(fold_of(cells)[0], rows.place(line))
        value = _score(score, rows.place(line))
        rows.add(a, b, _agreeing(label, id1, id2, rows.place(line), "label"), value, line, fold)
    attributes = {name: rows.facts(number + 1) for number, name in enumerate(groups)}
    table = rows.table(f"BFW datatable, column {column}", identities=rows.facts(0), attributes=attributes)
    return _without_one_fold(table)


def _plain(path: Path, lines: Iterator[tuple[int, list[str]]], columns: Columns, column: str) -> ScoreTable:
    """Read ``a, b, genuine, score[, fold][, identity_a, identity_b][, NAME_a, NAME_b …]``; NAME is an attribute."""
    groups = _paired_columns(path, columns, column)
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
        a = rows.sample(name_a, line, first, *(value or None for value in sides[0](cells)))
        b = rows.sample(name_b, line, second, *(value or None for value in sides[1](cells)))
        genuine = _agreeing(label, first, second, rows.place(line), "genuine")
        fold = None if fold_of is None else _fold(fold_of(cells)[0], rows.place(line))
        rows.add(a, b, genuine, _score(score, rows.place(line)), line, fold)
    attributes = {name: rows.facts(number + 1) for number, name in enumerate(groups)}
    table = rows.table(f"scores, column {column}", identities=rows.facts(0) if known else None, attributes=attributes)
    return _without_one_fold(table if known else identities_from_genuine(table, str(path)))


def _paired_columns(path: Path, columns: Columns, column: str) -> list[str]:
    """Return the attributes of a plain CSV: the columns that come as NAME_a and NAME_b."""
    rest = [name for name in columns.names if name not in (*_PLAIN_FIXED, column)]
    groups = [name[:-2] for name in rest if name.endswith("_a") and f"{name[:-2]}_b" in rest]
    odd = [name for name in rest if name[:-2] not in groups or name[-2:] not in ("_a", "_b")]
    if odd:
        raise InputError(
            f"{path}, line 1: column {odd[0]!r} is unknown; a score file has {', '.join(PLAIN)}, optionally fold, "
            "identity_a and identity_b, and for each attribute NAME_a and NAME_b (another column of scores is chosen "
            "by #column=NAME)"
        )
    return groups


def _without_one_fold(table: ScoreTable) -> ScoreTable:
    from dataclasses import replace

    return replace(table, fold=None) if table.fold is not None and not table.fold.any() else table


def _need(rows: ScoreRows, line: int, **cells: str | None) -> None:
    empty = [name for name, cell in cells.items() if not cell]
    if empty:
        raise InputError(f"{rows.place(line)}: {empty[0]} is empty")


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
