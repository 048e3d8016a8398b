"""Agreement of maps with regions: closed forms, nulls, and refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facebench.errors import InputError
from facebench.metrics import explanation as e

REGION = np.zeros((20, 20), bool)
REGION[4:9, 3:11] = True
OTHER = np.zeros((20, 20), bool)
OTHER[12:17, 3:11] = True
PERFECT = REGION.astype(float)


def test_a_perfect_map_and_its_opposite() -> None:
    assert e.area_matched_iou(PERFECT, REGION) == 1
    assert e.pixel_auroc(PERFECT, REGION) == 1
    assert e.relevance_mass(PERFECT, REGION) == 1
    assert e.pointing_hit(PERFECT, REGION) == 1
    assert e.pixel_auroc(-PERFECT, REGION) == 0
    assert e.relevance_mass(-PERFECT, REGION) is None
    gap, rank = e.mismatch_gap(PERFECT + 0.1 * OTHER, "own", {"own": REGION, "other": OTHER})
    assert rank == 1
    assert gap > 0.9


@given(st.integers(0, 10_000))
def test_area_matched_iou_follows_from_rank_accuracy(seed: int) -> None:
    h = np.random.default_rng(seed).random((20, 20))
    inside = e.top_pixels(h, int(REGION.sum()))[REGION].mean()
    assert e.area_matched_iou(h, REGION) == pytest.approx(inside / (2 - inside))
    assert e.area_matched_iou(np.exp(3 * h), REGION) == e.area_matched_iou(h, REGION)  # rising maps change nothing


def test_random_maps_score_chance() -> None:
    rng = np.random.default_rng(0)
    maps = rng.random((2000, 20, 20))
    a = REGION.mean()
    assert np.mean([e.area_matched_iou(h, REGION) for h in maps]) == pytest.approx(a / (2 - a), rel=0.05)
    assert np.mean([e.pixel_auroc(h, REGION) for h in maps]) == pytest.approx(0.5, abs=0.01)
    assert np.mean([e.relevance_mass(h, REGION) for h in maps]) == pytest.approx(a, rel=0.02)
    assert np.mean([e.pointing_hit(h, REGION) for h in maps]) == pytest.approx(a, abs=0.02)
    assert e.expected_iou(a, a) == pytest.approx(a / (2 - a))


def test_otsu_splits_two_levels_between_them() -> None:
    h = np.where(REGION, 0.8, 0.2)
    assert 0.2 < e.otsu_threshold(h) < 0.8
    assert (e.binarised(h, "otsu") == REGION).all()
    assert e.binarised(h, "top-10").sum() == 40
    assert (e.binarised(h, "fixed-50") == REGION).all()
    with pytest.raises(InputError, match="unknown rule"):
        e.binarised(h, "best")


@pytest.mark.parametrize("h", [np.zeros((20, 20)), np.full((20, 20), np.nan)])
def test_degenerate_maps_are_refused_and_never_hit(h: np.ndarray) -> None:
    for measure in (e.area_matched_iou, e.pixel_auroc, e.pointing_hit):
        with pytest.raises(InputError, match="constant or holds NaN"):
            measure(h, REGION)


def test_empty_regions_are_refused() -> None:
    with pytest.raises(InputError, match="empty or the whole picture"):
        e.area_matched_iou(PERFECT, np.zeros((20, 20), bool))


def test_correlations_and_the_tree_of_maps() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.random((2, 20, 20))
    assert e.map_correlation(a, 3 * a + 1) == pytest.approx(1)
    assert e.rank_correlation(a, a**3) == pytest.approx(1)
    tree = e.clustering_tree([a, a + 0.01 * b, b])
    assert set(tree[0, :2]) == {0, 1}  # the two alike are joined first
    assert tree[0, 2] < 0.01 < tree[1, 2]


def test_areas_of_curves() -> None:
    assert e.curve_area([1, 0]) == 0.5
    assert e.curve_area([1, 1, 1]) == 1


def linear_game(h: np.ndarray) -> np.ndarray:
    """The inpainting game for a model whose embedding is the picture itself: nearest of probe and twin wins."""
    probe, twin = np.zeros((20, 20)), REGION.astype(float)
    masks = e.inpainting_path(h)
    blends = np.where(masks, twin, probe)
    to_twin, to_probe = ((blends - x).reshape(len(masks), -1) for x in (twin, probe))
    won = np.linalg.norm(to_twin, axis=1) < np.linalg.norm(to_probe, axis=1)
    outside = (masks & ~REGION).sum(axis=(1, 2)) / (~REGION).sum()
    return np.array([e.inpainting_read(outside, won, at) for at in (0.01, 0.05)])


def test_the_linear_inpainting_phantom_gives_its_closed_forms() -> None:
    rng = np.random.default_rng(2)
    assert linear_game(PERFECT).tolist() == [1, 1]
    assert linear_game(1 - PERFECT).tolist() == [0, 0]
    assert np.mean([linear_game(rng.random((20, 20))) for _ in range(100)], axis=0)[1] <= 0.02


@given(st.integers(0, 1000))
def test_inpainting_masks_are_nested_from_nothing_to_everything(seed: int) -> None:
    masks = e.inpainting_path(np.random.default_rng(seed).normal(size=(8, 8)), levels=11)
    assert not masks[0].any()
    assert masks[-1].all()
    assert (masks[1:] | ~masks[:-1]).all()
