"""Black-box maps from regular patches: occlusion, x-face and MinPlus."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from facebench.errors import InputError
from facebench.probes.saliency.subject import Explained, Faces, Saliency, declares

Floats = NDArray[np.float64]
FILLS = ("black", "mean", "blur")


def fill_image(face: Faces, fill: str) -> NDArray[np.float32]:
    """Return (H, W, 3) float32 of what stands where a face is removed.

    Args:
        face: (H, W, 3) uint8.
        fill: ``black``, ``mean`` (the face's own mean colour) or ``blur`` (Gaussian, sigma an eighth of the height).
    """
    pixels = face.astype(np.float32)
    if fill == "black":
        return np.zeros_like(pixels)
    if fill == "mean":
        return np.broadcast_to(pixels.mean(axis=(0, 1)), pixels.shape).astype(np.float32)
    if fill == "blur":
        from scipy.ndimage import gaussian_filter

        return np.asarray(gaussian_filter(pixels, (face.shape[0] / 8, face.shape[0] / 8, 0)), np.float32)
    raise InputError(f"unknown fill {fill!r}; known: {', '.join(FILLS)}")


def patch_boxes(height: int, width: int, side: int, stride: int) -> list[tuple[int, int, int, int]]:
    """Return top, left, bottom, right of square patches that cover an image; those over an edge are cut off."""
    if side < 1 or stride < 1 or side > min(height, width):
        raise InputError(f"a patch of {side} at stride {stride} does not fit a face of {width}x{height}")
    tops = range(-(side - stride) if stride < side else 0, height, stride)
    lefts = range(-(side - stride) if stride < side else 0, width, stride)
    return [
        (max(top, 0), max(left, 0), min(top + side, height), min(left + side, width)) for top in tops for left in lefts
    ]


def _boxed(
    face: Faces, fill: NDArray[np.float32], boxes: list[tuple[int, int, int, int]], size: int
) -> Iterator[Faces]:
    """Yield batches of the face with one box each filled."""
    filled = np.rint(fill).astype(np.uint8)
    for start in range(0, len(boxes), size):
        part = boxes[start : start + size]
        batch = np.repeat(face[None], len(part), axis=0)
        for row, (top, left, bottom, right) in enumerate(part):
            batch[row, top:bottom, left:right] = filled[top:bottom, left:right]
        yield batch


def _drops(subject: Explained, fill: str, boxes: list[tuple[int, int, int, int]]) -> Floats:
    """Return (P,) how much the score falls when each box is filled."""
    # the whole face is the last of the same batches: alone it would cost a padded batch of its own
    batches = _boxed(subject.probe, fill_image(subject.probe, fill), [*boxes, (0, 0, 0, 0)], subject.batch_size)
    scores = np.concatenate([subject.scores(batch) for batch in batches])
    return np.asarray(scores[-1] - scores[:-1])


@declares(uses="embeddings", random=False)
def occlusion(subject: Explained, *, patch: int = 16, stride: int = 8, fill: str = "black") -> Saliency:
    """Map how much the score falls when a patch is covered, averaged over the patches that cover a pixel.

    Source: Zeiler and Fergus 2014, "Visualizing and understanding convolutional networks". 16/8 on 112 x 112 takes
    226 forward passes: patches over the edge are counted, so that every pixel is covered equally often.
    """
    height, width = subject.probe.shape[:2]
    boxes = patch_boxes(height, width, patch, stride)
    drops = _drops(subject, fill, boxes)
    total, count = np.zeros((height, width)), np.zeros((height, width))
    for drop, (top, left, bottom, right) in zip(drops, boxes, strict=True):
        total[top:bottom, left:right] += drop
        count[top:bottom, left:right] += 1
    return Saliency.of(
        total / count, "occlusion", forwards=len(boxes) + 1,
        settings={"patch": patch, "stride": stride, "fill": fill},
    )  # fmt: skip


@declares(uses="embeddings", random=False)
def x_face(
    subject: Explained, *, patches: tuple[int, ...] = (7, 14, 28), stride: int = 5, fill: str = "black"
) -> Saliency:
    """Map the mean over patch sizes of score drop per covered pixel: sum (1 - M) delta / patch^2.

    Source: Knoche et al. 2023, "Explainable model-agnostic similarity and confidence in face verification".
    """
    height, width = subject.probe.shape[:2]
    total, forwards = np.zeros((height, width)), 1
    for side in patches:
        boxes = patch_boxes(height, width, side, stride)
        drops = _drops(subject, fill, boxes)
        forwards += len(boxes)
        own, count = np.zeros((height, width)), np.zeros((height, width))
        for drop, (top, left, bottom, right) in zip(drops, boxes, strict=True):
            own[top:bottom, left:right] += drop / side**2
            count[top:bottom, left:right] += 1
        total += own / count
    settings = {"patches": list(patches), "stride": stride, "fill": fill}
    return Saliency.of(total / len(patches), "x-face", forwards=forwards, settings=settings)


@lru_cache(maxsize=4)
def _bells(height: int, width: int, sigma: float, stride: int) -> NDArray[np.float32]:
    """Return (P, H, W) Gaussian windows with peak 1 on a regular grid."""
    y, x = np.arange(height)[:, None], np.arange(width)[None, :]
    centres = [(cy, cx) for cy in range(stride // 2, height, stride) for cx in range(stride // 2, width, stride)]
    return np.stack(
        [np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (2 * sigma**2)).astype(np.float32) for cy, cx in centres]
    )


@declares(uses="embeddings", random=False)
def minplus(subject: Explained, *, sigma: float = 10.0, stride: int = 8, fill: str = "black") -> Saliency:
    """Map the mean of two views: how much the score falls when one Gaussian window is removed from the face (minus),
    and how much it rises when that window alone is shown (plus), each scaled to a largest value of 1.

    Source: Mery and Morris 2022, "On black-box explanation for face verification", the one-step variants.
    """
    height, width = subject.probe.shape[:2]
    windows = _bells(height, width, sigma, stride)
    ground = fill_image(subject.probe, fill)
    whole = float(subject.scores(subject.probe[None])[0])
    empty = float(subject.scores(np.rint(ground).astype(np.uint8)[None])[0])
    empty = empty if np.isfinite(empty) else 0.0  # a black face may have no embedding
    face = subject.probe.astype(np.float32)
    minus, plus = [], []
    for start in range(0, len(windows), subject.batch_size):
        w = windows[start : start + subject.batch_size, :, :, None]
        minus.append(whole - subject.scores(np.rint(face * (1 - w) + ground * w).astype(np.uint8)))
        plus.append(subject.scores(np.rint(face * w + ground * (1 - w)).astype(np.uint8)) - empty)
    total = np.zeros((height, width))
    for changes in (np.concatenate(minus), np.concatenate(plus)):
        view = np.tensordot(changes, windows.astype(np.float64), 1) / windows.sum(0)
        total += view / max(float(np.abs(view).max()), 1e-12)
    settings = {"sigma": sigma, "stride": stride, "fill": fill}
    return Saliency.of(total / 2, "minplus", forwards=2 * len(windows) + 2, settings=settings)
