"""Images cut out of larger ones: warped to the ArcFace template by five landmarks, or a box around a face."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import overload

import numpy as np
from numpy.typing import NDArray

from facebench.data.decode import decode
from facebench.data.png import encode_png
from facebench.data.sources import ImageSource

ARCFACE_112 = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
"""Eyes, nose and corners of the mouth, x and y in pixels, in a face aligned to 112 x 112. Source: insightface."""


def similarity_transform(points: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the (2, 3) rotation, scaling and shift that brings points (n, 2) closest to a target.

    Least squares; source: Umeyama, "Least-squares estimation of transformation parameters", 1991.
    """
    a, b = points - points.mean(0), target - target.mean(0)
    u, sizes, vt = np.linalg.svd(b.T @ a)
    signs = np.array([1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    rotation = (u * signs) @ vt
    scale = (sizes * signs).sum() / max((a**2).sum(), 1e-12)
    found: NDArray[np.float64] = np.column_stack([scale * rotation, target.mean(0) - scale * rotation @ points.mean(0)])
    return found


@dataclass(frozen=True, slots=True, eq=False)
class AlignedSource:
    """An image warped so that five landmarks lie where the ArcFace template has them; it reads as a 112 x 112 PNG."""

    image: ImageSource
    points: NDArray[np.float64] = field(repr=False)  # (5, 2)

    @property
    def where(self) -> str:
        """Return where the image lies."""
        return self.image.where

    def read(self) -> bytes:
        """Return the aligned face as PNG; see `ImageSource.read`."""
        from PIL import Image

        forward = np.vstack([similarity_transform(self.points, ARCFACE_112), [0, 0, 1]])
        back = np.linalg.inv(forward)
        # Pillow's affine map takes pixel centres at half units, the template counts them from zero
        back[:2, 2] += 0.5 - 0.5 * back[:2, :2].sum(axis=1)
        face = Image.fromarray(decode(self.image.read())).transform(
            (112, 112), Image.Transform.AFFINE, tuple(back[:2].reshape(-1)), Image.Resampling.BILINEAR
        )
        return encode_png(np.asarray(face))


class AlignedSources(Sequence[ImageSource]):
    """Many aligned images of one tree, each made when it is asked for."""

    def __init__(self, source: Callable[[str], ImageSource], names: Sequence[str], points: NDArray[np.float64]) -> None:
        """Take the tree's `source`, (n,) names and (n, 5, 2) landmarks."""
        self._source, self._names, self._points = source, names, points

    def __len__(self) -> int:
        return len(self._names)

    @overload
    def __getitem__(self, index: int) -> AlignedSource: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[AlignedSource, ...]: ...
    def __getitem__(self, index: int | slice) -> AlignedSource | tuple[AlignedSource, ...]:
        if isinstance(index, slice):
            return tuple(self[i] for i in range(*index.indices(len(self))))
        return AlignedSource(self._source(self._names[index]), self._points[index])

    def one_per_folder(self) -> list[AlignedSource]:
        """Return one image of each folder."""
        folders = {name.rpartition("/")[0]: index for index, name in enumerate(self._names)}
        return [self[index] for index in folders.values()]


@dataclass(frozen=True, slots=True)
class BoxSource:
    """The box around a face in an image, cut at the image's edge; it reads as PNG."""

    image: ImageSource
    box: tuple[int, int, int, int]  # left, top, width, height; pixels

    @property
    def where(self) -> str:
        """Return where the image lies."""
        return self.image.where

    def read(self) -> bytes:
        """Return the box as PNG; see `ImageSource.read`."""
        from facebench.data.sources import ImageError

        left, top, width, height = self.box
        pixels = decode(self.image.read())
        cut = pixels[max(top, 0) : max(top + height, 0), max(left, 0) : max(left + width, 0)]
        if not cut.size:
            raise ImageError("the box of the face lies outside the image")
        return encode_png(np.ascontiguousarray(cut))
