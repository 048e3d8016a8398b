"""Makes a pair list from a dataset with identities: all pairs, or a seeded draw, in folds of different people."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facebench.data.bin_writer import write_bin
from facebench.data.convert import pairs_csv
from facebench.data.dataset import Dataset, PairList
from facebench.data.pairs import BY_ID
from facebench.errors import InputError
from facebench.files import write_atomic

MAX_PAIRS = 20_000_000


def make_pairs(dataset: Dataset, per_identity: int | None, folds: int | None, seed: int) -> PairList:
    """Return a pair list; the same dataset, numbers and seed give the same list.

    Args:
        dataset: of N images with identities.
        per_identity: at most so many genuine pairs of each identity, and as many impostor pairs as genuine ones in
            each fold; None for all pairs.
        folds: each identity is in one fold, and so are both images of every pair; None for no folds.
        seed: of the draw.

    Raises:
        InputError: no identities, no pair of a kind, fewer identities than folds need, or more than MAX_PAIRS.
    """
    if dataset.identities is None:
        raise InputError(f"{dataset.root} has no identities, which say what pairs are genuine")
    rng = np.random.default_rng(seed)
    names, person = np.unique(np.asarray(dataset.identities), return_inverse=True)
    n_folds = folds or 1
    if n_folds < 1 or len(names) < 2 * n_folds:
        raise InputError(f"{len(names)} identities are too few for {n_folds} folds; each fold needs two")
    fold_of = np.empty(len(names), np.int64)
    fold_of[rng.permutation(len(names))] = np.arange(len(names)) % n_folds
    if per_identity is None and len(dataset) ** 2 // (2 * n_folds) > MAX_PAIRS:
        raise InputError(f"all pairs of {len(dataset):,} images are too many for a list; draw some (--per-identity)")
    parts = []
    for fold in range(n_folds):
        rows = np.flatnonzero(fold_of[person] == fold)
        genuine = _genuine(rows, person, per_identity, rng)
        impostor = _impostor(rows, person, None if per_identity is None else len(genuine), rng)
        if not len(genuine) or not len(impostor):
            raise InputError(f"fold {fold} has {len(genuine)} genuine and {len(impostor)} impostor pairs; needs both")
        both = np.concatenate([genuine, impostor])
        parts.append(np.column_stack([both, np.arange(len(both)) < len(genuine), np.full(len(both), fold)]))
    table = np.concatenate(parts)
    return PairList(table[:, 0], table[:, 1], table[:, 2].astype(np.bool_), table[:, 3] if folds else None)


def write_pairs(dataset: Dataset, pairs: PairList, out: Path) -> None:
    """Write a pair list as CSV, or pairs with their images as an insightface ``.bin`` where `out` ends so."""
    if out.suffix.lower() == ".bin":
        write_bin(dataset, pairs, out)
    else:
        write_atomic(out, pairs_csv(dataset.image_ids, pairs, BY_ID))


def _genuine(
    rows: NDArray[np.int64], person: NDArray[np.int64], limit: int | None, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return (n, 2) pairs of one person each, at most `limit` of each person."""
    found = [np.zeros((0, 2), np.int64)]
    for who in np.unique(person[rows]):
        own = rows[person[rows] == who]
        a, b = np.triu_indices(len(own), 1)
        if limit is not None and len(a) > limit:
            kept = np.sort(rng.choice(len(a), limit, replace=False))
            a, b = a[kept], b[kept]
        found.append(np.column_stack([own[a], own[b]]))
    return np.concatenate(found)


def _impostor(
    rows: NDArray[np.int64], person: NDArray[np.int64], wanted: int | None, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return (n, 2) pairs of two people, all or a draw of `wanted` without repetition (fewer where there are fewer)."""
    sizes = np.bincount(person[rows])
    n_all = (len(rows) ** 2 - int((sizes**2).sum())) // 2
    if wanted is None or 2 * wanted >= n_all:
        a, b = np.triu_indices(len(rows), 1)
        unlike = person[rows[a]] != person[rows[b]]
        every = np.column_stack([rows[a[unlike]], rows[b[unlike]]])
        return every if wanted is None or wanted >= n_all else every[np.sort(rng.choice(n_all, wanted, replace=False))]
    drawn: dict[tuple[int, int], None] = {}
    while len(drawn) < wanted:
        a, b = rows[rng.integers(len(rows), size=(2, wanted))]
        for first, second in zip(np.minimum(a, b).tolist(), np.maximum(a, b).tolist(), strict=True):
            if person[first] != person[second] and len(drawn) < wanted:
                drawn[first, second] = None
    return np.array(sorted(drawn), np.int64)
