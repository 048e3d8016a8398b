"""Inner loop of the black-box maps, compiled once with numba and cached on disk."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def blend(rise: Any, ground: Any, masks: Any, out: Any) -> None:
    """Write ``rint(mask * rise + ground)`` for every mask, in float32.

    Three passes over memory in numpy take a sixth of the time of a small network; this takes a third of that.

    Args:
        rise: (H, 3 W) float32, face minus ground.
        ground: (H, 3 W) float32.
        masks: (B, H, W) float32 in [0, 1].
        out: (B, H, 3 W) uint8, written.
    """
    n = rise.shape[1]
    weight = np.empty(n, np.float32)
    for i in range(masks.shape[0]):
        for y in range(masks.shape[1]):
            for x in range(masks.shape[2]):
                weight[3 * x] = weight[3 * x + 1] = weight[3 * x + 2] = masks[i, y, x]
            for k in range(n):
                out[i, y, k] = np.uint8(np.int32(np.rint(weight[k] * rise[y, k] + ground[y, k])))
