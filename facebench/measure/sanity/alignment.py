"""Whether pictures look like faces aligned to the ArcFace template: a check that needs neither landmarks nor a model.

Two questions are asked of up to `N_PICTURES` pictures, on grey values normalised by their local mean and contrast, so
that tone, light and colour do not matter:

- Do the faces lie at one place? Each picture is compared with the average of the others, unmoved and moved by up to
  `REACH`. Where the faces lie at one place, moving gains little.
- Is it the place of the template? The average of all pictures is searched for the average phantom face, moved and
  stretched.

The bounds were set on `benchmarks/alignment.py`; docs/limits.md shows what they find and what they miss.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float64]

MIN_PICTURES = 50
N_PICTURES = 120
SIDE = 56  # pictures are looked at in this size
REACH = 12  # how far faces are moved, in pixels of `SIDE`
IOD = 17.6  # distance of the template's eyes in pixels of `SIDE`

TOGETHER = 0.67
"""Share of the best agreement that unmoved faces must reach to lie at one place."""
AGREEMENT = 0.5
"""Correlation of the average picture with the average face below which there is no face to be seen."""
ACROSS = 0.1
"""Largest distance of the faces from the template to the left or right, in distances of the eyes."""
ALONG = (0.08, 0.35)
"""The same up or down: the second part grows as faces agree less, since poses and crops then hide where they lie."""
AREA = (0.65, 1.6)
"""Smallest and largest area of the faces, relative to the template's."""

_EYES_Y, _MOUTH_Y, _MIDDLE = 25.7, 46.1, 28.0
_COARSE, _FINE = (0.66, 0.81, 1.0, 1.23), 1.11
_BOX = (slice(16, 54), slice(10, 46))  # the inner face


@dataclass(frozen=True)
class AlignmentReading:
    """Where the faces of some pictures lie.

    Attributes:
        n: pictures looked at.
        together: 0 to 1, how well unmoved faces agree with each other, as a share of the best agreement when moved.
        agreement: -1 to 1, correlation of the average picture with the average face where it fits best.
        across, along: how far the faces lie to the right of, and below, the template, in distances of the eyes.
        area: of the faces, relative to the template's.
    """

    n: int
    together: float
    agreement: float
    across: float
    along: float
    area: float

    @property
    def scattered(self) -> bool:
        """Whether the faces lie at different places."""
        return self.together < TOGETHER

    @property
    def off(self) -> tuple[float, float]:
        """How far the faces lie beyond what is allowed, across and along; 0 when they do not."""
        far = ACROSS, ALONG[0] + ALONG[1] * (1 - self.together)
        return tuple(by if abs(by) > most else 0.0 for by, most in zip((self.across, self.along), far, strict=True))  # type: ignore[return-value]

    @property
    def elsewhere(self) -> bool:
        """Whether the faces lie at another place, or in another size, than the template has them, or are none."""
        return self.agreement < AGREEMENT or any(self.off) or not AREA[0] <= self.area <= AREA[1]


def read_alignment(pictures: Sequence[Pixels]) -> AlignmentReading | None:
    """Look where the faces lie; None of fewer than `MIN_PICTURES` pictures.

    Args:
        pictures: (H, W, 3) uint8 RGB each, of any size; they are looked at as squares, as models are given them.
    """
    if len(pictures) < MIN_PICTURES:
        return None
    rows = np.unique(np.linspace(0, len(pictures) - 1, N_PICTURES).astype(int))
    return read_contrast(*map(np.stack, zip(*(local_contrast(pictures[row]) for row in rows), strict=True)))


def read_contrast(detail: Floats, known: Floats) -> AlignmentReading:
    """Look where the faces lie in (N, 56, 56) pictures that went through `local_contrast`."""
    total = detail.sum(axis=0)
    unmoved = moved = 0.0
    for own, seen in zip(detail, known, strict=True):
        found = _correlations(own, seen, (total - own)[_BOX], _BOX)
        unmoved += found[REACH, REACH]
        moved += found.max()
    average = total / np.maximum(known.sum(axis=0), 1)
    fit = _fit(average, (known.mean(axis=0) > 0.3).astype(float))
    together = max(0.0, float(unmoved / max(moved, 1e-9)))
    figures = (together, fit.agreement, fit.across / IOD, fit.along / IOD, fit.wide * fit.high)
    return AlignmentReading(len(detail), *(round(figure, 3) for figure in figures))


def local_contrast(picture: Pixels) -> tuple[Floats, Floats]:
    """Return (56, 56) grey values less their local mean over the local contrast, and 1 where there is a picture.

    Flat areas, such as the borders of a warped picture, hold nothing and make no edge.
    """
    from PIL import Image
    from scipy import ndimage

    small = Image.fromarray(picture).convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
    grey = np.asarray(small, np.float64)
    flat = ndimage.maximum_filter(grey, 3) - ndimage.minimum_filter(grey, 3) <= 2
    there = ~ndimage.binary_dilation(ndimage.binary_opening(flat, iterations=3))
    weight = there.astype(float)
    smooth = ndimage.gaussian_filter
    around = smooth(weight, 5) + 1e-3
    mean = smooth(grey * weight, 5) / around
    variance = smooth(weight * (grey - mean) ** 2, 5) / around
    detail = (smooth(grey * weight, 1) / (smooth(weight, 1) + 1e-3) - mean) / np.sqrt(variance + 25)
    known = ndimage.binary_erosion(there, iterations=2, border_value=1).astype(float)
    return np.clip(detail, -2, 2) * known, known


@cache
def average_face() -> Floats:
    """Return the (56, 56) average of `local_contrast` over the images of `phantom-v1`."""
    stored = np.load(Path(__file__).with_name("average_face.npy"), allow_pickle=False)
    return np.asarray(stored, np.float64)


def _correlations(detail: Floats, known: Floats, face: Floats, box: tuple[slice, slice]) -> Floats:
    """Return the correlation of a face with the picture under it, moved by -REACH..REACH rows and columns.

    Only what is known counts; a place where much is unknown counts less.
    """
    from scipy.signal import fftconvolve

    top, left = box[0].start, box[1].start
    face = face - face.mean()
    padded, seen = np.pad(detail, REACH), np.pad(known, REACH)
    rows, columns = slice(top, top + 2 * REACH + face.shape[0]), slice(left, left + 2 * REACH + face.shape[1])
    padded, seen = padded[rows, columns], seen[rows, columns]
    layers = np.stack([seen, seen * padded, seen * padded**2])
    ones = np.ones_like(face)
    n, first, second = fftconvolve(layers, ones[None], mode="valid", axes=(1, 2))
    turned = face[::-1, ::-1]
    of_face = fftconvolve(seen, turned, mode="valid")
    of_square = fftconvolve(seen, turned**2, mode="valid")
    product = fftconvolve(seen * padded, turned, mode="valid")
    n = np.maximum(n, 1e-3)
    spread = np.maximum(second - first**2 / n, 1e-2) * np.maximum(of_square - of_face**2 / n, 1e-2)
    found: Floats = (product - first * of_face / n) / np.sqrt(spread) * np.sqrt(np.clip(n / face.size, 0, 1))
    return found


@dataclass(frozen=True)
class _Fit:
    """The average face laid over a picture: correlation, shift in pixels, and stretch across and along."""

    agreement: float
    across: float
    along: float
    wide: float
    high: float


def _fit(average: Floats, known: Floats) -> _Fit:
    """Return the best fit of the average face: coarse stretches first, then finer ones about the best."""
    coarse = [_laid(average, known, wide, high) for wide in _COARSE for high in _COARSE]
    best = max(coarse, key=lambda fit: fit.agreement)
    steps = (1 / _FINE, 1.0, _FINE)
    fine = [_laid(average, known, best.wide * a, best.high * b) for a in steps for b in steps]
    return max(fine, key=lambda fit: fit.agreement)


def _laid(average: Floats, known: Floats, wide: float, high: float) -> _Fit:
    """Return the best place of the average face, stretched by `wide` and `high`."""
    from scipy import ndimage

    y, x = np.mgrid[0:SIDE, 0:SIDE].astype(float)
    centre = (_EYES_Y + _MOUTH_Y) / 2
    places = [(y - centre) / high + centre, (x - _MIDDLE) / wide + _MIDDLE]
    face = ndimage.map_coordinates(average_face(), places, order=1, mode="nearest")
    box = (
        slice(max(0, int(centre - 17 * high)), min(SIDE, int(centre + 17 * high) + 1)),
        slice(max(0, int(_MIDDLE - 17 * wide)), min(SIDE, int(_MIDDLE + 17 * wide) + 1)),
    )
    found = _correlations(average, known, face[box], box)
    row, column = (int(place) for place in np.unravel_index(int(found.argmax()), found.shape))
    across = column - REACH + _between(found[row], column)
    along = row - REACH + _between(found[:, column], row)
    return _Fit(float(found[row, column]), across, along, wide, high)


def _between(values: Floats, peak: int) -> float:
    """Return where a parabola through the highest value and its neighbours has its top, relative to the highest."""
    if not 0 < peak < values.size - 1:
        return 0.0
    before, top, after = values[peak - 1 : peak + 2]
    bend = before - 2 * top + after
    return float(0.5 * (before - after) / bend) if bend < 0 else 0.0
