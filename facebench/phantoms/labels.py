"""The label map's classes and the landmark layouts.

"Left" and "right" are those of the image, as in the five-point template: the left eye is the one on the left
of the picture.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from facebench.phantoms._kernel import ByteArray, FloatArray, IntArray


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
    height = labels.shape[0] // factor
    width = labels.shape[1] // factor
    samples = labels.reshape(height, factor, width, factor).transpose(0, 2, 1, 3).reshape(height, width, -1)
    counts = np.stack([(samples == label).sum(-1) for label in range(len(Label))], axis=-1)
    return np.asarray(counts.argmax(-1), dtype=np.uint8)
