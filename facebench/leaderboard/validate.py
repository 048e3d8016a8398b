"""Validate entries: every number is computed again from the embeddings, and whatever differs is named.

Nothing in an entry raises: what cannot be read or computed is a refusal that names the field.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from facebench.errors import ExitCode, FaceBenchError, InputError
from facebench.files import read_json, sha256_bytes
from facebench.leaderboard.copies import Known, copy_findings, known_entries
from facebench.leaderboard.fingerprint import (
    load_fingerprint,
    make_fingerprint,
    same_fingerprint,
    vector_findings,
)
from facebench.leaderboard.folder import (
    MAX_ENTRY,
    MAX_FILE,
    Place,
    files_of,
    find_elsewhere,
    gather,
    is_plain,
    kept,
    load_board,
    pairs_sha256,
    place_of,
    read_kept,
)
from facebench.leaderboard.names import load_names, name_notes, name_problems, weights_of
from facebench.leaderboard.paired import make_paired, same_paired
from facebench.leaderboard.problems import (
    date_notes,
    definition_problems,
    failure_problems,
    number_problems,
    reported_parts,
)
from facebench.leaderboard.verdicts import load_verdict, save_verdict
from facebench.measure.sample import Pairs
from facebench.measure.saved import is_scored, load_inputs, load_scores
from facebench.run.evaluate import remeasure
from facebench.run.protocols import Protocol
from facebench.schema import Artifact, Result
from facebench.schema.leaderboard import Board, ModelNames, Note, Problem, Validation, utf8
from facebench.scoring import failed_rows

Report = Callable[[Validation], None]
Finding = Problem | Note
SLACK = 64_000_000  # bytes of pairs and names in a file of embeddings, beyond the vectors
_WHY = 600


def validate_entries(paths: Sequence[Path], report: Report = lambda _: None) -> list[Validation]:
    """Validate entries one after the other; folders stand for all entries in them.

    Args:
        paths: entries, or a leaderboard, or folders in it.
        report: called with each validation as soon as it is known.

    Raises:
        InputError: a path is no entry and holds none.
    """
    found, entries = [], list(_expanded(paths))
    rivals = {root: known_entries(root) for root in {_root(path) for path in entries}}
    for path in entries:
        validation = validate_entry(path, rivals[_root(path)])
        report(validation)
        found.append(validation)
    return found


def exit_code(validations: Sequence[Validation]) -> ExitCode:
    """Return the exit code of the whole: bad input before refused numbers, then not comparable, then incomplete."""
    order = (ExitCode.USAGE, ExitCode.REGRESSION, ExitCode.NOT_COMPARABLE, ExitCode.INCOMPLETE)
    codes = {problem.exit_code for validation in validations for problem in validation.problems}
    return next((code for code in order if code in codes), ExitCode.PASS)


def _root(path: Path) -> Path:
    return path.parents[2] if len(path.parts) > 3 else Path()


def _expanded(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        inside = [p for p in sorted(path.rglob("*.json")) if len(p.stem) == 64]
        if not inside:
            raise InputError(f"{path} holds no entries")
        yield from inside


def validate_entry(path: Path, rivals: Sequence[Known] | None = None, *, fresh: bool = True) -> Validation:
    """Validate one entry; whatever is wrong is in the returned problems, never raised.

    Args:
        path: the entry.
        rivals: the entries of the leaderboard, where they are known already.
        fresh: compute everything again, also where a verdict beside the entry still holds.
    """
    try:
        place = place_of(path)
    except FaceBenchError as error:
        return Validation(entry=str(path), problems=(_refusal("entry", error),))
    alone = None if fresh else load_verdict(place)
    if alone is None:
        alone = _alone(place)
        if is_plain(place.path):
            save_verdict(place, alone)
    problems, notes = _parted(_safely("model.name", lambda: _among(place, rivals)))
    return alone.model_copy(
        update={"entry": utf8(str(path)), "problems": (*alone.problems, *problems), "notes": (*alone.notes, *notes)}
    )


def _parted(found: Iterable[Finding]) -> tuple[tuple[Problem, ...], tuple[Note, ...]]:
    listed = list(found)
    problems = tuple(finding for finding in listed if isinstance(finding, Problem))
    return problems, tuple(finding for finding in listed if isinstance(finding, Note))


def _safely(field: str, check: Callable[[], Iterable[Finding]]) -> list[Finding]:
    """Return what a check finds; what it cannot digest is a refusal too, so that one entry never stops the others."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return list(check())
    except Exception as error:  # the entry is a stranger's: whatever breaks on it is a reason to refuse it
        return [_refusal(field, error)]


def _refusal(field: str, error: Exception) -> Problem:
    if isinstance(error, FaceBenchError):
        return Problem(field=field, why=str(error)[:_WHY], exit_code=error.exit_code)
    code = ExitCode.USAGE if field == "entry" else ExitCode.REGRESSION
    return Problem(field=field, why=f"cannot be checked: {type(error).__name__}: {error}"[:_WHY], exit_code=code)


def _alone(place: Place) -> Validation:
    """Validate an entry by itself: what it says, and what its files give."""
    try:
        board, result = _read(place)
    except Exception as error:  # as in `_safely`
        return Validation(entry=place.relative, problems=(_refusal("entry", error),))
    found = _safely("result_id", lambda: _identity(result, place))
    found += _safely("entry", lambda: definition_problems(result, place, board))
    found += _safely("files", lambda: _beside(result, place))
    # what is no entry of this board has nothing to be computed again, and what is ill-formed cannot be
    if not any(isinstance(p, Problem) and _stops(p) for p in found):
        found += _safely("artifacts", lambda: _recomputed(result, place, board))
    problems, notes = _parted([*found, *date_notes(result)])
    return Validation(
        entry=place.relative,
        estimates=len(result.estimates),
        reported=reported_parts(result),
        problems=problems,
        notes=notes,
    )


def _stops(problem: Problem) -> bool:
    ill = ("artifacts", "run.seed", "model.embedding_dim", "entry")
    return problem.exit_code is ExitCode.NOT_COMPARABLE or problem.field.startswith(ill)


def _read(place: Place) -> tuple[Board, Result]:
    board = load_board(place.board)
    if not is_plain(place.path):
        raise InputError(f"{place.path}: not a file of its own: links, pipes and folders are no entries")
    if place.path.stat().st_size > MAX_ENTRY:
        raise InputError(f"{place.path}: more than {MAX_ENTRY:,} bytes")
    return board, Result.parse(read_json(place.path, "entry"), where=f"entry {place.path}")


def _identity(result: Result, place: Place) -> Iterator[Problem]:
    computed = result.compute_id()
    if result.result_id != computed:
        why = f"states {result.result_id[:12]}…, its content gives {computed[:12]}…: it was changed after the run"
        yield Problem(field="result_id", why=why)
    elif place.result_id != computed:
        yield Problem(field="result_id", why=f"{computed[:12]}… is not the name of the file")


def _beside(result: Result, place: Place) -> Iterator[Problem]:
    """Refuse whatever bears the entry's id and is none of its files."""
    own = {place.path, place.paired, place.fingerprint, place.verdict}
    for artifact in kept(result):
        own |= {place.packed(artifact), place.fetched(artifact), place.pointer(artifact)}
    for path in files_of(place):
        if path not in own:
            yield Problem(field="files", why=f"{path.name[64:144]!r} beside it is none of its files")
        elif not is_plain(path):
            yield Problem(field="files", why=f"{path.name[64:144]!r} is no plain file: links are not followed")


def _among(place: Place, rivals: Sequence[Known] | None) -> Iterator[Finding]:
    """Look at an entry among the others: whose its name is, and whether it is there already."""
    names: ModelNames = load_names(place.root)
    weights = load_fingerprint(place.fingerprint).weights if is_plain(place.fingerprint) else None
    if weights is not None:  # else it is refused for that
        yield from name_problems(place.model, weights, names)
        yield from name_notes(place.model, names)
    yield from copy_findings(place, known_entries(place.root) if rivals is None else rivals, names)


def _recomputed(result: Result, place: Place, board: Board) -> Iterator[Finding]:
    changed = list(_files(result, place, board))
    if changed:
        yield from changed
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        elsewhere = gather(place, result, folder)
        for artifact, pointer in elsewhere:
            yield Problem(
                field=f"artifacts[{artifact.kind}]",
                why=f"kept elsewhere ({pointer.where}); bring it to {place.fetched(artifact)} first",
                exit_code=ExitCode.INCOMPLETE,
            )
        if not elsewhere:
            found = list(_definition(result, folder, board, place))
            yield from found
            if not any(isinstance(p, Problem) and p.field.startswith("artifacts") for p in found):
                yield from _numbers(result, folder, place)


def _limit(result: Result, board: Board, artifact: Artifact) -> int:
    """Return how many bytes a file may unpack to: embeddings need no more than their shape."""
    if artifact.kind == "embeddings":
        return min(MAX_FILE, board.data.n_images * result.model.embedding_dim * 8 + SLACK)
    return MAX_FILE


def _files(result: Result, place: Place, board: Board) -> Iterator[Problem]:
    """Compare the files beside an entry with the hashes it states."""
    for artifact in kept(result):
        field = f"artifacts[{artifact.kind}].sha256"
        pointer = find_elsewhere(place, artifact)
        if pointer is not None and pointer.sha256 != artifact.sha256:
            yield Problem(field=field, why=f"{place.pointer(artifact).name} names another file")
        content = read_kept(place, artifact, _limit(result, board, artifact))
        if content is not None and sha256_bytes(content) != artifact.sha256:
            yield Problem(field=field, why=f"{artifact.path} is not the file the result was computed from")


def _definition(result: Result, folder: Path, board: Board, place: Place) -> Iterator[Finding]:
    """Compare what lies beside the result with what the board pins, and look at the vectors themselves."""
    pairs: Pairs | None
    vectors = None
    if is_scored(result):
        _, images, pairs, spec = load_scores(result, folder)
    else:
        vectors, images, pairs, spec = load_inputs(result, folder)
        if vectors.ndim != 2 or vectors.dtype.kind != "f":
            why = f"embeddings of shape {vectors.shape} and type {vectors.dtype}; floating-point rows are wanted"
            yield Problem(field="artifacts[embeddings]", why=why)
            return
        if vectors.shape[1] != result.model.embedding_dim:
            yield Problem(field="model.embedding_dim", why=f"the embeddings have {vectors.shape[1]} dimensions")
        if (abs(vectors) == float("inf")).any():
            yield Problem(field="artifacts[embeddings]", why="infinite numbers; an image that failed is NaN")
            return
        yield from vector_findings(vectors)
    if pairs_sha256(pairs) != board.pairs_sha256:
        why = "the comparisons beside the entry are not those of this leaderboard"
        yield Problem(field="artifacts[embeddings].pairs", why=why, exit_code=ExitCode.NOT_COMPARABLE)
    if Protocol(spec, folder).sha256 != result.protocol.sha256:
        why = "the protocol beside the entry is another"
        yield Problem(field="protocol.sha256", why=why, exit_code=ExitCode.NOT_COMPARABLE)
    if vectors is not None and spec.templates is None:
        failed = {images.image_ids[i] for i in failed_rows(vectors).nonzero()[0].tolist()}
        yield from failure_problems(result, images.image_ids, failed)
    contents = next(a.sha256 for a in kept(result) if a.kind in ("embeddings", "scores"))
    fresh = make_fingerprint(vectors, contents, weights_of(result.model))
    if not is_plain(place.fingerprint) or not same_fingerprint(load_fingerprint(place.fingerprint), fresh):
        yield Problem(field="fingerprint", why=f"{place.fingerprint.name[64:]} does not follow from the embeddings")


def _numbers(result: Result, folder: Path, place: Place) -> list[Problem]:
    fresh = result.model_copy(update=remeasure(result, folder))
    problems = number_problems(result, fresh)
    paired = make_paired(result, folder)
    if paired is not None and not problems and not same_paired(paired, place.paired):
        problems.append(Problem(field="paired", why=f"{place.paired.name} does not follow from the embeddings"))
    if paired is None and place.paired.is_file():
        problems.append(Problem(field="paired", why=f"{place.paired.name} belongs to no entry of this kind"))
    return problems
