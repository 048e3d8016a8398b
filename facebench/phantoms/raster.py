"""Z-buffer rasteriser with per-sample cut-outs, and the shadow map's look-up."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from facebench.phantoms._kernel import FloatArray, IntArray, inlined, kernel
from facebench.phantoms.accessories import lens_depth
from facebench.phantoms.hair import strand_kept
from facebench.phantoms.labels import Surface
from facebench.phantoms.noise import smoothstep

FAR = 1e9
EDGE_SLACK = -1e-9


@dataclass(frozen=True)
class Fragments:
    """What each sample sees: depth, triangle (-1: nothing) and the first two barycentric weights."""

    depth: FloatArray
    triangle: IntArray
    weight0: FloatArray
    weight1: FloatArray

    @classmethod
    def empty(cls, size: int) -> Fragments:
        """Square buffers in which nothing has been drawn."""
        shape = (size, size)
        return cls(np.full(shape, FAR), np.full(shape, -1), np.zeros(shape), np.zeros(shape))


@inlined
def _cut_out(surface: int, u: float, v: float, w: float, strands: FloatArray, glasses: FloatArray) -> bool:
    """Whether the sheet has a hole at material coordinates (u, v, w)."""
    if surface == Surface.HAIR:
        return not strand_kept(u, v, w, strands)
    if surface == Surface.MASK or surface == Surface.HAT or surface == Surface.SCARF:
        return w < 0
    if surface == Surface.LENS:
        return lens_depth(u, v, glasses) < 0
    if surface == Surface.FRAME and w < 50:
        depth = lens_depth(u, v, glasses)
        bar = abs(v - glasses[5] - 0.35 * glasses[2]) < glasses[4] * 0.7 + 0.6
        bridge = bar and abs(u) < glasses[0] - glasses[1] + 1
        return not bridge and not (-glasses[4] < depth < 0)
    return False


@kernel
def rasterise(
    screen: FloatArray,
    triangles: IntArray,
    surface: IntArray,
    facing: IntArray,
    material: FloatArray,
    strands: FloatArray,
    glasses: FloatArray,
    lenses: bool,
    depth: FloatArray,
    triangle: IntArray,
    weight0: FloatArray,
    weight1: FloatArray,
) -> None:
    """Draw triangles into the buffers; `screen` holds (column, row, depth). Draws either the lenses or the rest."""
    height, width = depth.shape
    for i in range(triangles.shape[0]):
        kind = surface[i]
        if (kind == Surface.LENS) != lenses:
            continue
        a, b, c = triangles[i, 0], triangles[i, 1], triangles[i, 2]
        ax, ay = screen[a, 0], screen[a, 1]
        bx, by = screen[b, 0], screen[b, 1]
        cx, cy = screen[c, 0], screen[c, 1]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if area == 0 or (facing[i] != 0 and area * facing[i] > 0):
            continue
        left = max(0, math.ceil(min(ax, bx, cx)))
        right = min(width - 1, math.floor(max(ax, bx, cx)))
        top = max(0, math.ceil(min(ay, by, cy)))
        bottom = min(height - 1, math.floor(max(ay, by, cy)))
        if left > right or top > bottom:
            continue
        inverse = 1.0 / area
        az, bz, cz = screen[a, 2], screen[b, 2], screen[c, 2]
        for y in range(top, bottom + 1):
            nearest = depth[y]
            for x in range(left, right + 1):
                w0 = ((bx - x) * (cy - y) - (by - y) * (cx - x)) * inverse
                w1 = ((cx - x) * (ay - y) - (cy - y) * (ax - x)) * inverse
                w2 = 1 - w0 - w1
                z = w0 * az + w1 * bz + w2 * cz
                # One branch that is hard to foresee instead of four.
                if (min(w0, w1, w2) < EDGE_SLACK) | (z >= nearest[x]):
                    continue
                if kind >= Surface.HAIR:
                    u = w0 * material[a, 0] + w1 * material[b, 0] + w2 * material[c, 0]
                    v = w0 * material[a, 1] + w1 * material[b, 1] + w2 * material[c, 1]
                    w = w0 * material[a, 2] + w1 * material[b, 2] + w2 * material[c, 2]
                    if _cut_out(kind, u, v, w, strands, glasses):
                        continue
                nearest[x] = z
                triangle[y, x] = i
                weight0[y, x] = w0
                weight1[y, x] = w1


@inlined
def _tap(shadow: FloatArray, column: float, row: float, depth: float) -> float:
    """How lit a point is by one texel of the shadow map, 0 to 1; outside the map everything is lit."""
    x = round(column)
    y = round(row)
    if x < 0 or y < 0 or x >= shadow.shape[1] or y >= shadow.shape[0]:
        return 1.0
    behind = depth - shadow[y, x]
    if behind <= 1.5:  # as the step below would say, without its division
        return 1.0
    return 1 - smoothstep(1.5, 6.0, behind) if behind < 6.0 else 0.0


@inlined
def lit_fraction(shadow: FloatArray, u: float, v: float, depth: float, extent: float, softness: float) -> float:
    """Share of 25 taps of the shadow map that the light reaches; `softness` is their spacing in texels."""
    size = shadow.shape[0]
    column = (u / extent * 0.5 + 0.5) * size - 0.5
    row = (v / extent * 0.5 + 0.5) * size - 0.5
    # Where middle and corners agree, the other twenty taps nearly always do.
    far = 2 * softness
    probe = _tap(shadow, column, row, depth)
    probe += _tap(shadow, column - far, row - far, depth) + _tap(shadow, column + far, row - far, depth)
    probe += _tap(shadow, column - far, row + far, depth) + _tap(shadow, column + far, row + far, depth)
    if probe == 0 or probe == 5:
        return probe / 5
    lit = 0.0
    for dv in range(-2, 3):
        for du in range(-2, 3):
            lit += _tap(shadow, column + du * softness, row + dv * softness, depth)
    return lit / 25
