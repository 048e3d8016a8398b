"""Attacks that climb the loss in steps: FGSM, BIM and PGD through foolbox, MIM, DI and TI as published on its loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import eagerpy as ep
import torch
from torch import Tensor

from facebench.metrics.streams import Fixed, fixed_generator
from facebench.probes.attacks._foolbox import Misclassification, foolbox, wrap
from facebench.probes.attacks.head import PairHead
from facebench.probes.attacks.noise import normal, uniform

KERNEL = 7  # of the translation-invariant attack, pixels
DIVERSITY = 0.7  # chance that the input of a step is resized
SMALLEST = 0.9  # of its size


class _Linf(foolbox.attacks.LinfProjectedGradientDescentAttack):  # type: ignore[misc]
    """PGD with starts drawn per row, and room for momentum and input diversity."""

    start: Callable[[Tensor], Tensor]
    input_change: Callable[[Tensor, int], Tensor] | None = None
    gradient_change: Callable[[Tensor], Tensor] | None = None
    step = 0

    def get_random_start(self, x0: ep.Tensor, epsilon: float) -> ep.Tensor:
        return x0 + epsilon * ep.astensor(self.start(x0.raw))

    def value_and_grad(self, loss_fn: Any, x: ep.Tensor) -> tuple[ep.Tensor, ep.Tensor]:
        step, change = self.step, self.input_change

        def loss(seen: ep.Tensor) -> ep.Tensor:
            return loss_fn(seen if change is None else ep.astensor(change(seen.raw, step)))

        self.step += 1
        found: tuple[ep.Tensor, ep.Tensor] = super().value_and_grad(loss, x)
        return found

    def normalize(self, gradients: ep.Tensor, *, x: ep.Tensor, bounds: Any) -> ep.Tensor:
        if self.gradient_change is not None:
            gradients = ep.astensor(self.gradient_change(gradients.raw))
        return super().normalize(gradients, x=x, bounds=bounds)


class _L2(foolbox.attacks.L2ProjectedGradientDescentAttack):  # type: ignore[misc]
    """The same in L2; the start lies on a sphere at a radius drawn per row."""

    start: Callable[[Tensor], Tensor]

    def get_random_start(self, x0: ep.Tensor, epsilon: float) -> ep.Tensor:
        return x0 + epsilon * ep.astensor(self.start(x0.raw))


def climb(
    head: PairHead,
    faces: Tensor,
    labels: Tensor,
    *,
    name: str,
    norm: str,
    eps: float,
    steps: int,
    seeds: Sequence[int],
    restart: int = 0,
) -> Tensor:
    """Return adversarial faces of one of fgsm, bim, pgd, mim, dim, tim, ti-dim.

    The step is ``2.5 eps / steps``, for BIM and the momentum attacks ``eps / steps`` but at least 1/255 of full scale
    where eps allows it, as published. Only PGD starts at random. Sources: Goodfellow et al. 2015 (FGSM), Kurakin et
    al. 2017 (BIM), Madry et al. 2018 (PGD), Dong et al. 2018 (MIM: ``v = v + g / |g|_1``, step along ``sign v``),
    Xie et al. 2019 (DI), Dong et al. 2019 (TI).

    Args:
        faces: (N, 3, H, W) in [0, 1].
        labels: (N,) 0 genuine, 1 impostor.
        eps: radius, in `norm` as torch computes it (not divided by the number of values).
        seeds: (N,) of the rows.
    """
    one = name == "fgsm"
    relative = 1.0 if one else _relative_step(name, norm, eps, steps)
    kind = _Linf if norm == "linf" else _L2
    attack = kind(rel_stepsize=relative, steps=1 if one else steps, random_start=name == "pgd")
    attack.start = _start(norm, seeds, restart)
    if name in ("mim", "dim", "tim", "ti-dim"):
        attack.gradient_change = _momentum(smooth=name.startswith("ti"))
        if name in ("dim", "ti-dim"):
            attack.input_change = _diverse
    found: Tensor = attack.run(wrap(head), faces, Misclassification(labels), epsilon=eps)
    return found


def _relative_step(name: str, norm: str, eps: float, steps: int) -> float:
    if name == "pgd":
        return 2.5 / steps
    return max(1 / steps, min(1.0, 1 / 255 / eps)) if norm == "linf" else 2.5 / steps


def _start(norm: str, seeds: Sequence[int], restart: int) -> Callable[[Tensor], Tensor]:
    if norm == "linf":
        return lambda faces: uniform(seeds, faces, restart)

    def inside_ball(faces: Tensor) -> Tensor:
        direction = normal(seeds, faces, restart)
        size: Tensor = torch.linalg.vector_norm(direction.flatten(1), dim=1)
        radius = uniform(seeds, faces[:, :1, :1, :1], restart + 1000).abs()
        return direction / size[:, None, None, None] * radius

    return inside_ball


def _momentum(*, smooth: bool, decay: float = 1.0) -> Callable[[Tensor], Tensor]:
    velocity: list[Tensor] = []

    def change(gradient: Tensor) -> Tensor:
        if smooth:
            gradient = _smoothed(gradient)
        size = gradient.abs().flatten(1).sum(1).clamp_min(1e-12)
        gradient = gradient / size[:, None, None, None]
        moving = gradient if not velocity else decay * velocity[0] + gradient
        velocity[:] = [moving]
        return moving

    return change


def _smoothed(gradient: Tensor) -> Tensor:
    """Convolve with a Gaussian of 7 pixels whose edge lies at three standard deviations."""
    at = torch.linspace(-3, 3, KERNEL, dtype=gradient.dtype, device=gradient.device)
    line = torch.exp(-(at**2) / 2)
    kernel = torch.outer(line, line) / line.sum() ** 2
    channels = gradient.shape[1]
    weight = kernel.expand(channels, 1, KERNEL, KERNEL)
    return torch.nn.functional.conv2d(gradient, weight, padding=KERNEL // 2, groups=channels)


def _diverse(faces: Tensor, step: int) -> Tensor:
    """Shrink a step's faces a little and put them at a random place; the draw hangs on the step, not on the batch."""
    rng = fixed_generator(Fixed.DIVERSE_INPUTS, step)
    if rng.random() >= DIVERSITY:
        return faces
    height, width = faces.shape[2:]
    share = rng.uniform(SMALLEST, 1.0)
    size = max(1, round(height * share)), max(1, round(width * share))
    small = torch.nn.functional.interpolate(faces, size, mode="bilinear", align_corners=False)
    top, left = (int(rng.integers(0, room + 1)) for room in (height - size[0], width - size[1]))
    pad = (left, width - size[1] - left, top, height - size[0] - top)
    return torch.nn.functional.pad(small, pad)
