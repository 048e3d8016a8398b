"""Verification benchmarks with pair lists of their own: CFP, CALFW and CPLFW, AgeDB-30, RFW, BFW."""

from __future__ import annotations

import csv
import io
import re
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from facebench.data.benchmarks.matlab import read_splits
from facebench.data.benchmarks.rows import Rows, lines_of, tenths
from facebench.data.dataset import Dataset
from facebench.data.left_out import is_image
from facebench.data.pairs import OWN_PAIRS
from facebench.data.table import is_whole
from facebench.data.trees import Tree
from facebench.errors import InputError, UnknownNameError

CFP_LISTS = {"F": "Protocol/Pair_list_F.txt", "P": "Protocol/Pair_list_P.txt"}
CFP_SPLITS = ("FF", "FP")
_CALFW = re.compile(r"pairs_c[ap]lfw\.txt", re.IGNORECASE)
_NUMBERED = re.compile(r"(.+)_(\d+)\.\w+")
_RFW = re.compile(r"(.*?)txts/([^/]+)/\2_pairs\.txt")
_AGEDB = re.compile(r".*age.*\.mat", re.IGNORECASE)
_AGEDB_NAME = re.compile(r"(?:\d+_)?(.+?)_(\d+)_([mf])\.\w+")


# ---- CFP


def is_cfp(tree: Tree) -> bool:
    """Whether the tree is laid out like Celebrities in Frontal-Profile."""
    return tree.has(CFP_LISTS["F"])


def read_cfp(tree: Tree, name: str, pairs: str | None) -> Dataset:
    """Read CFP: lists ``idx path`` (from 1) of frontal and profile images, and splits ``FF`` or ``FP`` of ten folds.

    `pairs` names the split. Source: Sengupta et al., "Frontal to Profile Face Verification in the Wild", 2016.

    Raises:
        InputError: with file and line.
    """
    if pairs == OWN_PAIRS:
        raise InputError(f"{tree.root} has the splits FF and FP; the protocol must name one (comparisons.pairs: FP)")
    if pairs is not None and pairs not in CFP_SPLITS:
        raise UnknownNameError("split", pairs, CFP_SPLITS, where=str(tree.root))
    rows = Rows(tree)
    lists = {pose: _cfp_list(tree, file, pose, rows) for pose, file in CFP_LISTS.items()}
    sizes: dict[int, str] = {}
    for fold in range(10) if pairs else ():
        for kind in ("same", "diff"):
            file = f"Protocol/Split/{pairs}/{fold + 1:02d}/{kind}.txt"
            before = rows.n_pairs
            for place, line in lines_of(tree, file, "split"):
                _cfp_pair(rows, lists["F"], lists[str(pairs)[1]], line, kind == "same", fold, place)
            sizes.setdefault(rows.n_pairs - before, tree.where(file))
    if len(sizes) > 1:
        (first, a), (second, b) = list(sizes.items())[:2]
        raise InputError(f"{b}: {second:,} pairs, but {a} has {first:,}; every fold has as many of each kind")
    return rows.dataset(name, f"CFP, split {pairs}" if pairs else "CFP")


def _cfp_list(tree: Tree, file: str, pose: str, rows: Rows) -> list[int]:
    found: list[int] = []
    for place, line in lines_of(tree, file, "image list"):
        number, _, path = line.partition(" ")
        plain = path.strip().replace("\\", "/")
        while plain.startswith("../"):
            plain = plain[3:]
        if number != str(len(found) + 1) or not plain:
            raise InputError(f"{place}: expected '{len(found) + 1} path', found {line!r}")
        folders = PurePosixPath(plain).parts
        if len(folders) < 3:
            raise InputError(f"{place}: {plain!r} does not say whose image it is; expected …/person/pose/image")
        view = {"F": "frontal", "P": "profile"}[pose]
        found.append(rows.image(plain.rpartition(".")[0], plain, folders[-3], place, pose=view))
    return found


def _cfp_pair(rows: Rows, first: list[int], second: list[int], line: str, genuine: bool, fold: int, place: str) -> None:
    words = line.split(",")
    if len(words) != 2 or not all(is_whole(word.strip()) for word in words):
        raise InputError(f"{place}: expected two image numbers 'a,b', found {line!r}")
    a, b = (int(word) for word in words)
    for number, images in ((a, first), (b, second)):
        if not 1 <= number <= len(images):
            raise InputError(f"{place}: image {number} is not in the list of {len(images):,}")
    rows.pair(first[a - 1], second[b - 1], genuine, fold, place)


# ---- CALFW and CPLFW


def calfw_file(tree: Tree) -> str | None:
    """Return the pair list of CALFW or CPLFW, if the tree has one."""
    return next((name for name in tree.top() if _CALFW.fullmatch(name)), None)


def read_calfw(tree: Tree, name: str, pairs: str | None) -> Dataset:
    """Read CALFW or CPLFW: two lines ``file label`` per pair, label non-zero for genuine.

    The list has all genuine pairs first; fold k is the k-th tenth of the genuine and of the impostor pairs, since ten
    successive tenths of the list would be folds of one kind. Sources: Zheng et al. 2017; Zheng and Deng 2018.

    Raises:
        InputError: with file and line.
    """
    file = calfw_file(tree)
    assert file is not None
    _refuse_other_list(tree, pairs, file)
    paths = {PurePosixPath(path).name: path for path in tree.files() if is_image(tree, path)}
    found = list(lines_of(tree, file, "pair list"))
    if len(found) % 2:
        raise InputError(f"{found[-1][0]}: a pair takes two lines, and this one stands alone")
    rows = Rows(tree)
    parsed = [_calfw_line(place, line) for place, line in found]
    labels = [label for _, label in parsed[::2]]
    n_of = {True: sum(labels), False: len(labels) - sum(labels)}
    seen = {True: 0, False: 0}
    for number, genuine in enumerate(labels):
        (first, _), (second, other) = parsed[2 * number : 2 * number + 2]
        place = found[2 * number + 1][0]
        if other != genuine:
            raise InputError(f"{place}: the two lines of the pair have different labels")
        a, b = (_calfw_image(rows, paths, image, place) for image in (first, second))
        rows.pair(a, b, genuine, tenths(seen[genuine], n_of[genuine]), place)
        seen[genuine] += 1
    return rows.dataset(name, file, folds=all(n >= 10 for n in n_of.values()))


def _calfw_line(place: str, line: str) -> tuple[str, bool]:
    words = line.split()
    if len(words) != 2 or not is_whole(words[1]):
        raise InputError(f"{place}: expected 'file label', found {line!r}")
    return words[0], int(words[1]) != 0


def _calfw_image(rows: Rows, paths: dict[str, str], file: str, place: str) -> int:
    match = _NUMBERED.fullmatch(file)
    if match is None:
        raise InputError(f"{place}: {file!r} names no person; expected Name_Surname_0001.jpg")
    return rows.image(file.rpartition(".")[0], paths.get(file, file), match[1], place)


def _refuse_other_list(tree: Tree, pairs: str | None, own: str) -> None:
    if pairs not in (None, OWN_PAIRS, own):
        raise InputError(f"{tree.root} brings its own pairs ({own}); it cannot be used with the pair list {pairs!r}")


# ---- AgeDB-30


def agedb_file(tree: Tree) -> str | None:
    """Return the protocol of AgeDB, if the tree has one."""
    return next((name for name in tree.top() if _AGEDB.fullmatch(name)), None)


def read_agedb(tree: Tree, name: str, pairs: str | None) -> Dataset:
    """Read an AgeDB protocol: a ``.mat`` whose ``splits`` are ten folds of pairs with labels +1 and -1.

    A split holds rows of two file names and a label, or a record of such columns. Identity, age and gender come from
    the names, ``number_Person_age_gender.jpg``. Source: Moschoglou et al., "AgeDB", 2017.

    Raises:
        InputError: names the file and the split and pair at fault.
    """
    file = agedb_file(tree)
    assert file is not None
    _refuse_other_list(tree, pairs, file)
    where = tree.where(file)
    paths = {PurePosixPath(path).name: path for path in tree.files() if is_image(tree, path)}
    rows = Rows(tree)
    for fold, split in enumerate(read_splits(tree.read(file, "protocol"), where)):
        for number, (first, second, label) in enumerate(split, start=1):
            place = f"{where}, split {fold + 1}, pair {number}"
            a, b = (_agedb_image(rows, paths, image, place) for image in (first, second))
            rows.pair(a, b, label == 1, fold, place)
    return rows.dataset(name, file)


def _agedb_image(rows: Rows, paths: dict[str, str], file: str, place: str) -> int:
    base = PurePosixPath(file.replace("\\", "/")).name
    match = _AGEDB_NAME.fullmatch(base)
    if match is None:
        raise InputError(f"{place}: {file!r}; expected number_Person_age_gender.jpg")
    gender = {"m": "male", "f": "female"}[match[3]]
    return rows.image(
        base.rpartition(".")[0], paths.get(base, base), match[1], place, age=float(match[2]), gender=gender
    )


# ---- RFW


def rfw_files(tree: Tree) -> dict[str, str]:
    """Return the pair list of each race, by race."""
    return {found[2]: name for name in tree.files() if (found := _RFW.fullmatch(name))}


def read_rfw(tree: Tree, name: str, pairs: str | None) -> Dataset:
    """Read Racial Faces in the Wild: per race a pair list in LFW's rows without a header, landmarks, and images.

    `pairs` may name one race; otherwise all are read, with the attribute ``race``. Impostors are of one race and chosen
    to be hard, so an FMR here is not that of chance encounters. Source: Wang et al. 2019.

    Raises:
        InputError: with file and line.
    """
    files = rfw_files(tree)
    if pairs not in (None, OWN_PAIRS):
        if pairs not in files:
            raise UnknownNameError("race", str(pairs), files, where=str(tree.root))
        files = {str(pairs): files[str(pairs)]}
    rows = Rows(tree)
    races: dict[str, set[str]] = {}
    for race, file in files.items():
        top = file.partition("txts/")[0]
        found = list(lines_of(tree, file, "pair list"))
        for number, (place, line) in enumerate(found):
            a, b, genuine = _rfw_pair(rows, f"{top}data/{race}", race, line, place)
            rows.pair(a, b, genuine, tenths(number, len(found)), place)
            for image in (a, b):
                races.setdefault(rows.identities[image], set()).add(race)
    torn = sum(len(found) > 1 for found in races.values())
    notes = (f"{torn:,} identities carry two races",) if torn else ()
    return rows.dataset(name, "RFW", notes=notes, landmarks=_rfw_landmarks(tree, files, rows))


def _rfw_pair(rows: Rows, folder: str, race: str, line: str, place: str) -> tuple[int, int, bool]:
    words = line.split()
    if len(words) not in (3, 4):
        raise InputError(f"{place}: expected 'id i j' or 'id1 i id2 j', found {line!r}")
    who = (words[0], words[0]) if len(words) == 3 else (words[0], words[2])
    numbers = (words[1], words[-1])
    if not all(is_whole(number) and int(number) > 0 for number in numbers):
        raise InputError(f"{place}: {numbers} are no image numbers; expected 1, 2, 3, …")
    stems = [f"{person}/{person}_{int(number):04d}" for person, number in zip(who, numbers, strict=True)]
    a, b = (
        rows.image(f"{race}/{stem}", f"{folder}/{stem}.jpg", person, place, race=race)
        for stem, person in zip(stems, who, strict=True)
    )
    return a, b, len(words) == 3


def _rfw_landmarks(tree: Tree, files: dict[str, str], rows: Rows) -> Any:
    """Return (n, 5, 2) landmarks of the images that have them, or None."""
    points = np.full((len(rows), 5, 2), np.nan)
    for race, file in files.items():
        lmk = file.replace("_pairs.txt", "_lmk.txt")
        for place, line in lines_of(tree, lmk, "landmarks") if tree.has(lmk) else ():
            words = line.split()
            try:
                values = [float(word) for word in words[2:]]
            except ValueError:
                values = []
            if len(words) != 12 or len(values) != 10 or not np.isfinite(values).all():
                raise InputError(f"{place}: expected a path, one field and x1 y1 .. x5 y5, found {len(words)} fields")
            image_id = "/".join(PurePosixPath(words[0].replace("\\", "/")).parts[-2:]).rpartition(".")[0]
            row = rows.index.get(f"{race}/{image_id}")
            if row is not None:
                points[row] = np.array(values).reshape(5, 2)
    return None if np.isnan(points).all() else points


# ---- BFW


def bfw_file(tree: Tree) -> str | None:
    """Return the datatable of Balanced Faces in the Wild, if the tree has one."""
    for name in tree.top():
        if name.lower().startswith("bfw") and name.endswith((".pkl", ".pickle")) and not tree.has(f"{name[:-4]}.csv"):
            raise InputError(f"{tree.where(name)} is a pickle, which is never read: it may run code; save it as CSV")
    return next((name for name in tree.top() if name.lower().startswith("bfw") and name.endswith(".csv")), None)


def read_bfw(tree: Tree, name: str, pairs: str | None) -> Dataset:
    """Read BFW with its images: the pairs and attributes of the datatable; its columns of scores are left alone.

    Source: Robinson et al., "Face Recognition: Too Bias, or Not Too Bias?", 2020.

    Raises:
        InputError: with file and line.
    """
    file = bfw_file(tree)
    assert file is not None
    _refuse_other_list(tree, pairs, file)
    where = tree.where(file)
    reader = csv.DictReader(io.TextIOWrapper(io.BytesIO(tree.read(file, "datatable")), "utf-8-sig", newline=""))
    wanted = ("fold", "p1", "p2", "label", "id1", "id2", "g1", "g2", "e1", "e2")
    rows = Rows(tree)
    try:
        missing = [column for column in wanted if column not in (reader.fieldnames or ())]
        if missing:
            raise InputError(f"{where}, line 1: lacks the column {', '.join(missing)}")
        for row in reader:
            _bfw_pair(rows, row, f"{where}, line {reader.line_num}")
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{where}, line {reader.line_num + 1}: not CSV in UTF-8: {error}") from None
    return rows.dataset(name, file)


def _bfw_pair(rows: Rows, row: dict[str, Any], place: str) -> None:
    if None in row or None in row.values():
        raise InputError(f"{place}: more or fewer cells than the header has")
    if row["label"] not in ("0", "1", "0.0", "1.0") or not is_whole(row["fold"]) or int(row["fold"]) < 1:
        raise InputError(
            f"{place}: label {row['label']!r} and fold {row['fold']!r}; expected 1 or 0, and a fold from 1"
        )
    a, b = (
        rows.image(
            row[f"p{side}"], row[f"p{side}"], row[f"id{side}"], place,
            gender=row[f"g{side}"] or None, ethnicity=row[f"e{side}"] or None,
        )
        for side in (1, 2)
    )  # fmt: skip
    rows.pair(a, b, float(row["label"]) == 1, int(row["fold"]) - 1, place)
