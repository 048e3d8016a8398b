"""Where an expression shows: zones of the face after Friesen and Ekman, from any division of a face into parts.

The action units of each expression (Friesen and Ekman 1983, "EMFACS-7"; Ekman, Friesen and Hager 2002) are brought to
the zone in which they move the face. Zones come from the parts of `regions`, which 68 landmarks, five landmarks or the
label map of a phantom give.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]

UNITS: dict[str, tuple[int, ...]] = {
    "happiness": (6, 12), "sadness": (1, 4, 15), "surprise": (1, 2, 5, 26), "fear": (1, 2, 4, 5, 20, 26),
    "anger": (4, 5, 7, 23), "disgust": (9, 15, 16),
}  # fmt: skip
"""Action units of each expression."""

ZONE_OF: dict[int, str] = {
    1: "inner_brows", 2: "outer_brows", 4: "inner_brows", 5: "eyes", 6: "cheeks", 7: "eyes", 9: "nose",
    12: "mouth_corners", 15: "mouth_corners", 16: "mouth", 20: "mouth", 23: "mouth", 26: "mouth_and_chin",
}  # fmt: skip
"""In which zone each unit moves the face."""

WORDS = {
    "happy": "happiness", "joy": "happiness", "happiness": "happiness", "sad": "sadness", "sadness": "sadness",
    "surprise": "surprise", "surprised": "surprise", "fear": "fear", "fearful": "fear", "afraid": "fear",
    "anger": "anger", "angry": "anger", "disgust": "disgust", "disgusted": "disgust",
}  # fmt: skip
"""Words for the six expressions."""


def expression_regions(parts: Mapping[str, Mask]) -> dict[str, Mask]:
    """Return the region of each of the six expressions, from a face's eyes, brows, nose, mouth and other_face.

    Expressions whose zones are not to be seen are left out.
    """
    zones = _zones(parts)
    found = {}
    for name, units in UNITS.items():
        region = np.any([zones[ZONE_OF[unit]] for unit in units], axis=0)
        if region.any():
            found[name] = np.asarray(region, bool)
    return found


def _zones(parts: Mapping[str, Mask]) -> dict[str, Mask]:
    shape = parts["mouth"].shape
    y, x = np.mgrid[: shape[0], : shape[1]]
    brows, eyes, nose, mouth, rest = (parts[name] for name in ("brows", "eyes", "nose", "mouth", "other_face"))
    inner = _middle(brows, x, 0.5)
    corners = mouth & ~_middle(mouth, x, 0.5)
    below = np.zeros(shape, bool)
    cheeks = np.zeros(shape, bool)
    if mouth.any():
        columns = np.flatnonzero(mouth.any(axis=0))
        below = rest & (y > np.flatnonzero(mouth.any(axis=1)).max()) & (x >= columns[0]) & (x <= columns[-1])
        if eyes.any():
            low, top = np.flatnonzero(eyes.any(axis=1)).max(), np.flatnonzero(mouth.any(axis=1)).min()
            sides = np.flatnonzero(eyes.any(axis=0))
            cheeks = rest & (y > low) & (y <= top) & (x >= sides[0]) & (x <= sides[-1])
    return {
        "inner_brows": inner, "outer_brows": brows & ~inner, "eyes": eyes, "nose": nose, "cheeks": cheeks,
        "mouth": mouth, "mouth_corners": corners, "mouth_and_chin": mouth | below,
    }  # fmt: skip


def _middle(part: Mask, x: NDArray[np.int64], share: float) -> Mask:
    """Return the middle share of a part's width."""
    columns = np.flatnonzero(part.any(axis=0))
    if not columns.size:
        return np.zeros(part.shape, bool)
    centre, half = (columns[0] + columns[-1]) / 2, (columns[-1] - columns[0] + 1) * share / 2
    return np.asarray(part & (np.abs(x - centre) <= half), bool)
