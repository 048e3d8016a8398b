"""Geometry: the face turned, cut, moved, enlarged, mirrored or misaligned, as a poor detector would hand it over."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from facebench.probes.face import Change, Kind, Pixels

DEGREES = (4.0, 8.0, 13.0, 19.0, 27.0)
KEPT = (0.92, 0.85, 0.78, 0.72, 0.66)  # of width and height
SHIFT = (0.06, 0.12, 0.2, 0.32, 0.5)  # of iod
SCALE = (1.06, 1.12, 1.2, 1.32, 1.5)
JITTER = (0.03, 0.06, 0.1, 0.16, 0.25)


def rotation(face: Change) -> Pixels:
    """Turn about the middle of the landmarks, to a random side."""
    return _warp(face, angle=_rotation(face))


def translation(face: Change) -> Pixels:
    """Move in a random direction."""
    way = face.rng.uniform(0, 2 * np.pi)
    return _warp(face, shift=face.pick(SHIFT) * face.iod * np.array([np.cos(way), np.sin(way)]))


def scale(face: Change) -> Pixels:
    """Enlarge or shrink the face about the middle of the landmarks, at random."""
    return _warp(face, scale=float(face.pick(SCALE) ** face.rng.choice((-1, 1))))


def misalignment(face: Change) -> Pixels:
    """Shift, turn and scale at once, each by a random part of the severity's limit: landmarks that are off."""
    shift, turn, size = _misalignment(face)
    return _warp(face, angle=turn, scale=float(np.exp(size)), shift=shift)


def crop(face: Change) -> Pixels:
    """Keep the middle of the picture and enlarge it to full size."""
    return _cut(face.pixels, face.pick(KEPT))


def crop_70(face: Change) -> Pixels:
    """Keep the middle 70 % of width and height, enlarged to full size."""
    return _cut(face.pixels, 0.7)


def flip(face: Change) -> Pixels:
    """Mirror left and right."""
    return face.pixels[:, ::-1]


def _rotation(face: Change) -> float:
    return float(np.deg2rad(face.pick(DEGREES)) * face.rng.choice((-1, 1)))


def _misalignment(face: Change) -> tuple[NDArray[np.float64], float, float]:
    limit = face.pick(JITTER)
    shift, (turn, size) = face.rng.uniform(-1, 1, 2) * limit * face.iod, face.rng.uniform(-1, 1, 2) * limit
    return shift, float(turn), float(size)


def _cut(pixels: Pixels, kept: float) -> Pixels:
    from PIL import Image

    height, width = pixels.shape[:2]
    dx, dy = width * (1 - kept) / 2, height * (1 - kept) / 2
    box = (dx, dy, width - dx, height - dy)
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC, box=box))


def _warp(face: Change, *, angle: float = 0.0, scale: float = 1.0, shift: NDArray[np.float64] | None = None) -> Pixels:
    """Turn and scale about the middle of the landmarks, then shift; edges are continued."""
    from PIL import Image

    cx, cy = face.landmarks.mean(axis=0)
    dx, dy = (0.0, 0.0) if shift is None else shift
    c, s = np.cos(angle) / scale, np.sin(angle) / scale
    # Pillow asks where each pixel of the new picture comes from
    reach = int(np.ceil(max(face.pixels.shape)))
    padded = np.pad(face.pixels, ((reach, reach), (reach, reach), (0, 0)), mode="edge")
    a = (c, s, reach + cx - c * (cx + dx) - s * (cy + dy), -s, c, reach + cy + s * (cx + dx) - c * (cy + dy))
    height, width = face.pixels.shape[:2]
    turned = Image.fromarray(padded).transform((width, height), Image.Transform.AFFINE, a, Image.Resampling.BICUBIC)
    return np.asarray(turned)


KINDS: dict[str, Kind] = {
    "geometry:rotation": Kind(rotation, turn=_rotation),
    "geometry:crop": Kind(crop),
    "geometry:translation": Kind(translation),
    "geometry:scale": Kind(scale),
    "geometry:misalignment": Kind(misalignment, turn=lambda face: _misalignment(face)[1]),
    "geometry:crop_70": Kind(crop_70),
    "geometry:flip": Kind(flip, mirrors=True),
}
"""Every change of geometry by its condition without the severity."""
