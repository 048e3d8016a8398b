"""Comparisons drawn at random, for what goes back to single comparisons where all of them are too many to hold."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.measure.sample import Images, Pairs
from facebench.metrics.streams import Fixed, fixed_generator
from facebench.schema import Unmeasured
from facebench.scoring import MAX_IMAGES

Ints = NDArray[np.int64]
DRAWN = 1 << 23
"""Impostor comparisons drawn where all are too many."""


def genuine_ends(identity: Ints) -> Ints:
    """Return (P, 2) the images of every genuine comparison, the lower first, by identity and image.

    Args:
        identity: (N,) identity index.
    """
    order = np.argsort(identity, kind="stable")
    people = identity[order]
    last = np.searchsorted(people, people, side="right")
    each = last - np.arange(order.size) - 1  # partners that come later
    first = np.repeat(np.arange(order.size), each)
    second = np.arange(first.size) - np.repeat(np.cumsum(each) - each, each) + first + 1
    return np.stack([order[first], order[second]], axis=1)


def listed_genuine(images: Images, pairs: Pairs | None) -> NDArray[np.integer[Any]]:
    """Return (P, 2) the images of the genuine comparisons of a pair list, or of all pairs by their images."""
    if pairs is not None:
        return np.stack([pairs.a[pairs.genuine], pairs.b[pairs.genuine]], axis=1)
    ends = genuine_ends(images.identity)
    return ends[np.lexsort([ends[:, 1], ends[:, 0]])]


def drawn_pairs(images: Images) -> Pairs | None:
    """Return the comparisons to hold of so many images: all genuine ones and impostor ones drawn without replacement.

    The draw depends on the data alone, so that two models are read on the same comparisons.

    Returns:
        None where all comparisons can be held, up to `facebench.scoring.MAX_IMAGES` images.
    """
    n = len(images.image_ids)
    if n <= MAX_IMAGES:
        return None
    identity = images.identity
    genuine = genuine_ends(identity)
    rng = fixed_generator(Fixed.DRAWN_COMPARISONS)
    ends = rng.integers(0, n, (min(DRAWN, n * (n - 1) // 2), 2))
    ends = np.sort(ends[identity[ends[:, 0]] != identity[ends[:, 1]]], axis=1)
    key = np.unique(ends[:, 0] * n + ends[:, 1])
    a, b = np.concatenate([genuine[:, 0], key // n]), np.concatenate([genuine[:, 1], key % n])
    return Pairs(a.astype(np.int32), b.astype(np.int32), np.arange(a.size) < len(genuine), None)


def said_of_draw(what: str, pairs: Pairs | None) -> tuple[Unmeasured, ...]:
    """Say that impostor comparisons were drawn; nothing where none were."""
    if pairs is None:
        return ()
    n = int(np.count_nonzero(~pairs.genuine))
    why = f"they are too many to hold; {n:,} of them were drawn at random (the same for every model), and all genuine"
    return (Unmeasured(what=f"{what} over all impostor comparisons", why=f"{why} comparisons were used"),)


def drawn_people(identity: Ints) -> NDArray[np.bool_]:
    """Return (N,) which images to keep so that all their comparisons can be gone through: whole people, at random."""
    if identity.size <= MAX_IMAGES:
        return np.ones(identity.size, bool)
    people, index, counts = np.unique(identity, return_inverse=True, return_counts=True)
    order = fixed_generator(Fixed.DRAWN_PEOPLE).permutation(people.size)
    kept = np.zeros(people.size, bool)
    kept[order[np.cumsum(counts[order]) <= MAX_IMAGES]] = True
    found: NDArray[np.bool_] = kept[index]
    return found
