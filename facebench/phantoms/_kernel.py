"""The one place where numba is imported: compiled kernels and the types they share."""

from __future__ import annotations

from collections.abc import Callable
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
    """
    compiled: Any
    try:
        compiled = numba.njit(cache=True, nogil=True, fastmath=False, error_model="numpy")(function)
    except RuntimeError:
        compiled = numba.njit(nogil=True, fastmath=False, error_model="numpy")(function)
    return cast(_Function, compiled)
