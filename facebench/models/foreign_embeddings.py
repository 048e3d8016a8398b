"""Embeddings as other tools save them (pickles, CSV, HDF5), turned into the .npz that FaceBench reads.

Known forms of a pickle: {id: vector}; {"embeddings": [...], "filenames": [...]}; a list of {"identity": path,
"embedding": [...]} as deepface writes it; a list of (id, vector). Nothing in a pickle is ever run.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from facebench.data.plain_pickle import Expected, PlainArray, unpickle
from facebench.errors import InputError
from facebench.files import read_bytes, read_text, write_atomic

SUFFIXES = (".pkl", ".pickle", ".csv", ".h5", ".hdf5")
Ids = Literal["as-is", "name", "stem"]

_IDS = ("image_ids", "image_id", "ids", "filenames", "filename", "files", "file", "paths", "path", "img_path", "image",
        "imagepath", "identity")  # fmt: skip
_VECTORS = (
    "embeddings",
    "embedding",
    "embs",
    "encodings",
    "encoding",
    "features",
    "feature",
    "representation",
    "vector",
)
_EXPECTED = Expected(
    "biufSU", "a pickle", "files of embeddings are converted only if they hold plain arrays, lists, words and numbers",
    "embeddings are numbers, ids are words", encoding="latin-1",
)  # fmt: skip


@dataclass(frozen=True)
class Converted:
    """What was written: how many rows of how many values, and how many images had no vector."""

    n_rows: int
    n_values: int
    n_missing: int


def convert_embeddings(source: Path, out: Path, ids: Ids = "as-is") -> Converted:
    """Write the embeddings of a file of another tool as .npz: ``embeddings`` (N, D) float32 and ``image_ids`` (N,).

    Images without a vector (no face found) become rows of NaN, which count as failures.

    Args:
        source: .pkl, .pickle, .csv or .h5; a CSV has the id first, and may have a header.
        out: the .npz to write.
        ids: keep ids ``as-is``, the ``name`` of a path, or its ``stem``, without the ending.

    Raises:
        InputError: an unknown form, code inside, unequal lengths, or ids that occur twice.
        WriteError: the file cannot be written.
    """
    if out.suffix != ".npz":
        raise InputError(f"{out}: the converted file must end with .npz")
    suffix = source.suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(f"{source}: only {', '.join(SUFFIXES)} are converted; other files need none")
    rows = list(_csv(source) if suffix == ".csv" else _hdf5(source) if suffix in (".h5", ".hdf5") else _pickle(source))
    if not rows:
        raise InputError(f"{source} holds no embeddings")
    names = [_renamed(name, ids) for name, _ in rows]
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise InputError(
                f"{source}: the id {name!r:.80} occurs twice; every row needs an image of its own (names of people are "
                "no ids of images)"
            )
        seen.add(name)
    vectors = _stacked(source, names, [vector for _, vector in rows])
    write_atomic(out, lambda stream: np.savez(stream, embeddings=vectors, image_ids=np.array(names)))
    return Converted(len(names), vectors.shape[1], int(np.isnan(vectors).any(axis=1).sum()))


def _renamed(name: str, ids: Ids) -> str:
    path = PurePosixPath(name.replace("\\", "/"))
    return {"as-is": name, "name": path.name, "stem": path.stem}[ids]


def _stacked(source: Path, names: Sequence[str], vectors: Sequence[NDArray[np.float32] | None]) -> NDArray[np.float32]:
    sizes = {vector.size: name for name, vector in zip(names, vectors, strict=True) if vector is not None}
    if not sizes:
        raise InputError(f"{source}: not one entry holds a vector")
    if len(sizes) > 1:
        (one, first), (other, second) = list(sizes.items())[:2]
        raise InputError(
            f"{source}: {first!r:.80} has {one} values and {second!r:.80} has {other}; they need one length"
        )
    found = np.full((len(names), next(iter(sizes))), np.nan, np.float32)
    for row, vector in enumerate(vectors):
        if vector is not None:
            found[row] = vector
    return found


def _csv(source: Path) -> Iterator[tuple[str, NDArray[np.float32] | None]]:
    text = read_text(source, "embeddings")
    delimiter = ";" if text.partition("\n")[0].count(";") else ","
    for number, cells in enumerate(csv.reader(io.StringIO(text), delimiter=delimiter), start=1):
        if not cells or (number == 1 and len(cells) > 1 and not _is_number(cells[1])):
            continue  # the header
        values = [cell for cell in cells[1:] if cell.strip()]
        if not all(_is_number(cell) for cell in values):
            odd = next(cell for cell in values if not _is_number(cell))
            raise InputError(f"{source}, line {number}: {odd!r:.40} is no number; a row is an id and its values")
        yield cells[0], np.array(values, np.float32) if values else None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _hdf5(source: Path) -> Iterator[tuple[str, NDArray[np.float32] | None]]:
    try:
        import h5py
    except ImportError:
        raise InputError(
            f"{source}: reading HDF5 needs the package h5py (pip install h5py); or save the arrays as .npz: "
            "numpy.savez(OUT, embs=f['embs'][:], filenames=f['filenames'].asstr()[:])"
        ) from None
    try:
        with h5py.File(source, "r") as stored:
            arrays = {name: stored[name][()] for name in stored if isinstance(stored[name], h5py.Dataset)}
    except OSError as error:
        raise InputError(f"{source}: not a readable HDF5 file: {error}") from error
    yield from _entries(source, {name: values.tolist() for name, values in arrays.items()})


def _pickle(source: Path) -> Iterator[tuple[str, NDArray[np.float32] | None]]:
    content = unpickle(read_bytes(source, "embeddings"), str(source), _EXPECTED)
    yield from _entries(source, content)


def _entries(source: Path, content: Any) -> Iterator[tuple[str, NDArray[np.float32] | None]]:
    content = _plain(content)
    if isinstance(content, Mapping):
        vectors, ids = _column(content, _VECTORS), _column(content, _IDS)
        if vectors is not None and ids is None:
            raise InputError(f"{source}: no list of image ids ({', '.join(_IDS[:6])}, ...) beside the vectors")
        if vectors is None:
            pairs = list(content.items())
        elif len(vectors) != len(ids or ()):
            raise InputError(f"{source}: {len(vectors)} embeddings, but {len(ids or ())} image ids")
        else:
            pairs = list(zip(ids or (), vectors, strict=True))
    elif isinstance(content, list | tuple):
        pairs = [_pair(source, entry, place) for place, entry in enumerate(content)]
    else:
        raise InputError(f"{source} holds {type(content).__name__}; expected embeddings by image id")
    for name, values in pairs:
        text = name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name)
        yield text, _vector(source, text, values)


def _column(content: Mapping[Any, Any], names: Sequence[str]) -> list[Any] | None:
    """Return the list kept under one of the names; a single vector under it belongs to an image of that name."""
    found = next((_plain(content[name]) for name in names if name in content), None)
    return list(found) if isinstance(found, list | tuple | np.ndarray) else None


def _pair(source: Path, entry: Any, place: int) -> tuple[Any, Any]:
    if isinstance(entry, Mapping):
        name = next((entry[key] for key in _IDS if key in entry), None)
        if name is not None:
            return name, next((entry[key] for key in _VECTORS if key in entry), None)
    elif isinstance(entry, list | tuple) and len(entry) == 2:
        return entry[0], entry[1]
    raise InputError(
        f"{source}, entry {place}: expected an image id and its vector, such as {{'identity': ..., 'embedding': ...}}"
    )


def _vector(source: Path, name: str, values: Any) -> NDArray[np.float32] | None:
    """Return the values of one image, or None: tools write nothing, or an empty list, where no face was found."""
    values = _plain(values)
    if isinstance(values, Mapping):
        values = next((_plain(values[key]) for key in _VECTORS if key in values), None)
    if isinstance(values, list | tuple):
        values = [_plain(value) for value in values]
    try:
        found = np.array([] if values is None else values, np.float32)
    except (TypeError, ValueError):
        raise InputError(f"{source}: what is kept for {name!r:.80} is no vector of numbers") from None
    found = found.reshape(-1) if found.ndim < 2 or found.shape[0] == 1 else found
    if found.ndim > 1:
        raise InputError(f"{source}: {name!r:.80} has {found.shape[0]} vectors (several faces); keep one per image")
    return found if found.size and np.isfinite(found).all() else None


def _plain(value: Any) -> Any:
    return value.values if isinstance(value, PlainArray) else value
