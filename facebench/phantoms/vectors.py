"""Three-vectors as tuples, which kernels keep in registers."""

from __future__ import annotations

import math
from typing import TypeAlias

from facebench.phantoms._instructions import fused
from facebench.phantoms._kernel import FloatArray, IntArray, inlined

Vector: TypeAlias = tuple[float, float, float]


@inlined
def dot(a: Vector, b: Vector) -> float:
    """Scalar product."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@inlined
def unit(x: float, y: float, z: float) -> Vector:
    """The vector scaled to length 1."""
    scale = 1 / (math.sqrt(x * x + y * y + z * z) + 1e-9)
    return x * scale, y * scale, z * scale


@inlined
def turned(a: Vector, axes: FloatArray) -> Vector:
    """The vector along three axes, the rows of a matrix; rounded as BLAS does it where it has fused multiply-adds."""
    return (
        fused(a[2], axes[0, 2], fused(a[1], axes[0, 1], a[0] * axes[0, 0])),
        fused(a[2], axes[1, 2], fused(a[1], axes[1, 1], a[0] * axes[1, 0])),
        fused(a[2], axes[2, 2], fused(a[1], axes[2, 1], a[0] * axes[2, 0])),
    )


@inlined
def read(table: FloatArray, row: int, column: int) -> Vector:
    """Three neighbouring numbers of a table."""
    return table[row, column], table[row, column + 1], table[row, column + 2]


@inlined
def mix(values: FloatArray, triangles: IntArray, index: int, w0: float, w1: float) -> Vector:
    """Interpolate a vertex attribute of three components within a triangle."""
    a, b, c = triangles[index, 0], triangles[index, 1], triangles[index, 2]
    w2 = 1 - w0 - w1
    return (
        w0 * values[a, 0] + w1 * values[b, 0] + w2 * values[c, 0],
        w0 * values[a, 1] + w1 * values[b, 1] + w2 * values[c, 1],
        w0 * values[a, 2] + w1 * values[b, 2] + w2 * values[c, 2],
    )


@inlined
def mix_scalar(values: FloatArray, triangles: IntArray, index: int, w0: float, w1: float) -> float:
    """Interpolate a scalar vertex attribute within a triangle."""
    w2 = 1 - w0 - w1
    return float(  # numpy's scalar types are no part of the contract
        w0 * values[triangles[index, 0]] + w1 * values[triangles[index, 1]] + w2 * values[triangles[index, 2]]
    )
