"""Drawing identities and images: one generator in, one frozen record out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from facebench.phantoms.parameters import (
    AGE_EDGES,
    AGE_RANGE,
    BUMP_COUNT,
    EXPRESSION_DTYPE,
    MELANIN_RANGE,
    SHAPE,
    SHAPE_DTYPE,
    SHAPE_FACTORS,
    SURFACE_DTYPE,
    TONE_EDGES,
    AgeBand,
    Development,
    FloatArray,
    Groom,
    Hair,
    HairStyle,
    Light,
    Nuisance,
    Pose,
    Sex,
    Subject,
    Tone,
    empty,
)
from facebench.phantoms.wardrobe import draw_wear

TierName: TypeAlias = Literal["easy", "default", "hard"]
Generator: TypeAlias = np.random.Generator
Colour: TypeAlias = tuple[float, float, float]


@dataclass(frozen=True)
class Tier:
    """How much images of one identity differ: rotation (rad), and gains of light and expression."""

    yaw_sd: float
    pitch_sd: float
    light: float
    expression: float


TIERS: dict[str, Tier] = {
    "easy": Tier(yaw_sd=0.10, pitch_sd=0.05, light=0.6, expression=0.5),
    "default": Tier(yaw_sd=0.22, pitch_sd=0.10, light=1.0, expression=1.0),
    "hard": Tier(yaw_sd=0.40, pitch_sd=0.16, light=1.4, expression=1.2),
}

_HAIR_COLOURS: dict[str, Colour] = {
    "black": (0.012, 0.010, 0.009),
    "dark": (0.030, 0.018, 0.011),
    "brown": (0.075, 0.042, 0.021),
    "light": (0.17, 0.105, 0.052),
    "blond": (0.36, 0.25, 0.12),
    "red": (0.20, 0.07, 0.022),
}
_IRIS_COLOURS: dict[str, Colour] = {
    "dark": (0.030, 0.016, 0.009),
    "brown": (0.085, 0.042, 0.018),
    "hazel": (0.15, 0.105, 0.045),
    "green": (0.12, 0.15, 0.085),
    "blue": (0.13, 0.21, 0.31),
    "grey": (0.19, 0.22, 0.25),
}
_GREY_HAIR = np.array([0.48, 0.47, 0.46])
# Weights of the colours above for melanin below 0.4, below 0.65, and beyond.
_HAIR_WEIGHTS = ((10, 25, 28, 17, 13, 7), (40, 45, 13, 2, 0, 0), (78, 20, 2, 0, 0, 0))
_IRIS_WEIGHTS = ((12, 26, 18, 11, 23, 10), (50, 40, 8, 2, 0, 0), (75, 24, 1, 0, 0, 0))


def _normal(rng: Generator, mean: float, sd: float, low: float = -math.inf, high: float = math.inf) -> float:
    return float(min(max(rng.normal(mean, sd), low), high))


def _choose(rng: Generator, weights: Mapping[HairStyle, float]) -> HairStyle:
    values = np.array(list(weights.values()))
    return list(weights)[int(rng.choice(len(values), p=values / values.sum()))]


def sample_subject(
    rng: Generator,
    *,
    sex: Sex | str | None = None,
    tone: Tone | str | None = None,
    age_band: AgeBand | str | None = None,
    melanin: float | None = None,
    age: float | None = None,
    variation: float = 1.0,
) -> Subject:
    """Draw one identity; attributes left at None are drawn too. `variation` scales the spread of the shape.

    >>> sample_subject(np.random.default_rng(3), sex="female", tone="dark").tone.value
    'dark'
    """
    sex = (Sex.MALE if rng.random() < 0.5 else Sex.FEMALE) if sex is None else Sex(sex)
    if melanin is None:
        melanin = _draw_melanin(rng, None if tone is None else Tone(tone))
    if age is None:
        age = _draw_age(rng, None if age_band is None else AgeBand(age_band))
    build = float(rng.normal())
    return Subject(
        sex=sex,
        melanin=melanin,
        age=age,
        shape=_draw_shape(rng, sex, melanin, age, build, variation),
        bumps=_draw_bumps(rng, variation),
        surface=_draw_surface(rng, sex, melanin, age),
        hair=_draw_hair(rng, sex, melanin, age),
    )


def _draw_melanin(rng: Generator, tone: Tone | None) -> float:
    low, high = MELANIN_RANGE if tone is None else TONE_EDGES[tone]
    while True:
        melanin = float(np.clip(rng.beta(1.3, 1.5), *MELANIN_RANGE))
        if low <= melanin < high or (melanin == high == MELANIN_RANGE[1]):
            return melanin


def _draw_age(rng: Generator, band: AgeBand | None) -> float:
    low, high = AGE_RANGE if band is None else AGE_EDGES[band]
    while True:
        age = float(np.clip(rng.gamma(4.5, 5.2) + 14, *AGE_RANGE))
        if low <= age < high or (age == high == AGE_RANGE[1]):
            return age


def _draw_shape(rng: Generator, sex: Sex, melanin: float, age: float, build: float, variation: float) -> Any:
    """Every shape parameter from its own normal, group loadings, and factors that features share."""
    shape = empty(SHAPE_DTYPE)
    maleness = (1 if sex is Sex.MALE else -1) * _normal(rng, 1, 0.35, 0.2, 1.8)
    for parameter in SHAPE:
        value = parameter.mean + variation * parameter.sd * _normal(rng, 0, 1, -2.3, 2.3)
        value += parameter.male * maleness + parameter.melanin * (melanin - 0.45)
        shape[parameter.name] = value + parameter.age * (age - 40) / 20 + parameter.build * build
    for factor in SHAPE_FACTORS:
        level = rng.normal()
        for name, gain in factor.items():
            shape[name] += gain * level
    for parameter in SHAPE:
        shape[parameter.name] = min(max(shape[parameter.name], parameter.low), parameter.high)
    # Room for the upper lip and the chin, whatever the levels drawn.
    shape.mouth_level = min(shape.mouth_level, shape.nose_level - 18)
    shape.chin_level = min(shape.chin_level, shape.mouth_level - 34)
    return shape


def _draw_bumps(rng: Generator, variation: float) -> FloatArray:
    count = BUMP_COUNT
    return np.stack(
        [
            rng.uniform(-58, 58, count),
            rng.uniform(-112, 60, count),
            rng.uniform(8, 20, count),
            rng.uniform(8, 20, count),
            rng.normal(0, 1.0 * variation, count),
        ],
        axis=1,
    )


def _colour(rng: Generator, colours: Mapping[str, Colour], weights: tuple[int, ...]) -> FloatArray:
    shares = np.array(weights, float)
    return np.array(list(colours.values())[int(rng.choice(len(shares), p=shares / shares.sum()))])


def _draw_surface(rng: Generator, sex: Sex, melanin: float, age: float) -> Any:
    """Pigment, hair and iris colour, marks."""
    male = sex is Sex.MALE
    surface = empty(SURFACE_DTYPE)
    surface.melanin = melanin
    surface.haemoglobin = float(np.clip(rng.normal(0.44, 0.13) - 0.1 * melanin, 0.12, 0.85))
    surface.yellow = rng.normal(0, 0.12)
    surface.lip_redness = float(np.clip(rng.normal(0.55, 0.22) - 0.25 * melanin, 0.1, 1.2))
    surface.lip_darkness = float(np.clip(rng.normal(0.12, 0.12) + 0.10 * (melanin > 0.7), 0, 0.5))
    group = 0 if melanin < 0.4 else 1 if melanin < 0.65 else 2
    hair = _colour(rng, _HAIR_COLOURS, _HAIR_WEIGHTS[group]) * math.exp(rng.normal(0, 0.18))
    grey = _normal(rng, (age - 52) / 28, 8 / 28, 0, 1)
    if rng.random() < 0.25 and not male:
        grey *= 0.2  # dyed
    surface.hair_red, surface.hair_green, surface.hair_blue = hair * (1 - grey) + _GREY_HAIR * grey
    surface.grey = grey
    surface.brow_tint = _normal(rng, 0.75, 0.2, 0.3, 1.2)
    eye = _colour(rng, _IRIS_COLOURS, _IRIS_WEIGHTS[group])
    surface.iris_red, surface.iris_green, surface.iris_blue = eye * np.exp(rng.normal(0, 0.09, 3))
    inner = eye * 0.6 + np.array([0.10, 0.06, 0.025]) * 0.4
    surface.iris_inner_red, surface.iris_inner_green, surface.iris_inner_blue = inner
    if male:
        _draw_beard(rng, surface)
    elif rng.random() < 0.5:
        surface.makeup = rng.uniform(0.2, 1)
    surface.freckles = max(0.0, rng.normal(-0.2, 0.5)) * (melanin < 0.45)
    surface.mottling = float(np.clip(math.exp(rng.normal(-0.4, 0.5)), 0.15, 1.25))
    surface.age = age
    surface.seed = rng.integers(1, 1 << 20)
    surface.under_eye = float(np.clip(rng.normal(0.35, 0.25) + 0.2 * (age - 40) / 20, 0, 1.2))
    surface.cheek_redness = _normal(rng, 0.5, 0.3, 0, 1.3)
    surface.mole_count = rng.poisson(1.2)
    surface.roughness = rng.uniform(0.32, 0.5)
    return surface


def _draw_beard(rng: Generator, surface: Any) -> None:
    surface.stubble = _normal(rng, 0.35, 0.25, 0, 1)
    kind = rng.random()
    if kind < 0.16:
        surface.beard = surface.moustache = _normal(rng, 0.85, 0.15, 0.4, 1)
    elif kind < 0.26:
        surface.beard = surface.moustache = rng.uniform(0.25, 0.5)
    elif kind < 0.35:
        surface.moustache = rng.uniform(0.6, 1)


def _style_weights(sex: Sex, melanin: float, age: float) -> dict[HairStyle, float]:
    afro = 0.07 * (melanin > 0.6)
    if sex is Sex.MALE:
        return {
            HairStyle.BALD: 0.07 + 0.10 * (age > 45),
            HairStyle.BUZZ: 0.14,
            HairStyle.SHORT: 0.22,
            HairStyle.CROP: 0.15,
            HairStyle.SIDE: 0.20,
            HairStyle.FRINGE: 0.08,
            HairStyle.MEDIUM: 0.05,
            HairStyle.LONG: 0.02,
            HairStyle.AFRO: afro,
            HairStyle.CURLY: 0.08,
        }
    return {
        HairStyle.BUZZ: 0.02,
        HairStyle.SHORT: 0.03,
        HairStyle.SIDE: 0.07,
        HairStyle.FRINGE: 0.12,
        HairStyle.MEDIUM: 0.18,
        HairStyle.LONG: 0.22,
        HairStyle.WAVY: 0.18,
        HairStyle.TIED: 0.13,
        HairStyle.AFRO: afro,
        HairStyle.CURLY: 0.08,
    }


def _draw_hair(rng: Generator, sex: Sex, melanin: float, age: float) -> Hair:
    recession = float(np.clip(rng.normal(6, 5) + 6 * (age - 40) / 20, 0, 26)) if sex is Sex.MALE else rng.uniform(0, 7)
    return Hair(
        style=_choose(rng, _style_weights(sex, melanin, age)),
        parting=float(rng.choice([-1, 1]) * rng.uniform(0.15, 0.6)),
        thickness=math.exp(rng.normal(0, 0.22)),
        recession=recession,
        widows_peak=max(0.0, rng.normal(0, 2.5)),
        comb=rng.normal(0, 0.55),
        length=rng.uniform(-150, -60),
        fringe_drop=rng.uniform(18, 38),
        seed=int(rng.integers(1, 1 << 20)),
    )


def sample_nuisance(
    rng: Generator,
    tier: TierName | Tier = "default",
    accessories: Mapping[str, float] | None = None,
) -> Nuisance:
    """Draw everything about one image but the identity; `accessories` maps names to probabilities.

    >>> sample_nuisance(np.random.default_rng(3), accessories={"mask": 1.0}).wear.kind.value
    'mask'
    """
    spread = tier if isinstance(tier, Tier) else TIERS[tier]
    yaw = _normal(rng, 0, spread.yaw_sd, -0.9, 0.9)
    return Nuisance(
        pose=Pose(yaw, _normal(rng, 0, spread.pitch_sd, -0.45, 0.45), _normal(rng, 0, 0.06)),
        expression=_draw_expression(rng, spread.expression, yaw),
        light=_draw_light(rng, spread.light),
        development=Development(
            exposure=math.exp(rng.normal(0, 0.10 * spread.light)),
            gamma=math.exp(rng.normal(0, 0.05 * spread.light)),
            saturation=_normal(rng, 1, 0.10 * spread.light, 0.6, 1.3),
            blur=0.32 + abs(rng.normal(0, 0.24)),
            noise=abs(rng.normal(0, 0.006)),
        ),
        distance=math.exp(rng.uniform(math.log(550), math.log(2200))),
        alignment_error=rng.normal(0, 0.45, (5, 2)),
        background_seed=int(rng.integers(1 << 30)),
        cloth=_triple(rng.uniform(0.02, 0.5, 3) ** 1.3),
        groom=_draw_groom(rng),
        wear=draw_wear(rng, accessories or {}),
    )


def _triple(values: FloatArray) -> Colour:
    return float(values[0]), float(values[1]), float(values[2])


def _draw_expression(rng: Generator, gain: float, yaw: float) -> Any:
    """A neutral face about half of the time; eyes mostly on the camera."""
    expression = empty(EXPRESSION_DTYPE)
    if rng.random() < 0.55 * gain:
        expression.smile = abs(rng.normal(0.35, 0.35)) * gain
    if rng.random() < 0.40 * gain:
        expression.jaw_open = min(0.9, abs(rng.normal(0, 0.28))) * gain
    if expression.smile > 0.35 and rng.random() < 0.7:
        expression.jaw_open = max(expression.jaw_open, 0.12 + 0.25 * rng.random() * expression.smile)
    if expression.jaw_open > 0.05:
        expression.teeth = min(1.0, 0.25 + expression.smile)
    expression.brow_raise = max(-0.35, rng.normal(0, 0.22)) * gain
    expression.furrow = max(0.0, rng.normal(-0.15, 0.3)) * gain
    closed = 0.9 if rng.random() < 0.015 * gain else 0.0
    expression.blink = min(1.0, min(abs(rng.normal(0, 0.10)), 0.35) * gain + closed)
    expression.squint = min(max(0.45 * expression.smile + rng.normal(0, 0.12), 0.0), 0.9) * gain
    on_camera = 1.0 if rng.random() < 0.8 else 0.3
    expression.gaze_x = float(np.clip(-yaw * on_camera * 0.8 + rng.normal(0, 0.06) * gain, -0.5, 0.5))
    expression.gaze_y = rng.normal(0, 0.04) * gain
    return expression


def _draw_light(rng: Generator, gain: float) -> Light:
    azimuth = rng.normal(0, 0.55) * gain
    elevation = rng.uniform(0.25, 0.95)
    intensity = math.exp(rng.normal(0, 0.15 * gain))
    warmth = rng.normal(0, 0.10) * gain
    ambient = rng.uniform(0.15, 0.50)
    level = math.cos(elevation)
    return Light(
        key_direction=(math.sin(azimuth) * level, math.sin(elevation), math.cos(azimuth) * level),
        key_colour=_triple(intensity * np.array([1 + warmth, 1, 1 - warmth]) * (1.95 - ambient)),
        softness=rng.uniform(0.6, 2.2),
        fill=rng.uniform(0.05, 0.35),
        fill_azimuth=float(-np.sign(azimuth + 1e-6) * rng.uniform(0.6, 1.3)),
        ambient=_triple(ambient * np.exp(rng.normal(0, 0.05, 3) * gain)),
        ground=rng.uniform(0.18, 0.5),
    )


def _draw_groom(rng: Generator) -> Groom:
    """Hair as it happens to be worn: without this, hair alone would tell who it is."""
    return Groom(
        restyle=rng.random(),
        thickness=math.exp(rng.normal(0, 0.18)),
        comb=rng.normal(0, 0.25),
        parting_side=float(rng.choice([-1, 1], p=[0.15, 0.85])),
        length=rng.normal(0, 14),
        hairline=rng.normal(0, 2.0),
        fringe=rng.normal(0, 4),
        brightness=math.exp(rng.normal(0, 0.18)),
        seed=int(rng.integers(1 << 20)),
    )
