"""Listed comparisons: tiles and single pairs give the scores that comparing each pair on its own gives."""

from __future__ import annotations

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facebench.scoring import compare_pairs, listed


def one_by_one(vectors: np.ndarray, a: np.ndarray, b: np.ndarray, comparator: str) -> np.ndarray:
    """Every score from its own two rows, in float64, rounded once."""
    found = []
    for left, right in zip(vectors[a].astype(np.float64), vectors[b].astype(np.float64), strict=True):
        score = -np.linalg.norm(left - right) if comparator == "euclidean" else left @ right
        if comparator == "cosine":
            score /= np.linalg.norm(left) * np.linalg.norm(right)
        found.append(-np.inf if np.isnan(score) else score)
    return np.array(found)


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1), n=st.integers(1, 40), n_pairs=st.integers(0, 300), side=st.integers(5, 50),
    chunk=st.integers(50, 200), rows=st.integers(1, 20), comparator=st.sampled_from(["cosine", "dot", "euclidean"]),
)  # fmt: skip
def test_scores_are_those_of_single_pairs(
    seed: int, n: int, n_pairs: int, side: int, chunk: int, rows: int, comparator: str
) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((n, 8)).astype(np.float32)
    vectors[rng.random(n) < 0.1] = np.nan
    a, b = rng.integers(0, n, (2, n_pairs))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(listed, "SIDE", side)
        patch.setattr(listed, "CHUNK", chunk)
        patch.setattr(listed, "ROWS", rows)
        found = compare_pairs(vectors, a, b, comparator)
    expected = one_by_one(vectors, a, b, comparator)
    assert found.dtype == np.float32
    assert np.array_equal(found == -np.inf, expected == -np.inf)
    kept = expected > -np.inf
    np.testing.assert_allclose(found[kept], expected[kept], rtol=2e-7, atol=1e-6)


@pytest.mark.parametrize("threads", [1, 7])
def test_threads_change_no_bit(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    vectors = rng.standard_normal((300, 64)).astype(np.float32)
    a, b = rng.integers(0, 300, (2, 40_000))
    monkeypatch.setattr(listed, "SIDE", 100)
    once = compare_pairs(vectors, a, b)
    monkeypatch.setattr(os, "cpu_count", lambda: threads)
    assert compare_pairs(vectors, a, b).tobytes() == once.tobytes()


def test_which_tiles_are_multiplied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listed, "SIDE", 100)
    low, high = (ends.reshape(-1) for ends in np.meshgrid(np.arange(100), np.arange(100, 200), indexing="ij"))
    few = np.array([0, 99]), np.array([250, 340])
    dense, sparse = listed._tiles(np.concatenate([few[0], low]), np.concatenate([few[1], high]), 400)
    assert [pairs.tolist() for pairs in dense] == [list(range(2, 10_002))]
    assert sparse.tolist() == [0, 1]
    monkeypatch.setattr(listed, "DENSE", 1.01)
    assert listed._tiles(low, high, 400)[0] == []


def test_distances_go_pair_by_pair_and_keep_small_ones() -> None:
    vectors = np.tile(np.linspace(100, 101, 8, dtype=np.float32), (100, 1))
    vectors[:, 0] += np.arange(100, dtype=np.float32) * np.float32(1e-4)
    a, b = (ends.astype(np.int64) for ends in np.triu_indices(100, 1))
    expected = one_by_one(vectors, a, b, "euclidean")
    np.testing.assert_allclose(compare_pairs(vectors, a, b, "euclidean"), expected, rtol=1e-6)
