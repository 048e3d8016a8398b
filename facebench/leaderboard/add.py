"""Make an entry of a run: pictures left out, embeddings rounded if asked, every number computed again."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.errors import InputError, NotComparableError
from facebench.files import is_folder, read_bytes, sha256_bytes, sha256_file, write_atomic
from facebench.leaderboard.fingerprint import make_fingerprint, save_fingerprint
from facebench.leaderboard.folder import (
    BOARD,
    Place,
    entries_of,
    kept,
    load_board,
    pack,
    pairs_sha256,
)
from facebench.leaderboard.names import bind_name, weights_of
from facebench.leaderboard.paired import make_paired, save_paired
from facebench.leaderboard.problems import definition_problems, number_problems
from facebench.measure.saved import IMAGES, PROTOCOL, is_scored, load_inputs, load_result, load_scores
from facebench.run.evaluate import remeasure
from facebench.run.protocols import Protocol
from facebench.schema import SCHEMA_VERSION, Artifact, ProtocolSpec, Result
from facebench.schema.leaderboard import Board, Elsewhere, Problem


def add_entry(
    run: Path, root: Path, *, half: bool = False, elsewhere: str | None = None, maintainer: str | None = None,
    new_revision: bool = False,
) -> Place:  # fmt: skip
    """Make an entry of the run in a folder and return its place; adding it again changes nothing.

    The first entry of a protocol also writes its definition, which later entries must meet.

    Args:
        run: result.json, or the folder it lies in, with the files of the run beside it.
        root: the leaderboard's folder.
        half: round the embeddings to half precision, which halves the entry; the numbers are those of the rounded ones.
        elsewhere: an address, or the command that makes the files again; they are then named, not copied, and the
            entry does not rank until they are brought and its numbers are computed again.
        maintainer: who answers for the name of the model; needed for a name that is new on this leaderboard.
        new_revision: let the name stand for these weights too.

    Raises:
        InputError: the run is limited, its numbers cannot be recomputed, or a name is not allowed.
        NotComparableError: it measures something else than the entries of this protocol.
    """
    folder = run if is_folder(run) else run.parent
    stored = load_result(run)
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        result = _prepared(stored, folder, work, half=half, protocol=_shared_protocol(stored, Path(root)))
        place = Place(Path(root), result.protocol.name, result.model.name, result.result_id)
        board = _board(result, work, place)
        _refuse(definition_problems(result, place, board), folder)
        if not half:  # rounded numbers have just been computed
            _refuse(number_problems(result, result.model_copy(update=remeasure(result, work))), folder)
        _check_new(place)
        bind_name(place.root, result.model, maintainer, new_revision=new_revision)
        _write_files(result, work, place, elsewhere)
        write_entry(result, work, place)
    return place


def write_entry(result: Result, work: Path, place: Place) -> None:
    """Write the entry, and what is computed from the files of its run for ranks and for telling copies."""
    paired = make_paired(result, work)
    if paired is not None:
        save_paired(paired, place.paired)
    vectors = None if is_scored(result) else load_inputs(result, work)[0]
    contents = next(a.sha256 for a in kept(result) if a.kind in ("embeddings", "scores"))
    save_fingerprint(make_fingerprint(vectors, contents, weights_of(result.model)), place.fingerprint)
    write_atomic(place.path, entry_text(result))


def entry_text(result: Result) -> str:
    """Return a result as JSON without what equals its default: a third of the size, and it reads back as the same.

    The version stands there always: without it a file is of version 1.
    """
    return f'{{"schema_version":{SCHEMA_VERSION},{result.model_dump_json(exclude_defaults=True)[1:]}\n'


def _refuse(problems: list[Problem], folder: Path) -> None:
    if not problems:
        return
    kind = NotComparableError if problems[0].exit_code == NotComparableError.exit_code else InputError
    raise kind("\n".join([f"{folder} cannot be added:", *(f"  {p.field}: {p.why}" for p in problems)]))


def _check_new(place: Place) -> None:
    for other in entries_of(place.root):
        if other.result_id == place.result_id and other != place:
            raise InputError(f"the same result is there already: {other.path}")


def _shared_protocol(stored: Result, root: Path) -> bytes | None:
    """Return the protocol file of the board, if it asks for the same.

    A later FaceBench may write the same protocol in other words, such as a new key without a value.
    """
    path = root / stored.protocol.name / PROTOCOL
    if not path.is_file():
        return None
    content = path.read_bytes()
    spec = ProtocolSpec.parse(json.loads(content), where=str(path))
    return content if Protocol(spec, path.parent).sha256 == stored.protocol.sha256 else None


def _prepared(stored: Result, folder: Path, work: Path, *, half: bool, protocol: bytes | None) -> Result:
    """Copy the files of a run, without pictures and rounded if asked, and return the result they give."""
    contents = {a.path: read_bytes(folder / a.path, f"{a.kind} file") for a in kept(stored)}
    for name in (IMAGES, PROTOCOL):
        contents[name] = read_bytes(folder / name, name)
    rewritten = {a.path for a in kept(stored)} if half else set()
    if protocol is not None:
        contents[PROTOCOL] = protocol
        rewritten.add(PROTOCOL)
    if half:
        contents |= {a.path: _rounded(contents[a.path], stored) for a in kept(stored) if a.kind != "scores"}
    for name, content in contents.items():
        write_atomic(work / name, content)
    # what was neither rounded nor taken from the board must still be what the run wrote
    wanted = tuple(
        Artifact(path=a.path, kind=a.kind, sha256=sha256_bytes(contents[a.path]) if a.path in rewritten else a.sha256)
        for a in stored.artifacts
        if a.path in contents
    )
    run = stored.run.model_copy(update={"rounded": half or stored.run.rounded, "command": public(stored.run.command)})
    update: dict[str, Any] = {"artifacts": wanted, "run": run, **without_pictures(stored)}
    result = stored.model_copy(update=update)
    if half:
        result = result.model_copy(update=remeasure(result, work))
        result = result.model_copy(update=without_pictures(result))
    return result.with_id()


def public(command: str) -> str:
    """Return a command without the folders of the machine it ran on, which are nobody's business.

    >>> public("facebench run /home/me/model.yaml phantom-core --data faces=/data/faces --out /tmp/x")
    'facebench run model.yaml phantom-core --data faces=faces --out x'
    """
    return re.sub(r"(?<![\w.])/(?:[^\s/'\"]+/)*([^\s/'\"]*)", r"\1", command)


def without_pictures(result: Result) -> dict[str, Any]:
    """Return the details of a result without their pictures: nobody can compute a picture again."""
    update: dict[str, Any] = {}
    if result.robustness is not None:
        attacks = result.robustness.attacks
        if attacks is not None:
            cells = tuple(cell.model_copy(update={"picture": None}) for cell in attacks.cells)
            attacks = attacks.model_copy(update={"cells": cells})
        update["robustness"] = result.robustness.model_copy(update={"examples": (), "attacks": attacks})
    if result.explanation is not None:
        update["explanation"] = result.explanation.model_copy(update={"gallery": ()})
    return update


def _rounded(content: bytes, result: Result) -> bytes:
    """Round every table of embeddings in a file to half precision, and keep its type, so that it is read as before."""
    from safetensors import safe_open
    from safetensors.numpy import load, save

    tensors: dict[str, NDArray[Any]] = load(content)
    with tempfile.NamedTemporaryFile(suffix=".safetensors") as copy:
        copy.write(content)
        copy.flush()
        with safe_open(copy.name, "np") as stored:
            metadata = stored.metadata()
    wide = result.model.embedding_dim
    for name, tensor in tensors.items():
        if tensor.dtype == np.float32 and tensor.ndim == 2 and tensor.shape[1] == wide:
            tensors[name] = tensor.astype(np.float16).astype(np.float32)
            if np.isinf(tensors[name]).any():
                raise InputError("embeddings beyond 65,504 cannot be rounded to half precision; leave out --half")
    rounded: bytes = save(tensors, metadata)
    return rounded


def _board(result: Result, work: Path, place: Place) -> Board:
    """Return the definition of the entry's protocol; for the first entry, write it."""
    if (place.board / BOARD).is_file():
        return load_board(place.board)
    pairs = load_scores(result, work)[2] if is_scored(result) else load_inputs(result, work)[2]
    board = Board(
        protocol=result.protocol,
        data=result.data.model_copy(update={"n_failed": 0}),
        images_sha256=sha256_file(work / IMAGES),
        pairs_sha256=pairs_sha256(pairs),
    )
    _refuse(definition_problems(result, place, board), work)
    for name in (IMAGES, PROTOCOL):
        write_atomic(place.board / name, (work / name).read_bytes())
    write_atomic(place.board / BOARD, board.model_dump_json(indent=1) + "\n")
    return board


def _write_files(result: Result, work: Path, place: Place, elsewhere: str | None) -> None:
    if elsewhere is None:
        pack_files(result, work, place)
        return
    for artifact in kept(result):
        pointer = Elsewhere(sha256=artifact.sha256, where=elsewhere)
        write_atomic(place.pointer(artifact), pointer.model_dump_json(indent=1) + "\n")


def pack_files(result: Result, work: Path, place: Place) -> None:
    """Compress the files of a run beside its entry."""
    for artifact in kept(result):
        write_atomic(place.packed(artifact), pack((work / artifact.path).read_bytes()))
