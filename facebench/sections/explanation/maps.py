"""Makes the maps: per method the controls, the pairs and the triplets, with what each cost."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.metrics.streams import Stream, generator
from facebench.probes.saliency import Explained, Saliency, Uses, draw_map, traits_of
from facebench.probes.saliency.controls import Masked, random_subject
from facebench.schema.explanation import MethodSpec
from facebench.sections.explanation.kept import Kept

Mask = NDArray[np.bool_]
Maps = NDArray[np.float32]
GAP = "completeness_gap"
PLANTED = ("eyes", "nose", "mouth")
NEARBY, REACH = 2, 4
"""Copies of a control probe whose pixels differ by up to this many grey levels, for max-sensitivity."""


@dataclass(frozen=True, eq=False)
class MethodMaps:
    """Everything one method drew.

    Attributes:
        pairs: (P, H, W) maps of the pairs; NaN where there is none.
        triplets: (T, H, W) maps of the triplet margin.
        planted: (3, C, H, W) maps of the control pairs behind the eye, nose and mouth mask.
        random: (C, H, W) maps of the control pairs by the network that has learnt nothing.
        again: (C, H, W) maps of the control pairs with another seed; empty for methods without chance.
        near: (NEARBY, C, H, W) maps of the control pairs with a little noise on the probe.
        gaps: (P,) completeness gap of each pair's map; empty for methods that promise no completeness.
        first: the first map with its settings and costs, or the reason why there is none.
    """

    pairs: Maps
    triplets: Maps
    planted: Maps
    random: Maps
    again: Maps
    near: Maps
    gaps: NDArray[np.float64]
    first: Saliency


def draw(
    method: MethodSpec,
    pairs: Sequence[Explained],
    triplets: Sequence[Explained],
    controls: Sequence[Explained],
    masks: dict[str, Mask],
    kept: Kept,
    step: Callable[[], None],
) -> MethodMaps:
    """Draw all maps of a method that are not kept from a run that was killed; `step` is called after each."""
    random = traits_of(method.name).random
    shape = (pairs[0].probe.shape[0], pairs[0].probe.shape[1])
    blank = np.full(shape, np.nan, np.float32)

    def one(subject: Explained, control: str = "") -> Saliency:
        words = [method.name, method.options, control]
        found = kept.saliency(words, subject, lambda: draw_map(method.name, subject, method.options))
        step()
        return found

    def stack(subjects: Iterable[Explained], control: str = "") -> Maps:
        rows = [one(subject, control).values for subject in subjects]
        return np.stack([blank if row is None else row for row in rows]) if rows else np.empty((0, *shape), np.float32)

    first = one(pairs[0])
    if first.flag == "unsupported":
        none = np.empty((0, *shape), np.float32)
        return MethodMaps(none, none, none[None][:, :0], none, none, none[None][:, :0], np.empty(0), first)
    each = [first, *(one(pair) for pair in pairs[1:])]
    planted = []
    for name in PLANTED:
        model = Masked(controls[0].embed, controls[0].module, masks[name])
        planted.append(stack((model.subject(subject) for subject in controls), f"planted {name}"))
    reseeded = [replace(subject, seed=subject.seed + 1) for subject in controls]
    return MethodMaps(
        pairs=np.stack([blank if found.values is None else found.values for found in each]),
        triplets=stack(triplets),
        planted=np.stack(planted),
        random=stack((random_subject(subject, seed=subject.seed + 1) for subject in controls), "random"),
        again=stack(reseeded if random else []),
        near=np.stack([stack([nearby(subject, k) for subject in controls]) for k in range(NEARBY)]),
        gaps=np.array([found.settings[GAP] for found in each if GAP in found.settings], np.float64),
        first=first,
    )


def nearby(subject: Explained, number: int) -> Explained:
    """Return the same question about a probe with uniform noise of up to `REACH` grey levels."""
    rng = generator(Stream.NEAR_PROBES, subject.seed, number)
    noise = rng.integers(-REACH, REACH + 1, subject.probe.shape)
    return replace(subject, probe=np.clip(subject.probe + noise, 0, 255).astype(np.uint8))


def n_maps(method: MethodSpec, pairs: int, triplets: int, controls: int) -> int:
    """Return how many maps `draw` makes."""
    return pairs + triplets + controls * (len(PLANTED) + 1 + NEARBY + traits_of(method.name).random)


def is_gradient_family(name: str) -> bool:
    """Return whether a method reads pixel gradients, and so must reach the stricter positive control."""
    return traits_of(name).uses is Uses.GRADIENTS


def removal_scores(subject: Explained, order: NDArray[np.intp], levels: int) -> NDArray[np.float64]:
    """Return (2, levels) scores as the first 0..100 % of pixels in `order` are removed, and as they are inserted.

    What is removed takes the face's mean colour.
    """
    height, width = subject.probe.shape[:2]
    ground = np.rint(subject.probe.astype(np.float32).mean(axis=(0, 1))).astype(np.uint8)
    rank = np.empty(order.size, np.intp)
    rank[order] = np.arange(order.size)
    counts = np.rint(np.linspace(0, order.size, levels)).astype(int)
    chosen = (rank[None] < counts[:, None]).reshape(levels, height, width, 1)
    deleted = np.where(chosen, ground, subject.probe).astype(np.uint8)
    inserted = np.where(chosen, subject.probe, ground).astype(np.uint8)
    both = np.concatenate([deleted, inserted])
    found: Any = np.concatenate(
        [subject.scores(both[i : i + subject.batch_size]) for i in range(0, len(both), subject.batch_size)]
    )
    return np.asarray(found).reshape(2, levels)
