"""Compiled kernels and the types they share; with `_instructions`, the only place where numba is imported."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeAlias, TypeVar, cast

import numba
import numpy as np
import numpy.typing as npt

FloatArray: TypeAlias = npt.NDArray[np.float64]
IntArray: TypeAlias = npt.NDArray[np.int64]
ByteArray: TypeAlias = npt.NDArray[np.uint8]
BoolArray: TypeAlias = npt.NDArray[np.bool_]
Record: TypeAlias = Any
"""A numpy record whose fields are the names of a parameter table; numba reads them as attributes."""

_Function = TypeVar("_Function", bound=Callable[..., Any])


def kernel(function: _Function) -> _Function:
    """Compile `function` with numba and keep the machine code on disk.

    `fastmath` stays off: reassociated sums would make images depend on the compiler. Where no cache folder can
    be written (a read-only installation without a home folder), the kernel is compiled anew in each process.

    Kernels take the arrays they need, scratch space included, and make none: so numba can be told to leave out the
    counting of references (`_nrt`), whose locked increments took a twentieth of the time of a picture.
    """
    return _compiled(function, inline=False)


def inlined(function: _Function) -> _Function:
    """A kernel whose code is copied into its callers.

    For those that run once per sample or vertex: a call saves registers and copies every array's description, which
    takes longer than many of these functions.
    """
    return _compiled(function, inline=True)


def _compiled(function: _Function, inline: bool) -> _Function:
    compile_ = partial(numba.njit, nogil=True, fastmath=False, error_model="numpy", forceinline=inline, _nrt=False)
    compiled: Any
    try:
        compiled = compile_(cache=True)(function)
    except RuntimeError:
        compiled = compile_()(function)
    _tie_cache_to_all_sources(compiled)
    return cast(_Function, compiled)


def _tie_cache_to_all_sources(compiled: Any) -> None:
    """Make the stored code stale when any file with kernels changes.

    By itself numba watches the kernel's own file only, although code from other files is compiled into it: after an
    update, old noise would live on in new shading. Tables of parameters reach kernels as types, which numba tells
    apart itself.
    """
    index: Any = getattr(getattr(compiled, "_cache", None), "_cache_file", None)
    if index is not None and hasattr(index, "_source_stamp"):
        index._source_stamp = _sources_digest()


@cache
def _sources_digest() -> str:
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        content = path.read_bytes()
        if any(mark in content for mark in (b"@kernel\n", b"@inlined\n", b"@intrinsic\n")):
            digest.update(path.name.encode() + content)
    return digest.hexdigest()
