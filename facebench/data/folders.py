"""Reads a folder per identity: ``identity/image.*``, with an optional ``attributes.csv``."""

from __future__ import annotations

from facebench.data.dataset import Dataset
from facebench.data.left_out import NO_IMAGES, image_stem, is_image, left_out
from facebench.data.manifest import PAIRS, RESERVED, check_attribute_names, check_unique, read_attributes
from facebench.data.pairs import OWN_PAIRS, read_pairs
from facebench.data.table import Table, read_table
from facebench.data.trees import Tree
from facebench.errors import InputError

ATTRIBUTES = "attributes.csv"


def has_identity_folders(tree: Tree) -> bool:
    """Whether an image lies in some subfolder."""
    return any("/" in name and is_image(tree, name) for name in tree.files())


def identity_images(tree: Tree) -> dict[str, str]:
    """Return the path of each image of a tree of identity folders, by image id: the path without an image's ending."""
    images: dict[str, str] = {}
    for path in (path for path in tree.files() if is_image(tree, path)):
        if path.count("/") != 1:
            raise InputError(
                f"{tree.where(path)}: expected identity/image in {tree.root}; move it or write a manifest.csv"
            )
        image_id = image_stem(path)
        if image_id in images:
            raise InputError(f"{tree.root} has both {images[image_id]} and {path}; keep one")
        images[image_id] = path
    return images


def read_folders(tree: Tree, name: str, pairs: str | None) -> Dataset:
    """Read a folder of identity folders; the image id is the path without its ending, such as ``s1/1``.

    `attributes.csv` has a column ``identity`` or ``image_id`` and further columns; images it does not name have
    empty attributes. A pair list is a CSV as beside a manifest.

    Raises:
        InputError: an image outside an identity folder or deeper, two images that differ only in their ending, or
            attributes of an image or identity that is not there.
    """
    files = identity_images(tree)
    image_ids, paths = list(files), list(files.values())
    identities = tuple(path.partition("/")[0] for path in paths)
    wanted = PAIRS if pairs == OWN_PAIRS else pairs
    others = sorted(set(tree.files()) - set(paths) - {ATTRIBUTES, PAIRS, wanted})
    return Dataset(
        name=name,
        root=tree.root,
        image_ids=tuple(image_ids),
        images=tuple(tree.source(path) for path in paths),
        identities=identities,
        attributes=_attributes(tree, image_ids, identities) if tree.has(ATTRIBUTES) else {},
        pairs=read_pairs(tree, wanted, image_ids, paths, identities) if wanted else None,
        format="identity folders",
        left_out=left_out(NO_IMAGES, others, "left out"),
    )


def _attributes(
    tree: Tree, image_ids: list[str], identities: tuple[str, ...]
) -> dict[str, tuple[str | float | None, ...]]:
    table = read_table(tree.read(ATTRIBUTES, "attributes"), tree.where(ATTRIBUTES), parquet=False)
    keys = [column for column in ("image_id", "identity") if column in table.columns]
    if len(keys) != 1:
        raise InputError(
            f"{table.where} needs either a column identity or a column image_id to say whose the attributes are; "
            f"it has {', '.join(table.columns)}"
        )
    check_unique(table, keys[0])
    rows = {key: row for row, key in enumerate(table.columns[keys[0]])}
    wanted = image_ids if keys[0] == "image_id" else identities
    _check_known(table, keys[0], set(wanted))
    names = [column for column in table.columns if column != keys[0]]
    check_attribute_names(table, names, [column for column in RESERVED if column != keys[0]])
    columns = read_attributes(table, names)
    return {
        name: tuple(values[rows[key]] if key in rows else None for key in wanted) for name, values in columns.items()
    }


def _check_known(table: Table, column: str, known: set[str]) -> None:
    unknown = [row for row, cell in enumerate(table.columns[column]) if cell not in known]
    if unknown:
        cell = table.columns[column][unknown[0]]
        raise InputError(f"{table.places(unknown)}: {column} {cell!r} has no image in the folder")
