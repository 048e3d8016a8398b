"""A no-box attack: a small auto-encoder is trained on at most 20 images, and its features are attacked instead.

After Li, Guo and Chen, "Practical No-box Adversarial Attacks against DNNs", NeurIPS 2020: every training image is to be
decoded as the prototype of its class, so that the code holds what tells classes apart. Here a class is a person.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from facebench.probes.attacks.head import PairHead
from facebench.probes.attacks.steps import climb
from facebench.schema import Comparator

MAX_IMAGES = 20
SIDE = 64  # pixels the auto-encoder works at
WIDTH = 24
TRAINING_STEPS = 300


class Prototypes(nn.Module):
    """A convolutional auto-encoder; `forward` returns the code, which stands in for an embedding."""

    def __init__(self) -> None:
        super().__init__()
        wide = [3, WIDTH, 2 * WIDTH, 4 * WIDTH]
        down: list[nn.Module] = []
        for before, after in pairwise(wide):
            down += [nn.Conv2d(before, after, 3, 2, 1), nn.InstanceNorm2d(after, affine=True), nn.ReLU()]
        up: list[nn.Module] = []
        for before, after in pairwise(wide[::-1]):
            up += [nn.Upsample(scale_factor=2), nn.Conv2d(before, after, 3, 1, 1), nn.ReLU()]
        self.encoder = nn.Sequential(*down)
        self.decoder = nn.Sequential(*up[:-1], nn.Sigmoid())

    def forward(self, faces: Tensor) -> Tensor:
        """Return (N, D) codes of (N, 3, H, W) faces in [0, 1]."""
        code: Tensor = self.encoder(_small(faces))
        return code.flatten(1)

    def decode(self, faces: Tensor) -> Tensor:
        """Return what the code says the person looks like, (N, 3, 64, 64)."""
        found: Tensor = self.decoder(self.encoder(_small(faces)))
        return found


def _small(faces: Tensor) -> Tensor:
    return nn.functional.interpolate(faces, (SIDE, SIDE), mode="bilinear", align_corners=False, antialias=True)


def train_prototypes(faces: Tensor, people: NDArray[np.int64], *, seed: int, steps: int = TRAINING_STEPS) -> Prototypes:
    """Return an auto-encoder that decodes every image of a person as that person's first image.

    Args:
        faces: (n, 3, H, W) in [0, 1], at most 20; mirror images are added.
        people: (n,) who is on them.
        seed: of the weights.
    """
    assert len(faces) <= MAX_IMAGES
    first = np.array([int(np.flatnonzero(people == person)[0]) for person in people])
    inputs = torch.cat([faces, faces.flip(3)])
    wanted = _small(torch.cat([faces[first], faces[first]]))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed % 2**63)
        network = Prototypes()
    optimiser = torch.optim.Adam(network.parameters(), 2e-3)
    for _ in range(steps):
        optimiser.zero_grad()
        loss = nn.functional.mse_loss(network.decode(inputs), wanted)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return network.eval()


def attack_prototypes(
    network: Prototypes,
    faces: Tensor,
    enrolled: Tensor,
    labels: Tensor,
    *,
    eps: float,
    steps: int,
    seeds: Sequence[int],
) -> Tensor:
    """Return faces moved by momentum steps away from (dodging) or towards (impersonation) the enrolled face's code."""
    with torch.no_grad():
        templates = network(enrolled)
    head = PairHead(network, templates, 0.5, Comparator.COSINE)
    return climb(head, faces, labels, name="tim", norm="linf", eps=eps, steps=steps, seeds=seeds)
