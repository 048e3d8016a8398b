"""What a change of a face picture works on, and the small tools such changes share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from facebench.errors import InputError

Pixels = NDArray[np.uint8]
Landmarks = NDArray[np.float64]
Floats = NDArray[np.float32]
T = TypeVar("T")


class MissingLandmarksError(InputError):
    """A change asked for the landmarks of a face that has none."""


@dataclass(frozen=True, eq=False)
class Change:
    """One face to be changed.

    Attributes:
        pixels: (H, W, 3) uint8 RGB.
        points: the landmarks, where the face has them.
        rng: random numbers of this image and condition, the same at every level.
        level: 1, 2, ...
    """

    pixels: Pixels
    points: Landmarks | None
    rng: np.random.Generator
    level: int

    @cached_property
    def values(self) -> Floats:
        """The picture as float32 in [0, 1]."""
        return self.pixels.astype(np.float32) / np.float32(255)

    @property
    def landmarks(self) -> Landmarks:
        """(5, 2) left eye, right eye, nose tip, left and right corner of the mouth; x, y in pixels.

        Raises:
            MissingLandmarksError: the face has none. So only changes that use landmarks need them.
        """
        if self.points is None:
            raise MissingLandmarksError("no landmarks")
        return self.points

    @cached_property
    def iod(self) -> float:
        """Inter-ocular distance in pixels, at least one."""
        return max(1.0, float(np.hypot(*(self.landmarks[1] - self.landmarks[0]))))

    def pick(self, values: Sequence[T]) -> T:
        """Return the value of this level."""
        return values[self.level - 1]


@dataclass(frozen=True)
class Kind:
    """One kind of change.

    Attributes:
        apply: from a `Change` to the changed picture, (H, W, 3) uint8 of the same size; must leave its input as it is.
        version: raised whenever its pictures change, because altered embeddings are kept by it.
        levels: of a plug-in: 1, 2, ... rising in strength, at most 5; none for a change without levels.
        turn: by how many radians it turns the picture, clockwise as it is looked at, from the same `Change` with its
            random numbers not yet drawn; without pixels or landmarks to go by. None where it does not turn the picture.
        mirrors: whether it exchanges left and right.
    """

    apply: Callable[[Change], Pixels]
    version: int = 2
    levels: tuple[int, ...] = ()
    turn: Callable[[Change], float] | None = None
    mirrors: bool = False


def to_pixels(values: NDArray[np.floating]) -> Pixels:
    """Round values in [0, 1] to uint8, clipping what lies outside."""
    rounded: Pixels = (np.clip(values, 0, 1) * 255 + 0.5).astype(np.uint8)
    return rounded
