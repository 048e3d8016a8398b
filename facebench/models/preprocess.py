"""Turns aligned faces into the network's input, exactly as an InputSpec says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.errors import InputError
from facebench.models.protocol import Embeddings, Faces
from facebench.schema import Alignment, Colour, Flip, InputSpec, Layout

Forward = Callable[[NDArray[np.float32]], Embeddings]

_TEMPLATE_SIZE = 112
LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)


def prepare(faces: Faces, spec: InputSpec) -> NDArray[np.float32]:
    """Return the network's input of (N, H, W, 3) uint8 RGB faces: float32, (N, C, h, w) or (N, h, w, C) by `layout`.

    Raises:
        InputError: the faces have another type or shape, or do not fit the alignment or the crop.
    """
    check_faces(faces, spec)
    if spec.crop is not None:
        top, left, bottom, right = spec.crop
        faces = faces[:, top:bottom, left:right]
    faces = _resize(faces, spec.height, spec.width)
    if spec.colour is Colour.BGR:
        faces = faces[..., ::-1]
    elif spec.colour is Colour.GREY:
        faces = np.rint(faces @ LUMINANCE).astype(np.uint8)[..., None]
    values = (faces.astype(np.float32) - np.asarray(spec.mean, np.float32)) / np.asarray(spec.std, np.float32)
    if spec.layout is Layout.NCHW:
        values = values.transpose(0, 3, 1, 2)
    return np.ascontiguousarray(values)


def embed_flipped(forward: Forward, faces: Faces, spec: InputSpec) -> Embeddings:
    """Embed faces and, as `flip` says, their mirror images: (N, D), or (N, 2D) for ``concat``.

    The aligned face is mirrored before the crop: a crop that is off centre cuts the mirror image at the same columns.
    """
    plain = forward(prepare(faces, spec))
    if spec.flip is Flip.NONE:
        return plain
    mirrored = forward(prepare(faces[:, :, ::-1], spec))
    if spec.flip is Flip.SUM:
        return plain + mirrored
    return np.concatenate([plain, mirrored], axis=1)


def check_faces(faces: Any, spec: InputSpec) -> None:
    """Raise InputError unless the array holds aligned RGB faces that this InputSpec can take."""
    if not isinstance(faces, np.ndarray) or faces.dtype != np.uint8 or faces.ndim != 4 or faces.shape[3] != 3:
        found = f"{faces.dtype} {faces.shape}" if isinstance(faces, np.ndarray) else type(faces).__name__
        raise InputError(f"faces must be a uint8 array of shape (N, height, width, 3) in RGB order, found {found}")
    height, width = faces.shape[1:3]
    if spec.alignment is Alignment.ARCFACE_112 and (height, width) != (_TEMPLATE_SIZE, _TEMPLATE_SIZE):
        raise InputError(
            f"the model expects faces aligned to 112 x 112 (input.alignment: arcface-112), found {height} x {width}; "
            "align the images to that template, or write 'alignment: none' if the model takes them as they are"
        )
    if spec.crop is not None and (spec.crop[2] > height or spec.crop[3] > width):
        raise InputError(
            f"input.crop {list(spec.crop)} (top, left, bottom, right) reaches outside the faces of {height} x {width}; "
            "correct the crop in the model file"
        )


def _resize(faces: Faces, height: int, width: int) -> Faces:
    """Resize by bilinear interpolation; Pillow's also averages when it shrinks, as training pipelines do."""
    if faces.shape[1:3] == (height, width):
        return faces
    from PIL import Image

    resized = np.empty((len(faces), height, width, 3), np.uint8)
    for row, face in enumerate(faces):
        image = Image.fromarray(np.ascontiguousarray(face))
        resized[row] = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))
    return resized
