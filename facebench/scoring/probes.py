"""Comparison of one set of images with another version of the same images."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from facebench.scoring import Vectors, similarity

_BLOCK = 512


def compare_probes(enrolled: Vectors, probes: Vectors, comparator: str = "cosine") -> NDArray[np.float32]:
    """Compare every image i with the other version of every later image j, each pair i < j once.

    Args:
        enrolled, probes: (N, D) of the same N images; a failed image is a row of NaN.

    Returns:
        (N (N - 1) / 2,) scores in the order of ``np.triu_indices(N, 1)``.
    """
    n = enrolled.shape[0]
    scores = np.empty(n * (n - 1) // 2, np.float32)
    filled = 0
    for start in range(0, n, _BLOCK):
        block = similarity(enrolled[start : start + _BLOCK], probes[start:], comparator)
        for row in range(block.shape[0]):
            values = block[row, row + 1 :]
            scores[filled : filled + values.size] = values
            filled += values.size
    return scores
