"""The label map's classes and the landmark layouts.

"Left" and "right" are those of the image, as in the five-point template: the left eye is the one on the left
of the picture.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from facebench.phantoms._kernel import ByteArray, FloatArray, IntArray, kernel


class Label(IntEnum):
    """Class of a pixel in the label map."""

    BACKGROUND = 0
    SKIN = 1
    LEFT_EYE = 2
    RIGHT_EYE = 3
    LEFT_BROW = 4
    RIGHT_BROW = 5
    NOSE = 6
    UPPER_LIP = 7
    LOWER_LIP = 8
    MOUTH = 9
    EAR = 10
    HAIR = 11
    GLASSES = 12
    MASK = 13
    HAT = 14
    NECK = 15
    SCARF = 16
    CLOTH = 17
    LEFT_LID = 18
    RIGHT_LID = 19


class Surface(IntEnum):
    """Which sheet of the mesh a triangle belongs to; decides how it is cut out and shaded."""

    HEAD = 0
    EAR = 1
    NECK = 2
    HAIR = 3
    FRAME = 4
    LENS = 5
    MASK = 6
    HAT = 7
    SCARF = 8


LABEL_NAMES: tuple[str, ...] = tuple(label.name.lower() for label in Label)

FACE_LABELS: frozenset[Label] = frozenset(
    {
        Label.SKIN,
        Label.LEFT_EYE,
        Label.RIGHT_EYE,
        Label.LEFT_BROW,
        Label.RIGHT_BROW,
        Label.NOSE,
        Label.UPPER_LIP,
        Label.LOWER_LIP,
        Label.MOUTH,
        Label.LEFT_LID,
        Label.RIGHT_LID,
    }
)

PART_LABELS: dict[str, frozenset[Label]] = {
    "eyes": frozenset({Label.LEFT_EYE, Label.RIGHT_EYE, Label.LEFT_LID, Label.RIGHT_LID}),
    "brows": frozenset({Label.LEFT_BROW, Label.RIGHT_BROW}),
    "nose": frozenset({Label.NOSE}),
    "mouth": frozenset({Label.UPPER_LIP, Label.LOWER_LIP, Label.MOUTH}),
}

# Five-point template of ArcFace for 112 x 112 images: eyes, nose tip, mouth corners, in pixels (x, y).
ARCFACE_112: FloatArray = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)


def majority(labels: IntArray, factor: int) -> ByteArray:
    """Reduce a super-sampled label map: each pixel gets the class most of its samples have (ties: the lower)."""
    out = np.zeros((labels.shape[0] // factor, labels.shape[1] // factor), np.uint8)
    _fill_majority(labels, factor, np.zeros(len(Label), np.int64), out)
    return out


@kernel
def _fill_majority(labels: IntArray, factor: int, counts: IntArray, out: ByteArray) -> None:
    for row in range(out.shape[0]):
        for column in range(out.shape[1]):
            counts[:] = 0
            for y in range(row * factor, (row + 1) * factor):
                for x in range(column * factor, (column + 1) * factor):
                    counts[labels[y, x]] += 1
            out[row, column] = np.argmax(counts)
