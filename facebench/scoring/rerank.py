"""Re-ranking: the best entries of a search list are compared again, patch by patch.

DeepFace-EMD (Phan and Nguyen, CVPR 2022) takes the features of the last convolution as patches of a face and asks how
far those of one face must be moved to become those of the other (the earth mover's distance). It helps where a part of
the probe is covered: its patches can be matched elsewhere or get little weight.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from facebench.registry import Registry

Floats = NDArray[np.float32]


class Reranker(Protocol):
    """A comparator of patches; `method` says in words how it works, and goes into the result."""

    method: str

    def similarity(self, query: Floats, gallery: Floats) -> NDArray[np.float64]:
        """Return (K,) similarities of a face (P, D) to K faces (K, P, D); 1 is alike, higher is more alike."""
        ...


rerankers: Registry[type[Any]] = Registry(
    "re-ranking comparator", builtin={"deepface-emd": "facebench.scoring.rerank:DeepFaceEmd"},
    group="facebench.rerankers", page="robustness.md",
    contract="facebench.scoring.contract:check_reranker_contract",
)  # fmt: skip


def rerank(embedding: NDArray[np.floating[Any]], patches: NDArray[np.floating[Any]], alpha: float) -> Floats:
    """Return ``alpha patches + (1 - alpha) embedding``, both similarities of the same entries."""
    return (alpha * np.asarray(patches, np.float64) + (1 - alpha) * np.asarray(embedding, np.float64)).astype(
        np.float32
    )


class DeepFaceEmd:
    """One minus the earth mover's distance of patches, with cosine distance between patches as the cost.

    Weights are by average-pooling correlation: a patch weighs ``max(0, <patch, mean patch of the other face>)``, so
    that what has no counterpart in the other face counts little. The transport is entropic (Sinkhorn's iterations) with
    regularisation `epsilon`, and its cost is that of the plan without the entropy.
    """

    method = (
        "earth mover's distance of patches by Sinkhorn iterations (regularisation 0.05, 100 rounds), "
        "weights by average-pooling correlation"
    )

    def __init__(self, epsilon: float = 0.05, rounds: int = 100) -> None:
        self.epsilon, self.rounds = epsilon, rounds

    def similarity(self, query: Floats, gallery: Floats) -> NDArray[np.float64]:
        """Return (K,) similarities; see `Reranker.similarity`."""
        a, b = query.astype(np.float64), gallery.astype(np.float64)
        weight_a = _shares(np.einsum("pd,kd->kp", a, b.mean(axis=1)))
        weight_b = _shares(np.einsum("kpd,d->kp", b, a.mean(axis=0)))
        cost = 1 - np.einsum("pd,kqd->kpq", _unit(a), _unit(b))
        return 1 - transport_cost(weight_a, weight_b, cost, self.epsilon, self.rounds)


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
    return found


def _shares(raw: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return weights above zero that add up to one per row."""
    kept = np.maximum(raw, 0)
    kept = np.where(kept.sum(axis=1, keepdims=True) > 0, kept, 1.0)
    kept = kept / kept.sum(axis=1, keepdims=True) + 1e-6
    found: NDArray[np.float64] = kept / kept.sum(axis=1, keepdims=True)
    return found


def transport_cost(
    a: NDArray[np.float64], b: NDArray[np.float64], cost: NDArray[np.float64], epsilon: float, rounds: int
) -> NDArray[np.float64]:
    """Return (K,) costs of the entropic transport plans between weights (K, P) and (K, Q) at costs (K, P, Q).

    Source: Cuturi, "Sinkhorn distances", 2013. As epsilon falls, the cost falls towards that of the exact plan. Costs
    lie in [0, 2], so that the kernel ``exp(-cost / epsilon)`` stays above 1e-17 for epsilon of .05 and more.
    """
    kernel = np.exp(-cost / epsilon)
    back = np.ascontiguousarray(kernel.transpose(0, 2, 1))
    v = np.ones_like(b)[..., None]
    for _ in range(rounds):
        u = a[..., None] / (kernel @ v)
        v = b[..., None] / (back @ u)
    plan = u * kernel * v.transpose(0, 2, 1)
    found: NDArray[np.float64] = (plan * cost).sum(axis=(1, 2))
    return found
