"""The pair head: one verification pair as a two-class problem, with a ledger of what an attack spent on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from facebench.errors import ModelError
from facebench.schema import Comparator

ACCEPT, REJECT = 0, 1
MarginRule = Callable[[Tensor, Tensor], Tensor]
"""What a network says and what is true, row by row, to (N,) margins: above zero is right."""


@dataclass
class Ledger:
    """What an attack spent, in rows, and what its gradients looked like.

    Attributes:
        forwards, backwards: rows passed through the network, and rows whose gradient was taken.
        gradient_rows: rows whose gradient reached the image.
        zero_rows: of these, rows whose gradient was zero everywhere.
        broken_rows: of these, rows whose gradient held NaN or infinity (which attacks then see as zero).
    """

    forwards: int = 0
    backwards: int = 0
    gradient_rows: int = 0
    zero_rows: int = 0
    broken_rows: int = 0

    def add(self, other: Ledger) -> None:
        """Add the counts of another ledger."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)


class PairHead(nn.Module):
    """A network with one template per row: margin ``m = s(f(x), template) - threshold``, logits ``scale * [m, -m]``.

    Class 0 is "accept", class 1 "reject". A genuine pair has label 0 and an impostor pair label 1, and as there are two
    classes an untargeted attack is a targeted one. The scale is 1: at 256 the cross-entropy saturates and most
    gradients are zero.

    Args:
        network: (N, 3, H, W) floats in [0, 1] to (N, D).
        templates: (N, D) embeddings of the enrolled images, one per row.
        threshold: accept when the score is at or above it.
        comparator: how two embeddings are compared.
        scale: of the logits.
        rule: in place of the comparator, how what the network says becomes a margin, with `templates` as the truth.
    """

    def __init__(
        self,
        network: nn.Module,
        templates: Tensor,
        threshold: float,
        comparator: Comparator = Comparator.COSINE,
        scale: float = 1.0,
        rule: MarginRule | None = None,
    ) -> None:
        super().__init__()
        if rule is None and comparator not in (Comparator.COSINE, Comparator.DOT, Comparator.EUCLIDEAN):
            raise ModelError(f"attacks differentiate cosine, dot and euclidean scores; this model uses {comparator}")
        self.network = network
        self.templates = templates
        self.threshold = threshold
        self.comparator = comparator
        self.scale = scale
        self.rule = rule
        self.ledger = Ledger()
        self.trace: list[Tensor] = []  # (N,) margins of every forward pass
        self.eval()

    def forward(self, faces: Tensor) -> Tensor:
        """Return (N, 2) logits.

        Raises:
            ModelError: the number of faces is not that of the templates; rows must never be matched by position only.
        """
        margin = self.margin(faces)
        return torch.stack([margin, -margin], dim=1) * self.scale

    def margin(self, faces: Tensor) -> Tensor:
        """Return (N,) margins: positive or zero is accepted."""
        if len(faces) != len(self.templates):
            raise ModelError(f"{len(faces)} faces for {len(self.templates)} templates: an attack changed the batch")
        if faces.requires_grad:
            faces.register_hook(self._watch)  # type: ignore[no-untyped-call]
        self.ledger.forwards += len(faces)
        said = self.network(faces)
        if self.rule is not None:
            margin = self.rule(said, self.templates)
        else:
            margin = _similarity(said, self.templates, self.comparator) - self.threshold
        self.trace.append(margin.detach())
        return margin

    def rows(self, which: Tensor) -> PairHead:
        """Return a head for some rows, with a ledger of its own."""
        return PairHead(self.network, self.templates[which], self.threshold, self.comparator, self.scale, self.rule)

    def _watch(self, gradient: Tensor) -> Tensor | None:
        """Count gradients that say nothing, and hand attacks zeros where a gradient is NaN or infinite."""
        largest = gradient.detach().abs().flatten(1).amax(1)
        broken = ~torch.isfinite(largest)
        self.ledger.backwards += len(gradient)
        self.ledger.gradient_rows += len(gradient)
        self.ledger.zero_rows += int((largest == 0).sum())
        n_broken = int(broken.sum())
        self.ledger.broken_rows += n_broken
        if not n_broken:
            return None
        return torch.where(broken[:, None, None, None], torch.zeros_like(gradient), gradient)


def _similarity(embeddings: Tensor, templates: Tensor, comparator: Comparator) -> Tensor:
    if comparator is Comparator.COSINE:
        found: Tensor = nn.functional.cosine_similarity(embeddings, templates, dim=1)
        return found
    if comparator is Comparator.DOT:
        return (embeddings * templates).sum(1)
    distance: Tensor = torch.linalg.vector_norm(embeddings - templates, dim=1)
    return -distance


@contextmanager
def frozen(network: nn.Module) -> Iterator[nn.Module]:
    """Take no gradients of the weights meanwhile: attacks need those of the image only."""
    learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
    for parameter in learning:
        parameter.requires_grad_(False)
    try:
        yield network
    finally:
        for parameter in learning:
            parameter.requires_grad_(True)


def harmful(margins: Tensor, labels: Tensor) -> Tensor:
    """Return (N,) by how much each row is on the attacker's side: above zero is success, NaN is none.

    A genuine pair (label 0) is dodged when its margin is below zero; an impostor pair (label 1) gets in at zero.
    """
    signed = torch.where(labels == ACCEPT, -margins, margins)
    return torch.nan_to_num(signed, nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf)


def succeeded(margins: Tensor, labels: Tensor) -> Tensor:
    """Return (N,) which rows crossed the threshold; accept when ``margin >= 0``."""
    return torch.where(labels == ACCEPT, margins < 0, margins >= 0)
