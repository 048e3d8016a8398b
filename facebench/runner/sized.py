"""Chooses how a run is measured: with all scores in memory while they fit, else by the engine that never holds them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from facebench.runner import overall
from facebench.runner.compute import Compute
from facebench.runner.large import measure_large
from facebench.runner.measure import Measurement, measure
from facebench.runner.sample import Images, Pairs
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
    """Compute every estimate a protocol asks for; see `facebench.runner.measure.measure`."""
    compute = compute or Compute()
    if pairs is not None or len(vectors) <= compute.dense_limit:
        return measure(spec, images, vectors, pairs, comparator=comparator, seed=seed, compat=compat)
    found = []
    if spec.identification and images.identities is not None:
        confidence = spec.uncertainty.confidence
        found = overall.rank_estimates(vectors, images, spec.identification.ranks, comparator, confidence)
    return measure_large(spec, images, vectors, found, comparator=comparator, seed=seed, compat=compat, compute=compute)
