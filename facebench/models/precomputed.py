"""Adapter ``embeddings``: embeddings computed elsewhere, by image id."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from operator import eq
from pathlib import Path

import numpy as np

from facebench.errors import InputError
from facebench.files import read_text, sha256_file
from facebench.models.context import LoadContext
from facebench.models.embedding_files import EmbeddingFile, read_embeddings
from facebench.models.protocol import Embeddings
from facebench.schema import ModelCard, ModelFile


class StoredEmbeddings:
    """A table of embeddings by image id."""

    def __init__(
        self,
        vectors: Embeddings,
        ids: Sequence[str],
        card: ModelCard,
        *,
        mirrored_half: bool = False,
        missing_fail: bool = False,
    ) -> None:
        self.card = card
        self.mirrored_half = mirrored_half  # the second half of each row belongs to the mirrored face
        self._vectors = vectors.view()
        self._vectors.flags.writeable = False  # `lookup` may hand it out as it is
        self._row = {image_id: row for row, image_id in enumerate(ids)}
        self._missing_fail = missing_fail

    def lookup(self, image_ids: Sequence[str]) -> Embeddings:
        """Return (N, D) float32 embeddings of images by id; rows of NaN for missing ones, if its owner allows that.

        An id that is not in the file is also found under another ending, as "a.jpg" for "a" or "a.png", where that is
        the only one.

        Raises:
            InputError: some ids have no embedding.
        """
        if len(image_ids) == len(self._row) and all(map(eq, image_ids, self._row)):
            return self._vectors
        rows = self._rows(image_ids)
        missing = [image_id for image_id in image_ids if image_id not in rows]
        if missing and (not self._missing_fail or len(missing) == len(image_ids)):
            raise InputError(self._refusal(missing, len(image_ids)))
        row = np.array([rows.get(image_id, -1) for image_id in image_ids], np.int64)
        if np.array_equal(row, np.arange(len(self._vectors))):
            return self._vectors
        found = self._vectors[row]
        found[row < 0] = np.nan
        return found

    def _rows(self, image_ids: Sequence[str]) -> dict[str, int]:
        rows = {image_id: self._row[image_id] for image_id in image_ids if image_id in self._row}
        left = _by_stem(image_id for image_id in dict.fromkeys(image_ids) if image_id not in rows)
        if not left:
            return rows
        free = _by_stem(image_id for image_id in self._row if image_id not in rows)
        for stem, asked in left.items():
            if len(asked) == 1 and len(free.get(stem, ())) == 1:
                rows[asked[0]] = self._row[free[stem][0]]
        return rows

    def _refusal(self, missing: Sequence[str], n: int) -> str:
        known = ", ".join(list(self._row)[:3])
        way_out = (
            "" if len(missing) == n else "; if no face was found in them, write 'missing: failures' in the model file"
        )
        return (
            f"model {self.card.name}: {len(missing)} of {n} images have no embedding, the first: "
            f"{', '.join(missing[:5])}; ids must be those of the manifest (the file has {known}, ...){way_out}"
        )


_ENDING = re.compile(r"\.(jpe?g|png|bmp|tiff?|webp|ppm|pgm|jfif|jpe|gif|avif|heic|jp2)$", re.IGNORECASE)


def _by_stem(ids: Iterable[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for image_id in ids:
        found.setdefault(_ENDING.sub("", image_id), []).append(image_id)
    return found


def load(context: LoadContext) -> StoredEmbeddings:
    """Look embeddings up by image id in a file; no model is run.

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
    repeated = {image_id for image_id, times in Counter(ids).items() if times > 1}
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
    return StoredEmbeddings(
        vectors.astype(np.float32, copy=False), ids, card, mirrored_half=_mirrored(spec, found, path),
        missing_fail=spec.missing == "failures",
    )  # fmt: skip


def _mirrored(spec: ModelFile, found: EmbeddingFile, path: Path) -> bool:
    """Return whether the second half of each vector belongs to the mirrored face, as the file or its owner says."""
    said = spec.options.get("mirrored")
    if said not in (None, "second-half"):
        raise InputError(f"model {spec.name}: options.mirrored is {said!r}; known: second-half")
    if said and found.vectors.shape[1] % 2:
        raise InputError(f"{path}: {found.vectors.shape[1]} values are no two halves (options.mirrored)")
    return found.mirrored_half or said is not None
