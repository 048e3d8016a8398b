"""Does a model resist, or does it only hide its gradients? Checks after Athalye et al. 2018 and Carlini et al. 2019."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from facebench.probes.attacks.head import PairHead, succeeded

PROBE_STEP = 0.25 / 255  # of the finite difference
FREE_STEP = 8 / 255  # of the unbounded attack
FREE_STEPS = 60


@dataclass(frozen=True)
class Signs:
    """What a few rows of a cell say of the model's gradients.

    Attributes:
        agreement: median over rows of ``1 - |f - a| / max(|f|, |a|)``, f the finite difference and a the derivative
            along the sign of the gradient; None where neither moves.
        free: share of rows that an attack without any budget opens.
        scatter: largest difference of a margin between two calls on the same face.
        broken: whether a margin or a gradient was NaN or infinite.
    """

    agreement: float | None
    free: float
    scatter: float
    broken: bool


def signs(head: PairHead, faces: Tensor, labels: Tensor) -> Signs:
    """Spend a few passes on a few rows; the head's ledger counts them."""
    with torch.no_grad():
        twice = head.margin(faces), head.margin(faces)
    broken = not bool(torch.isfinite(twice[0]).all())
    scatter = float(torch.nan_to_num(twice[0] - twice[1]).abs().max())
    before = head.ledger.broken_rows
    agreement = _agreement(head, faces)
    free = _free(head, faces, labels)
    return Signs(agreement, free, scatter, broken or head.ledger.broken_rows > before)


def _agreement(head: PairHead, faces: Tensor) -> float | None:
    inside = faces.clamp(PROBE_STEP, 1 - PROBE_STEP)
    free = inside.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(head.margin(free).sum(), free)
    gradient = torch.nan_to_num(gradient)
    direction = gradient.sign()
    still = direction.flatten(1).abs().sum(1) == 0
    direction = torch.where(still[:, None, None, None], torch.ones_like(direction), direction)
    derivative = (gradient * direction).flatten(1).sum(1)
    with torch.no_grad():
        ahead, behind = (head.margin(inside + side * PROBE_STEP * direction) for side in (1, -1))
    difference = (ahead - behind) / (2 * PROBE_STEP)
    size = torch.maximum(difference.abs(), derivative.abs())
    moving = torch.isfinite(size) & (size > 1e-6)
    if not bool(moving.any()):
        return None
    agreement = 1 - (difference - derivative).abs()[moving] / size[moving]
    return float(agreement.median())


def _free(head: PairHead, faces: Tensor, labels: Tensor) -> float:
    """Return the share of rows that sign steps without a budget carry over the threshold at any step."""
    sign = torch.where(labels == 0, -1.0, 1.0).to(faces)
    current, opened = faces, torch.zeros(len(faces), dtype=torch.bool, device=faces.device)
    for _ in range(FREE_STEPS):
        asked = current.detach().requires_grad_()
        margin = head.margin(asked)
        opened = opened | succeeded(margin.detach(), labels)
        if bool(opened.all()):
            break
        (gradient,) = torch.autograd.grad((sign * margin).sum(), asked)
        current = (current + FREE_STEP * torch.nan_to_num(gradient).sign()).clamp(0, 1)
    return float(opened.double().mean())
