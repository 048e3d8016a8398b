"""Compute the numbers of entries again, without their models, under the protocol and by the code of today.

For maintainers: statistics and protocols improve, the embeddings stay. A protocol that changed changes for all its
entries at once, because they must stay comparable.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facebench.errors import InputError
from facebench.execution import environment
from facebench.files import read_bytes, read_json, sha256_bytes, write_atomic
from facebench.leaderboard.add import pack_files, without_pictures, write_entry
from facebench.leaderboard.folder import BOARD, Place, entries_of, files_of, gather, load_board, place_of
from facebench.measure.saved import PROTOCOL, protocol_text
from facebench.run.evaluate import remeasure
from facebench.run.protocols import Protocol, load_protocol, protocol_names, reference
from facebench.schema import ProtocolSpec, Result
from facebench.schema.leaderboard import Board
from facebench.schema.result import Recomputation

Report = Callable[[Place, Place], None]
_COMPUTED: dict[str, Any] = {"estimates": [], "curves": [], "unmeasured": []}


@dataclass(frozen=True)
class _Today:
    """The definition of a protocol as it is now: the file entries are computed with, and the board they belong to."""

    content: bytes
    board: Board
    changed: bool


def recompute_entries(paths: Sequence[Path], report: Report = lambda _old, _new: None) -> list[Place]:
    """Put a recomputed entry in the place of each; folders stand for all entries in them.

    All of a protocol are computed before the first is replaced.

    Args:
        paths: entries, or folders that hold some.
        report: called with the old and the new place of each entry that was replaced.

    Raises:
        InputError: files are missing or lie elsewhere, or the protocol changed and not all its entries are named.
    """
    wanted = [place for path in paths for place in places_in(path)]
    made = []
    for folder in sorted({place.board for place in wanted}):
        places = [place for place in wanted if place.board == folder]
        made += _recompute_board(folder, places, report)
    return made


def places_in(path: Path) -> list[Place]:
    """Return the entry of a path, or all entries in a folder."""
    if not path.is_dir():
        return [place_of(path)]
    found = [place_of(p) for p in sorted(path.rglob("*.json")) if len(p.stem) == 64]
    if not found:
        raise InputError(f"{path} holds no entries")
    return found


def _recompute_board(folder: Path, places: Sequence[Place], report: Report) -> list[Place]:
    today = _today(folder)
    left = {place.path.resolve() for place in entries_of(folder.parent, folder.name)} - {
        p.path.resolve() for p in places
    }
    if today.changed and left:
        raise InputError(
            f"{folder.name}: the protocol changed since its entries were made, and they must stay comparable; "
            f"recompute all of them: facebench leaderboard recompute {folder}"
        )
    with tempfile.TemporaryDirectory() as temporary:
        results = [_recomputed(place, today, Path(temporary) / place.result_id) for place in places]
        if today.changed:
            write_atomic(folder / PROTOCOL, today.content)
            write_atomic(folder / BOARD, today.board.model_dump_json(indent=1) + "\n")
        made = []
        for place, result in zip(places, results, strict=True):
            new = Place(place.root, place.protocol, place.model, result.result_id)
            old = files_of(place)
            pack_files(result, Path(temporary) / place.result_id, new)
            write_entry(result, Path(temporary) / place.result_id, new)
            if new != place:
                for path in old:
                    path.unlink()
            report(place, new)
            made.append(new)
    return made


def _today(folder: Path) -> _Today:
    """Return the shipped protocol of the board's name, or the board's own where none is shipped."""
    board = load_board(folder)
    content = read_bytes(folder / PROTOCOL, "protocol")
    if board.protocol.name in protocol_names():
        spec = load_protocol(board.protocol.name).spec
    else:
        spec = ProtocolSpec.parse(json.loads(content), where=str(folder / PROTOCOL))
    pinned = spec.dataset.manifest_sha256
    if pinned is not None and pinned != board.protocol.manifest_sha256:
        raise InputError(
            f"{folder.name}: today's protocol is defined on other images; its entries need their models: run them again"
        )
    protocol = reference(spec, Protocol(spec, folder).sha256, board.protocol.manifest_sha256)
    changed = protocol != board.protocol
    if changed:
        content = protocol_text(spec).encode()
    return _Today(content, board.model_copy(update={"protocol": protocol}), changed)


def _recomputed(place: Place, today: _Today, work: Path) -> Result:
    """Return an entry with its numbers computed again; its files lie in `work` as a run would have left them."""
    stored = _read(place)
    elsewhere = gather(place, stored, work)
    if elsewhere:
        where = elsewhere[0][1].where
        raise InputError(f"{place.path}: its files are kept elsewhere ({where}); bring them beside it first")
    write_atomic(work / PROTOCOL, today.content)
    artifacts = tuple(
        a.model_copy(update={"sha256": sha256_bytes(today.content)}) if a.kind == "protocol" else a
        for a in stored.artifacts
    )
    before = Recomputation(
        result_id=stored.result_id, protocol_sha256=stored.protocol.sha256,
        facebench=environment.facebench_version(), at=environment.now(),
    )  # fmt: skip
    run = stored.run.model_copy(update={"recomputed": (*stored.run.recomputed, before)})
    asked = stored.model_copy(update={"protocol": today.board.protocol, "artifacts": artifacts, "run": run})
    try:
        fresh = asked.model_copy(update=remeasure(asked, work))
    except (KeyError, IndexError, ValueError, TypeError) as error:
        raise InputError(
            f"{place.path}: today's protocol asks for what its files do not hold ({type(error).__name__}: {error}); "
            "run the model again"
        ) from error
    found = fresh.model_copy(update=without_pictures(fresh)).with_id()
    # what comes out as it was, was not changed, and says nothing of being computed again
    return found if found.result_id != place.result_id else found.model_copy(update={"run": stored.run})


def _read(place: Place) -> Result:
    """Read an entry without the numbers that are computed again; an earlier version may have written them otherwise."""
    content = read_json(place.path, "entry")
    if not isinstance(content, dict):
        raise InputError(f"entry {place.path}: expected keys and values, found {type(content).__name__}")
    return Result.parse({**content, **_COMPUTED}, where=f"entry {place.path}")
