"""From images to embeddings: every image ends as a vector or as a recorded failure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.data import Dataset, decode_batches, hash_images, hash_present_images
from facebench.errors import ModelError
from facebench.execution import environment
from facebench.execution.options import Progress, RunOptions
from facebench.models.calling import call_model, unusable
from facebench.schema import Alignment, Failure, InputSpec
from facebench.store import EmbeddingStore, StoredBatch

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Embedded:
    """Embeddings of a dataset.

    Attributes:
        vectors: (N, D) float32; NaN rows for failed images.
        failures: one per failed image, in the order of the images.
        sha256s: of each image's bytes, or the failure to read them; None where embeddings come from elsewhere.
        n_embedded: images the model was run on now; the rest came from the store.
    """

    vectors: NDArray[np.float32]
    failures: tuple[Failure, ...]
    sha256s: Sequence[str | Failure | None]
    n_embedded: int


def embed_dataset(
    model: Any, dataset: Dataset, store: EmbeddingStore, *, batch_size: int, workers: int, progress: Progress
) -> Embedded:
    """Embed every image of a dataset with a model that takes faces.

    Batches are fixed by the order of the images, and the last one is padded, so that neither the number of workers nor
    an interruption changes a bit of the result.

    Raises:
        ModelError: the model raised, returned something of the wrong shape, or failed on every image.
    """
    sha256s = hash_images(dataset, workers)
    n = len(dataset.images)
    batches = [list(range(start, min(start + batch_size, n))) for start in range(0, n, batch_size)]
    contents = batch_contents(sha256s, batch_size)
    stored = [store.get(content) for content in contents]
    missing = [index for index, batch in enumerate(stored) if batch is None]
    done = n - sum(len(batches[index]) for index in missing)
    progress("embed", done, n)
    decoded = decode_batches(dataset, [batches[index] for index in missing], workers)
    for index, images in zip(missing, decoded, strict=True):
        ids = [dataset.image_ids[i] for i in batches[index]]
        batch = _embed_batch(model, images, ids, batch_size)
        store.put(contents[index], batch)
        stored[index] = batch
        done += len(ids)
        progress("embed", done, n)
    finished = [
        _renamed(batch, dataset, rows) for batch, rows in zip(stored, batches, strict=True) if batch is not None
    ]
    vectors = np.concatenate([batch.vectors for batch in finished])
    failures = tuple(failure for batch in finished for failure in batch.failures)
    _refuse_total_failure(vectors, failures)
    return Embedded(vectors, failures, sha256s, sum(len(batches[index]) for index in missing))


def embed_faces(model: Any, faces: Pixels, batch_size: int) -> NDArray[np.float32]:
    """Return (N, D) embeddings of (N, H, W, 3) faces in padded batches; rows of NaN where nothing usable came back."""
    found = np.full((len(faces), model.card.embedding_dim), np.nan, np.float32)
    for start in range(0, len(faces), batch_size):
        part = faces[start : start + batch_size]
        padded = np.zeros((batch_size, *part.shape[1:]), np.uint8)
        padded[: len(part)] = part
        vectors = call_model(model, padded)[: len(part)]
        for row, vector in enumerate(vectors):
            if unusable(vector, model.card) is None:
                found[start + row] = vector
    return found


def batch_contents(sha256s: Sequence[str | Failure], batch_size: int) -> list[list[str]]:
    """Return the content of each batch, by which the store names it."""
    names = [_name(sha256) for sha256 in sha256s]
    return [names[start : start + batch_size] for start in range(0, len(names), batch_size)]


def runtime_of(options: RunOptions) -> dict[str, Any]:
    """Return what embeddings depend on besides the model and the images."""
    return {"packages": environment.packages(), "device": options.device, "batch_size": options.batch_size}


def _name(sha256: str | Failure) -> str:
    return sha256 if isinstance(sha256, str) else f"{sha256.stage}: {sha256.reason}"


def _renamed(batch: StoredBatch, dataset: Dataset, rows: list[int]) -> StoredBatch:
    """Give failures the ids of this dataset: the store knows images by content only."""
    failed = np.flatnonzero(np.isnan(batch.vectors).any(axis=1))
    failures = tuple(
        failure.model_copy(update={"image_id": dataset.image_ids[rows[row]]})
        for row, failure in zip(failed, batch.failures, strict=True)
    )
    return StoredBatch(batch.vectors, failures)


def _embed_batch(model: Any, images: Sequence[Pixels | Failure], ids: Sequence[str], batch_size: int) -> StoredBatch:
    spec: InputSpec | None = model.card.input
    checked = [fit_face(image, image_id, spec) for image, image_id in zip(images, ids, strict=True)]
    shape = next((image.shape for image in checked if not isinstance(image, Failure)), None)
    vectors = np.full((len(ids), model.card.embedding_dim), np.nan, np.float32)
    failures = {row: image for row, image in enumerate(checked) if isinstance(image, Failure)}
    if shape is not None:
        faces = np.zeros((batch_size, *shape), np.uint8)
        for row, image in enumerate(checked):
            if not isinstance(image, Failure):
                if image.shape != shape:
                    reason = f"size {_size(image)} differs from the {shape[1]}x{shape[0]} of the images around it"
                    failures[row] = Failure(image_id=ids[row], stage="decode", reason=reason)
                else:
                    faces[row] = image
        found = call_model(model, faces)[: len(ids)]
        for row in range(len(ids)):
            fault = unusable(found[row], model.card)
            if row not in failures and fault:
                failures[row] = Failure(image_id=ids[row], stage="embed", reason=fault)
            if row not in failures:
                vectors[row] = found[row]
    return StoredBatch(vectors, tuple(failures[row] for row in sorted(failures)))


def fit_face(image: Pixels | Failure, image_id: str, spec: InputSpec | None) -> Pixels | Failure:
    """Refuse faces the model's alignment does not allow; unaligned models get theirs resized."""
    if isinstance(image, Failure) or spec is None:
        return image
    if spec.alignment is Alignment.ARCFACE_112:
        if image.shape[:2] == (112, 112):
            return image
        reason = f"size {_size(image)}, but the model expects faces aligned to 112x112"
        return Failure(image_id=image_id, stage="decode", reason=reason)
    if spec.crop is not None:
        return image
    from PIL import Image

    resized = Image.fromarray(image).resize((spec.width, spec.height), Image.Resampling.BILINEAR)
    return np.asarray(resized)


def _size(image: Pixels) -> str:
    return f"{image.shape[1]}x{image.shape[0]}"


def _refuse_total_failure(vectors: NDArray[np.float32], failures: Sequence[Failure]) -> None:
    if vectors.size and len(failures) == len(vectors):
        reasons = sorted({f"{failure.stage}: {failure.reason}" for failure in failures})
        more = f" and {len(reasons) - 3} more reasons" if len(reasons) > 3 else ""
        raise ModelError(
            f"not one of {len(vectors)} images could be used ({'; '.join(reasons[:3])}{more}); "
            "run `facebench check MODEL` and `facebench data check PATH`"
        )


def lookup_embeddings(model: Any, dataset: Dataset, *, workers: int) -> Embedded:
    """Take the embeddings of a dataset from a model that only knows image ids."""
    vectors = np.asarray(model.lookup(dataset.image_ids), np.float32)
    doubtful = _doubtful_rows(vectors)
    failures = []
    if doubtful.size:
        vectors = vectors.copy()  # the model keeps its own
    for row in doubtful.tolist():
        reason = unusable(vectors[row], model.card)
        if reason:
            text = reason.replace("the model returned", "the embedding is")
            if np.isnan(vectors[row]).all():
                text = "there is no embedding of this image"
            vectors[row] = np.nan
            failures.append(Failure(image_id=dataset.image_ids[row], stage="embed", reason=text))
    _refuse_total_failure(vectors, failures)
    return Embedded(vectors, tuple(failures), hash_present_images(dataset, workers), 0)


def _doubtful_rows(vectors: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the rows that hold a number that is not finite, or nothing but zeros; looked for block by block."""
    found = []
    for start in range(0, len(vectors), 4096):
        block = vectors[start : start + 4096]
        found.append(start + np.flatnonzero(~np.isfinite(block).all(axis=1) | ~block.any(axis=1)))
    return np.concatenate(found) if found else np.zeros(0, np.int64)


def store_root(card: Any, cache: Path, out: Path) -> Path:
    """Return where batches are kept: shared between runs only when the weights are known by their sha256."""
    return cache if card.weights_sha256 else out / ".work"
