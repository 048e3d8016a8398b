"""Collections of single faces with labels: UTKFace, FairFace, MegaFace lists."""

from __future__ import annotations

import json
import re
from pathlib import PurePosixPath

from facebench.data.benchmarks.rows import Rows
from facebench.data.dataset import Dataset
from facebench.data.left_out import is_image
from facebench.data.table import read_table
from facebench.data.trees import Tree
from facebench.errors import InputError

_UTK = re.compile(r"(\d{1,3})_([01])_([0-4])_\d+(\.chip)?(\.\w+)+")
_UTK_SHORT = re.compile(r"(\d{1,3})_(?:[01]_)?_?\d+(\.chip)?(\.\w+)+")  # the published set has some without a race
_UTK_RACES = ("white", "black", "asian", "indian", "other")
_FAIRFACE = re.compile(r"fairface_label_\w+\.csv")
FAIRFACE_COLUMNS = ("file", "age", "gender", "race")
_ONE_EACH = "one image per person as far as is known: no genuine comparisons"


def is_utkface(tree: Tree) -> bool:
    """Whether the top level has images named like UTKFace's, and no others."""
    names = [name for name in tree.top() if is_image(tree, name)]
    return any(map(_UTK.fullmatch, names))


def read_utkface(tree: Tree, name: str, pairs: str | None) -> Dataset:
    """Read images named ``age_gender_race_date.jpg`` (gender 0 male, 1 female; race 0 to 4).

    Source: Zhang et al., "Age Progression/Regression by Conditional Adversarial Autoencoder", 2017.

    Raises:
        InputError: an image with another name.
    """
    _refuse_pairs(tree, pairs)
    rows = Rows(tree)
    short = 0
    for file in [file for file in tree.top() if is_image(tree, file)]:
        found = _UTK.fullmatch(file)
        if found is None and not _UTK_SHORT.fullmatch(file):
            raise InputError(f"{tree.where(file)}: the name is not age_gender_race_date.jpg; move the file away")
        image_id = file.partition(".")[0]
        if image_id in rows.index:
            raise InputError(f"{tree.where(file)}: another file of the same name but for its ending; keep one")
        short += found is None
        rows.image(
            image_id, file, image_id, tree.where(file),
            age=float(found[1]) if found else None,
            gender=("male", "female")[int(found[2])] if found else None,
            race=_UTK_RACES[int(found[3])] if found else None,
        )  # fmt: skip
    notes = (_ONE_EACH, *((f"{short:,} names lack a label; these images are in no group",) if short else ()))
    return rows.dataset(name, "UTKFace", notes=notes)


def fairface_file(tree: Tree) -> str | None:
    """Return the labels of FairFace, if the tree has them; those of the validation set where it has both."""
    found = [name for name in tree.top() if _FAIRFACE.fullmatch(name)]
    return max(found, default=None)


def read_fairface(tree: Tree, name: str, pairs: str | None) -> Dataset:
    """Read FairFace: a CSV ``file, age, gender, race[, service_test]``; ages are given as spans of years.

    Source: Karkkainen and Joo, "FairFace", 2021.

    Raises:
        InputError: with file and line.
    """
    _refuse_pairs(tree, pairs)
    file = fairface_file(tree)
    assert file is not None
    table = read_table(tree.read(file, "labels"), tree.where(file), parquet=False)
    missing = [column for column in FAIRFACE_COLUMNS if column not in table.columns]
    if missing:
        raise InputError(f"{table.where}, line 1: lacks the column {', '.join(missing)}")
    rows = Rows(tree)
    for row, path in enumerate(table.columns["file"]):
        if not path or path in rows.index:
            raise InputError(f"{table.place(row)}: the file {path!r} is empty or named before")
        labels = {column: table.columns[column][row] or None for column in FAIRFACE_COLUMNS[1:]}
        rows.image(path, path, path, table.place(row), **labels)
    return rows.dataset(name, file, notes=(_ONE_EACH,))


def read_megaface_list(tree: Tree, file: str, name: str, pairs: str | None) -> Dataset:
    """Read a MegaFace list, JSON ``{"path": [...], "id": [...]}``; the image id is the path.

    Source: Kemelmacher-Shlizerman et al., "The MegaFace Benchmark", 2016.

    Raises:
        InputError: not such a file, lists of unequal length, or a path given twice.
    """
    _refuse_pairs(tree, pairs)
    where = tree.where(file)
    try:
        content = json.loads(tree.read(file, "MegaFace list"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where} is not valid JSON: {error}") from None
    columns = [content.get(key) if isinstance(content, dict) else None for key in ("path", "id")]
    paths, ids = columns
    if not isinstance(paths, list) or not isinstance(ids, list) or not paths:
        raise InputError(f"{where}: expected the keys path and id, lists of one entry per image")
    if len(paths) != len(ids):
        raise InputError(f"{where}: {len(paths):,} paths, but {len(ids):,} ids")
    rows = Rows(tree)
    for number, (path, who) in enumerate(zip(paths, ids, strict=True)):
        place = f"{where}, entry {number}"
        if not isinstance(path, str) or not isinstance(who, str | int) or path in rows.index:
            raise InputError(f"{place}: {path!r:.80} of {who!r:.80}; expected a new path and an id")
        rows.image(path, path, str(who), place)
    return rows.dataset(name, PurePosixPath(file).name)


def _refuse_pairs(tree: Tree, pairs: str | None) -> None:
    if pairs is not None:
        raise InputError(f"{tree.root} has no pair list; use a protocol that compares all images")
