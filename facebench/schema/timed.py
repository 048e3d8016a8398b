"""The measured times and memory of a result in the shape of estimates, for gates and comparisons.

They are no part of a result's estimates: those are the same to the last bit whenever a run is repeated.
"""

from __future__ import annotations

from facebench.schema.result import Estimate, Flag, Result


def timed_estimates(result: Result) -> tuple[Estimate, ...]:
    """Return latency, throughput and peak memory of a result; the condition names the batch size, as in ``batch:8``."""
    details = result.efficiency
    if details is None:
        return ()
    noisy = (Flag.NOISY,) if details.noisy else ()
    found = []
    for t in details.timings:
        condition = f"batch:{t.batch_size}"
        limits = {"ci_low": t.ci_low_ms, "ci_high": t.ci_high_ms, "ci_method": "order-statistics"}
        found.append(Estimate(metric="latency_ms", value=t.median_ms, condition=condition, flags=noisy, **limits))
        found.append(
            Estimate(metric="latency_p95_ms", value=t.p95_ms, condition=condition, flags=(Flag.NO_INTERVAL, *noisy))
        )
        faces = 1000.0 * t.batch_size
        found.append(
            Estimate(
                metric="throughput", value=t.images_per_s, condition=condition, ci_low=faces / t.ci_high_ms,
                ci_high=faces / t.ci_low_ms, ci_method="order-statistics", flags=noisy,
            )
        )  # fmt: skip
    if details.memory is not None:
        condition = f"batch:{details.memory.batch_size}"
        found.append(
            Estimate(
                metric="peak_memory_mib", value=details.memory.peak_mib, condition=condition, flags=(Flag.NO_INTERVAL,)
            )
        )
    return tuple(found)


def why_times_differ(first: Result, second: Result) -> str:
    """Return why the times of two results cannot be held against each other; empty when they can, or there are none."""
    a, b = first.efficiency, second.efficiency
    if a is None or b is None:
        return ""
    if a.machine_fingerprint != b.machine_fingerprint:
        return f"the machines differ (fingerprints {a.machine_fingerprint[:12]}… and {b.machine_fingerprint[:12]}…)"
    if (a.threads, a.threads_set) != (b.threads, b.threads_set):
        return "the numbers of threads differ"
    return ""
