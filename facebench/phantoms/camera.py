"""Camera, alignment to the five-point template, lights in head space, and development of the picture."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from facebench.phantoms._instructions import fused
from facebench.phantoms._kernel import BoolArray, ByteArray, FloatArray, kernel
from facebench.phantoms.labels import ARCFACE_112
from facebench.phantoms.parameters import Development, Light, Nuisance, Pose
from facebench.phantoms.vectors import read, turned

FOCAL_LENGTH = 1000.0
AIM = np.array([0.0, -20.0, 20.0])
"""Point of the head the camera looks at (mm)."""
LUMINANCE = np.array([0.2126, 0.7152, 0.0722])


@dataclass(frozen=True)
class Capture:
    """What the camera settled on: the 2 x 3 similarity to the 112-pixel frame, and the exposure.

    Hand it to another rendering to lock both; otherwise a local edit would move and re-expose the whole face.
    With None as alignment only the exposure is locked.
    """

    alignment: FloatArray | None
    exposure: float


def rotation(pose: Pose) -> FloatArray:
    """Rotation matrix of a pose: yaw about y, then pitch about x, then roll about z."""
    cy, sy = math.cos(pose.yaw), math.sin(pose.yaw)
    cp, sp = math.cos(pose.pitch), math.sin(pose.pitch)
    cr, sr = math.cos(pose.roll), math.sin(pose.roll)
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    about_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return np.asarray(about_z @ about_x @ about_y)


def similarity_fit(source: FloatArray, target: FloatArray) -> FloatArray:
    """Least-squares rotation, scale and shift of 2-D points (Umeyama 1991), as a 2 x 3 matrix.

    >>> corners = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    >>> bool(np.allclose(similarity_fit(corners, 2 * corners + 1), [[2, 0, 1], [0, 2, 1]]))
    True
    """
    source_mean = source.mean(0)
    target_mean = target.mean(0)
    centred = source - source_mean
    covariance = (target - target_mean).T @ centred / len(source)
    u, singular, vt = np.linalg.svd(covariance)
    sign = np.ones(2)
    if np.linalg.det(u) * np.linalg.det(vt) < 0:
        sign[1] = -1
    turn = u @ np.diag(sign) @ vt
    scale = (singular * sign).sum() / centred.var(0).sum()
    return np.hstack([scale * turn, (target_mean - scale * turn @ source_mean)[:, None]])


class Camera:
    """A pinhole camera `distance` mm in front of a rotated head."""

    def __init__(self, pose: Pose, distance: float) -> None:
        self.turn = rotation(pose)
        self.distance = distance

    def to_camera(self, points: FloatArray) -> FloatArray:
        """Camera coordinates of points in head space; the camera looks along -z."""
        return np.asarray((points - AIM) @ self.turn.T - [0, 0, self.distance])

    @staticmethod
    def project(in_camera: FloatArray) -> FloatArray:
        """Image-plane coordinates (x right, y down) of points in camera coordinates."""
        depth = in_camera[..., 2]
        return np.stack([in_camera[..., 0] / -depth, in_camera[..., 1] / depth], -1) * FOCAL_LENGTH

    @property
    def position(self) -> FloatArray:
        """Where the camera stands in head space."""
        return np.asarray(self.turn.T @ [0, 0, self.distance] + AIM)


def align(landmarks: FloatArray, error: FloatArray) -> FloatArray:
    """Similarity that carries projected five-point landmarks to the template, `error` pixels off."""
    return similarity_fit(landmarks, ARCFACE_112 + error)


def transform(points: FloatArray, matrix: FloatArray) -> FloatArray:
    """Apply a 2 x 3 matrix to 2-D points."""
    return np.asarray(points @ matrix[:, :2].T + matrix[:, 2])


@kernel
def to_screen(
    points: FloatArray,
    aim: FloatArray,
    turn: FloatArray,
    distance: float,
    matrix: FloatArray,
    scale: float,
    lift: FloatArray,
    out: FloatArray,
) -> None:
    """Fill `out` with where points (N, 3) of head space are seen: column, row and depth less `lift` (mm).

    `Camera.to_camera`, `Camera.project` and `transform` for a whole scene, in one pass; `scale` is samples a pixel.
    """
    for i in range(points.shape[0]):
        x, y, z = read(points, i, 0)
        x, y, z = turned((x - aim[0], y - aim[1], z - aim[2]), turn)
        z -= distance
        u = x / -z * FOCAL_LENGTH
        v = y / z * FOCAL_LENGTH
        out[i, 0] = (fused(v, matrix[0, 1], u * matrix[0, 0]) + matrix[0, 2] + 0.5) * scale - 0.5
        out[i, 1] = (fused(v, matrix[1, 1], u * matrix[1, 0]) + matrix[1, 2] + 0.5) * scale - 0.5
        out[i, 2] = -z - lift[i]


def light_tables(light: Light, to_head: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the (2, 8) table of lamps and the (3, 3) ambient light the shading kernel reads, in head space.

    A lamp is direction, colour, whether it casts shadows, softness; the rows of ambient are sky, ground, up.
    """
    fill_direction = to_head @ np.array([math.sin(light.fill_azimuth) * 0.9, 0.25, math.cos(light.fill_azimuth)])
    lamps = np.zeros((2, 8))
    lamps[0, :3] = to_head @ np.array(light.key_direction)
    lamps[0, 3:6] = light.key_colour
    lamps[0, 6] = 1
    lamps[0, 7] = light.softness
    lamps[1, :3] = fill_direction / np.linalg.norm(fill_direction)
    lamps[1, 3:6] = light.fill * np.mean(light.key_colour) * np.array([0.95, 1, 1.05])
    sky = np.array(light.ambient)
    ground = sky * light.ground * np.array([1.08, 1, 0.92])
    return lamps, np.stack([sky, ground, to_head @ np.array([0, 0.9, 0.43])])


def shadow_axes(direction: FloatArray) -> FloatArray:
    """Rows: two axes across the light, and the direction to it."""
    towards = direction / np.linalg.norm(direction)
    across = np.cross([0, 1, 0], towards)
    across /= np.linalg.norm(across)
    return np.stack([across, np.cross(towards, across), towards])


def background(seed: int, size: int) -> FloatArray:
    """A blurred linear-light backdrop: a ramp, or soft blotches, sometimes with bars."""
    coarse = 56
    rng = np.random.default_rng(seed)
    kind = int(rng.integers(4))
    first = rng.uniform(0.03, 0.7) * np.exp(rng.normal(0, 0.18, 3))
    second = rng.uniform(0.03, 0.7) * np.exp(rng.normal(0, 0.18, 3))
    rows, columns = np.mgrid[0:coarse, 0:coarse] / coarse
    if kind == 0:
        mix = rows * rng.uniform(-1, 1) + columns * rng.uniform(-1, 1)
    else:
        mix = rng.normal(size=(coarse, coarse))
        mix = gaussian_filter(mix, coarse * rng.uniform(0.06, 0.2))
        mix = mix / mix.std() * 0.5
        if kind == 3:
            mix = mix + 0.6 * (np.floor(columns * rng.uniform(2, 6) + rng.random()) % 2)
    weight = np.clip(mix + 0.5, 0, 1)[..., None]
    picture = first * (1 - weight) + second * weight
    nearest = np.arange(size) * coarse // size
    sigma = 1.5 * size / 112
    return np.asarray(gaussian_filter(picture[nearest][:, nearest], (sigma, sigma, 0)))


def meter(radiance: FloatArray, face: BoolArray, gain: float) -> float:
    """Exposure for a picture: dark faces come out darker than light ones, but less so than in truth."""
    seen = np.take(radiance.reshape(-1, 3), np.flatnonzero(face), axis=0)
    luminance = seen @ LUMINANCE if len(seen) else np.array([0.2])
    mean = float(luminance.mean())
    target = 0.15 + 0.22 * min(max(math.sqrt(mean), 0.0), 1.0)
    return float(gain * 1.1 * target / max(mean, 0.01) ** 0.62)


def develop(linear: FloatArray, nuisance: Nuisance) -> ByteArray:
    """Saturation, shoulder, gamma, blur, noise: linear light to 8-bit RGB."""
    settings: Development = nuisance.development
    grey = ((linear[..., 0] + linear[..., 1] + linear[..., 2]) / 3)[..., None]
    picture = np.maximum(grey + (linear - grey) * settings.saturation, 0)
    bright = picture >= 0.6
    picture[bright] = 0.6 + 0.4 * np.tanh((picture[bright] - 0.6) / 0.4)
    curved = 1.055 * np.maximum(picture, 1e-9) ** (1 / (2.4 * settings.gamma)) - 0.055
    picture = np.where(picture < 0.0031308, 12.92 * picture, curved)
    if settings.blur > 0.12:
        picture = gaussian_filter(picture, (settings.blur, settings.blur, 0))
    if settings.noise > 0:
        grain = np.random.default_rng(nuisance.background_seed + 1)
        picture = picture + grain.normal(0, settings.noise, picture.shape)
    return np.asarray(np.clip(picture, 0, 1) * 255 + 0.5, dtype=np.uint8)
