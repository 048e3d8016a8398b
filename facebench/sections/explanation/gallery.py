"""Pictures for the report: maps as colours, over the face where the face is rendered; and the tree of methods."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.metrics.explanation import clustering_tree
from facebench.schema.explanation import GalleryPicture, GalleryRow

# dark blue over grey to orange: even for colour-blind readers, and its lightness rises with the value
_STOPS = np.array([[12, 20, 69], [59, 89, 152], [150, 150, 150], [230, 159, 0], [255, 236, 160]], np.float64)
_QUALITY = 80


def rows(
    pairs: Sequence[tuple[int, int]],
    names: Sequence[tuple[str, str]],
    faces: Mapping[int, NDArray[np.uint8]],
    drawn: Mapping[str, NDArray[Any]],
    count: int,
    *,
    with_faces: bool,
) -> tuple[GalleryRow, ...]:
    """Return the first pairs as pictures: with rendered faces probe, mate and overlays, else the maps alone."""
    found = []
    for row, (probe, mate) in enumerate(pairs[:count]):
        pictures = []
        if with_faces:
            shown = [("probe", probe)] if probe == mate else [("probe", probe), ("mate", mate)]
            pictures += [_picture(caption, faces[face]) for caption, face in shown]
        for name, maps in drawn.items():
            if row < len(maps) and np.isfinite(maps[row]).all():
                pictures.append(_picture(name, overlay(maps[row], faces[probe] if with_faces else None)))
        found.append(GalleryRow(probe=names[row][0], mate=names[row][1], pictures=tuple(pictures)))
    return tuple(found)


def overlay(h: NDArray[Any], face: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
    """Return (H, W, 3) uint8: the map in colours between its 1st and 99th percentile, over the grey face if given."""
    low, high = np.percentile(h, (1, 99))
    place = np.clip((h - low) / max(float(high - low), 1e-12), 0, 1) * (len(_STOPS) - 1)
    left = np.minimum(place.astype(int), len(_STOPS) - 2)
    share = (place - left)[..., None]
    colours = _STOPS[left] * (1 - share) + _STOPS[left + 1] * share
    if face is not None:
        colours = 0.55 * colours + 0.45 * face.mean(axis=2, keepdims=True)
    return np.asarray(np.rint(colours), np.uint8)


def _picture(caption: str, pixels: NDArray[np.uint8]) -> GalleryPicture:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=_QUALITY)
    text = base64.b64encode(buffer.getvalue()).decode()
    return GalleryPicture(caption=caption, data_uri=f"data:image/jpeg;base64,{text}")


def tree(maps: Mapping[str, NDArray[Any]]) -> tuple[tuple[tuple[float, ...], ...], tuple[str, ...]]:
    """Return the linkage rows and labels of the methods' mean maps."""
    means = {}
    for name, found in maps.items():
        usable = [h.astype(np.float64) for h in found if np.isfinite(h).all() and np.ptp(h) > 0]
        if usable:
            mean = np.mean(usable, axis=0)
            if np.ptp(mean) > 0:
                means[name] = mean
    if len(means) < 2:
        return (), ()
    linkage = clustering_tree(list(means.values()))
    return tuple(tuple(float(v) for v in row) for row in linkage), tuple(means)
