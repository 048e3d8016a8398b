"""Reads the faces a batch needs, exactly as the model's `embed` is given them, and draws one for the report."""

from __future__ import annotations

import base64
import io

import numpy as np
from numpy.typing import NDArray

from facebench.data import decode_batches
from facebench.errors import InputError
from facebench.execution.embedding import fit_face
from facebench.schema import Failure
from facebench.schema.attack_report import Picture
from facebench.sections.contract import RunContext


class FaceReader:
    """Decodes faces of a run by image index."""

    def __init__(self, context: RunContext) -> None:
        self._context = context

    def read(self, images: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return (N, H, W, 3) faces.

        Raises:
            InputError: an image cannot be read any more, or faces differ in size.
        """
        dataset, options = self._context.dataset, self._context.options
        spec = self._context.model.card.input
        unique, inverse = np.unique(images, return_inverse=True)
        batch = next(decode_batches(dataset, [unique.tolist()], options.workers))
        faces = [fit_face(face, dataset.image_ids[i], spec) for face, i in zip(batch, unique, strict=True)]
        usable = [face for face in faces if not isinstance(face, Failure)]
        if len(usable) < len(faces) or len({face.shape for face in usable}) > 1:
            failed = next((face.reason for face in faces if isinstance(face, Failure)), "faces differ in size")
            raise InputError(f"attacked faces cannot be used together: {failed}")
        return np.stack(usable)[inverse]


def draw_picture(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> Picture:
    """Return a face before and after an attack, and the change with its contrast stretched."""
    change = after.astype(np.float64) - before
    stretched = 128 + change * (127 / max(float(np.abs(change).max()), 1.0))
    return Picture(before=_jpeg(before), after=_jpeg(after), change=_jpeg(stretched.round().astype(np.uint8)))


def _jpeg(face: NDArray[np.uint8]) -> str:
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(face).save(stream, "JPEG", quality=80)
    return base64.b64encode(stream.getvalue()).decode()
