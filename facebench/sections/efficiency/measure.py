"""Section ``efficiency``: parameters, size, multiply-adds, latency, throughput, memory, FRUITS class.

Sources: Zhu et al., "WebFace260M" (FRUITS), 2021; George et al., "EdgeFace", 2023; Boutros et al., "PocketNet", 2022.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from facebench.data import decode_batches
from facebench.errors import FaceBenchError, InputError
from facebench.models.network import NetworkSize, limited_threads, network_size
from facebench.schema import Estimate, Failure, Unmeasured
from facebench.schema.efficiency import FRUITS_LIMITS_MS, Efficiency, EfficiencySpec, Memory, Timing
from facebench.sections.contract import RunContext, Saved, SectionResult
from facebench.sections.efficiency import machine
from facebench.sections.efficiency.timing import summarise, time_calls

NOISY = 0.1
Faces = NDArray[np.uint8]


def run(context: RunContext) -> SectionResult:
    """Measure what the model costs on this machine, on faces of the dataset."""
    spec: EfficiencySpec | None = context.spec.efficiency
    assert spec is not None
    faces = _faces(context, max(spec.batch_sizes))
    size = network_size(context.model, faces[:1])
    options = context.options
    with limited_threads(context.model, spec.threads) as (model, held):
        calls: dict[int, Callable[[], object]] = {n: _call(model, faces[:n]) for n in spec.batch_sizes}
        times = time_calls(
            calls, warmup=spec.warmup, repeats=spec.repeats,
            progress=lambda done, total: options.progress("time", done, total),
        )  # fmt: skip
    timings = tuple(summarise(n, values) for n, values in times.items())
    memory, gaps = _memory(context, spec, faces)
    found = machine.describe(options.device)
    details = Efficiency(
        parameters=size.parameters, size_bytes=size.size_bytes, multiply_adds=size.multiply_adds,
        counted_by=size.counted_by, not_counted=size.not_counted, threads=spec.threads, threads_set=held,
        machine=found, machine_fingerprint=found.fingerprint, timings=timings, memory=memory,
        fruits=fruits_class(timings, spec.threads) if held else None,
        noisy=any(t.noise > NOISY or abs(t.drift) > NOISY for t in timings),
    )  # fmt: skip
    return SectionResult(
        estimates=exact_estimates(details),
        details=details,
        unmeasured=(*gaps, *_unknown(size, context.model.card.adapter)),
    )


def remeasure(saved: Saved) -> SectionResult:
    """Copy the stored values: what was measured of the network and the machine cannot be computed again."""
    details = saved.result.efficiency
    if details is None:
        raise InputError("the protocol asks for efficiency, but the result holds none; run it again")
    wanted = {"parameters, size and multiply-adds", "peak memory"}
    gaps = tuple(gap for gap in saved.result.unmeasured if gap.what in wanted)
    return SectionResult(estimates=exact_estimates(details), details=details, unmeasured=gaps)


def exact_estimates(details: Efficiency) -> tuple[Estimate, ...]:
    """Return the figures that do not depend on the machine as estimates; each is its own interval."""
    figures = {
        "parameters": details.parameters, "size_bytes": details.size_bytes, "multiply_adds": details.multiply_adds,
    }  # fmt: skip
    return tuple(
        Estimate(metric=name, value=float(value), ci_low=float(value), ci_high=float(value), ci_method="exact")
        for name, value in figures.items()
        if value is not None
    )


def fruits_class(timings: Sequence[Timing], threads: int) -> str | None:
    """Return the FRUITS class by the embedding alone; None unless one face on one thread was timed.

    The whole interval of the median must lie below the limit; where it straddles one, the slower class is given. FRUITS
    itself also times detection and alignment, on a Xeon E5-2630 v4.
    """
    one = next((t for t in timings if t.batch_size == 1), None)
    if one is None or threads != 1:
        return None
    for limit in FRUITS_LIMITS_MS:
        if one.ci_high_ms <= limit:
            return f"FRUITS-{limit}"
    return f"slower than FRUITS-{FRUITS_LIMITS_MS[-1]}"


def _faces(context: RunContext, n: int) -> Faces:
    """Return n faces of the dataset, repeated where it holds fewer."""
    count = min(n, len(context.dataset.images))
    decoded = [
        f for f in next(decode_batches(context.dataset, [range(count)], workers=2)) if not isinstance(f, Failure)
    ]
    if not decoded:
        raise InputError("no face of the dataset could be decoded, so nothing can be timed")
    alike = [face for face in decoded if face.shape == decoded[0].shape]
    faces: Faces = np.stack([alike[i % len(alike)] for i in range(n)])
    return faces


def _call(model: object, faces: Faces) -> Callable[[], object]:
    embed: Callable[[Faces], object] = model.embed  # type: ignore[attr-defined]
    return lambda: embed(faces)


def _memory(context: RunContext, spec: EfficiencySpec, faces: Faces) -> tuple[Memory | None, tuple[Unmeasured, ...]]:
    if not spec.memory:
        return None, ()
    options = context.options
    if options.model_reference is None:
        why = "the model was given as an object; a process of its own needs a model file or a registered name"
        return None, (Unmeasured(what="peak memory", why=why),)
    shape = (int(faces.shape[1]), int(faces.shape[2]))
    try:
        return (
            machine.measure_memory(
                options.model_reference, shape, max(spec.batch_sizes), options.device, trust_code=options.trust_code
            ),
            (),
        )
    except FaceBenchError as error:
        return None, (Unmeasured(what="peak memory", why=str(error)),)


def _unknown(size: NetworkSize, adapter: str) -> tuple[Unmeasured, ...]:
    if size.parameters is not None:
        return ()
    why = f"the network of adapter {adapter} cannot be looked into"
    return (Unmeasured(what="parameters, size and multiply-adds", why=why),)
