"""All parameters of an image as one row of numbers."""

from __future__ import annotations

from dataclasses import fields
from enum import StrEnum
from typing import Any

import numpy as np

from facebench.phantoms._kernel import FloatArray
from facebench.phantoms.parameters import (
    BUMP_COUNT,
    EXPRESSION,
    SHAPE,
    SURFACE,
    Accessory,
    Development,
    Glasses,
    Groom,
    Hair,
    HairStyle,
    Light,
    Nuisance,
    Pose,
    Subject,
    as_vector,
)

_TRIPLES = {
    "key_direction": ("x", "y", "z"),
    "key_colour": ("red", "green", "blue"),
    "ambient": ("red", "green", "blue"),
    "colour": ("red", "green", "blue"),
}
_POINTS = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")
_NO_GLASSES = Glasses(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, (0.0, 0.0, 0.0))


def parameter_columns() -> list[str]:
    """Names of the columns, each with its group: `shape.nose_width`, `light.fill`, ..."""
    return [
        "melanin",
        "age",
        *(f"shape.{parameter.name}" for parameter in SHAPE),
        *(f"bump{k:02d}.{name}" for k in range(BUMP_COUNT) for name in ("x", "y", "width_x", "width_y", "height")),
        *(f"surface.{name}" for name in SURFACE),
        *_names("hair", Hair),
        *_names("pose", Pose),
        *(f"expression.{name}" for name in EXPRESSION),
        *_names("light", Light),
        *_names("development", Development),
        *_names("groom", Groom),
        "distance",
        *(f"alignment_error.{point}.{axis}" for point in _POINTS for axis in "xy"),
        "background_seed",
        *(f"cloth.{name}" for name in ("red", "green", "blue")),
        "accessory",
        *(f"accessory.{name}" for name in ("red", "green", "blue")),
        *_names("glasses", Glasses),
    ]


def parameter_vector(subject: Subject, nuisance: Nuisance) -> FloatArray:
    """The row of an image, in the order of `parameter_columns`; names become their positions in their lists."""
    wear = nuisance.wear
    row = [
        subject.melanin,
        subject.age,
        *as_vector(subject.shape),
        *subject.bumps.ravel(),
        *as_vector(subject.surface),
        *_values(subject.hair),
        *_values(nuisance.pose),
        *as_vector(nuisance.expression),
        *_values(nuisance.light),
        *_values(nuisance.development),
        *_values(nuisance.groom),
        nuisance.distance,
        *nuisance.alignment_error.ravel(),
        nuisance.background_seed,
        *nuisance.cloth,
        list(Accessory).index(wear.kind),
        *wear.colour,
        *_values(wear.glasses or _NO_GLASSES),
    ]
    return np.array(row, dtype=np.float64)


def _names(group: str, record: type[Any]) -> list[str]:
    names = []
    for field in fields(record):
        parts = _TRIPLES.get(field.name)
        names += [f"{group}.{field.name}_{part}" for part in parts] if parts else [f"{group}.{field.name}"]
    return names


def _values(record: Any) -> list[float]:
    numbers: list[float] = []
    for field in fields(record):
        value = getattr(record, field.name)
        if isinstance(value, tuple):
            numbers += value
        elif isinstance(value, StrEnum):
            numbers.append(list(HairStyle).index(HairStyle(value)))
        else:
            numbers.append(value)
    return numbers
