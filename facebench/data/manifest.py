"""Reads a FaceBench manifest: a CSV or Parquet file with one row per image, beside or above its images."""

from __future__ import annotations

import difflib
import json
import math
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.data.dataset import Dataset
from facebench.data.pairs import OWN_PAIRS, OWN_TEMPLATE_PAIRS, read_pairs, read_template_pairs
from facebench.data.sources import ImageSource
from facebench.data.table import Table, number_column, read_table
from facebench.data.trees import Tree
from facebench.errors import InputError

REQUIRED = ("image_id", "path")
RESERVED = (
    *REQUIRED, "identity", "template_id", "media_id", "region_mask", "landmarks", "detector_score", "role",
)  # fmt: skip
ROLES = ("gallery", "gallery-2", "probe")
EDITS = {  # columns that are reserved beside the one that makes them so
    "counterfactual_of": ("counterfactual_of", "attribute", "level"),
    "swap_of": ("swap_of", "part", "change_mask"),
    "landmarks68": ("landmarks68",),
}
MANIFESTS = ("manifest.csv", "manifest.parquet")
PAIRS = "pairs.csv"
TEMPLATE_PAIRS = "template_pairs.csv"
INFO = "dataset.json"


def find_manifest(tree: Tree) -> str | None:
    """Return the name of the tree's manifest; None when it has none."""
    found = [name for name in MANIFESTS if tree.has(name)]
    if len(found) > 1:
        raise InputError(f"{tree.root} has both {' and '.join(found)}; keep one, or name the file itself")
    return found[0] if found else None


def read_manifest(tree: Tree, manifest: str, name: str, pairs: str | None) -> Dataset:
    """Read the manifest called `manifest` from a folder or archive.

    Columns: ``image_id`` and ``path`` (relative to the manifest), ``identity`` if known, and optionally
    ``template_id``, ``media_id``, ``region_mask`` (a path), ``landmarks`` (x1 y1 .. x5 y5, pixels), ``landmarks68``,
    ``detector_score``, ``role`` (gallery, gallery-2 or probe, for search), and what edits an image shows:
    ``counterfactual_of`` with ``attribute`` and ``level``, ``swap_of`` with ``part`` and ``change_mask`` (a path).
    Every other column is an attribute; one whose cells are all numbers holds floats. `dataset.json` beside it may say
    ``{"phantom": true}``; its other keys are free. A missing image file is no error here: it fails when it is read.

    Raises:
        InputError: with the file and line, for whatever does not add up.
    """
    where = tree.where(manifest)
    table = read_table(tree.read(manifest, "manifest"), where, parquet=manifest.endswith(".parquet"))
    _check_columns(table)
    check_unique(table, "image_id")
    sources = _sources(tree, table)
    info = _read_info(tree)
    identities = _identities(table)
    pair_list = None
    by_template = pairs == OWN_TEMPLATE_PAIRS
    if pairs is not None and not by_template:
        wanted = PAIRS if pairs == OWN_PAIRS else pairs
        pair_list = read_pairs(tree, wanted, table.columns["image_id"], table.columns["path"], identities)
    found = Dataset(
        name=name,
        root=tree.root,
        image_ids=tuple(table.columns["image_id"]),
        images=sources,
        identities=identities,
        attributes=read_attributes(table, _attribute_columns(table)),
        landmarks=_landmarks(table),
        landmarks68=_optional(table, "landmarks68"),
        region_masks=_masks(tree, table, "region_mask"),
        edits=_edits(table, identities),
        change_masks=_masks(tree, table, "change_mask"),
        pairs=pair_list,
        phantom=info.get("phantom", False),
        template_ids=_optional(table, "template_id"),
        media_ids=_optional(table, "media_id"),
        detector_scores=_detector_scores(table),
        roles=_roles(table),
        format=manifest,
        info=info,
    )
    return with_template_pairs(found, tree, TEMPLATE_PAIRS) if by_template else found


def with_template_pairs(dataset: Dataset, tree: Tree, name: str) -> Dataset:
    """Return the dataset with a list of template pairs."""
    templates, of_image = dataset.templates()
    if not templates:
        raise InputError(f"{tree.where(name)} lists templates, but no image has a template_id")
    identities = None
    if dataset.identities is not None:
        owner = dict(zip(of_image.tolist(), dataset.identities, strict=True))
        identities = [owner[number] for number in range(len(templates))]
    return replace(dataset, template_pairs=read_template_pairs(tree, name, templates, identities))


def read_attributes(table: Table, names: list[str]) -> dict[str, tuple[str | float | None, ...]]:
    """Return columns as attributes: floats when every filled cell is a number, else text; None where empty."""
    return {name: number_column(table, name) or tuple(cell or None for cell in table.columns[name]) for name in names}


def check_unique(table: Table, column: str) -> None:
    """Refuse an empty or repeated cell in a column that names things."""
    cells = table.columns[column]
    empty = [row for row, cell in enumerate(cells) if not cell]
    if empty:
        raise InputError(f"{table.places(empty)}: {column} is empty; every row needs one")
    if len(set(cells)) < len(cells):
        twice = next(cell for cell, count in Counter(cells).items() if count > 1)
        rows = [row for row, cell in enumerate(cells) if cell == twice]
        raise InputError(f"{table.places(rows)}: {column} {twice!r} is given {len(rows)} times; it must be unique")


def _edit_columns(table: Table) -> list[str]:
    return [name for key, names in EDITS.items() if key in table.columns for name in names]


def _attribute_columns(table: Table) -> list[str]:
    reserved = {*RESERVED, *_edit_columns(table)}
    return [column for column in table.columns if column not in reserved]


def _check_counterfactuals(table: Table, identities: tuple[str, ...] | None) -> None:
    """Refuse an edit of an edit or of another person, and one of which attribute or level is not told."""
    columns = EDITS["counterfactual_of"]
    row_of = {image_id: row for row, image_id in enumerate(table.columns["image_id"])}
    for row, cells in enumerate(zip(*(table.columns[name] for name in columns), strict=True)):
        if not any(cells):
            continue
        fault = None
        original = row_of.get(cells[0])
        if not all(cells) or original is None:
            fault = f"{', '.join(columns)} are given together or not at all"
        elif table.columns["counterfactual_of"][original]:
            fault = f"counterfactual_of names {cells[0]!r}, which is itself edited; name the unedited image"
        elif identities is not None and identities[original] != identities[row]:
            fault = f"an edited image keeps the identity of its original, {identities[original]!r}"
        if fault:
            raise InputError(f"{table.place(row)}: {fault}")


def _edits(table: Table, identities: tuple[str, ...] | None) -> dict[str, tuple[str | None, ...]]:
    """The columns that say which image is an edit of which, with unknown images refused."""
    for key in ("counterfactual_of", "swap_of"):
        known = set(table.columns["image_id"])
        wrong = [row for row, cell in enumerate(table.columns.get(key, [])) if cell and cell not in known]
        if wrong:
            cell = table.columns[key][wrong[0]]
            raise InputError(f"{table.places(wrong)}: {key} names the image {cell!r}, which the manifest does not have")
    missing = [name for name in _edit_columns(table) if name not in table.columns]
    if missing:
        raise InputError(f"{table.where} tells of edited images, but lacks the column {missing[0]}")
    if "counterfactual_of" in table.columns:
        _check_counterfactuals(table, identities)
    return {
        name: tuple(cell or None for cell in table.columns[name])
        for name in _edit_columns(table)
        if name not in ("landmarks68", "change_mask")
    }


def _check_columns(table: Table) -> None:
    absent = [name for name in RESERVED if name not in table.columns]
    check_attribute_names(table, _attribute_columns(table), absent)
    missing = [name for name in REQUIRED if name not in table.columns]
    if missing:
        raise InputError(
            f"{table.where} lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}; "
            f"it has {', '.join(table.columns)}. A manifest needs image_id and path, and identity if it is known."
        )


def check_attribute_names(table: Table, names: list[str], absent: list[str]) -> None:
    """Refuse attributes that are called like, or almost like, a reserved column the table lacks."""
    for name in names:
        meant = _near_miss(name, absent)
        if meant == name:
            raise InputError(f"{table.where}: the column name {name!r} is reserved; rename the column")
        if meant:
            raise InputError(f"{table.where}: unknown column {name!r}. Did you mean {meant!r}? Rename the column.")


def _near_miss(column: str, absent: list[str]) -> str | None:
    """Return the reserved column a name looks like a misspelling of, if the table lacks that one."""
    plain = column.lower().replace(" ", "_").replace("-", "_")
    return next(iter(difflib.get_close_matches(plain, absent, n=1, cutoff=0.8)), None)


def _sources(tree: Tree, table: Table) -> tuple[ImageSource, ...]:
    sources: list[ImageSource] = []
    for row, path in enumerate(table.columns["path"]):
        try:
            sources.append(tree.source(path))
        except InputError as error:
            raise InputError(f"{table.place(row)}: {error}") from None
    return tuple(sources)


def _identities(table: Table) -> tuple[str, ...] | None:
    cells = table.columns.get("identity")
    if cells is None:
        return None
    empty = [row for row, cell in enumerate(cells) if not cell]
    if empty:
        raise InputError(
            f"{table.places(empty)}: identity is empty; give every image one, or leave out the column if none is known"
        )
    check_known_identities(table, "identity")
    return tuple(cells)


def check_known_identities(table: Table, column: str) -> None:
    """Refuse people called nan, the trace of a missing value: they would count as one person."""
    unknown = [row for row, cell in enumerate(table.columns[column]) if cell in ("nan", "NaN")]
    if unknown:
        raise InputError(f"{table.places(unknown)}: {column} is {table.columns[column][unknown[0]]!r}, a missing value")


def _optional(table: Table, column: str) -> tuple[str | None, ...] | None:
    cells = table.columns.get(column, [])
    return tuple(cell or None for cell in cells) if any(cells) else None


def _detector_scores(table: Table) -> NDArray[np.float64] | None:
    cells = table.columns.get("detector_score", [])
    if not any(cells):
        return None
    values = number_column(table, "detector_score")
    wrong = [row for row, cell in enumerate(cells) if not cell or (values and (values[row] or 0) < 0)]
    if values is None or wrong:
        raise InputError(f"{table.places(wrong or [0])}: detector_score must be a number from 0, for every image")
    return np.array(values, np.float64)


def _roles(table: Table) -> tuple[str | None, ...] | None:
    cells = table.columns.get("role", [])
    wrong = [row for row, cell in enumerate(cells) if cell and cell not in ROLES]
    if wrong:
        raise InputError(f"{table.places(wrong)}: role is {cells[wrong[0]]!r}; known: {', '.join(ROLES)}, or empty")
    return _optional(table, "role")


def _landmarks(table: Table) -> NDArray[np.float64] | None:
    cells = table.columns.get("landmarks", [])
    if not any(cells):
        return None
    points = np.full((len(cells), 5, 2), np.nan)
    for row, cell in enumerate(cells):
        if cell:
            points[row] = _five_points(cell, table.place(row))
    return points


def _five_points(cell: str, place: str) -> NDArray[np.float64]:
    try:
        values = [float(value) for value in cell.split()]
    except ValueError:
        values = []
    if len(values) != 10 or not all(map(math.isfinite, values)):
        raise InputError(f"{place}: landmarks {cell!r} must be 10 numbers separated by blanks: x1 y1 .. x5 y5")
    return np.array(values).reshape(5, 2)


def _masks(tree: Tree, table: Table, column: str) -> tuple[Path | None, ...] | None:
    cells = table.columns.get(column, [])
    if not any(cells):
        return None
    masks: list[Path | None] = []
    for row, cell in enumerate(cells):
        try:
            masks.append(tree.reference(cell) if cell else None)
        except InputError as error:
            raise InputError(f"{table.place(row)}: {column}: {error}") from None
    return tuple(masks)


def _read_info(tree: Tree) -> dict[str, Any]:
    if not tree.has(INFO):
        return {}
    where = tree.where(INFO)
    try:
        info = json.loads(tree.read(INFO, "dataset file"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where} is not valid JSON: {error}") from None
    if not isinstance(info, dict):
        raise InputError(f"{where}: expected keys and values, found {type(info).__name__}")
    if not isinstance(info.get("phantom", False), bool):
        raise InputError(f"{where}: phantom must be true or false (found {info['phantom']!r})")
    return info
