"""What the losses share: weight vectors of the classes, and cosines of angles to them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

NEAR_ONE = 1 - 1e-6
"""Cosines are kept this close to 1 before arccos, whose slope is infinite there."""


class ClassWeights(nn.Module):
    """Base of the losses that hold one weight vector (or several) for each class: `weight`, (C, D)."""

    def __init__(self, classes: int, dim: int) -> None:
        super().__init__()
        if classes < 2:
            raise ValueError(f"{classes} class: a classification loss needs at least two")
        self.classes = classes
        self.weight = nn.Parameter(torch.empty(classes, dim))
        nn.init.normal_(self.weight, std=dim**-0.5)

    def cosines(self, embeddings: Tensor) -> Tensor:
        """Return cos θ_j of each embedding to each class, (N, C)."""
        return functional.linear(functional.normalize(embeddings), functional.normalize(self.weight))


def own(values: Tensor, labels: Tensor) -> Tensor:
    """Return the entry of each row's own class, (N,)."""
    return values.gather(1, labels[:, None])[:, 0]


def with_own(values: Tensor, labels: Tensor, replaced: Tensor) -> Tensor:
    """Return `values` (N, C) with the entry of each row's own class replaced."""
    return values.scatter(1, labels[:, None], replaced[:, None])


def angles(cosines: Tensor) -> Tensor:
    """Return angles in radians, with a finite gradient everywhere."""
    return torch.acos(cosines.clamp(-NEAR_ONE, NEAR_ONE))
