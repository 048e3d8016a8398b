"""Displacement of the head's loft into a face: what every shape and expression parameter does to the surface.

In two steps, since the pictures of an identity follow one another: `sculpt_at_rest` is the identity's, `move_face` lays
the expression of one picture over it.
"""

from __future__ import annotations

import math

import numpy as np

from facebench.phantoms._kernel import FloatArray, Record, inlined, kernel
from facebench.phantoms.features import (
    MOUTH_LEVEL,
    brow_local,
    eye_local,
    eye_outline,
    lip_heights,
    mouth_line,
    nose_tip_level,
)
from facebench.phantoms.noise import bell, bump, smooth_max, smoothstep
from facebench.phantoms.vectors import read

EYEBALL_RADIUS = 12.3
LID_RADIUS = 13.3
# What is known of a vertex before the face moves: its level on this head (mm), how far it belongs to the face (0 to 1),
# bone and fat, the nasolabial fold's shape and extent, eye bag, tear trough, private bumps and nose (mm).
HEIGHT, IN_FACE, BONE, FOLD, FOLD_EXTENT, BAG, TROUGH, BUMP, NOSE = range(9)
REST_FIELDS = 9


@inlined
def _relief(x: float, y: float, shape: Record, rest: FloatArray) -> None:
    """Bone and fat: forehead, sockets, cheeks, chin, folds."""
    ax = abs(x)
    _, above_brow, _ = brow_local(x, y, shape)
    z = shape.brow_ridge * bump(above_brow, -2.0, 8.0) * smoothstep(2.0, 14.0, ax) * (1 - smoothstep(40.0, 58.0, ax))
    z += 0.5 * shape.brow_ridge * bell(x, y - 20, 8.0, 6.0)
    z -= (1.5 + shape.temple_hollow) * bell(ax - 62, y - 26, 9.0, 16.0)
    z += 1.2 * bell(ax - 26, y - 52, 14.0, 14.0)
    socket = ((ax - shape.eye_separation) / 17.0) ** 2 + ((y - 2.5) / 10.5) ** 2
    z -= shape.socket_depth * math.exp(-(socket**1.25)) + (3.4 + 0.5 * shape.eye_depth) * bell(ax - 17, y - 4, 5.0, 7.0)
    z += shape.cheekbone * (bell(ax - 47, y + 22, 13.0, 9.0) + 0.4 * bell(ax - 33, y + 20, 11.0, 9.0))
    z += shape.cheek_fat * bell(ax - 40, y + 63, 16.0, 14.0) - shape.cheek_hollow * bell(ax - 46, y + 58, 9.0, 12.0)
    z += shape.chin_boss * bell(x - shape.chin_asymmetry, y + 101, 13.0, 9.0)
    z -= shape.chin_cleft * bell(x, y + 102, 2.2, 7.0)
    z -= (1.4 + shape.chin_sulcus * 0.8) * bell(x, y + 84, 13.0, 5.2)
    rest[BONE] = z + 3.2 * bell(x, y + 66, 23.0, 17.0)
    # Nasolabial fold, from the wing of the nose to beside the mouth corner: a ridge outside, a furrow on the line.
    along = (-40 - y) / 34.0
    line = 19.0 + along * 14 + 3.0 * math.sin(3.1416 * min(max(along, 0.0), 1.0))
    rest[FOLD_EXTENT] = smoothstep(-0.15, 0.15, along) * (1 - smoothstep(0.8, 1.15, along))
    ridge = smoothstep(-4.0, 5.0, ax - line) * (1 - smoothstep(5.0, 24.0, ax - line))
    rest[FOLD] = 0.9 * ridge - 0.75 * bump(ax, line, 3.4)
    # Eye bag and the tear trough under it.
    bag = y + 11.5 - 0.012 * (ax - 31) ** 2
    rest[BAG] = shape.eye_bag * 1.1 * bump(bag, 0.0, 3.0) * bell(ax - 30, 0.0, 11.0, 1.0)
    rest[TROUGH] = shape.eye_bag * 1.2 * bump(bag, -6.5, 2.8) * bell(ax - 27, 0.0, 11.0, 1.0)


@inlined
def _bumps(x: float, y: float, bumps: FloatArray) -> float:
    """Private displacements of the identity."""
    z = 0.0
    for k in range(bumps.shape[0]):
        u = (x - bumps[k, 0]) / bumps[k, 2]
        v = (y - bumps[k, 1]) / bumps[k, 3]
        r = u * u + v * v
        if r < 9:
            z += bumps[k, 4] * math.exp(-0.5 * r)
    return z


@inlined
def _nose_ridge(y: float, shape: Record) -> float:
    """Height of the nose's mid-line above the face: root, bridge with its hump, tip and the underside."""
    root = shape.nose_root
    projection = shape.nose_projection
    tip = nose_tip_level(shape)
    if y > 6:
        return root * smoothstep(19.0, 6.0, y)  # type: ignore[no-any-return]
    if y > tip:
        q = (6 - y) / (6 - tip)
        hump = shape.nose_hump * bump(q, 0.48, 0.2) * 1.3
        break_ = 0.8 * bump(q, 0.82, 0.1) * (1.0 if shape.tip_rotation > 0 else 0.4)
        return root + (projection - root) * q**1.12 + hump - break_  # type: ignore[no-any-return]
    q = (tip - y) / (tip + 52.0)
    if q >= 1:
        return 0.0
    return projection * ((1 - smoothstep(0.05, 0.80, q)) * 0.92 + 0.08 * max(0.0, 1 - q))  # type: ignore[no-any-return]


@inlined
def _nose(x: float, y: float, shape: Record) -> float:
    """Nose: ridge, tip, wings, nostrils."""
    nx = x - shape.nose_asymmetry * smoothstep(10.0, -40.0, y)
    ax = abs(nx)
    if ax >= 34 or y <= -60 or y >= 24:
        return 0.0
    tip = nose_tip_level(shape)
    width = shape.bridge_width * (0.86 + 0.30 * smoothstep(5.0, -34.0, y))
    if y < -38:
        width *= 1 - 0.12 * smoothstep(-38.0, -48.0, y)
    # A narrow ridge on a broad foot, or the bridge looks like a box.
    profile = 0.72 * math.exp(-((ax / width) ** 1.9) * 0.66) + 0.28 * math.exp(-((ax / (1.55 * width)) ** 2))
    # To the sides the underside begins higher: the base of a nose is a gull's wing, not a ledge.
    z = _nose_ridge(y - 2.6 * (1 - math.exp(-((ax / 7.5) ** 2))), shape) * profile
    tip_u = (ax - shape.tip_bifid * 2) / shape.tip_width
    tip_v = (y - tip + 0.5) / 5.0
    z += shape.tip_depth * math.exp(-(tip_u * tip_u + tip_v * tip_v))
    z -= max(shape.tip_bifid, 0.0) * 0.8 * math.exp(-((nx / 1.6) ** 2 + ((y - tip) / 4.0) ** 2))
    wing = shape.nose_width - 5.2
    r2 = ((ax - wing) / 5.6) ** 2 + ((y + 41.0) / 5.8) ** 2
    z += shape.ala_depth * math.exp(-(r2**1.45) * 0.75)
    crease = bump(math.sqrt(r2), 1.62, 0.24)
    z -= 1.9 * crease * smoothstep(wing - 2, wing + 3, ax) * smoothstep(-50.0, -45.0, y)
    z -= shape.nostril * 4.2 * bell(ax - 0.44 * shape.nose_width, y + 46.0, 2.9, 1.7)
    return z  # type: ignore[no-any-return]


@inlined
def _lips(x: float, y: float, shape: Record, expression: Record) -> float:
    """Philtrum and lips."""
    ax = abs(x)
    z = 0.0
    if ax < 12 and -64 < y < -44:
        extent = smoothstep(-46.0, -50.0, y) * (1 - smoothstep(-59.0, -63.0, y))
        z += shape.philtrum * extent * (0.7 * bump(ax, 4.6, 1.8) - 0.9 * math.exp(-((x / 2.2) ** 2)))
    if ax >= 42 or y <= -92 or y >= -48:
        return z
    upper, lower = lip_heights(x, shape)
    e = y - mouth_line(x, shape)
    t = ax / shape.mouth_width
    body = max(0.0, 1 - t * t) ** 0.55 if t < 1 else 0.0
    stretch = 1 - 0.35 * expression.smile
    if e > 0:
        z += shape.upper_lip_pout * body * stretch * bump(e, 0.52 * upper, 0.62 * upper + 1.6)
    else:
        z += shape.lower_lip_pout * body * stretch * bump(e, -0.52 * lower, 0.58 * lower + 1.4)
        z -= 1.2 * body * bump(e, -lower - 2.5, 2.5)
    z -= 3.0 * math.exp(-((e / 1.5) ** 2)) * smoothstep(1.25, 0.9, t)
    z -= 1.8 * bell(ax - shape.mouth_width - 2, e, 4.5, 5.0)
    return z + expression.pucker * 4 * bell(x, e, 14.0, 9.0)  # type: ignore[no-any-return]


@inlined
def _expression_offset(x: float, y: float, shape: Record, expression: Record) -> tuple[float, float, float]:
    """Movement of the skin (dx, dy, dz) under smile, pucker, jaw opening and brow action."""
    side = 1.0 if x > 0 else -1.0
    ax = abs(x)
    dx = 0.0
    dy = 0.0
    dz = 0.0
    smile = expression.smile
    if smile != 0:
        corner = bell(ax - 27, y + 69, 13.0, 11.0)
        cheek = bell(ax - 38, y + 34, 12.0, 11.0)
        dx += side * smile * (5.5 * corner + 1.2 * bell(ax - 16, y + 42, 5.0, 6.0))
        dy += smile * (5.0 * corner + 2.6 * cheek)
        dz += smile * (2.8 * cheek - 3.0 * corner - 1.8 * bell(x, y + 67, 12.0, 7.0))
    if expression.pucker != 0:
        dx -= side * 5 * expression.pucker * bell(ax - 24, y + 68, 12.0, 9.0)
    opening = expression.jaw_open
    if opening != 0:
        e = y - mouth_line(x, shape)
        t = ax / shape.mouth_width
        part = max(0.0, 1 - t * t) ** 0.7 if t < 1 else 0.0
        if e < 0:
            dy -= opening * 9.5 * part * min(1.0, -e / 0.5) * math.exp(min(0.0, (e + 14) / 9.0))
        else:
            dy += opening * 1.6 * part * min(1.0, e / 0.5) * math.exp(-((e / 9.0) ** 2))
        jaw = smoothstep(-52 - 0.25 * ax, -88 - 0.12 * ax, y) * smoothstep(66.0, 30.0, ax)
        dy -= opening * 8 * jaw
        dz -= opening * 2.5 * jaw
    if expression.brow_raise != 0:
        lift = bump(y, 22.0, 13.0) * smoothstep(0.0, 14.0, ax + 6) * (1 - smoothstep(46.0, 62.0, ax))
        dy += 5.5 * expression.brow_raise * lift
    if expression.furrow != 0:
        dy -= 4.0 * expression.furrow * bump(y, 20.0, 9.0) * bell(ax - 12, 0.0, 12.0, 1.0)
        dx -= side * 2.5 * expression.furrow * bell(ax - 12, y - 19, 9.0, 8.0)
    return dx, dy, dz


@inlined
def _lids(x: float, y: float, z: float, eyeball_z: float, shape: Record, expression: Record) -> float:
    """Return z with the lids laid over the eyeball: fold, rims, inner corner, hood."""
    _, ex, ey = eye_local(x, y, shape)
    r2 = ex * ex + ey * ey
    if r2 >= 420:
        return z
    upper, lower, t = eye_outline(ex, shape, expression)
    radius = LID_RADIUS + 0.45 * shape.lid_fullness * smoothstep(0.0, 6.0, ey)
    edge = radius * radius - 9
    ball = math.sqrt(radius * radius - r2) if r2 < edge else 3.0 - (math.sqrt(r2) - math.sqrt(edge)) * 3.0
    z = smooth_max(z, eyeball_z + ball, 3.2)
    if ey > -1 and abs(t) < 1.35:
        open_upper = shape.eye_upper * max(0.0, 1 - (t * 0.86) ** 2) ** 0.6
        crease = open_upper + shape.crease_height * (1 - 0.2 * t * t)
        fold = shape.lid_fullness * 1.5 * bump(ey, crease + 3.6, 2.8)
        z += smoothstep(1.35, 0.8, abs(t)) * (fold - 1.3 * shape.crease_depth * bump(ey, crease, 1.5))
    if abs(t) < 1.05:
        z += 0.55 * bump(ey, upper + 0.5, 1.0) + 0.45 * bump(ey, lower - 0.5, 1.0)
    inner = ex + shape.eye_width
    z -= 1.6 * bell(inner + 1.5, ey, 2.6, 2.6) * (1 - shape.epicanthus)
    z += shape.lid_hood * 2.2 * bell(ex - 8, ey - 7, 8.0, 3.5)
    return z + shape.epicanthus * 1.6 * bell(inner - 2.5, ey - 2, 3.5, 4.0)  # type: ignore[no-any-return]


@inlined
def _height(level: float, level_from: FloatArray, level_to: FloatArray) -> float:
    """`np.interp` for one value, without the arrays that numba's would make of it."""
    last = level_from.shape[0] - 1
    if level <= level_from[0]:
        return float(level_to[0])
    if level >= level_from[last]:
        return float(level_to[last])
    k = np.searchsorted(level_from, level, "right") - 1
    slope = (level_to[k + 1] - level_to[k]) / (level_from[k + 1] - level_from[k])
    return float(slope * (level - level_from[k]) + level_to[k])


@kernel
def sculpt_at_rest(
    angles: FloatArray,
    levels: FloatArray,
    half_width: FloatArray,
    centre_z: FloatArray,
    front: FloatArray,
    back: FloatArray,
    level_from: FloatArray,
    level_to: FloatArray,
    shape: Record,
    bumps: FloatArray,
    material: FloatArray,
    rest: FloatArray,
) -> None:
    """Fill the head grid: material coordinates (x, y, z of the bare loft) and `REST_FIELDS` numbers a vertex."""
    for j in range(angles.shape[0]):
        sine = math.sin(angles[j])
        cosine = math.cos(angles[j])
        bulge = cosine**shape.squareness if cosine > 0 else -cosine
        in_face = smoothstep(-0.05, 0.35, cosine)
        for i in range(levels.shape[0]):
            x = half_width[i] * sine
            y = levels[i]
            if cosine > 0 and -95 < y < -45:
                # Rows follow the mouth line, so that the slit between the lips is never cut by a triangle.
                near = bump(y, MOUTH_LEVEL, 8.0) * smoothstep(48.0, 34.0, abs(x))
                y += (mouth_line(x, shape) - MOUTH_LEVEL) * near
            material[i, j, 0] = x
            material[i, j, 1] = y
            material[i, j, 2] = centre_z[i] + (front[i] if cosine > 0 else -back[i]) * bulge
            known = rest[i, j]
            known[HEIGHT] = _height(y, level_from, level_to)
            known[IN_FACE] = in_face
            if in_face > 0:
                _relief(x, y, shape, known)
                known[BUMP] = _bumps(x, y, bumps)
                known[NOSE] = _nose(x, y, shape)


@kernel
def move_face(
    material: FloatArray, rest: FloatArray, eyeball_z: float, shape: Record, expression: Record, position: FloatArray
) -> None:
    """Fill `position` with where the vertices of the head grid lie under an expression (mm)."""
    fold_depth = shape.nasolabial + 0.9 * expression.smile
    for i in range(material.shape[0]):
        for j in range(material.shape[1]):
            x, y, base = read(material[i], j, 0)
            known = rest[i, j]
            position[i, j, 0] = x
            position[i, j, 1] = known[HEIGHT]
            position[i, j, 2] = base
            in_face = known[IN_FACE]
            if in_face <= 0:
                continue
            relief = known[BONE] + known[FOLD_EXTENT] * fold_depth * known[FOLD] + known[BAG] - known[TROUGH]
            z = base + relief + known[BUMP]
            z += known[NOSE] + _lips(x, y, shape, expression)
            dx, dy, dz = _expression_offset(x, y, shape, expression)
            z = _lids(x, y, z + dz, eyeball_z, shape, expression)
            position[i, j, 0] += dx * in_face
            position[i, j, 1] += dy * in_face
            position[i, j, 2] += (z - base) * in_face
