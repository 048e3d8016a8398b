"""Black-box maps from random masks: RISE, S-RISE, CorrRISE and DISE.

Masks are drawn at once as small grids, which cost nothing, and enlarged batch by batch, so that memory does not grow
with their number. The grids depend on the seed alone, so that batches of any size give the same masks.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from facebench.errors import InputError
from facebench.probes.saliency.occlusion import fill_image
from facebench.probes.saliency.subject import Explained, Faces, Saliency, Scores, Target, declares

Masks = NDArray[np.float32]


class RiseMasks:
    """N smooth random masks: a grid of cells, each on with probability p, enlarged bilinearly and shifted at random.

    Source: Petsiuk, Das and Saenko 2018, "RISE: Randomized input sampling for explanation of black-box models".
    """

    def __init__(self, n: int, height: int, width: int, *, grid: int, p: float, seed: int) -> None:
        if n < 2 or grid < 2 or not 0 < p < 1:
            raise InputError(f"masks need n >= 2, grid >= 2 and 0 < p < 1; found n={n}, grid={grid}, p={p:g}")
        rng = np.random.default_rng([seed, n, grid])
        self._cells = rng.random((n, grid + 1, grid + 1)) < p
        self._shape = (height, width)
        self._sides = (-(-height // grid), -(-width // grid))
        self._shifts = np.stack([rng.integers(0, side, n) for side in self._sides], axis=1)
        # one interpolation matrix per possible shift, rows of pixels by columns of cells
        self._ramps = tuple(
            np.stack([_ramp(size, grid + 1, side, shift) for shift in range(side)])
            for size, side in zip(self._shape, self._sides, strict=True)
        )

    def __len__(self) -> int:
        return len(self._cells)

    def batches(self, size: int) -> Iterator[tuple[slice, Masks]]:
        """Yield (B, H, W) float32 masks in [0, 1] and the rows they are."""
        for start in range(0, len(self), size):
            rows = slice(start, min(start + size, len(self)))
            down = self._ramps[0][self._shifts[rows, 0]]
            across = self._ramps[1][self._shifts[rows, 1]]
            yield rows, np.matmul(np.matmul(down, self._cells[rows].astype(np.float32)), across.transpose(0, 2, 1))


def _ramp(size: int, cells: int, side: int, shift: int) -> Masks:
    """Return (size, cells) weights that enlarge a row of cells `side` times and start at pixel `shift`."""
    place = (np.arange(size) + shift + 0.5) / side - 0.5
    left = np.clip(np.floor(place), 0, cells - 1).astype(int)
    right = np.clip(left + 1, 0, cells - 1)
    share = np.clip(place - left, 0, 1).astype(np.float32)
    matrix = np.zeros((size, cells), np.float32)
    matrix[np.arange(size), left] += 1 - share
    matrix[np.arange(size), right] += share
    return matrix


def _blend(face: Faces, ground: Masks, masks: Masks) -> Faces:
    """Return (B, H, W, 3) uint8: the face where a mask is 1, the ground where it is 0."""
    from facebench.probes.saliency.kernels import blend

    height, width, _ = face.shape
    found = np.empty((len(masks), height, 3 * width), np.uint8)
    rise = (face.astype(np.float32) - ground).reshape(height, 3 * width)
    blend(rise, np.ascontiguousarray(ground).reshape(height, 3 * width), masks.astype(np.float32, copy=False), found)
    return found.reshape(len(masks), height, width, 3)


def _weighted(
    subject: Explained, masks: RiseMasks, fill: str
) -> tuple[NDArray[np.float64], NDArray[np.float64], Scores]:
    """Return sum of s_i M_i, sum of M_i, and the scores (N,) of the masked probe."""
    ground = fill_image(subject.probe, fill)
    flat = subject.probe.shape[0] * subject.probe.shape[1]
    total, weight, scores = np.zeros(flat), np.zeros(flat), np.empty(len(masks))
    for rows, batch in masks.batches(subject.batch_size):
        scores[rows] = subject.scores(_blend(subject.probe, ground, batch))
        pixels = batch.reshape(len(batch), -1)
        total += scores[rows] @ pixels
        weight += pixels.sum(0)
    return total, weight, scores


@declares(uses="embeddings", random=True)
def rise(subject: Explained, *, masks: int = 1000, grid: int = 8, p: float = 0.5, fill: str = "black") -> Saliency:
    """Map the mean score of the masked faces in which a pixel shows: S(x) = sum_i s_i M_i(x) / sum_i M_i(x).

    Source: Petsiuk et al. 2018. Each pixel is divided by its own total mask weight, not by the expected one.
    """
    height, width = subject.probe.shape[:2]
    drawn = RiseMasks(masks, height, width, grid=grid, p=p, seed=subject.seed)
    total, weight, _ = _weighted(subject, drawn, fill)
    settings = {"masks": masks, "grid": grid, "p": p, "fill": fill, "seed": subject.seed}
    values = (total / np.maximum(weight, 1e-9)).reshape(height, width)
    return Saliency.of(values, "rise", forwards=masks, settings=settings)


@declares(uses="embeddings", random=True)
def s_rise(subject: Explained, *, masks: int = 1000, grid: int = 8, p: float = 0.5, fill: str = "black") -> Saliency:
    """Map RISE with both faces under the same mask: s_i compares the masked probe with the equally masked reference.

    After the similarity-based RISE of Lu and Ebrahimi 2023, "Explanation of face recognition via saliency maps".
    Needs the reference's face; two faces hidden alike grow alike, so it often fails the positive controls.
    """
    return _both(subject, "s-rise", masks=masks, grid=grid, p=p, fill=fill)


@declares(uses="embeddings", random=True)
def corrrise(subject: Explained, *, masks: int = 1000, grid: int = 8, p: float = 0.5, fill: str = "black") -> Saliency:
    """Map Pearson's correlation, over masks, of the score with the visibility of a pixel.

    Positive values mark pixels that make the faces alike, negative ones pixels that set them apart. Source: Lu, Xu
    and Ebrahimi 2024, "Towards visual saliency explanations of face verification".
    """
    height, width = subject.probe.shape[:2]
    drawn = RiseMasks(masks, height, width, grid=grid, p=p, seed=subject.seed)
    total, weight, scores = _weighted(subject, drawn, fill)
    squares = np.zeros_like(weight)
    for _, batch in drawn.batches(256):
        pixels = batch.reshape(len(batch), -1)
        squares += np.einsum("nk,nk->k", pixels, pixels, dtype=np.float64)
    n = float(masks)
    covariance = total / n - scores.mean() * weight / n
    spread = np.sqrt(np.maximum(squares / n - (weight / n) ** 2, 1e-12)) * max(float(scores.std()), 1e-12)
    settings = {"masks": masks, "grid": grid, "p": p, "fill": fill, "seed": subject.seed}
    return Saliency.of(
        (covariance / spread).reshape(height, width), "corrrise", forwards=masks, settings=settings,
        convention="positive: makes the faces alike; negative: sets them apart",
    )  # fmt: skip


def _both(subject: Explained, method: str, *, masks: int, grid: int, p: float, fill: str) -> Saliency:
    if subject.reference is None:
        return Saliency.unsupported(method, "the reference's face is not at hand, only its embedding")
    if not isinstance(subject.target, Target) or subject.target.non_mate is not None:
        return Saliency.unsupported(method, "the method is defined for pairs, not for triplets")
    height, width = subject.probe.shape[:2]
    drawn = RiseMasks(masks, height, width, grid=grid, p=p, seed=subject.seed)
    grounds = fill_image(subject.probe, fill), fill_image(subject.reference, fill)
    total, weight = np.zeros(height * width), np.zeros(height * width)
    for _, batch in drawn.batches(subject.batch_size):
        left = subject.embed(_blend(subject.probe, grounds[0], batch)).astype(np.float64)
        right = subject.embed(_blend(subject.reference, grounds[1], batch)).astype(np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            scores = (left * right).sum(1) / (np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1))
        pixels = batch.reshape(len(batch), -1)
        total += scores @ pixels
        weight += pixels.sum(0)
    settings = {"masks": masks, "grid": grid, "p": p, "fill": fill, "seed": subject.seed}
    values = (total / np.maximum(weight, 1e-9)).reshape(height, width)
    return Saliency.of(values, method, forwards=2 * masks, settings=settings)


@declares(uses="embeddings", random=True)
def dise(subject: Explained, *, masks: int = 1000, grid: int = 12, cells: int = 2, fill: str = "blur") -> Saliency:
    """Map how much covering a few cells at a time lowers the score, cells drawn where faces differ from their blur.

    Density-based input sampling: cells are drawn with probability proportional to the prior density of detail, here
    the local contrast of the probe; each mask covers `cells` of them with the fill; a pixel's value is the mean
    fall of the score over the masks that cover it. With a triplet the score is the margin, so the weight is the
    mate's fall less the non-mate's. Source: Williford, May and Byrne 2020, "Explainable face recognition".
    """
    if cells < 1 or cells >= grid * grid or masks < 2:
        raise InputError(
            f"dise needs masks >= 2 and 1 <= cells < grid²; found masks={masks}, cells={cells}, grid={grid}"
        )
    height, width = subject.probe.shape[:2]
    ground = fill_image(subject.probe, fill)
    detail = np.abs(subject.probe.astype(np.float32) - fill_image(subject.probe, "blur")).sum(2)
    owner = (np.arange(height) * grid // height)[:, None] * grid + (np.arange(width) * grid // width)[None, :]
    density = np.bincount(owner.ravel(), detail.ravel(), grid * grid) + 1e-6
    density = 0.5 * density / density.sum() + 0.5 / grid**2  # half uniform, so that no cell is left out
    rng = np.random.default_rng([subject.seed, masks, grid])
    keys = np.log(density) + rng.gumbel(size=(masks, grid * grid))  # Gumbel top-k: draws without replacement
    chosen = np.argpartition(-keys, cells - 1, axis=1)[:, :cells]
    whole = float(subject.scores(subject.probe[None])[0])
    total, count = np.zeros(grid * grid), np.zeros(grid * grid)
    for start in range(0, masks, subject.batch_size):
        part = chosen[start : start + subject.batch_size]
        covered = np.zeros((len(part), grid * grid), np.float32)
        np.put_along_axis(covered, part, 1.0, axis=1)
        falls = whole - subject.scores(_blend(subject.probe, ground, 1 - covered[:, owner]))
        total += falls @ covered
        count += covered.sum(0)
    values = (total / np.maximum(count, 1))[owner]
    settings = {"masks": masks, "grid": grid, "cells": cells, "fill": fill, "seed": subject.seed}
    return Saliency.of(values, "dise", forwards=masks + 1, settings=settings)
