"""Scores in order: sorted once, then counted by place instead of one by one.

Scores are float32 or float64 without NaN; ``-inf`` stands for a comparison that failed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.floating[Any]]
Ints = NDArray[np.int64]
BLOCK = 1 << 18
"""Scores at a time, where something as large as all of them would be computed from each."""


def falling_order(scores: Scores) -> NDArray[np.integer[Any]]:
    """Return (N,) the order in which scores fall; equal scores keep theirs.

    Of float32 the ordered bits and the place make one 64-bit number, so that plain sorting does it, in half the time.
    """
    if scores.dtype != np.float32 or scores.size >= 2**32:
        return np.argsort(-scores, kind="stable")
    keys = _falling_keys(scores)
    for start in range(0, scores.size, BLOCK):
        part = keys[start : start + BLOCK]
        part |= np.arange(start, start + part.size, dtype=np.uint64)
    keys.sort()
    return keys.astype(np.uint32)


def fallen_with_ends(
    scores: NDArray[np.float32], ends: NDArray[np.uint16]
) -> tuple[NDArray[np.float32], NDArray[np.uint16], NDArray[np.uint16]]:
    """Return scores in falling order and both ends of each comparison; of equal scores the lower ends come first.

    Args:
        scores: (P,).
        ends: (P, 2).
    """
    keys = _falling_keys(scores)
    for start in range(0, scores.size, BLOCK):
        a, b = ends[start : start + BLOCK].astype(np.uint64).T
        keys[start : start + BLOCK] |= (a << np.uint64(16)) | b
    keys.sort()
    fallen = np.empty(scores.size, np.float32)
    first, second = np.empty(scores.size, np.uint16), np.empty(scores.size, np.uint16)
    for start in range(0, scores.size, BLOCK):
        rows = slice(start, start + BLOCK)
        bits = (keys[rows] >> np.uint64(32)).astype(np.uint32)
        fallen[rows] = np.where(bits >> 31, bits, bits ^ np.uint32(0x7FFFFFFF)).view(np.float32)
        first[rows], second[rows] = keys[rows] >> np.uint64(16) & np.uint64(0xFFFF), keys[rows] & np.uint64(0xFFFF)
    return fallen, first, second


def _falling_keys(scores: NDArray[np.float32]) -> NDArray[np.uint64]:
    """Return numbers that rise as scores fall, with 32 bits left for what tells equal scores apart."""
    keys = np.empty(scores.size, np.uint64)
    for start in range(0, scores.size, BLOCK):
        bits = (scores[start : start + BLOCK] + np.float32(0)).view(np.uint32)  # + 0 turns -0 into 0, which are equal
        keys[start : start + BLOCK] = np.where(bits >> 31, bits, bits ^ np.uint32(0x7FFFFFFF))
    keys <<= np.uint64(32)
    return keys


def rising(scores: Scores) -> Scores:
    """Return scores in rising order: as they are, reversed, or sorted."""
    if (scores[1:] >= scores[:-1]).all():
        return scores
    return scores[::-1] if (scores[1:] <= scores[:-1]).all() else np.sort(scores)


def twice_below(scores: Scores, others: Scores) -> Ints:
    """Return (N,) for each score how many others lie below it, twice, and how many equal it, once.

    >>> twice_below(np.array([1.0, 2.0]), np.array([0.0, 2.0, 3.0]))
    array([2, 3])
    """
    others = rising(others)
    falls = bool(scores.size > others.size and (scores[1:] <= scores[:-1]).all())
    if not falls:
        return np.searchsorted(others, scores, side="left") + np.searchsorted(others, scores, side="right")
    # the few others are looked up among the many sorted scores: each counts from its place on
    places = [np.searchsorted(scores[::-1], others, side=side) for side in SIDES]
    steps = np.bincount(np.concatenate(places), minlength=scores.size + 1)[: scores.size]
    counts: Ints = np.cumsum(steps)[::-1]
    return counts


SIDES: tuple[Literal["left", "right"], ...] = ("left", "right")


def about(falling: Scores, value: float, margin: float) -> Scores:
    """Return the part of falling scores that holds all within `margin` of a value, and few others."""
    up = falling[::-1]
    low, high = (up.dtype.type(value + 2 * side) for side in (-margin, margin))
    found: Scores = up[np.searchsorted(up, low, side="left") : np.searchsorted(up, high, side="right")]
    return found


def error_rates(genuine: Scores, impostor: Scores, threshold: Any) -> tuple[float, float]:
    """Return FMR and FNMR at a threshold that is one of the scores, which rise."""
    fnmr = np.searchsorted(genuine, threshold, side="left") / genuine.size
    return float(1.0 - np.searchsorted(impostor, threshold, side="left") / impostor.size), float(fnmr)


def about_crossing(genuine: Scores, impostor: Scores) -> list[tuple[float, float, float]]:
    """Return threshold, FMR and FNMR on both sides of where the rates cross: two neighbours among rising scores.

    FMR - FNMR falls with the threshold, so these are the last one where it is not negative, and the next one, which
    lies just above all scores where there is no higher one.
    """
    last = max(_last_before_crossing(each, genuine, impostor) for each in (genuine, impostor))
    later = [each[i] for each in (genuine, impostor) if (i := np.searchsorted(each, last, side="right")) < each.size]
    here = (float(last), *error_rates(genuine, impostor, last))
    if not later:
        kind = np.result_type(genuine, impostor).type
        return [here, (float(np.nextafter(kind(last), kind(np.inf))), 0.0, 1.0)]
    return [here, (float(min(later)), *error_rates(genuine, impostor, min(later)))]


def _last_before_crossing(values: Scores, genuine: Scores, impostor: Scores) -> Any:
    """Return the highest of some rising scores at which FMR is not below FNMR; minus infinity where there is none."""
    low, high = 0, values.size  # the first place where it is below
    while low < high:
        middle = (low + high) // 2
        fmr, fnmr = error_rates(genuine, impostor, values[middle])
        low, high = (middle + 1, high) if fmr >= fnmr else (low, middle)
    return values[low - 1] if low else values.dtype.type(-np.inf)


def recalibration_counts(genuine: Scores, impostor: Scores) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return how many genuine and how many impostor scores each bin holds, of the least recalibration need tell apart.

    A genuine score and all equal ones are a bin, and all impostor scores between two genuine ones are; bins rise, and
    `twice_below` the genuine scores is the bin of a score.
    """
    counts = np.zeros((2, 2 * genuine.size + 1))
    size = max(BLOCK, 4 * genuine.size)
    for into, scores in zip(counts, (genuine, impostor), strict=True):
        for start in range(0, scores.size, size):
            into += np.bincount(twice_below(scores[start : start + size], genuine), minlength=into.size)
    return counts[0], counts[1]


def mean_in_blocks(scores: Scores, of_each: Callable[[Scores], NDArray[np.float64]]) -> float:
    """Return the mean of a function of many scores, of which few are in memory at a time.

    Sums are split as numpy splits them, so it is the mean of all values at once, to the last bit.
    """
    blocks = _halved(scores)
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        sums = iter(list(pool.map(lambda block: float(np.add.reduce(of_each(block))), blocks)))
    return _added(scores.size, sums) / scores.size


def _halved(scores: Scores) -> list[Scores]:
    if scores.size <= BLOCK:
        return [scores]
    half = _half(scores.size)
    return [*_halved(scores[:half]), *_halved(scores[half:])]


def _added(size: int, sums: Iterator[float]) -> float:
    if size <= BLOCK:
        return next(sums)
    half = _half(size)
    return _added(half, sums) + _added(size - half, sums)


def _half(size: int) -> int:
    return size // 2 - size // 2 % 8


def moments(scores: Scores) -> tuple[float, float]:
    """Return the mean and the variance (ddof 0) of scores."""
    mean = mean_in_blocks(scores, lambda block: block.astype(np.float64))
    return mean, mean_in_blocks(scores, lambda block: (block.astype(np.float64) - mean) ** 2)


def thinned_curve(genuine: Scores, impostor: Scores, levels: Iterable[float]) -> tuple[list[float], list[float]]:
    """Return FMR and FNMR at the lowest threshold with an FMR up to each level, thresholds rising, each once.

    Args:
        genuine, impostor: rising; their values are the thresholds, and one above them all.
        levels: falling, each between 0 and 1.
    """
    found: dict[float, tuple[float, float]] = {}
    for level in levels:
        near = max(0, int((1 - level) * impostor.size) - 2)
        below = next(m for m in range(near, impostor.size + 1) if 1.0 - m / impostor.size <= level)
        if below:
            last = impostor[below - 1]
            later = [each[i] for each in (genuine, impostor) if (i := np.searchsorted(each, last, "right")) < each.size]
        else:
            later = [genuine[0], impostor[0]]
        threshold = float(min(later)) if later else np.inf
        found[threshold] = error_rates(genuine, impostor, min(later)) if later else (0.0, 1.0)
    return [fmr for fmr, _ in found.values()], [fnmr for _, fnmr in found.values()]


def counts_in_bins(rising: Scores, edges: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return (B,) how many scores lie in each bin between edges (B + 1); each bin holds its lower edge, the last both.

    No score may lie above the last edge.
    """
    kind = rising.dtype.type
    lower = [kind(edge) if float(kind(edge)) >= edge else np.nextafter(kind(edge), kind(np.inf)) for edge in edges[:-1]]
    places = np.searchsorted(rising, np.array(lower, rising.dtype), side="left")
    counts: NDArray[np.int64] = np.diff(np.append(places, rising.size))
    return counts
