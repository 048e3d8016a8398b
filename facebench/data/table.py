"""Tables of text cells from CSV or Parquet, with the place of every row for error messages."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from facebench.errors import InputError

MAX_UNPACKED = 2**28  # a Parquet file may unpack to this much, or to MAX_RATIO times its own size
MAX_RATIO = 50
TEXT_COLUMNS = ("image_id", "path", "identity", "template_id", "media_id", "image_a", "image_b")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(nan|inf|infinity)", re.IGNORECASE | re.ASCII)


def is_whole(text: str) -> bool:
    """Return whether text is a whole number from 0 in plain digits, of at most 18.

    >>> is_whole("12"), is_whole("-1"), is_whole("\N{SUPERSCRIPT TWO}")
    (True, False, False)
    """
    return text.isascii() and text.isdigit() and len(text) <= 18


@dataclass(frozen=True, eq=False)
class Table:
    """Columns of text cells; surrounding blanks are cut off, an empty cell is ``""``."""

    where: str
    columns: dict[str, list[str]]
    rows: Sequence[int]  # the number each row has in its file
    unit: str  # "line" of a CSV, "row" of a Parquet file

    def __len__(self) -> int:
        return len(self.rows)

    def place(self, row: int) -> str:
        """Return where a row lies, such as ``manifest.csv, line 3``."""
        return f"{self.where}, {self.unit} {self.rows[row]}"

    def places(self, rows: Iterable[int], limit: int = 5) -> str:
        """Return where several rows lie, such as ``manifest.csv, lines 3, 8 and 12 more``."""
        rows = list(rows)
        shown = ", ".join(str(self.rows[row]) for row in islice(rows, limit))
        more = f" and {len(rows) - limit:,} more" if len(rows) > limit else ""
        return f"{self.where}, {self.unit}{'s' * (len(rows) > 1)} {shown}{more}"


def read_table(data: bytes, where: str, *, parquet: bool) -> Table:
    """Read a table with a header from the bytes of a CSV (UTF-8, commas) or Parquet file.

    Raises:
        InputError: not such a file, a row with too few or too many cells, a column without a name or given twice,
            a control character in a cell, or no row.
    """
    table = _read_parquet(data, where) if parquet else _read_csv(data, where)
    if not len(table):
        raise InputError(f"{where} has a header but no rows")
    check_printable(table)
    return table


def check_printable(table: Table) -> None:
    """Refuse control characters in a cell."""
    for name, cells in table.columns.items():
        if not all(map(str.isprintable, cells)):
            row = next(row for row, cell in enumerate(cells) if not cell.isprintable())
            raise InputError(f"{table.place(row)}: {name} {cells[row]!r} contains control characters; remove them")


def is_number(cell: str) -> bool:
    """Tell whether a cell is written as a number of a table is."""
    return _NUMBER.fullmatch(cell) is not None


def number_column(table: Table, name: str) -> tuple[float | None, ...] | None:
    """Return a column as numbers, an empty cell as None; or None when some cell is not a number.

    Raises:
        InputError: a cell says nan or inf.
    """
    cells = table.columns[name]
    different = set(cells) - {""}
    numeric = _all_numbers(different)
    _refuse_nan(table, name, different, numeric)
    if not different or not numeric:
        return None
    return tuple(float(cell) + 0.0 if cell else None for cell in cells)  # + 0.0 turns -0.0 into 0.0


def _all_numbers(cells: Collection[str]) -> bool:
    """Tell whether all cells are numbers; the first decides for most columns of words."""
    return bool(cells) and is_number(next(iter(cells))) and all(map(_NUMBER.fullmatch, cells))


def _refuse_nan(table: Table, name: str, different: Collection[str], numeric: bool) -> None:
    """Refuse cells that say "nan", the trace of a missing value written as text, and infinite numbers."""
    wrong = {cell for cell in different if len(cell) == len("nan") and cell.lower() == "nan"}
    if numeric:
        wrong |= {cell for cell in different if not math.isfinite(float(cell))}
    if wrong:
        row, cell = next((row, cell) for row, cell in enumerate(table.columns[name]) if cell in wrong)
        raise InputError(f"{table.place(row)}: {name} is {cell!r}; leave the cell empty if the value is unknown")


def _read_csv(data: bytes, where: str) -> Table:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(f"{where}, line {line}: not UTF-8 text; save the file as UTF-8") from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = _check_header([cell.strip() for cell in next(reader, [])], where)
        rows, numbers = [], []
        start = reader.line_num
        for cells in reader:
            start, line = reader.line_num, start + 1
            if not cells:
                continue
            if len(cells) != len(header):
                raise InputError(f"{where}, line {line}: {len(cells)} cells, but the header has {len(header)}")
            rows.append(cells)
            numbers.append(line)
    except csv.Error as error:
        raise InputError(f"{where}, line {reader.line_num}: not valid CSV: {error}") from None
    columns = {name: [row[column].strip() for row in rows] for column, name in enumerate(header)}
    return Table(where, columns, numbers, "line")


def check_commas(header: Sequence[str], where: str) -> None:
    """Refuse a header whose columns are separated by something else than commas."""
    for sign, name in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
        if len(header) == 1 and sign in header[0]:
            raise InputError(
                f"{where}, line 1: the columns are separated by {name}; save the file with commas between columns and "
                "points in numbers"
            )


def _check_header(header: list[str], where: str) -> list[str]:
    if not header or header == [""]:
        raise InputError(f"{where} is empty; its first line names the columns")
    check_commas(header, where)
    for position, name in enumerate(header):
        if not name:
            hint = " (an index column written by pandas? Write with index=False)" if position == 0 else ""
            raise InputError(f"{where}: column {position + 1} has no name{hint}")
        if header.index(name) < position:
            raise InputError(f"{where}: column {name!r} is given twice")
    return header


def _read_parquet(data: bytes, where: str) -> Table:
    import pyarrow
    import pyarrow.parquet

    try:
        check_parquet(pyarrow.parquet.ParquetFile(pyarrow.BufferReader(data)).metadata, len(data), where)
        table = pyarrow.parquet.read_table(pyarrow.BufferReader(data))
        header = _check_header([str(name) for name in table.column_names], where)
        for name, kind in zip(header, table.schema.types, strict=True):
            _check_type(name, kind, where)
        cells = [[_cell(value) for value in column.to_pylist()] for column in table.columns]
    except UnicodeDecodeError:
        raise InputError(f"{where} holds text that is not UTF-8; write the file again") from None
    except (pyarrow.ArrowException, OSError) as error:
        raise InputError(f"{where} is not a Parquet file that can be read: {error}") from None
    return Table(where, dict(zip(header, cells, strict=True)), range(1, table.num_rows + 1), "row")


def check_parquet(facts: Any, size: int, where: str) -> None:
    """Refuse a Parquet file that unpacks to implausibly much for its size, as its own metadata promise."""
    unpacked = sum(facts.row_group(group).total_byte_size for group in range(facts.num_row_groups))
    values = facts.num_rows * facts.num_columns
    if max(unpacked, 8 * values) > max(MAX_UNPACKED, MAX_RATIO * size):
        raise InputError(f"{where} would unpack from {size:,} to {max(unpacked, 8 * values):,} bytes; refused")


def _check_type(name: str, kind: Any, where: str) -> None:
    from pyarrow import types

    if types.is_dictionary(kind):
        kind = kind.value_type
    text = types.is_string(kind) or types.is_large_string(kind) or types.is_null(kind)
    if text or types.is_integer(kind):
        return
    if name in TEXT_COLUMNS or not (types.is_floating(kind) or types.is_boolean(kind)):
        wanted = "text or whole numbers" if name in TEXT_COLUMNS else "text, numbers or true/false"
        raise InputError(f"{where}: column {name!r} holds {kind}; save it as {wanted}")


def _cell(value: object) -> str:
    """Return a Parquet value as the text it would have in a CSV file."""
    return "" if value is None else str(value).strip()
