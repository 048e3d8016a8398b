"""Which pixels belong to a part of the face, and pictures of many faces at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from facebench.errors import InputError, UnknownNameError
from facebench.phantoms._kernel import BoolArray, ByteArray, FloatArray
from facebench.phantoms.labels import FACE_LABELS, PART_LABELS, Label
from facebench.phantoms.renderer import RenderedFace

REGIONS: tuple[str, ...] = (*PART_LABELS, "jaw", "layout")
_LOWER_BRIDGE = 29
_MID_BROWS = (19, 24)


def part_region(face: RenderedFace, part: str) -> BoolArray:
    """Mask (H, W) of a part.

    Eyes include their lids. The jaw is the skin, neck and clothing below the lower third of the nose, measured along
    the face's own axis; layout is the whole face with the hair about it.
    """
    if part in PART_LABELS:
        return np.isin(face.labels, list(PART_LABELS[part]))
    if part == "jaw":
        skin = np.isin(face.labels, [Label.SKIN, Label.NECK, Label.CLOTH])
        return skin & _below(face.landmarks68, face.labels.shape)
    if part == "layout":
        return np.isin(face.labels, [*FACE_LABELS, Label.HAIR, Label.NECK, Label.EAR])
    raise UnknownNameError("part of the face", part, REGIONS)


def _below(landmarks: FloatArray, shape: tuple[int, ...]) -> BoolArray:
    """Pixels on the chin's side of the line across the lower bridge of the nose."""
    base = landmarks[_LOWER_BRIDGE]
    down = base - landmarks[list(_MID_BROWS)].mean(0)
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return np.asarray((columns - base[0]) * down[0] + (rows - base[1]) * down[1] > 0)


def contact_sheet(images: Sequence[ByteArray | RenderedFace], columns: int, *, gap: int = 0) -> ByteArray:
    """Lay pictures of one size out in rows of `columns`, on dark grey.

    >>> contact_sheet([np.zeros((4, 4, 3), np.uint8)] * 5, columns=3).shape
    (8, 12, 3)
    """
    if not images or columns < 1:
        raise InputError("a contact sheet needs at least one picture and one column.")
    pictures = [image.image if isinstance(image, RenderedFace) else image for image in images]
    height, width = pictures[0].shape[:2]
    if any(picture.shape != pictures[0].shape for picture in pictures):
        raise InputError("the pictures of a contact sheet must be of one size; render them with the same size.")
    rows = -(-len(pictures) // columns)
    sheet = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), 24, np.uint8)
    for k, picture in enumerate(pictures):
        top = k // columns * (height + gap)
        left = k % columns * (width + gap)
        sheet[top : top + height, left : left + width] = picture
    return sheet
