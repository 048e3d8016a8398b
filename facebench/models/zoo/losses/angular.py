"""Softmax, and the two losses that multiply the angle: L-Softmax and SphereFace."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from facebench.models.zoo.losses._base import ClassWeights, angles, own, with_own


class Softmax(ClassWeights):
    """Cross-entropy of a linear classifier.

    ``L = -log( exp(W_y · x + b_y) / Σ_j exp(W_j · x + b_j) )``

    Source: Taigman, Yang, Ranzato and Wolf, "DeepFace", CVPR 2014, who trained face embeddings this way first. There
    is no hyperparameter.
    """

    def __init__(self, classes: int, dim: int) -> None:
        super().__init__(classes, dim)
        self.bias = nn.Parameter(torch.zeros(classes))

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Return the mean loss of a batch."""
        return functional.cross_entropy(functional.linear(embeddings, self.weight, self.bias), labels)


def psi(theta: Tensor, m: int) -> Tensor:
    """Return the falling continuation of cos(mθ) on [0, π].

    ``ψ(θ) = (-1)^k cos(mθ) - 2k`` for θ in [kπ/m, (k+1)π/m], k = 0 .. m-1 (Liu et al. 2016, eq. 6).
    """
    k = (theta.detach() * m / math.pi).floor().clamp(0, m - 1)
    sign = 1 - 2 * (k % 2)
    return sign * torch.cos(m * theta) - 2 * k


class _AnnealedAngle(ClassWeights):
    """Base of the two: ψ takes over from cos θ as λ falls, since the bare margin does not train from scratch."""

    def __init__(self, classes: int, dim: int, *, m: int, lambda_start: float, lambda_end: float, decay: float) -> None:
        super().__init__(classes, dim)
        self.m, self.lambda_start, self.lambda_end, self.decay = m, lambda_start, lambda_end, decay
        self.steps = 0

    @property
    def annealing(self) -> float:
        """λ of the next batch: ``max(λ_end, λ_start / (1 + decay · steps))``."""
        return max(self.lambda_end, self.lambda_start / (1 + self.decay * self.steps))

    def target(self, cosine: Tensor) -> Tensor:
        """Return ``(λ cos θ + ψ(θ)) / (1 + λ)`` of the own class."""
        lam = self.annealing
        return (lam * cosine + psi(angles(cosine), self.m)) / (1 + lam)

    def step(self) -> None:
        """Count a training batch, which lowers λ."""
        self.steps += 1


class LSoftmax(_AnnealedAngle):
    """Large-margin softmax: the angle to the own class is multiplied by m; norms stay free.

    ``L = -log( exp(|W_y| |x| f(θ_y)) / (exp(|W_y| |x| f(θ_y)) + Σ_{j≠y} exp(|W_j| |x| cos θ_j)) )`` with
    ``f(θ) = (λ cos θ + ψ(θ)) / (1 + λ)``.

    Source: Liu, Wen, Yu and Yang, "Large-margin softmax loss for convolutional neural networks", ICML 2016.
    m: whole number, 1 (softmax without bias) to 4. λ falls from `lambda_start` to `lambda_end` as in the authors'
    code.
    """

    def __init__(
        self,
        classes: int,
        dim: int,
        *,
        m: int = 2,
        lambda_start: float = 1000.0,
        lambda_end: float = 1.0,
        decay: float = 0.12,
    ) -> None:
        super().__init__(classes, dim, m=m, lambda_start=lambda_start, lambda_end=lambda_end, decay=decay)

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Return the mean loss of a batch."""
        cosines = self.cosines(embeddings)
        scale = embeddings.norm(dim=1, keepdim=True) * self.weight.norm(dim=1)
        logits = scale * with_own(cosines, labels, self.target(own(cosines, labels)))
        return functional.cross_entropy(logits, labels)


class SphereFace(_AnnealedAngle):
    """A-Softmax: as L-Softmax, with weight vectors of length 1 and no bias, so that only the angle decides.

    ``L = -log( exp(|x| f(θ_y)) / (exp(|x| f(θ_y)) + Σ_{j≠y} exp(|x| cos θ_j)) )``

    Source: Liu, Wen, Yu, Li, Raj and Song, "SphereFace: deep hypersphere embedding for face recognition", CVPR 2017:
    m = 4, λ falling from 1000 to 5.
    """

    def __init__(
        self,
        classes: int,
        dim: int,
        *,
        m: int = 4,
        lambda_start: float = 1000.0,
        lambda_end: float = 5.0,
        decay: float = 0.12,
    ) -> None:
        super().__init__(classes, dim, m=m, lambda_start=lambda_start, lambda_end=lambda_end, decay=decay)

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Return the mean loss of a batch."""
        cosines = self.cosines(embeddings)
        logits = with_own(cosines, labels, self.target(own(cosines, labels)))
        return functional.cross_entropy(embeddings.norm(dim=1, keepdim=True) * logits, labels)
