"""BEE similarity and mask matrices (``.mtx``, ``.mask``), read without ever holding more than a block of rows."""

from __future__ import annotations

import re
from array import array
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.data.scores.rows import ScoreTable, count_once, identities_from_genuine
from facebench.errors import InputError

GENUINE, IMPOSTOR, IGNORED = 0xFF, 0x7F, 0x00
_KIND: dict[str, np.dtype[Any]] = {"MF": np.dtype(np.float32), "MB": np.dtype(np.uint8)}
_SIZES = re.compile(rb"(MF|MB) (\d{1,9}) (\d{1,9}) (.{4})\n", re.DOTALL)
_LITTLE, _BIG = b"\x78\x56\x34\x12", b"\x12\x34\x56\x78"
_BLOCK = 512


@dataclass(frozen=True, eq=False)
class Matrix:
    """A BEE matrix on disk: rows are probes (query), columns are targets."""

    path: Path
    distance: bool
    target: str
    query: str
    values: NDArray[Any]


def read_matrix(path: Path, kind: str) -> Matrix:
    """Open a matrix of `kind` ``MF`` (scores, float32) or ``MB`` (mask, uint8).

    The header is four lines: ``S2`` (similarities), ``D2`` (distances) or ``M2`` (a mask); the target set; the query
    set; and ``MF rows cols`` with four bytes that tell the byte order.

    Raises:
        InputError: names the line of the header that is wrong, or both sizes when the file is cut off.
    """
    try:
        with path.open("rb") as stream:
            lines = [stream.readline(4096) for _ in range(3)]
            start = stream.tell()
            found = _SIZES.match(stream.read(64))
            size = path.stat().st_size
    except FileNotFoundError:
        raise InputError(f"score file not found: {path}") from None
    except OSError as error:
        raise InputError(f"cannot read score file {path}: {error.strerror}") from error
    form = lines[0].strip().decode("latin-1")
    if form not in ("S2", "D2", "M2"):
        raise InputError(f"{path}, line 1: {form[:20]!r}; a BEE matrix begins with S2, D2 or M2")
    if not found:
        raise InputError(f"{path}, line 4: expected '{kind} rows columns' and four bytes that tell the byte order")
    if found[1].decode() != kind:
        what = "scores (MF, float32)" if kind == "MF" else "a mask (MB, bytes)"
        raise InputError(f"{path}, line 4: holds {found[1].decode()}, but here belong {what}")
    if found[4] not in (_LITTLE, _BIG):
        raise InputError(f"{path}, line 4: {found[4]!r} tells no byte order; the file is damaged")
    rows, columns = int(found[2]), int(found[3])
    dtype = _KIND[kind].newbyteorder("<" if found[4] == _LITTLE else ">")
    data = size - start - found.end()
    if not rows * columns or data != rows * columns * dtype.itemsize:
        raise InputError(
            f"{path}, line 4: promises {rows:,} x {columns:,} values, {rows * columns * dtype.itemsize:,} bytes; the "
            f"file has {data:,}; fetch it again"
        )
    values = np.memmap(path, dtype, "r", offset=start + found.end(), shape=(rows, columns))
    target, query = (line.strip().decode("utf-8", "replace") for line in lines[1:])
    return Matrix(path, form == "D2", target, query, values)


def read_bee(path: Path, mask_path: Path) -> ScoreTable:
    """Read a score matrix with its mask: 0xff genuine, 0x7f impostor, 0 left out; distances change sign.

    When both sets are one and the matrix is symmetric, every two samples are taken once.

    Raises:
        InputError: different sizes, another value in the mask, a score that is no number, or no impostor comparison.
    """
    scores, mask = read_matrix(path, "MF"), read_matrix(mask_path, "MB")
    if scores.values.shape != mask.values.shape:
        raise InputError(
            f"{mask_path}, line 4: the mask has {mask.values.shape} values, {path} has {scores.values.shape}"
        )
    same = scores.target == scores.query and scores.values.shape[0] == scores.values.shape[1]
    once = same and _symmetric(scores.values) and _symmetric(mask.values)
    a, b, genuine, found = array("i"), array("i"), bytearray(), array("d")
    for start in range(0, len(mask.values), _BLOCK):
        block, label = scores.values[start : start + _BLOCK], np.asarray(mask.values[start : start + _BLOCK])
        _check_block(scores, mask, block, label, start)
        rows, columns = np.nonzero(label)
        if same:
            keep = rows + start < columns if once else rows + start != columns
            rows, columns = rows[keep], columns[keep]
        a.frombytes(columns.astype(np.int32).tobytes())
        b.frombytes((rows + start).astype(np.int32).tobytes())
        genuine += (label[rows, columns] == GENUINE).tobytes()
        found.frombytes(block[rows, columns].astype(np.float64).tobytes())
    if not found:
        raise InputError(f"{mask_path}: the mask leaves out every comparison")
    n_queries, n_targets = mask.values.shape
    shift = 0 if same else n_targets
    names = [f"target {column}" for column in range(n_targets)]
    names += [] if same else [f"query {row}" for row in range(n_queries)]
    values = np.array(found)
    table = ScoreTable(
        format=f"BEE matrix, {n_queries:,} probes x {n_targets:,} targets",
        names=tuple(names),
        identities=None,
        a=np.array(a, np.int32),
        b=np.array(b, np.int32) + np.int32(shift),
        genuine=np.frombuffer(bytes(genuine), np.bool_),
        scores=-values if scores.distance else values,
        notes=("the matrix is symmetric; every two samples are taken once",) if once else (),
    )
    return identities_from_genuine(count_once(table, str(mask_path)), str(mask_path))


def _check_block(scores: Matrix, mask: Matrix, block: NDArray[Any], label: NDArray[Any], start: int) -> None:
    odd = np.argwhere((label != GENUINE) & (label != IMPOSTOR) & (label != IGNORED))
    if odd.size:
        row, column = (int(value) for value in odd[0])
        raise InputError(
            f"{mask.path}, row {start + row}, column {column}: the mask holds 0x{int(label[row, column]):02x}; "
            "known are 0xff (genuine), 0x7f (impostor) and 0x00 (left out)"
        )
    wrong = np.argwhere(~np.isfinite(block) & (label != IGNORED))
    failed = float("inf") if scores.distance else float("-inf")
    for row, column in wrong:
        if float(block[row, column]) != failed:
            raise InputError(
                f"{scores.path}, row {start + row}, column {column}: the score is {block[row, column]}; mask it out, "
                f"or write {failed} if the comparison failed"
            )


def _symmetric(values: NDArray[Any]) -> bool:
    return all(
        np.array_equal(values[start : start + _BLOCK], values[:, start : start + _BLOCK].T)
        for start in range(0, len(values), _BLOCK)
    )
