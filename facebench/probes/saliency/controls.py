"""Models whose attention is known: what a saliency method must get right before it may score a model.

Positive control: the model under test sees the face through a mask that leaves one part and greys out the rest, so that
whatever it matches on lies there. Negative control: the same network with random weights, or, for a model without
gradients, a random projection: it has learnt no part of a face, and a map that still points to one shows the picture,
not the model (Adebayo et al. 2018, "Sanity checks for saliency maps").
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from facebench.metrics.streams import Stream, generator
from facebench.probes.saliency.subject import Explained, Faces, Vectors

if TYPE_CHECKING:
    from torch import nn

GREY = 127.5
RANDOM_DIM = 64
SEEN = 0.05
"""Of the effect of the whole face on an answer: a part with less is not looked at."""


@dataclass(frozen=True, eq=False)
class Masked:
    """A model behind a fixed mask: (H, W) of 0 and 1; where it is 0 the face is mid-grey."""

    embed: Any
    module: Any
    mask: NDArray[np.bool_]

    def embed_masked(self, faces: Faces) -> Vectors:
        """Return embeddings of masked faces."""
        shown = np.where(self.mask[None, :, :, None], faces, np.uint8(round(GREY)))
        vectors: Vectors = self.embed(shown.astype(np.uint8))
        return vectors

    def moves(self, plain: Explained) -> float:
        """Return by what share of the whole face's effect the part that is left moves an answer, from plain grey.

        Below a twentieth it counts as 0: the model does not look there, and nothing was planted.
        """
        whole, grey = plain.scores(np.stack([plain.probe, np.full_like(plain.probe, round(GREY))]))
        part = self.subject(plain).scores(plain.probe[None])[0]
        share = float(np.nan_to_num(abs(part - grey) / max(abs(whole - grey), 1e-12)))
        return share if share >= SEEN else 0.0

    def response(self, face: Faces) -> float:
        """Return how much the part that is left moves the embedding of a face (H, W, 3): 1 - cosine to plain grey.

        Zero means that the model does not look there at all, so that nothing was planted.
        """
        both = self.embed_masked(np.stack([face, np.full_like(face, round(GREY))])).astype(np.float64)
        size = np.linalg.norm(both, axis=1)
        return 0.0 if np.array_equal(both[0], both[1]) else 1.0 - float(both[0] @ both[1] / max(size.prod(), 1e-300))

    def module_masked(self) -> nn.Module | None:
        """Return the network behind the mask, or None where there is no network."""
        if self.module is None:
            return None
        import torch

        inner, mask = self.module, torch.from_numpy(self.mask.astype(np.float32))

        class Behind(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.inner = inner

            def forward(self, faces: torch.Tensor) -> torch.Tensor:
                found: torch.Tensor = self.inner(faces * mask + (1 - mask) * (round(GREY) / 255))
                return found

        return Behind().eval()

    def subject(self, plain: Explained) -> Explained:
        """Return the same question put to the masked model; the reference is embedded through the mask as well."""
        target = plain.target.behind(self.embed_masked, plain.reference)
        return replace(plain, embed=self.embed_masked, module=self.module_masked(), target=target)


def randomised(module: nn.Module, seed: int) -> nn.Module:
    """Return a copy of a network with every learnt layer initialised anew, its statistics fitted to nothing."""
    import torch

    found = copy.deepcopy(module).eval()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for part in found.modules():
            reset = getattr(part, "reset_parameters", None)
            if callable(reset):
                reset()
    return found.eval()


class RandomProjection:
    """A model that has learnt nothing: grey 28 x 28, a random layer with rectifier, a random projection to 64."""

    def __init__(self, seed: int) -> None:
        rng = generator(Stream.RANDOM_PROJECTION, seed)
        self._first = rng.normal(0, 28**-1, (28 * 28, 512)).astype(np.float32)
        self._second = rng.normal(0, 512**-0.5, (512, RANDOM_DIM)).astype(np.float32)

    def embed(self, faces: Faces) -> Vectors:
        """Return (N, 64) embeddings of (N, H, W, 3) faces."""
        from PIL import Image

        small = np.stack(
            [np.asarray(Image.fromarray(f).convert("L").resize((28, 28), Image.Resampling.BOX)) for f in faces]
        )
        values = (small.reshape(len(faces), -1).astype(np.float32) - np.float32(GREY)) / np.float32(GREY)
        hidden = np.maximum(np.einsum("np,ph->nh", values, self._first), 0)
        return np.asarray(np.einsum("nh,hd->nd", hidden, self._second), np.float32)


def random_subject(plain: Explained, seed: int) -> Explained:
    """Return the same question put to a model that has learnt nothing."""
    if plain.module is None:
        model = RandomProjection(seed)
        return replace(plain, embed=model.embed, target=plain.target.untrained(model.embed, plain.reference))
    import torch

    network = randomised(plain.module, seed)

    def embed(faces: Faces) -> Vectors:
        with torch.no_grad():
            pixels = torch.from_numpy(faces.astype(np.float32).transpose(0, 3, 1, 2) / np.float32(255))
            return np.asarray(network(pixels).numpy(), np.float32)

    return replace(plain, embed=embed, module=network, target=plain.target.behind(embed, plain.reference))
