"""Writes any readable dataset in FaceBench's own layout.

That is `images/`, `manifest.csv` and `dataset.json`; `pairs.csv` and `region_masks/` where the dataset has them.
"""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from facebench.data.dataset import Dataset, PairList, dataset_sha256
from facebench.data.manifest import INFO, PAIRS, TEMPLATE_PAIRS
from facebench.data.pairs import BY_ID, BY_TEMPLATE
from facebench.data.parallel import Progress
from facebench.data.signatures import image_ending
from facebench.data.sources import ImageError, MemberSource
from facebench.errors import InputError
from facebench.files import read_bytes, read_json, write_atomic


def convert_dataset(dataset: Dataset, out: Path, progress: Progress | None = None) -> Path:
    """Copy a dataset into a new folder and return its manifest.

    Image files keep their bytes; images stored as pixels become PNG. An image that cannot be read keeps its row, so
    that it stays a recorded failure. The converted dataset has the same sha256. The manifest is written last; after
    an interruption the same call goes on where it stopped.

    Raises:
        InputError: `out` holds something else already.
        WriteError: a file could not be written.
    """
    out = Path(out)
    _claim(dataset, out)
    paths = []
    for row in range(len(dataset)):
        paths.append(_copy_image(dataset, row, out))
        if progress is not None:
            progress(row + 1, len(dataset))
    masks = _copy_masks(dataset, dataset.region_masks, "region_mask", out)
    changes = _copy_masks(dataset, dataset.change_masks, "change_mask", out)
    if dataset.pairs is not None:
        write_atomic(out / PAIRS, pairs_csv(dataset.image_ids, dataset.pairs, BY_ID))
    if dataset.template_pairs is not None:
        templates = dataset.templates()[0]
        write_atomic(out / TEMPLATE_PAIRS, pairs_csv(templates, dataset.template_pairs, BY_TEMPLATE))
    manifest = out / "manifest.csv"
    write_atomic(manifest, manifest_csv(dataset, paths, masks, changes))
    return manifest


def manifest_csv(
    dataset: Dataset,
    paths: Sequence[str],
    masks: Sequence[str | None] | None = None,
    changes: Sequence[str | None] | None = None,
) -> str:
    """Return the manifest of a dataset whose images, region masks and change masks lie at these relative paths."""
    columns: dict[str, Iterable[str | float | None]] = {"image_id": dataset.image_ids, "path": paths}
    if dataset.identities is not None:
        columns["identity"] = dataset.identities
    if dataset.template_ids is not None:
        columns["template_id"] = dataset.template_ids
    if dataset.media_ids is not None:
        columns["media_id"] = dataset.media_ids
    if dataset.detector_scores is not None:
        columns["detector_score"] = dataset.detector_scores.tolist()
    if dataset.roles is not None:
        columns["role"] = dataset.roles
    columns.update(dataset.attributes)
    if masks is not None:
        columns["region_mask"] = masks
    columns.update(dataset.edits)
    if changes is not None:
        columns["change_mask"] = changes
    if dataset.landmarks is not None:
        columns["landmarks"] = [
            None if np.isnan(points).any() else " ".join(map(repr, points.reshape(-1).tolist()))
            for points in dataset.landmarks
        ]
    return _csv(columns)


def _claim(dataset: Dataset, out: Path) -> None:
    """Make the folder ours, or refuse when it holds anything but an earlier conversion of the same rows."""
    rows_sha256 = dataset_sha256(dataset, [""] * len(dataset))
    mark = {"from": dataset.format, "rows_sha256": rows_sha256}
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file; name a new folder")
    if out.is_dir() and any(out.iterdir()):
        found: Any = read_json(out / INFO, "dataset file") if (out / INFO).is_file() else None
        if not isinstance(found, dict) or found.get("converted") != mark:
            raise InputError(f"{out} is not empty, and not an earlier conversion of this dataset; name a new folder")
    info = {**dataset.info, "phantom": dataset.phantom, "converted": mark}
    write_atomic(out / INFO, json.dumps(info, indent=2, ensure_ascii=False) + "\n")


def _copy_image(dataset: Dataset, row: int, out: Path) -> str:
    stem = f"images/{row:07d}"
    try:
        data = dataset.images[row].read()
    except ImageError:
        return stem  # no such file: the image stays unreadable
    path = stem + image_ending(data[:64])
    _write_new(out / path, data)
    return path


def _copy_masks(dataset: Dataset, masks: Sequence[Path | None] | None, kind: str, out: Path) -> list[str | None] | None:
    """Copy the masks of one kind; returns their relative paths."""
    if masks is None:
        return None
    archive = zipfile.ZipFile(dataset.root) if zipfile.is_zipfile(dataset.root) else None
    paths: list[str | None] = []
    for row, mask in enumerate(masks):
        path = None if mask is None else f"{kind}s/{row:07d}{mask.suffix.lower()}"
        if mask is not None and path is not None:
            data = MemberSource(archive, mask.as_posix()).read() if archive else read_bytes(mask, kind)
            _write_new(out / path, data)
        paths.append(path)
    return paths


def _write_new(path: Path, data: bytes) -> None:
    """Write a file unless it is there already, from before an interruption."""
    if not (path.is_file() and path.stat().st_size == len(data) and path.read_bytes() == data):
        write_atomic(path, data)


def pairs_csv(ids: Sequence[str], pairs: PairList, names: tuple[str, str, str]) -> str:
    """Return a pair list as the text of a CSV file; `names` are its columns."""
    columns: dict[str, Iterable[str | float | None]] = {
        names[0]: [ids[index] for index in pairs.a],
        names[1]: [ids[index] for index in pairs.b],
        names[2]: pairs.genuine.astype(int).tolist(),
    }
    if pairs.fold is not None:
        columns["fold"] = pairs.fold.tolist()
    return _csv(columns)


def _csv(columns: dict[str, Iterable[str | float | None]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*(map(_cell, cells) for cells in columns.values()), strict=True))
    return text.getvalue()


def _cell(value: str | float | None) -> str:
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))  # 32 rather than 32.0
    return value if isinstance(value, str) else repr(value)
