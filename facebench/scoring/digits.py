"""Scores by their bits: the digits that are counted, the places within them, and the score at any rank.

With the sign folded in, the bits of a float32 read as an integer rise with the number. The upper 16 of them are its
*digit*, the lower 16 its place within the digit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

LONGEST_LIST = 1 << 20
"""Scores that one task lists, at most."""
_UNSETTLED = 1 << 22  # listed scores kept before they are counted by place: 16 MB


def ordered_bits(scores: NDArray[np.float32]) -> NDArray[np.int32]:
    """Return integers that rise with the scores."""
    raw = np.asarray(scores, np.float32, order="C").view(np.int32)
    ordered: NDArray[np.int32] = raw ^ ((raw >> 31) & 0x7FFFFFFF)
    return ordered


def from_ordered(ordered: NDArray[np.int32]) -> NDArray[np.float32]:
    """Return the scores of ordered bits."""
    return (ordered ^ ((ordered >> 31) & 0x7FFFFFFF)).astype(np.int32).view(np.float32)


def digits_of(scores: NDArray[np.float32]) -> NDArray[np.int32]:
    """Return the digit of each score."""
    digits: NDArray[np.int32] = (ordered_bits(scores) >> 16) + 32768
    return digits


def digit_floor(digits: NDArray[np.integer[Any]]) -> NDArray[np.float32]:
    """Return the smallest score of each digit."""
    return from_ordered(((digits.astype(np.int64) - 32768) << 16).astype(np.int32))


def digit_at(coarse: NDArray[np.int64], rank: int) -> int | None:
    """Return the digit that holds the score of a rank; None beyond the last score."""
    reached = np.cumsum(coarse[::-1])
    if rank >= reached[-1]:
        return None
    return coarse.size - 1 - int(np.searchsorted(reached, rank, side="right"))


class Places:
    """Scores of single digits by their place, from all tasks."""

    def __init__(self) -> None:
        self._counts: dict[int, NDArray[np.int64]] = {}
        self._tail: list[NDArray[np.int32]] = []

    def add(self, found: Mapping[str, NDArray[Any]]) -> None:
        """Add what a task counted."""
        for digit in np.unique(found["slot"]):
            mine = found["slot"] == digit
            counts = self._counts.setdefault(int(digit), np.zeros(1 << 16, np.int64))
            counts[found["place"][mine]] += found["times"][mine]
        self._tail.append(found["tail"])
        if sum(part.size for part in self._tail) >= _UNSETTLED:  # memory: what is counted need not be listed
            self._settle()

    def _settle(self) -> None:
        if not any(part.size for part in self._tail):
            return
        tail = np.sort(np.concatenate(self._tail))  # in order, so that counting walks through memory
        self._tail = []
        digits = (tail >> 16) + 32768
        for scores in np.split(tail, np.flatnonzero(digits[1:] != digits[:-1]) + 1):
            digit = int(scores[0] >> 16) + 32768
            counts = self._counts.setdefault(digit, np.zeros(1 << 16, np.int64))
            counts += np.bincount(scores & 0xFFFF, minlength=1 << 16)

    def whole(self, digit: int, total: int) -> bool:
        """Tell whether all scores of a digit were counted by place."""
        self._settle()
        return total == 0 or (digit in self._counts and int(self._counts[digit].sum()) == total)

    def at(self, coarse: NDArray[np.int64], rank: int) -> float:
        """Return the score of a rank; ``-inf`` beyond the last score."""
        digit = digit_at(coarse, rank)
        if digit is None:
            return -np.inf
        inside = rank - int(coarse[digit + 1 :].sum())
        reached = np.cumsum(self._counts[digit][::-1])
        place = (1 << 16) - 1 - int(np.searchsorted(reached, inside, side="right"))
        return float(self._scores(digit, np.array([place]))[0])

    def values(self, digit: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return the distinct scores of a digit, rising, and how often each occurs."""
        counts = self._counts.get(digit, np.zeros(1, np.int64))
        places = np.flatnonzero(counts)
        return self._scores(digit, places), counts[places]

    @staticmethod
    def _scores(digit: int, places: NDArray[Any]) -> NDArray[np.float32]:
        return from_ordered((((digit - 32768) << 16) + places.astype(np.int64)).astype(np.int32))
