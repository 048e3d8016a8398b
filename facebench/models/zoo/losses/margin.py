"""Losses that add a margin to the own class on the unit sphere: CosFace, ArcFace and what grew out of ArcFace."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from facebench.models.zoo.losses._base import ClassWeights, angles, own, with_own


class CosFace(ClassWeights):
    """AM-Softmax, also called CosFace: a margin is taken off the cosine.

    ``L = -log( exp(s (cos θ_y - m)) / (exp(s (cos θ_y - m)) + Σ_{j≠y} exp(s cos θ_j)) )``

    Source: Wang, Cheng, Liu and Liu, "Additive margin softmax for face verification", 2018 (s = 30, m = 0.35), and
    Wang et al., "CosFace", CVPR 2018 (s = 64, m = 0.35). s should exceed ``(C-1)/C · log((C-1) p / (1-p))`` for the
    probability p a well-learned class should reach (CosFace, section 3.3).
    """

    def __init__(self, classes: int, dim: int, *, scale: float = 30.0, margin: float = 0.35) -> None:
        super().__init__(classes, dim)
        self.scale, self.margin = scale, margin

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Return the mean loss of a batch."""
        cosines = self.cosines(embeddings)
        logits = with_own(cosines, labels, own(cosines, labels) - self.margin)
        return functional.cross_entropy(self.scale * logits, labels)


def add_angle(cosine: Tensor, margin: float) -> Tensor:
    """Return cos(θ + m), and below θ = π - m, where it would rise again, the line ``cos θ - m sin m``.

    The continuation is that of the authors' code (insightface, `easy_margin` off).
    """
    turned = torch.cos(angles(cosine) + margin)
    return torch.where(cosine > math.cos(math.pi - margin), turned, cosine - margin * math.sin(margin))


class ArcFace(ClassWeights):
    """A margin is added to the angle itself.

    ``L = -log( exp(s cos(θ_y + m)) / (exp(s cos(θ_y + m)) + Σ_{j≠y} exp(s cos θ_j)) )``

    Source: Deng, Guo, Xue and Zafeiriou, "ArcFace: additive angular margin loss for deep face recognition", CVPR 2019:
    s = 64, m = 0.5 rad. Small class counts want a smaller s (see `CosFace`).
    """

    def __init__(self, classes: int, dim: int, *, scale: float = 64.0, margin: float = 0.5) -> None:
        super().__init__(classes, dim)
        self.scale, self.margin = scale, margin

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Return the mean loss of a batch."""
        cosines = self.cosines(embeddings)
        logits = with_own(cosines, labels, add_angle(own(cosines, labels), self.margin))
        return functional.cross_entropy(self.scale * logits, labels)


class SubCentreArcFace(ArcFace):
    """ArcFace with K weight vectors for each class, of which the nearest counts.

    Mislabelled images gather at a sub-centre of their own and leave the others clean.

    ``cos θ_j = max_k cos θ_jk``, then as `ArcFace`.

    Source: Deng, Guo, Liu, Gong and Zafeiriou, "Sub-center ArcFace: boosting face recognition by large-scale noisy web
    faces", ECCV 2020: K = 3, s = 64, m = 0.5, and images more than 75° from the dominant sub-centre of their class left
    out once the network has learned. Weights and cosines are K times those of ArcFace.
    """

    def __init__(self, classes: int, dim: int, *, centres: int = 3, scale: float = 64.0, margin: float = 0.5) -> None:
        super().__init__(classes, dim, scale=scale, margin=margin)
        self.centres = centres
        self.weight = nn.Parameter(torch.empty(classes * centres, dim))
        nn.init.normal_(self.weight, std=dim**-0.5)

    def cosines(self, embeddings: Tensor) -> Tensor:
        """Return the cosine to the nearest sub-centre of each class, (N, C)."""
        return self._every(embeddings).amax(dim=2)

    @torch.no_grad()
    def dominant_angles(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Return the angle of each embedding to the sub-centre that is nearest to most of its class, (N,) radians."""
        mine = self._every(embeddings)[torch.arange(len(labels)), labels]
        votes = torch.zeros(self.classes, self.centres)
        votes.index_put_((labels, mine.argmax(dim=1)), torch.ones(len(labels)), accumulate=True)
        return angles(own(mine, votes.argmax(dim=1)[labels]))

    def _every(self, embeddings: Tensor) -> Tensor:
        """Return the cosines to all sub-centres, (N, C, K)."""
        return super().cosines(embeddings).reshape(len(embeddings), self.classes, self.centres)


class PartialFC(ArcFace):
    """ArcFace over the classes of the batch and a random sample of the others.

    Of C classes ``max(⌈rC⌉, classes in the batch)`` take part in a step: all that occur in the batch, filled up with
    others drawn without replacement. Logits, gradients and their memory fall by the factor r.

    Source: An et al., "Partial FC: training 10 million identities on a single machine", ICCVW 2021, and "Killing two
    birds with one stone: efficient and robust training of face recognition CNNs by partial FC", CVPR 2022: r = 0.1 at
    a million classes and more. Sampling adds noise where C is small. Draws come from torch's global generator.
    """

    def __init__(self, classes: int, dim: int, *, rate: float = 0.1, scale: float = 64.0, margin: float = 0.5) -> None:
        super().__init__(classes, dim, scale=scale, margin=margin)
        if not 0 < rate <= 1:
            raise ValueError(f"rate is {rate}; it lies above 0 and at most at 1")
        self.rate = rate

    def sample(self, labels: Tensor) -> Tensor:
        """Return the numbers of the classes that take part, rising."""
        order = torch.rand(self.classes, device=labels.device)
        order[labels] = 2.0  # above every draw: the classes of the batch always take part
        wanted = max(math.ceil(self.rate * self.classes), len(set(labels.tolist())))
        return order.topk(wanted).indices.sort().values

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Return the mean loss of a batch."""
        taking_part = self.sample(labels)
        weight = functional.normalize(self.weight[taking_part])
        cosines = functional.linear(functional.normalize(embeddings), weight)
        local = torch.searchsorted(taking_part, labels)
        logits = with_own(cosines, local, add_angle(own(cosines, local), self.margin))
        return functional.cross_entropy(self.scale * logits, local)
