"""Grids of vertices: normals, triangles, and the sheet that carries them to the rasteriser."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np

from facebench.phantoms._kernel import FloatArray, IntArray, kernel
from facebench.phantoms.labels import Surface

NO_HAIR = -99.0
"""Distance inside the hairline for vertices that bear no scalp hair."""


@dataclass(frozen=True)
class Sheet:
    """One grid of the scene: (rows, columns, 3) positions, normals and material coordinates.

    `facing` is 1 when back faces are to be culled, 0 when the sheet is seen from both sides.
    """

    surface: Surface
    position: FloatArray
    normal: FloatArray
    material: FloatArray
    occlusion: FloatArray | float = 1.0
    hairline: FloatArray | float = NO_HAIR
    facing: int = 0


@kernel
def _fill_normals(position: FloatArray, sign: float, normal: FloatArray) -> None:
    rows, columns = position.shape[0], position.shape[1]
    for i in range(rows):
        above = max(i - 1, 0)
        below = min(i + 1, rows - 1)
        for j in range(columns):
            left = max(j - 1, 0)
            right = min(j + 1, columns - 1)
            ax = position[i, right, 0] - position[i, left, 0]
            ay = position[i, right, 1] - position[i, left, 1]
            az = position[i, right, 2] - position[i, left, 2]
            bx = position[below, j, 0] - position[above, j, 0]
            by = position[below, j, 1] - position[above, j, 1]
            bz = position[below, j, 2] - position[above, j, 2]
            nx = ay * bz - az * by
            ny = az * bx - ax * bz
            nz = ax * by - ay * bx
            scale = sign / (math.sqrt(nx * nx + ny * ny + nz * nz) + 1e-12)
            normal[i, j, 0] = nx * scale
            normal[i, j, 1] = ny * scale
            normal[i, j, 2] = nz * scale


def normals(position: FloatArray, sign: float = 1.0) -> FloatArray:
    """Unit normals of a grid by central differences; `sign` = -1 turns them round."""
    normal = np.zeros_like(position)
    _fill_normals(np.ascontiguousarray(position), float(sign), normal)
    return normal


@kernel
def grid_points(
    columns: FloatArray, heights: FloatArray, material: FloatArray, position: FloatArray, out: FloatArray
) -> None:
    """Fill `out` (N, 3) with the points of a grid at fractional `columns` and material heights, which rise by row."""
    last_row, last_column = position.shape[0] - 1, position.shape[1] - 1
    for k in range(columns.shape[0]):
        left = min(int(columns[k]), last_column - 1)
        across = columns[k] - left
        below = 0
        above = last_row
        while above - below > 1:
            middle = (below + above) // 2
            if material[middle, left, 1] * (1 - across) + material[middle, left + 1, 1] * across <= heights[k]:
                below = middle
            else:
                above = middle
        low = material[below, left, 1] * (1 - across) + material[below, left + 1, 1] * across
        high = material[above, left, 1] * (1 - across) + material[above, left + 1, 1] * across
        row = min(max(1 / (high - low) * (heights[k] - low) + below, 0.0), float(last_row))
        below = min(int(row), last_row - 1)
        above = below + 1
        up = row - below
        for axis in range(3):
            near = position[below, left, axis] * (1 - across) + position[below, left + 1, axis] * across
            far = position[above, left, axis] * (1 - across) + position[above, left + 1, axis] * across
            out[k, axis] = near * (1 - up) + far * up


@cache
def triangles(rows: int, columns: int) -> IntArray:
    """Two triangles per cell of a (rows, columns) grid; vertices are numbered row by row."""
    i, j = np.meshgrid(np.arange(rows - 1), np.arange(columns - 1), indexing="ij")
    a = (i * columns + j).ravel()
    b = a + 1
    c = a + columns
    d = c + 1
    return np.concatenate([np.stack([a, b, d], 1), np.stack([a, d, c], 1)])


def smoothstep_array(low: float, high: float, value: FloatArray) -> FloatArray:
    """Cubic step on arrays; see `noise.smoothstep`."""
    t = np.clip((value - low) / (high - low), 0.0, 1.0)
    return np.asarray(t * t * (3 - 2 * t))
