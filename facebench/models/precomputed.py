"""Adapter ``embeddings``: embeddings computed elsewhere, by image id."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from facebench.errors import InputError
from facebench.files import read_text, sha256_file
from facebench.models.embedding_files import EmbeddingFile, read_embeddings
from facebench.models.load import LoadContext
from facebench.models.protocol import Embeddings
from facebench.schema import ModelCard, ModelFile


class StoredEmbeddings:
    """A table of embeddings by image id."""

    def __init__(
        self, vectors: Embeddings, ids: Sequence[str], card: ModelCard, *, mirrored_half: bool = False
    ) -> None:
        self.card = card
        self.mirrored_half = mirrored_half  # the second half of each row belongs to the mirrored face
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
    found = read_embeddings(path, spec.options)
    vectors, ids = found.vectors, found.ids
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
    return StoredEmbeddings(vectors.astype(np.float32), ids, card, mirrored_half=_mirrored(spec, found, path))


def _mirrored(spec: ModelFile, found: EmbeddingFile, path: Path) -> bool:
    """Return whether the second half of each vector belongs to the mirrored face, as the file or its owner says."""
    said = spec.options.get("mirrored")
    if said not in (None, "second-half"):
        raise InputError(f"model {spec.name}: options.mirrored is {said!r}; known: second-half")
    if said and found.vectors.shape[1] % 2:
        raise InputError(f"{path}: {found.vectors.shape[1]} values are no two halves (options.mirrored)")
    return found.mirrored_half or said is not None
