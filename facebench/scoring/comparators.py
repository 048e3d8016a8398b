"""Comparators beyond cosine, dot product and distance: by registry, and open to plug-ins by entry point.

A plug-in adds an object with the two methods of `PairComparator` under the group ``facebench.comparators``; the name of
the entry point is what a model file writes as ``comparator``.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from facebench.errors import PluginError
from facebench.registry import Registry, first_sentence

Floats = NDArray[np.floating[Any]]

PLAIN = ("cosine", "dot", "euclidean")
"""What `facebench.scoring` computes itself."""


class PairComparator(Protocol):
    """Scores pairs of embeddings; higher is more alike. Rows of NaN may give anything: they are set to -inf after."""

    def matrix(self, left: Floats, right: Floats) -> Floats:
        """Return (P, G) scores of every row of (P, D) float64 with every row of (G, D)."""
        ...

    def rowwise(self, left: Floats, right: Floats) -> Floats:
        """Return (N,) scores of row i of (N, D) float64 with row i of the other."""
        ...


class QMagFace:
    """Cosine lowered where the poorer of the two images is poor: the quality is the length of the embedding.

    ``s + min(0, beta s - alpha) min(|a|, |b|)``, for models trained so that length means quality (MagFace). The two
    constants are those published for MagFace with an iResNet-100. Source: Terhoerst et al., "QMagFace: simple and
    accurate quality-aware face recognition", 2023.
    """

    def __init__(self, alpha: float = 0.077428, beta: float = 0.125926) -> None:
        self.alpha = alpha
        self.beta = beta

    def matrix(self, left: Floats, right: Floats) -> Floats:
        """Return (P, G) scores."""
        a, b = np.linalg.norm(left, axis=1), np.linalg.norm(right, axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            cosine = (left / a[:, None]) @ (right / b[:, None]).T
        return self._combined(cosine, np.minimum(a[:, None], b[None, :]))

    def rowwise(self, left: Floats, right: Floats) -> Floats:
        """Return (N,) scores."""
        a, b = np.linalg.norm(left, axis=1), np.linalg.norm(right, axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            cosine = np.einsum("nd,nd->n", left, right) / (a * b)
        return self._combined(cosine, np.minimum(a, b))

    def _combined(self, cosine: Floats, quality: Floats) -> Floats:
        combined: Floats = cosine + np.minimum(0.0, self.beta * cosine - self.alpha) * quality
        return combined


def _about(name: str, found: Any) -> str:
    return _PLAIN_WORDS.get(name) or first_sentence(found)


_PLAIN_WORDS = {
    "cosine": "The cosine of the angle between two embeddings.",
    "dot": "The dot product of two embeddings.",
    "euclidean": "The negative Euclidean distance of two embeddings.",
}

comparators: Registry[Any] = Registry(
    "comparator",
    builtin={
        **dict.fromkeys(PLAIN, "facebench.scoring.comparators:PLAIN"),
        "qmagface": "facebench.scoring.comparators:QMagFace",
    },
    group="facebench.comparators",
    page="models.md",
    contract="facebench.scoring.contract:check_comparator_contract",
    about=_about,
)
"""Names to comparators: an object, or a class or function without arguments that makes one."""


def pair_comparator(name: str) -> PairComparator:
    """Return a comparator that is not one of `PLAIN`; what it raises is told as the fault of its plug-in.

    Raises:
        UnknownNameError: no such comparator; the message suggests the closest.
    """
    found = comparators.get(name, where="the model file, key 'comparator'")
    with comparators.blame(name, "cannot be made"):
        made: PairComparator = found() if callable(found) else found
    return _Guarded(name, made)


class _Guarded:
    """A comparator whose errors name it, and whose scores are checked."""

    def __init__(self, name: str, comparator: PairComparator) -> None:
        self.name, self.comparator = name, comparator

    def matrix(self, left: Floats, right: Floats) -> Floats:
        """Return (P, G) scores."""
        with comparators.blame(self.name):
            scores = np.asarray(self.comparator.matrix(left, right))
        return self._checked(scores, (len(left), len(right)))

    def rowwise(self, left: Floats, right: Floats) -> Floats:
        """Return (N,) scores."""
        with comparators.blame(self.name):
            scores = np.asarray(self.comparator.rowwise(left, right))
        return self._checked(scores, (len(left),))

    def _checked(self, scores: Floats, shape: tuple[int, ...]) -> Floats:
        if scores.shape != shape or scores.dtype.kind != "f":
            raise PluginError(
                f"comparator {self.name!r} returned {scores.shape} {scores.dtype}; expected {shape} floats"
            )
        return scores
