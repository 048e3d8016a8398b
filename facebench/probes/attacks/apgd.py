"""Auto-PGD on the margin: a step size that halves itself, row by row. Croce and Hein, ICML 2020."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import torch
from torch import Tensor

from facebench.probes.attacks.head import PairHead, harmful
from facebench.probes.attacks.noise import normal, uniform

ALPHA = 0.75  # share of the new step; the rest is momentum
RHO = 0.75  # steps of a period that must improve the loss


def checkpoints(steps: int) -> list[int]:
    """Return the steps at which the step size is looked at: ``p1 = .22``, then shrinking gaps of at least ``.06``.

    >>> checkpoints(100)
    [22, 41, 57, 70, 80, 87, 93, 99]
    """
    shares, gap = [0.0, 0.22], 0.22
    while shares[-1] < 1:
        gap = max(gap - 0.03, 0.06)
        shares.append(shares[-1] + gap)
    return [step for share in shares[1:] if 0 < (step := ceil(share * steps - 1e-9)) < steps]


def auto_pgd(
    head: PairHead,
    faces: Tensor,
    labels: Tensor,
    *,
    norm: str,
    eps: float,
    steps: int,
    seeds: Sequence[int],
    restart: int = 0,
) -> Tensor:
    """Return the most harmful faces found within `eps`.

    The loss is the margin itself: the difference-of-logits ratio of AutoAttack needs three classes. Arguments as
    `steps.climb`.
    """
    sign = torch.where(labels == 0, -1.0, 1.0).to(faces)
    draw = uniform(seeds, faces, restart) if norm == "linf" else normal(seeds, faces, restart)
    current = _project(faces + eps * _unit(draw, norm), faces, eps, norm)
    loss, gradient = _climbable(head, current, sign)
    best, best_loss, best_gradient = current.clone(), loss.clone(), gradient.clone()
    previous = current
    size = torch.full_like(loss, 2 * eps)
    rises = torch.zeros_like(loss)
    last_size, last_best, since = size.clone(), best_loss.clone(), 0
    checks = set(checkpoints(steps))
    for step in range(1, steps + 1):
        ahead = _project(current + size[:, None, None, None] * _unit(gradient, norm, ascend=True), faces, eps, norm)
        share = ALPHA if step > 1 else 1.0
        moved = _project(current + share * (ahead - current) + (1 - share) * (current - previous), faces, eps, norm)
        previous, current = current, moved
        before = loss
        loss, gradient = _climbable(head, current, sign)
        rises += loss > before
        since += 1
        better = loss > best_loss
        best, best_gradient = _choose(better, current, best), _choose(better, gradient, best_gradient)
        best_loss = torch.where(better, loss, best_loss)
        if step in checks:
            stalled = (rises < RHO * since) | ((size == last_size) & (best_loss <= last_best))
            last_size, last_best = size.clone(), best_loss.clone()
            size = torch.where(stalled, size / 2, size)
            current, gradient = _choose(stalled, best, current), _choose(stalled, best_gradient, gradient)
            loss = torch.where(stalled, best_loss, loss)
            rises, since = torch.zeros_like(rises), 0
    return best


def _climbable(head: PairHead, faces: Tensor, sign: Tensor) -> tuple[Tensor, Tensor]:
    """Return (N,) harm and its gradient."""
    faces = faces.detach().requires_grad_()
    margin = head.margin(faces)
    (gradient,) = torch.autograd.grad((sign * margin).sum(), faces)
    return harmful(margin.detach(), (sign > 0).long()), torch.nan_to_num(gradient)


def _unit(direction: Tensor, norm: str, *, ascend: bool = False) -> Tensor:
    if norm == "linf":
        return direction.sign() if ascend else direction
    size: Tensor = torch.linalg.vector_norm(direction.flatten(1), dim=1).clamp_min(1e-12)
    return direction / size[:, None, None, None]


def _project(moved: Tensor, faces: Tensor, eps: float, norm: str) -> Tensor:
    change = moved - faces
    if norm == "linf":
        change = change.clamp(-eps, eps)
    else:
        size = torch.linalg.vector_norm(change.flatten(1), dim=1).clamp_min(1e-12)
        change = change * (eps / size).clamp_max(1.0)[:, None, None, None]
    return (faces + change).clamp(0, 1)


def _choose(which: Tensor, yes: Tensor, no: Tensor) -> Tensor:
    return torch.where(which[:, None, None, None], yes, no)
