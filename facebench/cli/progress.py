"""Progress on standard error: a bar on a terminal, a plain line now and then elsewhere; both also while nothing moves.

A time left is given only where the present stage has shown how long its steps take. It counts down within a step, and
grows again when a step takes longer than those before.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from threading import Event, RLock, Thread
from types import TracebackType
from typing import Any, Self

from facebench.cli.streams import drawn_on

_NAMES = {
    "attack": "Attacking",
    "build": "Building",
    "check": "Checking",
    "compare": "Comparing",
    "convert": "Converting",
    "count": "Counting",
    "embed": "Embedding",
    "measure": "Measuring",
    "plan": "Planning",
    "recompute": "Recomputing",
    "render": "Rendering",
    "report": "Writing the report",
    "select 1": "Finding thresholds",
    "select 2": "Finding thresholds again",
    "simulate": "Simulating",
    "start": "Reading",
    "time": "Timing",
    "train": "Training",
    "validate": "Validating",
}
FIRST_S, AGAIN_S = 2.0, 10.0
"""When the first plain line is printed, and how long after each the next one."""


@dataclass
class Stage:
    """One stage: how much of it is done, and since when."""

    name: str
    started: float
    before: int  # steps done when it began: an earlier run left them
    done: int
    total: int
    moved: float = field(init=False)

    def __post_init__(self) -> None:
        self.moved = self.started

    def move(self, done: int, total: int, now: float) -> None:
        """Note what is done."""
        if done != self.done:
            self.moved = now
        self.done, self.total = done, total

    @property
    def rate(self) -> float | None:
        """Steps a second; None while none was finished."""
        steps, spent = self.done - self.before, self.moved - self.started
        return steps / spent if steps > 0 and spent > 0 else None

    def left(self, now: float) -> float | None:
        """Return the seconds left, from the steps of this stage alone; None while they tell nothing."""
        rate = self.rate
        if rate is None or not 0 < self.done < self.total:
            return None
        waiting = now - self.moved
        if waiting * rate <= 1:
            return (self.total - self.done) / rate - waiting
        return (self.total - self.done) * (now - self.started) / (self.done - self.before)

    def words(self, now: float) -> str:
        """Return the stage as a line."""
        name = _NAMES.get(self.name, self.name.capitalize())
        if self.total <= 1:
            return f"{name}: {_duration(now - self.started)} so far"
        line, left = f"{name}: {self.done:,} of {self.total:,}", self.left(now)
        if self.done >= self.total:
            return line
        if left is None or self.rate is None:
            return f"{line}, {_duration(now - self.started)} so far"
        return f"{line}, {self.rate:,.3g}/s, {_duration(left)} left"


def _duration(seconds: float) -> str:
    return f"{seconds:,.0f} s" if seconds < 120 else f"{seconds / 60:,.0f} min"


class ProgressPrinter:
    """A context manager whose `update` is handed to long-running functions.

    Args:
        stage: what is done from the start, if nothing else tells.
    """

    def __init__(self, stage: str | None = None) -> None:
        self._bar: Any = None
        self._tasks: dict[str, Any] = {}
        self._stages: dict[str, Stage] = {}
        self._last: Stage | None = None
        self._said: float | None = None
        self._lock, self._over = RLock(), Event()
        self._ticker = Thread(target=self._tick, daemon=True)
        self._first = stage

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn

            self._bar = Progress(
                BarColumn(bar_width=20), TextColumn("{task.description}"), console=Console(file=drawn_on(sys.stderr))
            )  # fmt: skip
            self._bar.start()
        self._began = time.monotonic()
        if self._first is not None:
            self.update(self._first, 0, 1)
        self._ticker.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._ticker.join()
        if self._bar is not None:
            self._show(time.monotonic())
            self._bar.stop()

    def update(self, stage: str, done: int, total: int) -> None:
        """Report that `done` of `total` steps of a stage are done; a total of 1 has no steps to be counted."""
        now = time.monotonic()
        with self._lock:
            found = self._stages.get(stage)
            if found is None or done < found.done:
                found = self._stages[stage] = Stage(stage, now, done, done, total)
            found.move(done, total, now)
            self._last = found
            if self._bar is not None:
                self._show(now)
            elif total > 1 and done >= total:
                self._say(now)
            else:
                self._say_if_due(now)

    def _tick(self) -> None:
        while not self._over.wait(0.5):
            with self._lock:
                now = time.monotonic()
                self._show(now) if self._bar is not None else self._say_if_due(now)

    def _say_if_due(self, now: float) -> None:
        due = self._began + FIRST_S if self._said is None else self._said + AGAIN_S
        if self._last is not None and now >= due:
            self._say(now)

    def _say(self, now: float) -> None:
        if self._last is not None:
            self._said = now
            print(self._last.words(now), file=sys.stderr, flush=True)  # noqa: T201

    def _show(self, now: float) -> None:
        """Bring the bars up to date; those of finished stages stay."""
        stage = self._last
        if stage is None:
            return
        total = stage.total if stage.total > 1 else None
        if stage.name not in self._tasks:
            self._tasks[stage.name] = self._bar.add_task(stage.words(now), total=total)
        done = total is None and stage.done >= stage.total
        self._bar.update(
            self._tasks[stage.name], description=stage.words(now), completed=1 if done else stage.done,
            total=1 if done else total,
        )  # fmt: skip
