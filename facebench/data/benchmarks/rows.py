"""Collects the images and pairs a benchmark's lists name, and refuses lists that contradict themselves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from facebench.data.dataset import Dataset, PairList
from facebench.data.sources import ImageSource
from facebench.data.trees import Tree
from facebench.errors import InputError


def lines_of(tree: Tree, name: str, what: str) -> Iterator[tuple[str, str]]:
    """Yield place and text of every line that is not blank.

    Raises:
        InputError: the file is missing or not UTF-8 text.
    """
    where = tree.where(name)
    for number, line in enumerate(tree.read(name, what).splitlines(), start=1):
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
        except UnicodeDecodeError:
            raise InputError(f"{where}, line {number}: not UTF-8 text") from None
        if text:
            yield f"{where}, line {number}", text


class Rows:
    """The images and pairs of one dataset, in the order in which its lists name them."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self.index: dict[str, int] = {}
        self._sources: list[ImageSource] = []
        self.identities: list[str] = []
        self._attributes: list[dict[str, str | float | None]] = []
        self._pairs: list[tuple[int, int, bool, int]] = []

    def __len__(self) -> int:
        return len(self.index)

    def image(self, image_id: str, path: str, identity: str, place: str, **attributes: str | float | None) -> int:
        """Return the index of an image, added when it is new.

        Raises:
            InputError: the path leaves the dataset, or an earlier line says something else of the image.
        """
        known = self.index.get(image_id)
        if known is None:
            try:
                source = self._tree.source(path)
            except InputError as error:
                raise InputError(f"{place}: {error}") from None
            return self.add(image_id, source, identity, **attributes)
        before = (self.identities[known], self._attributes[known])
        if before != (identity, attributes):
            raise InputError(
                f"{place}: image {image_id!r} is {(identity, *attributes.values())} here and "
                f"{(before[0], *before[1].values())} on an earlier line; mend the one that is wrong"
            )
        return known

    def add(self, image_id: str, source: ImageSource, identity: str, **attributes: str | float | None) -> int:
        """Add a new image and return its index."""
        self._sources.append(source)
        self.identities.append(identity)
        self._attributes.append(attributes)
        return self.index.setdefault(image_id, len(self.index))

    def pair(self, a: int, b: int, genuine: bool, fold: int, place: str) -> None:
        """Add a pair.

        Raises:
            InputError: an image is paired with itself, or the label contradicts the identities.
        """
        if a == b:
            raise InputError(f"{place}: an image is paired with itself")
        first, second = self.identities[a], self.identities[b]
        if (first == second) != genuine:
            kind = "genuine" if genuine else "impostor"
            raise InputError(f"{place}: the pair is called {kind}, but its images belong to {first!r} and {second!r}")
        self._pairs.append((a, b, genuine, fold))

    @property
    def n_pairs(self) -> int:
        """Pairs so far."""
        return len(self._pairs)

    def dataset(self, name: str, format_: str, *, folds: bool = True, **fields: Any) -> Dataset:
        """Return the dataset; `fields` are those of `Dataset` the format knows besides."""
        pairs = None
        if self._pairs:
            a, b, genuine, fold = (np.array(column) for column in zip(*self._pairs, strict=True))
            pairs = PairList(a.astype(np.int64), b.astype(np.int64), genuine.astype(np.bool_), fold if folds else None)
        names = dict.fromkeys(key for attributes in self._attributes for key in attributes)
        return Dataset(
            name=name,
            root=self._tree.root,
            image_ids=tuple(self.index),
            images=tuple(self._sources),
            identities=tuple(self.identities),
            attributes={key: tuple(row.get(key) for row in self._attributes) for key in names},
            pairs=pairs,
            format=format_,
            **fields,
        )


def tenths(position: int, n: int) -> int:
    """Return which of ten folds the entry at a position of a list of n belongs to."""
    return position * 10 // n


def find_top(tree: Tree, names: Iterator[str] | list[str]) -> str | None:
    """Return the first of some names that the tree has."""
    return next((name for name in names if tree.has(name)), None)
