"""Writes insightface ``.bin`` files: a pickle of encoded images and labels, plain lists of bytes and truth values."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np

from facebench.data.dataset import Dataset, PairList
from facebench.data.sources import ImageError
from facebench.errors import InputError
from facebench.files import write_atomic


def write_bin(dataset: Dataset, pairs: PairList, out: Path) -> None:
    """Write pairs with their images, bytes unchanged; readers of such files cut them into ten equal parts.

    Pairs with folds keep the order of their folds, which must be ten of one size for readers to find them again;
    pairs without are ordered so that every part has its share of genuine ones.

    Raises:
        InputError: an image cannot be read, or the folds are no ten equal ones.
    """
    order = np.arange(len(pairs))
    if pairs.fold is not None:
        sizes = np.bincount(pairs.fold)
        if len(sizes) != 10 or len(set(sizes.tolist())) > 1:
            raise InputError(f"{out}: readers of .bin files cut ten equal folds, these have {sizes.tolist()} pairs")
    else:
        share = np.empty(len(pairs))
        for kind in (True, False):
            rows = np.flatnonzero(pairs.genuine == kind)
            share[rows] = (np.arange(len(rows)) + 0.5) / max(len(rows), 1)
        order = np.argsort(share, kind="stable")
    try:
        encoded = {row: dataset.images[row].read() for row in np.union1d(pairs.a, pairs.b).tolist()}
    except ImageError as error:
        raise InputError(f"{out}: an image of the pairs cannot be read: {error}") from error
    images = [encoded[int(row)] for pair in order for row in (pairs.a[pair], pairs.b[pair])]
    labels = [bool(pairs.genuine[pair]) for pair in order]
    write_atomic(out, pickle.dumps((images, labels), protocol=4))
