"""The head: a loft of spline profiles, sculpted into a face; ears and neck."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.ndimage import gaussian_filter

from facebench.phantoms._kernel import FloatArray, Record
from facebench.phantoms.labels import Surface
from facebench.phantoms.mesh import Sheet, grid_points, normals, smoothstep_array
from facebench.phantoms.parameters import BUMP_COUNT, SHAPE_DTYPE, Sex, Subject
from facebench.phantoms.sculpt import LID_RADIUS, REST_FIELDS, move_face, sculpt_at_rest

Profile = Callable[[FloatArray], FloatArray]

# Average head, canonical level -> mm: half-width, front profile, centre of the loft, depth of the back.
_HALF_WIDTH = (
    [-121.5, -119.5, -116, -112, -106, -98, -88, -75, -60, -42, -22, 0, 20, 42, 65, 86, 102, 113, 119, 122],
    [1, 8, 15.5, 21.5, 28.5, 36, 44, 52, 58.5, 64.5, 69, 70.8, 72.5, 74.5, 73.5, 66, 53.5, 37, 19, 1],
)
_FRONT = (
    [
        -121.5,
        -119.5,
        -116,
        -112,
        -106,
        -99,
        -90,
        -82,
        -74,
        -66,
        -58,
        -48,
        -38,
        -24,
        -8,
        6,
        20,
        36,
        54,
        72,
        88,
        102,
        113,
        119,
        122,
    ],
    [
        52,
        68,
        79,
        86.5,
        92.5,
        95.5,
        94.2,
        94,
        96.5,
        97.5,
        97.2,
        96,
        94.5,
        93,
        92.5,
        94,
        98,
        99.5,
        97,
        90,
        78.5,
        60,
        36,
        16,
        -6,
    ],
)
_CENTRE = (
    [-122, -110, -100, -88, -72, -56, -38, -18, 2, 30, 60, 90, 122],
    [52, 52, 47, 38, 25, 15, 10, 8, 5, -2, -8, -10, -10],
)
_BACK = (
    [-122, -110, -100, -88, -72, -56, -38, -18, 2, 30, 60, 90, 112, 122],
    [3, 14, 18, 25, 40, 58, 72, 80, 88, 92, 88, 66, 32, 2],
)
_BOTTOM, _TOP = -121.5, 122.0


@dataclass(frozen=True)
class Profiles:
    """Loft profiles of one identity over canonical levels, and the warp from those to its own levels."""

    half_width: Profile
    front: Profile
    centre: Profile
    back: Profile
    squareness: float
    level_from: FloatArray
    level_to: FloatArray

    def level(self, canonical: FloatArray) -> FloatArray:
        """The identity's own height (mm) of canonical levels."""
        return np.interp(canonical, self.level_from, self.level_to)

    def front_at(self, x: float, canonical: float) -> float:
        """Depth z of the bare loft's front at x."""
        level = np.array([canonical])
        half_width = float(self.half_width(level)[0])
        cosine = math.sqrt(max(0.0, 1 - (x / half_width) ** 2))
        centre = float(self.centre(level)[0])
        return float(centre + (float(self.front(level)[0]) - centre) * cosine**self.squareness)

    def loft(self, angle: FloatArray, canonical: FloatArray, squareness: float | None = None) -> FloatArray:
        """Points of the bare loft; angle 0 is the front, levels may lie below the chin. Shapes broadcast."""
        centre = self.centre(canonical)
        cosine = np.cos(angle)
        exponent = self.squareness if squareness is None else squareness
        reach = np.where(
            cosine > 0,
            (self.front(canonical) - centre) * np.abs(cosine) ** exponent,
            -self.back(canonical) * np.abs(cosine),
        )
        x = self.half_width(canonical) * np.sin(angle)
        return np.stack(np.broadcast_arrays(x, self.level(canonical), centre + reach), -1)


@dataclass(frozen=True)
class Head:
    """The sculpted head grid and what hangs on it."""

    subject: Subject
    profiles: Profiles
    eyeball_z: float
    sheet: Sheet
    row_half_width: FloatArray

    @property
    def shape(self) -> Record:
        """Shape parameters of the identity."""
        return self.subject.shape

    def surface_points(self, points: FloatArray) -> FloatArray:
        """Points (N, 3) of the sculpted front at material coordinates (N, 2), interpolated on the grid."""
        x, y = points.T
        half_width = np.interp(y, grid_levels(), self.row_half_width)
        sine = np.clip(x / half_width, -1.0, 1.0)
        return self.angle_points(np.array([math.asin(value) for value in sine]), y)

    def angle_points(self, angle: FloatArray, y: FloatArray) -> FloatArray:
        """Points (N, 3) of the sculpted head at the loft's angles and levels y."""
        angles = grid_angles()
        column = np.interp(angle, angles, np.arange(len(angles)))
        points = np.empty((len(column), 3))
        grid_points(column, y, self.sheet.material, self.sheet.position, points)
        return points


@cache
def grid_angles() -> FloatArray:
    """Columns of the head grid (radians), densest at the front."""
    half = [0.0]
    step = 0.0185
    while half[-1] < 2.95:
        if half[-1] > 0.74:
            step = min(step * 1.13, 0.13)
        half.append(half[-1] + step)
    right = np.array(half)
    return np.concatenate([-right[:0:-1], right])


@cache
def grid_levels() -> FloatArray:
    """Rows of the head grid (canonical levels), densest at mouth and nose; five rows share the lip slit."""
    rows = []
    y = -121.0
    while y < 119:
        rows.append(y)
        y += 2.2 if y < -82 else 1.15 if y < -50 else 0.85 if y < -34 else 1.25 if y < 27 else 3.2
    slit = [-68.5, -68.25, -68.0, -67.75, -67.5]
    rows = [row for row in rows if abs(row + 68) > 0.9] + slit + [120.0, 121.6, 122.0]
    return np.array(sorted(rows))


@cache
def _fixed_profiles() -> tuple[Profile, Profile]:
    return PchipInterpolator(*_CENTRE), PchipInterpolator(*_BACK)


def _smoothed(levels: FloatArray, values: FloatArray, sigma: float) -> Profile:
    """Spline through a profile, smoothed so that rings of the loft do not show; the poles stay closed."""
    fine = np.linspace(_BOTTOM, _TOP, 488)
    raw = PchipInterpolator(levels, values)(fine)
    smooth = gaussian_filter(raw, sigma, mode="nearest")
    inward = np.minimum(1, np.minimum(fine - _BOTTOM, _TOP - fine) / 12)
    profile: Profile = PchipInterpolator(fine, raw * (1 - inward) + smooth * inward, extrapolate=True)
    return profile


def _level_warp(shape: Record) -> tuple[FloatArray, FloatArray]:
    """The warp from canonical levels to the identity's own: chin, lips, nose, eyes, brows, hairline, crown."""
    landmarks = PchipInterpolator(
        [-124, -116, -98, -82, -68, -46, 0, 19, 66, 120, 126],
        [
            shape.chin_level - 8,
            shape.chin_level,
            0.6 * shape.chin_level + 0.4 * (shape.mouth_level - 12),
            shape.mouth_level - 12,
            shape.mouth_level,
            shape.nose_level,
            0,
            shape.brow_level + 0.5,
            shape.hairline_level * 0.4 + 66 * 0.6,
            shape.crown_level,
            shape.crown_level + 6,
        ],
    )
    level_from = np.linspace(-124, 126, 501)
    return level_from, landmarks(level_from)


def _head_profiles(shape: Record) -> Profiles:
    """Loft profiles of an identity."""
    levels = np.array(_HALF_WIDTH[0], float)
    width = np.array(_HALF_WIDTH[1], float)
    jaw, face, forehead, chin = shape.jaw_width, shape.face_width, shape.forehead_width, shape.chin_width
    width *= np.interp(
        levels,
        [-122, -116, -106, -98, -86, -68, -50, -20, 0, 20, 45, 122],
        [
            chin,
            chin,
            chin,
            (chin + jaw) / 2,
            jaw,
            jaw,
            (jaw + face) / 2,
            face,
            face,
            (face + forehead) / 2,
            forehead,
            1,
        ],
    )
    width += shape.gonial_flare * np.exp(-(((levels + 72) / 14) ** 2))
    front_levels = np.array(_FRONT[0], float)
    front = np.array(_FRONT[1], float)
    front += shape.chin_forward * np.exp(-(((front_levels + 104) / 16) ** 2))
    front += shape.forehead_forward * np.exp(-(((front_levels - 62) / 26) ** 2))
    front += shape.mouth_forward * np.exp(-(((front_levels + 66) / 20) ** 2))
    level_from, level_to = _level_warp(shape)
    centre, back = _fixed_profiles()
    return Profiles(
        half_width=_smoothed(levels, width, 9),
        front=_smoothed(front_levels, front, 5),
        centre=centre,
        back=back,
        squareness=float(shape.squareness),
        level_from=level_from,
        level_to=level_to,
    )


@dataclass(frozen=True)
class _Rest:
    """The head grid of an identity before an expression moves it; see `sculpt.sculpt_at_rest`.

    All pictures of the identity share these arrays: nothing may write to them.
    """

    profiles: Profiles
    eyeball_z: float
    half_width: FloatArray
    material: FloatArray
    fields: FloatArray


@lru_cache(maxsize=4)  # the pictures of an identity follow one another
def _at_rest(shape_fields: bytes, bump_fields: bytes) -> _Rest:
    shape = np.frombuffer(shape_fields, SHAPE_DTYPE)[0]
    bumps = np.frombuffer(bump_fields).reshape(BUMP_COUNT, -1).copy()
    profiles = _head_profiles(shape)
    levels = grid_levels()
    angles = grid_angles()
    centre = profiles.centre(levels)
    half_width = profiles.half_width(levels)
    material = np.zeros((len(levels), len(angles), 3))
    fields = np.zeros((len(levels), len(angles), REST_FIELDS))
    sculpt_at_rest(
        angles,
        levels,
        half_width,
        centre,
        profiles.front(levels) - centre,
        profiles.back(levels),
        profiles.level_from,
        profiles.level_to,
        shape,
        bumps,
        material,
        fields,
    )
    eyeball_z = profiles.front_at(shape.eye_separation, 0.0) - LID_RADIUS - 1.3 - shape.eye_depth
    return _Rest(profiles, float(eyeball_z), half_width, material, fields)


def build_head(subject: Subject, expression: Record, hairline: FloatArray) -> Head:
    """Sculpt the head grid. `hairline` holds, per column, the level above which scalp hair grows."""
    rest = _at_rest(subject.shape.tobytes(), subject.bumps.tobytes())
    levels = grid_levels()
    material = rest.material
    position = np.empty_like(material)
    move_face(material, rest.fields, rest.eyeball_z, subject.shape, expression, position)
    # Ambient occlusion from depth: what lies below its smoothed surroundings receives less sky.
    relief = position[:, :, 2] - material[:, :, 2]
    wide = np.minimum(0, relief - gaussian_filter(relief, (6, 6)))
    narrow = np.minimum(0, relief - gaussian_filter(relief, (3, 3)))
    under_chin = np.interp(levels, [-122, -114, -104], [0.45, 0.6, 1])[:, None]
    sheet = Sheet(
        Surface.HEAD,
        position,
        normals(position),
        material,
        occlusion=np.exp((wide + 0.6 * narrow) * 0.16) * under_chin,
        hairline=material[..., 1] - hairline[None, :],
        facing=1,
    )
    return Head(subject, rest.profiles, rest.eyeball_z, sheet, rest.half_width)


def build_ears(head: Head) -> list[Sheet]:
    """Both ears: discs with helix, concha and tragus."""
    shape = head.shape
    angle = np.linspace(0, 2 * np.pi, 33)
    radius = np.array([0, 0.18, 0.34, 0.48, 0.6, 0.7, 0.78, 0.85, 0.92, 0.97, 1.0])
    r, phi = np.meshgrid(radius, angle, indexing="ij")
    v = np.sin(phi) * r
    u = np.cos(phi) * r
    size = shape.ear_size
    across = u * 17.5 * (1 + 0.16 * v - 0.12 * v * v) * size
    up = v * 31 * size - 3 * u * size
    helix = 3.8 * np.exp(-(((r - 0.87) / 0.10) ** 2)) * smoothstep_array(-1.15, -0.2, np.sin(phi) + 0.6 * np.cos(phi))
    concha = 5.0 * np.exp(-(((u + 0.15) / 0.36) ** 2) - ((v + 0.05) / 0.36) ** 2)
    fold = 2.4 * np.exp(-(((r - 0.58) / 0.10) ** 2)) * (u > -0.2) * smoothstep_array(-0.6, -0.1, v)
    tragus = 2.0 * np.exp(-(((u + 0.85) / 0.2) ** 2) - ((v + 0.05) / 0.2) ** 2)
    height = helix - concha + fold + tragus
    nose_base = float(head.profiles.level(np.array(-46.0)))
    half_width = float(head.profiles.half_width(np.array(-12.0)))
    sine, cosine = math.sin(shape.ear_flare), math.cos(shape.ear_flare)
    y = -13.0 + 0.5 * (nose_base + 46) + up + 0.20 * across
    z = 2 - (across + 15 * size) * cosine + height * sine - 0.22 * up
    occlusion = 0.65 + 0.35 * np.clip((height + 4) / 6, 0, 1)
    sheets = []
    for side in (-1, 1):
        x = side * (half_width - 2.5 + (across + 17 * size) * sine + height * cosine)
        position = np.stack([x, y, z], -1)
        # Thin and translucent, ears catch more of the light from the front than their normals say.
        normal = normals(position, side) + np.array([0.0, 0.0, 0.5])
        sheets.append(Sheet(Surface.EAR, position, normal, position, occlusion))
    return sheets


def build_neck(subject: Subject, head_to_body: FloatArray) -> Sheet:
    """Neck and shoulders: the top follows the head, the bottom stays with the body."""
    male = subject.sex is Sex.MALE
    rows = np.array([-60, -80, -95, -105, -115, -125, -135, -150, -165, -190.0])
    angle = np.linspace(-np.pi, np.pi, 49)
    half_width = np.interp(
        rows,
        [-190, -165, -150, -140, -120, -60],
        [175, 140, 86, 58 if male else 51, 53 if male else 47, 55 if male else 49],
    )
    front = np.interp(rows, [-190, -150, -110, -60], [62, 44, 40, 36])
    back = np.interp(rows, [-190, -150, -60], [-80, -70, -75])
    x = half_width[:, None] * np.sin(angle)
    z = ((front + back) / 2)[:, None] + ((front - back) / 2)[:, None] * np.cos(angle)
    y = np.repeat(rows[:, None], len(angle), 1)
    material = np.stack([x, y, z], -1)
    pivot = np.array([0.0, -70.0, -20.0])
    body = (material - pivot) @ head_to_body.T + pivot
    weight = smoothstep_array(-60, -130, y)[..., None]
    position = material * (1 - weight) + body * weight
    occlusion = np.interp(y, [-150, -125, -100], [1, 0.85, 0.5])
    return Sheet(Surface.NECK, position, normals(position), material, occlusion, facing=1)
