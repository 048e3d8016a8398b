"""Loads pickles of plain data without running anything they ask for.

A pickle can call any function of any module while it is loaded. This loader hands out its own stand-ins for the few
numpy functions that arrays need, and refuses every other name; no function of numpy is ever called by the file.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.errors import InputError

_DTYPE = re.compile(r"[|<>=]?([biufSU])(\d{1,5})")


@dataclass(frozen=True)
class Expected:
    """What a pickle should hold, and how errors speak of it.

    Attributes:
        dtypes: kinds of arrays, by numpy's letters: b, i, u, f, S, U.
        kind: what the file is: "an insightface .bin file".
        content: "a dataset holds only images and labels".
        arrays: what its arrays hold.
        encoding: of the texts Python 2 wrote.
    """

    dtypes: str
    kind: str
    content: str
    arrays: str
    encoding: str = "bytes"


def unpickle(data: bytes, where: str, expected: Expected) -> Any:
    """Return what a pickle holds: lists, tuples, dictionaries, words, numbers, bytes, and arrays as `PlainArray`.

    Raises:
        InputError: it asks for anything else, or it is damaged.
    """
    try:
        _check_memo(data)
        # Python-2 files hold their images as str, which only encoding="bytes" keeps intact
        return _Unpickler(io.BytesIO(data), expected).load()
    except _RefusedError as error:
        raise InputError(f"{where} is refused: {error}") from None
    except Exception as error:  # a damaged or hostile pickle fails in any way
        reason = str(error) or type(error).__name__
        raise InputError(f"{where} is not {expected.kind}, or it is damaged: {reason}") from error


def _check_memo(data: bytes) -> None:
    """Refuse a pickle that would make the unpickler reserve memory for entries or bytes it does not hold."""
    for count, (opcode, argument, _) in enumerate(pickletools.genops(data)):  # fails on lengths beyond the data
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and int(argument or 0) > count:
            raise _RefusedError(f"entry {argument} is stored before there are as many")


class _RefusedError(Exception):
    """The pickle asks for something no dataset needs."""


class _StandIn:
    """A function the pickle may call; unlike a plain function, the pickle cannot set attributes on it."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *arguments: Any) -> Any:
        return self._function(*arguments)

    def __setstate__(self, state: object) -> None:
        raise _RefusedError("it tries to change a function")


class _DType:
    """Stands in for ``numpy.dtype``: plain values of the kinds that are expected."""

    __slots__ = ("_code", "dtype")

    def __init__(self, code: object, expected: Expected) -> None:
        match = _DTYPE.fullmatch(_text(code))
        if not match or match[1] not in expected.dtypes or (match[1] in "biuf") > (match[2] in "1248"):
            raise _RefusedError(f"it holds an array of {_text(code)!r}; {expected.arrays}")
        self._code = match[1] + match[2]
        self.dtype = np.dtype(_text(code))

    def __setstate__(self, state: object) -> None:
        if not (isinstance(state, tuple) and len(state) >= 5 and state[2:5] == (None, None, None)):
            raise _RefusedError("it holds an array of records")
        order = _text(state[1])
        if order not in ("<", ">", "=", "|"):
            raise _RefusedError(f"it holds an array of unknown byte order {order!r}")
        self.dtype = np.dtype(order + self._code)


class PlainArray:
    """Stands in for ``numpy.ndarray``: filled by its state, never by code."""

    __slots__ = ("values",)

    def __init__(self) -> None:
        self.values: NDArray[Any] = np.empty(0, np.uint8)

    def __setstate__(self, state: object) -> None:
        if not (isinstance(state, tuple) and len(state) == 5):
            raise _RefusedError("it holds an array in an unknown form")
        _, shape, dtype, fortran, raw = state
        self.values = _values(raw, dtype, shape, "F" if fortran else "C")


def _values(raw: object, dtype: object, shape: object, order: object) -> NDArray[Any]:
    if not (isinstance(raw, bytes | bytearray) and isinstance(dtype, _DType) and isinstance(shape, tuple)):
        raise _RefusedError("it holds an array in an unknown form")
    if not all(isinstance(size, int) and size >= 0 for size in shape) or len(shape) > 3:
        raise _RefusedError(f"it holds an array of shape {shape}")
    if math.prod(shape) * dtype.dtype.itemsize != len(raw):
        raise _RefusedError(f"an array of shape {shape} is given with {len(raw)} bytes")
    return np.frombuffer(bytes(raw), dtype.dtype).reshape(shape, order="F" if _text(order) == "F" else "C")


def _text(value: object) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _refuse_call(*_: object) -> Any:
    raise _RefusedError("it makes an array in an unknown way")


_NDARRAY = _StandIn(_refuse_call)


def _reconstruct(kind: object, *_: object) -> PlainArray:
    return PlainArray() if kind is _NDARRAY else _refuse_call()


def _scalar(dtype: object, raw: object = b"") -> Any:
    return _values(raw, dtype, (), "C").item()


def _frombuffer(raw: object, dtype: object, shape: object, order: object = "C") -> PlainArray:
    array = PlainArray()
    array.values = _values(raw, dtype, shape, order)
    return array


def _encode(text: object, encoding: object = "") -> bytes:
    if not isinstance(text, str) or _text(encoding) not in ("latin1", "latin-1"):
        raise _RefusedError("it encodes text in an unknown way")
    return text.encode("latin-1")


_DTYPE_NAME = ("numpy", "dtype")
_MULTIARRAY = {"_reconstruct": _StandIn(_reconstruct), "scalar": _StandIn(_scalar)}
_ALLOWED: dict[str, dict[str, _StandIn]] = {
    "numpy": {"ndarray": _NDARRAY},
    "numpy.core.multiarray": _MULTIARRAY,
    "numpy._core.multiarray": _MULTIARRAY,
    "numpy.core.numeric": {"_frombuffer": _StandIn(_frombuffer)},
    "numpy._core.numeric": {"_frombuffer": _StandIn(_frombuffer)},
    "_codecs": {"encode": _StandIn(_encode)},
}


class _Unpickler(pickle.Unpickler):
    """An unpickler that hands out stand-ins and nothing else."""

    def __init__(self, stream: io.BytesIO, expected: Expected) -> None:
        super().__init__(stream, encoding=expected.encoding)
        self._expected = expected
        self._dtype = _StandIn(lambda code=None, *_: _DType(code, expected))

    def find_class(self, module: str, name: str) -> _StandIn:
        """Return the stand-in for a name, or refuse."""
        if (module, name) == _DTYPE_NAME:
            return self._dtype
        try:
            return _ALLOWED[module][name]
        except KeyError:
            raise _RefusedError(
                f"it asks to load {module}.{name}, but {self._expected.content}; do not trust this file"
            ) from None
