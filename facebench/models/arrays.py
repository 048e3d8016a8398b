"""Reads numpy's own files, ``.npy`` and ``.npz``: their promises are held against their size before memory is taken."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from facebench.data.sources import BAD_ARCHIVE
from facebench.errors import InputError
from facebench.files import check_file

_MAX_UNPACKED = 2**30  # an archive may unpack to this much, or to _MAX_RATIO times its own size
_MAX_RATIO = 20
_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def read_npy(path: Path) -> NDArray[Any]:
    """Map an array into memory, for reading only; parts of it are read when they are used.

    Raises:
        InputError: no such file, damaged, of Python objects, or shorter or longer than its header says.
    """
    size = check_file(path, "array")
    with path.open("rb") as stream:
        shape, fortran, dtype, start = _header(stream, size, str(path))
        wanted = math.prod(shape) * dtype.itemsize
        if size != start + wanted:
            raise InputError(f"{path}: promises {wanted:,} bytes of values; there are {size - start:,}")
        if not wanted:
            return np.zeros(shape, dtype)
        return np.asarray(np.memmap(stream, dtype, "r", start, shape, "F" if fortran else "C"))


def read_npz(path: Path) -> dict[str, NDArray[Any]]:
    """Read every array of an archive.

    Raises:
        InputError: as `read_npy`; also an archive that unpacks to implausibly much.
    """
    packed = check_file(path, "archive of arrays")
    try:
        with zipfile.ZipFile(path) as archive:
            members = [info for info in archive.infolist() if info.filename.endswith(".npy")]
            total = sum(info.file_size for info in members)
            if total > max(_MAX_UNPACKED, _MAX_RATIO * packed):
                raise InputError(
                    f"{path} would unpack from {packed:,} to {total:,} bytes; refused as a likely zip bomb"
                )
            found = {}
            for info in members:
                name = info.filename.removesuffix(".npy")
                with archive.open(info) as stream:
                    found[name] = _array(stream, info.file_size, f"{path}, array {name!r}")
            return found
    except BAD_ARCHIVE as error:
        raise InputError(f"{path}: not an .npz file that can be read: {error or type(error).__name__}") from error


def _header(stream: IO[bytes], size: int, where: str) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    """Return shape, whether in Fortran's order, type and place of the values; a file of `size` bytes can hold them."""
    try:
        version = npy.read_magic(stream)
        shape, fortran, dtype = _HEADERS[version](stream)
        start = npy.MAGIC_LEN + (2 if version == (1, 0) else 4)
    except Exception as error:  # the header is a Python literal; numpy fails on damaged ones in many ways
        raise InputError(f"{where}: not an array that can be read: its header is damaged") from error
    if dtype.hasobject:
        raise InputError(f"{where}: holds Python objects, which would run code; save numbers, or text as dtype str")
    wanted = math.prod(shape) * dtype.itemsize
    if any(length < 0 for length in shape) or not wanted <= size - start:
        raise InputError(f"{where}: promises the shape {shape} of {dtype}, {wanted:,} bytes; there are {size:,} in all")
    return shape, fortran, dtype, stream.tell()


def _array(stream: IO[bytes], size: int, where: str) -> NDArray[Any]:
    shape, fortran, dtype, _ = _header(stream, size, where)
    wanted = math.prod(shape) * dtype.itemsize
    data = stream.read(wanted + 1)
    if len(data) != wanted:
        raise InputError(f"{where}: promises {wanted:,} bytes of values; there are {len(data):,} or more")
    try:
        values = np.frombuffer(data, dtype) if wanted else np.zeros(math.prod(shape), dtype)
        return values.reshape(shape, order="F" if fortran else "C")
    except (ValueError, TypeError) as error:
        raise InputError(f"{where}: not an array that can be read: {error}") from error
