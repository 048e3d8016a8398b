"""Writes the stored summaries of every condition: ``python -m tests.probes.golden_conditions``.

A summary is the mean and the spread of 64 blocks of the picture, which a last bit does not move and a changed constant
does. Write it again only when a picture was meant to change; raise the version in `facebench.probes.face` then.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from facebench.data import decode_batches, load_dataset
from facebench.phantoms.labels import ARCFACE_112
from facebench.phantoms.shipped import shipped_dataset
from facebench.probes.conditions import alter
from facebench.schema.robustness import FAMILIES, expand

STORED = Path(__file__).with_name("golden_conditions.npz")
NAMES = expand(FAMILIES)


def pattern() -> np.ndarray:
    """A synthetic picture: colour ramps, a checkerboard and a disk."""
    y, x = np.mgrid[:112, :112]
    board = ((x // 8 + y // 8) % 2) * 60
    disk = (np.hypot(x - 56, y - 60) < 30) * 50
    return np.stack([x * 2, y * 2, 90 + board + disk], axis=-1).clip(0, 255).astype(np.uint8)


def phantom() -> np.ndarray:
    """A shipped phantom face, looking to one side."""
    (face,) = next(decode_batches(load_dataset(shipped_dataset("phantom-smoke-v1")), [[5]], 1))
    return face


def summary(picture: np.ndarray) -> np.ndarray:
    """(2, 64) mean and spread of blocks of 14 x 14 pixels, over all channels."""
    blocks = picture.astype(np.float64).reshape(8, 14, 8, 14, 3).transpose(0, 2, 1, 3, 4).reshape(64, -1)
    return np.stack([blocks.mean(axis=1), blocks.std(axis=1)])


def summaries(name: str) -> np.ndarray:
    """(2, 2, 64) of the two pictures under a condition."""
    return np.stack([summary(alter(name, face, ARCFACE_112, "golden")) for face in (phantom(), pattern())])


if __name__ == "__main__":
    np.savez_compressed(
        STORED, names=np.array(NAMES), values=np.stack([summaries(n) for n in NAMES]).astype(np.float16)
    )
