"""How alike two or more models are: rank correlation of their scores, correlation of their maps, common games."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.comparison.comparable import Loaded
from facebench.measure.saved import load_section
from facebench.metrics.alignment import rank_alignment
from facebench.metrics.explanation import clustering_tree, map_correlation
from facebench.metrics.streams import Stream, generator
from facebench.schema import Unmeasured
from facebench.schema.agreement import Alignment, ExplanationComparison, MapLikeness, MapTree, SharedGame
from facebench.scoring import compare_pairs, failed_rows
from facebench.sections.explanation.games import BLIND, INPAINTING_AT, drawn_rows, game_rate, won
from facebench.sections.explanation.writer import Writer, is_map

Tensors = dict[str, NDArray[Any]]
Named = tuple[str, Loaded]
MAX_IMAGES = 600
"""Images whose score matrices are correlated: whole identities in a seeded order."""


def alignments(sides: Sequence[Named], *, seed: int, confidence: float) -> list[Alignment]:
    """Return the rank correlation of every model's scores with the base's, over impostor and over all comparisons."""
    base_label, base = sides[0]
    usable = ~np.any([failed_rows(each.vectors) for _, each in sides], axis=0)
    identity = base.images.identity
    rows = _whole_identities(identity, usable, seed)
    a, b = (rows[index] for index in np.triu_indices(len(rows), 1))
    if not a.size:
        return []
    impostor = identity[a] != identity[b]
    scores = [compare_pairs(each.vectors, a, b, each.result.model.comparator.value) for _, each in sides]
    found = []
    for (label, _), own in zip(sides[1:], scores[1:], strict=True):
        for over, kept in (("impostor", impostor), ("all", np.ones(a.size, bool))):
            if base.images.identities is None and over == "impostor":
                continue
            left, right = identity[a[kept]], identity[b[kept]]
            aligned = rank_alignment(scores[0][kept], own[kept], left, right, confidence=confidence)
            found.append(
                Alignment(
                    model=label, base=base_label, over=over, value=aligned.value, ci_low=aligned.ci_low,
                    ci_high=aligned.ci_high, ci_method=None if aligned.ci_low is None else "jackknife-identities",
                    n_images=len(rows), n_identities=int(np.unique(identity[rows]).size), n_comparisons=int(kept.sum()),
                )
            )  # fmt: skip
    return found


def _whole_identities(identity: NDArray[np.int64], usable: NDArray[np.bool_], seed: int) -> NDArray[np.int64]:
    rows = np.flatnonzero(usable)
    if len(rows) <= MAX_IMAGES:
        return rows
    order = generator(Stream.SCORE_ALIGNMENT, seed).permutation(np.unique(identity[rows]))
    place = np.argsort(order)[np.searchsorted(np.sort(order), identity[rows])]
    by_person = rows[np.argsort(place, kind="stable")]
    people = place[np.argsort(place, kind="stable")]
    # the last identity is left out where it would be cut
    return np.sort(by_person[: int(np.searchsorted(people, people[MAX_IMAGES]))])


def explanations(sides: Sequence[Named], *, confidence: float) -> tuple[ExplanationComparison | None, list[Unmeasured]]:
    """Return how alike the models' maps are and how they do on common triplets; None where one has no maps."""
    details = [each.result.explanation for _, each in sides]
    if any(found is None for found in details):
        return None, []
    pairs = {found.pairs for found in details if found is not None}
    triplets = {found.triplets for found in details if found is not None}
    if len(pairs) > 1 or len(triplets) > 1:
        why = "images failed under one model only, or the seeds differ: other pairs were explained"
        return None, [Unmeasured(what="likeness of maps, games on common triplets", why=why)]
    tensors = [load_section(each.result, each.folder, "explanation") for _, each in sides]
    labels = [label for label, _ in sides]
    verdicts = [{v.method: v.qualified for v in found.methods} for found in details if found is not None]
    methods = [name for name in verdicts[0] if all(f"{name}/pairs" in own for own in tensors)]
    identity = sides[0][1].images.identity
    likeness, trees, games = [], [], []
    for name in methods:
        qualified = [own.get(name, False) for own in verdicts]
        maps = [own[f"{name}/pairs"].astype(np.float64) for own in tensors]
        who = identity[tensors[0]["pair_rows"][:, 0]]
        for k in range(1, len(sides)):
            both = qualified[0] and qualified[k]
            likeness.append(_likeness(name, labels[0], labels[k], maps[0], maps[k], who, both, confidence))
        trees += _tree(name, labels, maps)
        games += _games(name, labels, tensors, qualified, identity, confidence)
    lacking = sorted({name for own in verdicts for name in own} - set(methods))
    gaps = [Unmeasured(what=f"maps by {name}", why="not every model has them") for name in lacking]
    return ExplanationComparison(likeness=tuple(likeness), trees=tuple(trees), games=tuple(games)), gaps


def _likeness(
    method: str, base: str, model: str, first: NDArray[np.float64], second: NDArray[np.float64],
    who: NDArray[np.int64], qualified: bool, confidence: float,
) -> MapLikeness:  # fmt: skip
    """Hold two models' maps of the same pairs against each other, beside maps of different pairs."""

    def compared(others: NDArray[np.float64]) -> list[float | None]:
        return [map_correlation(a, b) if is_map(a) and is_map(b) else None for a, b in zip(first, others, strict=True)]

    written = Writer(method, (), confidence).mean("map_ncc", compared(second), who)
    wrong = [v for shift in range(1, min(len(first), 6)) for v in compared(np.roll(second, shift, 0)) if v is not None]
    means = [_mean_map(maps) for maps in (first, second)]
    return MapLikeness(
        method=method, base=base, model=model, qualified=qualified, value=written.value, ci_low=written.ci_low,
        ci_high=written.ci_high, null=float(np.mean(wrong)) if wrong else None,
        of_means=None if means[0] is None or means[1] is None else map_correlation(means[0], means[1]),
        n_pairs=written.n_genuine or 0, n_identities=written.n_identities or 0,
    )  # fmt: skip


def _mean_map(maps: NDArray[np.float64]) -> NDArray[np.float64] | None:
    usable = [h for h in maps if is_map(h)]
    mean = np.mean(usable, axis=0) if usable else None
    return mean if mean is not None and is_map(mean) else None


def _tree(method: str, labels: Sequence[str], maps: Sequence[NDArray[np.float64]]) -> list[MapTree]:
    """Return the tree of three or more models; of two, the likeness says it all."""
    means = {label: mean for label, own in zip(labels, maps, strict=True) if (mean := _mean_map(own)) is not None}
    if len(means) < 3:
        return []
    linkage = clustering_tree(list(means.values()))
    rows = tuple(tuple(float(v) for v in row) for row in linkage)
    return [MapTree(method=method, labels=tuple(means), linkage=rows)]


def _games(
    method: str, labels: Sequence[str], tensors: Sequence[Tensors], qualified: Sequence[bool],
    identity: NDArray[np.int64], confidence: float,
) -> list[SharedGame]:  # fmt: skip
    """Return each model's games on the triplets it admits and on those that all admit."""
    if not len(tensors[0]["triplet_rows"]):
        return []
    admitted = [own["admitted"].astype(bool) & drawn_rows(own, method) for own in tensors]
    common = np.all(admitted, axis=0)
    who = identity[tensors[0]["triplet_rows"][:, 0]]
    found = []
    for label, own, mine, good in zip(labels, tensors, admitted, qualified, strict=True):
        for metric, at in INPAINTING_AT.items():
            taken = won(own[f"{method}/game"], at)
            shared = game_rate(taken[common], who[common]) if common.any() else None
            alone = game_rate(taken[mine], who[mine]) if mine.any() else None
            interval, own_interval = (({} if rate is None else rate.interval(confidence)) for rate in (shared, alone))
            found.append(
                SharedGame(
                    method=method, model=label, metric=metric, qualified=good,
                    own=None if alone is None else alone.value, own_low=own_interval.get("ci_low"),
                    own_high=own_interval.get("ci_high"), n_own=int(mine.sum()),
                    value=None if shared is None else shared.value, ci_low=interval.get("ci_low"),
                    ci_high=interval.get("ci_high"), n_common=int(common.sum()),
                    nulls={key: float(won(own[f"{key}/game"], at)[common].mean()) for key in BLIND if common.any()},
                )
            )  # fmt: skip
    return found
