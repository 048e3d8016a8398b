"""IJB-B and IJB-C as insightface distributes them: cropped faces with text files of templates, pairs and landmarks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.data.aligned import AlignedSources
from facebench.data.benchmarks.rows import lines_of
from facebench.data.dataset import Dataset, PairList
from facebench.data.pairs import OWN_PAIRS, OWN_TEMPLATE_PAIRS
from facebench.data.plain_lists import LONG, NUMBER, TEXT, WHOLE, give_back_memory, read_columns, words_of
from facebench.data.table import is_whole, read_table
from facebench.data.trees import Tree, safe_name
from facebench.errors import InputError

_MEDIA = re.compile(r"(?:.*/)?([^/]+)_face_tid_mid\.txt")
_SEARCH = re.compile(r"_1N_(?:gallery_(S1|S2|G1|G2)|probe_mixed)\.csv")


def ijb_file(tree: Tree) -> str | None:
    """Return the list of images, templates and media, if the tree has one; at the top or in ``meta``."""
    names = [*tree.top(), *(name for name in tree.files() if name.startswith("meta/"))]
    return next((name for name in names if _MEDIA.fullmatch(name)), None)


def read_ijb(tree: Tree, name: str, pairs: str | None) -> Dataset:
    """Read IJB-B or IJB-C: ``*_face_tid_mid.txt``, ``*_name_5pts_score.txt``, ``*_template_pair_label.txt``, 1:N lists.

    The first two join by row, and their image names must agree. Images are warped to 112 x 112 by their five landmarks;
    the detector's score is kept. People are known where the 1:N lists name every template; those lists also give the
    roles gallery (S1 or G1), gallery-2 (S2 or G2) and probe. Source: insightface, evaluation of IJB.

    Raises:
        InputError: with file and line, for whatever does not add up; a template id that no image has is an error.
    """
    file = ijb_file(tree)
    assert file is not None
    if pairs == OWN_PAIRS:
        raise InputError(f"{tree.root} compares templates; use a protocol with comparisons: {{kind: template-pairs}}")
    stem = file.removesuffix("_face_tid_mid.txt")
    images, templates, media = _media_rows(tree, file)
    points, scores = _landmarks(tree, f"{stem}_name_5pts_score.txt", images)
    folder = _folder(tree, images[0])
    files = [safe_name(f"{folder}{image}") for image in images]
    sources = AlignedSources(tree.source, files, points)
    people, roles = _search_lists(tree, stem, set(templates))
    known = people and all(template in people for template in templates)
    found = Dataset(
        name=name,
        root=tree.root,
        image_ids=images,
        images=sources,
        identities=tuple(people[template] for template in templates) if known else None,
        template_ids=templates,
        media_ids=media,
        detector_scores=scores,
        roles=tuple(roles.get(template) for template in templates) if roles else None,
        format=file,
        notes=() if known else ("the 1:N lists do not name every template, so identities are unknown",),
    )
    if pairs is None:
        return found
    listed = f"{stem}_template_pair_label.txt" if pairs == OWN_TEMPLATE_PAIRS else pairs
    found = replace(found, template_pairs=_template_pairs(tree, listed, found))
    give_back_memory()
    return found


def _media_rows(tree: Tree, file: str) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    plain = read_columns(tree.read(file, "list of templates and media"), [TEXT] * 3, separator=" ")
    if plain is not None:
        images = tuple(plain[0].to_pylist())
        templates, media = map(words_of, plain[1:])
        numbers = {*templates, *(name.removeprefix("-") for name in set(media))}
        if all(map(is_whole, numbers)) and all(images) and len(set(images)) == len(images):
            return images, templates, media
    rows: list[list[str]] = []
    first: dict[str, str] = {}
    for place, line in lines_of(tree, file, "list of templates and media"):
        words = line.split()
        if len(words) != 3 or not (is_whole(words[1]) and is_whole(words[2].removeprefix("-"))):
            raise InputError(f"{place}: expected 'image template media', found {line!r:.80}")
        if words[0] in first:
            raise InputError(f"{place}: image {words[0]!r} was named before, in {first[words[0]]}")
        first[words[0]] = place
        rows.append(words)
    if not rows:
        raise InputError(f"{tree.where(file)} is empty")
    images, templates, media = (tuple(column) for column in zip(*rows, strict=True))
    return images, templates, media


def _landmarks(tree: Tree, file: str, images: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    plain = read_columns(tree.read(file, "list of landmarks"), [TEXT] + [NUMBER] * 11, separator=" ")
    if plain is not None and plain[0].to_pylist() == list(images):
        values = np.stack([column.to_numpy() for column in plain[1:]], axis=1)
        if np.isfinite(values).all():
            return values[:, :10].reshape(-1, 5, 2), values[:, 10].copy()
    values = np.zeros((len(images), 11))
    row = -1
    for row, (place, line) in enumerate(lines_of(tree, file, "list of landmarks")):
        words = line.split()
        if row >= len(images):
            raise InputError(f"{place}: one row more than the {len(images):,} images of the list of templates")
        try:
            numbers = [float(word) for word in words[1:]]
        except ValueError:
            numbers = []
        if len(numbers) != 11 or not np.isfinite(numbers).all():
            raise InputError(f"{place}: expected 'image x1 y1 .. x5 y5 score', found {line!r:.80}")
        if words[0] != images[row]:
            raise InputError(
                f"{place}: names {words[0]!r}, but this row of the list of templates names {images[row]!r}"
            )
        values[row] = numbers
    if row + 1 != len(images):
        raise InputError(f"{tree.where(file)}: {row + 1:,} rows for {len(images):,} images; fetch it again")
    return values[:, :10].reshape(-1, 5, 2), values[:, 10].copy()


def _folder(tree: Tree, image: str) -> str:
    """Return the folder the images lie in, as the first one shows."""
    for name in tree.files():
        if PurePosixPath(name).name == PurePosixPath(image).name and name.endswith(image):
            return name.removesuffix(image)
    return "loose_crop/"


def _search_lists(tree: Tree, stem: str, templates: set[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the person and the role of each template the 1:N lists name."""
    people: dict[str, str] = {}
    roles: dict[str, str] = {}
    for name in tree.files():
        found = _SEARCH.fullmatch(name.removeprefix(stem)) if name.startswith(stem) else None
        if found is None:
            continue
        role = {"1": "gallery", "2": "gallery-2"}[found[1][1]] if found[1] else "probe"
        data = tree.read(name, "1:N list")
        if _plain_search_list(data, role, templates, people, roles):
            continue
        table = read_table(data, tree.where(name), parquet=False)
        columns = list(table.columns.values())
        if len(columns) < 2:
            raise InputError(f"{table.where}, line 1: expected TEMPLATE_ID, SUBJECT_ID")
        for row, (template, person) in enumerate(zip(columns[0], columns[1], strict=True)):
            if template not in templates:
                raise InputError(f"{table.place(row)}: no image belongs to template {template!r}")
            if not person or people.setdefault(template, person) != person:
                raise InputError(
                    f"{table.place(row)}: template {template} is of person {person!r} here and of "
                    f"{people.get(template)!r} in another row"
                )
            if roles.setdefault(template, role) != role:
                raise InputError(
                    f"{table.place(row)}: template {template} is {role} here and {roles[template]} elsewhere"
                )
    return people, roles


def _plain_search_list(
    data: bytes, role: str, templates: set[str], people: dict[str, str], roles: dict[str, str]
) -> bool:
    """Take a plain list whose every row agrees with the others; the caller finds the row that does not."""
    plain = read_columns(data, None, separator=",")
    if plain is None or len(plain) < 2 or not len(plain[0]):
        return False
    found = {(a.strip(), b.strip()) for a, b in zip(plain[0].to_pylist(), plain[1].to_pylist(), strict=True)}
    for template, person in found:
        if template not in templates or not person or people.get(template, person) != person:
            return False
        if roles.get(template, role) != role:
            return False
    if len({template for template, _ in found}) < len(found):
        return False
    people.update(found)
    roles.update((template, role) for template, _ in found)
    return True


def _template_pairs(tree: Tree, file: str, dataset: Dataset) -> PairList:
    """Read ``template template 0|1``, millions of lines, and join it to the templates."""
    where = tree.where(file)
    first, second, label = _three_numbers(tree.read(file, "list of template pairs"), where)
    names, of_image = dataset.templates()
    numbers = np.array([int(name) for name in names], np.int64)
    owner = None
    if dataset.identities is not None:
        owner = np.zeros(len(names), np.int32)
        person: dict[str, int] = {}
        owner[of_image] = [person.setdefault(name, len(person)) for name in dataset.identities]
    a, b = np.empty(first.size, np.int32), np.empty(first.size, np.int32)
    for start in range(0, first.size, _ROWS):
        rows = slice(start, start + _ROWS)
        a[rows], b[rows] = _places(first[rows], numbers), _places(second[rows], numbers)
        fault = _fault(a[rows], b[rows], (first[rows], second[rows], label[rows]), owner)
        if fault:
            raise InputError(f"{where}, line {start + fault[0] + 1}: {fault[1]}")
    return PairList(a, b, label == 1)


_ROWS = 1 << 18  # pairs at a time


def _fault(
    a: NDArray[np.int32], b: NDArray[np.int32], listed: tuple[NDArray[np.integer[Any]], ...],
    owner: NDArray[np.int32] | None,
) -> tuple[int, str] | None:  # fmt: skip
    """Return the first row of some that cannot be, and what is wrong with it."""
    first, second, label = listed
    unknown = np.flatnonzero((a < 0) | (b < 0))
    if unknown.size:
        row = unknown[0]
        return int(row), f"no image belongs to template {(first if a[row] < 0 else second)[row]}"
    wrong = np.flatnonzero((label != 0) & (label != 1))
    if wrong.size:
        return int(wrong[0]), f"the label is {label[wrong[0]]}; it must be 0 or 1"
    same = np.flatnonzero(a == b)
    if same.size:
        return int(same[0]), "a template is paired with itself"
    if owner is not None:
        torn = np.flatnonzero((owner[a] == owner[b]) != (label == 1))
        if torn.size:
            return int(torn[0]), "the label contradicts the people of the 1:N lists"
    return None


def _places(wanted: NDArray[np.integer[Any]], numbers: NDArray[np.int64]) -> NDArray[np.int32]:
    """Return (n,) the place of each wanted number among others, -1 where it is not among them."""
    top = int(max(numbers.max(), wanted.max()))
    if top < 2**24:  # a table of all numbers is small
        table = np.full(top + 2, -1, np.int32)
        table[numbers] = np.arange(numbers.size, dtype=np.int32)
        found: NDArray[np.int32] = table[np.maximum(wanted, -1)]  # the last entry is for negative ones
        return found
    order = np.argsort(numbers)
    places = order[np.minimum(np.searchsorted(numbers[order], wanted), numbers.size - 1)]
    return np.where(numbers[places] == wanted, places, -1).astype(np.int32)


def _three_numbers(data: bytes, where: str) -> list[NDArray[np.integer[Any]]]:
    for whole in (WHOLE, LONG):
        plain = read_columns(data, [whole] * 3, separator=" ", blank_lines=False)
        if plain is not None:
            return [column.to_numpy() for column in plain]
    for number, line in enumerate(data.splitlines(), start=1):
        words = line.split(b" ")
        if len(words) != 3 or not all(word.isdigit() and len(word) < 19 for word in words):
            text = line.decode("utf-8", "replace")
            raise InputError(f"{where}, line {number}: expected 'template template 0|1', found {text!r:.80}")
    raise InputError(f"{where} holds no template pairs")
