"""The contract every adapter must keep, as one function plug-in authors can call from their own tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from facebench.errors import InputError
from facebench.metrics.streams import FIXED_SEED
from facebench.models.calling import TOLERANCE, distances
from facebench.models.context import LoadContext
from facebench.models.protocol import FaceModel, Faces, PrecomputedModel
from facebench.schema import ModelCard


def check_adapter_contract(model: Any, faces: Faces) -> None:
    """Check one model on some aligned faces.

    Args:
        model: the adapter, loaded.
        faces: (N, H, W, 3) uint8 RGB, at least eight, not all alike.

    Raises:
        AssertionError: says which rule is broken, and by how much.
    """
    assert isinstance(model, FaceModel), f"{type(model).__name__} lacks `card` or `embed`"
    assert isinstance(model.card, ModelCard), "`card` must be a ModelCard"
    assert len(faces) >= 8, "give at least eight faces"
    before = faces.copy()
    whole = model.embed(faces)
    assert np.array_equal(before, faces), "`embed` changed the faces it was given"
    assert isinstance(whole, np.ndarray), f"embeddings must be an array, found {type(whole).__name__}"
    assert whole.dtype == np.float32, f"embeddings must be float32, found {whole.dtype}"
    wanted = (len(faces), model.card.embedding_dim)
    assert whole.shape == wanted, f"embeddings have shape {whole.shape}; card and input say {wanted}"
    assert np.isfinite(whole).all(), "embeddings hold NaN or infinity"
    assert np.ptp(whole, axis=0).any(), "all faces give the same embedding"
    assert np.array_equal(whole, model.embed(faces)), "two calls on the same faces differ"
    empty = model.embed(faces[:0])
    assert empty.shape == (0, wanted[1]), f"no faces gave shape {empty.shape}; expected (0, {wanted[1]})"
    for size in (1, 7, 32):
        parts = [model.embed(faces[start : start + size]) for start in range(0, len(faces), size)]
        worst = float(distances(whole, np.concatenate(parts)).max())
        assert worst <= TOLERANCE, f"batches of {size} change embeddings by {worst:.1e} (at most {TOLERANCE:g})"
    order = np.arange(len(faces))[::-1]
    worst = float(distances(whole[order], model.embed(faces[order])).max())
    assert worst <= TOLERANCE, f"reversing the faces changes embeddings by {worst:.1e}: rows do not follow their faces"


def check_factory_contract(factory: Any, name: str) -> None:
    """Check a registered factory; one of a model that needs no model file is loaded, and its model checked.

    Raises:
        AssertionError: says which rule is broken.
    """
    assert callable(factory), f"{name} is no function of a LoadContext"
    try:
        model = factory(LoadContext(None, Path.cwd(), name=name))
    except InputError:  # an adapter, which needs a model file; `check_adapter_contract` takes the loaded model
        return
    told = f"{name} returned {type(model).__name__}, which lacks `card` and `embed` (or `lookup`)"
    assert isinstance(model, FaceModel | PrecomputedModel), told
    if isinstance(model, FaceModel):
        rng = np.random.default_rng(FIXED_SEED)
        check_adapter_contract(model, rng.integers(0, 256, (8, 112, 112, 3)).astype(np.uint8))
