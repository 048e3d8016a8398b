"""Drawing things onto a face: shapes in the face's own coordinates, shaded and lit like the picture they lie on.

Coordinates are (u, v): u along the line of the eyes in inter-ocular distances, v from the eyes (0) to the mouth (1), so
that a shape follows the size, turn and proportions of the face. The origin lies between the eyes.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from facebench.probes.corruptions import GREY, blur
from facebench.probes.face import Change, Floats, Pixels, to_pixels

KNEE = 0.7  # brightness from which lights are rolled off
FINE = 4  # shapes are drawn at so many times the size, for smooth edges
Points = Sequence[tuple[float, float]]
Colour = tuple[float, float, float]


class Canvas:
    """A face that is being drawn on; `values` is the picture so far."""

    def __init__(self, face: Change) -> None:
        self.face = face
        self.values: Floats = face.values.copy()
        self.height, self.width = face.pixels.shape[:2]
        eyes, mouth = face.landmarks[:2].mean(axis=0), face.landmarks[3:].mean(axis=0)
        self.origin = eyes
        self.across = face.landmarks[1] - face.landmarks[0]
        down = mouth - eyes
        if abs(self.across[0] * down[1] - self.across[1] * down[0]) < 0.1 * face.iod**2:  # a face in profile
            down = np.array([-self.across[1], self.across[0]]) * 1.1
        self.down = down
        self.basis = np.stack([self.across, self.down], axis=1)
        nose = np.linalg.solve(self.basis, face.landmarks[2] - eyes)
        self.lean = float(np.clip(nose[0], -0.35, 0.35))
        """How far the nose stands off the middle line: the turn of the head."""

    # ---- places

    @cached_property
    def grid(self) -> tuple[Floats, Floats]:
        """u and v of every pixel, (H, W) each."""
        y, x = np.mgrid[: self.height, : self.width]
        offset = np.stack([x - self.origin[0], y - self.origin[1]], axis=-1)
        found = offset @ np.linalg.inv(self.basis).T
        return found[..., 0].astype(np.float32), found[..., 1].astype(np.float32)

    def place(self, points: Points) -> NDArray[np.float64]:
        """Return (n, 2) x, y in pixels of points in (u, v)."""
        found: NDArray[np.float64] = self.origin + np.asarray(points, np.float64) @ self.basis.T
        return found

    # ---- shapes, as (H, W) coverage in [0, 1]

    def shape(self, points: Points, *, smooth: bool = True) -> Floats:
        """Return the inside of a closed outline, by default rounded through its points."""
        outline = self.place(closed_curve(points) if smooth else points)
        return self._drawn(lambda draw, xy: draw.polygon(xy, fill=255), outline)

    def stroke(self, points: Points, width: float, *, smooth: bool = True, closed: bool = False) -> Floats:
        """Return a line of a width in inter-ocular distances."""
        track = closed_curve(points) if closed else open_curve(points) if smooth else points
        thick = max(1, round(width * self.face.iod * FINE))
        radius = thick / 2

        def work(draw: object, xy: list[tuple[float, float]]) -> None:
            draw.line(xy, fill=255, width=thick, joint="curve")  # type: ignore[attr-defined]
            for x, y in (xy[0], xy[-1]):
                draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill=255)  # type: ignore[attr-defined]

        return self._drawn(work, self.place(track))

    def _drawn(self, work: object, track: NDArray[np.float64]) -> Floats:
        from PIL import Image, ImageDraw

        layer = Image.new("L", (FINE * self.width, FINE * self.height))
        xy = [(float(x), float(y)) for x, y in (track + 0.5) * FINE]
        work(ImageDraw.Draw(layer), xy)  # type: ignore[operator]
        return np.asarray(layer.reduce(FINE), np.float32) / np.float32(255)

    def capsule(self, start: tuple[float, float], end: tuple[float, float], radii: tuple[float, float]) -> Capsule:
        """Return a rounded rod between two points, its radii (at both ends) in inter-ocular distances."""
        a, b = self.place([start, end])
        y, x = np.mgrid[: self.height, : self.width]
        way = b - a
        length = max(float(np.hypot(*way)), 1e-6)
        along = ((x - a[0]) * way[0] + (y - a[1]) * way[1]) / length**2
        t = np.clip(along, 0, 1)
        radius = (radii[0] + t * (radii[1] - radii[0])) * self.face.iod
        side = ((x - a[0]) * -way[1] + (y - a[1]) * way[0]) / length
        distance = np.hypot(x - a[0] - t * way[0], y - a[1] - t * way[1])
        return Capsule(
            np.clip(radius - distance + 0.5, 0, 1).astype(np.float32),
            np.clip(distance / radius, 0, 1).astype(np.float32),
            np.clip(side / radius, -1, 1).astype(np.float32),
            along.astype(np.float32),
        )

    # ---- light

    @cached_property
    def light(self) -> Floats:
        """How brightly each place of the face is lit, (H, W, 1), about 1 on a well-lit face."""
        luma = self.face.values @ GREY
        smooth = blur(luma[..., None], 0.45 * self.face.iod)[..., 0]
        u, v = self.grid
        inside = (np.abs(u) < 0.9) & (v > -0.5) & (v < 1.3)
        middle = float(np.median(luma[inside])) if inside.any() else 0.5
        level = np.clip(middle / 0.5, 0.55, 1.25)
        relative = np.clip(smooth / max(middle, 0.05), 0.5, 1.5)
        found: Floats = (level * (0.45 + 0.55 * relative)).astype(np.float32)[..., None]
        return found

    def skin(self) -> NDArray[np.float32]:
        """Return the colour of the skin about the nose and cheeks."""
        u, v = self.grid
        inside = (np.abs(u) < 0.55) & (v > 0.3) & (v < 0.75)
        pixels = self.face.values[inside] if inside.any() else self.face.values.reshape(-1, 3)
        found: NDArray[np.float32] = np.median(pixels, axis=0).astype(np.float32)
        return found

    # ---- painting

    def shadow(self, cover: Floats, strength: float, *, size: float = 0.06, drop: float = 0.05) -> None:
        """Darken the picture about and below a thing, as if it lay on the face."""
        shift = round(drop * self.face.iod)
        moved = np.zeros_like(cover)
        if shift:
            moved[shift:] = cover[:-shift]
        else:
            moved = cover
        soft = blur(moved[..., None], size * self.face.iod)
        self.values = self.values * (1 - np.float32(strength) * soft)

    def paint(self, cover: Floats, colour: Colour | Floats, shade: Floats | float = 1.0, *, lit: bool = True) -> None:
        """Lay a colour over the picture where a shape covers it, times a shade and the light of the place."""
        shaded = np.asarray(colour, np.float32) * np.asarray(shade, np.float32).reshape(
            (self.height, self.width, 1) if np.ndim(shade) else (1,)
        )
        if lit:
            shaded = _exposed(shaded * self.light)
        self.values = self.values + cover[..., None] * (shaded - self.values)

    def glow(self, cover: Floats, strength: float) -> None:
        """Add light, as a reflection does."""
        self.values = self.values + np.float32(strength) * cover[..., None] * (1 - self.values)

    def grain(self, strength: float) -> Floats:
        """Return fine texture about 1, (H, W)."""
        noise = self.face.rng.standard_normal((self.height, self.width, 1), np.float32)
        found: Floats = 1 + np.float32(strength) * blur(noise, 0.5)[..., 0]
        return found

    def pixels(self) -> Pixels:
        """Return the picture as uint8."""
        return to_pixels(self.values)


class Capsule:
    """A rod on the canvas: where it covers, and for shading the distance from its axis, side (-1 to 1) and place."""

    def __init__(self, cover: Floats, distance: Floats, side: Floats, along: Floats) -> None:
        self.cover, self.distance, self.side, self.along = cover, distance, side, along


def _exposed(values: Floats) -> Floats:
    """Return values with their lights rolled off as a camera does, so that folds of white cloth still show."""
    beyond = np.clip(values - KNEE, 0, None)
    found: Floats = np.where(values > KNEE, KNEE + (1 - KNEE) * (1 - np.exp(-beyond / (1 - KNEE))), values)
    return found.astype(np.float32)


def closed_curve(points: Points, steps: int = 12) -> list[tuple[float, float]]:
    """Return a smooth closed curve through some points (Catmull-Rom)."""
    ring = np.asarray([points[-1], *points, points[0], points[1]], np.float64)
    return _through(ring, steps)


def open_curve(points: Points, steps: int = 12) -> list[tuple[float, float]]:
    """Return a smooth curve from the first of some points to the last."""
    x, y = points[-1]
    return [*_through(np.asarray([points[0], *points, points[-1]], np.float64), steps), (float(x), float(y))]


def _through(ring: NDArray[np.float64], steps: int) -> list[tuple[float, float]]:
    t = np.linspace(0, 1, steps, endpoint=False)[:, None]
    found = []
    for a, b, c, d in zip(ring, ring[1:], ring[2:], ring[3:], strict=False):
        found.append(0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3))
    return [(float(x), float(y)) for x, y in np.concatenate(found)]


def mirrored(points: Points) -> list[tuple[float, float]]:
    """Return the points with their mirror images, in the order of one outline; give those right of the middle."""
    return [*points, *((-u, v) for u, v in reversed(points) if u)]


def ridge(x: Floats, centre: float | Floats, width: float) -> Floats:
    """Return a bump of height one."""
    found: Floats = np.exp(-(((x - centre) / width) ** 2)).astype(np.float32)
    return found
