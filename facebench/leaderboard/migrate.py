"""Write entries of earlier schema versions as the present one has them; no number and no id changes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from facebench.errors import InputError
from facebench.files import read_json, write_atomic
from facebench.leaderboard.add import entry_text
from facebench.leaderboard.recompute import places_in
from facebench.schema import SCHEMA_VERSION, Result


def migrate_entries(paths: Sequence[Path]) -> list[Path]:
    """Rewrite every entry that is of an earlier version; all are read and checked before the first is written.

    Args:
        paths: entries, or folders that hold some.

    Returns:
        The files that were rewritten.

    Raises:
        InputError: an entry is malformed, or its content does not match its id.
    """
    found: dict[Path, Result] = {}
    for place in (place for path in paths for place in places_in(path)):
        content = read_json(place.path, "entry")
        result = Result.parse(content, where=f"entry {place.path}")
        if not result.result_id == result.compute_id() == place.result_id:
            raise InputError(f"entry {place.path}: its content does not match its result_id; it was changed")
        if content.get("schema_version") != SCHEMA_VERSION:
            found[place.path] = result
    for path, result in found.items():
        write_atomic(path, entry_text(result))
    return list(found)
