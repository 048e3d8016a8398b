"""By what embeddings are known again, and how embeddings are told that no model made.

Scores by cosine do not change when every vector is scaled, when all are rotated, or when their components are put in
another order. Neither do the two parts of a fingerprint: the singular values of the vectors at length one (which do not
change when images are put in another order either), and the similarities of pairs of images drawn once for all.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.errors import InputError
from facebench.files import canonical_json, read_bytes, write_atomic
from facebench.metrics.streams import Fixed, fixed_generator
from facebench.schema.leaderboard import Note, Problem
from facebench.scoring import MAX_IMAGES, failed_rows

Floats = NDArray[np.float64]
VALUES, PAIRS = 32, 1000
SAME_VALUES = 2e-3  # of the largest; models trained apart differ by more than 1e-2, half precision by 1e-5
SAME_PAIRS = 0.998  # correlation; the same network behind a quantised input reaches 0.990
REPEATED = 1 - 1e-5  # cosine of two images from which they have the same vector
MANY = 0.05  # share of images from which such vectors are no accident of the data
ONE_HOT = 0.99  # share of a vector's square in one component
FLAT = 1.5  # effective number of directions; the poorest model of the zoo has 2.6
_FIELD = "artifacts[embeddings]"


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """What stays of embeddings when they are scaled, rotated or put in another order.

    Attributes:
        values: (32,) leading singular values of the vectors at length one, over the root of their number, 0..1.
        pairs: (1000,) cosine of pairs of images drawn with a fixed seed, NaN where one failed.
        contents: sha256 of the file of embeddings or scores.
        weights: what the name is bound to, as `weights_of` returns it.
    """

    values: Floats
    pairs: Floats
    contents: str
    weights: str


def make_fingerprint(vectors: NDArray[Any] | None, contents: str, weights: str) -> Fingerprint:
    """Compute it from (N, D) embeddings; from None, for results of score files, only the file's hash is known."""
    if vectors is None:
        return Fingerprint(np.zeros(0), np.zeros(0), contents, weights)
    rows = _rows(vectors)
    good = rows[~failed_rows(rows)]
    square = good.T @ good if good.shape[1] <= good.shape[0] else good @ good.T
    values = np.zeros(VALUES)
    found = np.sqrt(np.maximum(np.linalg.eigvalsh(square)[::-1][:VALUES], 0.0) / max(len(good), 1))
    values[: len(found)] = found
    rng = fixed_generator(Fixed.FINGERPRINT_PAIRS)
    a, b = rng.integers(0, max(len(rows), 1), (2, PAIRS))
    pairs = np.einsum("nd,nd->n", rows[a], rows[b]) if len(rows) else np.zeros(PAIRS)
    pairs[a == b] = np.nan
    return Fingerprint(values, pairs, contents, weights)


def same_vectors(a: Fingerprint, b: Fingerprint) -> bool:
    """Tell whether two entries hold the same vectors, up to scale, rotation and order."""
    if not a.values.size or not b.values.size:
        return a.contents == b.contents
    top = max(a.values.max(), b.values.max(), 1e-12)
    if a.contents == b.contents or np.abs(a.values - b.values).max() <= SAME_VALUES * top:
        return True
    both = np.isfinite(a.pairs) & np.isfinite(b.pairs)
    if both.sum() < PAIRS / 2:
        return False
    x, y = a.pairs[both] - a.pairs[both].mean(), b.pairs[both] - b.pairs[both].mean()
    size = float(np.sqrt((x @ x) * (y @ y)))
    return size > 0 and float(x @ y) / size >= SAME_PAIRS


def same_fingerprint(a: Fingerprint, b: Fingerprint) -> bool:
    """Tell whether a stored fingerprint is the one that follows from the embeddings."""
    return (
        (a.contents, a.weights) == (b.contents, b.weights)
        and a.values.shape == b.values.shape
        and a.pairs.shape == b.pairs.shape
        and np.allclose(a.values, b.values, rtol=1e-6, atol=1e-6)
        and np.allclose(a.pairs, b.pairs, rtol=1e-6, atol=1e-6, equal_nan=True)
    )


def vector_findings(vectors: NDArray[Any]) -> Iterator[Problem | Note]:
    """Yield what shows that no model made some (N, D) embeddings: repeats, one-hot codes, a single direction."""
    rows = _rows(vectors)
    good = ~failed_rows(rows)
    rows, raw, n = rows[good], np.asarray(vectors, np.float64)[good], len(vectors)
    if not len(rows):
        yield Problem(field=_FIELD, why="no image has an embedding")
        return
    repeated, looked_at = _repeated(rows)
    if repeated:
        why = f"embeddings repeat for {repeated:,} of {looked_at:,} images"
        yield Problem(field=_FIELD, why=why) if repeated >= MANY * looked_at else Note(field=_FIELD, why=why)
    one_hot = int(((rows**2).max(axis=1) >= ONE_HOT).sum())
    if one_hot >= MANY * n:
        yield Problem(field=_FIELD, why=f"embeddings are one-hot codes for {one_hot:,} of {n:,} images")
    directions = min(_directions(raw), _directions(rows))
    if directions < FLAT:
        why = f"embeddings vary along {directions:.1f} of {vectors.shape[1]:,} directions: rank one"
        yield Problem(field=_FIELD, why=why)


def _rows(vectors: NDArray[Any]) -> Floats:
    """Return vectors at length one; a vector of zeros stays one, a failed image stays NaN."""
    rows = np.asarray(vectors, np.float64)
    largest = np.abs(rows).max(axis=1, keepdims=True, initial=0.0)
    rows = rows / np.where(largest > 0, largest, 1.0)  # squares neither overflow nor vanish
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    out: Floats = rows / np.where(length > 0, length, 1.0)
    return out


def _repeated(rows: Floats) -> tuple[int, int]:
    """Return how many images have the vector of another, or only zeros, and of how many: of very many, a sample."""
    if len(rows) > MAX_IMAGES:
        rows = rows[np.sort(fixed_generator(Fixed.REPEATED_SAMPLE).permutation(len(rows))[:MAX_IMAGES])]
    repeated: NDArray[np.bool_] = np.logical_not(rows.any(axis=1))
    single = rows.astype(np.float32)
    for start in range(0, len(rows), 1024):
        near = single[start : start + 1024] @ single.T >= REPEATED
        near[np.arange(len(near)), np.arange(start, start + len(near))] = False
        repeated[start : start + 1024] |= near.any(axis=1)
    return int(repeated.sum()), len(rows)


def _directions(rows: Floats) -> float:
    """Return the effective number of directions along which rows vary: (sum of variances)^2 / sum of their squares."""
    centred = rows - rows.mean(axis=0)
    centred /= max(float(np.abs(centred).max(initial=0.0)), 1e-300)
    square = centred.T @ centred if centred.shape[1] <= centred.shape[0] else centred @ centred.T
    trace, energy = float(np.trace(square)), float((square**2).sum())
    return trace**2 / energy if energy > 0 else 0.0


def save_fingerprint(fingerprint: Fingerprint, path: Path) -> None:
    """Write it beside the entry; the same content gives the same bytes."""
    from safetensors.numpy import save

    tensors = {"values": fingerprint.values, "pairs": fingerprint.pairs}
    words = canonical_json({"contents": fingerprint.contents, "weights": fingerprint.weights})
    write_atomic(path, save(tensors, {"of": words}))  # one key: several are written in no fixed order


def load_fingerprint(path: Path) -> Fingerprint:
    """Read it.

    Raises:
        InputError: it is missing or malformed.
    """
    from safetensors import SafetensorError, safe_open
    from safetensors.numpy import load

    content = read_bytes(path, "fingerprint of an entry")
    try:
        tensors = load(content)
        with safe_open(path, "np") as stored:
            words = json.loads(stored.metadata()["of"])
        values, pairs = (np.asarray(tensors[name], np.float64) for name in ("values", "pairs"))
        if values.shape not in ((VALUES,), (0,)) or pairs.shape not in ((PAIRS,), (0,)):
            raise ValueError(f"shapes {values.shape} and {pairs.shape}")
        return Fingerprint(values, pairs, words["contents"], words["weights"])
    except (SafetensorError, KeyError, ValueError, TypeError, OSError, RecursionError) as error:
        raise InputError(f"{path}: not a fingerprint: {error}") from error
