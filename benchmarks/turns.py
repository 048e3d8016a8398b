"""Times pieces of work in turns, so that what slows the machine down slows all of them."""

from __future__ import annotations

import time
from collections.abc import Callable


def least(
    repetitions: int, *works: Callable[[], object], clock: Callable[[], float] = time.perf_counter
) -> list[float]:
    """Return the least time of each piece of work, in seconds of `clock`, after one unmeasured round."""
    times: list[list[float]] = [[] for _ in works]
    for repetition in range(repetitions + 1):
        for work, taken in zip(works, times, strict=True):
            started = clock()
            work()
            if repetition:
                taken.append(clock() - started)
    return [min(taken) for taken in times]
