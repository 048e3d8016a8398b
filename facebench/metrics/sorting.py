"""Scores in order: sorted once, then counted by place instead of one by one.

Scores are float32 or float64 without NaN; ``-inf`` stands for a comparison that failed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.floating[Any]]
Ints = NDArray[np.int64]


def falling_order(scores: Scores) -> NDArray[np.integer[Any]]:
    """Return (N,) the order in which scores fall; equal scores keep theirs.

    Of float32 the ordered bits and the place make one 64-bit number, so that plain sorting does it, in half the time.
    """
    if scores.dtype != np.float32 or scores.size >= 2**32:
        return np.argsort(-scores, kind="stable")
    bits = (scores + np.float32(0)).view(np.uint32)  # + 0 turns -0 into 0, which are equal scores
    falling = np.where(bits >> 31, bits, bits ^ np.uint32(0x7FFFFFFF))
    keys = falling.astype(np.uint64)
    keys <<= np.uint64(32)
    keys |= np.arange(scores.size, dtype=np.uint32)
    keys.sort()
    return keys.astype(np.uint32)


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


def recalibration_bins(genuine: Scores, impostor: Scores) -> tuple[Ints, Ints]:
    """Return the bin of each genuine and each impostor score, rising: the least that recalibration need tell apart.

    A genuine score and all equal ones are a bin, and all impostor scores between two genuine ones are.
    """
    return twice_below(genuine, genuine), twice_below(impostor, genuine)


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
