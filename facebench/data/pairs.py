"""Reads the pair list of a manifest: a CSV or Parquet file with one comparison per row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.data.dataset import PairList
from facebench.data.table import Table, read_table
from facebench.data.trees import Tree
from facebench.errors import InputError

OWN_TEMPLATE_PAIRS = "own-templates"  # the same for its list of template pairs
OWN_PAIRS = "own"  # asks a reader for the dataset's own list, whatever it is called there
BY_ID = ("image_a", "image_b", "genuine")
BY_PATH = ("file_a", "file_b", "same")
BY_TEMPLATE = ("template_a", "template_b", "genuine")
_TRUTH = {"1": True, "true": True, "0": False, "false": False}


def read_pairs(
    tree: Tree, name: str, image_ids: Sequence[str], paths: Sequence[str], identities: Sequence[str] | None
) -> PairList:
    """Read the pair list called `name`.

    Columns: ``image_a, image_b, genuine[, fold]`` with image ids, or ``file_a, file_b, same[, fold]`` with paths as
    the manifest writes them. genuine and same are 1 or 0; folds count from 0.

    Raises:
        InputError: names the rows of unknown images, of pairs given twice, of an image paired with itself, and of
            labels that contradict the identities.
    """
    table = read_table(tree.read(name, "pair list"), tree.where(name), parquet=name.endswith(".parquet"))
    columns = _columns(table)
    keys = image_ids if columns == BY_ID else paths
    index = {key: position for position, key in enumerate(keys)}
    if len(index) < len(keys):
        raise InputError(f"{table.where} names images by path, but several images of the manifest share one; use ids")
    a, b = (_indices(table, column, index) for column in columns[:2])
    genuine = _labels(table, columns[2])
    _check_distinct(table, a, b, "an image", "images")
    if identities is not None:
        _check_labels(table, columns[2], genuine, identities, a, b)
    return PairList(a, b, genuine, _folds(table) if "fold" in table.columns else None)


def read_template_pairs(tree: Tree, name: str, templates: Sequence[str], identities: Sequence[str] | None) -> PairList:
    """Read the list of template pairs called `name`: ``template_a, template_b, genuine[, fold]``.

    Args:
        templates: all template ids, in the order their indices count.
        identities: of the templates, if known.

    Raises:
        InputError: as `read_pairs`; a template id that no image has is an error, never another template.
    """
    table = read_table(tree.read(name, "list of template pairs"), tree.where(name), parquet=name.endswith(".parquet"))
    if not set(BY_TEMPLATE) <= set(table.columns) <= {*BY_TEMPLATE, "fold"}:
        raise InputError(
            f"{table.where} has the columns {', '.join(table.columns)}; a list of template pairs has "
            f"{', '.join(BY_TEMPLATE)}, and optionally fold"
        )
    index = {template: position for position, template in enumerate(templates)}
    a, b = (_indices(table, column, index) for column in BY_TEMPLATE[:2])
    genuine = _labels(table, BY_TEMPLATE[2])
    _check_distinct(table, a, b, "a template", "templates")
    if identities is not None:
        _check_labels(table, BY_TEMPLATE[2], genuine, identities, a, b)
    return PairList(a, b, genuine, _folds(table) if "fold" in table.columns else None)


def _columns(table: Table) -> tuple[str, str, str]:
    for columns in (BY_ID, BY_PATH):
        if set(columns) <= set(table.columns) <= {*columns, "fold"}:
            return columns
    raise InputError(
        f"{table.where} has the columns {', '.join(table.columns)}; a pair list has {', '.join(BY_ID)} "
        f"or {', '.join(BY_PATH)}, and optionally fold"
    )


def _indices(table: Table, column: str, index: dict[str, int]) -> NDArray[np.int64]:
    cells = table.columns[column]
    unknown = [row for row, cell in enumerate(cells) if cell not in index]
    if unknown:
        raise InputError(f"{table.places(unknown)}: {column} {cells[unknown[0]]!r} is not in the manifest")
    return np.fromiter((index[cell] for cell in cells), np.int64, len(cells))


def _labels(table: Table, column: str) -> NDArray[np.bool_]:
    cells = [cell.lower() for cell in table.columns[column]]
    wrong = [row for row, cell in enumerate(cells) if cell not in _TRUTH]
    if wrong:
        raise InputError(f"{table.places(wrong)}: {column} is {cells[wrong[0]]!r}; it must be 1 or 0")
    return np.fromiter((_TRUTH[cell] for cell in cells), np.bool_, len(cells))


def _folds(table: Table) -> NDArray[np.int64]:
    cells = table.columns["fold"]
    wrong = [row for row, cell in enumerate(cells) if not (cell.isascii() and cell.isdigit() and len(cell) < 7)]
    if wrong:
        raise InputError(f"{table.places(wrong)}: fold is {cells[wrong[0]]!r}; it must be a whole number from 0")
    folds = np.array([int(cell) for cell in cells], np.int64)
    absent = sorted(set(range(int(folds.max()) + 1)) - set(folds.tolist()))
    if absent:
        raise InputError(
            f"{table.where}: no pair is in fold {absent[0]}, but folds go up to {folds.max()}; number them from 0"
        )
    return folds


def _check_distinct(table: Table, a: NDArray[np.int64], b: NDArray[np.int64], one: str, several: str) -> None:
    same = np.flatnonzero(a == b)
    if len(same):
        raise InputError(f"{table.places(same.tolist())}: {one} is paired with itself; remove the row")
    rows = repeated_pairs(a, b)
    if len(rows):
        first = np.flatnonzero(
            (np.minimum(a, b) == min(a[rows[0]], b[rows[0]])) & (np.maximum(a, b) == max(a[rows[0]], b[rows[0]]))
        )
        raise InputError(
            f"{table.places(first.tolist())}: the same two {several} are compared {len(first)} times; keep one row"
        )


def repeated_pairs(a: NDArray[np.integer[Any]], b: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """Return the rows, rising, that compare two images an earlier row compares, in either order."""
    low, high = np.minimum(a, b), np.maximum(a, b)
    order = np.lexsort((high, low))  # stable: of equal pairs the earlier row comes first
    again = (np.diff(low[order]) == 0) & (np.diff(high[order]) == 0)
    return np.sort(order[1:][again])


def _check_labels(
    table: Table,
    column: str,
    genuine: NDArray[np.bool_],
    identities: Sequence[str],
    a: NDArray[np.int64],
    b: NDArray[np.int64],
) -> None:
    codes = np.unique(np.asarray(identities), return_inverse=True)[1]
    wrong = np.flatnonzero((codes[a] == codes[b]) != genuine)
    if len(wrong):
        first, other = identities[a[wrong[0]]], identities[b[wrong[0]]]
        raise InputError(
            f"{table.places(wrong.tolist())}: {column} is {int(genuine[wrong[0]])}, but the manifest says the images "
            f"show {first!r} and {other!r}; mend the one that is wrong"
        )
