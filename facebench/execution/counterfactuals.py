"""Counterfactual images of a dataset: kept apart from ordinary comparisons, and handed to the section on them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facebench.data import Dataset
from facebench.execution.embedding import Embedded


@dataclass(frozen=True, eq=False)
class Edited:
    """Embeddings of edited images.

    Attributes:
        vectors: (M, D), NaN rows for failed images.
        base: (M,) index of the unedited image among the images of the run.
        attributes, levels: (M,) what was changed, and to which level.
    """

    vectors: NDArray[np.float32]
    base: NDArray[np.int64]
    attributes: tuple[str, ...]
    levels: tuple[str, ...]


def unedited(dataset: Dataset) -> Dataset:
    """Return a dataset without its edited images."""
    edits = dataset.counterfactuals
    return dataset if edits is None else dataset.take(np.array([i for i, e in enumerate(edits) if e is None], np.int64))


def set_apart(dataset: Dataset, embedded: Embedded) -> tuple[Dataset, Embedded, Edited | None]:
    """Return the unedited images of a dataset with their embeddings, and the edited ones whose original is there."""
    if dataset.counterfactuals is None:
        return dataset, embedded, None
    plain = np.array([row for row, edit in enumerate(dataset.counterfactuals) if edit is None], np.int64)
    place = {dataset.image_ids[row]: position for position, row in enumerate(plain.tolist())}
    rows = [row for row, edit in enumerate(dataset.counterfactuals) if edit is not None and edit.of in place]
    edits = [edit for edit in dataset.counterfactuals if edit is not None and edit.of in place]
    kept = dataset.take(plain)
    names = set(kept.image_ids)
    failures = tuple(failure for failure in embedded.failures if failure.image_id in names)
    own = Embedded(
        embedded.vectors[plain], failures, [embedded.sha256s[row] for row in plain.tolist()], embedded.n_embedded
    )
    edited = Edited(
        embedded.vectors[rows], np.array([place[edit.of] for edit in edits], np.int64),
        tuple(edit.attribute for edit in edits), tuple(edit.level for edit in edits),
    )  # fmt: skip
    return kept, own, edited
