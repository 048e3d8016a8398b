"""How a leaderboard lies on disk.

leaderboard/
  <protocol>/
    board.json                                  the definition of the protocol: `Board`
    images.json, protocol.json                  shared by all entries
    <model>/
      <result_id>.json                          the entry: a result
      <result_id>.<file>.bz2                    its embeddings, and what its sections need, compressed
      <result_id>.<file>.elsewhere.json         in place of a file: where it is, and its sha256
      <result_id>.paired.safetensors            what a rank on the same comparisons needs: `Paired`

"""

from __future__ import annotations

import bz2
import hashlib
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from facebench.errors import InputError
from facebench.files import read_bytes, read_json, sha256_bytes, write_atomic
from facebench.measure.sample import Pairs
from facebench.measure.saved import IMAGES, PROTOCOL
from facebench.schema import Artifact, Result
from facebench.schema.leaderboard import Board, Elsewhere

BOARD = "board.json"
NAME = re.compile(r"[A-Za-z0-9][\w.+-]{0,119}", re.ASCII)
RESULT_ID = re.compile(r"[0-9a-f]{64}")
KEPT = ("embeddings", "scores", "section")
"""Kinds of files an entry keeps by itself; images and protocol belong to the board."""
MAX_FILE = 2_000_000_000


@dataclass(frozen=True)
class Place:
    """Where an entry lies: the leaderboard's folder, protocol, model and result id."""

    root: Path
    protocol: str
    model: str
    result_id: str

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

    def packed(self, artifact: Artifact) -> Path:
        """Return where a file of the entry is kept, compressed."""
        return self.path.with_name(f"{self.result_id}.{artifact.path}.bz2")

    def fetched(self, artifact: Artifact) -> Path:
        """Return where a file that is kept elsewhere is looked for, as the run wrote it."""
        return self.path.with_name(f"{self.result_id}.{artifact.path}")

    def pointer(self, artifact: Artifact) -> Path:
        """Return the record that says where a file is, when it is not here."""
        return self.path.with_name(f"{self.result_id}.{artifact.path}.elsewhere.json")


def place_of(path: Path) -> Place:
    """Return the place of an entry from its path.

    Raises:
        InputError: the path has another shape, or a name in it is not allowed.
    """
    path = Path(path)
    if len(path.parts) < 3 or path.suffix != ".json":
        raise InputError(f"{path} is no entry: entries are <protocol>/<model>/<result_id>.json in a leaderboard")
    place = Place(path.parents[2], path.parents[1].name, path.parents[0].name, path.stem)
    for kind, name in (("protocol", place.protocol), ("model", place.model)):
        if not NAME.fullmatch(name):
            raise InputError(f"{path}: {kind} name {name!r}: use letters, digits, and . _ + - only")
    if not RESULT_ID.fullmatch(place.result_id):
        raise InputError(f"{path}: the file must be named by its result_id, 64 hexadecimal digits")
    return place


def entries_of(root: Path, protocol: str | None = None) -> Iterator[Place]:
    """Iterate over the entries of a leaderboard, in the order of their paths."""
    for path in sorted(Path(root).glob(f"{protocol or '*'}/*/*.json")):
        if RESULT_ID.fullmatch(path.stem):
            yield place_of(path)


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


def unpack(path: Path) -> bytes:
    """Read a compressed file.

    Raises:
        InputError: it is no bzip2 file, or would unpack to more than two gigabytes.
    """
    try:
        with bz2.BZ2File(io.BytesIO(read_bytes(path, "file of an entry"))) as stream:
            content = stream.read(MAX_FILE + 1)
    except (OSError, EOFError) as error:
        raise InputError(f"{path}: not a bzip2 file: {error}") from error
    if len(content) > MAX_FILE:
        raise InputError(f"{path}: unpacks to more than {MAX_FILE:,} bytes")
    return content


def kept(result: Result) -> list[Artifact]:
    """Return the files of a result that an entry keeps by itself."""
    return [artifact for artifact in result.artifacts if artifact.kind in KEPT]


def read_kept(place: Place, artifact: Artifact) -> bytes | None:
    """Read a file of an entry, compressed or fetched; None when it is not here."""
    if place.packed(artifact).is_file():
        return unpack(place.packed(artifact))
    fetched = place.fetched(artifact)
    return read_bytes(fetched, "file of an entry") if fetched.is_file() else None


def find_elsewhere(place: Place, artifact: Artifact) -> Elsewhere | None:
    """Return where a file of an entry is, if it is not beside it."""
    path = place.pointer(artifact)
    if not path.is_file():
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
        if Path(artifact.path).name != artifact.path:
            raise InputError(f"artifact {artifact.path!r} lies outside the folder of its entry")
        elsewhere = find_elsewhere(place, artifact)
        content = read_kept(place, artifact)
        if content is not None:
            write_atomic(folder / artifact.path, content)
        elif elsewhere is not None:
            missing.append((artifact, elsewhere))
        else:
            raise InputError(f"{place.packed(artifact)} is missing")
    return missing
