"""Validate entries: every number is computed again from the embeddings, and whatever differs is named."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from facebench.errors import ExitCode, FaceBenchError, InputError
from facebench.files import read_json, sha256_bytes
from facebench.leaderboard.folder import (
    Place,
    entries_of,
    find_elsewhere,
    gather,
    kept,
    load_board,
    pairs_sha256,
    place_of,
    read_kept,
)
from facebench.leaderboard.paired import make_paired, same_paired
from facebench.leaderboard.problems import definition_problems, number_problems, reported_parts
from facebench.measure.sample import Pairs
from facebench.measure.saved import is_scored, load_inputs, load_scores
from facebench.run.evaluate import remeasure
from facebench.run.protocols import Protocol
from facebench.schema import Result
from facebench.schema.leaderboard import Board, Problem, Validation
from facebench.scoring import failed_rows

Report = Callable[[Validation], None]


def validate_entries(paths: Sequence[Path], report: Report = lambda _: None) -> list[Validation]:
    """Validate entries one after the other; folders stand for all entries in them.

    Args:
        paths: entries, or a leaderboard, or folders in it.
        report: called with each validation as soon as it is known.

    Raises:
        InputError: a path is no entry and holds none.
    """
    found = []
    for path in _expanded(paths):
        validation = validate_entry(path)
        report(validation)
        found.append(validation)
    return found


def exit_code(validations: Sequence[Validation]) -> ExitCode:
    """Return the exit code of the whole: bad input before refused numbers, then not comparable, then incomplete."""
    order = (ExitCode.USAGE, ExitCode.REGRESSION, ExitCode.NOT_COMPARABLE, ExitCode.INCOMPLETE)
    codes = {problem.exit_code for validation in validations for problem in validation.problems}
    return next((code for code in order if code in codes), ExitCode.PASS)


def _expanded(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        inside = [p for p in sorted(path.rglob("*.json")) if len(p.stem) == 64]
        if not inside:
            raise InputError(f"{path} holds no entries")
        yield from inside


def validate_entry(path: Path) -> Validation:
    """Validate one entry; whatever is wrong is in the returned problems, never raised."""
    try:
        place = place_of(path)
        board = load_board(place.board)
        result = Result.parse(read_json(path, "entry"), where=f"entry {path}")
    except FaceBenchError as error:
        return Validation(
            entry=str(path), problems=(Problem(field="entry", why=str(error), exit_code=error.exit_code),)
        )
    problems = [*_identity(result, place), *definition_problems(result, place, board), *_duplicates(result, place)]
    # what is no entry of this board has nothing to be computed again
    if not any(p.exit_code is ExitCode.NOT_COMPARABLE for p in problems):
        problems += _recomputed(result, place, board)
    return Validation(
        entry=str(path), estimates=len(result.estimates), reported=reported_parts(result), problems=tuple(problems)
    )


def _identity(result: Result, place: Place) -> Iterator[Problem]:
    computed = result.compute_id()
    if result.result_id != computed:
        why = f"states {result.result_id[:12]}…, its content gives {computed[:12]}…: it was changed after the run"
        yield Problem(field="result_id", why=why)
    elif place.result_id != computed:
        yield Problem(field="result_id", why=f"{computed[:12]}… is not the name of the file")


def _duplicates(result: Result, place: Place) -> Iterator[Problem]:
    own = {a.sha256 for a in kept(result) if a.kind in ("embeddings", "scores")}
    for other in entries_of(place.root):
        if other.path.resolve() == place.path.resolve():
            continue
        if other.result_id == place.result_id:
            yield Problem(field="result_id", why=f"a duplicate of {other.relative}")
        elif other.protocol == place.protocol and _shares_embeddings(own, other):
            yield Problem(field="artifacts[embeddings].sha256", why=f"the embeddings are those of {other.relative}")


def _shares_embeddings(own: set[str], other: Place) -> bool:
    try:
        content = read_json(other.path, "entry")
        return any(artifact["sha256"] in own for artifact in content["artifacts"])
    except (FaceBenchError, KeyError, TypeError):
        return False  # it is refused when it is validated itself


def _recomputed(result: Result, place: Place, board: Board) -> list[Problem]:
    changed = list(_files(result, place))
    if changed:
        return changed
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        try:
            elsewhere = gather(place, result, folder)
            if elsewhere:
                return [
                    Problem(
                        field=f"artifacts[{artifact.kind}]",
                        why=f"kept elsewhere ({pointer.where}); bring it to {place.fetched(artifact)} first",
                        exit_code=ExitCode.INCOMPLETE,
                    )
                    for artifact, pointer in elsewhere
                ]
            return [*_definition(result, folder, board), *_numbers(result, folder, place)]
        except FaceBenchError as error:
            return [Problem(field="artifacts", why=str(error), exit_code=error.exit_code)]


def _files(result: Result, place: Place) -> Iterator[Problem]:
    """Compare the files beside an entry with the hashes it states."""
    if not any(a.kind in ("embeddings", "scores") for a in kept(result)):
        yield Problem(field="artifacts", why="no embeddings are named, so nothing can be computed again")
    for artifact in kept(result):
        field = f"artifacts[{artifact.kind}].sha256"
        pointer = find_elsewhere(place, artifact)
        if pointer is not None and pointer.sha256 != artifact.sha256:
            yield Problem(field=field, why=f"{place.pointer(artifact).name} names another file")
        content = read_kept(place, artifact)
        if content is not None and sha256_bytes(content) != artifact.sha256:
            yield Problem(field=field, why=f"{artifact.path} is not the file the result was computed from")


def _definition(result: Result, folder: Path, board: Board) -> Iterator[Problem]:
    """Compare what lies beside the result with what the board pins."""
    pairs: Pairs | None
    failed: int | None = None
    if is_scored(result):
        _, _, pairs, spec = load_scores(result, folder)
    else:
        vectors, _, pairs, spec = load_inputs(result, folder)
        failed = int(np.count_nonzero(failed_rows(vectors)))
        if vectors.shape[1] != result.model.embedding_dim:
            yield Problem(field="model.embedding_dim", why=f"the embeddings have {vectors.shape[1]} dimensions")
    if pairs_sha256(pairs) != board.pairs_sha256:
        why = "the comparisons beside the entry are not those of this leaderboard"
        yield Problem(field="artifacts[embeddings].pairs", why=why, exit_code=ExitCode.NOT_COMPARABLE)
    if Protocol(spec, folder).sha256 != result.protocol.sha256:
        why = "the protocol beside the entry is another"
        yield Problem(field="protocol.sha256", why=why, exit_code=ExitCode.NOT_COMPARABLE)
    if failed is not None and spec.templates is None and failed != result.data.n_failed:
        why = f"{result.data.n_failed:,} are stated, {failed:,} embeddings are missing"
        yield Problem(field="data.n_failed", why=why)


def _numbers(result: Result, folder: Path, place: Place) -> list[Problem]:
    fresh = result.model_copy(update=remeasure(result, folder))
    problems = number_problems(result, fresh)
    paired = make_paired(result, folder)
    if paired is not None and not problems and not same_paired(paired, place.paired):
        problems.append(Problem(field="paired", why=f"{place.paired.name} does not follow from the embeddings"))
    if paired is None and place.paired.is_file():
        problems.append(Problem(field="paired", why=f"{place.paired.name} belongs to no entry of this kind"))
    return problems
