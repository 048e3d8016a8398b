"""Speed of the comparison engine and of 1:N search, as ratios to the bare matrix products they cannot do without.

    python benchmarks/scale.py [all-pairs] [growth] [search]

Works in one thread, and counts that thread's processor time, so that other work on the machine matters less; ours and
the rival take turns, and the least time of each counts. Cache and memory are still shared: on a busy machine read the
ratios as upper bounds.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence

import numpy as np
import turns
from threadpoolctl import threadpool_limits

DIM = 512
TARGETS = (1e-1, 1e-2, 1e-3, 1e-4)


def least(repetitions: int, *works: Callable[[], object]) -> list[float]:
    """Return the least processor time of each piece of work in one thread."""
    with threadpool_limits(1):
        return turns.least(repetitions, *works, clock=time.thread_time)


def faces(n: int, per_identity: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Embeddings, identities, and labels in five groupings: all, 4 and 2 groups, both crossed, 4 random ones."""
    rng = np.random.default_rng(n)
    identity = np.arange(n) // per_identity
    people = int(identity[-1]) + 1
    vectors = rng.standard_normal((people, DIM))[identity] + rng.standard_normal((n, DIM))
    race, sex, control = (rng.integers(0, groups, people)[identity] for groups in (4, 2, 4))
    labels = np.stack([np.zeros(n, np.int64), race, sex, 2 * race + sex, control], axis=1)
    return vectors.astype(np.float32), identity, labels.astype(np.int32)


def all_pairs(n: int, per_identity: int = 5) -> tuple[Callable[[], object], Callable[[], object]]:
    """Return the whole evaluation of all pairs, and the bare products of the blocks of both its passes."""
    from facebench.metrics.verification import false_accept_budget
    from facebench.scoring import engine
    from facebench.scoring.arrange import arrange, blocks

    vectors, identity, labels = faces(n, per_identity)
    sizes = np.bincount(identity)
    n_impostor = n * (n - 1) // 2 - int((sizes * (sizes - 1) // 2).sum())
    ranks = [false_accept_budget(target, n_impostor) for target in TARGETS]
    n_groups = tuple(int(column.max()) + 1 for column in labels.T)
    images = np.concatenate(
        [np.eye(groups, dtype=np.int32)[column] for groups, column in zip(n_groups, labels.T, strict=True)], axis=1
    )
    per_person = np.zeros((sizes.size, images.shape[1]), np.int32)
    np.add.at(per_person, identity, images)

    def ours() -> object:
        arranged = arrange(vectors, identity, labels)
        found = engine.select(arranged, ranks)
        cells = engine.Cells(n_groups, per_person[arranged.identity])
        return engine.count(arranged, cells, engine.thresholds(found))

    arranged = arrange(vectors, identity, labels)

    def bare() -> None:
        for _ in range(2):
            for task in arranged.tasks():
                for rows, columns in blocks(arranged, task):
                    arranged.vectors[rows] @ arranged.vectors[columns].T

    return ours, bare


def search(n: int = 100_000, probes: int = 1024, k: int = 50) -> tuple[Callable[[], object], Callable[[], object]]:
    """Return our exact top-k search in a gallery, and faiss's."""
    import faiss

    from facebench.scoring.search import top_k

    rng = np.random.default_rng(n)
    gallery = rng.standard_normal((n, DIM)).astype(np.float32)
    gallery /= np.linalg.norm(gallery, axis=1, keepdims=True)
    asked = gallery[:probes] + 0.02 * rng.standard_normal((probes, DIM)).astype(np.float32)
    asked /= np.linalg.norm(asked, axis=1, keepdims=True)
    index = faiss.IndexFlatIP(DIM)
    index.add(gallery)
    faiss.omp_set_num_threads(1)
    return lambda: top_k(asked, gallery, k), lambda: index.search(asked, k)


def overhead(n: int = 20_000, repetitions: int = 3) -> dict[int, tuple[float, float]]:
    """Return, for 5 images per identity and for 1, the seconds of the whole evaluation and of its bare products."""
    found = {}
    for per_identity in (5, 1):
        whole, bare = least(repetitions, *all_pairs(n, per_identity))
        found[per_identity] = whole, bare
    return found


def growth(small: int = 10_000, large: int = 40_000, repetitions: int = 2) -> tuple[float, float]:
    """Return the seconds of the whole evaluation of a small and of a large dataset."""
    first, second = least(repetitions, all_pairs(small)[0], all_pairs(large)[0])
    return first, second


def main(words: Sequence[str]) -> None:
    chosen = words or ("all-pairs", "growth", "search")
    if "all-pairs" in chosen:
        for per_identity, (whole, bare) in overhead().items():
            print(
                f"all pairs of 20,000, {per_identity} per identity: {whole:.2f} s, "
                f"bare products of both passes {bare:.2f} s: "
                f"{whole / bare:.3f} (goal <= 1.25); of one pass {bare / 2:.2f} s: {2 * whole / bare:.2f}",
                flush=True,
            )
    if "growth" in chosen:
        small, large = growth()
        print(f"10,000: {small:.2f} s, 40,000: {large:.2f} s: {large / small:.2f} x (goal <= 17)", flush=True)
    if "search" in chosen:
        ours, rival = least(3, *search())
        print(f"1:N top-50 of 100,000: {ours:.2f} s, faiss IndexFlatIP {rival:.2f} s: {ours / rival:.3f} (goal <= 1.1)")


if __name__ == "__main__":
    main(sys.argv[1:])
