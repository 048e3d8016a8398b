"""Templates: the embeddings of several images of one person, pooled to one that is compared.

The embeddings of one media item (a still, or the frames of a video) are averaged, then the media items, then the result
is brought to length 1. Source: Whitelam et al., "IARPA Janus Benchmark-B Face Dataset", 2017; and METRICS of the
insightface evaluation, whose options N, D and F a protocol states by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.data import Dataset
from facebench.errors import InputError
from facebench.measure.sample import Images, Pairs
from facebench.schema import Flip, ProtocolSpec, TemplateSpec
from facebench.scoring import failed_rows

Vectors = NDArray[np.float32]
Ints = NDArray[np.int64]


def pool(
    vectors: Vectors, template: Ints, media: Ints, spec: TemplateSpec, detector: NDArray[np.float64] | None = None
) -> Vectors:
    """Return (T, D) embeddings of length 1, one per template; NaN where every image of the template failed.

    Args:
        vectors: (N, D); a row of NaN failed, and is left out of its template.
        template: (N,) template index; -1 for an image in none.
        media: (N,) index of the media item, numbered over all templates.
        detector: (N,) scores of the face detector, for ``detector_weight``.
    """
    rows = np.flatnonzero((template >= 0) & ~failed_rows(vectors))
    rows = rows[np.lexsort((media[rows], template[rows]))]  # stable: images of one media item stay in their order
    n = int(template.max(initial=-1)) + 1
    starts = np.searchsorted(template[rows], np.arange(n + 1))
    pooled = np.full((n, vectors.shape[1]), np.nan, np.float32)
    first = 0
    while first < n:
        # as many templates as fit a block, and one at least
        after = max(first + 1, int(np.searchsorted(starts, starts[first] + _BLOCK, side="right")) - 1)
        block = rows[starts[first] : starts[after]]
        pooled[first:after] = _pool_block(vectors, template[block] - first, media, block, after - first, spec, detector)
        first = after
    return pooled


_BLOCK = 1024  # images pooled at a time: their embeddings in float64 stay small


def _pool_block(
    vectors: Vectors, owner: Ints, media: Ints, rows: Ints, n: int, spec: TemplateSpec,
    detector: NDArray[np.float64] | None,
) -> Vectors:  # fmt: skip
    """Pool some rows, sorted by template and media item, to the templates 0 to n - 1 that `owner` names."""
    kept = vectors[rows].astype(np.float64)
    if spec.normalise_first:
        kept /= np.linalg.norm(kept, axis=1, keepdims=True)
    if spec.detector_weight:
        assert detector is not None
        kept *= detector[rows, None]
    opens = np.flatnonzero(np.diff(media[rows], prepend=-1))
    items = _means(kept, np.append(opens, rows.size))
    pooled = _means(items, np.searchsorted(owner[opens], np.arange(n + 1)))
    with np.errstate(invalid="ignore", divide="ignore"):
        found = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
    return np.asarray(found, np.float32)  # 0 / 0 is NaN: embeddings that cancel out leave nothing to compare


def _means(values: NDArray[np.float64], edges: Ints) -> NDArray[np.float64]:
    """Return (S, D) means of consecutive rows between edges (S + 1); NaN where there are none."""
    from scipy.sparse import csr_array

    rows = values.shape[0]
    sums = csr_array((np.ones(rows), np.arange(rows), edges), (edges.size - 1, rows)) @ values
    with np.errstate(invalid="ignore"):
        means: NDArray[np.float64] = sums / np.diff(edges)[:, None]
    return means


def template_units(dataset: Dataset, vectors: Vectors, spec: ProtocolSpec) -> tuple[Images, Vectors, Pairs | None]:
    """Return templates in place of images: what is known of them, their embeddings and the listed pairs.

    Raises:
        InputError: no templates, a template of two people, or no detector scores where the protocol weighs by them.
    """
    assert spec.templates is not None
    names, template = dataset.templates()
    if not names:
        raise InputError(f"protocol {spec.name} compares templates, but {dataset.root} has no template_id")
    if spec.templates.detector_weight and dataset.detector_scores is None:
        raise InputError(
            f"protocol {spec.name} weighs by the detector's score, but {dataset.root} has none; add the column "
            "detector_score, or set templates.detector_weight to false"
        )
    pooled = pool(vectors, template, _media(dataset, template), spec.templates, dataset.detector_scores)
    members: list[list[int]] = [[] for _ in names]
    for row, number in enumerate(template):
        if number >= 0:
            members[number].append(row)
    identities = None
    if dataset.identities is not None:
        identities = tuple(str(one) for one in _agreed(names, members, "people", dataset.identities))
    attributes = {
        name: tuple(_common([values[row] for row in rows]) for rows in members)
        for name, values in dataset.attributes.items()
    }
    listed = dataset.template_pairs
    pairs = None if listed is None else Pairs(listed.a, listed.b, listed.genuine, listed.fold)
    if identities is None and pairs is not None:
        identities = _people_of_genuine(names, pairs)
    roles = None if dataset.roles is None else tuple(_agreed(names, members, "roles", dataset.roles))
    return Images(names, identities, attributes, roles), pooled, pairs


def _people_of_genuine(names: Sequence[str], pairs: Pairs) -> tuple[str, ...] | None:
    """Return the person of each template where the data names none: those joined by genuine comparisons are one.

    A template without genuine comparisons counts as a person of its own; without any such comparison nothing is known.

    Raises:
        InputError: an impostor comparison joins two templates that genuine ones say are one person.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    a, b = pairs.a[pairs.genuine], pairs.b[pairs.genuine]
    if not a.size:
        return None
    joined = coo_array((np.ones(a.size, np.int8), (a, b)), (len(names), len(names)))
    person = connected_components(joined, directed=False)[1]
    wrong = np.flatnonzero((person[pairs.a] == person[pairs.b]) & ~pairs.genuine)
    if wrong.size:
        first, second = names[pairs.a[wrong[0]]], names[pairs.b[wrong[0]]]
        raise InputError(
            f"templates {first!r} and {second!r} are compared as impostors, but genuine comparisons join them to one "
            f"person ({wrong.size:,} such comparisons); mend the list"
        )
    return tuple(f"person {one}" for one in person)


def _media(dataset: Dataset, template: Ints) -> Ints:
    """Return (N,) the index of each image's media item; an image without one is an item of its own."""
    n = len(dataset)
    word: dict[str, int] = {}
    ids = dataset.media_ids or [None] * n
    own = np.array([n + row if name is None else word.setdefault(name, len(word)) for row, name in enumerate(ids)])
    _, first, number = np.unique(template * (2 * n) + own, return_index=True, return_inverse=True)
    appearing = np.empty(first.size, np.int64)
    appearing[np.argsort(first)] = np.arange(first.size)
    return appearing[number]


def _agreed(
    names: Sequence[str], members: Sequence[Sequence[int]], what: str, values: Sequence[str | None]
) -> list[str | None]:
    """Return the one value that the images of each template share."""
    found = []
    for name, rows in zip(names, members, strict=True):
        several = list(dict.fromkeys(values[row] for row in rows))
        if len(several) > 1:
            raise InputError(
                f"template {name!r} holds images of the {what} {several[0]!r} and {several[1]!r}; it must be one"
            )
        found.append(several[0])
    return found


def _common(values: Sequence[str | float | None]) -> str | float | None:
    """Return the value of a template's images: the mean of numbers, the one word they share, else None."""
    known = [value for value in values if value is not None]
    numbers = [value for value in known if isinstance(value, float)]
    if numbers:
        return float(np.mean(numbers))
    return known[0] if known and len(set(known)) == 1 else None


class WithMirrored:
    """A model that adds the embedding of the mirrored face to that of the face."""

    def __init__(self, model: Any) -> None:
        spec = model.card.input
        if spec is not None and spec.flip is not Flip.NONE:
            raise InputError(
                f"model {model.card.name} mirrors faces itself (input.flip: {spec.flip}); set that to none, or "
                "templates.flip to false"
            )
        self._model = model
        self.card = model.card.model_copy(update={"options": {**model.card.options, "mirrored_added": True}})

    def embed(self, faces: NDArray[np.uint8]) -> Vectors:
        """Return (N, D) sums."""
        mirrored = np.ascontiguousarray(faces[:, :, ::-1])
        total: Vectors = self._model.embed(faces) + self._model.embed(mirrored)
        return total


class StoredHalves:
    """Stored embeddings of which the second half belongs to the mirrored face: the halves added, or the first alone."""

    def __init__(self, model: Any, *, add: bool) -> None:
        self._model = model
        self._add = add
        size = model.card.embedding_dim // 2
        self.card = model.card.model_copy(update={"embedding_dim": size})

    def lookup(self, image_ids: Sequence[str]) -> Vectors:
        """Return (N, D) embeddings."""
        both: Vectors = self._model.lookup(image_ids)
        size = both.shape[1] // 2
        return both[:, :size] + both[:, size:] if self._add else both[:, :size]


def template_model(model: Any, spec: TemplateSpec) -> Any:
    """Return the model that gives the embeddings to be pooled.

    Raises:
        InputError: the protocol adds mirrored faces, and the model mirrors already, or its embeddings are stored
            without those of mirrored faces.
    """
    if hasattr(model, "lookup"):
        if getattr(model, "mirrored_half", False):
            return StoredHalves(model, add=spec.flip)
        if spec.flip:
            raise InputError(
                f"model {model.card.name} has no embeddings of mirrored faces (arrays embs and embs_f, or "
                "options: {mirrored: second-half}); set templates.flip to false"
            )
        return model
    return WithMirrored(model) if spec.flip else model
