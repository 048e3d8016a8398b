"""Checks of a model with its data: are the faces aligned, and do scores tell people apart?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.data import decode_batches, load_dataset
from facebench.errors import InputError
from facebench.execution.embedding import embed_faces, fit_face
from facebench.measure import overall
from facebench.measure.groups import Column
from facebench.measure.sample import Images, Sample, score_embeddings
from facebench.measure.sanity import score_doubts
from facebench.measure.sanity.alignment import MIN_PICTURES
from facebench.measure.sanity.doubts import pixel_doubt
from facebench.metrics.streams import FIXED_SEED
from facebench.models.preflight import Finding
from facebench.phantoms.shipped import shipped_dataset
from facebench.schema import Alignment, Failure, InputSpec

N_FACES = 96
N_ANSWERED = 240


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


def sample_pictures(path: Path | None, spec: InputSpec | None) -> tuple[NDArray[np.uint8], dict[str, Column]]:
    """Return (N, H, W, 3) faces as a model that answers is fed, and the columns that describe them.

    They lie evenly over a dataset, since its order often follows its classes.

    Raises:
        InputError: fewer than two readable images.
    """
    dataset = load_dataset(path or shipped_dataset("phantom-smoke-v1"))
    dataset = dataset.take(np.unique(np.linspace(0, len(dataset) - 1, min(N_ANSWERED, len(dataset))).astype(int)))
    images = next(decode_batches(dataset, [list(range(len(dataset)))], workers=2))
    fitted = [fit_face(image, name, spec) for image, name in zip(images, dataset.image_ids, strict=True)]
    usable = [(row, face) for row, face in enumerate(fitted) if not isinstance(face, Failure)]
    usable = [(row, face) for row, face in usable if face.shape == usable[0][1].shape]
    if len(usable) < 2:
        raise InputError(f"{path}: fewer than two readable images of one size")
    columns: dict[str, Column] = {
        name: tuple(cells[row] for row, _ in usable) for name, cells in dataset.attributes.items()
    }
    return np.stack([face for _, face in usable]), columns


def check_pipeline(
    model: Any, faces: NDArray[np.uint8], identities: Sequence[str], *, confidence: float = 0.95
) -> list[Finding]:
    """Check whether faces look aligned as the model asks, and whether its scores tell people apart.

    Args:
        model: a FaceModel.
        faces: (N, H, W, 3) uint8 RGB.
        identities: N names; some must repeat.
        confidence: of the interval of the AUC.
    """
    findings = []
    spec = model.card.input
    if spec is not None and spec.alignment is Alignment.ARCFACE_112 and len(faces) >= MIN_PICTURES:
        doubt = pixel_doubt(list(faces))
        seen = doubt.seen if doubt else f"{len(faces)} faces lie where the ArcFace template has them"
        findings.append(Finding("faces are aligned", doubt is None, seen, doubt.cause if doubt else ""))
    images = Images(tuple(map(str, range(len(faces)))), tuple(identities), {})
    scores = score_embeddings(embed_faces(model, faces, 32), images, None, model.card.comparator.value).scores
    if not scores.genuine.size or not scores.impostor.size:
        return findings
    sample = Sample(images, scores, [], replicates=200, seed=FIXED_SEED)
    estimates = overall.separation_estimates(sample, confidence)
    doubts = score_doubts(estimates, overall.curves(sample))
    auc = next(e for e in estimates if e.metric == "auc")
    seen = "; ".join(doubt.seen for doubt in doubts) or f"AUC {auc.value:.3f} on {len(faces)} faces"
    findings.append(Finding("scores tell people apart", not doubts, seen, "; ".join(doubt.cause for doubt in doubts)))
    return findings
