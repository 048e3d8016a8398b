"""Drawing what is worn in an image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np

from facebench.phantoms.parameters import Accessory, Glasses, Wear

Generator: TypeAlias = np.random.Generator
Colour: TypeAlias = tuple[float, float, float]

_FRAME_COLOURS: tuple[Colour, ...] = (
    (0.02, 0.02, 0.02),
    (0.12, 0.06, 0.025),
    (0.25, 0.25, 0.27),
    (0.30, 0.20, 0.08),
    (0.10, 0.02, 0.02),
)
_MASK_COLOURS: tuple[Colour, ...] = ((0.32, 0.50, 0.62), (0.75, 0.76, 0.76), (0.02, 0.02, 0.022))
_CLOTH_COLOURS: tuple[Colour, ...] = (
    (0.03, 0.05, 0.18),
    (0.25, 0.03, 0.03),
    (0.02, 0.02, 0.02),
    (0.30, 0.25, 0.10),
    (0.05, 0.12, 0.06),
    (0.30, 0.30, 0.31),
)


def draw_wear(rng: Generator, accessories: Mapping[str, float]) -> Wear:
    """One accessory or none. The same number of draws whatever comes out, so that other draws do not shift."""
    point = rng.random()
    kind = Accessory.NONE
    for name in sorted(accessories):
        point -= accessories[name]
        if point < 0:
            kind = Accessory(name)
            break
    glasses = draw_glasses(rng)
    cloth = _CLOTH_COLOURS[int(rng.integers(len(_CLOTH_COLOURS)))]
    mask = _MASK_COLOURS[int(rng.integers(len(_MASK_COLOURS)))]
    if kind in (Accessory.GLASSES, Accessory.SUNGLASSES):
        return Wear(kind, glasses)
    return Wear(kind, None, mask if kind is Accessory.MASK else cloth)


def accessory_colour(kind: Accessory) -> Colour:
    """The colour an accessory has when none is drawn."""
    return _MASK_COLOURS[0] if kind is Accessory.MASK else _CLOTH_COLOURS[0]


def draw_glasses(rng: Generator) -> Glasses:
    """Draw a pair of glasses."""
    return Glasses(
        width=rng.uniform(22, 27),
        height=rng.uniform(15, 22),
        exponent=float(rng.choice([2.0, 2.6, 4.0, 6.0])),
        rim=float(rng.choice([1.3, 1.8, 2.6, 3.4])),
        centre=rng.uniform(32, 35),
        drop=rng.uniform(-4, 0),
        colour=_FRAME_COLOURS[int(rng.integers(len(_FRAME_COLOURS)))],
    )
