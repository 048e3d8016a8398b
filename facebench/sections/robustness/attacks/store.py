"""Finished batches of attacks on disk, named by everything that determines them, so that a killed run goes on."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.files import canonical_json, sha256_bytes, write_atomic

FORMAT = 1


@dataclass(frozen=True, eq=False)
class Batch:
    """One attacked batch: arrays by name, rows last but for `vectors` (E, N, D), and counts by name."""

    arrays: dict[str, NDArray[Any]]
    counts: dict[str, float]


class BatchStore:
    """A folder of attacked batches."""

    def __init__(self, root: Path, described: dict[str, Any]) -> None:
        self._folder = root / "attacks" / sha256_bytes(canonical_json([FORMAT, described]).encode())

    def path(self, content: Any) -> Path:
        """Return where the batch with this content lies."""
        return self._folder / f"{sha256_bytes(canonical_json(content).encode())}.safetensors"

    def get(self, content: Any) -> Batch | None:
        """Return a batch stored before, or None; a damaged file counts as absent."""
        from safetensors import SafetensorError, safe_open

        path = self.path(content)
        if not path.is_file():
            return None
        try:
            with safe_open(path, "np") as stored:
                arrays = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 - not a mapping
                return Batch(arrays, json.loads(stored.metadata()["counts"]))
        except (SafetensorError, OSError, KeyError, ValueError):
            return None

    def put(self, content: Any, batch: Batch) -> None:
        """Store a batch atomically.

        Raises:
            WriteError: the disk is full or the folder cannot be written.
        """
        from safetensors.numpy import save

        arrays = {name: np.ascontiguousarray(value) for name, value in batch.arrays.items()}
        write_atomic(self.path(content), save(arrays, {"counts": json.dumps(batch.counts)}))
