"""Score phantoms: comparisons whose error rates and dependence are known exactly, without any image.

An impostor score of identities u and v is ``a_u + a_v + b_uv + noise`` with total variance 1 (`facebench.metrics.power`
says how much is whose), and the threshold is where a share `fmr` of that normal distribution lies above it. So the true
rate of every group is known, while comparisons that share people depend on each other as real ones do. Genuine scores
are ``c_u + noise``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facebench.metrics.clusters import MOST_LEVERAGE
from facebench.metrics.power import Shares

Floats = NDArray[np.float64]
_CHUNK = 2_000_000  # comparisons of identities held at once
GENUINE_SHARE = 0.4
"""Share of the variance of genuine scores that is due to the identity."""


@dataclass(frozen=True)
class PhantomGroup:
    """One group of a score phantom: images of each identity, and its true rates."""

    name: str
    images: tuple[int, ...]
    fmr: float
    fnmr: float


@dataclass(frozen=True, eq=False)
class Counts:
    """What many repetitions of one group show.

    Attributes:
        errors: (R,) false matches, or missed genuine comparisons.
        comparisons: of each repetition.
        variance: (R,) of the rate over identities, threshold held fixed (`facebench.metrics.clusters`).
        n_independent: comparisons between disjoint identities.
    """

    errors: NDArray[np.int64]
    comparisons: int
    variance: Floats
    n_independent: int


def impostor_counts(group: PhantomGroup, shares: Shares, repetitions: int, rng: np.random.Generator) -> Counts | None:
    """Draw the impostor comparisons within a group; None when it has fewer than two identities."""
    m = np.asarray(group.images, float)
    n = m.size
    if n < 2:
        return None
    pair_images = np.triu(np.outer(m, m), 1)
    comparisons = pair_images.sum()
    errors, variances = [], []
    for size in _chunks(repetitions, n * n):
        e = _pair_errors(group, pair_images, shares, size, rng)
        per_identity = e.sum(1, dtype=np.float64) + e.sum(2, dtype=np.float64)
        k = per_identity.sum(1) / 2
        p = k / comparisons
        units = ((e - (p[:, None, None] * pair_images).astype(np.float32)) ** 2).astype(np.float64)
        squares = (units.sum(1) + units.sum(2)) / comparisons**2
        counted = m * (m.sum() - m)
        sums = (per_identity - p[:, None] * counted) / comparisons
        errors.append(k)
        variances.append(_variance(sums, squares, counted / comparisons, squares.sum(1) / 2))
    k = np.rint(np.concatenate(errors)).astype(np.int64)
    return Counts(k, int(comparisons), np.concatenate(variances), n // 2)


def _pair_errors(
    group: PhantomGroup, pair_images: Floats, shares: Shares, repetitions: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return (R, n, n) false matches of each pair of identities, above the diagonal."""
    from scipy.special import ndtr, ndtri

    n = pair_images.shape[0]
    threshold = np.float32(-ndtri(group.fmr))
    effect = rng.standard_normal((repetitions, n), dtype=np.float32) * np.float32(np.sqrt(shares.identity / 2))
    scores = effect[:, :, None] + effect[:, None, :]
    single = bool((pair_images <= 1).all())
    # with one image each, nothing tells what is the pair's from noise
    spread = 1 - shares.identity if single else shares.pair
    scores += rng.standard_normal(scores.shape, dtype=np.float32) * np.float32(np.sqrt(spread))
    if single:
        return np.where(pair_images > 0, scores >= threshold, 0).astype(np.float32)
    chance = ndtr((scores - threshold) / np.float32(np.sqrt(1 - shares.identity - shares.pair)))
    return rng.binomial(pair_images.astype(np.int64), chance).astype(np.float32)


def genuine_counts(group: PhantomGroup, repetitions: int, rng: np.random.Generator) -> Counts | None:
    """Draw the genuine comparisons of a group; None when no identity has two images."""
    from scipy.special import ndtr, ndtri

    m = np.asarray(group.images, np.int64)
    per_identity = (m * (m - 1) // 2)[m > 1]
    if not per_identity.size:
        return None
    effect = rng.standard_normal((repetitions, per_identity.size)) * np.sqrt(GENUINE_SHARE)
    chance = ndtr((effect + ndtri(group.fnmr)) / np.sqrt(1 - GENUINE_SHARE))
    missed = rng.binomial(per_identity, chance)
    k, comparisons = missed.sum(1), int(per_identity.sum())
    q = (k / comparisons)[:, None]
    sums = (missed - q * per_identity) / comparisons
    squares = (missed * (1 - 2 * q) + q * q * per_identity) / comparisons**2
    return Counts(
        k, comparisons, _variance(sums, squares, per_identity / comparisons, squares.sum(1)), int(per_identity.size)
    )


def _variance(sums: Floats, squares: Floats, share: Floats, independent: Floats) -> Floats:
    """Return (R,) what `facebench.metrics.clusters.Influence.variance` is of each row."""
    shared = (sums**2 - squares) / (1 - np.minimum(share, MOST_LEVERAGE)) ** 2
    return np.asarray(independent + np.maximum(0.0, shared.sum(1) + np.sqrt((shared**2).sum(1))), np.float64)


def _chunks(repetitions: int, cost: int) -> Iterator[int]:
    size = max(1, _CHUNK // cost)
    for start in range(0, repetitions, size):
        yield min(size, repetitions - start)
