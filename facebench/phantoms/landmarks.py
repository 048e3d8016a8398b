"""Five and 68 landmarks in head space, read off the same curves that shape and colour the face."""

from __future__ import annotations

import math

import numpy as np

from facebench.phantoms._kernel import FloatArray, Record, inlined, kernel
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
# Where on its curve each point lies: 0 or -1 is the one end, 1 the other.
_ON_BROW = (0.98, 0.75, 0.5, 0.25, 0.02)
_DOWN_BRIDGE = (0.0, 1 / 3, 2 / 3, 1.0)
_ACROSS_NOSE = (-0.85, -0.4, 0.0, 0.4, 0.85)
_ON_RIM = (1.0, 0.35, -0.35, -1.0)
_ROUND_LIPS = (-1.0, -0.62, -0.24, 0.0, 0.24, 0.62, 1.0, 0.62, 0.3, 0.0, -0.3, -0.62)
_IN_GAP = (-0.9, -0.3, 0.0, 0.3, 0.9, 0.3, 0.0, -0.3)
# How many points of a closed outline run along its upper side, and rows of the parts without the jaw.
_LIPS_ABOVE, _GAP_ABOVE = 7, 5
_NOSE, _LIPS, _GAP, _FLAT = 10, 31, 43, 51


def five_points(head: Head) -> FloatArray:
    """Eye centres (on the front of the eyeballs), nose tip and mouth corners; (5, 3) in mm."""
    shape = head.shape
    eye_z = head.eyeball_z + 12
    tip = nose_tip_level(shape) - 1.5
    eyes = np.array([[-shape.eye_separation, 0.0, eye_z], [shape.eye_separation, 0.0, eye_z]])
    nose_and_mouth = np.array([
        (shape.nose_asymmetry * 0.9, tip), (-shape.mouth_width, MOUTH_LEVEL), (shape.mouth_width, MOUTH_LEVEL),
    ])  # fmt: skip
    return np.concatenate([eyes, head.surface_points(nose_and_mouth)])


def sixty_eight_points(head: Head, expression: Record) -> FloatArray:
    """The 68 points of the iBUG scheme: jaw, brows, nose, eyes, outer and inner lips; (68, 3) in mm."""
    jaw = np.array([*((-angle, level) for angle, level in _JAW), *reversed(_JAW[:-1])])
    flat = np.empty((_FLAT, 2))
    _fill_flat(head.shape, expression, flat)
    return np.concatenate([head.angle_points(*jaw.T), head.surface_points(flat)])


@kernel
def _fill_flat(shape: Record, expression: Record, out: FloatArray) -> None:
    """Material coordinates (x, y) of all points but the jaw's."""
    for side, brow, eye in ((-1, 0, 19), (1, 5, 25)):
        _fill_brow(side, brow, shape, out)
        _fill_eye(side, eye, shape, expression, out)
    tip = nose_tip_level(shape)
    for k, down in enumerate(_DOWN_BRIDGE):
        out[_NOSE + k, 0] = shape.nose_asymmetry * min(1.0, down + 0.1)
        out[_NOSE + k, 1] = 4 + (tip - 1.5 - 4) * down
    for k, across in enumerate(_ACROSS_NOSE):
        out[_NOSE + 4 + k, 0] = shape.nose_asymmetry + across * shape.nose_width
        out[_NOSE + 4 + k, 1] = -47.0
    for k, t in enumerate(_ROUND_LIPS):
        x = t * shape.mouth_width
        upper, lower = lip_heights(x, shape)
        out[_LIPS + k, 0] = x
        out[_LIPS + k, 1] = mouth_line(x, shape) + (upper if k < _LIPS_ABOVE else -lower)
    for k, t in enumerate(_IN_GAP):
        x = t * shape.mouth_width
        out[_GAP + k, 0] = x
        out[_GAP + k, 1] = mouth_line(x, shape) + (0.5 if k < _GAP_ABOVE else -0.5)


@inlined
def _fill_brow(side: int, first: int, shape: Record, out: FloatArray) -> None:
    """From left to right in the image: on its left half the outer end comes first."""
    for k, u in enumerate(_ON_BROW):
        row = first + (k if side < 0 else 4 - k)
        x = side * (shape.brow_inner + u * (shape.brow_outer - shape.brow_inner))
        _, above, _ = brow_local(x, 0.0, shape)
        out[row, 0] = x
        out[row, 1] = -above


@inlined
def _fill_eye(side: int, first: int, shape: Record, expression: Record, out: FloatArray) -> None:
    """Once round, as the scheme has it: the upper rim from left to right in the image, the lower one back."""
    for k in range(6):
        from_left = k if k < 4 else 6 - k
        t = _ON_RIM[from_left if side < 0 else 3 - from_left]
        lateral = t * shape.eye_width
        upper, lower, _ = eye_outline(lateral, shape, expression)
        tilt = math.tan(shape.eye_tilt * DEGREE) * lateral
        out[first + k, 0] = side * (lateral + shape.eye_separation)
        out[first + k, 1] = (upper if k < 4 else lower) + tilt + side * shape.eye_asymmetry * 0.5
