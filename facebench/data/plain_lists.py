"""Reads long lists of plain cells by column, in compiled code.

What is not plain (a quote, a blank too many, a cell of another kind) gives None: the caller then goes line by line,
reads what can be read, and names the file and the line of what cannot.
"""

from __future__ import annotations

import io
from typing import Any

PLAIN = bytes(sign for sign in range(0x20, 0x7F) if sign != ord('"')) + b"\r\n"
TEXT, NUMBER, WHOLE, LONG = "string", "float64", "int32", "int64"


def read_columns(data: bytes, kinds: list[str] | None, *, separator: str, blank_lines: bool = True) -> list[Any] | None:
    """Return the columns of a list as PyArrow arrays, or None where it is not plain.

    Args:
        data: the file.
        kinds: of each column, `TEXT`, `NUMBER`, `WHOLE` or `LONG`; None where the first line names the
            columns, all of text.
        separator: one character between cells.
        blank_lines: whether lines without anything are passed over; otherwise they are not plain.
    """
    import pyarrow as pa
    from pyarrow import csv

    if not data or data.translate(None, PLAIN):
        return None
    names = _header(data, separator) if kinds is None else [str(column) for column in range(len(kinds))]
    if names is None:
        return None
    types = dict(zip(names, kinds or [TEXT] * len(names), strict=True))
    reading = csv.ReadOptions(column_names=names, skip_rows=int(kinds is None))
    parsing = csv.ParseOptions(delimiter=separator, quote_char=False, ignore_empty_lines=blank_lines)
    converting = csv.ConvertOptions(column_types=types, null_values=[], strings_can_be_null=False)
    try:
        table = csv.read_csv(io.BytesIO(data), reading, parsing, converting)
    except pa.ArrowException:
        return None
    return [column.combine_chunks() for column in table.columns]


def give_back_memory() -> None:
    """Give the system the memory that lists took and that is free again, which PyArrow would keep for other lists."""
    import pyarrow as pa

    pa.default_memory_pool().release_unused()


def words_of(column: Any) -> tuple[str, ...]:
    """Return the words of a column; equal words are one object, of which there may be few."""
    coded = column.dictionary_encode()
    words = coded.dictionary.to_pylist()
    return tuple(map(words.__getitem__, coded.indices.to_pylist()))


def _header(data: bytes, separator: str) -> list[str] | None:
    """Return the names in the first line, or None where one is missing or given twice."""
    names = [name.strip() for name in data.split(b"\n", 1)[0].decode().strip().split(separator)]
    return names if all(names) and len(set(names)) == len(names) else None
