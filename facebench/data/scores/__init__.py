"""Files of comparison scores, as other tools write them: read line by line, with every sample named where it can be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from facebench.data.scores.bee import read_bee
from facebench.data.scores.rows import (
    BLANKS,
    SAVE_WITH_COMMAS,
    ScoreTable,
    check_identities,
    reject_unlabelled,
    with_samples,
)
from facebench.data.scores.tables import read_csv
from facebench.data.scores.text import NIST_HEADER, read_bob, read_cmc, read_nist, read_pyeer, words_of
from facebench.errors import InputError, UnknownNameError
from facebench.files import check_file

__all__ = ["OPTIONS", "ScoreTable", "read_scores", "score_files"]

OPTIONS = {
    "format": "bob, pyeer, cmc, nist, bee or csv; told from the file when not given",
    "column": "csv: the column of scores",
    "impostor": "pyeer, nist: the file of impostor scores",
    "match": "cmc: the file of genuine query-template pairs",
    "mask": "bee: the mask; default: the same name with .mask",
    "samples": "table with image_id, identity and attributes of the samples, or with identity and attributes",
    "scale": "similarity (default) or distance: lower is more alike",
}
MAX_SCORES_BYTES = 2**38  # read line by line, or mapped
_FILES = ("impostor", "match", "mask", "samples")
_USED = {
    "bob": (), "pyeer": ("impostor",), "cmc": ("match",), "nist": ("impostor",), "bee": ("mask",), "csv": ("column",),
}  # fmt: skip


def score_files(path: Path, options: Mapping[str, str]) -> list[Path]:
    """Return every file a reference names; those of options lie relative to the score file's folder."""
    found = [path]
    if path.suffix == ".mtx" and "mask" not in options:
        found.append(path.with_suffix(".mask"))
    return found + [path.parent / options[key] for key in _FILES if key in options]


def read_scores(path: Path, options: Mapping[str, str]) -> ScoreTable:
    """Read a file of scores.

    Args:
        path: the file; of genuine scores, where a second one holds the impostors.
        options: of `OPTIONS`.

    Raises:
        InputError: an unknown option, or a file that does not add up, with file, line and cause.
    """
    for key in options:
        if key not in OPTIONS:
            raise UnknownNameError("option", key, OPTIONS, where=f"scores:{path}")
    check_file(path, "score file", MAX_SCORES_BYTES)
    kind = options.get("format") or _kind(path, options)
    if kind not in _USED:
        raise UnknownNameError("score format", kind, _USED, where=f"scores:{path}")
    idle = [key for key in options if key not in ("format", "samples", "scale", *_USED[kind])]
    if idle:
        raise InputError(f"scores:{path}: the option {idle[0]!r} has no meaning for {kind} files; leave it out")
    for file in score_files(path, options):
        check_file(file, "score file", MAX_SCORES_BYTES)
    table = _read(kind, path, options)
    if options.get("scale", "similarity") not in ("similarity", "distance"):
        raise UnknownNameError("scale", options["scale"], ["similarity", "distance"], where=f"scores:{path}")
    if options.get("scale") == "distance":
        failed = np.isneginf(table.scores)
        table = replace(table, scores=np.where(failed, -np.inf, -table.scores))
    return reject_unlabelled(check_identities(table, str(path)), str(path))


def _read(kind: str, path: Path, options: Mapping[str, str]) -> ScoreTable:
    others = {key: path.parent / options[key] for key in _FILES if key in options}
    samples = others.get("samples")
    if kind == "nist":
        return _nist(path, others)
    if kind == "pyeer":
        if "impostor" not in others:
            raise InputError(f"{path} holds genuine scores; name the file of impostor scores: #impostor=FILE")
        table = read_pyeer(path, others["impostor"])
    elif kind == "cmc":
        if "match" not in others:
            raise InputError(f"{path}: name the file of genuine query-template pairs: #match=FILE")
        table = read_cmc(path, others["match"])
    elif kind == "bee":
        table = read_bee(path, others.get("mask", path.with_suffix(".mask")))
    elif kind == "csv":
        table = read_csv(path, options.get("column"))
    else:
        table = read_bob(path)
    return with_samples(table, samples) if samples else table


def _nist(path: Path, others: Mapping[str, Path]) -> ScoreTable:
    """Read a NIST log, whose mates are told by a second log of impostors or by the identities of the samples."""
    samples = others.get("samples")
    table = read_nist(path, others.get("impostor"))
    if samples is None and "impostor" not in others:
        raise InputError(
            f"{path}: a NIST log does not say which comparisons are genuine; name a log of non-mated comparisons "
            "(#impostor=FILE) or a table of the samples with image_id and identity (#samples=FILE)"
        )
    if samples is None:
        return table
    table = with_samples(table, samples)
    if table.identities is None:
        raise InputError(f"{samples}: the column identity is missing; it says which comparisons are genuine")
    if "impostor" in others:
        return table
    code = np.unique(np.asarray(table.identities), return_inverse=True)[1]
    return replace(table, genuine=code[table.a] == code[table.b])


def _kind(path: Path, options: Mapping[str, str]) -> str:
    """Tell the format from what was asked for, the file's ending and its first line."""
    if path.suffix in (".pkl", ".pickle"):
        raise InputError(f"{path} is a pickle, which is never read: it may run code; save the table as CSV")
    if path.suffix == ".mtx":
        return "bee"
    if path.suffix == ".csv" or "column" in options:
        return "csv"
    if "match" in options:
        return "cmc"
    first = next((words for _, words in words_of(path)), [])
    if tuple(word.lower() for word in first) == NIST_HEADER:
        return "nist"
    if len(first) == 1 and first[0].count(",") >= 3:
        return "csv"
    if first and first[0].count(";") >= 3:
        raise InputError(f"{path}, line 1: the columns are separated by semicolons; {SAVE_WITH_COMMAS}")
    if "impostor" in options:
        return "pyeer"
    if len(first) in (4, 5):
        return "bob"
    raise InputError(
        f"{path}, line 1: {len(first)} columns tell no format. bob has 4 or 5 columns; genuine scores need "
        "#impostor=FILE; query, template and score need #match=FILE; a NIST log has a header; else say #format=NAME; "
        f"{BLANKS}"
    )
