"""How a run is made, as opposed to what is measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from facebench.errors import InputError
from facebench.execution import check_executor
from facebench.metrics.compat import RULES

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
    executor: str = "local"
    batch_size: int = 32
    compat: tuple[str, ...] = ()
    trust_code: bool = False
    second_model: Path | None = None
    model_reference: str | None = None  # model file or registered name, to load the model in another process
    progress: Progress = no_progress


def check_options(options: RunOptions) -> None:
    """Fail before the work, not after it.

    Raises:
        InputError: an unknown compatibility rule, or an executor that cannot work here.
    """
    for rule in options.compat:
        if rule not in RULES:
            raise InputError(f"unknown compatibility rule {rule!r}; known: {', '.join(RULES)}")
    check_executor(options.executor)
