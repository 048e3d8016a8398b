"""Speed of measuring all pairs and of 1:N search, as ratios to the bare matrix products they cannot do without.

    python benchmarks/scale.py [all-pairs] [growth] [search] [memory]

Works in one thread, and counts the process's processor time, so that other work on the machine matters less; ours and
the rival take turns, and the least time of each counts. Cache and memory are still shared: on a busy machine read the
ratios as upper bounds.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import turns
from threadpoolctl import threadpool_limits

from facebench.execution.compute import Compute
from facebench.measure.choose_engine import measure_any
from facebench.measure.sample import Images
from facebench.schema import ProtocolSpec
from facebench.scoring.arrange import arrange, blocks

DIM = 512
TARGETS = (1e-1, 1e-2, 1e-3, 1e-4)


SPEC = {
    "name": "all-pairs", "title": "all pairs", "description": "all pairs", "version": "1", "dataset": {"name": "faces"},
    "comparisons": {"kind": "all-pairs"}, "fmr_targets": TARGETS, "primary_fmr_target": TARGETS[-2],
    "groups": {"attributes": ["race", "sex"], "intersections": "pairwise", "min_identities": 10},
}  # fmt: skip


def least(repetitions: int, *works: Callable[[], object]) -> list[float]:
    """Return the least processor time of each piece of work in one thread."""
    with threadpool_limits(1):
        return turns.least(repetitions, *works, clock=time.process_time)


def faces(n: int, per_identity: int, dimension: int = DIM) -> tuple[np.ndarray, Images]:
    """Return embeddings of n images and what is known of them: identity, one of 4 races and one of 2 sexes."""
    rng = np.random.default_rng(n)
    identity = np.arange(n) // per_identity
    people = int(identity[-1]) + 1
    vectors = rng.standard_normal((people, dimension))[identity] + rng.standard_normal((n, dimension))
    race, sex = rng.choice(["A", "B", "C", "D"], people), rng.choice(["F", "M"], people)
    attributes = {"race": tuple(race[identity].tolist()), "sex": tuple(sex[identity].tolist())}
    return vectors.astype(np.float32), Images(tuple(map(str, range(n))), tuple(map(str, identity)), attributes)


def whole(n: int, per_identity: int = 5, dimension: int = DIM) -> Callable[[], object]:
    """Return the measurement of all pairs with every figure: rates, EER, AUC, d', Cllr, minCllr, their intervals.

    There are five groupings: all, race, sex, both crossed, and the random labels of the control.
    """
    vectors, images = faces(n, per_identity, dimension)
    spec = ProtocolSpec.model_validate(SPEC)
    compute = Compute(workers=1)
    return lambda: measure_any(spec, images, vectors, None, comparator="cosine", seed=1, compute=compute)


def bare(n: int, per_identity: int = 5, dimension: int = DIM) -> Callable[[], object]:
    """Return the float32 products of one pass over the blocks of all pairs, and nothing else."""
    vectors, images = faces(n, per_identity, dimension)
    arranged = arrange(vectors, images.identity, np.zeros((n, 1), np.int32))

    def multiply() -> None:
        for task in arranged.tasks():
            for rows, columns in blocks(arranged, task):
                arranged.vectors[rows] @ arranged.vectors[columns].T

    return multiply


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
    """Return, for 5 images per identity and for 1, the seconds of the whole measurement and of one pass of products."""
    found = {}
    for per_identity in (5, 1):
        measured, products = least(repetitions, whole(n, per_identity), bare(n, per_identity))
        found[per_identity] = measured, products
    return found


def growth(small: int = 10_000, large: int = 40_000, repetitions: int = 2) -> tuple[float, float]:
    """Return the seconds of the whole measurement of a small and of a large dataset."""
    first, second = least(repetitions, whole(small), whole(large))
    return first, second


def memory(n: int, dimension: int) -> int:
    """Return how many bytes measuring all pairs takes at most beyond the embeddings; Linux tells."""
    work = whole(n, 5, dimension)
    whole(12_500, 5, 8)()  # what the libraries take is not counted
    before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the largest memory so far is forgotten
    work()
    return _status("VmHWM") - before


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def main(words: Sequence[str]) -> None:
    chosen = words or ("all-pairs", "growth", "search")
    if "all-pairs" in chosen:
        for per_identity, (measured, products) in overhead().items():
            print(
                f"all pairs of 20,000, every figure, {per_identity} per identity: {measured:.2f} s, bare products "
                f"of one pass {products:.2f} s: {measured / products:.2f} (goal <= 1.45)",
                flush=True,
            )
    if "growth" in chosen:
        small, large = growth()
        print(f"10,000: {small:.2f} s, 40,000: {large:.2f} s: {large / small:.2f} x (goal <= 17)", flush=True)
    if "memory" in chosen:
        n, dimension = 100_000, 512
        print(
            f"all pairs of {n:,} x {dimension}: {memory(n, dimension) / 1e9:.2f} GB beyond the embeddings (goal <= 1)"
        )
    if "search" in chosen:
        ours, rival = least(3, *search())
        print(f"1:N top-50 of 100,000: {ours:.2f} s, faiss IndexFlatIP {rival:.2f} s: {ours / rival:.3f} (goal <= 1.1)")


if __name__ == "__main__":
    main(sys.argv[1:])
