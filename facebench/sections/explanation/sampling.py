"""Which pairs and triplets are explained, and the regions of their faces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.data import Dataset, decode_batches
from facebench.errors import InputError
from facebench.measure.sample import Images
from facebench.metrics.streams import Stream, generator
from facebench.probes.saliency.regions import TEMPLATE, from_labels, from_landmarks
from facebench.schema import Failure

Faces = NDArray[np.uint8]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Triplet:
    """Image rows of a part swap: the probe, mates of it, its twin, other images of the twin, and the changed pixels."""

    probe: int
    mates: tuple[int, ...]
    twin: int
    twin_mates: tuple[int, ...]
    part: str
    changed: Mask


def choose_pairs(
    images: Images, usable: NDArray[np.bool_], n: int, seed: int, *, skip: frozenset[int] = frozenset()
) -> list[tuple[int, int]]:
    """Return up to `n` genuine pairs (probe, mate), spread over as many identities as there are.

    Identities are visited in a seeded order, again and again, and each visit takes two different images at random;
    a pair is taken once.
    """
    if images.identities is None:
        return []
    rng = generator(Stream.EXPLAINED_PAIRS, seed)
    rows: dict[int, list[int]] = {}
    for row, identity in enumerate(images.identity):
        if usable[row] and row not in skip:
            rows.setdefault(int(identity), []).append(row)
    waiting = []
    for identity in rng.permutation(sorted(rows)):
        own = rows[int(identity)]
        every = [(own[j], own[i]) for i in range(len(own)) for j in range(i + 1, len(own))]
        if every:
            waiting.append([every[k] for k in rng.permutation(len(every))])
    found: list[tuple[int, int]] = []
    depth = 0
    while len(found) < n and any(depth < len(pairs) for pairs in waiting):
        found += [pairs[depth] for pairs in waiting if depth < len(pairs)][: n - len(found)]
        depth += 1
    return found


def read_faces(dataset: Dataset, rows: Sequence[int], workers: int) -> dict[int, Faces]:
    """Return the pixels of images by row; those that cannot be read are left out."""
    wanted = sorted(set(rows))
    (decoded,) = decode_batches(dataset, [wanted], workers)
    return {row: image for row, image in zip(wanted, decoded, strict=True) if not isinstance(image, Failure)}


def regions_of(
    dataset: Dataset, row: int, shape: tuple[int, int], points: Sequence[float] | None = None
) -> dict[str, Mask]:
    """Return the regions of one image: from its region mask, its 68 or five landmarks, or the alignment template.

    Args:
        points: ten shares of width and height, where the landmarks of pictures without any of their own lie.

    Raises:
        InputError: there is neither, and the face is not of the template's size.
    """
    mask = None if dataset.region_masks is None else dataset.region_masks[row]
    if mask is not None and dataset.phantom:
        return from_labels(read_mask(dataset, mask))
    many = None if dataset.landmarks68 is None else dataset.landmarks68[row]
    if many is not None:
        return from_landmarks(_sixty_eight(many, dataset.image_ids[row]), shape)
    if dataset.landmarks is not None and np.isfinite(dataset.landmarks[row]).all():
        return from_landmarks(dataset.landmarks[row], shape)
    if points is not None:
        return from_landmarks(np.reshape(points, (5, 2)) * [shape[1], shape[0]], shape)
    if shape == (112, 112):
        return from_landmarks(TEMPLATE, shape)
    raise InputError(
        f"image {dataset.image_ids[row]}: regions need landmarks, a region mask, explanation.points, or a face "
        f"aligned to 112x112; this one is {shape[1]}x{shape[0]} without any"
    )


def _sixty_eight(cell: str, image_id: str) -> NDArray[np.float64]:
    try:
        found = np.array([float(word) for word in cell.split()])
    except ValueError:
        found = np.empty(0)
    if found.size != 136:
        raise InputError(f"image {image_id}: landmarks68 must be 136 numbers separated by blanks: x1 y1 .. x68 y68")
    return found.reshape(68, 2)


def read_mask(dataset: Dataset, path: Any) -> NDArray[np.uint8]:
    """Return a label map or mask (H, W), from a folder or from inside the dataset's zip file."""
    import io
    import zipfile

    from PIL import Image

    name = str(path)
    try:
        if dataset.root.suffix == ".zip":
            with zipfile.ZipFile(dataset.root) as archive:
                data: Any = io.BytesIO(archive.read(name))
        else:
            data = path
        with Image.open(data) as image:
            return np.asarray(image.convert("L"))
    except (OSError, KeyError, ValueError) as error:
        raise InputError(f"mask {name} of dataset {dataset.name} cannot be read: {error}") from error


def find_triplets(dataset: Dataset, images: Images, usable: NDArray[np.bool_], n: int, seed: int) -> list[Triplet]:
    """Return up to `n` part-swap triplets, spread over parts in a seeded order; none where the dataset has none.

    A triplet needs an original and its twin, the mask of the pixels that were changed, and for each of the two
    another image of the same identity, which is its gallery.
    """
    originals = dataset.edits.get("swap_of")
    if originals is None or dataset.change_masks is None or images.identities is None or not n:
        return []
    row_of = {image_id: row for row, image_id in enumerate(dataset.image_ids)}
    by_part: dict[str, list[Triplet]] = {}
    for twin, original in enumerate(originals):
        mask = dataset.change_masks[twin]
        if original is None or mask is None or original not in row_of:
            continue
        probe, part = row_of[original], dataset.edits["part"][twin] or ""
        mates = _others(images, usable, probe, originals)
        twin_mates = _others(images, usable, twin, originals)
        if usable[probe] and usable[twin] and mates and twin_mates:
            changed = read_mask(dataset, mask) > 0
            if changed.any() and not changed.all():  # an empty mask can be neither hit nor missed
                by_part.setdefault(part, []).append(Triplet(probe, mates, twin, twin_mates, part, changed))
    rng = generator(Stream.TRIPLETS, seed)
    waiting = [[own[k] for k in rng.permutation(len(own))] for _, own in sorted(by_part.items())]
    longest = max((len(own) for own in waiting), default=0)
    return [own[depth] for depth in range(longest) for own in waiting if depth < len(own)][:n]


def _others(images: Images, usable: NDArray[np.bool_], row: int, originals: Sequence[str | None]) -> tuple[int, ...]:
    """Return other usable images of an image's identity, without part swaps of it."""
    same = np.flatnonzero((images.identity == images.identity[row]) & usable)
    return tuple(int(r) for r in same if r != row and originals[int(r)] is None)
