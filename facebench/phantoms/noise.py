"""Scalar building blocks of the kernels: steps, bells, a smooth maximum and value noise."""

from __future__ import annotations

import math

import numpy as np

from facebench.phantoms._kernel import FloatArray, kernel


@kernel
def smoothstep(low: float, high: float, value: float) -> float:
    """Cubic step from 0 at `low` to 1 at `high`; `low > high` gives a falling step."""
    t = (value - low) / (high - low)
    if t < 0.0:
        t = 0.0
    elif t > 1.0:
        t = 1.0
    return t * t * (3.0 - 2.0 * t)


@kernel
def bell(dx: float, dy: float, width_x: float, width_y: float) -> float:
    """Gaussian bell of height 1."""
    u = dx / width_x
    v = dy / width_y
    return math.exp(-0.5 * (u * u + v * v))


@kernel
def bump(value: float, centre: float, width: float) -> float:
    """exp(-((value - centre) / width)^2)."""
    t = (value - centre) / width
    return math.exp(-t * t)


@kernel
def smooth_max(a: float, b: float, blend: float) -> float:
    """Maximum of two heights, rounded over `blend` mm so that the seam casts no line."""
    h = max(blend - abs(a - b), 0.0) / blend
    return max(a, b) + h * h * blend * 0.25


@kernel
def _lattice(i: int, j: int, k: int, seed: int) -> float:
    """Hash of a lattice point, uniform in [-1, 1)."""
    h = (
        np.int64(i) * 374761393 + np.int64(j) * 668265263 + np.int64(k) * 2147483647 + np.int64(seed) * 1274126177
    ) & 0xFFFFFFFF
    h = ((h ^ (h >> 13)) * 1274126177) & 0xFFFFFFFF
    h = ((h ^ (h >> 16)) * 2246822519) & 0xFFFFFFFF
    return float(((h ^ (h >> 15)) & 0xFFFFFF) / 8388608.0 - 1.0)


@kernel
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
    a = _lattice(i, j, k, seed) * (1 - fx) + _lattice(i + 1, j, k, seed) * fx
    b = _lattice(i, j + 1, k, seed) * (1 - fx) + _lattice(i + 1, j + 1, k, seed) * fx
    c = _lattice(i, j, k + 1, seed) * (1 - fx) + _lattice(i + 1, j, k + 1, seed) * fx
    d = _lattice(i, j + 1, k + 1, seed) * (1 - fx) + _lattice(i + 1, j + 1, k + 1, seed) * fx
    return (a * (1 - fy) + b * fy) * (1 - fz) + (c * (1 - fy) + d * fy) * fz


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
