"""What a dataset is, once read: images, identities, attributes and comparisons; and the hash that names it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice, repeat
from json.encoder import encode_basestring as _text  # as canonical JSON writes words
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from facebench.data.sources import ImageSource
from facebench.errors import InputError
from facebench.files import canonical_json
from facebench.schema import Failure, LeftOut

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class PairList:
    """A list of comparisons, one per row."""

    a: NDArray[np.integer[Any]]  # (n,) image indices
    b: NDArray[np.integer[Any]]  # (n,)
    genuine: NDArray[np.bool_]  # (n,) same identity
    fold: NDArray[np.int64] | None = None  # (n,) 0..folds-1; None when the list has no folds

    def __post_init__(self) -> None:
        columns = (self.a, self.b, self.genuine) + (() if self.fold is None else (self.fold,))
        if len({column.shape for column in columns}) != 1 or self.a.ndim != 1:
            raise InputError(f"a pair list needs columns of one length, found {[c.shape for c in columns]}")

    def __len__(self) -> int:
        return len(self.a)

    def within(self, n: int) -> bool:
        """Return whether every end is an index from 0 to n - 1."""
        return all(not end.size or (end.min() >= 0 and end.max() < n) for end in (self.a, self.b))

    @property
    def n_folds(self) -> int | None:
        """Number of folds; None when the list has none."""
        return None if self.fold is None else int(self.fold.max(initial=-1)) + 1

    def among(self, rows: NDArray[np.int64], n_images: int) -> PairList:
        """Return the pairs among some of the images, in terms of their new places."""
        place = np.full(n_images, -1, np.int64)
        place[rows] = np.arange(rows.size)
        a, b = place[self.a], place[self.b]
        keep = (a >= 0) & (b >= 0)
        fold = None if self.fold is None else self.fold[keep]
        return PairList(a[keep], b[keep], self.genuine[keep], fold)


@dataclass(frozen=True)
class Counterfactual:
    """What an edited image is: the image it was made from, the attribute that was changed, and its new level."""

    of: str
    attribute: str
    level: str


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images of faces and what is known about them; every sequence has one entry per image, in the same order."""

    name: str
    root: Path  # the folder or container file it was read from
    image_ids: tuple[str, ...]
    images: Sequence[ImageSource]
    identities: tuple[str, ...] | None = None  # None: unknown
    attributes: Mapping[str, tuple[str | float | None, ...]] = field(default_factory=dict)  # None: empty cell
    landmarks: NDArray[np.float64] | None = None  # (n, 5, 2) x, y in pixels; NaN where absent
    landmarks68: tuple[str | None, ...] | None = None  # x1 y1 .. x68 y68 in the iBUG order, pixels; for regions only
    region_masks: tuple[Path | None, ...] | None = None  # files, or names of members when `root` is an archive
    # "counterfactual_of", "attribute", "level"; "swap_of", "part": which image is an edit of which
    edits: Mapping[str, tuple[str | None, ...]] = field(default_factory=dict)
    change_masks: tuple[Path | None, ...] | None = None  # non-zero where an edit differs from its original
    pairs: PairList | None = None
    phantom: bool = False  # the faces are rendered, not photographed
    template_ids: tuple[str | None, ...] | None = None
    media_ids: tuple[str | None, ...] | None = None
    template_pairs: PairList | None = None  # its indices count templates, in the order of `templates()`
    detector_scores: NDArray[np.float64] | None = None  # (n,) how sure the face detector was
    roles: tuple[str | None, ...] | None = None  # gallery, gallery-2 or probe, for 1:N search
    format: str = ""  # what it was read from, such as "manifest.csv"
    left_out: tuple[LeftOut, ...] = ()  # what the reader left out
    notes: tuple[str, ...] = ()  # what else it noticed
    info: Mapping[str, Any] = field(default_factory=dict)  # `dataset.json` beside the manifest

    def __post_init__(self) -> None:
        parts: dict[str, Sequence[Any] | NDArray[Any] | None] = {
            "images": self.images,
            "identities": self.identities,
            "landmarks": self.landmarks,
            "landmarks68": self.landmarks68,
            "region_masks": self.region_masks,
            "change_masks": self.change_masks,
            **{f"edit {name!r}": values for name, values in self.edits.items()},
            "template_ids": self.template_ids,
            "media_ids": self.media_ids,
            "detector scores": self.detector_scores,
            "roles": self.roles,
            **{f"attribute {name!r}": values for name, values in self.attributes.items()},
        }
        for what, values in parts.items():
            if values is not None and len(values) != len(self):
                raise InputError(f"dataset {self.name!r}: {len(values)} {what} for {len(self)} images")
        if len(set(self.image_ids)) != len(self):
            raise InputError(f"dataset {self.name!r}: an image_id is given twice")
        if self.pairs is not None and not self.pairs.within(len(self)):
            raise InputError(f"dataset {self.name!r}: a pair refers to an image beyond the {len(self)} there are")

        if self.template_pairs is not None and len(self.template_pairs):
            n = len(self.templates()[0])
            if not self.template_pairs.within(n):
                raise InputError(f"dataset {self.name!r}: a pair refers to a template beyond the {n} there are")

    def __len__(self) -> int:
        return len(self.image_ids)

    @property
    def counterfactuals(self) -> tuple[Counterfactual | None, ...] | None:
        """What each image was made from, None for an unedited one; None altogether when none is edited."""
        originals = self.edits.get("counterfactual_of", ())
        if not any(originals):
            return None
        columns = zip(originals, self.edits["attribute"], self.edits["level"], strict=True)
        return tuple(None if of is None else Counterfactual(of, what or "", to or "") for of, what, to in columns)

    def templates(self) -> tuple[tuple[str, ...], NDArray[np.int64]]:
        """Return the template ids in order of appearance, and (n,) the template of each image, -1 for none."""
        return self._templates

    @cached_property
    def _templates(self) -> tuple[tuple[str, ...], NDArray[np.int64]]:
        index: dict[str, int] = {}
        of_image = [
            -1 if name is None else index.setdefault(name, len(index))
            for name in self.template_ids or [None] * len(self)
        ]
        return tuple(index), np.array(of_image, np.int64)

    def subset(self, limit: int) -> Dataset:
        """Return the first `limit` images and the pairs among them."""
        return self.take(np.arange(min(limit, len(self))))

    def take(self, rows: NDArray[np.int64]) -> Dataset:
        """Return the images of some rows, in that order, and the pairs among them."""
        index = rows.tolist()

        def some(values: tuple[T, ...] | None) -> tuple[T, ...] | None:
            return None if values is None else tuple(values[row] for row in index)

        return replace(
            self,
            image_ids=tuple(self.image_ids[row] for row in index),
            images=tuple(self.images[row] for row in index),
            attributes={name: tuple(values[row] for row in index) for name, values in self.attributes.items()},
            landmarks=None if self.landmarks is None else self.landmarks[rows],
            pairs=None if self.pairs is None else self.pairs.among(rows, len(self)),
            identities=some(self.identities),
            landmarks68=some(self.landmarks68),
            region_masks=some(self.region_masks),
            template_ids=some(self.template_ids),
            media_ids=some(self.media_ids),
            edits={name: tuple(values[row] for row in index) for name, values in self.edits.items()},
            change_masks=some(self.change_masks),
            template_pairs=self._template_pairs_of(rows),
            detector_scores=None if self.detector_scores is None else self.detector_scores[rows],
            roles=some(self.roles),
        )

    def _template_pairs_of(self, rows: NDArray[np.int64]) -> PairList | None:
        """Return the pairs among the templates that some rows belong to, which are numbered anew."""
        if self.template_pairs is None:
            return None
        names, template = self.templates()
        kept = dict.fromkeys(int(number) for number in template[rows] if number >= 0)
        return self.template_pairs.among(np.array(list(kept), np.int64), len(names))

    def summary(self) -> str:
        """Return what was found, in one line.

        For example ``manifest.csv: 400 images of 40 identities; 79,800 pairs (1,800 genuine)``.
        """
        text = f"{self.format or self.name}: {len(self):,} images"
        text += " without identities" if self.identities is None else f" of {len(set(self.identities)):,} identities"
        if self.pairs is not None:
            folds = f" in {self.pairs.n_folds} folds" if self.pairs.n_folds else ""
            text += f"; {len(self.pairs):,} pairs ({int(self.pairs.genuine.sum()):,} genuine){folds}"
        if self.template_ids is not None:
            text += f"; {len(self.templates()[0]):,} templates"
        if self.template_pairs is not None:
            genuine = int(self.template_pairs.genuine.sum())
            text += f"; {len(self.template_pairs):,} template pairs ({genuine:,} genuine)"
        return "; ".join([text, *self.notes, *map(left_out_words, self.left_out)])


def left_out_words(item: LeftOut) -> str:
    """Return what was left out as one phrase, such as ``files that are no images: 2 (a.txt, b.txt), left out``."""
    more = ", …" if item.count > len(item.examples) else ""
    shown = f" ({', '.join(item.examples)}{more})" if item.examples else ""
    return f"{item.what}: {item.count:,}{shown}" + (f", {item.effect}" if item.effect else "")


def dataset_sha256(dataset: Dataset, image_sha256s: Sequence[str | Failure | None]) -> str:
    """Return the sha256 that names a dataset: of what its rows say and of the bytes of its images.

    It covers, in order, image ids, identities, attributes, template and media ids, landmarks, the sha256 of each
    image, pairs, and what edited images were made from (an image that cannot be read counts as unreadable, whatever
    the reason). It does not depend on where the dataset lies, what its files are called, or the container: CSV,
    Parquet, zip and the converted copy of the same rows and image bytes have one name. Region masks and 68
    landmarks, which only say where parts of a face lie, are not covered.
    """
    if len(image_sha256s) != len(dataset):
        raise InputError(f"dataset {dataset.name!r}: {len(image_sha256s)} image hashes for {len(dataset)} images")
    digest = hashlib.sha256(b"facebench dataset 1\n")
    names = sorted(dataset.attributes)
    digest.update(_line(names))
    lines = _row_lines(dataset, names, image_sha256s)
    while some := "".join(islice(lines, 1000)):
        digest.update(some.encode())
    for what, pairs in (("pairs", dataset.pairs), ("template pairs", dataset.template_pairs)):
        if pairs is not None:
            digest.update(_line([what, len(pairs), pairs.n_folds]))
            for column in (pairs.a, pairs.b, pairs.genuine, pairs.fold):
                if column is not None:
                    digest.update(column.astype("<i8").tobytes())
    if dataset.counterfactuals is not None:
        edits = [None if edit is None else [edit.of, edit.attribute, edit.level] for edit in dataset.counterfactuals]
        digest.update(_line(["counterfactuals", *edits]))
    return digest.hexdigest()


def _line(values: list[Any]) -> bytes:
    return canonical_json(values).encode() + b"\n"


def _row_lines(dataset: Dataset, names: Sequence[str], sha256s: Sequence[str | Failure | None]) -> Iterator[str]:
    """Yield the line of canonical JSON of every image, put together from the JSON of its cells, column by column."""
    n = len(dataset)
    attributes = [[canonical_json(cell) for cell in dataset.attributes[name]] for name in names]
    columns: list[Iterable[str]] = [
        map(_text, dataset.image_ids),
        _texts(dataset.identities, n),
        (f"[{','.join(cells)}]" for cells in zip(*attributes, strict=True)) if names else repeat("[]", n),
        _texts(dataset.template_ids, n),
        _texts(dataset.media_ids, n),
        _landmark_texts(dataset),
        _texts([image if isinstance(image, str) else "unreadable" for image in sha256s], n),
    ]
    # what came later is left out where absent, so that older datasets keep their name
    if dataset.detector_scores is not None:
        scores = dataset.detector_scores.tolist()
        columns.append(canonical_json(None if score != score else score) for score in scores)
    if dataset.roles is not None:
        columns.append(f'["role",{role}]' for role in _texts(dataset.roles, n))
    for cells in zip(*columns, strict=True):
        yield f"[{','.join(cells)}]\n"


def _texts(values: Sequence[str | None] | None, n: int) -> Iterable[str]:
    """Return the JSON of words, many of which are alike, or of nothing at all."""
    if values is None:
        return repeat("null", n)
    texts = {value: "null" if value is None else _text(value) for value in set(values)}
    return map(texts.__getitem__, values)


def _landmark_texts(dataset: Dataset) -> Iterable[str]:
    if dataset.landmarks is None:
        return repeat("null", len(dataset))
    flat = dataset.landmarks.reshape(len(dataset), -1)
    known = np.asarray(~np.isnan(flat).any(axis=1)).tolist()
    if np.isinf(flat).any():  # which JSON has no word for
        raise InputError(f"dataset {dataset.name!r}: a landmark lies at infinity")
    rows = flat.tolist()
    return (str(row).replace(" ", "") if here else "null" for row, here in zip(rows, known, strict=True))
