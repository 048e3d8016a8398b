"""How a leaderboard lies on disk.

leaderboard/
  models.json                                   whose each model name is: `ModelNames`
  <protocol>/
    board.json                                  the definition of the protocol: `Board`
    images.json, protocol.json                  shared by all entries
    <model>/
      <result_id>.json                          the entry: a result
      <result_id>.<file>.bz2                    its embeddings, and what its sections need, compressed
      <result_id>.<file>.elsewhere.json         in place of a file: where it is, and its sha256
      <result_id>.paired.safetensors            what a rank on the same comparisons needs: `Paired`
      <result_id>.fingerprint.safetensors       by what its embeddings are known again: `Fingerprint`
      <result_id>.verdict.json                  the outcome of its validation on this machine; never committed

"""

from __future__ import annotations

import bz2
import hashlib
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from facebench.errors import InputError
from facebench.files import file_name, read_bytes, read_json, sha256_bytes, write_atomic
from facebench.measure.sample import Pairs
from facebench.measure.saved import IMAGES, PROTOCOL
from facebench.schema import Artifact, Result
from facebench.schema.leaderboard import Board, Elsewhere

BOARD = "board.json"
RESULT_ID = re.compile(r"[0-9a-f]{64}")
KEPT = ("embeddings", "scores", "section")
"""Kinds of files an entry keeps by itself; images and protocol belong to the board."""
MAX_FILE = 1_000_000_000
MAX_ENTRY = 32_000_000
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Place:
    """Where an entry lies: the leaderboard's folder, protocol, model and result id."""

    root: Path
    protocol: str
    model: str
    result_id: str

    def __post_init__(self) -> None:
        file_name(self.protocol, "protocol.name")
        file_name(self.model, "model.name")
        if not RESULT_ID.fullmatch(self.result_id):
            raise InputError(f"result_id {self.result_id[:80]!r} must be 64 hexadecimal digits")

    @property
    def board(self) -> Path:
        """The folder of the protocol."""
        return self.root / self.protocol

    @property
    def path(self) -> Path:
        """The entry itself."""
        return self.board / self.model / f"{self.result_id}.json"

    @property
    def relative(self) -> str:
        """The entry's path inside the leaderboard."""
        return f"{self.protocol}/{self.model}/{self.result_id}.json"

    @property
    def paired(self) -> Path:
        """What a rank on the same comparisons needs."""
        return self.path.with_name(f"{self.result_id}.paired.safetensors")

    @property
    def fingerprint(self) -> Path:
        """By what its embeddings are known again."""
        return self.path.with_name(f"{self.result_id}.fingerprint.safetensors")

    @property
    def verdict(self) -> Path:
        """The outcome of its validation."""
        return self.path.with_name(f"{self.result_id}.verdict.json")

    def packed(self, artifact: Artifact) -> Path:
        """Return where a file of the entry is kept, compressed."""
        return self._beside(artifact, ".bz2")

    def fetched(self, artifact: Artifact) -> Path:
        """Return where a file that is kept elsewhere is looked for, as the run wrote it."""
        return self._beside(artifact, "")

    def pointer(self, artifact: Artifact) -> Path:
        """Return the record that says where a file is, when it is not here."""
        return self._beside(artifact, ".elsewhere.json")

    def _beside(self, artifact: Artifact, ending: str) -> Path:
        return self.path.with_name(f"{self.result_id}.{file_name(artifact.path, 'artifacts.path')}{ending}")


def place_of(path: Path) -> Place:
    """Return the place of an entry from its path.

    Raises:
        InputError: the path has another shape, or a name in it is not allowed.
    """
    path = Path(path)
    if len(path.parts) < 3 or path.suffix != ".json":
        raise InputError(f"{path} is no entry: entries are <protocol>/<model>/<result_id>.json in a leaderboard")
    try:
        return Place(path.parents[2], path.parents[1].name, path.parents[0].name, path.stem)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def entries_of(root: Path, protocol: str | None = None) -> Iterator[Place]:
    """Iterate over the entries of a leaderboard, in the order of their paths; what is named otherwise is no entry."""
    for path in sorted(Path(root).glob(f"{protocol or '*'}/*/*.json")):
        if RESULT_ID.fullmatch(path.stem):
            try:
                yield place_of(path)
            except InputError:
                continue  # told by `strays`


def strays(folder: Path) -> list[Path]:
    """Return what lies in the folder of a protocol and belongs to no entry: files, links, folders of other names."""
    entries = {(place.model, place.result_id) for place in entries_of(folder.parent, folder.name)}
    found = []
    for path in folder.iterdir():
        if not path.is_dir() or path.is_symlink():
            found += [path] if path.name not in (BOARD, IMAGES, PROTOCOL) else []
        else:
            inside = list(path.iterdir())
            found += [p for p in inside if (path.name, p.name.split(".")[0]) not in entries] or (
                [] if inside else [path]
            )
    return sorted(found)


def files_of(place: Place) -> list[Path]:
    """Return every file beside an entry that bears its id, itself and its verdict included."""
    return sorted(path for path in place.path.parent.iterdir() if path.name.split(".")[0] == place.result_id)


def is_plain(path: Path) -> bool:
    """Tell whether a path is a file itself, and no link to one."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def load_board(folder: Path) -> Board:
    """Read the definition of a protocol, and check the files it pins.

    Raises:
        InputError: it is missing or malformed, or images.json or protocol.json beside it are not the pinned ones.
    """
    board = Board.parse(read_json(folder / BOARD, "board"), where=f"board {folder / BOARD}")
    if sha256_bytes(read_bytes(folder / IMAGES, "image table")) != board.images_sha256:
        raise InputError(f"{folder / IMAGES} is not the one {BOARD} pins; restore it")
    return board


def pairs_sha256(pairs: Pairs | None) -> str | None:
    """Return the sha256 of listed comparisons, or None where all images are compared."""
    if pairs is None:
        return None
    digest = hashlib.sha256()
    for column in (pairs.a, pairs.b, pairs.genuine, pairs.fold):
        digest.update(b"none" if column is None else column.astype("<i8").tobytes())
    return digest.hexdigest()


def pack(content: bytes) -> bytes:
    """Compress a file; equal content gives equal bytes."""
    return bz2.compress(content, 9)


def unpack(path: Path, limit: int = MAX_FILE) -> bytes:
    """Read a compressed file; no more than the limit is ever held.

    Raises:
        InputError: it is no bzip2 file, or would unpack to more bytes than the limit.
    """
    packed, content = memoryview(read_bytes(path, "file of an entry")), bytearray()
    reader = bz2.BZ2Decompressor()
    try:
        while not reader.eof:
            feed = b""
            if reader.needs_input:
                feed, packed = bytes(packed[:_CHUNK]), packed[_CHUNK:]
                if not feed:
                    raise EOFError("it ends too early")
            content += reader.decompress(feed, _CHUNK)
            if len(content) > limit:
                raise InputError(f"{path}: unpacks to more than {limit:,} bytes")
    except (OSError, EOFError) as error:
        raise InputError(f"{path}: not a bzip2 file: {error}") from error
    if reader.unused_data or packed:
        raise InputError(f"{path}: more follows after the end of the compressed file")
    return bytes(content)


def kept(result: Result) -> list[Artifact]:
    """Return the files of a result that an entry keeps by itself."""
    return [artifact for artifact in result.artifacts if artifact.kind in KEPT]


def read_kept(place: Place, artifact: Artifact, limit: int = MAX_FILE) -> bytes | None:
    """Read a file of an entry, compressed or fetched; None when it is not here."""
    if is_plain(place.packed(artifact)):
        return unpack(place.packed(artifact), limit)
    fetched = place.fetched(artifact)
    if not is_plain(fetched):
        return None
    if fetched.stat().st_size > limit:
        raise InputError(f"{fetched}: holds more than {limit:,} bytes")
    return read_bytes(fetched, "file of an entry")


def find_elsewhere(place: Place, artifact: Artifact) -> Elsewhere | None:
    """Return where a file of an entry is, if it is not beside it."""
    path = place.pointer(artifact)
    if not is_plain(path):
        return None
    return Elsewhere.parse(read_json(path, "pointer"), where=f"pointer {path}")


def gather(place: Place, result: Result, folder: Path) -> list[tuple[Artifact, Elsewhere]]:
    """Lay out an entry as a run wrote it, so that it can be computed again; return what is elsewhere.

    Raises:
        InputError: a file is missing.
    """
    missing = []
    for name in (IMAGES, PROTOCOL):
        write_atomic(folder / name, read_bytes(place.board / name, name))
    for artifact in kept(result):
        elsewhere = find_elsewhere(place, artifact)
        content = read_kept(place, artifact)
        if content is not None:
            write_atomic(folder / artifact.path, content)
        elif elsewhere is not None:
            missing.append((artifact, elsewhere))
        else:
            raise InputError(f"{place.packed(artifact)} is missing")
    return missing
