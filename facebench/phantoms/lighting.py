"""Light on one sample: shadow, diffuse, highlights of skin, hair and cornea."""

from __future__ import annotations

import math

from facebench.phantoms._kernel import FloatArray, inlined, kernel
from facebench.phantoms.hair import COSINE, CURL, SINE
from facebench.phantoms.labels import Surface
from facebench.phantoms.materials import (
    BLUE,
    GREEN,
    OCCLUSION,
    RED,
    ROUGHNESS,
    SHINE,
    SPECULAR,
    WRAP_BLUE,
    WRAP_GREEN,
    WRAP_RED,
)
from facebench.phantoms.noise import smoothstep, value_noise
from facebench.phantoms.raster import lit_fraction
from facebench.phantoms.vectors import Vector, dot, read, turned, unit

# Columns of the table of lights: direction, colour, whether it casts shadows, softness of these.
DIRECTION, COLOUR, CASTS, SOFTNESS = 0, 3, 6, 7
# Rows of the table of ambient light: from the sky, from the ground, and the direction of up.
SKY, GROUND, UP = range(3)
SHADOW_EXTENT = 135.0
"""Half-width (mm) of the square the shadow map covers; its middle is the point below."""
SHADOW_X, SHADOW_Y, SHADOW_Z = 0.0, -10.0, 10.0
_LIFT = 1.2
"""How far off the surface (mm) shadows are looked up, so that it does not shade itself."""


@kernel
def to_shadow_map(points: FloatArray, axes: FloatArray, size: int, out: FloatArray) -> None:
    """Fill `out` with column, row and depth of points (N, 3) on the shadow map of `size` x `size` texels."""
    for i in range(points.shape[0]):
        x, y, z = read(points, i, 0)
        u, v, towards = turned((x - SHADOW_X, y - SHADOW_Y, z - SHADOW_Z), axes)
        out[i, 0] = (u / SHADOW_EXTENT * 0.5 + 0.5) * size - 0.5
        out[i, 1] = (v / SHADOW_EXTENT * 0.5 + 0.5) * size - 0.5
        out[i, 2] = -towards


@inlined
def _key_visibility(point: Vector, normal: Vector, shadow: FloatArray, axes: FloatArray, softness: float) -> float:
    """Share of the key light that reaches a point."""
    x = point[0] + normal[0] * _LIFT - SHADOW_X
    y = point[1] + normal[1] * _LIFT - SHADOW_Y
    z = point[2] + normal[2] * _LIFT - SHADOW_Z
    u = x * axes[0, 0] + y * axes[0, 1] + z * axes[0, 2]
    v = x * axes[1, 0] + y * axes[1, 1] + z * axes[1, 2]
    depth = -(x * axes[2, 0] + y * axes[2, 1] + z * axes[2, 2])
    return lit_fraction(shadow, u, v, depth, SHADOW_EXTENT, softness)


@inlined
def _highlight(normal: Vector, view: Vector, half: Vector, roughness: float) -> float:
    """GGX distribution with Schlick's Fresnel term and a simple visibility term."""
    nh = max(0.0, dot(normal, half))
    vh = max(0.05, dot(view, half))
    alpha2 = roughness * roughness * roughness * roughness
    spread = nh * nh * (alpha2 - 1) + 1
    distribution = alpha2 / (math.pi * spread * spread)
    fresnel = 0.028 + 0.972 * (1 - vh) ** 5
    return distribution * fresnel / (4 * max(0.1, vh * vh))


@inlined
def _strand_tangent(point: Vector, normal: Vector, strands: FloatArray) -> Vector:
    """Direction of hair: down along the surface, tossed about when curly."""
    tx = strands[SINE] * smoothstep(0.0, 45.0, point[1])
    ty = -strands[COSINE]
    out = tx * normal[0] + ty * normal[1]
    tx -= out * normal[0]
    ty -= out * normal[1]
    tz = -out * normal[2]
    if strands[CURL] > 0:
        x, y, z = point[0] * 0.3, point[1] * 0.3, point[2] * 0.3
        tx += value_noise(x, y, z, 11)
        ty += value_noise(x, y, z, 12)
        tz += value_noise(x, y, z, 13)
    return unit(tx, ty, tz)


@inlined
def _hair_response(
    light: Vector, visibility: float, normal: Vector, half: Vector, tangent: Vector, shine: float
) -> tuple[float, float]:
    """Kajiya and Kay: (diffuse, gloss) of light scattered about strands, with a highlight across them."""
    facing = dot(normal, light)
    tl = dot(tangent, light)
    th = dot(tangent, half)
    scattered = math.sqrt(max(0.0, 1 - tl * tl)) * max(0.0, (facing + 0.3) / 1.3) * visibility
    streak = max(0.0, 1 - th * th) ** 30 * max(0.0, (facing + 0.2) / 1.2) * visibility * 0.16 * shine
    return scattered, streak


@inlined
def _wrapped(facing: float, wrap: float, visibility: float) -> float:
    """Diffuse light that wraps round the terminator."""
    return max(0.0, (facing + wrap) / (1 + wrap)) * visibility


@inlined
def _catch_light(light: Vector, first: bool, normal: Vector, view: Vector, below_lid: float) -> float:
    """Reflection of a lamp in the cornea."""
    twice = 2 * dot(normal, view)
    aligned = (
        (twice * normal[0] - view[0]) * light[0]
        + (twice * normal[1] - view[1]) * light[1]
        + (twice * normal[2] - view[2]) * light[2]
    )
    return smoothstep(0.972, 0.990, aligned) * (0.55 if first else 0.10) * smoothstep(0.0, 1.5, below_lid)


@inlined
def radiance(
    kind: int,
    below_lid: float,
    point: Vector,
    normal: Vector,
    view: Vector,
    lights: FloatArray,
    ambient: FloatArray,
    shadow: FloatArray,
    axes: FloatArray,
    strands: FloatArray,
    hair_colour: Vector,
    out: FloatArray,
) -> Vector:
    """Light that a sample sends to the camera; `below_lid` is negative where there is no eye."""
    is_hair = kind == Surface.HAIR
    is_skin = kind <= Surface.NECK
    occlusion = out[OCCLUSION]
    sky = (0.5 + 0.5 * dot(normal, read(ambient, UP, 0))) * occlusion
    ground = occlusion - sky
    red = ambient[SKY, 0] * sky + ambient[GROUND, 0] * ground
    green = ambient[SKY, 1] * sky + ambient[GROUND, 1] * ground
    blue = ambient[SKY, 2] * sky + ambient[GROUND, 2] * ground
    if is_skin:
        red *= occlusion**-0.25  # red light seeps into creases
    tangent = _strand_tangent(point, normal, strands) if is_hair else normal
    gloss_red, gloss_green, gloss_blue = 0.0, 0.0, 0.0
    for i in range(lights.shape[0]):
        light = read(lights, i, DIRECTION)
        colour = read(lights, i, COLOUR)
        facing = dot(normal, light)
        visibility = 1.0
        if lights[i, CASTS] > 0 and facing > -0.45:
            visibility = _key_visibility(point, normal, shadow, axes, lights[i, SOFTNESS])
        half = unit(light[0] + view[0], light[1] + view[1], light[2] + view[2])
        gloss = 0.0
        if is_hair:
            diffuse, streak = _hair_response(light, visibility, normal, half, tangent, out[SHINE])
            red += colour[0] * diffuse
            green += colour[1] * diffuse
            blue += colour[2] * diffuse
            gloss_red += colour[0] * streak * (0.35 + hair_colour[0] * 1.5)
            gloss_green += colour[1] * streak * (0.35 + hair_colour[1] * 1.5)
            gloss_blue += colour[2] * streak * (0.35 + hair_colour[2] * 1.5)
        else:
            open_sky = 0.35 + 0.65 * occlusion
            # At the shadow's edge red travels furthest through skin.
            seep = visibility + (1 - visibility) * visibility * 0.5 if out[WRAP_RED] > 0 else visibility
            red += colour[0] * _wrapped(facing, out[WRAP_RED], seep) * open_sky
            green += colour[1] * _wrapped(facing, out[WRAP_GREEN], visibility) * open_sky
            blue += colour[2] * _wrapped(facing, out[WRAP_BLUE], visibility) * open_sky
            if facing > 0 and out[SPECULAR] > 0 and visibility > 0:
                lobe = _highlight(normal, view, half, out[ROUGHNESS])
                gloss = min(lobe * facing * visibility * out[SPECULAR] * occlusion * 0.9, 4.0)
        if below_lid >= 0:
            gloss += _catch_light(light, i == 0, normal, view, below_lid)
        gloss_red += colour[0] * gloss
        gloss_green += colour[1] * gloss
        gloss_blue += colour[2] * gloss
    if is_skin and out[SPECULAR] > 0:
        grazing = (1 - max(0.0, dot(normal, view))) ** 5
        sheen = (0.02 + 0.30 * grazing) * occlusion * occlusion * 0.6 * min(out[SPECULAR], 1.3)
        gloss_red += ambient[SKY, 0] * sheen
        gloss_green += ambient[SKY, 1] * sheen
        gloss_blue += ambient[SKY, 2] * sheen
    return out[RED] * red + gloss_red, out[GREEN] * green + gloss_green, out[BLUE] * blue + gloss_blue
