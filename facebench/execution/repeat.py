"""Embeds a few images a second time, so that a model that is random or depends on the batch is told."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.data import Dataset, decode_batches
from facebench.errors import ModelError
from facebench.execution.embedding import fit_face
from facebench.execution.options import RunOptions
from facebench.metrics.streams import Stream, generator
from facebench.models.calling import TOLERANCE, call_model, distances
from facebench.schema import Failure, Reembedded

N_IMAGES = 8


def reembed(model: Any, dataset: Dataset, vectors: NDArray[np.float32], options: RunOptions) -> Reembedded | None:
    """Embed eight images again in a batch of their own, drawn with the run's seed; None for stored embeddings.

    Args:
        model: the FaceModel.
        dataset: what `vectors` belong to.
        vectors: (N, D) of the run, NaN rows for failures.
        options: of the run.
    """
    if hasattr(model, "lookup"):
        return None
    usable = np.flatnonzero(np.isfinite(vectors).all(axis=1))
    if not usable.size:
        return None
    order = generator(Stream.REEMBEDDED, options.seed).permutation(usable)[:N_IMAGES]
    read = next(decode_batches(dataset, [order.tolist()], options.workers))
    faces = [(row, fit_face(image, "", model.card.input)) for row, image in zip(order, read, strict=True)]
    kept = [(row, face) for row, face in faces if not isinstance(face, Failure)]
    kept = [(row, face) for row, face in kept if face.shape == kept[0][1].shape]
    if not kept:
        return None
    try:
        again = call_model(model, np.stack([face for _, face in kept]))
    except ModelError:
        return Reembedded(n_images=len(kept), n_differing=len(kept), largest_difference=None)
    moved = distances(vectors[[row for row, _ in kept]], again)
    differing = int((~(moved <= TOLERANCE)).sum())  # NaN is no agreement
    largest = float(np.max(moved))
    return Reembedded(
        n_images=len(kept), n_differing=differing, largest_difference=largest if np.isfinite(largest) else None
    )
