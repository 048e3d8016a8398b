"""Measures PGD-20 on verification pairs against a bare torch loop with the same passes.

    python benchmarks/attacks.py

Both take random starts, 20 steps and one last forward pass, on one thread. Goal: at most 1.1 times the bare loop. The
clocks are those of the processor, taken in turn, so that other work on the machine matters little.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from turns import least

from facebench.probes.attacks.batch import Rows, Target, run_gradient
from facebench.schema import Comparator
from facebench.schema.attacks import AttackCell

N, STEPS, EPS = 4, 20, 8 / 255


def network() -> nn.Module:
    """Return MobileFaceNet with random weights, on the middle 96 columns of 112 x 112 faces."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from tests.models.mobilefacenet import build

    class Cropped(nn.Module):
        """Crop and normalise, as the model file of MobileFaceNet says."""

        def __init__(self) -> None:
            super().__init__()
            self.inner = build()

        def forward(self, faces: Tensor) -> Tensor:
            found: Tensor = self.inner((faces[..., 8:104] * 255 - 127.5) / 128)
            return found

    torch.manual_seed(0)
    return Cropped().eval()


def bare(model: nn.Module, faces: Tensor, templates: Tensor, noise: Tensor) -> Tensor:
    """Return PGD-20 adversarial faces by the plainest loop."""
    current = (faces + EPS * noise).clamp(0, 1)
    for _ in range(STEPS):
        current.requires_grad_()
        margin = nn.functional.cosine_similarity(model(current), templates)
        (gradient,) = torch.autograd.grad(margin.sum(), current)
        with torch.no_grad():
            current = current - 2.5 * EPS / STEPS * gradient.sign()
            current = (faces + (current - faces).clamp(-EPS, EPS)).clamp(0, 1)
    with torch.no_grad():
        nn.functional.cosine_similarity(model(current), templates)
    return current


def measure() -> tuple[float, float]:
    """Return the processor seconds of PGD-20 on a batch of pairs, and of the bare loop."""
    torch.set_num_threads(1)
    model = network()
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (N, 112, 112, 3)).astype(np.uint8)
    faces = torch.from_numpy(pixels.transpose(0, 3, 1, 2).astype(np.float32) / 255)
    with torch.no_grad():
        templates = model(faces.flip(3))
    cell = AttackCell.parse(
        {"attack": "pgd", "goal": "dodging", "eps": ["8/255"], "steps": STEPS, "restarts": 1}, where="benchmark"
    )
    rows = Rows(pixels, pixels, pixels, True, tuple(range(N)), np.zeros((N, 5, 2)))
    target = Target(model, templates.numpy(), 0.3, Comparator.COSINE)
    noise = torch.empty_like(faces).uniform_(-1, 1)
    ours, plain = least(
        3,
        lambda: run_gradient(cell, rows, target),
        lambda: bare(model, faces, templates, noise),
        clock=time.process_time,
    )
    return ours, plain


def main() -> None:
    """Print both times and their ratio."""
    ours, plain = measure()
    print(f"PGD-20 on {N} pairs: {ours:.2f} s, bare torch loop {plain:.2f} s, ratio {ours / plain:.2f} (goal <= 1.10)")


if __name__ == "__main__":
    main()
