"""Files of embeddings: npy, npz, safetensors, Parquet and MegaFace features; nothing in them is ever run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.data.table import check_parquet
from facebench.data.trees import safe_name
from facebench.errors import InputError
from facebench.files import check_file, parse_json, read_bytes, read_json
from facebench.models.arrays import read_npy, read_npz
from facebench.models.foreign_embeddings import SUFFIXES

_MEGAFACE_NOISY = 100.0


@dataclass(frozen=True, eq=False)
class EmbeddingFile:
    """What a file of embeddings holds: (N, D) vectors, the image ids if it names them, and whether the second half of
    each vector belongs to the mirrored face."""

    vectors: NDArray[Any]
    ids: list[str] | None
    mirrored_half: bool = False


def read_embeddings(path: Path, options: dict[str, Any]) -> EmbeddingFile:
    """Read a file of embeddings, by its ending.

    Raises:
        InputError: an unknown kind, a damaged file, or one that holds Python objects.
    """
    readers = {".npy": _npy, ".npz": _npz, ".safetensors": _safetensors, ".parquet": _parquet}
    if path.suffix == ".json":
        return _megaface(path, options)
    if path.suffix.lower() in SUFFIXES:
        raise InputError(
            f"{path}: embeddings in this form are converted first: facebench data convert-embeddings {path} "
            f"{path.with_suffix('.npz')}; then write weights: {path.stem}.npz"
        )
    if path.suffix not in readers:
        raise InputError(f"{path}: embeddings must be one of {', '.join(readers)}, or a MegaFace list (.json)")
    return readers[path.suffix](path)


def _megaface(path: Path, options: dict[str, Any]) -> EmbeddingFile:
    """Read the feature file of every image of a MegaFace list ``{"path": [...], "id": [...]}``.

    `options` say where: ``features`` (a folder, relative to the list) and ``suffix`` (what follows the image's path,
    ``.bin`` by default). Where every file ends with 0 or 100, that value tells clean from noisy and is no feature; a
    noisy image is a failure.
    """
    listed = read_json(path, "MegaFace list")
    names = listed.get("path") if isinstance(listed, dict) else None
    if (
        not isinstance(names, list)
        or not names
        or not all(isinstance(name, str) for name in names)
        or len(set(names)) < len(names)
    ):
        raise InputError(
            f"{path}: a MegaFace list has the keys path and id, lists of one entry per image, each path once"
        )
    folder, suffix = path.parent / str(options.get("features", ".")), str(options.get("suffix", ".bin"))
    rows = [_megaface_feature(folder / _inside(f"{name}{suffix}", path)) for name in names]
    sizes = {row.size for row in rows}
    if len(sizes) > 1:
        odd = next(name for name, row in zip(names, rows, strict=True) if row.size != rows[0].size)
        raise InputError(f"{folder / odd}{suffix}: its size differs from that of {names[0]}; features need one length")
    vectors = np.stack(rows)
    if np.isin(vectors[:, -1], (0.0, _MEGAFACE_NOISY)).all():
        noisy = vectors[:, -1] == _MEGAFACE_NOISY
        vectors = vectors[:, :-1].copy()
        vectors[noisy] = np.nan
    return EmbeddingFile(vectors, list(names))


def _inside(name: str, where: Path) -> str:
    try:
        return safe_name(name)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def _megaface_feature(path: Path) -> NDArray[np.float32]:
    """Read one feature: int32 ``(n, 1, 4, 5)``, then n float32, little endian; one more where noise was marked."""
    data = read_bytes(path, "MegaFace feature")
    header = np.frombuffer(data[:16], "<i4") if len(data) >= 16 else np.zeros(0, np.int32)
    if header.size != 4 or header[0] < 1 or header[1:].tolist() != [1, 4, 5]:
        raise InputError(f"{path}, byte 0: the header is {header.tolist()}; expected four int32: n, 1, 4, 5")
    n = int(header[0])
    if len(data) not in (16 + 4 * n, 20 + 4 * n):
        raise InputError(f"{path}, byte 16: promises {n:,} float32, {4 * n:,} bytes; the file has {len(data) - 16:,}")
    return np.frombuffer(data, "<f4", offset=16).astype(np.float32)


def _npy(path: Path) -> EmbeddingFile:
    return EmbeddingFile(read_npy(path), None)


def _npz(path: Path) -> EmbeddingFile:
    arrays = read_npz(path)
    key = next((name for name in ("embs", "embeddings") if name in arrays), None)
    if key is None:
        raise InputError(f"{path}: no array 'embs' or 'embeddings'; found {', '.join(arrays)}")
    vectors, mirrored = arrays[key], "embs_f" in arrays
    if mirrored:
        if arrays["embs_f"].shape != vectors.shape or vectors.ndim != 2:
            raise InputError(f"{path}: embs_f has the shape {arrays['embs_f'].shape}, {key} {vectors.shape}")
        vectors = np.concatenate([vectors, arrays["embs_f"]], axis=1)
    ids = next((arrays[name] for name in ("image_ids", "ids", "filenames") if name in arrays), None)
    return EmbeddingFile(vectors, None if ids is None else [str(value) for value in ids.reshape(-1)], mirrored)


def _safetensors(path: Path) -> EmbeddingFile:
    from safetensors import SafetensorError, safe_open

    check_file(path, "embeddings")
    try:
        with safe_open(path, "np") as stored:
            if "embeddings" not in stored.keys():  # noqa: SIM118 - not a dict
                raise InputError(f"{path}: no tensor 'embeddings'; found {', '.join(stored.keys())}")
            ids = (stored.metadata() or {}).get("image_ids")
            vectors = stored.get_tensor("embeddings")
    except (SafetensorError, ValueError, TypeError, KeyError, AttributeError, OSError) as error:
        raise InputError(f"{path}: not a readable safetensors file: {error}") from error
    names = None if ids is None else parse_json(ids, f"{path}, image_ids")
    if names is not None and not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
        raise InputError(f"{path}: image_ids must be a JSON list of texts")
    return EmbeddingFile(vectors, names)


def _parquet(path: Path) -> EmbeddingFile:
    import pyarrow as pa
    import pyarrow.parquet as pq

    size = check_file(path, "embeddings")
    try:
        check_parquet(pq.ParquetFile(path).metadata, size, str(path))
        table = pq.read_table(path)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a readable Parquet file: {error}") from error
    if "image_id" not in table.column_names:
        raise InputError(f"{path}: no column image_id; found {', '.join(table.column_names)}")
    columns = [name for name in table.column_names if name != "image_id"]
    if not columns:
        raise InputError(f"{path}: no column 'embedding' and no number columns")
    try:
        ids = [str(value) for value in table.column("image_id").to_pylist()]
        if "embedding" in columns:
            return EmbeddingFile(np.array(table.column("embedding").to_pylist(), np.float32), ids)
        stacked = np.stack([table.column(name).to_numpy() for name in columns], axis=1).astype(np.float32)
    except (ValueError, TypeError, OverflowError, pa.ArrowException) as error:
        raise InputError(f"{path}: the embeddings must be numbers, as many for each image: {error}") from error
    return EmbeddingFile(stacked, ids)
