"""What a pull request may change: it adds entries and names, and touches nothing else.

The contents come from a place that is not trusted, named by their Git hashes; the hashes they must have come from
whoever hosts the repository.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from facebench.errors import ExitCode, FaceBenchError, InputError
from facebench.files import read_bytes, write_atomic
from facebench.leaderboard.folder import is_plain
from facebench.leaderboard.names import MODELS, load_names
from facebench.schema.leaderboard import ModelNames, Note, Problem

MAX_CHANGES = 1_000
_NAME = r"[A-Za-z0-9][A-Za-z0-9_.+-]*"
_ENTRY = re.compile(rf"leaderboard/{_NAME}/{_NAME}/([0-9a-f]{{64}})\.[A-Za-z0-9._-]+")
_MODELS = f"leaderboard/{MODELS}"
Change = Mapping[str, str]


@dataclass(frozen=True)
class Submission:
    """What a pull request brings.

    Attributes:
        entries: the new entries, laid over the leaderboard; none when something is refused.
        problems: why it is refused.
        notes: what a person must decide before merging it.
    """

    entries: tuple[Path, ...]
    problems: tuple[Problem, ...]
    notes: tuple[Note, ...]


def lay_over(changes: Sequence[Change], data: Path, leaderboard: Path) -> Submission:
    """Check what a pull request changes, and lay it over a leaderboard.

    Args:
        changes: for each file its `status`, `path` and Git hash `sha`, as the host of the repository names them.
        data: folder of contents, each named by its hash.
        leaderboard: of the base branch.
    """
    problems = [*_paths(changes, leaderboard), *_contents(changes, data)]
    if problems:
        return Submission((), tuple(problems), ())
    before = load_names(leaderboard)
    for change in changes:
        write_atomic(leaderboard.parent / change["path"], (data / change["sha"]).read_bytes())
    try:
        after = load_names(leaderboard)
    except FaceBenchError as error:
        return Submission((), (Problem(field=MODELS, why=str(error), exit_code=error.exit_code),), ())
    problems, notes = list(_broken(before, after)), list(_decisions(before, after))
    entries = tuple(leaderboard.parent / path for path in _entries(changes))
    if not entries and not problems and not notes:
        problems = [Problem(field="entries", why="no entry was added")]
    return Submission(() if problems else entries, tuple(problems), tuple(notes))


def _entries(changes: Sequence[Change]) -> list[str]:
    return [c["path"] for c in changes if re.fullmatch(rf"leaderboard/{_NAME}/{_NAME}/[0-9a-f]{{64}}\.json", c["path"])]


def _paths(changes: Sequence[Change], leaderboard: Path) -> Iterator[Problem]:
    if len(changes) > MAX_CHANGES:
        yield Problem(field="files", why=f"{len(changes):,} files; at most {MAX_CHANGES:,} in one request")
        return
    entries = {path.removesuffix(".json") for path in _entries(changes)}
    for change in changes:
        path = change["path"]
        if path == _MODELS and change["status"] in ("modified", "added"):
            continue
        found = _ENTRY.fullmatch(path)
        if change["status"] != "added" or found is None:
            why = "a submission adds files of entries and lines of models.json, and changes nothing else"
            yield Problem(field=path[:200], why=why, exit_code=ExitCode.NOT_COMPARABLE)
        elif path.endswith(".verdict.json"):
            yield Problem(field=path, why="a verdict is made where it is used; leave it out")
        elif path.rpartition("/")[0] + f"/{found[1]}" not in entries:
            yield Problem(field=path, why="a file beside an entry that this request does not add")
        elif (leaderboard.parent / path).exists():
            yield Problem(field=path, why="it is there already")


def _contents(changes: Sequence[Change], data: Path) -> Iterator[Problem]:
    """Refuse contents that are missing, or that are not those of the pull request."""
    for change in changes:
        name = change["sha"]
        if change["status"] == "removed":
            continue
        try:
            if not re.fullmatch(r"[0-9a-f]{40}", name) or not is_plain(data / name):
                raise InputError("its content did not arrive: it is no plain file, or the first workflow was changed")
            content = read_bytes(data / name, "content")
            # Git names a content by its SHA-1
            found = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
            if found != name:
                raise InputError("what arrived is not the content of the pull request")
        except InputError as error:
            yield Problem(field=change["path"][:200], why=str(error))


def _broken(before: ModelNames, after: ModelNames) -> Iterator[Problem]:
    """Refuse changes of names that are there: only the maintainers of the leaderboard make them."""
    if list(after.models)[: len(before.models)] != list(before.models):
        yield Problem(field=MODELS, why="names that are there stay, in their order; new ones follow at the end")
        return
    for name, old in before.models.items():
        new = after.models[name]
        same = (new.maintainer, new.variant_of) == (old.maintainer, old.variant_of)
        if not same or new.weights[: len(old.weights)] != old.weights:
            yield Problem(
                field=f"{MODELS}: {name}", why="its maintainer and its weights stay; revisions follow at the end"
            )


def _decisions(before: ModelNames, after: ModelNames) -> Iterator[Note]:
    """Say what a person decides by merging."""
    for name, new in after.models.items():
        old = before.models.get(name)
        if old is None:
            of = f", as a variant of {new.variant_of}" if new.variant_of else ""
            yield Note(field=f"{MODELS}: {name}", why=f"a new name{of}, for which {new.maintainer} answers")
        elif new.weights != old.weights:
            why = f"merge only if {old.maintainer} asks for it: from now on the name stands for other weights"
            yield Note(field=f"{MODELS}: {name}", why=why)
