"""What moved between two models: comparisons that changed sides, the identities they belong to, and the embeddings."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from facebench.comparison.paired import Side
from facebench.schema import Drift, MovedIdentity, MovedPair, Point
from facebench.scoring import failed_rows

MAX_PAIRS = 40
MAX_IDENTITIES = 20


def moved_pairs(base: Side, model: Side, target: Point) -> list[MovedPair]:
    """Return the comparisons that changed sides, those that moved furthest first.

    Margins are scores minus thresholds in standard deviations of each model's own impostor scores, so that models with
    different scales can be held against each other.
    """
    t = base.targets.index(target)
    names = base.loaded.images.image_ids
    found: list[tuple[float, MovedPair]] = []
    for genuine in (True, False):
        margins = [_margins(side, t, genuine) for side in (base, model)]
        ends = base.scores.genuine_ends if genuine else base.scores.impostor_ends
        changed = np.flatnonzero((margins[0] >= 0) != (margins[1] >= 0))
        for i in changed:
            a, b = float(margins[0][i]), float(margins[1][i])
            pair = MovedPair(
                model=model.label, image_a=names[ends[i, 0]], image_b=names[ends[i, 1]], genuine=genuine,
                newly_wrong=(b < 0) == genuine, base_margin=round(a, 4), margin=round(b, 4),
            )  # fmt: skip
            found.append((abs(b - a), pair))
    found.sort(key=lambda item: (-item[0], item[1].image_a, item[1].image_b))
    return [pair for _, pair in found[:MAX_PAIRS]]


def _margins(side: Side, t: int, genuine: bool) -> NDArray[np.float64]:
    scores = (side.scores.genuine if genuine else side.scores.impostor).astype(np.float64)
    impostor = side.scores.impostor
    spread = float(impostor[np.isfinite(impostor)].std()) or 1.0
    # a comparison that failed has no finite score: put it below every other
    return np.nan_to_num((scores - side.points[t].threshold) / spread, neginf=-99.0)


def moved_identities(base: Side, model: Side, target: Point) -> list[MovedIdentity]:
    """Return the identities whose errors changed most: misses of their own and false matches they take part in."""
    identities = base.loaded.images.identities
    if identities is None:
        return []
    t = base.targets.index(target)
    identity = base.loaded.images.identity
    names = list(dict.fromkeys(identities))
    n = len(names)
    own = identity[base.scores.genuine_ends[:, 0]]
    ends = identity[base.scores.impostor_ends]
    total = np.bincount(own, minlength=n)
    misses, matches = [], []
    for side in (base, model):
        misses.append(np.bincount(own[side.misses(side.points[t].threshold)], minlength=n))
        accepted = ends[side.false_matches(side.points[t].threshold)]
        matches.append(np.bincount(accepted.ravel(), minlength=n))
    change = np.abs(misses[1] - misses[0]) + np.abs(matches[1] - matches[0])
    order = np.argsort(-change, kind="stable")[:MAX_IDENTITIES]
    return [
        MovedIdentity(
            model=model.label, identity=names[u], n_genuine=int(total[u]), misses_base=int(misses[0][u]),
            misses=int(misses[1][u]), false_matches_base=int(matches[0][u]), false_matches=int(matches[1][u]),
        )
        for u in order
        if change[u]
    ]  # fmt: skip


def drift(base: Side, model: Side) -> list[Drift]:
    """Return how alike both models' embeddings of one image are, overall and per group.

    It says something only where one model was made from the other, by quantisation or pruning for example: embeddings
    of independently trained networks have no axes in common. None when the dimensions differ.
    """
    a, b = base.loaded.vectors.astype(np.float64), model.loaded.vectors.astype(np.float64)
    if a.shape != b.shape:
        return []
    usable = ~(failed_rows(a) | failed_rows(b))
    with np.errstate(invalid="ignore", divide="ignore"):
        cosine = (a * b).sum(axis=1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))
    usable &= np.isfinite(cosine)
    groups = [("all", usable)]
    for grouping in base.sample.groupings[1:]:
        groups += [(name, usable & (grouping.label == g)) for g, name in enumerate(grouping.groups)]
    return [
        Drift(
            model=model.label, base=base.label, group=name, n_images=int(rows.sum()), mean=float(cosine[rows].mean()),
            p05=float(np.quantile(cosine[rows], 0.05)), minimum=float(cosine[rows].min()),
        )
        for name, rows in groups
        if rows.any()
    ]  # fmt: skip
