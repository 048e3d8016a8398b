"""Light: from the fragments of the rasteriser to linear radiance and labels."""

from __future__ import annotations

import math

import numpy as np

from facebench.phantoms._kernel import FloatArray, IntArray, Record, kernel
from facebench.phantoms.cloth import (
    DARKNESS,
    TINT,
    _unit,
    hair_strands,
    look_through_lens,
    plain_skin,
    set_wrap,
    worn,
)
from facebench.phantoms.features import eye_local, eye_outline, mouth_line
from facebench.phantoms.labels import Label, Surface
from facebench.phantoms.materials import (
    BLUE,
    GREEN,
    LABEL,
    MATERIAL_FIELDS,
    OCCLUSION,
    RED,
    ROUGHNESS,
    SHINE,
    SLIT,
    SPECULAR,
    WRAP_RED,
    iris,
    lashes,
    lid_label,
    sclera,
    skin,
    wrinkles,
)
from facebench.phantoms.noise import smoothstep, value_noise
from facebench.phantoms.raster import lit_fraction
from facebench.phantoms.sculpt import EYEBALL_RADIUS

# Columns of the table of lights: direction, colour, whether it casts shadows, softness of these.
DIRECTION, COLOUR, CASTS, SOFTNESS = 0, 3, 6, 7
SHADOW_EXTENT = 135.0
"""Half-width (mm) of the square the shadow map covers."""


@kernel
def _dot(a: FloatArray, b: FloatArray) -> float:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]  # type: ignore[no-any-return]


@kernel
def _mouth_gap(x: float, y: float, shape: Record, expression: Record, normal: FloatArray, out: FloatArray) -> None:
    """Teeth and the dark behind them, between parted lips."""
    out[LABEL] = Label.MOUTH.value
    down = (y - mouth_line(x, shape)) / 0.5
    teeth = 0.0
    if expression.jaw_open > 0.04:
        reach = 1 - 2.0 * min(1.0, expression.teeth / (expression.jaw_open * 2.6 + 0.25))
        teeth = (
            smoothstep(reach - 0.3, reach + 0.1, down) * min(1.0, expression.teeth * 2) * smoothstep(1.0, 0.75, down)
        )
    t = x / shape.mouth_width
    white = teeth * (1 - 0.75 * t * t)
    out[RED] = 0.035 * (1 - teeth) + 0.50 * white
    out[GREEN] = 0.010 * (1 - teeth) + 0.45 * white
    out[BLUE] = 0.010 * (1 - teeth) + 0.38 * white
    out[SPECULAR] = 0.6 * teeth
    out[OCCLUSION] *= 0.45 + 0.5 * teeth
    normal[0] *= 0.5
    normal[1] *= 0.25
    _unit(normal)


@kernel
def _face_material(
    material: FloatArray,
    hairline: float,
    in_front: bool,
    shape: Record,
    expression: Record,
    surface: Record,
    moles: FloatArray,
    normal: FloatArray,
    out: FloatArray,
) -> bool:
    """Material of the head sheet. Returns True where the sample is an open eye, which is shaded as a ball."""
    x, y, z = material[0], material[1], material[2]
    near_eye = abs(y) < 18 and 8 < abs(x) < 60 and normal[2] > 0
    side, ex, ey = eye_local(x, y, shape)
    if near_eye:
        upper, lower, t = eye_outline(ex, shape, expression)
        if abs(t) < 1 and lower < ey < upper:
            return True
    skin(x, y, z, hairline, shape, surface, moles, out)
    set_wrap(out, 0.24, 0.11, 0.07)
    if out[LABEL] != Label.HAIR.value and in_front:
        step = 0.35
        here = wrinkles(x, y, z, shape, expression, surface)
        normal[0] -= (wrinkles(x + step, y, z, shape, expression, surface) - here) / step * 0.8
        normal[1] -= (wrinkles(x, y + step, z, shape, expression, surface) - here) / step * 0.8
        _unit(normal)
    if near_eye:
        lashes(ex, ey, shape, expression, surface, out)
        if out[LABEL] == Label.SKIN.value:
            out[LABEL] = lid_label(side, ex, ey, shape)
    if out[SLIT] > 0:
        _mouth_gap(x, y, shape, expression, normal, out)
    return False


@kernel
def _eye_material(
    material: FloatArray,
    view: FloatArray,
    camera: FloatArray,
    eyeball_z: float,
    shape: Record,
    expression: Record,
    surface: Record,
    normal: FloatArray,
    out: FloatArray,
) -> float:
    """Follow the line of sight to the eyeball and shade what it meets. Returns the distance to the upper lid."""
    side, ex, ey = eye_local(material[0], material[1], shape)
    upper, lower, t = eye_outline(ex, shape, expression)
    ox = camera[0] - side * shape.eye_separation
    oy = camera[1] - side * shape.eye_asymmetry * 0.5
    oz = camera[2] - eyeball_z
    along = -(ox * view[0] + oy * view[1] + oz * view[2])
    square = along * along - (ox * ox + oy * oy + oz * oz - EYEBALL_RADIUS * EYEBALL_RADIUS)
    distance = -along - math.sqrt(max(square, 0.0))
    normal[0] = (ox - distance * view[0]) / EYEBALL_RADIUS
    normal[1] = (oy - distance * view[1]) / EYEBALL_RADIUS
    normal[2] = (oz - distance * view[2]) / EYEBALL_RADIUS
    gx = math.sin(expression.gaze_x) * math.cos(expression.gaze_y) - side * 0.02
    gy = math.sin(expression.gaze_y)
    gz = math.sqrt(max(0.0, 1 - gx * gx - gy * gy))
    cosine = normal[0] * gx + normal[1] * gy + normal[2] * gz
    u = math.acos(max(-1.0, min(1.0, cosine))) * EYEBALL_RADIUS / shape.iris_radius
    sclera(t, out)
    iris(u, math.atan2(normal[1] - gy, normal[0] - gx), int(surface.seed), surface, out)
    out[OCCLUSION] *= 0.30 + 0.70 * smoothstep(-0.2, 4.2, upper - ey)
    out[OCCLUSION] *= (0.75 + 0.25 * smoothstep(0.0, 1.4, ey - lower)) * (0.75 + 0.25 * smoothstep(1.0, 0.6, abs(t)))
    out[LABEL] = Label.LEFT_EYE.value if material[0] < 0 else Label.RIGHT_EYE.value
    out[SPECULAR] = 1.2
    out[ROUGHNESS] = 0.12
    set_wrap(out, 0.25, 0.2, 0.2)
    return upper - ey


@kernel
def _key_visibility(
    point: FloatArray, normal: FloatArray, shadow: FloatArray, axes: FloatArray, softness: float
) -> float:
    """Share of the key light that reaches a point, sampled just off the surface."""
    offset = 1.2
    x = point[0] + normal[0] * offset
    y = point[1] + normal[1] * offset
    z = point[2] + normal[2] * offset
    u = x * axes[0, 0] + y * axes[0, 1] + z * axes[0, 2]
    v = x * axes[1, 0] + y * axes[1, 1] + z * axes[1, 2]
    depth = -(x * axes[2, 0] + y * axes[2, 1] + z * axes[2, 2])
    return lit_fraction(shadow, u, v, depth, SHADOW_EXTENT, softness)


@kernel
def _highlight(normal: FloatArray, view: FloatArray, half: FloatArray, roughness: float) -> float:
    """GGX distribution with Schlick's Fresnel term and a simple visibility term."""
    nh = max(0.0, _dot(normal, half))
    vh = max(0.05, _dot(view, half))
    alpha2 = roughness**4
    spread = nh * nh * (alpha2 - 1) + 1
    distribution = alpha2 / (3.1416 * spread * spread)
    fresnel = 0.028 + 0.972 * (1 - vh) ** 5
    return distribution * fresnel / (4 * max(0.1, vh * vh))


@kernel
def _strand_tangent(point: FloatArray, normal: FloatArray, strands: FloatArray, tangent: FloatArray) -> None:
    """Direction of hair: down along the surface, tossed about when curly."""
    tangent[0] = strands[0] * 20
    tangent[1] = -1.0
    tangent[2] = 0.0
    out = _dot(tangent, normal)
    for k in range(3):
        tangent[k] -= out * normal[k]
        if strands[3] > 0:
            tangent[k] += value_noise(point[0] * 0.3, point[1] * 0.3, point[2] * 0.3, 11 + k)
    _unit(tangent)


@kernel
def _light_hair(
    light: FloatArray,
    visibility: float,
    normal: FloatArray,
    half: FloatArray,
    tangent: FloatArray,
    colour: FloatArray,
    shine: float,
    diffuse: FloatArray,
    gloss: FloatArray,
) -> None:
    """Kajiya and Kay: light scatters about strands, with a highlight across them."""
    facing = _dot(normal, light)
    tl = _dot(tangent, light)
    th = _dot(tangent, half)
    scattered = math.sqrt(max(0.0, 1 - tl * tl)) * max(0.0, (facing + 0.3) / 1.3) * visibility
    streak = max(0.0, 1 - th * th) ** 30 * max(0.0, (facing + 0.2) / 1.2) * visibility * 0.16 * shine
    for k in range(3):
        diffuse[k] += light[COLOUR + k] * scattered
        gloss[k] += light[COLOUR + k] * streak * (0.35 + colour[k] * 1.5)


@kernel
def _light_solid(
    light: FloatArray,
    visibility: float,
    normal: FloatArray,
    view: FloatArray,
    half: FloatArray,
    out: FloatArray,
    diffuse: FloatArray,
    gloss: FloatArray,
) -> None:
    """Wrapped diffuse light, reddened at the shadow's edge as skin is, and a GGX highlight."""
    facing = _dot(normal, light)
    ambient = 0.35 + 0.65 * out[OCCLUSION]
    for k in range(3):
        wrap = out[WRAP_RED + k]
        reach = visibility
        if k == 0 and wrap > 0:
            reach = visibility + (1 - visibility) * visibility * 0.5
        diffuse[k] += light[COLOUR + k] * max(0.0, (facing + wrap) / (1 + wrap)) * reach * ambient
    if facing > 0 and out[SPECULAR] > 0:
        lobe = _highlight(normal, view, half, out[ROUGHNESS])
        lobe = min(lobe * facing * visibility * out[SPECULAR] * out[OCCLUSION] * 0.9, 4.0)
        for k in range(3):
            gloss[k] += light[COLOUR + k] * lobe


@kernel
def _catch_lights(
    lights: FloatArray, normal: FloatArray, view: FloatArray, below_lid: float, gloss: FloatArray
) -> None:
    """Reflections of the lamps in the cornea."""
    twice = 2 * _dot(normal, view)
    for i in range(lights.shape[0]):
        aligned = 0.0
        for k in range(3):
            aligned += (twice * normal[k] - view[k]) * lights[i, k]
        strength = smoothstep(0.972, 0.990, aligned) * (0.55 if i == 0 else 0.10) * smoothstep(0.0, 1.5, below_lid)
        for k in range(3):
            gloss[k] += strength * lights[i, COLOUR + k]


@kernel
def _radiance(
    kind: int,
    below_lid: float,
    point: FloatArray,
    normal: FloatArray,
    view: FloatArray,
    lights: FloatArray,
    ambient: FloatArray,
    shadow: FloatArray,
    axes: FloatArray,
    strands: FloatArray,
    hair_colour: FloatArray,
    out: FloatArray,
    scratch: FloatArray,
    pixel: FloatArray,
) -> None:
    """Sum the light of a sample into `pixel`; `below_lid` is negative where there is no eye."""
    half, tangent, diffuse, gloss = scratch[0], scratch[1], scratch[2], scratch[3]
    is_hair = kind == Surface.HAIR
    is_skin = kind <= Surface.NECK
    occlusion = out[OCCLUSION]
    sky = 0.5 + 0.5 * _dot(normal, ambient[6:9])
    for k in range(3):
        diffuse[k] = (ambient[k] * sky + ambient[3 + k] * (1 - sky)) * occlusion
        gloss[k] = 0.0
    if is_skin:
        diffuse[0] *= occlusion**-0.25  # red light seeps into creases
    if is_hair:
        _strand_tangent(point, normal, strands, tangent)
    for i in range(lights.shape[0]):
        light = lights[i]
        visibility = 1.0
        if light[CASTS] > 0 and _dot(normal, light) > -0.45:
            visibility = _key_visibility(point, normal, shadow, axes, light[SOFTNESS])
        for k in range(3):
            half[k] = light[k] + view[k]
        _unit(half)
        if is_hair:
            _light_hair(light, visibility, normal, half, tangent, hair_colour, out[SHINE], diffuse, gloss)
        else:
            _light_solid(light, visibility, normal, view, half, out, diffuse, gloss)
    if is_skin and out[SPECULAR] > 0:
        grazing = (1 - max(0.0, _dot(normal, view))) ** 5
        sheen = (0.02 + 0.30 * grazing) * occlusion * occlusion * 0.6 * min(out[SPECULAR], 1.3)
        for k in range(3):
            gloss[k] += ambient[k] * sheen
    if below_lid >= 0:
        _catch_lights(lights, normal, view, below_lid, gloss)
    for k in range(3):
        pixel[k] = out[RED + k] * diffuse[k] + gloss[k]


@kernel
def _mix(values: FloatArray, corners: IntArray, w0: float, w1: float, out: FloatArray) -> None:
    """Interpolate a vertex attribute of three components within a triangle."""
    w2 = 1 - w0 - w1
    for k in range(3):
        out[k] = w0 * values[corners[0], k] + w1 * values[corners[1], k] + w2 * values[corners[2], k]


@kernel
def shade(
    triangle: IntArray,
    weight0: FloatArray,
    weight1: FloatArray,
    lens_triangle: IntArray,
    lens_weight0: FloatArray,
    lens_weight1: FloatArray,
    triangles: IntArray,
    kinds: IntArray,
    position: FloatArray,
    normals: FloatArray,
    materials: FloatArray,
    occlusion: FloatArray,
    hairline: FloatArray,
    camera: FloatArray,
    lights: FloatArray,
    ambient: FloatArray,
    shadow: FloatArray,
    axes: FloatArray,
    eyeball_z: float,
    shape: Record,
    expression: Record,
    surface: Record,
    moles: FloatArray,
    strands: FloatArray,
    colours: FloatArray,
    lens: FloatArray,
    ribbed: float,
    radiance: FloatArray,
    labels: IntArray,
) -> None:
    """Shade every sample that sees a triangle, then lay spectacle lenses over the picture."""
    out = np.zeros(MATERIAL_FIELDS)
    scratch = np.zeros((4, 3))
    point, normal, view, material = np.zeros(3), np.zeros(3), np.zeros(3), np.zeros(3)
    hair_colour = np.array([surface.hair_red, surface.hair_green, surface.hair_blue])
    for row in range(triangle.shape[0]):
        for column in range(triangle.shape[1]):
            index = triangle[row, column]
            pixel = radiance[row, column]
            if index >= 0:
                w0, w1 = weight0[row, column], weight1[row, column]
                corners = triangles[index]
                kind = kinds[index]
                _mix(position, corners, w0, w1, point)
                _mix(normals, corners, w0, w1, normal)
                _mix(materials, corners, w0, w1, material)
                _unit(normal)
                for k in range(3):
                    view[k] = camera[k] - point[k]
                _unit(view)
                if kind >= Surface.HAIR and _dot(normal, view) < 0:
                    for k in range(3):
                        normal[k] = -normal[k]
                out[:] = 0.0
                out[ROUGHNESS] = 0.4
                w2 = 1 - w0 - w1
                out[OCCLUSION] = w0 * occlusion[corners[0]] + w1 * occlusion[corners[1]] + w2 * occlusion[corners[2]]
                below_lid = -1.0
                if kind == Surface.HEAD:
                    inside = w0 * hairline[corners[0]] + w1 * hairline[corners[1]] + w2 * hairline[corners[2]]
                    in_front = point[2] > 0
                    if _face_material(material, inside, in_front, shape, expression, surface, moles, normal, out):
                        below_lid = _eye_material(
                            material, view, camera, eyeball_z, shape, expression, surface, normal, out
                        )
                elif kind <= Surface.NECK:
                    plain_skin(kind, point, surface, colours, out)
                elif kind == Surface.HAIR:
                    hair_strands(material[0], material[1], point, strands, hair_colour, out)
                else:
                    worn(kind, material[0], material[1], material[2], ribbed, colours, normal, out)
                _radiance(
                    kind,
                    below_lid,
                    point,
                    normal,
                    view,
                    lights,
                    ambient,
                    shadow,
                    axes,
                    strands,
                    hair_colour,
                    out,
                    scratch,
                    pixel,
                )
                labels[row, column] = int(out[LABEL])
            index = lens_triangle[row, column]
            if index >= 0:
                _mix(materials, triangles[index], lens_weight0[row, column], lens_weight1[row, column], material)
                look_through_lens(
                    material[0], material[1], lens, colours[TINT], ambient, lights[0, COLOUR : COLOUR + 3], pixel
                )
                if lens[DARKNESS] > 0.5:
                    labels[row, column] = Label.GLASSES.value
