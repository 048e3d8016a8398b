"""MobileFaceNet (Chen et al., 2018) for 112 x 96 faces, to load real weights through the torch adapter."""

from __future__ import annotations

import torch
from torch import nn

# expansion, channels, repeats, stride
STAGES = ((2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 2, 1))


class Convolution(nn.Module):
    def __init__(self, before: int, after: int, kernel, stride=1, padding=0, groups: int = 1, linear: bool = False):
        super().__init__()
        self.conv = nn.Conv2d(before, after, kernel, stride, padding, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(after)
        if not linear:
            self.prelu = nn.PReLU(after)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.bn(self.conv(x))
        return self.prelu(x) if hasattr(self, "prelu") else x


class Bottleneck(nn.Module):
    def __init__(self, before: int, after: int, stride: int, expansion: int):
        super().__init__()
        inner = before * expansion
        self.connect = stride == 1 and before == after
        self.conv = nn.Sequential(
            nn.Conv2d(before, inner, 1, bias=False), nn.BatchNorm2d(inner), nn.PReLU(inner),
            nn.Conv2d(inner, inner, 3, stride, 1, groups=inner, bias=False), nn.BatchNorm2d(inner), nn.PReLU(inner),
            nn.Conv2d(inner, after, 1, bias=False), nn.BatchNorm2d(after),
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.conv(x) if self.connect else self.conv(x)


class MobileFaceNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = Convolution(3, 64, 3, 2, 1)
        self.dw_conv1 = Convolution(64, 64, 3, 1, 1, groups=64)
        blocks, before = [], 64
        for expansion, after, repeats, stride in STAGES:
            for repeat in range(repeats):
                blocks.append(Bottleneck(before, after, stride if repeat == 0 else 1, expansion))
                before = after
        self.blocks = nn.Sequential(*blocks)
        self.conv2 = Convolution(128, 512, 1)
        self.linear7 = Convolution(512, 512, (7, 6), groups=512, linear=True)
        self.linear1 = Convolution(512, 128, 1, linear=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear1(self.linear7(self.embed_patches(x))).flatten(1)

    def embed_patches(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv2(self.blocks(self.dw_conv1(self.conv1(x))))


def build() -> MobileFaceNet:
    return MobileFaceNet()
