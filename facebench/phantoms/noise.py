"""Scalar building blocks of the kernels: steps, bells, a smooth maximum and value noise.

Call them with `12.0`, not `12` (but for seeds): numba compiles a function once more for each whole number in a call.
"""

from __future__ import annotations

import math

from facebench.phantoms._instructions import STEP_X, STEP_Y, STEP_Z, corners
from facebench.phantoms._kernel import FloatArray, inlined, kernel

NEGLIGIBLE = 24.0
"""Squared distance, in widths, from which a bell (below 1e-5 there) counts as 0 and saves an exponential."""
_STEP_SEED = 1274126177
"""Tells the noise of one seed from another's; odd, as the lattice's steps are."""


@inlined
def smoothstep(low: float, high: float, value: float) -> float:
    """Cubic step from 0 at `low` to 1 at `high`; `low > high` gives a falling step."""
    t = (value - low) / (high - low)
    if t < 0.0:
        t = 0.0
    elif t > 1.0:
        t = 1.0
    return t * t * (3.0 - 2.0 * t)


@inlined
def bell(dx: float, dy: float, width_x: float, width_y: float) -> float:
    """Gaussian bell of height 1."""
    u = dx / width_x
    v = dy / width_y
    r = u * u + v * v
    return math.exp(-0.5 * r) if r < NEGLIGIBLE else 0.0


@inlined
def bump(value: float, centre: float, width: float) -> float:
    """exp(-((value - centre) / width)^2)."""
    t = (value - centre) / width
    r = t * t
    return math.exp(-r) if r < 0.5 * NEGLIGIBLE else 0.0


@inlined
def smooth_max(a: float, b: float, blend: float) -> float:
    """Maximum of two heights, rounded over `blend` mm so that the seam casts no line."""
    h = max(blend - abs(a - b), 0.0) / blend
    return max(a, b) + h * h * blend * 0.25


@inlined
def value_noise(x: float, y: float, z: float, seed: int) -> float:
    """Smooth noise in [-1, 1] with one lattice cell per unit; the same seed gives the same field."""
    i = math.floor(x)
    j = math.floor(y)
    k = math.floor(z)
    fx = x - i
    fy = y - j
    fz = z - k
    fx = fx * fx * (3 - 2 * fx)
    fy = fy * fy * (3 - 2 * fy)
    fz = fz * fz * (3 - 2 * fz)
    at = corners(i * STEP_X + j * STEP_Y + k * STEP_Z + seed * _STEP_SEED)
    a = at[0] * (1 - fx) + at[1] * fx
    b = at[2] * (1 - fx) + at[3] * fx
    c = at[4] * (1 - fx) + at[5] * fx
    d = at[6] * (1 - fx) + at[7] * fx
    return (a * (1 - fy) + b * fy) * (1 - fz) + (c * (1 - fy) + d * fy) * fz


@inlined
def noise_slope(x: float, y: float, z: float, seed: int) -> tuple[float, float]:
    """Derivatives of `value_noise` with respect to x and y."""
    i = math.floor(x)
    j = math.floor(y)
    k = math.floor(z)
    u = x - i
    v = y - j
    w = z - k
    fx = u * u * (3 - 2 * u)
    fy = v * v * (3 - 2 * v)
    fz = w * w * (3 - 2 * w)
    at = corners(i * STEP_X + j * STEP_Y + k * STEP_Z + seed * _STEP_SEED)
    a = at[0] * (1 - fz) + at[4] * fz
    b = at[1] * (1 - fz) + at[5] * fz
    c = at[2] * (1 - fz) + at[6] * fz
    d = at[3] * (1 - fz) + at[7] * fz
    slope_x = ((b - a) * (1 - fy) + (d - c) * fy) * 6 * u * (1 - u)
    slope_y = ((c - a) * (1 - fx) + (d - b) * fx) * 6 * v * (1 - v)
    return slope_x, slope_y


@kernel
def grid_noise(points: FloatArray, frequency: float, seed: int, out: FloatArray) -> None:
    """Fill `out` with two octaves of noise at the points of a grid."""
    for i in range(points.shape[0]):
        for j in range(points.shape[1]):
            x = points[i, j, 0] * frequency
            y = points[i, j, 1] * frequency
            z = points[i, j, 2] * frequency
            coarse = value_noise(x, y, z, seed)
            fine = value_noise(x * 2.1, y * 2.1, z * 2.1, seed + 7)
            out[i, j] = coarse * 0.65 + fine * 0.35
