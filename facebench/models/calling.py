"""Calls somebody else's model: what it raises is named, what it returns is checked."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.errors import FaceBenchError, ModelError
from facebench.models.protocol import Embeddings, Faces
from facebench.schema import ModelCard

TOLERANCE = 1e-5
"""How much an embedding of length 1 may depend on the batch it is computed in."""


def call_model(model: Any, faces: Faces) -> Embeddings:
    """Run the model on (B, H, W, 3) faces and check the shape of what comes back.

    Raises:
        ModelError: the model raised, or did not return (B, D).
    """
    name = model.card.name
    try:
        found = np.asarray(model.embed(faces), dtype=np.float32)
    except FaceBenchError:
        raise
    except (Exception, SystemExit) as error:  # the model is somebody else's code; its fault is named, not traced
        raise ModelError(
            f"model {name!r} failed on a batch of {len(faces)}: {type(error).__name__}: {error}"
        ) from error
    expected = (len(faces), model.card.embedding_dim)
    if found.shape != expected:
        raise ModelError(f"model {name!r} returned an array of shape {found.shape}; expected {expected}")
    return found


def unusable(vector: NDArray[np.float32], card: ModelCard) -> str | None:
    """Say why a vector cannot be compared, or an answer cannot be judged, or None; an answer may be zero."""
    if np.isnan(vector).any():
        return "the model returned NaN"
    if np.isinf(vector).any():
        return "the model returned infinity"
    return None if vector.any() or card.outputs else "the model returned a zero vector"


def distances(a: Embeddings, b: Embeddings) -> NDArray[np.float32]:
    """Return (N,) largest differences of the values of two sets of embeddings, each scaled to length 1."""
    return np.asarray(np.abs(scaled(a) - scaled(b)).max(axis=1, initial=0.0), np.float32)


def scaled(vectors: Embeddings) -> Embeddings:
    """Return embeddings of length 1; a vector of zeros stays one."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(norms > 0, norms, 1), np.float32)
