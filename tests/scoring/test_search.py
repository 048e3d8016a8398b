"""1:N search: the best k, ranks of mates, and what counts in an open set."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from facebench.scoring import similarity
from facebench.scoring.search import search, top_k


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    n=st.integers(1, 300),
    probes=st.integers(1, 20),
    k=st.integers(1, 12),
    tied=st.booleans(),
)
def test_top_k_equals_sorting(seed: int, n: int, probes: int, k: int, tied: bool) -> None:
    rng = np.random.default_rng(seed)
    gallery, asked = rng.standard_normal((n, 4)), rng.standard_normal((probes, 4))
    if tied:  # small whole numbers: products are exact, and often equal
        gallery, asked = np.round(gallery), np.round(asked)
    k = min(k, n)
    scores, rows = top_k(asked.astype(np.float32), gallery.astype(np.float32), k)
    products = asked.astype(np.float32) @ gallery.astype(np.float32).T
    order = np.argsort(-products, axis=1, kind="stable")[:, :k]
    np.testing.assert_allclose(scores, np.take_along_axis(products, order, axis=1), atol=1e-5)
    if tied:
        np.testing.assert_array_equal(rows, order)
    assert (np.diff(scores, axis=1) <= 0).all()


def test_top_k_over_several_blocks() -> None:
    rng = np.random.default_rng(0)
    gallery = np.round(3 * rng.standard_normal((9000, 3))).astype(np.float32)
    asked = np.round(3 * rng.standard_normal((5, 3))).astype(np.float32)
    _, rows = top_k(asked, gallery, 20)
    np.testing.assert_array_equal(rows, np.argsort(-(asked @ gallery.T), axis=1, kind="stable")[:, :20])


def test_search_is_pessimistic_about_ties_and_knows_who_has_no_mate() -> None:
    gallery = np.array([[1, 0], [1, 0], [0, 1], [np.nan, 0]], np.float32)
    probes = np.array([[1, 0], [0, 1], [0, 1], [1, 1], [np.nan, 1]], np.float32)
    mates = np.array([0, 2, -1, 3, 2])
    found = search(probes, gallery, mates)
    assert found.rank.tolist() == [2, 1, 0, 5, 5]
    assert found.mate[1] == 1
    assert np.isneginf(found.mate[[2, 3, 4]]).all()
    assert np.isneginf(found.best[4])
    assert found.best[2] == similarity(probes[2:3], gallery[2:3], "cosine")[0, 0]
