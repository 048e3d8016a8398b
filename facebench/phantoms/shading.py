"""From the fragments of the rasteriser to linear radiance and labels."""

from __future__ import annotations

import math

from facebench.phantoms._kernel import FloatArray, IntArray, Record, inlined, kernel
from facebench.phantoms.cloth import DARKNESS, TINT, hair_strands, look_through_lens, plain_skin, set_wrap, worn
from facebench.phantoms.features import eye_local, eye_outline, mouth_line
from facebench.phantoms.labels import Label, Surface
from facebench.phantoms.lighting import COLOUR, SKY, radiance
from facebench.phantoms.materials import (
    BLUE,
    GREEN,
    LABEL,
    OCCLUSION,
    RED,
    ROUGHNESS,
    SLIT,
    SPECULAR,
    iris,
    lashes,
    lid_label,
    relief_slope,
    sclera,
    skin,
)
from facebench.phantoms.noise import smoothstep
from facebench.phantoms.sculpt import EYEBALL_RADIUS
from facebench.phantoms.vectors import Vector, dot, mix, mix_scalar, read, unit


@inlined
def _mouth_gap(x: float, y: float, shape: Record, expression: Record, normal: Vector, out: FloatArray) -> Vector:
    """Teeth and the dark behind them, between parted lips; returns the normal, turned forward."""
    out[LABEL] = Label.MOUTH.value
    down = (y - mouth_line(x, shape)) / 0.5
    teeth = 0.0
    if expression.jaw_open > 0.04:
        reach = 1 - 2.0 * min(1.0, expression.teeth / (expression.jaw_open * 2.6 + 0.25))
        teeth = smoothstep(reach - 0.3, reach + 0.1, down) * smoothstep(1.0, 0.75, down)
        teeth *= min(1.0, expression.teeth * 2)
    # A narrow gap lets little light in, and the corners of the mouth none.
    t = x / shape.mouth_width
    teeth *= smoothstep(0.04, 0.34, expression.jaw_open) * smoothstep(1.0, 0.45, abs(t))
    # Teeth 8.5 mm wide in the middle and narrower to the sides, parted by shadows.
    between = 0.5 + 0.5 * math.cos(2 * math.pi * (abs(x) / (8.5 - 0.08 * abs(x)) + 0.5))
    white = teeth * (1 - 0.42 * (1 - between) ** 4) * (0.72 + 0.28 * smoothstep(0.9, 0.1, down))
    out[RED] = 0.035 * (1 - teeth) + 0.43 * white
    out[GREEN] = 0.010 * (1 - teeth) + 0.38 * white
    out[BLUE] = 0.010 * (1 - teeth) + 0.315 * white
    out[SPECULAR] = 0.6 * teeth
    out[OCCLUSION] *= 0.45 + 0.5 * teeth
    return unit(0.5 * normal[0], 0.25 * normal[1], normal[2])


@inlined
def _is_open_eye(x: float, y: float, normal_z: float, shape: Record, expression: Record) -> bool:
    """Whether the head sheet has a hole there, through which the eyeball is seen."""
    if abs(y) >= 18 or not 8 < abs(x) < 60 or normal_z <= 0:
        return False
    _, ex, ey = eye_local(x, y, shape)
    upper, lower, t = eye_outline(ex, shape, expression)
    return bool(abs(t) < 1 and lower < ey < upper)


@inlined
def _face_material(
    material: Vector,
    hairline: float,
    in_front: bool,
    shape: Record,
    expression: Record,
    surface: Record,
    moles: FloatArray,
    normal: Vector,
    out: FloatArray,
) -> Vector:
    """Material of the head sheet outside the eyes; returns the normal, bent by fine relief."""
    x, y, z = material
    near_eye = abs(y) < 18 and 8 < abs(x) < 60 and normal[2] > 0
    skin(x, y, z, hairline, shape, surface, moles, out)
    set_wrap(out, 0.24, 0.11, 0.07)
    if out[LABEL] != Label.HAIR.value and in_front:
        slope_x, slope_y = relief_slope(x, y, z, expression, surface)
        normal = unit(normal[0] - slope_x * 0.8, normal[1] - slope_y * 0.8, normal[2])
    if near_eye:
        side, ex, ey = eye_local(x, y, shape)
        lashes(ex, ey, shape, expression, surface, out)
        if out[LABEL] == Label.SKIN.value:
            out[LABEL] = lid_label(side, ex, ey, shape)
    if out[SLIT] > 0:
        normal = _mouth_gap(x, y, shape, expression, normal, out)
    return normal


@inlined
def _eye_material(
    material: Vector,
    view: Vector,
    camera: FloatArray,
    eyeball_z: float,
    shape: Record,
    expression: Record,
    surface: Record,
    out: FloatArray,
) -> tuple[Vector, float]:
    """Follow the line of sight to the eyeball; returns its normal there and the distance to the upper lid."""
    side, ex, ey = eye_local(material[0], material[1], shape)
    upper, lower, t = eye_outline(ex, shape, expression)
    ox = camera[0] - side * shape.eye_separation
    oy = camera[1] - side * shape.eye_asymmetry * 0.5
    oz = camera[2] - eyeball_z
    along = -(ox * view[0] + oy * view[1] + oz * view[2])
    square = along * along - (ox * ox + oy * oy + oz * oz - EYEBALL_RADIUS * EYEBALL_RADIUS)
    distance = -along - math.sqrt(max(square, 0.0))
    nx = (ox - distance * view[0]) / EYEBALL_RADIUS
    ny = (oy - distance * view[1]) / EYEBALL_RADIUS
    nz = (oz - distance * view[2]) / EYEBALL_RADIUS
    gx = math.sin(expression.gaze_x) * math.cos(expression.gaze_y) - side * 0.02
    gy = math.sin(expression.gaze_y)
    gz = math.sqrt(max(0.0, 1 - gx * gx - gy * gy))
    cosine = nx * gx + ny * gy + nz * gz
    u = math.acos(max(-1.0, min(1.0, cosine))) * EYEBALL_RADIUS / shape.iris_radius
    sclera(t, out)
    iris(u, math.atan2(ny - gy, nx - gx), int(surface.seed), surface, out)
    out[OCCLUSION] *= 0.30 + 0.70 * smoothstep(-0.2, 4.2, upper - ey)
    out[OCCLUSION] *= (0.75 + 0.25 * smoothstep(0.0, 1.4, ey - lower)) * (0.75 + 0.25 * smoothstep(1.0, 0.6, abs(t)))
    # A ball seen from the side lies in the shade of its lids.
    out[OCCLUSION] *= 0.45 + 0.55 * smoothstep(0.1, 0.75, nx * view[0] + ny * view[1] + nz * view[2])
    out[LABEL] = Label.LEFT_EYE.value if material[0] < 0 else Label.RIGHT_EYE.value
    out[SPECULAR] = 1.2
    out[ROUGHNESS] = 0.12
    set_wrap(out, 0.25, 0.2, 0.2)
    return (nx, ny, nz), upper - ey


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
    out: FloatArray,
    picture: FloatArray,
    labels: IntArray,
) -> None:
    """Shade every sample that sees a triangle, then lay spectacle lenses over the picture.

    `out` is scratch space for the material of one sample, `MATERIAL_FIELDS` long.
    """
    hair_colour = (surface.hair_red, surface.hair_green, surface.hair_blue)
    for row in range(triangle.shape[0]):
        for column in range(triangle.shape[1]):
            pixel = (0.0, 0.0, 0.0)
            index = triangle[row, column]
            if index >= 0:
                w0, w1 = weight0[row, column], weight1[row, column]
                kind = kinds[index]
                point = mix(position, triangles, index, w0, w1)
                material = mix(materials, triangles, index, w0, w1)
                bent = mix(normals, triangles, index, w0, w1)
                normal = unit(bent[0], bent[1], bent[2])
                view = unit(camera[0] - point[0], camera[1] - point[1], camera[2] - point[2])
                if kind >= Surface.HAIR and dot(normal, view) < 0:
                    normal = (-normal[0], -normal[1], -normal[2])
                out[:] = 0.0
                out[ROUGHNESS] = 0.4
                out[OCCLUSION] = mix_scalar(occlusion, triangles, index, w0, w1)
                below_lid = -1.0
                if kind == Surface.HEAD:
                    if _is_open_eye(material[0], material[1], normal[2], shape, expression):
                        normal, below_lid = _eye_material(
                            material, view, camera, eyeball_z, shape, expression, surface, out
                        )
                    else:
                        inside = mix_scalar(hairline, triangles, index, w0, w1)
                        normal = _face_material(
                            material, inside, point[2] > 0, shape, expression, surface, moles, normal, out
                        )
                elif kind <= Surface.NECK:
                    plain_skin(kind, point, surface, colours, out)
                elif kind == Surface.HAIR:
                    hair_strands(material[0], material[1], point, strands, hair_colour, out)
                else:
                    normal = worn(kind, material[0], material[1], material[2], ribbed, colours, normal, out)
                pixel = radiance(
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
                )
                labels[row, column] = int(out[LABEL])
            index = lens_triangle[row, column]
            if index >= 0:
                at = mix(materials, triangles, index, lens_weight0[row, column], lens_weight1[row, column])
                tint, sky, key = read(colours, TINT, 0), read(ambient, SKY, 0), read(lights, 0, COLOUR)
                pixel = look_through_lens(at[0], at[1], lens, tint, sky, key, pixel)
                if lens[DARKNESS] > 0.5:
                    labels[row, column] = Label.GLASSES.value
            picture[row, column, 0] = pixel[0]
            picture[row, column, 1] = pixel[1]
            picture[row, column, 2] = pixel[2]


@kernel
def lay_behind(
    triangle: IntArray, lens_triangle: IntArray, backdrop: FloatArray, samples: int, picture: FloatArray
) -> None:
    """Copy the backdrop, a picture with `samples` x `samples` samples a pixel, to where nothing was drawn."""
    for row in range(triangle.shape[0]):
        for column in range(triangle.shape[1]):
            if triangle[row, column] < 0 and lens_triangle[row, column] < 0:
                for channel in range(3):
                    picture[row, column, channel] = backdrop[row // samples, column // samples, channel]
