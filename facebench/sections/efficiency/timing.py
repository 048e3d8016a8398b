"""Times calls: warm-up, interleaved repeats, and statistics that a few slow calls cannot spoil."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from facebench.schema.efficiency import Timing

Floats = NDArray[np.float64]


def time_calls(
    calls: Mapping[int, Callable[[], object]],
    *,
    warmup: int,
    repeats: int,
    clock: Callable[[], float] = time.perf_counter,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> dict[int, Floats]:
    """Return the time of every call in milliseconds, per key, in the order they were made.

    The keys take turns, so that a machine that slows down during the measurement slows all of them.
    """
    for call in calls.values():
        for _ in range(warmup):
            call()
    taken: dict[int, list[float]] = {key: [] for key in calls}
    for number in range(repeats):
        for key, call in calls.items():
            start = clock()
            call()
            taken[key].append((clock() - start) * 1000)
        progress(number + 1, repeats)
    return {key: np.array(values) for key, values in taken.items()}


def summarise(batch_size: int, times: Floats, confidence: float = 0.95) -> Timing:
    """Return the statistics of the calls of one batch size.

    The interval of the median lies between two order statistics, ``n/2 -+ z sqrt(n)/2`` (a binomial count): it
    assumes independent calls, and nothing about the shape. Source: David and Nagaraja, "Order statistics", 2003.
    """
    from facebench.metrics.uncertainty import normal_quantile

    n = times.size
    ranked = np.sort(times)
    half = normal_quantile(confidence) * np.sqrt(n) / 2
    low, high = max(0, int(np.floor(n / 2 - half)) - 1), min(n - 1, int(np.ceil(n / 2 + half)))
    median = float(np.median(times))
    scatter = 1.4826 * float(np.median(np.abs(times - median)))
    first, second = np.median(times[: n // 2]), np.median(times[n // 2 :])
    return Timing(
        batch_size=batch_size, repeats=n, median_ms=round(median, 6), p95_ms=round(float(np.quantile(times, 0.95)), 6),
        ci_low_ms=round(float(ranked[low]), 6), ci_high_ms=round(float(ranked[high]), 6),
        images_per_s=round(1000 * batch_size / median, 3), noise=round(scatter / median, 6),
        drift=round(float(second / first) - 1, 6),
    )  # fmt: skip
