"""Five and 68 landmarks in head space, read off the same curves that shape and colour the face."""

from __future__ import annotations

import math

import numpy as np

from facebench.phantoms._kernel import FloatArray, Record
from facebench.phantoms.features import (
    DEGREE,
    MOUTH_LEVEL,
    brow_local,
    eye_outline,
    lip_heights,
    mouth_line,
    nose_tip_level,
)
from facebench.phantoms.geometry import Head

# Jaw contour from beside the left eye to the chin: loft angle and canonical level.
_JAW = (
    (1.32, -2.0),
    (1.30, -20.0),
    (1.26, -38.0),
    (1.20, -56.0),
    (1.08, -72.0),
    (0.90, -86.0),
    (0.65, -98.0),
    (0.35, -107.0),
    (0.0, -112.0),
)


def five_points(head: Head) -> FloatArray:
    """Eye centres (on the front of the eyeballs), nose tip and mouth corners; (5, 3) in mm."""
    shape = head.shape
    eye_z = head.eyeball_z + 12
    tip = nose_tip_level(shape) - 1.5
    eyes = np.array([[-shape.eye_separation, 0.0, eye_z], [shape.eye_separation, 0.0, eye_z]])
    return np.concatenate([eyes, head.surface_points([
        (shape.nose_asymmetry * 0.9, tip), (-shape.mouth_width, MOUTH_LEVEL), (shape.mouth_width, MOUTH_LEVEL),
    ])])  # fmt: skip


def sixty_eight_points(head: Head, expression: Record) -> FloatArray:
    """The 68 points of the iBUG scheme: jaw, brows, nose, eyes, outer and inner lips; (68, 3) in mm."""
    jaw = np.array([*((-angle, level) for angle, level in _JAW), *reversed(_JAW[:-1])])
    flat = [*_brow(head, -1), *_brow(head, 1), *_nose(head), *_eye(head, -1, expression), *_eye(head, 1, expression)]
    flat += _lips(head)
    return np.concatenate([head.angle_points(*jaw.T), head.surface_points(flat)])


def _brow(head: Head, side: int) -> list[tuple[float, float]]:
    shape = head.shape
    points = []
    for u in (0.98, 0.75, 0.5, 0.25, 0.02):
        x = side * (shape.brow_inner + u * (shape.brow_outer - shape.brow_inner))
        _, above, _ = brow_local(x, 0.0, shape)
        points.append((x, -above))
    return points if side < 0 else points[::-1]


def _nose(head: Head) -> list[tuple[float, float]]:
    shape = head.shape
    tip = nose_tip_level(shape)
    bridge = [(shape.nose_asymmetry * min(1.0, f + 0.1), 4 + (tip - 1.5 - 4) * f) for f in (0.0, 1 / 3, 2 / 3, 1.0)]
    width = shape.nose_width
    return bridge + [(shape.nose_asymmetry + f * width, -47.0) for f in (-0.85, -0.4, 0.0, 0.4, 0.85)]


def _eye(head: Head, side: int, expression: Record) -> list[tuple[float, float]]:
    shape = head.shape

    def point(t: float, rim: int) -> tuple[float, float]:
        lateral = t * shape.eye_width
        heights = eye_outline(lateral, shape, expression)
        tilt = math.tan(shape.eye_tilt * DEGREE) * lateral
        y = heights[rim] + tilt + side * shape.eye_asymmetry * 0.5
        return side * (lateral + shape.eye_separation), y

    upper, lower = 0, 1
    outer_to_inner = [point(1.0, upper), point(0.35, upper), point(-0.35, upper), point(-1.0, upper)]
    below = [point(-0.35, lower), point(0.35, lower)]
    if side < 0:
        return outer_to_inner + below
    return outer_to_inner[::-1] + below


def _lips(head: Head) -> list[tuple[float, float]]:
    shape = head.shape
    width = shape.mouth_width

    def edge(t: float, direction: int) -> tuple[float, float]:
        x = t * width
        upper, lower = lip_heights(x, shape)
        return x, mouth_line(x, shape) + (upper if direction > 0 else -lower)

    def inner(t: float, direction: int) -> tuple[float, float]:
        return t * width, mouth_line(t * width, shape) + 0.5 * direction

    outline = [edge(-1.0, 1), *(edge(t, 1) for t in (-0.62, -0.24, 0.0, 0.24, 0.62)), edge(1.0, 1)]
    outline += [edge(t, -1) for t in (0.62, 0.3, 0.0, -0.3, -0.62)]
    gap = [inner(-0.9, 1), *(inner(t, 1) for t in (-0.3, 0.0, 0.3)), inner(0.9, 1)]
    return outline + gap + [inner(t, -1) for t in (0.3, 0.0, -0.3)]
