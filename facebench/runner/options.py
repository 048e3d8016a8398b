"""How a run is made, as opposed to what is measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

Progress = Callable[[str, int, int], None]


def no_progress(_stage: str, _done: int, _total: int) -> None:
    """Report nothing."""


@dataclass(frozen=True)
class RunOptions:
    """How a run is made; none of it changes what is measured, except seed, limit, batch size and compat."""

    out: Path
    seed: int = 0
    limit: int | None = None
    device: str = "cpu"
    workers: int = 2
    batch_size: int = 32
    compat: tuple[str, ...] = ()
    trust_code: bool = False
    model_reference: str | None = None  # model file or registered name, to load the model in another process
    progress: Progress = no_progress
