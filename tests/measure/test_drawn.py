"""Comparisons drawn at random where all are too many to hold."""

from __future__ import annotations

import numpy as np
import pytest

from facebench.measure import drawn
from facebench.measure.pairwise import blocks
from facebench.measure.sample import Images
from facebench.scoring import compare_all


def crowd(n: int, people: int) -> Images:
    owner = np.random.default_rng(n).integers(0, people, n)
    return Images(tuple(map(str, range(n))), tuple(f"p{u}" for u in owner), {})


def test_genuine_comparisons_are_those_of_all_pairs() -> None:
    images = crowd(60, 20)
    dense = compare_all(np.random.default_rng(0).normal(size=(60, 4)), images.identity).genuine_ends
    assert {tuple(row) for row in drawn.genuine_ends(images.identity).tolist()} == {tuple(r) for r in dense.tolist()}


def test_few_images_are_compared_whole() -> None:
    assert drawn.drawn_pairs(crowd(50, 10)) is None
    assert drawn.said_of_draw("conditions", None) == ()
    assert drawn.drawn_people(crowd(50, 10).identity).all()


def test_a_draw_holds_all_genuine_and_some_impostor_comparisons_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawn, "MAX_IMAGES", 100)
    monkeypatch.setattr(drawn, "DRAWN", 500)
    images = crowd(300, 90)
    pairs = drawn.drawn_pairs(images)
    assert pairs is not None
    same = images.identity[pairs.a] == images.identity[pairs.b]
    assert (same == pairs.genuine).all()
    assert pairs.genuine.sum() == len(drawn.genuine_ends(images.identity))
    assert 400 < (~same).sum() <= 500
    assert np.unique(pairs.a.astype(np.int64) * 300 + pairs.b).size == pairs.a.size
    assert (pairs.a < pairs.b).all()
    (said,) = drawn.said_of_draw("conditions", pairs)
    assert f"{(~same).sum():,}" in said.why


def test_people_are_drawn_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawn, "MAX_IMAGES", 100)
    identity = crowd(300, 90).identity
    kept = drawn.drawn_people(identity)
    assert 90 <= kept.sum() <= 100
    assert not set(identity[kept]) & set(identity[~kept])


def test_blocks_cut_in_columns_hold_every_impostor_comparison_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facebench.measure.pairwise._ROWS", 12)
    monkeypatch.setattr("facebench.measure.pairwise._COLUMNS", 31)
    identity = crowd(150, 40).identity
    seen = np.zeros((150, 150), int)
    for block in blocks(identity):
        np.add.at(seen, (block.rows[:, None], block.columns[None, :]), block.impostor.astype(int))
    assert (seen + seen.T == (identity[:, None] != identity[None, :])).all()
