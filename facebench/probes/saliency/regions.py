"""Facial regions as masks: from a label map, from 68 landmarks, or from five."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.errors import InputError
from facebench.phantoms.labels import FACE_LABELS, PART_LABELS

Mask = NDArray[np.bool_]
Points = NDArray[np.float64]

PARTS = ("eyes", "brows", "nose", "mouth")
REGIONS = (*PARTS, "other_face", "outside")
"""A partition of the picture: four parts, the rest of the face, and what is not face."""

TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
"""Eyes, nose and corners of the mouth of a face aligned to the ArcFace template, pixels of 112 x 112."""

_EYES, _NOSE, _MOUTH = (slice(36, 42), slice(42, 48)), slice(27, 36), slice(48, 68)
_BROWS = (slice(17, 22), slice(22, 27))


def partition(parts: Mapping[str, Mask], face: Mask) -> dict[str, Mask]:
    """Return the regions of a picture as a partition; where parts overlap, the earlier in `PARTS` has the pixel."""
    taken = np.zeros(face.shape, bool)
    found = {}
    for name in PARTS:
        found[name] = parts[name] & ~taken
        taken |= found[name]
    found["other_face"] = face & ~taken
    found["outside"] = ~(face | taken)
    return found


def from_labels(labels: NDArray[np.integer[Any]]) -> dict[str, Mask]:
    """Return the regions of a phantom face from its label map (H, W): exact."""
    parts = {name: np.isin(labels, [int(label) for label in PART_LABELS[name]]) for name in PARTS}
    return partition(parts, np.isin(labels, [int(label) for label in FACE_LABELS]))


def from_landmarks(points: Points, shape: tuple[int, int]) -> dict[str, Mask]:
    """Return the regions of a face from its landmarks.

    Args:
        points: (68, 2) in the iBUG order, or (5, 2) eyes, nose, corners of the mouth; x, y in pixels.
        shape: height and width of the picture.

    Raises:
        InputError: another number of points, or NaN among them.
    """
    if not np.isfinite(points).all():
        raise InputError("the landmarks hold NaN; give five points per image, or leave the column out")
    if points.shape == (5, 2):
        return _from_five(points, shape)
    if points.shape == (68, 2):
        return _from_sixty_eight(points, shape)
    raise InputError(f"regions need 5 or 68 landmarks, found {len(points)}")


def _from_five(points: Points, shape: tuple[int, int]) -> dict[str, Mask]:
    """Ellipses in the face's own axes, in units of the distance between the eyes."""
    left, right = points[0], points[1]
    unit = float(np.linalg.norm(right - left))
    across = (right - left) / unit
    down = np.array([-across[1], across[0]])
    middle = (left + right) / 2
    mouth = points[3:5].mean(0)
    length = float((mouth - middle) @ down)

    def ellipse(centre: Points, half_width: float, half_height: float) -> Mask:
        y, x = np.mgrid[: shape[0], : shape[1]]
        offset = np.stack([x - centre[0], y - centre[1]], axis=-1)
        return np.asarray(
            ((offset @ across) / (half_width * unit)) ** 2 + ((offset @ down) / (half_height * unit)) ** 2 <= 1
        )

    brow = -0.33 * unit * down
    parts = {
        "eyes": ellipse(left, 0.30, 0.16) | ellipse(right, 0.30, 0.16),
        "brows": ellipse(left + brow, 0.36, 0.13) | ellipse(right + brow, 0.36, 0.13),
        "nose": ellipse(middle + (points[2] - middle) * 0.62, 0.26, 0.42),
        "mouth": ellipse(mouth, 0.55, 0.27),
    }
    face = ellipse(middle + down * length * 0.45, 1.05, 1.5)
    return partition(parts, face)


def _from_sixty_eight(points: Points, shape: tuple[int, int]) -> dict[str, Mask]:
    """Convex hulls of each part's points, widened by a tenth of the distance between the eyes."""
    from scipy.ndimage import binary_dilation

    unit = float(np.linalg.norm(points[_EYES[0]].mean(0) - points[_EYES[1]].mean(0)))
    reach = max(1, round(0.1 * unit))
    y, x = np.ogrid[-reach : reach + 1, -reach : reach + 1]
    disc = x**2 + y**2 <= reach**2

    def hull(*groups: slice) -> Mask:
        found = np.zeros(shape, bool)
        for group in groups:
            found |= binary_dilation(_convex(points[group], shape), disc)
        return found

    eyes = points[_EYES[1]].mean(0) - points[_EYES[0]].mean(0)
    top = points[17:27] + 0.7 * np.array([eyes[1], -eyes[0]])  # the forehead has no landmarks
    parts = {"eyes": hull(*_EYES), "brows": hull(*_BROWS), "nose": hull(_NOSE), "mouth": hull(_MOUTH)}
    return partition(parts, _convex(np.concatenate([points[:17], top]), shape))


def _convex(points: Points, shape: tuple[int, int]) -> Mask:
    from PIL import Image, ImageDraw
    from scipy.spatial import ConvexHull

    corners = points[ConvexHull(points).vertices]
    canvas = Image.new("1", (shape[1], shape[0]))
    ImageDraw.Draw(canvas).polygon([tuple(map(float, p)) for p in corners], fill=1, outline=1)
    return np.asarray(canvas, bool)
