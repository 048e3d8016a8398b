"""Sums over all impostor scores that are never held: a fine histogram, moments, and functions of the score.

A statistic such as the AUC moves by a function of each impostor score. Its variance over identities needs the sum of
that function over the comparisons of each identity, and of the squares of its sums over pairs of identities.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.scoring.arrange import Arrangement

Floats = NDArray[np.float64]
BINS = 1 << 20
STEPS = 1 << 12
"""Steps at which functions are given: they serve variances, for which a 4,096th of the range is fine enough."""
_SHIFT = 8


@dataclass(frozen=True, eq=False)
class Functions:
    """Functions of the score, constant within equal steps.

    Attributes:
        low, high: the lowest and the highest score, or beyond.
        centre: moments are taken about it.
        values: (STEPS, F) of each step; F is at most ``sum_kernels.FUNCTIONS``.
    """

    low: float
    high: float
    centre: float
    values: Floats

    @property
    def scale(self) -> float:
        """Bins per unit of the score."""
        return BINS / max(self.high - self.low, float(np.finfo(np.float32).tiny))


def step_scores(low: float, high: float) -> Floats:
    """Return (STEPS,) the score in the middle of each step."""
    found: Floats = np.asarray(low + (np.arange(STEPS) + 0.5) * ((high - low) / STEPS), np.float64)
    return found


def bins_of(scores: NDArray[np.floating[Any]], low: float, high: float) -> NDArray[np.int64]:
    """Return the bin of the fine histogram in which each finite score lies; as the kernel finds it."""
    scale = Functions(low, high, 0.0, np.zeros((0, 0))).scale
    return np.clip(((np.asarray(scores, np.float64) - low) * scale).astype(np.int64), 0, BINS - 1)


@dataclass(frozen=True, eq=False)
class Sums:
    """What was found, over all impostor comparisons that were computed.

    Attributes:
        fine: (BINS,) comparisons per bin.
        n, first, second: comparisons; sums of ``score - centre`` and of its square.
        per_person: (I, F) sums of the functions over the comparisons of each identity, in the engine's order.
        squares, products: (F,) sums over pairs of identities of k² and k m, k the sum of a function over a pair and m
            its comparisons, those that were not computed included.
    """

    fine: NDArray[np.int64]
    n: int
    first: float
    second: float
    per_person: Floats
    squares: Floats
    products: Floats


class PanelSums:
    """Sums over the blocks of one pair of panels."""

    def __init__(self, arrangement: Arrangement, functions: Functions, sizes: NDArray[Any], task: tuple[int, int]):
        from facebench.scoring.sum_kernels import FUNCTIONS

        self.arrangement, self.functions, self.sizes = arrangement, functions, sizes
        people = [people_of(arrangement, panel) for panel in task]
        self.begins = [part.start for part in people]
        self.fine = np.zeros(BINS, np.uint32)
        self.sums = [np.zeros((part.stop - part.start, FUNCTIONS)) for part in people]
        self.squares, self.products, self.moments = np.zeros(FUNCTIONS), np.zeros(FUNCTIONS), np.zeros(2)
        self.values = np.zeros((STEPS, FUNCTIONS))
        self.values[:, : functions.values.shape[1]] = functions.values

    def add(self, scores: NDArray[np.float32], starts: NDArray[np.int64], rows: slice, columns: slice) -> None:
        """Add a block."""
        from facebench.scoring.sum_kernels import add_scores

        arrangement, functions = self.arrangement, self.functions
        person = [arrangement.segment_person[arrangement.segment[part]] for part in (rows, columns)]
        first = [int(part[0]) for part in person]
        sizes = [self.sizes[f : int(part[-1]) + 1] for f, part in zip(first, person, strict=True)]
        rows_sums, columns_sums = (s[f - b :] for s, f, b in zip(self.sums, first, self.begins, strict=True))
        found = np.zeros((sizes[1].size, self.squares.size))
        add_scores(
            scores, starts, person[0] - first[0], person[1] - first[1], sizes[0], sizes[1], functions.low,
            functions.scale, functions.centre, _SHIFT, self.values, self.fine, found, rows_sums, columns_sums,
            self.squares, self.products, self.moments,
        )  # fmt: skip

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Return what was found, to be sent and kept."""
        used = np.flatnonzero(self.fine).astype(np.uint32)
        return {
            "bin": used, "in_bin": self.fine[used], "row_sums": self.sums[0], "column_sums": self.sums[1],
            "totals": np.concatenate([self.squares, self.products, self.moments]),
        }  # fmt: skip


class SumCollector:
    """Adds what tasks found, in the order of their numbers: rounding must not depend on which is done first."""

    def __init__(self, arrangement: Arrangement, n_functions: int) -> None:
        from facebench.scoring.sum_kernels import FUNCTIONS

        self._arrangement, self._n_functions = arrangement, n_functions
        self._tasks = arrangement.tasks()
        self._fine = np.zeros(BINS, np.int64)
        self._per_person = np.zeros((arrangement.identity.size, FUNCTIONS))
        self._totals = np.zeros(2 * FUNCTIONS + 2)
        self._waiting: dict[int, dict[str, NDArray[Any]]] = {}
        self._next = 0

    def add(self, number: int, found: dict[str, NDArray[Any]]) -> None:
        """Take what a task found."""
        self._fine[found["bin"]] += found["in_bin"]
        self._waiting[number] = {key: found[key] for key in ("row_sums", "column_sums", "totals")}
        while self._next in self._waiting:
            part = self._waiting.pop(self._next)
            for panel, key in zip(self._tasks[self._next], ("row_sums", "column_sums"), strict=True):
                self._per_person[people_of(self._arrangement, panel)] += part[key]
            self._totals += part["totals"]
            self._next += 1

    def sums(self) -> Sums:
        """Return the sums over all tasks."""
        f, n = self._n_functions, (self._totals.size - 2) // 2
        first, second = self._totals[-2:].tolist()
        return Sums(
            self._fine, int(self._fine.sum()), first, second, self._per_person[:, :f], self._totals[:f],
            self._totals[n : n + f],
        )  # fmt: skip


def people_of(arrangement: Arrangement, panel: int) -> slice:
    """Return the identities of a panel, in the engine's order."""
    segments = arrangement.segments(panel)
    first, last = arrangement.segment_person[[segments.start, segments.stop - 1]].tolist()
    return slice(first, last + 1)
