"""IJB in NIST's own layout: ``enroll_templates.csv``, ``verif_templates.csv`` and ``match.csv``."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from facebench.data.aligned import BoxSource
from facebench.data.benchmarks.rows import find_top, lines_of
from facebench.data.dataset import Dataset, PairList
from facebench.data.pairs import OWN_PAIRS
from facebench.data.sources import ImageSource
from facebench.data.table import Table, read_table
from facebench.data.trees import Tree
from facebench.errors import InputError

ENROLL, VERIFY, MATCH = "enroll_templates.csv", "verif_templates.csv", "match.csv"
FOLDERS = ("", "test1/")
_BOX = ("FACE_X", "FACE_Y", "FACE_WIDTH", "FACE_HEIGHT")
_COLUMNS = ("TEMPLATE_ID", "SUBJECT_ID", "FILENAME", *_BOX)


def nist_folder(tree: Tree) -> str | None:
    """Return the folder of the lists, with its slash, if the tree has them."""
    found = find_top(tree, [f"{folder}{ENROLL}" for folder in FOLDERS])
    return None if found is None else found.removesuffix(ENROLL)


def read_nist_templates(tree: Tree, name: str, pairs: str | None) -> Dataset:
    """Read templates with their people, images and boxes, and the comparisons of ``match.csv``, which has no header.

    Faces are the boxes cut out of the images, not aligned. A file in several templates is an image of each. Templates
    of the enrolment list have the role gallery, the others probe.

    Raises:
        InputError: with file and line; a template id that no list defines is an error.
    """
    folder = nist_folder(tree)
    assert folder is not None
    if pairs == OWN_PAIRS:
        raise InputError(f"{tree.root} compares templates; use a protocol with comparisons: {{kind: template-pairs}}")
    ids: list[str] = []
    sources: list[ImageSource] = []
    columns: dict[str, list[str]] = {"person": [], "template": [], "media": [], "role": []}
    owner: dict[str, tuple[str, str]] = {}
    seen: set[str] = set()
    for file, role in ((f"{folder}{ENROLL}", "gallery"), (f"{folder}{VERIFY}", "probe")):
        table = read_table(tree.read(file, "list of templates"), tree.where(file), parquet=False)
        missing = [column for column in _COLUMNS if column not in table.columns]
        if missing:
            raise InputError(f"{table.where}, line 1: lacks the column {', '.join(missing)}")
        for row in range(len(table)):
            template, person, path = (table.columns[column][row] for column in _COLUMNS[:3])
            if not (template and person and path) or owner.setdefault(template, (person, role)) != (person, role):
                raise InputError(
                    f"{table.place(row)}: template {template!r} of {person!r}; it is {owner.get(template)}"
                )
            image_id = f"{template}/{path}"
            if image_id in seen:
                raise InputError(f"{table.place(row)}: {path!r} is in template {template} twice")
            seen.add(image_id)
            ids.append(image_id)
            sources.append(_face(tree, table, row, path))
            media = table.columns["SIGHTING_ID"][row] if "SIGHTING_ID" in table.columns else ""
            for key, value in zip(columns, (person, template, media, role), strict=True):
                columns[key].append(value)
    found = Dataset(
        name=name,
        root=tree.root,
        image_ids=tuple(ids),
        images=tuple(sources),
        identities=tuple(columns["person"]),
        template_ids=tuple(columns["template"]),
        media_ids=tuple(value or None for value in columns["media"]),
        roles=tuple(columns["role"]),
        format=f"{folder}{ENROLL}",
    )
    if pairs is None:
        return found
    return replace(found, template_pairs=_matches(tree, f"{folder}{MATCH}", found, owner))


def _face(tree: Tree, table: Table, row: int, path: str) -> BoxSource:
    cells = [table.columns[column][row] for column in _BOX]
    try:
        left, top, width, height = (round(float(cell)) for cell in cells)
        image = tree.source(path)
    except (ValueError, OverflowError):
        raise InputError(f"{table.place(row)}: {', '.join(cells)} is no box; expected x, y, width, height") from None
    except InputError as error:
        raise InputError(f"{table.place(row)}: {error}") from None
    if width <= 0 or height <= 0:
        raise InputError(f"{table.place(row)}: the box is {width} x {height} pixels")
    return BoxSource(image, (left, top, width, height))


def _matches(tree: Tree, file: str, dataset: Dataset, owner: dict[str, tuple[str, str]]) -> PairList:
    index = {template: number for number, template in enumerate(dataset.templates()[0])}
    a, b, genuine = [], [], []
    for place, line in lines_of(tree, file, "list of comparisons"):
        words = [word.strip() for word in line.split(",")]
        if len(words) != 2:
            raise InputError(f"{place}: expected 'template,template', found {line!r:.80}")
        for word in words:
            if word not in index:
                raise InputError(f"{place}: no list defines template {word!r}")
        if words[0] == words[1]:
            raise InputError(f"{place}: a template is paired with itself")
        a.append(index[words[0]])
        b.append(index[words[1]])
        genuine.append(owner[words[0]][0] == owner[words[1]][0])
    return PairList(np.array(a, np.int64), np.array(b, np.int64), np.array(genuine, np.bool_))
