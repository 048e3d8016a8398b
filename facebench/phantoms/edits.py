"""Counterfactual faces: one attribute or one part changed, everything else fixed, the changed pixels known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from facebench.errors import InputError, UnknownNameError
from facebench.phantoms._kernel import BoolArray, ByteArray
from facebench.phantoms.camera import Capture
from facebench.phantoms.parameters import (
    AGE_RANGE,
    EXPRESSION_DTYPE,
    MELANIN_RANGE,
    SHAPE,
    SHAPE_BY_PART,
    Accessory,
    HairStyle,
    Nuisance,
    Sex,
    Subject,
    Wear,
    empty,
)
from facebench.phantoms.renderer import FRAME_SIZE, RenderedFace, render
from facebench.phantoms.sampling import sample_subject
from facebench.phantoms.wardrobe import accessory_colour, draw_glasses

Level: TypeAlias = float | str
Edit: TypeAlias = Callable[[Subject, Nuisance, Any], tuple[Subject, Nuisance]]

PARTS: tuple[str, ...] = ("eyes", "brows", "nose", "mouth", "jaw", "layout")

# Colours and textures that go with a part when it is swapped.
_PART_SURFACE: dict[str, tuple[str, ...]] = {
    "eyes": ("iris_red", "iris_green", "iris_blue", "iris_inner_red", "iris_inner_green", "iris_inner_blue"),
    "brows": ("brow_tint",),
    "mouth": ("lip_redness", "lip_darkness"),
}
_CHANGED = 8
"""Least difference of a channel, of 255, for a pixel to count as changed."""

EXPRESSIONS: dict[str, dict[str, float]] = {
    "neutral": {},
    "smile": {"smile": 0.6, "squint": 0.2},
    "laugh": {"smile": 0.9, "jaw_open": 0.4, "teeth": 1.0, "squint": 0.4},
    "surprise": {"jaw_open": 0.6, "brow_raise": 0.8, "lid_wide": 0.6, "teeth": 0.3},
    "frown": {"furrow": 0.8, "squint": 0.2},
    "pucker": {"pucker": 0.8},
    "eyes_closed": {"blink": 1.0},
}


@dataclass(frozen=True)
class PartSwap:
    """A face, its twin with one part of a donor, and the pixels in which they differ."""

    original: RenderedFace
    twin: RenderedFace
    changed: BoolArray
    part: str


def _set_tone(subject: Subject, nuisance: Nuisance, level: Any) -> tuple[Subject, Nuisance]:
    melanin = _number("tone", level, *MELANIN_RANGE)
    surface = subject.surface.copy()
    surface.melanin = melanin
    return replace(subject, melanin=melanin, surface=surface), nuisance


def _set_age(subject: Subject, nuisance: Nuisance, level: Any) -> tuple[Subject, Nuisance]:
    """Texture and shape age together, along the table's loadings."""
    age = _number("age", level, *AGE_RANGE)
    surface = subject.surface.copy()
    surface.age = age
    steps = (age - subject.age) / 20
    shape = _moved(subject, {p.name: p.age * steps for p in SHAPE})
    return replace(subject, age=age, surface=surface, shape=shape), nuisance


def _set_sex(subject: Subject, nuisance: Nuisance, level: Any) -> tuple[Subject, Nuisance]:
    """Move the shape along the axis between the sexes; skin, beard and hair stay."""
    target = {"female": -1.0, "male": 1.0}.get(level, level)
    current = 1.0 if subject.sex is Sex.MALE else -1.0
    steps = _number("sex", target, -2.0, 2.0) - current
    return replace(subject, shape=_moved(subject, {p.name: p.male * steps for p in SHAPE})), nuisance


def _set_hair(subject: Subject, nuisance: Nuisance, level: Any) -> tuple[Subject, Nuisance]:
    style = _member("hair style", level, HairStyle)
    plain = replace(nuisance, groom=replace(nuisance.groom, restyle=1.0))
    return replace(subject, hair=replace(subject.hair, style=HairStyle(style))), plain


def _set_expression(subject: Subject, nuisance: Nuisance, level: Any) -> tuple[Subject, Nuisance]:
    """A named expression; gaze stays where it was."""
    if level not in EXPRESSIONS:
        raise UnknownNameError("expression", str(level), EXPRESSIONS)
    expression = empty(EXPRESSION_DTYPE)
    expression.gaze_x = nuisance.expression.gaze_x
    expression.gaze_y = nuisance.expression.gaze_y
    for name, value in EXPRESSIONS[level].items():
        expression[name] = value
    return subject, replace(nuisance, expression=expression)


def _set_yaw(subject: Subject, nuisance: Nuisance, level: Any) -> tuple[Subject, Nuisance]:
    return subject, replace(nuisance, pose=replace(nuisance.pose, yaw=_number("yaw", level, -1.0, 1.0)))


def _set_pitch(subject: Subject, nuisance: Nuisance, level: Any) -> tuple[Subject, Nuisance]:
    return subject, replace(nuisance, pose=replace(nuisance.pose, pitch=_number("pitch", level, -0.7, 0.7)))


def _set_light(subject: Subject, nuisance: Nuisance, level: Any) -> tuple[Subject, Nuisance]:
    """Turn the key light to an azimuth (rad), 0 from the front, at its own height."""
    azimuth = _number("light", level, -1.5, 1.5)
    height = nuisance.light.key_direction[1]
    reach = float(np.sqrt(max(0.0, 1 - height * height)))
    direction = (float(np.sin(azimuth)) * reach, height, float(np.cos(azimuth)) * reach)
    return subject, replace(nuisance, light=replace(nuisance.light, key_direction=direction))


def _set_accessory(subject: Subject, nuisance: Nuisance, level: Any) -> tuple[Subject, Nuisance]:
    kind = Accessory(_member("accessory", level, Accessory))
    glasses = None
    if kind in (Accessory.GLASSES, Accessory.SUNGLASSES):
        glasses = draw_glasses(np.random.default_rng(nuisance.background_seed))
    return subject, replace(nuisance, wear=Wear(kind, glasses, accessory_colour(kind)))


ATTRIBUTES: dict[str, Edit] = {
    "tone": _set_tone,
    "age": _set_age,
    "sex": _set_sex,
    "hair": _set_hair,
    "expression": _set_expression,
    "yaw": _set_yaw,
    "pitch": _set_pitch,
    "light": _set_light,
    "accessory": _set_accessory,
}
POSES = frozenset({"yaw", "pitch"})
"""Attributes whose edits are aligned anew: the template fits a turned head elsewhere."""

SWEEPS: dict[str, tuple[Level, ...]] = {
    "tone": (0.1, 0.3, 0.5, 0.7, 0.9),
    "age": (22, 38, 54, 70),
    "sex": ("female", 0, "male"),
    "hair": ("short", "long", "curly", "bald"),
    "expression": ("neutral", "smile", "laugh", "surprise", "frown", "eyes_closed"),
    "yaw": (-0.6, -0.3, 0.3, 0.6),
    "pitch": (-0.3, -0.15, 0.15, 0.3),
    "light": (-1.2, -0.6, 0.6, 1.2),
    "accessory": ("glasses", "sunglasses", "mask", "cap", "beanie", "scarf"),
}
"""Levels of each attribute that a sweep has when none are given."""


def counterfactual(
    subject: Subject, nuisance: Nuisance, attribute: str, levels: Sequence[Level], *, size: int = FRAME_SIZE
) -> list[RenderedFace]:
    """Render a face once per level of one attribute, all else fixed.

    Levels: `tone` melanin, `age` years, `sex` "female", "male" or a number between -1 and 1, `hair` a style,
    `expression` a name from `EXPRESSIONS`, `yaw` and `pitch` and `light` (azimuth of the key) radians, `accessory` a
    kind. Exposure is that of the unedited face, and so is the alignment; only a turned head is aligned anew.

    >>> from facebench.phantoms import sample_nuisance, sample_subject
    >>> rng = np.random.default_rng(1)
    >>> len(counterfactual(sample_subject(rng), sample_nuisance(rng), "tone", [0.1, 0.5, 0.9]))
    3
    """
    if not levels:
        raise InputError(f"no levels given for attribute {attribute!r}; a sweep needs at least one.")
    changed = [edited(subject, nuisance, attribute, level) for level in levels]
    base = render(subject, nuisance, size).capture
    if attribute in POSES:
        base = Capture(None, base.exposure)
    return [render(who, how, size, capture=base) for who, how in changed]


def edited(subject: Subject, nuisance: Nuisance, attribute: str, level: Level) -> tuple[Subject, Nuisance]:
    """Subject and nuisance with one attribute brought to a level.

    Raises:
        UnknownNameError: unknown attribute, or no such style, expression or accessory.
        InputError: the level is no number, or out of range.
    """
    if attribute not in ATTRIBUTES:
        raise UnknownNameError("attribute of phantom faces", attribute, ATTRIBUTES)
    return ATTRIBUTES[attribute](subject, nuisance, level)


def level_text(level: Level) -> str:
    """A level as it stands in manifests and file names.

    >>> level_text(0.10), level_text("smile")
    ('0.1', 'smile')
    """
    return level if isinstance(level, str) else f"{level:g}"


def far_donor(subject: Subject, part: str, seed: int, *, candidates: int = 48) -> Subject:
    """Draw a donor of the same sex, tone and age whose part differs most from the subject's.

    Distance is Euclidean over the part's shape parameters, each in units of its standard deviation. Ordinary donors
    often differ less than two pictures of one person do.
    """
    names = _part_names(part)
    sd = np.array([parameter.sd for parameter in SHAPE_BY_PART[part]])
    own = np.array([subject.shape[name] for name in names])
    rng = np.random.default_rng(seed)
    drawn = [sample_subject(rng, sex=subject.sex, melanin=subject.melanin, age=subject.age) for _ in range(candidates)]
    distances = [np.linalg.norm((np.array([donor.shape[name] for name in names]) - own) / sd) for donor in drawn]
    return drawn[int(np.argmax(distances))]


def with_part(subject: Subject, donor: Subject, part: str) -> Subject:
    """The subject with one part of the donor."""
    shape = subject.shape.copy()
    for name in _part_names(part):
        shape[name] = donor.shape[name]
    surface = subject.surface.copy()
    for name in _PART_SURFACE.get(part, ()):
        surface[name] = donor.surface[name]
    return replace(subject, shape=shape, surface=surface)


def part_swap(subject: Subject, donor: Subject, part: str, nuisance: Nuisance, *, size: int = FRAME_SIZE) -> PartSwap:
    """Render a face and its twin with one part of a donor; alignment, exposure, light and noise are the same."""
    original = render(subject, nuisance, size)
    twin = render(with_part(subject, donor, part), nuisance, size, capture=original.capture)
    return PartSwap(original, twin, changed_pixels(original.image, twin.image), part)


def changed_pixels(first: ByteArray, second: ByteArray, threshold: int = _CHANGED) -> BoolArray:
    """Pixels in which some channel differs by more than `threshold` of 255.

    >>> changed_pixels(np.zeros((1, 2, 3), np.uint8), np.array([[[0, 0, 8], [0, 9, 0]]], np.uint8)).tolist()
    [[False, True]]
    """
    return np.asarray(np.abs(first.astype(np.int16) - second.astype(np.int16)).max(-1) > threshold)


def _part_names(part: str) -> list[str]:
    if part not in PARTS:
        raise UnknownNameError("part of the face", part, PARTS)
    return [parameter.name for parameter in SHAPE_BY_PART[part]]


def _moved(subject: Subject, steps: dict[str, float]) -> Any:
    """A copy of the shape with parameters moved, within their limits."""
    shape = subject.shape.copy()
    for parameter in SHAPE:
        if steps[parameter.name]:
            value = shape[parameter.name] + steps[parameter.name]
            shape[parameter.name] = min(max(value, parameter.low), parameter.high)
    return shape


def _number(attribute: str, level: Any, low: float, high: float) -> float:
    if isinstance(level, bool) or not isinstance(level, int | float | np.number) or not low <= level <= high:
        raise InputError(f"level {level!r} of {attribute!r} is not a number between {low:g} and {high:g}.")
    return float(level)


def _member(kind: str, level: Any, names: type[HairStyle] | type[Accessory]) -> str:
    known = [name.value for name in names]
    if level not in known:
        raise UnknownNameError(kind, str(level), known)
    return str(level)
