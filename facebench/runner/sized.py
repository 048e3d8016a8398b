"""Chooses how a run is measured: with all scores in memory while they fit, else by the engine that never holds them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from facebench.runner.compute import Compute
from facebench.runner.large import measure_large
from facebench.runner.measure import Measurement, measure, search_estimates
from facebench.runner.sample import Images, Pairs
from facebench.schema import ProtocolSpec, Unmeasured
from facebench.scoring import MAX_IMAGES

NEED_EVERY_SCORE = frozenset({"impostor_ladder", "covariates", "error_versus_discard", "published_measures"})
"""Sections of a protocol that go back to single comparisons, of which all must be held in memory."""


def why_not_at_this_size(section: str, images: Images, pairs: Pairs | None) -> Unmeasured | None:
    """Return why a section cannot be measured on so many images; None if it can."""
    n = len(images.image_ids)
    if pairs is not None or n <= MAX_IMAGES or section not in NEED_EVERY_SCORE:
        return None
    why = f"it needs every score at once; those of {n:,} images are not held in memory (at most {MAX_IMAGES:,})"
    return Unmeasured(what=section.replace("_", " "), why=why)


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
        return measure(
            spec, images, vectors, pairs, comparator=comparator, seed=seed, compat=compat, progress=compute.progress
        )
    searched = search_estimates(spec, images, vectors, comparator)
    found = measure_large(
        spec, images, vectors, searched[0], comparator=comparator, seed=seed, compat=compat, compute=compute
    )
    return replace(found, curves=(*found.curves, *searched[1]))
