"""Faces with known identities for the checks of a model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facebench.data import decode_batches, load_dataset
from facebench.errors import InputError
from facebench.phantoms.shipped import shipped_dataset
from facebench.schema import Failure

N_FACES = 96


def sample_faces(path: Path | None) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """Return (N, H, W, 3) faces and their identities: the first ones of a dataset, or of the shipped phantom faces.

    Raises:
        InputError: no identities, or no two readable images of one size.
    """
    dataset = load_dataset(path or shipped_dataset("phantom-smoke-v1")).subset(N_FACES)
    if dataset.identities is None:
        raise InputError(f"{path}: checking a model needs identities; give a folder with a manifest")
    images = next(decode_batches(dataset, [list(range(len(dataset.images)))], workers=2))
    found = [
        (image, name) for image, name in zip(images, dataset.identities, strict=True) if not isinstance(image, Failure)
    ]
    faces = [image for image, _ in found if image.shape == found[0][0].shape]
    if len(faces) < 2:
        raise InputError(f"{path}: fewer than two readable images of one size")
    return np.stack(faces), tuple(name for image, name in found if image.shape == found[0][0].shape)
