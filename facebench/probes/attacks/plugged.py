"""Runs attacks of plug-ins: whatever they raise names them, and what they return is held to the budget."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from facebench.errors import PluginError
from facebench.metrics.streams import FIXED_SEED
from facebench.probes.attacks.catalogue import attacks
from facebench.probes.attacks.head import PairHead
from facebench.schema.attacks import Attack, Norm

SLACK = 1e-4
"""By how much of the budget rounding may exceed it."""


def climb_plugged(
    name: str, head: PairHead, faces: Tensor, labels: Tensor, *, norm: Norm, eps: float, steps: int,
    seeds: Sequence[int], restart: int,
) -> Tensor:  # fmt: skip
    """Return the faces a plug-in's attack made.

    Raises:
        PluginError: it raised, or went beyond its budget or the range of pixels.
    """
    attack: Attack = attacks.get(name)
    with attacks.blame(name):
        found = attack.run(
            head, faces.clone(), labels, norm=norm.value, eps=eps, steps=steps, seeds=tuple(seeds), restart=restart
        )
    wrong = _why_refused(found, faces, norm, eps)
    if wrong:
        raise PluginError(f"attack {name!r} {wrong}")
    made: Tensor = found.detach()
    return made


def _why_refused(found: object, faces: Tensor, norm: Norm, eps: float) -> str | None:
    if not isinstance(found, Tensor) or found.shape != faces.shape:
        told = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        return f"returned {told}; expected {tuple(faces.shape)}"
    found = found.detach()
    if not bool(torch.isfinite(found).all()):
        return "returned values that are not finite"
    if float(found.min()) < -SLACK or float(found.max()) > 1 + SLACK:
        return "returned pixels outside [0, 1]"
    change = (found - faces).flatten(1).double()
    largest = float((change.norm(dim=1) if norm is Norm.L2 else change.abs().amax(1)).max())
    if largest > eps * (1 + SLACK) + 1e-6:
        return f"changed a face by {largest:.4g} in {norm.value}; its budget was {eps:.4g}"
    return None


def check_on_toy(attack: Attack, name: str) -> None:
    """Run an attack on a network of one layer: it keeps its budget, repeats itself, and lowers the margin of most rows.

    Raises:
        AssertionError: says which rule is broken.
    """
    torch.manual_seed(FIXED_SEED)
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 8, bias=False)).eval()
    faces = torch.rand((6, 3, 16, 16)) * 0.8 + 0.1
    labels = torch.zeros(6, dtype=torch.long)
    with torch.no_grad():
        templates = network(faces * 0.9 + 0.02)
    for norm in attack.traits.norms:
        eps = 0.05 * (faces[0].numel() ** 0.5 if norm is Norm.L2 else 1)

        def once(norm: Norm = norm, eps: float = eps) -> tuple[Tensor, Tensor]:
            head = PairHead(network, templates, 0.5)
            made = attack.run(
                head, faces.clone(), labels, norm=norm.value, eps=eps, steps=attack.traits.steps,
                seeds=tuple(range(6)), restart=0,
            )  # fmt: skip
            wrong = _why_refused(made, faces, norm, eps)
            assert wrong is None, f"{name} {wrong}"
            with torch.no_grad():
                return made.detach(), head.margin(made.detach()) - head.margin(faces)

        (first, change), (second, _) = once(), once()
        assert torch.equal(first, second), f"{name}: two runs with the same seeds differ"
        assert float((change < 0).float().mean()) > 0.5, f"{name} does not lower the margin of genuine pairs ({norm})"
