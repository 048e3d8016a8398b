"""What the rest of FaceBench asks of a model; both are structural types, so an adapter inherits from nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from facebench.schema import ModelCard

Faces = NDArray[np.uint8]
Embeddings = NDArray[np.float32]


@runtime_checkable
class FaceModel(Protocol):
    """A model that turns aligned faces into embeddings.

    It may also have `module()`: a torch network from (N, 3, H, W) float RGB in [0, 1] of the aligned faces to (N, D),
    which opens it to white-box attacks and gradient-based explanations; and `embed_patches(faces)`: (N, P, D) features
    of P patches of each face, by which searches can be re-ranked.
    """

    @property
    def card(self) -> ModelCard:
        """What a result says of this model."""
        ...

    def embed(self, faces: Faces) -> Embeddings:
        """Return (N, D) float32 embeddings of (N, H, W, 3) uint8 RGB aligned faces; row i belongs to face i."""
        ...


@runtime_checkable
class PrecomputedModel(Protocol):
    """A model of which only the embeddings are at hand, by image id."""

    @property
    def card(self) -> ModelCard:
        """What a result says of this model."""
        ...

    def lookup(self, image_ids: Sequence[str]) -> Embeddings:
        """Return (N, D) float32 embeddings; a row of NaN is an image its owner could not embed.

        Raises:
            InputError: an id is not in the file.
        """
        ...
