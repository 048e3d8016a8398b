"""Losses on similarities rather than on one softmax: triplet, Circle, SphereFace2 and SFace."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from facebench.models.zoo.losses._base import ClassWeights, angles, own


class Triplet(nn.Module):
    """FaceNet's triplet loss with semi-hard negatives from the batch.

    ``L = mean over (a, p) of max(0, d(a,p) - d(a,n) + α)``, d the squared Euclidean distance of unit embeddings.

    For each pair of an anchor and another image of its identity, n is the nearest negative that is farther than the
    positive; where the batch holds none, the farthest negative.

    Source: Schroff, Kalenichenko and Philbin, "FaceNet: a unified embedding for face recognition and clustering", CVPR
    2015: α = 0.2. A batch must hold two images of an identity and two identities; without such a pair the loss is 0.
    """

    def __init__(self, *, margin: float = 0.2) -> None:
        super().__init__()
        self.margin = margin

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Return the mean loss over the pairs of a batch."""
        unit = functional.normalize(embeddings)
        distance = (2 - 2 * unit @ unit.T).clamp_min(0)
        same = labels[:, None] == labels[None, :]
        anchor, positive = torch.nonzero(same.triu(1) | same.tril(-1), as_tuple=True)
        if not len(anchor) or bool(same.all()):
            return embeddings.sum() * 0
        ahead = distance[anchor, positive]
        candidates, negative = distance[anchor], ~same[anchor]
        harder = candidates.masked_fill(~(negative & (candidates > ahead[:, None])), torch.inf).amin(dim=1)
        farthest = candidates.masked_fill(~negative, -torch.inf).amax(dim=1)
        chosen = torch.where(torch.isinf(harder), farthest, harder)
        return (ahead - chosen + self.margin).clamp_min(0).mean()


class Circle(ClassWeights):
    """Circle loss with class labels: similarities are weighted by how far they are from their optimum.

    ``L = log(1 + Σ_{j≠y} exp(γ α_j (s_j - m)) · exp(-γ α_y (s_y - (1 - m))))`` with s = cos θ,
    ``α_y = max(0, 1 + m - s_y)``, ``α_j = max(0, s_j + m)``; no gradient flows through α.

    Source: Sun et al., "Circle loss: a unified perspective of pair similarity optimization", CVPR 2020, eq. 6 and 8:
    γ = 256, m = 0.25 for face recognition with class labels.
    """

    def __init__(self, classes: int, dim: int, *, gamma: float = 256.0, margin: float = 0.25) -> None:
        super().__init__(classes, dim)
        self.gamma, self.margin = gamma, margin

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Return the mean loss of a batch."""
        s, m = self.cosines(embeddings), self.margin
        others = self.gamma * (s.detach() + m).clamp_min(0) * (s - m)
        s_y = own(s, labels)
        mine = self.gamma * (1 + m - s_y.detach()).clamp_min(0) * (s_y - (1 - m))
        total = others.scatter(1, labels[:, None], -torch.inf).logsumexp(dim=1)
        return functional.softplus(total - mine).mean()


class SphereFace2(ClassWeights):
    """One binary classification per class instead of one softmax over all of them.

    ``L = λ/r · log(1 + exp(-r (g(cos θ_y) - m) - b)) + (1-λ)/r · Σ_{j≠y} log(1 + exp(r (g(cos θ_j) + m) + b))`` with
    ``g(z) = 2 ((z + 1) / 2)^t - 1``.

    Source: Wen, Liu, Weller, Raj and Singh, "SphereFace2: binary classification is all you need for deep face
    recognition", ICLR 2022: λ = 0.7, r = 30 to 40, m = 0.4, t = 3. The bias b is learned; it starts where the
    gradients of the positive and of all negatives cancel for orthogonal vectors.
    """

    def __init__(
        self, classes: int, dim: int, *, lam: float = 0.7, r: float = 40.0, margin: float = 0.4, t: float = 3.0
    ) -> None:
        super().__init__(classes, dim)
        self.lam, self.r, self.margin, self.t = lam, r, margin, t
        self.bias = nn.Parameter(torch.tensor(self._balanced_bias()))

    def _balanced_bias(self) -> float:
        """Solve ``λ σ(-(p + b)) = (1-λ)(C-1) σ(q + b)`` for b, with p and q the logits at cos θ = 0."""
        g = 2 * math.pow(0.5, self.t) - 1
        p, q = self.r * (g - self.margin), self.r * (g + self.margin)
        z = self.lam / ((1 - self.lam) * (self.classes - 1))
        root = math.sqrt((1 - z) ** 2 + 4 * z * math.exp(p - q))
        # the positive root of the quadratic in exp(b), written so that nothing cancels for either sign of 1 - z
        if z < 1:
            return math.log(2 * z) - q - math.log(1 - z + root)
        return math.log(root + z - 1) - math.log(2) - p

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Return the mean loss of a batch."""
        g = 2 * ((self.cosines(embeddings).clamp(-1, 1) + 1) / 2) ** self.t - 1
        positive = functional.softplus(-self.r * (own(g, labels) - self.margin) - self.bias)
        negative = functional.softplus(self.r * (g + self.margin) + self.bias)
        negative = negative.scatter(1, labels[:, None], 0.0).sum(dim=1)
        return ((self.lam * positive + (1 - self.lam) * negative) / self.r).mean()


class SFace(ClassWeights):
    """Sigmoid-constrained hypersphere loss: pull and push fade out near their target angles.

    ``L = -[r_intra(θ_y)] cos θ_y + Σ_{j≠y} [r_inter(θ_j)] cos θ_j`` where [·] passes no gradient and
    ``r_intra(θ) = s / (1 + exp(-k (θ - a)))``, ``r_inter(θ) = s / (1 + exp(k (θ - b)))``.

    Its value may rise while it learns: only its gradient has a meaning.

    Source: Zhong, Deng, Hu, Zhao, Li and Wen, "SFace: sigmoid-constrained hypersphere loss for robust face
    recognition", IEEE Transactions on Image Processing 2021: s = 64, k = 80, a = 0.8 to 0.9 rad, b = 1.2 to 1.3 rad.
    """

    def __init__(
        self, classes: int, dim: int, *, scale: float = 64.0, k: float = 80.0, a: float = 0.8, b: float = 1.23
    ) -> None:
        super().__init__(classes, dim)
        self.scale, self.k, self.a, self.b = scale, k, a, b

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Return the mean loss of a batch."""
        cosines = self.cosines(embeddings)
        theta = angles(cosines.detach())
        pull = self.scale * torch.sigmoid(self.k * (own(theta, labels) - self.a))
        push = self.scale * torch.sigmoid(self.k * (self.b - theta))
        others = (push * cosines).scatter(1, labels[:, None], 0.0).sum(dim=1)
        return (others - pull * own(cosines, labels)).mean()
