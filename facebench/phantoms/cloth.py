"""Materials that are not the face: ears, neck, hair, frames, masks, hats, scarves, clothes, lenses."""

from __future__ import annotations

import math

from facebench.phantoms._kernel import FloatArray, Record, inlined
from facebench.phantoms.hair import CURL, SEED, SHINE_GAIN, strand_coordinates
from facebench.phantoms.labels import Label, Surface
from facebench.phantoms.materials import (
    BLUE,
    GREEN,
    LABEL,
    RED,
    ROUGHNESS,
    SHINE,
    SPECULAR,
    WRAP_BLUE,
    WRAP_GREEN,
    WRAP_RED,
    skin_colour,
)
from facebench.phantoms.noise import smoothstep, value_noise
from facebench.phantoms.vectors import Vector, read, unit

# Rows of the table of colours worn in an image.
FRAME, WORN, CLOTH, TINT = range(4)
COLLAR_LEVEL = -136.0
# Numbers of the glasses' lens.
DARKNESS, REFLECTION, OFFSET = range(3)


@inlined
def set_wrap(out: FloatArray, red: float, green: float, blue: float) -> None:
    """Set how far light wraps round the terminator, per channel."""
    out[WRAP_RED] = red
    out[WRAP_GREEN] = green
    out[WRAP_BLUE] = blue


@inlined
def _dye(out: FloatArray, colour: Vector, gain: float) -> None:
    out[RED] = colour[0] * gain
    out[GREEN] = colour[1] * gain
    out[BLUE] = colour[2] * gain


@inlined
def plain_skin(kind: int, point: Vector, surface: Record, colours: FloatArray, out: FloatArray) -> None:
    """Ears, and the neck down to the collar."""
    ear = kind == Surface.EAR
    x, y, z = point[0], point[1], point[2]
    mottle = surface.mottling * 0.06 * value_noise(x * 0.1, y * 0.1, z * 0.1, int(surface.seed))
    haemoglobin = surface.haemoglobin + (0.16 if ear else -0.02)
    out[RED], out[GREEN], out[BLUE] = skin_colour(surface.melanin + mottle, haemoglobin, surface.yellow)
    out[SPECULAR] = 0.7
    out[ROUGHNESS] = 0.5
    out[LABEL] = Label.EAR.value if ear else Label.NECK.value
    set_wrap(out, 0.4 if ear else 0.3, 0.2, 0.15)
    if not ear and y < COLLAR_LEVEL:
        _dye(out, read(colours, CLOTH, 0), 1 + 0.15 * value_noise(x * 0.3, y * 0.3, z * 0.3, 5))
        out[SPECULAR] = 0.1
        out[LABEL] = Label.CLOTH.value


@inlined
def hair_strands(u: float, v: float, point: Vector, strands: FloatArray, colour: Vector, out: FloatArray) -> None:
    """Colour of the hair shell at (angle u, level v): streaks along the combing, or ringlets."""
    seed = int(strands[SEED])
    if strands[CURL] > 0:
        broad = value_noise(point[0] * 0.25, point[1] * 0.25, point[2] * 0.25, seed)
        fine = value_noise(point[0] * 0.6, point[1] * 0.6, point[2] * 0.6, seed)
    else:
        across, along = strand_coordinates(u, v, strands)
        broad = value_noise(across * 0.16, along * 0.02, 0.0, seed + 3)
        broad = 0.5 * broad + 0.5 * value_noise(across * 0.43, along * 0.03, 0.0, seed + 5)
        fine = value_noise(across * 1.07, along * 0.05, 2.0, seed + 4)
    _dye(out, colour, max(1 + 0.42 * broad + 0.38 * fine, 0.22))
    out[SHINE] = (1 + 0.8 * fine) * strands[SHINE_GAIN]
    out[LABEL] = Label.HAIR.value


@inlined
def worn(
    kind: int, u: float, v: float, w: float, ribbed: float, colours: FloatArray, normal: Vector, out: FloatArray
) -> Vector:
    """Spectacle frame, mask, hat or scarf at material coordinates (u, v, w); returns the normal."""
    dye = read(colours, WORN, 0)
    if kind == Surface.FRAME:
        _dye(out, read(colours, FRAME, 0), 1.0)
        out[SPECULAR] = 2.0
        out[ROUGHNESS] = 0.25
        out[LABEL] = Label.GLASSES.value
        return normal
    if kind == Surface.MASK:
        pleated = 1.0 if abs(v + 70) < 28 else 0.0
        fibre = 0.03 * value_noise(u * 0.8, v * 0.8, 0.0, 3)
        seam = 0.88 if w < 2.2 else 1.0
        _dye(out, dye, (1 + 0.06 * math.sin(v * 0.55) * pleated + fibre) * seam)
        out[SPECULAR] = 0.15
        out[ROUGHNESS] = 0.6
        out[LABEL] = Label.MASK.value
        set_wrap(out, 0.3, 0.3, 0.3)
        return unit(normal[0], normal[1] + 0.25 * math.cos(v * 0.55) * pleated, normal[2])
    if kind == Surface.HAT:
        _dye(out, dye, 1 + 0.12 * math.sin(u * 0.9) * ribbed + 0.05 * value_noise(u * 0.7, v * 0.7, 0.0, 4))
        out[SPECULAR] = 0.1
        out[ROUGHNESS] = 0.6
        out[LABEL] = Label.HAT.value
        set_wrap(out, 0.15, 0.15, 0.15)
    else:
        _dye(out, dye, 1 + 0.15 * value_noise(u * 0.2, v * 0.5, 0.0, 6) + 0.15 * math.sin(v * 0.4 + u * 0.05))
        out[SPECULAR] = 0.05
        out[LABEL] = Label.SCARF.value
        set_wrap(out, 0.2, 0.2, 0.2)
    return normal


@inlined
def look_through_lens(
    u: float,
    v: float,
    lens: FloatArray,
    tint: Vector,
    sky: Vector,
    key: Vector,
    behind: Vector,
) -> Vector:
    """Dim what lies behind a spectacle lens at (u, v), and add what the lens reflects."""
    reflection = smoothstep(0.1, 0.6, value_noise(u * 0.05 + lens[OFFSET], v * 0.06 - u * 0.03, 0.0, 9)) * 0.6
    reflection = lens[REFLECTION] * (reflection + 0.4 * smoothstep(-20.0, 20.0, v))
    passed = 1 - lens[DARKNESS] * (0.88 + 0.10 * smoothstep(-18.0, 12.0, v))
    passed *= 0.97
    glow = lens[DARKNESS] * 0.15
    return (
        behind[0] * passed + reflection * (sky[0] * 0.6 + key[0] * 0.05) + glow * tint[0],
        behind[1] * passed + reflection * (sky[1] * 0.6 + key[1] * 0.05) + glow * tint[1],
        behind[2] * passed + reflection * (sky[2] * 0.6 + key[2] * 0.05) + glow * tint[2],
    )
