"""The engine finds what comparing everything with everything in one matrix finds, whatever the scores look like."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facebench.errors import InputError
from facebench.execution import run_tiles
from facebench.metrics.verification import operating_points
from facebench.scoring import engine
from facebench.scoring.arrange import Arrangement, arrange
from tests.scoring import naive

TARGETS = (0.5, 0.1, 0.01, 0.001)


def make(seed: int, n: int, people: int, dim: int, kind: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vectors, identities, and labels in three groupings: everyone, one per image with gaps, one per identity."""
    rng = np.random.default_rng(seed)
    identity = rng.integers(0, people, n)
    labels = np.stack([np.zeros(n, np.int64), rng.integers(-1, 3, n), identity % 2], axis=1)
    if kind == "mixed":
        labels[: n // 2, 1] = identity[: n // 2] % 3  # half of the identities carry one label
    base = rng.standard_normal((people, dim))
    vectors = base[identity] + 0.5 * rng.standard_normal((n, dim))
    if kind == "tied":  # few different vectors, so that most scores are tied
        vectors = np.round(vectors[rng.integers(0, max(2, n // 10), n)])
        vectors[:, 0] = 3
    elif kind == "constant":
        vectors[:] = 1
    elif kind == "rising":  # the highest scores come last, in the order in which blocks are computed
        angle = np.linspace(0, 1, n) ** 3 * np.pi / 2
        vectors = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return vectors.astype(np.float32), identity, labels.astype(np.int32)


def check(vectors: np.ndarray, identity: np.ndarray, labels: np.ndarray, arrangement: Arrangement) -> None:
    found = naive.compare(arrangement, identity)
    if not found.impostor.size:
        return
    points = operating_points(found.impostor, TARGETS)
    ranks = [min(int(target * found.impostor.size), found.impostor.size - 1) for target in TARGETS]
    selection = engine.select(arrangement, ranks)
    cutoffs = engine.thresholds(selection)
    assert cutoffs == tuple(point.threshold for point in points)
    assert selection.passes <= 2
    assert int(selection.histogram.sum()) == found.impostor.size
    order, own = np.lexsort(found.genuine_ends.T), np.lexsort(selection.genuine_ends.T)
    np.testing.assert_array_equal(selection.genuine_ends[own], found.genuine_ends[order])
    np.testing.assert_array_equal(selection.genuine[own], found.genuine[order])
    cells = naive.cells_of(arrangement, identity, labels)
    counts = engine.count(arrangement, cells, cutoffs)
    for t, point in enumerate(points):
        accepted, squares, products = naive.count(found, identity, labels, cells, point.threshold)
        assert naive.accepted_per_cell(arrangement, cells, counts, t) == accepted
        assert accepted[0] == point.false_accepts
        assert counts.squares[:, t].tolist() == squares
        assert counts.products[:, t].tolist() == products
        near = np.abs(found.impostor.astype(np.float64) - point.threshold) <= 2e-6
        assert counts.near[t] == near.sum()


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    n=st.integers(2, 90),
    people=st.integers(1, 40),
    kind=st.sampled_from(["plain", "mixed", "tied", "constant", "rising"]),
    block=st.integers(1, 40),
    panels=st.integers(1, 6),
    comparator=st.sampled_from(["cosine", "dot", "euclidean"]),
)
def test_engine_equals_naive(
    seed: int, n: int, people: int, kind: str, block: int, panels: int, comparator: str
) -> None:
    vectors, identity, labels = make(seed, n, people, 6, kind)
    check(vectors, identity, labels, arrange(vectors, identity, labels, comparator, block=block, panels=panels))


@pytest.mark.parametrize("kind", ["plain", "mixed", "tied", "constant", "rising"])
def test_engine_equals_naive_where_the_sample_is_a_part(kind: str) -> None:
    vectors, identity, labels = make(7, 1300, 250, 16, kind)
    check(vectors, identity, labels, arrange(vectors, identity, labels, block=100, panels=4))


def test_a_sample_that_misleads_costs_a_pass_and_no_exactness() -> None:
    vectors, identity, labels = make(3, 900, 300, 8, "plain")
    arrangement = arrange(vectors, identity, labels, block=128)
    # every 8th image is drawn into the sample: these look like nobody, the others are much alike
    rows = np.unique(np.linspace(0, 899, 500).astype(int))
    alike = arrangement.vectors.copy()
    others = np.setdiff1d(np.arange(900), rows)
    alike[others] = (0.02 * alike[others] + np.eye(8, dtype=np.float32)[0]).astype(np.float32)
    alike /= np.linalg.norm(alike, axis=1, keepdims=True)
    back = np.empty_like(alike)
    back[arrangement.image] = alike
    misled = arrange(back, identity, labels, block=128)
    found = naive.compare(misled, identity)
    ranks = [int(target * found.impostor.size) for target in TARGETS]
    selection = engine.select(misled, ranks)
    falling = -np.sort(-found.impostor)
    assert selection.refused == tuple(float(falling[rank]) for rank in ranks)
    assert selection.passes == 2


def test_failed_comparisons_rank_below_all_others() -> None:
    vectors, identity, labels = make(5, 60, 20, 6, "plain")
    arrangement = arrange(vectors, identity, labels)
    n = naive.compare(arrangement, identity).impostor.size
    selection = engine.select(arrangement, [n - 1, n, n + 5], (10, 0))
    assert np.isfinite(selection.refused[0])
    assert selection.refused[1:] == (-np.inf, -np.inf)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_refused(bad: float) -> None:
    vectors, identity, labels = make(5, 20, 5, 6, "plain")
    vectors[7, 2] = bad
    with pytest.raises(InputError, match="image 7"):
        arrange(vectors, identity, labels)


def test_scores_that_overflow_are_refused() -> None:
    vectors, identity, labels = make(5, 20, 5, 6, "plain")
    with pytest.raises(InputError, match="infinite"):
        engine.select(arrange(vectors * np.float32(1e25), identity, labels, "dot"), [3])


def test_an_identity_of_thousands_is_refused() -> None:
    identity = np.zeros(5000, np.int64)
    identity[0] = 1
    with pytest.raises(InputError, match="4,999 images"):
        arrange(np.ones((5000, 2), np.float32), identity, np.zeros((5000, 1), np.int32))


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**31), block=st.integers(7, 100), order=st.randoms())
def test_blocks_threads_and_order_change_only_what_lies_near_a_threshold(seed: int, block: int, order: Any) -> None:
    vectors, identity, labels = make(seed, 160, 36, 32, "mixed")

    def shuffled(_stage: str, function: Any, shared: Any, tasks: Any) -> Iterator[Any]:
        numbers = list(range(len(tasks)))
        order.shuffle(numbers)
        for at, found in run_tiles(function, shared, [tasks[number] for number in numbers], workers=2):
            yield numbers[at], found

    plain, other = (
        arrange(vectors, identity, labels, block=64),
        arrange(vectors, identity, labels, block=block, panels=3),
    )
    n = naive.compare(plain, identity).impostor.size
    ranks = [int(target * n) for target in TARGETS]
    cutoffs = engine.thresholds(engine.select(plain, ranks))
    again = engine.select(plain, ranks, run=shuffled)
    assert engine.thresholds(again) == cutoffs
    cells = naive.cells_of(plain, identity, labels)
    expected = engine.count(plain, cells, cutoffs)
    same = engine.count(plain, cells, cutoffs, run=shuffled)
    np.testing.assert_array_equal(same.per_segment, expected.per_segment)
    np.testing.assert_array_equal(same.squares, expected.squares)
    counts = engine.count(other, naive.cells_of(other, identity, labels), cutoffs)
    for t in range(len(cutoffs)):
        here = naive.accepted_per_cell(plain, cells, expected, t)[0]
        there = naive.accepted_per_cell(other, cells, counts, t)[0]
        assert abs(here - there) <= expected.near[t]
