"""Which comparisons are attacked: a sample of each kind, drawn with the run's seed, with clean errors kept apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facebench.errors import InputError
from facebench.measure.sample import Images, Pairs
from facebench.metrics.streams import Stream, generator
from facebench.schema.attacks import Goal
from facebench.scoring import compare_pairs

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Victims:
    """Comparisons drawn for one goal; the first image of a comparison is enrolled, the second is the probe.

    Attributes:
        enrolled, probe: (P,) image indices.
        score: (P,) clean scores, ``-inf`` where an image failed.
        wrong: (P,) decided wrongly before any attack: genuine pairs rejected, impostor pairs accepted.
    """

    goal: Goal
    enrolled: Ints
    probe: Ints
    score: NDArray[np.float32]
    wrong: NDArray[np.bool_]

    def attacked(self, limit: int | None) -> Ints:
        """Return which of the first `limit` comparisons are attacked: right before it, with both images usable."""
        return np.flatnonzero((~self.wrong & np.isfinite(self.score))[: limit or None])


def draw_victims(
    goal: Goal,
    images: Images,
    pairs: Pairs | None,
    vectors: NDArray[np.float32],
    *,
    comparator: str,
    threshold: float,
    max_pairs: int,
    seed: int,
) -> Victims:
    """Draw comparisons of one kind uniformly, without replacement.

    Raises:
        InputError: there are no comparisons of this kind.
    """
    genuine = goal is Goal.DODGING
    rng = generator(Stream.ATTACKED_COMPARISONS, seed, int(genuine))
    if pairs is not None:
        chosen = rng.permutation(np.flatnonzero(pairs.genuine == genuine))[:max_pairs]
        first, second = pairs.a[chosen], pairs.b[chosen]
    else:
        first, second = _draw(images.identity, genuine, max_pairs, rng)
    if not first.size:
        kind = "genuine" if genuine else "impostor"
        raise InputError(f"there are no {kind} comparisons, so {goal} cannot be attacked; take the cell out")
    return victims_from(goal, first, second, vectors, comparator, threshold)


def victims_from(
    goal: Goal, enrolled: Ints, probe: Ints, vectors: NDArray[np.float32], comparator: str, threshold: float
) -> Victims:
    """Return drawn comparisons with their clean scores and which of them are wrong at the clean threshold."""
    score = compare_pairs(vectors, enrolled, probe, comparator)
    accepted = score >= np.float32(threshold)
    return Victims(goal, enrolled, probe, score, ~accepted if goal is Goal.DODGING else accepted)


def _draw(identity: Ints, genuine: bool, size: int, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """Draw pairs of images of one identity, or of two, without listing all that exist of the latter."""
    n = identity.size
    if genuine:
        order = np.argsort(identity, kind="stable")
        groups = np.split(order, np.flatnonzero(np.diff(identity[order])) + 1)
        every = [np.stack(np.triu_indices(len(group), 1)) for group in groups]
        listed = np.concatenate([group[ends] for group, ends in zip(groups, every, strict=True)], axis=1)
        chosen = rng.permutation(listed.shape[1])[:size]
        return np.minimum(*listed[:, chosen]), np.maximum(*listed[:, chosen])
    counts = np.bincount(identity)
    exist = (n * n - int((counts**2).sum())) // 2
    seen: dict[tuple[int, int], None] = {}
    while len(seen) < min(size, exist):
        for a, b in rng.integers(0, n, (2 * size, 2)):
            if identity[a] != identity[b] and len(seen) < size:
                seen.setdefault((int(min(a, b)), int(max(a, b))))
    found = np.array(list(seen), np.int64).reshape(-1, 2)
    return found[:, 0], found[:, 1]


def other_faces(
    victims: Victims, images: Images, vectors: NDArray[np.float32], *, comparator: str, threshold: float, seed: int
) -> Ints:
    """Return (P,) per comparison an image of a third identity that is rejected against the enrolled one; -1 if none.

    Decision attacks that dodge start from it.
    """
    n = len(images.image_ids)
    found = np.full(victims.probe.size, -1, np.int64)
    for row, (enrolled, probe) in enumerate(zip(victims.enrolled, victims.probe, strict=True)):
        rng = generator(Stream.IMPERSONATIONS, seed, int(enrolled), int(probe))
        tried = rng.permutation(n)[:40]
        tried = tried[~np.isin(images.identity[tried], images.identity[[enrolled, probe]])]
        scores = compare_pairs(vectors, np.full(tried.size, enrolled), tried, comparator)
        rejected = tried[(scores < np.float32(threshold)) & np.isfinite(scores)]
        if rejected.size:
            found[row] = rejected[0]
    return found
