"""Random numbers that belong to a row, not to its place in a batch."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def row_seed(*parts: object) -> int:
    """Return a seed from what identifies a row: run seed, image ids, attack, restart.

    >>> row_seed(0, "a", "b") == row_seed(0, "a", "b") != row_seed(0, "b", "a")
    True
    """
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")


def generators(seeds: Sequence[int], *more: int) -> list[np.random.Generator]:
    """Return one generator per row."""
    return [np.random.default_rng([seed, *more]) for seed in seeds]


def uniform(seeds: Sequence[int], like: Tensor, restart: int) -> Tensor:
    """Return noise in [-1, 1] of the shape of `like`, each row from its own seed."""
    drawn = [rng.uniform(-1, 1, tuple(like.shape[1:])) for rng in generators(seeds, restart)]
    return torch.as_tensor(np.stack(drawn), dtype=like.dtype, device=like.device)


def normal(seeds: Sequence[int], like: Tensor, restart: int) -> Tensor:
    """Return standard normal noise of the shape of `like`, each row from its own seed."""
    drawn = [rng.standard_normal(tuple(like.shape[1:])) for rng in generators(seeds, restart)]
    return torch.as_tensor(np.stack(drawn), dtype=like.dtype, device=like.device)
