"""Reads insightface ``.bin`` files: pickles of images and labels, loaded without running anything they ask for.

A pickle can call any function of any module while it is loaded. This reader hands out its own stand-ins for the
few numpy functions such files use, and refuses every other name; no function of numpy is ever called by the file.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.data.dataset import Dataset, PairList
from facebench.data.pairs import OWN_PAIRS
from facebench.data.sources import BytesSource, ImageSource, PixelSource
from facebench.data.trees import Tree
from facebench.errors import InputError

FOLDS = 10
_DTYPE = re.compile(r"[|<>=]?([biu])([1248])")


def bin_files(tree: Tree) -> list[str]:
    """Return the names of the ``.bin`` files at the top of a tree."""
    return [name for name in tree.top() if name.lower().endswith(".bin")]


def read_bin(tree: Tree, file: str, name: str, pairs: str | None) -> Dataset:
    """Read the ``.bin`` called `file`: pair i compares images 2i and 2i + 1; identities are unknown.

    The pairs are in ten folds when their number divides by ten: fold k is the k-th tenth, in the order of the file,
    as insightface's ``verification.py`` cuts them (scikit-learn's unshuffled ``KFold``).

    Raises:
        InputError: not such a file, unequal lengths, entries that are no images, or a pickle that asks for more
            than images and labels.
    """
    where = tree.where(file)
    if pairs not in (None, OWN_PAIRS):
        raise InputError(f"{where} brings its own pairs; it cannot be used with the pair list {pairs!r}")
    bins, labels = _load(tree.read(file, "dataset"), where)
    images = tuple(_source(entry, f"{where}, image {position}") for position, entry in enumerate(bins))
    n_pairs = len(labels)
    first = np.arange(0, 2 * n_pairs, 2, dtype=np.int64)
    fold = np.arange(n_pairs, dtype=np.int64) // (n_pairs // FOLDS) if n_pairs % FOLDS == 0 else None
    return Dataset(
        name=name,
        root=tree.root,
        image_ids=tuple(f"{position:06d}" for position in range(len(images))),
        images=images,
        pairs=PairList(first, first + 1, labels, fold),
        format=file,
    )


def _load(data: bytes, where: str) -> tuple[Sequence[Any], NDArray[np.bool_]]:
    """Return the images as they are stored, and the labels."""
    content = _unpickle(data, where)
    if not (isinstance(content, tuple | list) and len(content) == 2 and isinstance(content[0], tuple | list)):
        raise InputError(f"{where} is no insightface dataset; expected a pair of lists: images and labels")
    bins, labels = content[0], _labels(content[1], where)
    if not len(labels):
        raise InputError(f"{where} holds no pairs")
    if len(bins) != 2 * len(labels):
        raise InputError(
            f"{where} holds {len(bins):,} images for {len(labels):,} pairs, which need {2 * len(labels):,}; "
            "the file is damaged or of another kind"
        )
    return bins, labels


def _unpickle(data: bytes, where: str) -> Any:
    try:
        _check_memo(data)
        # Python-2 files hold their images as str, which only encoding="bytes" keeps intact
        return _Unpickler(io.BytesIO(data), encoding="bytes").load()
    except _RefusedError as error:
        raise InputError(f"{where} is refused: {error}") from None
    except Exception as error:  # a damaged or hostile pickle fails in any way
        reason = str(error) or type(error).__name__
        raise InputError(f"{where} is not an insightface .bin file, or it is damaged: {reason}") from error


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
    """Stands in for ``numpy.dtype``: true/false and whole numbers only."""

    __slots__ = ("_code", "dtype")

    def __init__(self, code: object, *_: object) -> None:
        match = _DTYPE.fullmatch(_text(code))
        if not match:
            raise _RefusedError(f"it holds an array of {_text(code)!r}; images and labels are bytes or whole numbers")
        self._code = match[1] + match[2]
        self.dtype = np.dtype(_text(code))

    def __setstate__(self, state: object) -> None:
        if not (isinstance(state, tuple) and len(state) >= 5 and state[2:5] == (None, None, None)):
            raise _RefusedError("it holds an array of records")
        order = _text(state[1])
        if order not in ("<", ">", "=", "|"):
            raise _RefusedError(f"it holds an array of unknown byte order {order!r}")
        self.dtype = np.dtype(order + self._code)


class _Array:
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


def _reconstruct(kind: object, *_: object) -> _Array:
    return _Array() if kind is _NDARRAY else _refuse_call()


def _scalar(dtype: object, raw: object = b"") -> Any:
    return _values(raw, dtype, (), "C").item()


def _frombuffer(raw: object, dtype: object, shape: object, order: object = "C") -> _Array:
    array = _Array()
    array.values = _values(raw, dtype, shape, order)
    return array


def _encode(text: object, encoding: object = "") -> bytes:
    if not isinstance(text, str) or _text(encoding) not in ("latin1", "latin-1"):
        raise _RefusedError("it encodes text in an unknown way")
    return text.encode("latin-1")


_MULTIARRAY = {"_reconstruct": _StandIn(_reconstruct), "scalar": _StandIn(_scalar)}
_ALLOWED: dict[str, dict[str, _StandIn]] = {
    "numpy": {"ndarray": _NDARRAY, "dtype": _StandIn(_DType)},
    "numpy.core.multiarray": _MULTIARRAY,
    "numpy._core.multiarray": _MULTIARRAY,
    "numpy.core.numeric": {"_frombuffer": _StandIn(_frombuffer)},
    "numpy._core.numeric": {"_frombuffer": _StandIn(_frombuffer)},
    "_codecs": {"encode": _StandIn(_encode)},
}


class _Unpickler(pickle.Unpickler):
    """An unpickler that hands out stand-ins and nothing else."""

    def find_class(self, module: str, name: str) -> _StandIn:
        """Return the stand-in for a name, or refuse."""
        try:
            return _ALLOWED[module][name]
        except KeyError:
            raise _RefusedError(
                f"it asks to load {module}.{name}, but a dataset holds only images and labels; do not trust this file"
            ) from None


def _labels(value: Any, where: str) -> NDArray[np.bool_]:
    values = value.values.tolist() if isinstance(value, _Array) else value
    if not isinstance(values, list | tuple):
        raise InputError(f"{where}: the labels are no list; expected true or false for each pair")
    for position, label in enumerate(values):
        if not (isinstance(label, int) and label in (0, 1)):
            raise InputError(f"{where}: the label of pair {position} is {label!r:.80}; expected true or false")
    return np.array(values, dtype=np.bool_)


def _source(entry: object, where: str) -> ImageSource:
    """Return one image: encoded bytes, an array of encoded bytes (n,), or pixels (H, W) or (H, W, 3) in RGB order."""
    if isinstance(entry, bytes):
        return BytesSource(entry, where)
    if isinstance(entry, _Array) and entry.values.dtype == np.uint8 and entry.values.size:
        values = entry.values
        if values.ndim == 1:
            return BytesSource(values.tobytes(), where)
        if values.ndim == 2 or values.shape[2] == 3:
            return PixelSource(values, where)
    raise InputError(f"{where}: expected an encoded image or an array of bytes (height, width, 3)")
