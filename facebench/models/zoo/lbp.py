"""``phantom-lbp``: the classical texture baseline, histograms of local binary patterns.

Source: Ahonen, Hadid and Pietikäinen, "Face description with local binary patterns", IEEE TPAMI 2006: uniform patterns
of 8 points on a circle of 2 pixels, one histogram for each cell of a grid. The histograms are compared by the
Bhattacharyya coefficient ``Σ √(p q)``, which is the cosine of their square roots. Nothing is trained.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from facebench.models.context import LoadContext
from facebench.models.preprocess import check_faces
from facebench.schema import InputSpec, ModelCard

POINTS, RADIUS, GRID = 8, 2, 7
BINS = POINTS * (POINTS - 1) + 3
"""Uniform patterns, told apart by rotation, and one bin for all others."""
_SIDE = 112


class LocalBinaryPatterns:
    """Histograms of uniform patterns in 7 x 7 cells of the grey face, square roots taken."""

    def __init__(self, card: ModelCard, spec: InputSpec) -> None:
        self.card = card
        self._spec = spec

    def embed(self, faces: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return (N, 2891) float32 embeddings of (N, 112, 112, 3) uint8 RGB faces."""
        check_faces(faces, self._spec)
        found = np.empty((len(faces), self.card.embedding_dim), np.float32)
        for row, face in enumerate(faces):
            found[row] = _describe(face)
        return found


def load(_context: LoadContext) -> LocalBinaryPatterns:
    """Return the model; it has no weights."""
    spec = InputSpec(height=_SIDE, width=_SIDE, mean=0.0, std=1.0)
    card = ModelCard(
        name="phantom-lbp", adapter="builtin", revision="1", licence="Apache-2.0", training_data=(), input=spec,
        embedding_dim=GRID * GRID * BINS, options={"points": POINTS, "radius": RADIUS, "grid": GRID},
    )  # fmt: skip
    return LocalBinaryPatterns(card, spec)


def _describe(face: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the roots of the shares of each pattern in each cell, cell after cell."""
    from skimage.feature import local_binary_pattern

    grey = np.rint(face.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)).astype(np.uint8)
    found = local_binary_pattern(grey, POINTS, RADIUS, method="nri_uniform")  # type: ignore[no-untyped-call]
    patterns = np.asarray(found, np.int64)
    cell = np.arange(_SIDE) * GRID // _SIDE
    index = (cell[:, None] * GRID + cell[None, :]) * BINS + patterns
    counts = np.bincount(index.ravel(), minlength=GRID * GRID * BINS)
    return np.sqrt(counts / (_SIDE // GRID) ** 2).astype(np.float32)
