"""Patterns an attacker could wear: drawn by five landmarks, optimised inside their outline, robust to small shifts."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from facebench.metrics.streams import Stream, generator
from facebench.probes.attacks.head import PairHead, harmful

SHIFT = 2  # pixels in each direction
SHIFTS = 4  # drawn per step; the loss is their mean
STEP = 8 / 255
GREY = 0.5

Landmarks = NDArray[np.float64]


def outline(name: str, landmarks: Landmarks, height: int, width: int) -> NDArray[np.bool_]:
    """Return (H, W) where a pattern covers the face; all lengths are in units of the distance between the eyes.

    Args:
        name: glasses (two rims and a bridge), sticker (a disc on the brow), mask (from the nose down), hat (above the
            brows).
        landmarks: (5, 2) x, y of left eye, right eye, nose, left and right corner of the mouth.
    """
    left, right, nose = landmarks[:3]
    mouth = landmarks[3:5].mean(0)
    eyes = (left + right) / 2
    across = right - left
    unit = float(np.linalg.norm(across))
    x_axis = across / unit
    y_axis = np.array([-x_axis[1], x_axis[0]])
    at = np.stack(np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5), -1) - eyes
    x, y = at @ x_axis / unit, at @ y_axis / unit
    low = float((mouth - eyes) @ y_axis / unit)
    middle = float((nose - eyes) @ y_axis / unit)
    if name == "glasses":
        rims = [np.hypot((x - side) / 0.36, y / 0.29) for side in (-0.5, 0.5)]
        drawn = np.logical_or.reduce([(rim < 1.0) & (rim > 0.68) for rim in rims])
        return np.asarray(drawn | ((np.abs(x) < 0.18) & (np.abs(y + 0.04) < 0.05)))
    if name == "sticker":
        return np.asarray(np.hypot(x, y + 0.62) < 0.32)
    if name == "mask":
        top = middle * 0.75 + 0.06 * x**2
        return np.asarray((y > top) & (np.hypot(x / 0.95, (y - (low + middle) / 2) / (low * 0.85)) < 1))
    return np.asarray(y < -0.5 - 0.08 * np.cos(np.pi * np.clip(x, -1, 1)))


def worn_pattern(
    head: PairHead, faces: Tensor, labels: Tensor, outlines: NDArray[np.bool_], *, steps: int, seed: int = 0
) -> Tensor:
    """Return faces wearing a pattern each, optimised over shifts of up to two pixels; the pattern starts grey.

    Sources: Sharif et al. 2016 (glasses), Athalye et al. 2018 (expectation over transformation), Yang et al. 2020
    (RobFR, FACESEC).

    Args:
        outlines: (N, H, W) where each row may be changed.
        seed: of the shifts, which are the same for all rows of a step.
    """
    mask = torch.from_numpy(outlines[:, None].astype(np.float32)).to(faces)
    sign = torch.where(labels == 0, -1.0, 1.0).to(faces)
    pattern = torch.full_like(faces, GREY)
    best, best_harm = _wear(faces, pattern, mask), torch.full((len(faces),), -torch.inf, device=faces.device)
    for step in range(steps):
        gradient = torch.zeros_like(faces)
        for right, down in _shifts(seed, step):
            free = pattern.detach().requires_grad_()
            moved = [torch.roll(image, (down, right), (2, 3)) for image in (free, mask)]
            margin = head.margin(_wear(faces, *moved))
            (found,) = torch.autograd.grad((sign * margin).sum(), free)
            gradient += torch.nan_to_num(found)
        momentum = STEP * (1 - step / steps)
        pattern = (pattern + momentum * gradient.sign()).clamp(0, 1)
        if step % 10 == 9 or step == steps - 1:
            worn = _wear(faces, pattern, mask)
            with torch.no_grad():
                harm = harmful(head.margin(worn), labels)
            better = harm > best_harm
            best = torch.where(better[:, None, None, None], worn, best)
            best_harm = torch.where(better, harm, best_harm)
    return best


def occluded(faces: Tensor, outlines: NDArray[np.bool_]) -> Tensor:
    """Return the faces with the pattern's outline filled with grey: what mere occlusion does."""
    mask = torch.from_numpy(outlines[:, None].astype(np.float32)).to(faces)
    return _wear(faces, torch.full_like(faces, GREY), mask)


def _wear(faces: Tensor, pattern: Tensor, mask: Tensor) -> Tensor:
    return faces * (1 - mask) + pattern * mask


def _shifts(seed: int, step: int) -> list[tuple[int, int]]:
    rng = generator(Stream.PATTERN_SHIFTS, seed % 2**32, step)
    drawn = rng.integers(-SHIFT, SHIFT + 1, (SHIFTS, 2))
    return [(int(right), int(down)) for right, down in drawn]
