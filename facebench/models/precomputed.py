"""Adapter ``embeddings``: embeddings computed elsewhere, by image id, from npy, npz, safetensors or Parquet."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.errors import InputError
from facebench.files import read_text, sha256_file
from facebench.models.load import LoadContext
from facebench.models.protocol import Embeddings
from facebench.schema import ModelCard

Loaded = tuple[NDArray[Any], list[str] | None]


class StoredEmbeddings:
    """A table of embeddings by image id."""

    def __init__(self, vectors: Embeddings, ids: Sequence[str], card: ModelCard) -> None:
        self.card = card
        self._vectors = vectors
        self._row = {image_id: row for row, image_id in enumerate(ids)}

    def lookup(self, image_ids: Sequence[str]) -> Embeddings:
        """Return (N, D) float32 embeddings of images by id.

        Raises:
            InputError: some ids have no embedding.
        """
        missing = [image_id for image_id in image_ids if image_id not in self._row]
        if missing:
            shown = ", ".join(missing[:5])
            raise InputError(
                f"model {self.card.name}: {len(missing)} of {len(image_ids)} images have no embedding, "
                f"the first: {shown}; ids must be those of the manifest"
            )
        return self._vectors[[self._row[image_id] for image_id in image_ids]]


def load(context: LoadContext) -> StoredEmbeddings:
    """Build the adapter from a model file.

    Raises:
        InputError: the file is of an unknown kind, malformed, or its ids are missing, repeated or too few.
    """
    spec, path = context.model_file(), context.weights()
    readers = {".npy": _npy, ".npz": _npz, ".safetensors": _safetensors, ".parquet": _parquet}
    if path.suffix not in readers:
        raise InputError(f"{path}: embeddings must be one of {', '.join(readers)}")
    vectors, ids = readers[path.suffix](path)
    if spec.ids:
        ids = [line for line in read_text(context.folder / spec.ids, "ids file").splitlines() if line]
    if ids is None:
        raise InputError(f"{path} names no images; write `ids: FILE` in the model file, one image_id per row")
    if vectors.ndim != 2 or not np.issubdtype(vectors.dtype, np.floating):
        raise InputError(f"{path}: expected (N, D) floats, found {vectors.shape} {vectors.dtype}")
    if len(ids) != len(vectors):
        raise InputError(f"{path}: {len(vectors)} embeddings, but {len(ids)} image ids")
    repeated = {image_id for image_id in ids if ids.count(image_id) > 1} if len(set(ids)) < len(ids) else set()
    if repeated:
        raise InputError(f"{path}: image ids given twice: {', '.join(sorted(repeated)[:5])}")
    card = ModelCard(
        name=spec.name,
        adapter="embeddings",
        revision=spec.revision,
        weights_sha256=sha256_file(path),
        licence=spec.licence,
        training_data=spec.training_data,
        embedding_dim=vectors.shape[1],
        comparator=spec.comparator,
        options=spec.options,
    )
    return StoredEmbeddings(vectors.astype(np.float32), ids, card)


def _npy(path: Path) -> Loaded:
    return _without_pickle(path), None


def _without_pickle(path: Path) -> Any:
    try:
        return np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise InputError(f"{path}: cannot be read without running pickled code, or is damaged: {error}") from error


def _npz(path: Path) -> Loaded:
    with _without_pickle(path) as archive:
        names = list(archive.files)
        try:
            arrays = {name: archive[name] for name in names}
        except ValueError as error:
            raise InputError(f"{path}: holds Python objects; save ids as text arrays (dtype str)") from error
    key = next((name for name in ("embs", "embeddings") if name in arrays), None)
    if key is None:
        raise InputError(f"{path}: no array 'embs' or 'embeddings'; found {', '.join(names)}")
    vectors = arrays[key]
    if "embs_f" in arrays:  # of the mirrored faces
        vectors = np.concatenate([vectors, arrays["embs_f"]], axis=1)
    ids = next((arrays[name] for name in ("image_ids", "ids", "filenames") if name in arrays), None)
    return vectors, None if ids is None else [str(value) for value in ids]


def _safetensors(path: Path) -> Loaded:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "np") as stored:
            if "embeddings" not in stored.keys():  # noqa: SIM118 - not a dict
                raise InputError(f"{path}: no tensor 'embeddings'; found {', '.join(stored.keys())}")
            ids = (stored.metadata() or {}).get("image_ids")
            return stored.get_tensor("embeddings"), None if ids is None else [str(v) for v in json.loads(ids)]
    except (SafetensorError, ValueError) as error:
        raise InputError(f"{path}: not a readable safetensors file: {error}") from error


def _parquet(path: Path) -> Loaded:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path}: not a readable Parquet file: {error}") from error
    if "image_id" not in table.column_names:
        raise InputError(f"{path}: no column image_id; found {', '.join(table.column_names)}")
    ids = [str(value) for value in table.column("image_id").to_pylist()]
    if "embedding" in table.column_names:
        return np.array(table.column("embedding").to_pylist(), np.float32), ids
    columns = [name for name in table.column_names if name != "image_id"]
    if not columns:
        raise InputError(f"{path}: no column 'embedding' and no number columns")
    return np.stack([table.column(name).to_numpy() for name in columns], axis=1).astype(np.float32), ids
