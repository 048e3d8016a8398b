"""Chooses how a run is measured: with all scores in memory while they fit, else by the engine that never holds them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from facebench.execution.compute import Compute
from facebench.measure.every_score import Measurement, measure, search_estimates
from facebench.measure.sample import Images, Pairs
from facebench.measure.streaming import measure_large
from facebench.schema import ProtocolSpec


def measure_any(
    spec: ProtocolSpec,
    images: Images,
    vectors: NDArray[np.float32],
    pairs: Pairs | None,
    *,
    comparator: str,
    seed: int,
    compat: Sequence[str] = (),
    compute: Compute | None = None,
) -> Measurement:
    """Compute every estimate a protocol asks for; see `facebench.measure.every_score.measure`."""
    compute = compute or Compute()
    if pairs is not None or len(vectors) <= compute.dense_limit:
        return measure(
            spec, images, vectors, pairs, comparator=comparator, seed=seed, compat=compat, progress=compute.progress
        )
    searched = search_estimates(spec, images, vectors, comparator)
    found = measure_large(
        spec, images, vectors, searched[0], comparator=comparator, seed=seed, compat=compat, compute=compute
    )
    return replace(found, curves=(*found.curves, *searched[1]))
