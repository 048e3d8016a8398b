"""What a dataset is, once read: images, identities, attributes and comparisons; and the hash that names it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.data.sources import ImageSource
from facebench.errors import InputError
from facebench.files import canonical_json
from facebench.schema import Failure


@dataclass(frozen=True, eq=False)
class PairList:
    """A list of comparisons, one per row."""

    a: NDArray[np.int64]  # (n,) image indices
    b: NDArray[np.int64]  # (n,)
    genuine: NDArray[np.bool_]  # (n,) same identity
    fold: NDArray[np.int64] | None = None  # (n,) 0..folds-1; None when the list has no folds

    def __post_init__(self) -> None:
        columns = (self.a, self.b, self.genuine) + (() if self.fold is None else (self.fold,))
        if len({column.shape for column in columns}) != 1 or self.a.ndim != 1:
            raise InputError(f"a pair list needs columns of one length, found {[c.shape for c in columns]}")

    def __len__(self) -> int:
        return len(self.a)

    @property
    def n_folds(self) -> int | None:
        """Number of folds; None when the list has none."""
        return None if self.fold is None else int(self.fold.max(initial=-1)) + 1

    def among(self, n_images: int) -> PairList:
        """Return the pairs of the first images only."""
        keep = (self.a < n_images) & (self.b < n_images)
        fold = None if self.fold is None else self.fold[keep]
        return PairList(self.a[keep], self.b[keep], self.genuine[keep], fold)


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images of faces and what is known about them; every sequence has one entry per image, in the same order."""

    name: str
    root: Path  # the folder or container file it was read from
    image_ids: tuple[str, ...]
    images: tuple[ImageSource, ...]
    identities: tuple[str, ...] | None = None  # None: unknown
    attributes: Mapping[str, tuple[str | float | None, ...]] = field(default_factory=dict)  # None: empty cell
    landmarks: NDArray[np.float64] | None = None  # (n, 5, 2) x, y in pixels; NaN where absent
    region_masks: tuple[Path | None, ...] | None = None  # files, or names of members when `root` is an archive
    # "counterfactual_of", "attribute", "level"; "swap_of", "part": which image is an edit of which
    edits: Mapping[str, tuple[str | None, ...]] = field(default_factory=dict)
    change_masks: tuple[Path | None, ...] | None = None  # non-zero where an edit differs from its original
    pairs: PairList | None = None
    phantom: bool = False  # the faces are rendered, not photographed
    template_ids: tuple[str | None, ...] | None = None
    media_ids: tuple[str | None, ...] | None = None
    format: str = ""  # what it was read from, such as "manifest.csv"
    notes: tuple[str, ...] = ()  # what the reader noticed and left out
    info: Mapping[str, Any] = field(default_factory=dict)  # `dataset.json` beside the manifest

    def __post_init__(self) -> None:
        parts: dict[str, Sequence[Any] | NDArray[Any] | None] = {
            "images": self.images,
            "identities": self.identities,
            "landmarks": self.landmarks,
            "region_masks": self.region_masks,
            "change_masks": self.change_masks,
            **{f"edit {name!r}": values for name, values in self.edits.items()},
            "template_ids": self.template_ids,
            "media_ids": self.media_ids,
            **{f"attribute {name!r}": values for name, values in self.attributes.items()},
        }
        for what, values in parts.items():
            if values is not None and len(values) != len(self):
                raise InputError(f"dataset {self.name!r}: {len(values)} {what} for {len(self)} images")
        if len(set(self.image_ids)) != len(self):
            raise InputError(f"dataset {self.name!r}: an image_id is given twice")
        if self.pairs is not None and len(self.pairs):
            ends = np.stack([self.pairs.a, self.pairs.b])
            if ends.min() < 0 or ends.max() >= len(self):
                raise InputError(f"dataset {self.name!r}: a pair refers to an image beyond the {len(self)} there are")

    def __len__(self) -> int:
        return len(self.image_ids)

    def subset(self, limit: int) -> Dataset:
        """Return the first `limit` images and the pairs among them."""
        return replace(
            self,
            image_ids=self.image_ids[:limit],
            images=self.images[:limit],
            identities=None if self.identities is None else self.identities[:limit],
            attributes={name: values[:limit] for name, values in self.attributes.items()},
            landmarks=None if self.landmarks is None else self.landmarks[:limit],
            region_masks=None if self.region_masks is None else self.region_masks[:limit],
            edits={name: values[:limit] for name, values in self.edits.items()},
            change_masks=None if self.change_masks is None else self.change_masks[:limit],
            pairs=None if self.pairs is None else self.pairs.among(limit),
            template_ids=None if self.template_ids is None else self.template_ids[:limit],
            media_ids=None if self.media_ids is None else self.media_ids[:limit],
        )

    def summary(self) -> str:
        """Return what was found, in one line.

        For example ``manifest.csv: 400 images of 40 identities; 79,800 pairs (1,800 genuine)``.
        """
        text = f"{self.format or self.name}: {len(self):,} images"
        text += " without identities" if self.identities is None else f" of {len(set(self.identities)):,} identities"
        if self.pairs is not None:
            folds = f" in {self.pairs.n_folds} folds" if self.pairs.n_folds else ""
            text += f"; {len(self.pairs):,} pairs ({int(self.pairs.genuine.sum()):,} genuine){folds}"
        return "; ".join([text, *self.notes])


def dataset_sha256(dataset: Dataset, image_sha256s: Sequence[str | Failure]) -> str:
    """Return the sha256 that names a dataset: of what its rows say and of the bytes of its images.

    It covers, in order, image ids, identities, attributes, template and media ids, landmarks, pairs, and the
    sha256 of each image (an image that cannot be read counts as unreadable, whatever the reason). It does not
    depend on where the dataset lies, what its files are called, or the container: CSV, Parquet, zip and the
    converted copy of the same rows and image bytes have one name. Region masks are not covered.
    """
    if len(image_sha256s) != len(dataset):
        raise InputError(f"dataset {dataset.name!r}: {len(image_sha256s)} image hashes for {len(dataset)} images")
    digest = hashlib.sha256(b"facebench dataset 1\n")
    names = sorted(dataset.attributes)
    digest.update(_line(names))
    for row, image in enumerate(image_sha256s):
        digest.update(
            _line(
                [
                    dataset.image_ids[row],
                    None if dataset.identities is None else dataset.identities[row],
                    [dataset.attributes[name][row] for name in names],
                    None if dataset.template_ids is None else dataset.template_ids[row],
                    None if dataset.media_ids is None else dataset.media_ids[row],
                    _landmark_values(dataset, row),
                    image if isinstance(image, str) else "unreadable",
                ]
            )
        )
    if dataset.pairs is not None:
        digest.update(_line(["pairs", len(dataset.pairs), dataset.pairs.n_folds]))
        for column in (dataset.pairs.a, dataset.pairs.b, dataset.pairs.genuine, dataset.pairs.fold):
            if column is not None:
                digest.update(column.astype("<i8").tobytes())
    return digest.hexdigest()


def _line(values: list[Any]) -> bytes:
    return canonical_json(values).encode() + b"\n"


def _landmark_values(dataset: Dataset, row: int) -> list[float] | None:
    if dataset.landmarks is None or np.isnan(dataset.landmarks[row]).any():
        return None
    values: list[float] = dataset.landmarks[row].reshape(-1).tolist()
    return values
