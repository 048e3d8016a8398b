"""``phantom-eigenfaces``: the classical baseline, principal components of grey faces.

Source: Turk and Pentland, "Eigenfaces for recognition", 1991. Fitted on rendered identities that no shipped dataset
holds; a weak model on purpose, to give the instrument something to find.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from facebench.errors import ModelError
from facebench.files import sha256_file, write_atomic
from facebench.models.context import LoadContext
from facebench.schema import InputSpec, ModelCard

if TYPE_CHECKING:
    from torch import Tensor, nn

WEIGHTS = Path(__file__).resolve().parent / "weights" / "phantom-eigenfaces.safetensors"
COMPONENTS = 64
SKIPPED = 3
"""The first components mostly hold the direction of light."""
SIDE = 56
TRAINING: dict[str, Any] = {"identities": 120, "images_per_identity": 5, "seed": 0, "first_identity": 100_000}
"""Rendered training identities; shipped datasets number theirs from 0."""


class Eigenfaces:
    """Grey 56 x 56 faces, centred, projected on whitened principal components."""

    def __init__(self, mean: NDArray[np.float32], components: NDArray[np.float32], card: ModelCard) -> None:
        self.card = card
        self._mean = mean
        self._components = components

    def embed(self, faces: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return (N, 64) float32 embeddings of (N, 112, 112, 3) uint8 RGB faces."""
        centred = _grey(faces) - self._mean
        # einsum adds in one fixed order, so that a row does not depend on the rows around it
        found: NDArray[np.float32] = np.einsum("np,kp->nk", centred, self._components).astype(np.float32)
        return found

    def module(self) -> nn.Module:
        """Return the model as a network from (N, 3, 112, 112) floats in [0, 1] to (N, 64)."""
        return _network(self._mean, self._components)


def _network(mean: NDArray[np.float32], components: NDArray[np.float32]) -> nn.Module:
    import torch

    class Projection(torch.nn.Module):
        """Luma, mean of 2 x 2 pixels, projection."""

        def __init__(self) -> None:
            super().__init__()
            self.luma = torch.tensor([0.299, 0.587, 0.114]).reshape(3, 1, 1)
            self.mean, self.components = torch.from_numpy(mean), torch.from_numpy(components)

        def forward(self, faces: Tensor) -> Tensor:
            luma = (faces * self.luma.to(faces)).sum(1, keepdim=True)
            small = torch.nn.functional.avg_pool2d(luma, 2).flatten(1)
            found: Tensor = (small - self.mean.to(faces)) @ self.components.to(faces).T
            return found

    return Projection().eval()


def load(_context: LoadContext) -> Eigenfaces:
    """Load the shipped model."""
    from safetensors.numpy import load_file

    if not WEIGHTS.is_file():
        raise ModelError(f"the weights of phantom-eigenfaces are missing ({WEIGHTS}); reinstall facebench")
    tensors = load_file(WEIGHTS)
    card = ModelCard(
        name="phantom-eigenfaces",
        adapter="builtin",
        revision="1",
        weights_sha256=sha256_file(WEIGHTS),
        licence="Apache-2.0",
        training_data=(f"{TRAINING['identities']} rendered identities from number {TRAINING['first_identity']}",),
        input=InputSpec(height=SIDE, width=SIDE, mean=0.0, std=255.0),
        embedding_dim=COMPONENTS,
    )
    return Eigenfaces(tensors["mean"], tensors["components"].astype(np.float32), card)


def _grey(faces: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return (N, 3136) grey values in [0, 1]: Rec. 601 luma, mean of 2 x 2 pixels."""
    luma = faces.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32) / np.float32(255)
    small = luma.reshape(len(faces), SIDE, 2, SIDE, 2).mean(axis=(2, 4))
    flat: NDArray[np.float32] = small.reshape(len(faces), SIDE * SIDE)
    return flat


def fit(faces: NDArray[np.uint8]) -> dict[str, NDArray[np.generic]]:
    """Return the tensors of the model: the mean face, and whitened components as float16."""
    from sklearn.decomposition import PCA

    values = _grey(faces)
    found = PCA(COMPONENTS + SKIPPED, svd_solver="full").fit(values)
    kept = slice(SKIPPED, SKIPPED + COMPONENTS)
    whitened = found.components_[kept] / np.sqrt(found.explained_variance_[kept])[:, None]
    return {"mean": found.mean_.astype(np.float32), "components": whitened.astype(np.float16)}


def train(out: Path, progress: Callable[[int, int], None] | None = None) -> Path:
    """Render the training identities, fit the model and write its weights."""
    from safetensors.numpy import save

    from facebench.phantoms.dataset import iter_faces
    from facebench.phantoms.population import Request

    request = Request(**TRAINING)
    images = []
    for face in iter_faces(request):
        images.append(face.rendered.image)
        if progress:
            progress(len(images), request.images)
    write_atomic(out, save(fit(np.stack(images))))
    return out
