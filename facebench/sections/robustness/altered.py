"""The images of a run under conditions: pictures, landmarks, embeddings kept on disk, and small examples."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from facebench.data import decode_batches
from facebench.execution.embedding import Pixels, fit_face, runtime_of, store_root
from facebench.files import cache_dir
from facebench.phantoms.labels import ARCFACE_112
from facebench.probes import conditions
from facebench.schema import Alignment, Failure
from facebench.schema.robustness import Example, family_of
from facebench.scoring import failed_rows
from facebench.sections.contract import RunContext
from facebench.store import EmbeddingStore, StoredBatch

Vectors = NDArray[np.float32]
CLEAN = "clean"
EXAMPLE_SIDE = 80


class AlteredFaces:
    """The images of a run under conditions, and their embeddings; finished batches are kept: a killed run resumes."""

    def __init__(self, context: RunContext) -> None:
        self.context = context
        self._root = store_root(context.model.card, cache_dir(), context.options.out)
        options, n = context.options, len(context.dataset.images)
        self.batches = [list(range(i, min(i + options.batch_size, n))) for i in range(0, n, options.batch_size)]

    def embed(self, names: Sequence[str]) -> dict[str, Vectors]:
        """Return (N, D) embeddings under each condition; NaN rows for images that failed.

        Every image is decoded once, whatever the number of conditions.
        """
        context, n = self.context, len(self.context.dataset.images)
        found = {name: np.full((n, context.model.card.embedding_dim), np.nan, np.float32) for name in names}
        stores = {name: self._store(name) for name in names}
        contents = [self.content(batch) for batch in self.batches]
        missing: dict[int, list[str]] = {}
        for b, batch in enumerate(self.batches):
            for name in names:
                stored = stores[name].get(contents[b])
                if stored is None:
                    missing.setdefault(b, []).append(name)
                else:
                    found[name][batch] = stored.vectors
        total = n * len(names)
        done = total - sum(len(self.batches[b]) * len(left) for b, left in missing.items())
        context.options.progress("conditions", done, total)
        decoded = decode_batches(context.dataset, [self.batches[b] for b in missing], context.options.workers)
        with ThreadPoolExecutor(context.options.workers) as pool:
            for (b, left), images in zip(missing.items(), decoded, strict=True):
                batch = self.batches[b]
                for name in left:
                    vectors = self._vectors(name, batch, images, pool)
                    stores[name].put(contents[b], StoredBatch(vectors, ()))
                    found[name][batch] = vectors
                    done += len(batch)
                    context.options.progress("conditions", done, total)
        return found

    def _store(self, name: str) -> EmbeddingStore:
        options = self.context.options
        runtime = {**runtime_of(options), "condition": self.version(name), "seed": options.seed}
        return EmbeddingStore(self._root, self.context.model.card, runtime=runtime)

    def version(self, name: str) -> str:
        """Return what names the pictures of a condition in a cache."""
        return conditions.version(name)

    def content(self, batch: list[int]) -> list[str]:
        """Return all that decides the altered pictures of a batch besides condition and seed."""
        rows = []
        for i in batch:
            sha256, points = self.context.embedded.sha256s[i], landmarks_of(self.context, i)
            placed = "" if points is None else ",".join(f"{value:.4f}" for value in points.ravel())
            rows.append(f"{sha256} {self.context.dataset.image_ids[i]} {placed}")
        return rows

    def faces(
        self, name: str, batch: Sequence[int], images: Sequence[Pixels | Failure], pool: ThreadPoolExecutor
    ) -> dict[int, Pixels]:
        """Return the faces of decoded images under a condition, as the model takes them, by place in the batch.

        A clean image that failed is left out: it has nothing to be altered, or no shape its batch could take.
        """
        context, ids, spec = self.context, self.context.dataset.image_ids, self.context.model.card.input

        def change(i: int, image: Pixels | Failure) -> Pixels | Failure:
            if isinstance(image, Failure) or np.isnan(context.embedded.vectors[i]).any():
                return Failure(image_id=ids[i], stage="embed", reason="failed when clean")
            if name == CLEAN:
                return fit_face(image, ids[i], spec)
            points = placed_on(context, i, name, image)
            altered = conditions.alter(name, image, points, ids[i], seed=context.options.seed)
            return fit_face(altered, ids[i], spec)

        found = enumerate(pool.map(change, batch, images))
        return {row: face for row, face in found if not isinstance(face, Failure)}

    def _vectors(
        self, name: str, batch: list[int], images: Sequence[Pixels | Failure], pool: ThreadPoolExecutor
    ) -> Vectors:
        """Return the embeddings of one batch under one condition."""
        vectors = np.full((len(batch), self.context.model.card.embedding_dim), np.nan, np.float32)
        faces = self.faces(name, batch, images, pool)
        if faces:
            vectors[list(faces)] = self.context.embed(np.stack(list(faces.values())))
        return vectors


def landmarks_of(context: RunContext, index: int) -> NDArray[np.float64] | None:
    """Return the (5, 2) landmarks of an image: the manifest's, else those of the alignment template, else None."""
    known = context.dataset.landmarks
    if known is not None and np.isfinite(known[index]).all():
        return np.asarray(known[index])
    spec = context.model.card.input
    return ARCFACE_112 if spec is not None and spec.alignment is Alignment.ARCFACE_112 else None


def placed_on(context: RunContext, index: int, name: str, image: Pixels) -> NDArray[np.float64] | None:
    """Return the landmarks a condition is placed or scaled by.

    Pictures judged for answers often have none. A corruption only takes its scale from them, and that of a face which
    fills the picture as the template's does its own serves; nothing is ever placed by it.
    """
    known = landmarks_of(context, index)
    if known is not None or context.spec.task is None or family_of(name) != "corruption":
        return known
    height, width = image.shape[:2]
    return np.asarray(ARCFACE_112 * np.array([width, height]) / 112)


def examples(context: RunContext, names: Sequence[str]) -> tuple[Example, ...]:
    """Return small pictures of the first usable face, clean and under every condition."""
    usable = np.flatnonzero(~failed_rows(context.embedded.vectors))
    if not usable.size:
        return ()
    index = int(usable[0])
    (image,) = next(decode_batches(context.dataset, [[index]], 1))
    if isinstance(image, Failure):
        return ()
    image_id, seed = context.dataset.image_ids[index], context.options.seed
    altered = [
        (name, conditions.alter(name, image, placed_on(context, index, name, image), image_id, seed=seed))
        for name in names
    ]
    return tuple(Example(condition=name, picture=data_uri(face)) for name, face in [("clean", image), *altered])


def data_uri(face: Pixels) -> str:
    """Return a small JPEG of a face as a data URI."""
    from PIL import Image

    stream = io.BytesIO()
    small = Image.fromarray(face).resize((EXAMPLE_SIDE, EXAMPLE_SIDE), Image.Resampling.LANCZOS)
    small.save(stream, "JPEG", quality=78)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()
