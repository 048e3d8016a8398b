"""What the reader of a dataset leaves out, and images that stand in it more than once: found, counted and told."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from facebench.data.aligned import AlignedSource, AlignedSources, BoxSource
from facebench.data.dataset import Dataset
from facebench.data.signatures import IMAGE_SUFFIXES, image_ending
from facebench.data.sources import ImageSource
from facebench.data.trees import Tree
from facebench.schema import LeftOut

_PAIR_LIST = re.compile(r"(.*[^a-z])?(template_)?pairs?([^a-z].*)?\.(csv|txt|tsv|parquet)", re.IGNORECASE)
NO_IMAGES = "files that are no images"
UNLISTED = "images beside the listed ones that no list names"
UNREAD_PAIRS = "pair lists that were not read"
CIRCLES = "links to a folder they lie in"
CONFLICTS = "label conflict: images that stand under different identities"
REPEATED = "images that stand several times under one identity"
_N_EXAMPLES = 5


def is_image(tree: Tree, name: str) -> bool:
    """Whether a file is an image: by its ending, or else by how it begins."""
    return PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES or bool(image_ending(tree.head(name)))


def image_stem(name: str) -> str:
    """Return the name of an image without its ending; an ending that is no image's belongs to the name.

    >>> image_stem("ann/1.jfif"), image_stem("ann/2020.07.01")
    ('ann/1', 'ann/2020.07.01')
    """
    return name.rpartition(".")[0] if PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES else name


def left_out(what: str, names: Iterable[str], effect: str) -> tuple[LeftOut, ...]:
    """Return one entry for what was left out, or none when nothing was."""
    listed = list(names)
    if not listed:
        return ()
    return (LeftOut(what=what, count=len(listed), examples=tuple(listed[:_N_EXAMPLES]), effect=effect),)


def with_left_out(dataset: Dataset, tree: Tree, pairs_read: bool) -> Dataset:
    """Return the dataset with what lies beside its images and was not read."""
    images = dataset.images
    shown = images.one_per_folder() if isinstance(images, AlignedSources) else images
    names = tree.neighbours(map(stored_in, shown))
    used = {stored_in(source) for source in images} if names else set()
    beside = [name for name in names if tree.source(name) not in used and is_image(tree, name)]
    lists = [] if pairs_read else [name for name in tree.top() if _PAIR_LIST.fullmatch(name)]
    found = (
        *dataset.left_out,
        *left_out(UNLISTED, beside, "left out"),
        *left_out(UNREAD_PAIRS, lists, "left out: the protocol asks for no pair list"),
        *left_out(CIRCLES, tree.circles(), "not followed"),
    )
    return replace(dataset, left_out=found)


def stored_in(source: ImageSource) -> ImageSource:
    """Return the file or member an image is cut out of, or itself."""
    return stored_in(source.image) if isinstance(source, AlignedSource | BoxSource) else source


def repeated_images(dataset: Dataset, contents: Sequence[Hashable | None]) -> tuple[LeftOut, ...]:
    """Return the images whose contents are those of another one: of different identities, and within one identity.

    Args:
        dataset: of N images.
        contents: (N,) what names the content of each, such as a sha256; None for an image that could not be read.
    """
    across, within = groups_of_equals(dataset, contents)
    kept = "kept: each scores as a perfect impostor" if dataset.identities is not None else "kept"
    return (
        *left_out(CONFLICTS, [" = ".join(ids) for ids in across], kept),
        *left_out(REPEATED, [" = ".join(ids) for ids in within], "kept: they make genuine scores too good"),
    )


def groups_of_equals(
    dataset: Dataset, contents: Sequence[Hashable | None]
) -> tuple[tuple[tuple[str, ...], ...], tuple[tuple[str, ...], ...]]:
    """Return the ids of images of equal content, of different identities and within one (or of unknown identity)."""
    alike: dict[Hashable, list[int]] = defaultdict(list)
    for row, content in enumerate(contents):
        if content is not None:
            alike[content].append(row)
    across: list[tuple[str, ...]] = []
    within: list[tuple[str, ...]] = []
    for rows in alike.values():
        if len(rows) > 1:
            several = dataset.identities is not None and len({dataset.identities[row] for row in rows}) > 1
            (across if several else within).append(tuple(dataset.image_ids[row] for row in rows))
    return tuple(across), tuple(within)
