"""The rendered faces the reference models learn from: rendered once, kept in the cache, resumed when interrupted."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from facebench.errors import InputError
from facebench.files import cache_dir, canonical_json, sha256_bytes, write_atomic
from facebench.models.zoo.recipes import SCARCE, People
from facebench.phantoms.population import FULL_CROSS, Request

Progress = Callable[[str, int, int], None]  # stage, done, total

POOL = (
    Request(identities=360, images_per_identity=8, seed=0, first_identity=100_008, full_cross=True),
    Request(identities=360, images_per_identity=4, seed=0, first_identity=100_008, full_cross=True, tier="hard"),
)
"""The same identities in both; shipped datasets number theirs from 0."""

_FORMAT = 1


@dataclass(frozen=True, eq=False)
class TrainingFaces:
    """Faces at half size, (N, 56, 56, 3) uint8 RGB, with identity numbers 0 .. C-1, sex and tone, all (N,)."""

    images: NDArray[np.uint8]
    classes: NDArray[np.int64]
    sex: NDArray[np.str_]
    tone: NDArray[np.str_]

    def select(self, rows: NDArray[np.bool_]) -> TrainingFaces:
        """Return some of the faces, with identities numbered from 0 again."""
        classes = np.unique(self.classes[rows], return_inverse=True)[1].astype(np.int64)
        return TrainingFaces(self.images[rows], classes, self.sex[rows], self.tone[rows])


def training_faces(progress: Progress, pool: tuple[Request, ...] = POOL, workers: int = 2) -> TrainingFaces:
    """Return the faces of a pool, from the cache or rendered now; requests of one pool share their identities."""
    step = len(FULL_CROSS)
    parts: list[tuple[Request, int]] = [
        (replace(request, identities=step, first_identity=request.first_identity + start), start)
        for request in pool
        for start in range(0, request.identities, step)
    ]
    total = sum(request.images for request in pool)
    found, done = [], 0
    for request, start in parts:
        faces = _part(request, workers)
        found.append(replace(faces, classes=faces.classes + start))
        done += request.images
        progress("render", done, total)
    return TrainingFaces(
        np.concatenate([faces.images for faces in found]),
        np.concatenate([faces.classes for faces in found]),
        np.concatenate([faces.sex for faces in found]),
        np.concatenate([faces.tone for faces in found]),
    )


def choose(faces: TrainingFaces, people: People) -> TrainingFaces:
    """Return the faces of some of the identities; a scarce group keeps the first of its identities, one in `SCARCE`."""
    if people is People.ALL:
        return faces
    column, value = (faces.tone, "dark") if people is People.FEW_DARK else (faces.sex, "female")
    group = column == value
    common = min(len(np.unique(faces.classes[column == other])) for other in np.unique(column[~group]))
    kept = np.unique(faces.classes[group])[: common // SCARCE]
    if not len(kept):
        raise InputError(f"too few training identities to make a group {SCARCE} times rarer than the others")
    return faces.select(~group | np.isin(faces.classes, kept))


def _part(request: Request, workers: int) -> TrainingFaces:
    """Return one cycle of sex x tone x age band, from its file or rendered and then written."""
    from facebench.phantoms.renderer import RENDERER_VERSION

    key = sha256_bytes(canonical_json([_FORMAT, RENDERER_VERSION, asdict(request)]).encode())
    path = cache_dir() / "zoo" / f"{key}.npz"
    try:
        return _read(path)
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):  # absent or damaged: render
        faces = _render(request, workers)
    write_atomic(
        path,
        lambda stream: np.savez(stream, images=faces.images, classes=faces.classes, sex=faces.sex, tone=faces.tone),
    )
    return faces


def _read(path: Path) -> TrainingFaces:
    with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as stored:
        return TrainingFaces(stored["images"], stored["classes"], stored["sex"], stored["tone"])


def _render(request: Request, workers: int) -> TrainingFaces:
    from facebench.phantoms.dataset import render_arrays

    made = render_arrays(request, workers=workers)
    side = request.size // 2
    halves = made.images.reshape(-1, side, 2, side, 2, 3).mean(axis=(2, 4), dtype=np.float32)
    classes = np.unique(made.identities, return_inverse=True)[1].astype(np.int64)
    return TrainingFaces(
        np.rint(halves).astype(np.uint8),
        classes,
        np.array([subject.sex.value for subject in made.subjects]),
        np.array([subject.tone.value for subject in made.subjects]),
    )
