"""Reads insightface ``.bin`` files: pickles of images and labels, loaded without running anything they ask for.

See `facebench.data.plain_pickle`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.data.dataset import Dataset, PairList
from facebench.data.pairs import OWN_PAIRS
from facebench.data.plain_pickle import Expected, PlainArray, unpickle
from facebench.data.sources import BytesSource, ImageSource, PixelSource
from facebench.data.trees import Tree
from facebench.errors import InputError

FOLDS = 10
_EXPECTED = Expected(
    "biu", "an insightface .bin file", "a dataset holds only images and labels",
    "images and labels are bytes or whole numbers",
)  # fmt: skip


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
    content = unpickle(data, where, _EXPECTED)
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


def _labels(value: Any, where: str) -> NDArray[np.bool_]:
    values = value.values.tolist() if isinstance(value, PlainArray) else value
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
    if isinstance(entry, PlainArray) and entry.values.dtype == np.uint8 and entry.values.size:
        values = entry.values
        if values.ndim == 1:
            return BytesSource(values.tobytes(), where)
        if values.ndim == 2 or values.shape[2] == 3:
            return PixelSource(values, where)
    raise InputError(f"{where}: expected an encoded image or an array of bytes (height, width, 3)")
