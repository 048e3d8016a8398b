"""Finished batches of attacks on disk, named by everything that determines them, so that a killed run goes on."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.execution import environment
from facebench.execution.embedding import store_root
from facebench.files import cache_dir, canonical_json, sha256_bytes
from facebench.schema.attacks import AttackCell, AttackSpec
from facebench.sections.contract import RunContext
from facebench.store import CheckedFolder

FORMAT = 2
UNIVERSAL_BATCH = 50


def batch_size(cell: AttackCell, asked: AttackSpec) -> int:
    """Return how many rows are attacked at once."""
    return UNIVERSAL_BATCH if cell.known.universal else asked.batch


@dataclass(frozen=True, eq=False)
class Batch:
    """One attacked batch: arrays by name, rows last but for `vectors` (E, N, D), and counts by name."""

    arrays: dict[str, NDArray[Any]]
    counts: dict[str, float]


@dataclass
class Sums:
    """What the batches of one cell add up to."""

    rows: NDArray[np.int64]
    arrays: dict[str, list[NDArray[Any]]] = field(default_factory=dict)
    counts: dict[str, float] = field(default_factory=dict)

    def add(self, batch: Batch) -> None:
        """Add a batch."""
        for name, value in batch.arrays.items():
            self.arrays.setdefault(name, []).append(value)
        for name, count in batch.counts.items():
            self.counts[name] = self.counts.get(name, 0) + count

    def joined(self) -> dict[str, NDArray[Any]]:
        """Return the arrays of all batches, rows side by side."""
        once = ("trace_at", "example", "example_row")
        return {
            name: parts[0] if name in once else np.concatenate(parts, axis=0 if name == "pixels" else 1)
            for name, parts in self.arrays.items()
        }


class BatchStore:
    """A folder of attacked batches."""

    def __init__(self, root: Path, described: dict[str, Any]) -> None:
        self._files = CheckedFolder(root / "attacks" / sha256_bytes(canonical_json([FORMAT, described]).encode()))

    def path(self, content: Any) -> Path:
        """Return where the batch with this content lies."""
        return self._files.path(_name(content))

    def get(self, content: Any) -> Batch | None:
        """Return a batch stored before, or None."""
        found = self._files.get(_name(content))
        return None if found is None else Batch(*found)

    def put(self, content: Any, batch: Batch) -> None:
        """Store a batch; see `CheckedFolder.put`."""
        self._files.put(_name(content), batch.arrays, batch.counts)


def open_store(context: RunContext, **more: Any) -> BatchStore:
    """Return the store of a run, named by the model, the software, the device and what else counts for all batches."""
    card = context.model.card
    described = card.model_dump(mode="json", exclude={"licence", "training_data"})
    runtime = {"packages": environment.packages(), "device": context.options.device}
    root = store_root(card, cache_dir(), context.options.out)
    return BatchStore(root, {"model": described, "runtime": runtime, **more})


def _name(content: Any) -> str:
    return sha256_bytes(canonical_json(content).encode())
