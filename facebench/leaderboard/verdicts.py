"""Verdicts are kept beside entries, so that a site of hundreds of entries is built without computing them all again.

A verdict holds as long as nothing it rests on changes: the entry and every file beside it, the definition of the
protocol, and FaceBench's own code. What depends on other entries and on names is looked at every time. A verdict is
sealed with a key of this machine, so that one that came with an entry is not believed.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
from functools import cache
from pathlib import Path

import numpy as np

from facebench import files
from facebench.errors import FaceBenchError, WriteError
from facebench.files import asset_dir, cache_dir, canonical_json, read_json, sha256_bytes, sha256_file, write_atomic
from facebench.leaderboard.folder import BOARD, Place, files_of, is_plain
from facebench.measure.saved import IMAGES, PROTOCOL
from facebench.schema.leaderboard import Validation, Verdict

KEY = "leaderboard.key"
_SHOWN_ONLY = ("report", "cli", "gate")  # rooms that compute nothing of a result


def rests_on(place: Place) -> str:
    """Return the sha256 of all that decides whether an entry validates by itself."""
    beside = [path for path in files_of(place) if path != place.verdict]
    shipped = asset_dir("protocols") / f"{place.protocol}.yaml"
    pinned = [place.board / name for name in (BOARD, IMAGES, PROTOCOL)]
    return sha256_bytes(
        canonical_json(
            {
                "at": place.relative,
                "files": {os.fsencode(path.name).hex(): _file(path) for path in beside},
                "board": [_file(path) for path in (*pinned, shipped)],
                "code": code_sha256(),
            }
        ).encode()
    )


def _file(path: Path) -> str:
    return sha256_file(path) if is_plain(path) else "no plain file"


@cache
def code_sha256() -> str:
    """Return the sha256 of the code that computes results, and of the version of NumPy."""
    package = Path(files.__file__).parent
    digest = hashlib.sha256(np.__version__.encode())
    for path in sorted(package.rglob("*.py")):
        inside = path.relative_to(package)
        if inside.parts[0] not in _SHOWN_ONLY:
            digest.update(f"{inside.as_posix()} {sha256_file(path)}\n".encode())
    return digest.hexdigest()


def save_verdict(place: Place, validation: Validation) -> None:
    """Keep a validation beside its entry."""
    basis = rests_on(place)
    verdict = Verdict(rests_on=basis, validation=validation, seal=_seal(basis, validation))
    with contextlib.suppress(WriteError):  # a folder that cannot be written costs time, nothing else
        write_atomic(place.verdict, verdict.model_dump_json(indent=1) + "\n")


def load_verdict(place: Place) -> Validation | None:
    """Return the validation kept beside an entry; None when there is none, or none that holds."""
    if not is_plain(place.verdict):
        return None
    try:
        verdict = Verdict.parse(read_json(place.verdict, "verdict"), where=f"verdict {place.verdict}")
    except (FaceBenchError, ValueError):
        return None
    if not hmac.compare_digest(verdict.seal.encode(), _seal(verdict.rests_on, verdict.validation).encode()):
        return None
    return verdict.validation if verdict.rests_on == rests_on(place) else None


def _seal(basis: str, validation: Validation) -> str:
    body = canonical_json([basis, validation.model_dump(mode="json")]).encode()
    return hmac.new(_key(), body, "sha256").hexdigest()


def _key() -> bytes:
    """Return this machine's key, made when first needed."""
    path = cache_dir() / KEY
    with contextlib.suppress(OSError):
        found = path.read_bytes()
        if len(found) == 32:
            return found
    key = os.urandom(32)
    try:
        write_atomic(path, key)
        path.chmod(0o600)
    except (WriteError, OSError):
        return key  # of this process alone
    return key
