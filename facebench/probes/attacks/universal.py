"""One change for many pairs: what an attacker can prepare once. After Moosavi-Dezfooli et al., CVPR 2017."""

from __future__ import annotations

import torch
from torch import Tensor

from facebench.probes.attacks.head import PairHead

SHARPNESS = 20.0  # of the soft minimum: at 20 the worst member of a set leads


def universal(head: PairHead, faces: Tensor, labels: Tensor, *, eps: float, steps: int) -> Tensor:
    """Return the faces with one change of at most `eps` (Linf) added to all of them.

    The objective is the member of the set that resists most: ``-log mean exp(-k h)/k`` of the harms h, k = 20, so that
    the change is not spent on pairs that are open already. The share of rows that cross the threshold is the share of
    the set (of the gallery, when all rows are one probe) that the one change opens.
    """
    sign = torch.where(labels == 0, -1.0, 1.0).to(faces)
    change = torch.zeros_like(faces[:1])
    best, best_value = change, -torch.inf
    for step in range(steps + 1):
        free = change.detach().requires_grad_()
        harm = sign * head.margin((faces + free).clamp(0, 1))
        told = torch.nan_to_num(harm.detach(), nan=-1.0).clamp(-1, 1)
        value = float((told > 0).double().mean() + 1e-3 * told.double().mean())  # rows opened, then how far
        if value > best_value:
            best, best_value = change, value
        if step < steps:
            (gradient,) = torch.autograd.grad(-torch.logsumexp(-SHARPNESS * harm, 0) / SHARPNESS, free)
            size = 2.5 * eps / steps * (1 if step < 0.7 * steps else 0.3)
            change = (change + size * torch.nan_to_num(gradient).sign()).clamp(-eps, eps)
    return (faces + best).clamp(0, 1)
