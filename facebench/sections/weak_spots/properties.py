"""Properties of pictures that slices are made of: brightness, blur, size, and the turn of the face."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from facebench.data import Dataset, decode_batches
from facebench.measure.groups import Column, is_numeric
from facebench.probes.corruptions import GREY
from facebench.schema import Failure

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
MAX_VALUES = 12
BATCH = 64
THIRDS = ("low", "middle", "high")


def picture_properties(dataset: Dataset, wanted: Sequence[str], workers: int) -> dict[str, Floats]:
    """Return (N,) brightness, blur, size and pose, NaN where a picture cannot be read or has no landmarks.

    Brightness is the mean luminance, 0..255. Blur is minus the logarithm of the variance of the Laplacian of the
    luminance: higher is blurrier. Size is the root of width times height, pixels. Pose is how far the tip of the nose
    lies beside the middle of the eyes, in distances between the eyes: higher is turned further, to either side.
    """
    n = len(dataset)
    found = {name: np.full(n, np.nan) for name in wanted}
    if set(wanted) - {"pose"}:
        batches = [list(range(start, min(start + BATCH, n))) for start in range(0, n, BATCH)]
        for rows, batch in zip(batches, decode_batches(dataset, batches, workers), strict=True):
            for row, picture in zip(rows, batch, strict=True):
                if not isinstance(picture, Failure):
                    for name, value in _measured(picture).items():
                        if name in found:
                            found[name][row] = value
    if "pose" in wanted and dataset.landmarks is not None:
        points = dataset.landmarks
        eyes = (points[:, 0] + points[:, 1]) / 2
        across = points[:, 1] - points[:, 0]
        apart = np.linalg.norm(across, axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            found["pose"] = np.abs(((points[:, 2] - eyes) * across).sum(axis=1) / apart**2)
    return {name: values for name, values in found.items() if np.isfinite(values).any()}


def _measured(picture: NDArray[np.uint8]) -> dict[str, float]:
    grey = picture @ GREY.astype(np.float64)
    inner = grey[1:-1, 1:-1]
    curve = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * inner
    spread = float(curve.var()) if curve.size else 0.0
    return {
        "brightness": float(grey.mean()), "blur": -float(np.log(spread + 1e-3)),
        "size": float(np.sqrt(grey.shape[0] * grey.shape[1])),
    }  # fmt: skip


def masks_of(columns: Mapping[str, Column], rows: NDArray[np.int64]) -> dict[str, dict[str, Mask]]:
    """Return the values of columns and which of some images have them; numbers are cut into thirds.

    Columns of words with more than a dozen values, and columns with one, make no slices.
    """
    found: dict[str, dict[str, Mask]] = {}
    for name, column in columns.items():
        cells = [column[row] for row in rows]
        values = thirds(cells, name) if is_numeric(cells) else _words(cells, name)
        if len(values) > 1:
            found[name] = values
    return found


def thirds(cells: Sequence[str | float | None], name: str) -> dict[str, Mask]:
    """Return which images lie in the low, middle and high third of a number; its few different values alone."""
    numbers = np.array([np.nan if cell is None else float(cell) for cell in cells])
    known = np.isfinite(numbers)
    different = np.unique(numbers[known])
    if different.size <= 3:
        return {f"{name}={value:g}": numbers == value for value in different}
    low, high = np.quantile(numbers[known], (1 / 3, 2 / 3))
    parts = (numbers <= low, (numbers > low) & (numbers <= high), numbers > high)
    return {f"{name}={word}": part & known for word, part in zip(THIRDS, parts, strict=True) if (part & known).any()}


def _words(cells: Sequence[str | float | None], name: str) -> dict[str, Mask]:
    values = sorted({str(cell) for cell in cells if cell is not None})
    if len(values) > MAX_VALUES:
        return {}
    held = np.array(["" if cell is None else str(cell) for cell in cells])
    return {f"{name}={value}": held == value for value in values if value}
