"""Draws an attacked face for the report."""

from __future__ import annotations

import base64
import io

import numpy as np
from numpy.typing import NDArray

from facebench.schema.attack_report import Picture


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
