"""Reads Labeled Faces in the Wild, and what borrows its layout: identity folders and a `pairs.txt`.

Source: the README of the LFW database (Huang et al. 2007). XQLFW uses the same grammar for its own pairs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from facebench.data.dataset import Dataset, PairList
from facebench.data.folders import identity_images
from facebench.data.left_out import left_out
from facebench.data.pairs import OWN_PAIRS
from facebench.data.trees import Tree
from facebench.errors import InputError

DEFAULT_PAIRS = "pairs.txt"
PEOPLE = "people.txt"
_PAIR_FILE = re.compile(r"(.+_)?pairs.*\.txt", re.IGNORECASE)
_NAME = re.compile(r"[^\s/\\]+")
_NUMBER = re.compile(r"[0-9]{1,7}")


@dataclass(frozen=True, slots=True)
class LfwPair:
    """One comparison of a `pairs.txt`."""

    a: str  # image id, such as "Abel_Pacheco/Abel_Pacheco_0001"
    b: str
    genuine: bool
    fold: int | None  # 0..folds-1 in View 2; None in View 1


def pair_files(tree: Tree) -> list[str]:
    """Return the names of the LFW pair lists at the top of a tree."""
    return [name for name in tree.top() if _PAIR_FILE.fullmatch(name)]


def read_lfw(tree: Tree, name: str, pairs: str | None) -> Dataset:
    """Read identity folders of images ``name/name_0001.jpg`` with their pair list, always loaded.

    The dataset holds every image of the folders and every image the pair list or `people.txt` names: one whose file
    is missing fails when it is read. `pairs` chooses among several lists; otherwise it is `pairs.txt`.

    Raises:
        InputError: with file and line, for whatever breaks the grammar.
    """
    chosen = _choose(tree, pairs)
    rows = parse_pairs(_text(tree, chosen), tree.where(chosen))
    files = identity_images(tree)
    named = {image for row in rows for image in (row.a, row.b)}
    if tree.has(PEOPLE):
        people = [person for group in parse_people(_text(tree, PEOPLE), tree.where(PEOPLE)) for person in group]
        named.update(_image_id(person, number) for person, count in people for number in range(1, count + 1))
    image_ids = sorted({*files, *named})
    missing = sorted(named - set(files))
    index = {image_id: position for position, image_id in enumerate(image_ids)}
    return Dataset(
        name=name,
        root=tree.root,
        image_ids=tuple(image_ids),
        images=tuple(tree.source(files.get(image_id, f"{image_id}.jpg")) for image_id in image_ids),
        identities=tuple(image_id.partition("/")[0] for image_id in image_ids),
        pairs=_pair_list(rows, index),
        format=chosen,
        left_out=left_out("images the lists name that are missing", missing, "kept: each is a recorded failure"),
    )


def parse_pairs(text: str, where: str) -> list[LfwPair]:
    """Parse a pair list; fields are separated by tabs.

    The first line holds the number of folds and the number n of pairs per kind and fold (View 2), or n alone
    (View 1). Then, per fold, n genuine lines ``name i j`` and n impostor lines ``name1 i name2 j``.

    >>> parse_pairs("1\\nA_B\\t1\\t2\\nA_B\\t1\\tC\\t3\\n", "pairs.txt")[1].b
    'C/C_0003'
    """
    lines = _lines(text)
    header = lines[0].split("\t")
    if len(header) > 2 or not all(map(_NUMBER.fullmatch, header)) or 0 in map(int, header):
        raise InputError(
            f"{where}, line 1: {lines[0]!r} is no header; expected the number of folds, a tab and the number of pairs, "
            "such as '10\\t300', or the number of pairs alone"
        )
    folds, per_kind = (1, int(header[0])) if len(header) == 1 else map(int, header)
    promised = folds * per_kind * 2
    pairs = []
    for position, line in enumerate(lines[1 : promised + 1]):
        fold, place_in_fold = divmod(position, 2 * per_kind)
        place = f"{where}, line {position + 2}"
        parse = _genuine if place_in_fold < per_kind else _impostor
        pairs.append(parse(line, None if len(header) == 1 else fold, place))
    if len(lines) - 1 != promised:
        raise InputError(
            f"{where}, line {min(len(lines), promised + 2)}: the header promises {promised:,} pairs, "
            f"but the file has {len(lines) - 1:,}; fetch the list again"
        )
    return pairs


def parse_people(text: str, where: str) -> list[list[tuple[str, int]]]:
    """Parse a list of people: the number of sets; per set a count, then that many lines ``name n`` (n images).

    The lists of View 1 hold one set and no number of sets.

    >>> parse_people("1\\n2\\nAnn\\t3\\nBob\\t1\\n", "people.txt")
    [[('Ann', 3), ('Bob', 1)]]
    """
    lines = _lines(text)
    one_set = len(lines) > 1 and "\t" in lines[1]
    n_sets = 1 if one_set else _count(lines, 0, where)
    line = 0 if one_set else 1
    sets = []
    for _ in range(n_sets):
        count = _count(lines, line, where)
        sets.append([_person(lines, row, where) for row in range(line + 1, line + 1 + count)])
        line += 1 + count
    if line < len(lines):
        raise InputError(f"{where}, line {line + 1}: the sets end before this line; check the counts above")
    return sets


def _choose(tree: Tree, pairs: str | None) -> str:
    if pairs not in (None, OWN_PAIRS):
        return str(pairs)
    found = pair_files(tree)
    if DEFAULT_PAIRS in found:
        return DEFAULT_PAIRS
    if len(found) != 1:
        raise InputError(f"{tree.root} has the pair lists {', '.join(found)}; the protocol must name one (pairs: …)")
    return found[0]


def _text(tree: Tree, name: str) -> str:
    try:
        return tree.read(name, "pair list").decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{tree.where(name)} is not UTF-8 text (byte {error.start}); save it as UTF-8") from None


def _lines(text: str) -> list[str]:
    return text.replace("\r\n", "\n").rstrip("\n").split("\n")


def _genuine(line: str, fold: int | None, place: str) -> LfwPair:
    fields = line.split("\t")
    if len(fields) != 3:
        raise InputError(f"{place}: expected a genuine pair 'name, i, j' separated by tabs, found {line!r}")
    name, i, j = fields
    pair = LfwPair(_checked_id(name, i, place), _checked_id(name, j, place), True, fold)
    if pair.a == pair.b:
        raise InputError(f"{place}: image {i} of {name} is paired with itself")
    return pair


def _impostor(line: str, fold: int | None, place: str) -> LfwPair:
    fields = line.split("\t")
    if len(fields) != 4:
        raise InputError(f"{place}: expected an impostor pair 'name1, i, name2, j' separated by tabs, found {line!r}")
    first, i, second, j = fields
    if first == second:
        raise InputError(f"{place}: an impostor pair needs two people, found {first} twice")
    return LfwPair(_checked_id(first, i, place), _checked_id(second, j, place), False, fold)


def _checked_id(name: str, number: str, place: str) -> str:
    _check_name(name, place)
    if not _NUMBER.fullmatch(number) or int(number) == 0:
        raise InputError(f"{place}: {number!r} is no image number; expected 1, 2, 3, …")
    return _image_id(name, int(number))


def _check_name(name: str, place: str) -> None:
    if not _NAME.fullmatch(name) or name in (".", ".."):
        raise InputError(f"{place}: {name!r} is no name; expected words joined by underscores")


def _image_id(name: str, number: int) -> str:
    return f"{name}/{name}_{number:04d}"


def _count(lines: list[str], line: int, where: str) -> int:
    if line >= len(lines):
        raise InputError(f"{where}, line {len(lines)}: the file ends too early; fetch the list again")
    if not _NUMBER.fullmatch(lines[line]):
        raise InputError(f"{where}, line {line + 1}: expected a count, found {lines[line]!r}")
    return int(lines[line])


def _person(lines: list[str], line: int, where: str) -> tuple[str, int]:
    if line >= len(lines):
        raise InputError(f"{where}, line {len(lines)}: the file ends too early; fetch the list again")
    place = f"{where}, line {line + 1}"
    name, tab, number = lines[line].partition("\t")
    if not tab or not _NUMBER.fullmatch(number) or len(number) > 4 or int(number) == 0:
        raise InputError(f"{place}: expected 'name, number of images' separated by a tab, found {lines[line]!r}")
    _check_name(name, place)
    return name, int(number)


def _pair_list(rows: list[LfwPair], index: dict[str, int]) -> PairList:
    folds = [row.fold for row in rows if row.fold is not None]
    return PairList(
        a=np.array([index[row.a] for row in rows], np.int64),
        b=np.array([index[row.b] for row in rows], np.int64),
        genuine=np.array([row.genuine for row in rows], np.bool_),
        fold=np.array(folds, np.int64) if folds else None,
    )
