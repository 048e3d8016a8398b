"""The small convolutional network of the reference models, and the views some of them are confined to."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from facebench.models.zoo.recipes import View
from facebench.schema import InputSpec

DIM: Final = 128
INPUT: Final = InputSpec(height=96, width=96, crop=(12, 8, 108, 104), mean=127.5, std=127.5)
"""The middle 96 x 96 of an aligned face; the network halves it to 48 x 48."""
LEVELS: Final = 16
_WIDTHS: Final = (16, 32, 80, 160)
_SIDE: Final = 112

# top, left, bottom, right in the aligned face, pixels; even, so that halving does not blur the border
_BOXES: Final = {View.EYES: (40, 22, 62, 90), View.MOUTH: (80, 34, 106, 78)}


def visible(view: View) -> NDArray[np.bool_]:
    """Return which pixels of an aligned face, (112, 112), a model with this view can see.

    >>> int(visible(View.MOUTH).sum())
    1144
    """
    top, left, bottom, right = INPUT.crop or (0, 0, _SIDE, _SIDE)
    seen = np.zeros((_SIDE, _SIDE), bool)
    if view in _BOXES:
        top, left, bottom, right = _BOXES[view]
    seen[top:bottom, left:right] = True
    if view is View.OUTLINE:
        # in blocks of 2 x 2 pixels, as the network sees them
        y, x = np.mgrid[1:_SIDE:2, 1:_SIDE:2]
        face = ((x - 56) / 39) ** 2 + ((y - 66) / 54) ** 2 <= 1
        seen &= ~face.repeat(2, axis=0).repeat(2, axis=1)
    return seen


class _Window(nn.Module):
    """Replaces all but the visible pixels by 0, which is mid-grey."""

    mask: Tensor

    def __init__(self, view: View) -> None:
        super().__init__()
        top, left, bottom, right = INPUT.crop or (0, 0, _SIDE, _SIDE)
        mask = visible(view)[top:bottom:2, left:right:2]
        self.register_buffer("mask", torch.from_numpy(mask.astype(np.float32)), persistent=False)

    def forward(self, faces: Tensor) -> Tensor:
        seen: Tensor = faces * self.mask
        return seen


class _Quantise(nn.Module):
    """Rounds to a few levels: almost no change to see, and a gradient of zero."""

    def forward(self, faces: Tensor) -> Tensor:
        steps = (LEVELS - 1) / 2
        return torch.round((faces + 1) * steps) / steps - 1


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.PReLU(width),
            nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        changed: Tensor = self.body(x)
        return x + changed


def _halve(before: int, after: int) -> list[nn.Module]:
    return [nn.Conv2d(before, after, 3, 2, 1, bias=False), nn.BatchNorm2d(after), nn.PReLU(after)]


class Network(nn.Module):
    """Halves, looks through the view, and embeds: (N, 3, 96, 96) RGB in [-1, 1] to (N, 128)."""

    def __init__(self, view: View = View.WHOLE) -> None:
        super().__init__()
        a, b, c, d = _WIDTHS
        self.view = _Quantise() if view is View.QUANTISED else nn.Identity() if view is View.WHOLE else _Window(view)
        self.trunk = nn.Sequential(
            *_halve(3, a), _Residual(a), *_halve(a, b), _Residual(b), *_halve(b, c), _Residual(c), *_halve(c, d),
            nn.Conv2d(d, d, 3, groups=d, bias=False), nn.BatchNorm2d(d), nn.Flatten(),
            nn.Linear(d, DIM, bias=False), nn.BatchNorm1d(DIM),
        )  # fmt: skip

    def forward(self, faces: Tensor) -> Tensor:
        """Embed (N, 3, 96, 96) faces."""
        return self.embed_small(functional.avg_pool2d(faces, 2))

    def embed_small(self, faces: Tensor) -> Tensor:
        """Embed faces that were halved before, (N, 3, 48, 48); training does that once for all."""
        found: Tensor = self.trunk(self.view(faces))
        return found
