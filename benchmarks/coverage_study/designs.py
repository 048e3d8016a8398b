"""Designs whose truth is known: who is compared with whom, and how scores of shared people depend on each other.

An impostor score of images x, y of people u, v is ``lift + sqrt(effect/2) (a_u + a_v) + sqrt(IMAGE/2) (b_x + b_y) +
noise`` with total variance 1; a genuine score of u is ``separation + sqrt(effect) g_u + ... + noise``, also of variance
1, where g_u correlates with a_u. So every rate of the population is known in closed form (`truths`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facebench.measure.sample import Images, Pairs, Scored, score_listed
from facebench.scoring import ScoreSet

Floats = NDArray[np.float64]
IMAGE = 0.1
FOLDS = 10
LIKE = 0.5  # correlation of a person's effect on genuine and on impostor scores
MODELS = 0.7  # correlation of the same part of two models' scores


@dataclass(frozen=True)
class Group:
    """People with as many images each; `lift` moves their impostor scores, `separation` their genuine ones."""

    name: str
    people: int
    images: int = 2
    lift: float = 0.0
    separation: float = 3.0


@dataclass(frozen=True)
class Design:
    """Groups, the share of the score variance due to people, and the comparisons.

    `listing`: ``all`` pairs; ``sparse``: every person in one impostor pair; ``dense``: in about 20; ``hub``: one person
    in all of them. Impostor pairs of lists lie within groups.
    """

    name: str
    groups: tuple[Group, ...]
    listing: str = "all"
    effect: float = 0.2
    target: float = 0.01

    @property
    def people(self) -> NDArray[np.int64]:
        """(I,) group of each person."""
        return np.repeat(np.arange(len(self.groups)), [group.people for group in self.groups])

    def images(self) -> Images:
        """Return the table of images, with the group as attribute where there are several."""
        person = np.repeat(np.arange(self.people.size), [self.groups[g].images for g in self.people])
        names = tuple(self.groups[g].name for g in self.people[person])
        attributes = {"group": names} if len(self.groups) > 1 else {}
        return Images(tuple(f"i{i}" for i in range(person.size)), tuple(f"p{p}" for p in person), attributes)


@dataclass(frozen=True, eq=False)
class Drawn:
    """One draw of a design: the comparisons and the scores of each model."""

    images: Images
    pairs: Pairs | None
    models: tuple[Scored, ...]


def draw(design: Design, rng: np.random.Generator, *, models: int = 1, drift: float = 0.0) -> Drawn:
    """Draw a design; of several models the scores correlate, and the later ones separate `drift` less."""
    images = design.images()
    identity = images.identity
    ends, genuine = _comparisons(design, identity, rng)
    order = np.argsort(~genuine, kind="stable")
    ends, genuine = ends[order], genuine[order]
    common = _parts(design, identity, ends, genuine, rng)
    found = []
    listed = None
    if design.listing != "all":
        enough = genuine.any() and int((~genuine).sum()) >= FOLDS
        folds = _folds(ends, identity) if design.listing == "sparse" and enough else None
        listed = Pairs(ends[:, 0], ends[:, 1], genuine, folds)
    for number in range(models):
        own = _parts(design, identity, ends, genuine, rng)
        scores = common if models == 1 else np.sqrt(MODELS) * common + np.sqrt(1 - MODELS) * own
        scores = scores + _means(design, identity, ends, genuine) - number * drift * genuine
        found.append(_scored(scores.astype(np.float32), ends, genuine, listed))
    return Drawn(images, listed, tuple(found))


def _scored(scores: NDArray[np.float32], ends: NDArray[np.int64], g: NDArray[np.bool_], listed: Pairs | None) -> Scored:
    if listed is not None:
        return score_listed(scores, listed)
    index = ends.astype(np.int32)
    return Scored(ScoreSet(scores[g], index[g], scores[~g], index[~g], complete=True), None, None, None)


def _comparisons(
    design: Design, identity: NDArray[np.int64], rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    if design.listing == "all":
        every = np.stack(np.triu_indices(identity.size, 1), axis=1)
        return every, identity[every[:, 0]] == identity[every[:, 1]]
    first = np.flatnonzero(np.r_[True, np.diff(identity) != 0])  # first image of each person
    pairs = []
    for g in range(len(design.groups)):
        people = rng.permutation(np.flatnonzero(design.people == g))
        if design.listing == "hub":
            pairs.append(np.stack([np.full(people.size - 1, people[0]), people[1:]], axis=1))
            continue
        steps = range(1, 2 if design.listing == "sparse" else 11)
        for step in steps:
            other = np.roll(people, step)
            both = np.stack([people, other], axis=1)
            pairs.append(both[::2] if design.listing == "sparse" else both)
    listed = first[np.concatenate(pairs)]
    own = []
    for g, group in enumerate(design.groups):
        within = np.stack(np.triu_indices(group.images, 1), axis=1)
        own.append((first[design.people == g][:, None, None] + within).reshape(-1, 2))
    mated = np.concatenate(own)
    return np.concatenate([mated, listed]), np.r_[np.ones(len(mated), bool), np.zeros(len(listed), bool)]


def _folds(ends: NDArray[np.int64], identity: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return ten folds that share nobody, of a list in which every person stands in one impostor pair."""
    owner = identity[ends]
    fold = np.zeros(int(identity.max()) + 1, np.int64)
    apart = np.flatnonzero(owner[:, 0] != owner[:, 1])
    fold[owner[apart]] = (np.arange(apart.size) % FOLDS)[:, None]
    return np.asarray(fold[owner[:, 0]])


def _parts(
    design: Design, identity: NDArray[np.int64], ends: NDArray[np.int64], genuine: NDArray[np.bool_],
    rng: np.random.Generator,
) -> Floats:  # fmt: skip
    """Return (P,) the random part of each score, of variance 1."""
    n = int(identity.max()) + 1
    impostor_effect = rng.standard_normal(n)
    genuine_effect = LIKE * impostor_effect + np.sqrt(1 - LIKE**2) * rng.standard_normal(n)
    image = rng.standard_normal(identity.size)
    owner = identity[ends]
    person = np.where(genuine, genuine_effect[owner[:, 0]], impostor_effect[owner].sum(1) / np.sqrt(2))
    noise = rng.standard_normal(len(ends))
    parts: Floats = (
        np.sqrt(design.effect) * person
        + np.sqrt(IMAGE / 2) * image[ends].sum(1)
        + np.sqrt(1 - IMAGE - design.effect) * noise
    )
    return parts


def _means(design: Design, identity: NDArray[np.int64], ends: NDArray[np.int64], genuine: NDArray[np.bool_]) -> Floats:
    group = design.people[identity[ends]]
    lift = np.array([g.lift for g in design.groups])[group].mean(1)
    separation = np.array([g.separation for g in design.groups])[group[:, 0]]
    means: Floats = np.where(genuine, separation, lift)
    return means


FAIR = (Group("a", 40), Group("b", 40), Group("c", 40))
UNFAIR = (Group("a", 50), Group("b", 50, lift=0.3, separation=2.7), Group("c", 20, lift=0.6, separation=2.5))

ALIKE = Design("all pairs, two groups alike", (Group("a", 30), Group("b", 30)), target=0.03)
UNLIKE = Design("all pairs, two groups unlike", (
    Group("a", 30), Group("b", 30, lift=0.4, separation=2.6)), target=0.03)  # fmt: skip
LISTED = (
    Design("sparse list, two groups alike", (Group("a", 300), Group("b", 300)), "sparse", target=0.05),
    Design("sparse list, two groups unlike", (
        Group("a", 300), Group("b", 300, lift=0.4, separation=2.6)), "sparse", target=0.05),
    Design("dense list, two groups unlike", (
        Group("a", 75), Group("b", 75, lift=0.4, separation=2.6)), "dense", target=0.03),
)  # fmt: skip
DESIGNS = (
    Design("all pairs, 40 people, 3 images", (Group("all", 40, 3),)),
    Design("all pairs, 60 people, 3 images", (Group("all", 60, 3),)),
    Design("all pairs, 60 people, strong effects", (Group("all", 60, 2),), effect=0.5),
    Design("all pairs, 100 people, 1 image, no effects", (Group("all", 100, 1),), effect=0.0),
    Design("all pairs, three fair groups", FAIR, target=0.02),
    Design("all pairs, three unfair groups", UNFAIR, target=0.02),
    Design("all pairs, two unlike groups", (
        Group("a", 80, 3), Group("b", 25, 3, lift=0.4, separation=2.6)), target=0.02),
    Design("all pairs, six groups, one apart", (
        *(Group(name, 30) for name in "abcde"), Group("f", 30, lift=0.5, separation=2.5)), target=0.02),
    Design("sparse list, three fair groups", tuple(
        Group(g.name, 240, 2) for g in FAIR), "sparse", target=0.05),
    Design("sparse list, 600 people", (Group("all", 600),), "sparse", target=0.05),
    Design("sparse list, three unfair groups", tuple(
        Group(g.name, 6 * g.people, 2, g.lift, g.separation) for g in UNFAIR), "sparse", target=0.05),
    Design("hub list, 120 people", (Group("all", 120),), "hub", target=0.05),
    Design("all pairs, 15 people, 4 images", (Group("all", 15, 4),), target=0.02),
    Design("dense list, 150 people", (Group("all", 150),), "dense", target=0.02),
    Design("dense list, strong effects", (Group("all", 150),), "dense", effect=0.5, target=0.02),
    Design("dense list, three fair groups", FAIR, "dense", target=0.05),
    Design("dense list, three unfair groups", UNFAIR, "dense", target=0.05),
)  # fmt: skip
