"""Embeddings kept on disk, one file per batch, named by everything that determines their content.

A run that is killed finds its finished batches again. Batches are the unit because a network may give a row slightly
different bits in another batch: a resumed run must end with exactly the numbers of an uninterrupted one.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.files import canonical_json, sha256_bytes, write_atomic
from facebench.schema import Failure, ModelCard

FORMAT = 1


@dataclass(frozen=True, eq=False)
class StoredBatch:
    """Embeddings of one batch, (B, D) float32 with NaN rows for failed images, and the failures."""

    vectors: NDArray[np.float32]
    failures: tuple[Failure, ...]


class EmbeddingStore:
    """A folder of batches of one model."""

    def __init__(self, root: Path, card: ModelCard, *, runtime: dict[str, Any]) -> None:
        described = card.model_dump(mode="json", exclude={"licence", "training_data"})
        self._folder = root / "embeddings" / sha256_bytes(canonical_json([FORMAT, described, runtime]).encode())

    def path(self, content: list[str]) -> Path:
        """Return where a batch lies, given the sha256 of each of its images (or why an image has none)."""
        return self._folder / f"{sha256_bytes(canonical_json(content).encode())}.safetensors"

    def get(self, content: list[str]) -> StoredBatch | None:
        """Return a batch that was stored before, or None; a damaged file counts as absent."""
        from safetensors import SafetensorError, safe_open

        path = self.path(content)
        if not path.is_file():
            return None
        try:
            with safe_open(path, "np") as stored:
                vectors = stored.get_tensor("vectors")
                failures = json.loads(stored.metadata()["failures"])
        except (SafetensorError, OSError, KeyError, ValueError):
            return None
        return StoredBatch(vectors, tuple(Failure(**failure) for failure in failures))

    def put(self, content: list[str], batch: StoredBatch) -> None:
        """Store a batch atomically.

        Raises:
            WriteError: the disk is full or the folder cannot be written.
        """
        from safetensors.numpy import save

        failures = json.dumps([failure.model_dump() for failure in batch.failures])
        write_atomic(self.path(content), save({"vectors": batch.vectors}, {"failures": failures}))


class TileStore:
    """A folder of finished tiles of a large comparison, by number; what is damaged counts as absent."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def _path(self, number: int) -> Path:
        return self._folder / f"{number}.safetensors"

    def get(self, number: int) -> dict[str, NDArray[Any]] | None:
        """Return a tile that was stored before, or None."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        path = self._path(number)
        if not path.is_file():
            return None
        try:
            return load_file(path)
        except (SafetensorError, OSError):
            return None

    def put(self, number: int, tensors: Mapping[str, NDArray[Any]]) -> None:
        """Store a tile atomically.

        Raises:
            WriteError: the disk is full or the folder cannot be written.
        """
        from safetensors.numpy import save

        write_atomic(self._path(number), save({key: np.ascontiguousarray(value) for key, value in tensors.items()}))

    def clear(self) -> None:
        """Remove the folder and everything in it."""
        shutil.rmtree(self._folder, ignore_errors=True)
