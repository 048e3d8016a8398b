"""Contact sheets of all conditions on the faces of a dataset, for people to look at."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from facebench.data import Dataset, decode_batches, load_dataset
from facebench.errors import InputError
from facebench.files import write_atomic
from facebench.phantoms.labels import ARCFACE_112
from facebench.phantoms.shipped import shipped_dataset
from facebench.probes.sheet import Named, condition_sheets
from facebench.schema import Failure

FACES = 9
SHIPPED = "phantom-smoke-v1"


def write_condition_sheets(out: Path, source: Path | None, *, seed: int = 0) -> list[Path]:
    """Write ``conditions-<family>.png`` below `out` for each family of conditions, and return the paths.

    The faces are the first of up to nine people in the dataset, by default of the shipped phantom faces. Without
    landmarks in the manifest, faces of 112 x 112 pixels are taken to be aligned to the template.

    Raises:
        InputError: no image can be read, or an image has no landmarks and another size.
        WriteError: the folder cannot be written.
    """
    from PIL import Image

    faces = _faces(load_dataset(source if source is not None else shipped_dataset(SHIPPED)))
    paths = []
    for family, sheet in condition_sheets(faces, seed=seed).items():
        stream = io.BytesIO()
        Image.fromarray(sheet).save(stream, "PNG")
        paths.append(out / f"conditions-{family}.png")
        write_atomic(paths[-1], stream.getvalue())
    return paths


def _faces(dataset: Dataset) -> list[Named]:
    people = dataset.identities if dataset.identities is not None else dataset.image_ids
    rows = sorted({person: row for row, person in reversed(list(enumerate(people)))}.values())[:FACES]
    images = next(decode_batches(dataset, [rows], 1))
    found = []
    for row, image in zip(rows, images, strict=True):
        if isinstance(image, Failure):
            continue
        points = None if dataset.landmarks is None else dataset.landmarks[row]
        if (points is None or np.isnan(points).any()) and image.shape[:2] == (112, 112):
            points = ARCFACE_112
        found.append(Named(dataset.image_ids[row], image, points))
    if not found:
        raise InputError(f"{dataset.root}: not one of the first {len(rows)} images can be read")
    return found
