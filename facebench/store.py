"""Finished work kept on disk, one file per batch, named by everything that determines its content.

A run that is killed finds its finished batches again. Batches are the unit because a network may give a row slightly
different bits in another batch: a resumed run must end with exactly the numbers of an uninterrupted one.

Runs may share a folder: a file is written whole or not at all, and equal names mean equal content. A file that is
damaged, or was written for another name, is told (logger ``facebench``), removed, and made again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.files import canonical_json, sha256_bytes, write_atomic
from facebench.schema import Failure, ModelCard

FORMAT = 2

Arrays = Mapping[str, NDArray[Any]]


class CheckedFolder:
    """A folder of named files of arrays, each with a record (JSON) and a checksum over all of it and the name."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, name: str) -> Path:
        """Return where the file of that name lies."""
        return self._folder / f"{name}.safetensors"

    def get(self, name: str) -> tuple[dict[str, NDArray[Any]], Any] | None:
        """Return the arrays and the record that were stored under a name, or None."""
        from safetensors import SafetensorError, safe_open

        path = self.path(name)
        try:
            with safe_open(path, "np") as stored:
                arrays = {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118 - not a mapping
                about = stored.metadata() or {}
        except FileNotFoundError:
            return None
        except (SafetensorError, OSError, ValueError, TypeError) as error:
            _drop(path, str(error))
            return None
        if about.get("sha256") != _checksum(name, arrays, about.get("record", "")):
            _drop(path, "its content does not match its checksum")
            return None
        return arrays, json.loads(about["record"])

    def put(self, name: str, arrays: Arrays, record: Any = None) -> None:
        """Store arrays and a record under a name, atomically.

        Raises:
            WriteError: the disk is full or the folder cannot be written.
        """
        from safetensors.numpy import save

        plain = {key: np.ascontiguousarray(value) for key, value in arrays.items()}
        text = json.dumps(record)
        write_atomic(self.path(name), save(plain, {"record": text, "sha256": _checksum(name, plain, text)}))

    def clear(self) -> None:
        """Remove the folder and everything in it."""
        shutil.rmtree(self._folder, ignore_errors=True)


def _drop(path: Path, why: str) -> None:
    """Remove a damaged file, and tell of it."""
    logging.getLogger("facebench").warning("%s is damaged (%s); it is removed and made again", path, why)
    with suppress(OSError):
        path.unlink()


def _checksum(name: str, arrays: Arrays, record: str) -> str:
    digest = hashlib.sha256(f"{name}\n{record}\n".encode())
    for key in sorted(arrays):
        digest.update(f"{key} {arrays[key].dtype} {arrays[key].shape}\n".encode())
        digest.update(np.ascontiguousarray(arrays[key]).data)
    return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class StoredBatch:
    """Embeddings of one batch, (B, D) float32 with NaN rows for failed images, and the failures."""

    vectors: NDArray[np.float32]
    failures: tuple[Failure, ...]


class EmbeddingStore:
    """A folder of batches of one model."""

    def __init__(self, root: Path, card: ModelCard, *, runtime: dict[str, Any]) -> None:
        described = card.model_dump(mode="json", exclude={"licence", "training_data"})
        name = sha256_bytes(canonical_json([FORMAT, described, runtime]).encode())
        self._files = CheckedFolder(root / "embeddings" / name)

    def path(self, content: list[str]) -> Path:
        """Return where a batch lies, given the sha256 of each of its images (or why an image has none)."""
        return self._files.path(_name(content))

    def get(self, content: list[str]) -> StoredBatch | None:
        """Return a batch that was stored before, or None."""
        found = self._files.get(_name(content))
        if found is None:
            return None
        arrays, failures = found
        return StoredBatch(arrays["vectors"], tuple(Failure(**failure) for failure in failures))

    def put(self, content: list[str], batch: StoredBatch) -> None:
        """Store a batch; see `CheckedFolder.put`."""
        failures = [failure.model_dump() for failure in batch.failures]
        self._files.put(_name(content), {"vectors": batch.vectors}, failures)


def _name(content: list[str]) -> str:
    return sha256_bytes(canonical_json(content).encode())


class TileStore:
    """A folder of finished tiles of a large comparison, by number."""

    def __init__(self, folder: Path) -> None:
        self._files = CheckedFolder(folder)

    def get(self, number: int) -> dict[str, NDArray[Any]] | None:
        """Return a tile that was stored before, or None."""
        found = self._files.get(str(number))
        return None if found is None else found[0]

    def put(self, number: int, tensors: Arrays) -> None:
        """Store a tile; see `CheckedFolder.put`."""
        self._files.put(str(number), tensors)

    def clear(self) -> None:
        """Remove the folder and everything in it."""
        self._files.clear()
