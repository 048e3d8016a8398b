"""Failure to acquire, per group: images the model could not use."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from facebench.measure.groups import Grouping
from facebench.measure.rates import Rate, rate_estimate
from facebench.measure.sample import Images
from facebench.metrics.uncertainty import identity_variance
from facebench.schema import Estimate
from facebench.scoring import failed_rows


def acquisition_estimates(
    vectors: NDArray[np.float32], images: Images, groupings: Sequence[Grouping], confidence: float
) -> list[Estimate]:
    """Return `fta`, failed images over images, of everyone and of each group; none when no image failed."""
    failed = failed_rows(vectors)
    if not failed.any():
        return []
    everyone = np.ones(failed.size, bool)
    found = [acquisition_estimate("all", failed, images, everyone, confidence)]
    for grouping in groupings:
        for number, name in enumerate(grouping.groups):
            found.append(acquisition_estimate(name, failed, images, grouping.label == number, confidence))
    return found


def acquisition_estimate(
    group: str, failed: NDArray[np.bool_], images: Images, inside: NDArray[np.bool_], confidence: float
) -> Estimate:
    """Return `fta` of the images inside a group."""
    errors = failed[inside].astype(np.float64)
    identity = images.identity[inside]
    variance = None
    if images.identities is not None:
        variance = identity_variance(errors - errors.mean(), identity, errors.size)
    people = int(np.unique(identity).size)
    rate = Rate(int(errors.sum()), errors.size, variance, people, errors.size / people, "wilson-identity")
    known = None if images.identities is None else people
    return rate_estimate("fta", rate, confidence, group=group, n_images=errors.size, n_identities=known)
