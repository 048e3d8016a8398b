"""Progress on standard error: a bar with rate and time left on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any, Self

_NAMES = {
    "embed": "Embedding",
    "measure": "Measuring",
    "render": "Rendering",
    "simulate": "Simulating",
    "check": "Checking",
    "convert": "Converting",
    "train": "Training",
    "select 1": "Finding thresholds",
    "select 2": "Finding thresholds again",
    "count": "Counting",
    "time": "Timing",
    "attack": "Attacking",
}
_QUIET_S = 10.0


class ProgressPrinter:
    """A context manager whose `update` is handed to long-running functions."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._tasks: dict[str, Any] = {}
        self._started: dict[str, tuple[float, int]] = {}
        self._said = 0.0

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            self._bar = Progress(
                TextColumn("{task.description:<10}"), BarColumn(), MofNCompleteColumn(),
                TextColumn("{task.fields[rate]}"), TextColumn("left"), TimeRemainingColumn(),
                console=Console(stderr=True), transient=False,
            )  # fmt: skip
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, stage: str, done: int, total: int) -> None:
        """Report that `done` of `total` steps of a stage are done."""
        start, before = self._started.setdefault(stage, (time.monotonic(), done))
        elapsed = time.monotonic() - start
        rate = (done - before) / elapsed if elapsed > 0 and done > before else 0.0
        name = _NAMES.get(stage, stage.capitalize())
        if self._bar is not None:
            shown = f"{rate:,.0f}/s" if rate and total > 1 else ""
            if stage not in self._tasks:
                self._tasks[stage] = self._bar.add_task(name, total=total, completed=done, rate=shown)
            self._bar.update(self._tasks[stage], completed=done, total=total, rate=shown)
        elif total > 1 and (done == total or time.monotonic() - self._said >= _QUIET_S):
            self._said = time.monotonic()
            left = f", {rate:,.0f}/s, {(total - done) / rate:,.0f} s left" if rate and done < total else ""
            print(f"{name}: {done:,} of {total:,}{left}", file=sys.stderr, flush=True)  # noqa: T201
