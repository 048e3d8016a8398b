"""Score files of words separated by blanks: bob, pyeer and NIST 1:1 logs, read line by line."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

from facebench.data.scores.rows import BLANKS, ScoreRows, ScoreTable, identities_from_genuine, parse_score
from facebench.data.table import is_whole
from facebench.errors import InputError

NIST_HEADER = ("enrolltempl", "veriftempl", "simscore", "returncode")
NIST_FAILED = -1.0


def words_of(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield line number and words of every line that is not blank.

    Raises:
        InputError: the file cannot be read, or is not text.
    """
    number = 0
    try:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if b"\0" in line:
                    raise InputError(f"{path}, line {number}: not text; a score file has words separated by blanks")
                text = line.decode("utf-8-sig").strip()
                cells = [cell.strip() for cell in text.split("\t") if cell.strip()]
                words = cells if len(cells) >= 3 else text.split()  # with tabs, names may hold blanks
                if words:
                    yield number, words
    except FileNotFoundError:
        raise InputError(f"score file not found: {path}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}, line {number}: not UTF-8 text") from None
    except OSError as error:
        raise InputError(f"cannot read score file {path}: {error.strerror}") from error


def read_bob(path: Path) -> ScoreTable:
    """Read ``claimed real probe score``, or five columns with the model's label after the claimed identity.

    Genuine means that the claimed and the real identity are one. The label, or else the claimed identity, names the
    reference. Source: bob.bio.base, score file formats.

    Raises:
        InputError: with file and line, for whatever does not add up.
    """
    rows = ScoreRows(str(path))
    _check_shift(path)
    width = 0
    for line, words in words_of(path):
        width = width or len(words)
        if len(words) != width or width not in (4, 5):
            raise InputError(
                f"{rows.place(line)}: {len(words)} columns{f', above {width}' if len(words) != width else ''}; bob "
                f"writes 'claimed real probe score', or 5 columns with the model's label after claimed; {BLANKS}"
            )
        claimed, real, probe, score = words[0], *words[-3:]
        reference = rows.sample(f"reference {words[1] if width == 5 else claimed}", line, claimed)
        known = rows.sample(probe, line, real)
        rows.add(reference, known, claimed == real, parse_score(score, rows.place(line)), line)
    return rows.table(f"bob scores, {width} columns", identities=rows.facts(0))


def _check_shift(path: Path) -> None:
    """Refuse four columns that a blank in the probe's name makes five: the real identity stands where a label would."""
    first = [words for _, words in islice(words_of(path), 10_000)]
    if all(len(words) == 5 and words[0] != words[2] for words in first) and any(
        words[0] == words[1] for words in first
    ):
        raise InputError(f"{path}: 5 columns, but no comparison is genuine as they stand; {BLANKS}")


def read_pyeer(genuine: Path, impostor: Path) -> ScoreTable:
    """Read a file of genuine and one of impostor scores; the score is the last column.

    With three columns the first two name the samples compared. Source: pyeer's documentation.

    Raises:
        InputError: with file and line.
    """
    rows = ScoreRows(f"{genuine} and {impostor}")
    width = 0
    histogram = True
    for path, label in ((genuine, True), (impostor, False)):
        rows.where = str(path)
        before = -math.inf
        for line, words in words_of(path):
            width = width or len(words)
            if len(words) != width:
                raise InputError(
                    f"{rows.place(line)}: {len(words)} columns, above {width}; the score is the last one; {BLANKS}"
                )
            if width > 3:
                raise InputError(
                    f"{rows.place(line)}: {width} columns; expected the score, or two names and the score; {BLANKS}"
                )
            score = parse_score(words[-1], rows.place(line))
            place = _number(words[0]) if width == 2 else math.nan
            histogram = histogram and before < place and score >= 0 and score.is_integer()
            before = place
            a, b = (
                (rows.sample(words[0], line), rows.sample(words[1], line))
                if width >= 3
                else (2 * len(rows), 2 * len(rows) + 1)
            )
            rows.add(a, b, label, score, line)
    rows.where = f"{genuine} and {impostor}"
    table = rows.table("genuine and impostor scores", identities=None)
    if histogram and len(rows):
        note = "the two columns look like a histogram (rising scores, whole counts), and the counts were read as scores"
        table = replace(table, notes=(*table.notes, note))
    return table if table.names is None else identities_from_genuine(table, rows.where)


def _number(word: str) -> float:
    """Return a word as number; NaN when it is none."""
    try:
        return float(word)
    except ValueError:
        return math.nan


def read_cmc(path: Path, match: Path) -> ScoreTable:
    """Read pyeer's ``query template score`` with a list ``query template`` of the genuine comparisons.

    Queries are probes and templates the gallery, unless a name stands on both sides.

    Raises:
        InputError: with file and line; also a listed pair that has no score.
    """
    mates: dict[tuple[str, str], int] = {}
    for line, words in words_of(match):
        if len(words) != 2:
            raise InputError(f"{match}, line {line}: {len(words)} columns; expected 'query template'; {BLANKS}")
        if mates.setdefault((words[0], words[1]), line) != line:
            raise InputError(f"{match}, lines {mates[words[0], words[1]]} and {line}: the same pair is listed twice")
    rows = ScoreRows(str(path))
    unseen = dict(mates)
    for line, words in words_of(path):
        if len(words) != 3:
            raise InputError(f"{rows.place(line)}: {len(words)} columns; expected 'query template score'; {BLANKS}")
        pair = (words[0], words[1])
        unseen.pop(pair, None)
        a, b = rows.sample(words[1], line), rows.sample(words[0], line)
        rows.add(a, b, pair in mates, parse_score(words[2], rows.place(line)), line)
    if unseen:
        (query, template), line = next(iter(unseen.items()))
        raise InputError(
            f"{match}, line {line}: {query} {template} has no score in {path} ({len(unseen):,} such pairs); a query "
            "without a score would vanish from the rates"
        )
    table = identities_from_genuine(rows.table("query, template, score", identities=None), str(path))
    probes, gallery = set(table.b.tolist()), set(table.a.tolist())
    if probes & gallery:
        return table
    return replace(table, roles=tuple("probe" if n in probes else "gallery" for n in range(len(table.names or ()))))


def read_nist(path: Path, impostor: Path | None) -> ScoreTable:
    """Read a NIST 1:1 log ``enrollTempl verifTempl simScore returnCode``; a score of -1 is a comparison that failed.

    The log names no mates: either `impostor` is a second log, of non-mated comparisons, and this one holds mated ones,
    or every comparison is returned as an impostor, to be labelled by a list of samples.

    Raises:
        InputError: with file and line.
    """
    rows = ScoreRows(str(path))
    for log, label in ((path, impostor is not None), *(((impostor, False),) if impostor else ())):
        rows.where = str(log)
        for line, words in words_of(log):
            if tuple(word.lower() for word in words) == NIST_HEADER:
                continue
            if len(words) != 4:
                raise InputError(
                    f"{rows.place(line)}: {len(words)} columns; expected 'enrollTempl verifTempl simScore returnCode'"
                )
            enrolled, verified, score, code = words
            if not is_whole(code.removeprefix("-")):
                raise InputError(f"{rows.place(line)}: return code {code!r} is no whole number")
            value = parse_score(score, rows.place(line))
            failed = value == NIST_FAILED or int(code) != 0
            a, b = rows.sample(enrolled, line), rows.sample(verified, line)
            rows.add(a, b, label, float("-inf") if failed else value, line)
    table = rows.table("NIST 1:1 log", identities=None)
    return table if impostor is None else identities_from_genuine(table, str(path))
