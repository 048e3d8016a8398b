"""Outlines of eyes, brows and lips in material coordinates.

Material coordinates (x, y) stick to the skin: y runs in canonical levels (chin -116, mouth -68, nose base -46,
eyes 0, brows 19, hairline 68, crown 120), which an identity warps to its own. Sculpting, shading, labels and
landmarks all read these curves, so they agree to the sample.
"""

from __future__ import annotations

import math

from facebench.phantoms._kernel import Record, inlined, kernel
from facebench.phantoms.noise import smoothstep

MOUTH_LEVEL = -68.0
DEGREE = math.pi / 180.0


@inlined
def eye_local(x: float, y: float, shape: Record) -> tuple[float, float, float]:
    """Return (side, lateral, height): coordinates about the nearer eye's centre with the tilt taken out."""
    side = 1.0 if x > 0 else -1.0
    lateral = side * x - shape.eye_separation
    height = y - math.tan(shape.eye_tilt * DEGREE) * lateral - side * shape.eye_asymmetry * 0.5
    return side, lateral, height


@kernel
def eye_outline(lateral: float, shape: Record, expression: Record) -> tuple[float, float, float]:
    """Return (upper rim, lower rim, t) at a lateral position; t is -1 at the inner corner, +1 at the outer."""
    t = lateral / shape.eye_width
    q = 1 - t * t
    if q <= 0:
        return 0.0, 0.0, t
    upper = shape.eye_upper * q**0.60 * (1 + (shape.eye_peak - 0.12) * t)
    upper *= 1 - shape.lid_hood * 0.55 * smoothstep(-0.1, 0.9, t)
    upper *= 1 - shape.epicanthus * 0.6 * smoothstep(-0.25, -0.95, t)
    upper *= 1 - 0.18 * expression.squint + 0.18 * expression.lid_wide
    lower = -shape.eye_lower * q**0.80 * (1 + 0.20 * t)
    lower *= 1 - shape.epicanthus * 0.3 * smoothstep(-0.3, -0.95, t)
    lower *= 1 - 0.45 * expression.squint
    upper = upper * (1 - expression.blink) + lower * expression.blink
    return upper, lower, t


@kernel
def brow_local(x: float, y: float, shape: Record) -> tuple[float, float, float]:
    """Return (u, height, thickness): u runs 0 to 1 along the brow, height is above its centre line."""
    side = 1.0 if x > 0 else -1.0
    u = (side * x - shape.brow_inner) / (shape.brow_outer - shape.brow_inner)
    peak = shape.brow_peak
    inner = u < peak
    w = (u - peak) / (peak if inner else (1.15 - peak))
    fall = w * w * (1.0 if inner else 1.15)
    centre = 18.5 + shape.brow_slope * (u - 0.4) + shape.brow_arch * (0.55 - fall) + side * shape.brow_asymmetry
    taper = 1.0 if u < 0.6 else max(0.0, 1 - (u - 0.6) / 0.46)
    thickness = shape.brow_thickness * (0.80 + 0.30 * min(max(u, 0.0), 0.5)) * taper
    return u, y - centre, thickness


@kernel
def mouth_line(x: float, shape: Record) -> float:
    """Level of the line where the lips meet."""
    t = x / shape.mouth_width
    fade = 1.0 if abs(t) < 1.3 else 1.69 / (t * t)
    level = MOUTH_LEVEL + shape.mouth_curve * (t * t - 0.35) * fade * 1.1
    level += -0.9 * math.exp(-((x / 4.0) ** 2)) + 0.55 * math.exp(-(((abs(x) - 8) / 5) ** 2))
    return float(level + shape.mouth_asymmetry * 0.6 * t * math.exp(-t * t))


@kernel
def lip_heights(x: float, shape: Record) -> tuple[float, float]:
    """Return the heights of the upper and the lower lip at x, both positive."""
    t = abs(x / shape.mouth_width)
    bow = math.exp(-(((abs(x) - 5.5) / 3.5) ** 2)) - 1.05 * math.exp(-((x / 2.8) ** 2))
    upper = shape.upper_lip * max(0.0, 1 - t**1.7) ** 0.85 + shape.cupid_bow * bow * (1.0 if t < 1 else 0.0)
    lower = shape.lower_lip * max(0.0, 1 - t**2.3) ** 0.80
    return max(upper, 0.0), lower


@kernel
def nose_tip_level(shape: Record) -> float:
    """Canonical level of the nose tip."""
    return -36.5 + shape.tip_rotation  # type: ignore[no-any-return]
