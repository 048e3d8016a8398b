"""Sorted scores: every short cut gives what the plain definition gives, ties and failed comparisons included."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facebench.metrics import sorting
from facebench.metrics import verification as ver
from facebench.metrics.kernels import sums_at_ends

# few values, so that ties are many; some comparisons failed
VALUES = st.sampled_from([-np.inf, -0.5, -0.0, 0.0, 0.1, 0.25, 0.3, 0.300001, 0.9])
KIND = st.sampled_from([np.float32, np.float64])


def arrays(kind: type, at_least: int = 1) -> st.SearchStrategy[np.ndarray]:
    return st.lists(VALUES, min_size=at_least, max_size=40).map(lambda values: np.array(values, kind))


@st.composite
def both(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    kind = draw(KIND)
    return draw(arrays(kind)), draw(arrays(kind))


@given(both())
def test_order(scores: tuple[np.ndarray, np.ndarray]) -> None:
    assert sorting.falling_order(scores[0]).tolist() == np.argsort(-scores[0], kind="stable").tolist()


@given(both(), st.sampled_from([None, 1, -1]))
def test_counts_below(scores: tuple[np.ndarray, np.ndarray], direction: int | None) -> None:
    mine, others = scores
    mine = mine if direction is None else np.sort(mine)[::direction]
    expected = [2 * int((others < s).sum()) + int((others == s).sum()) for s in mine]
    assert sorting.twice_below(mine, others).tolist() == expected


@settings(max_examples=300)
@given(both())
def test_equal_error_rate_over_every_threshold(scores: tuple[np.ndarray, np.ndarray]) -> None:
    curve = ver.error_curve(*scores)
    difference, mean = np.abs(curve.fmr - curve.fnmr), (curve.fmr + curve.fnmr) / 2
    closest = np.flatnonzero(difference <= difference.min() + 1e-12)
    best = closest[np.argmin(mean[closest])]
    found = ver.equal_error_rate(*scores)
    assert (found.value, found.threshold) == (mean[best], curve.thresholds[best])
    assert found.bracket == tuple(sorted((curve.fmr[best], curve.fnmr[best])))


@given(both())
def test_thinned_curve_is_made_of_the_whole_one(scores: tuple[np.ndarray, np.ndarray]) -> None:
    genuine, impostor = map(np.sort, scores)
    curve = ver.error_curve(genuine, impostor)
    levels = np.geomspace(max(1 / impostor.size, 1e-7), 1, 300)[::-1]
    rows = np.unique(np.searchsorted(-curve.fmr, -levels, side="left"))
    rows = rows[rows < curve.fmr.size]
    found = sorting.thinned_curve(genuine, impostor, levels.tolist())
    assert found == (curve.fmr[rows].tolist(), curve.fnmr[rows].tolist())


@given(both(), st.integers(1, 12))
def test_histogram(scores: tuple[np.ndarray, np.ndarray], n: int) -> None:
    values = np.sort(scores[0][np.isfinite(scores[0])])
    if values.size:
        edges = np.linspace(float(values[0]), float(values[-1]) + 1e-6, n + 1)
        assert sorting.counts_in_bins(values, edges).tolist() == np.histogram(values, edges)[0].tolist()


@given(both(), VALUES.filter(np.isfinite))
def test_all_that_lies_near_is_kept(scores: tuple[np.ndarray, np.ndarray], threshold: float) -> None:
    falling = np.sort(scores[0])[::-1]
    kept = sorting.about(falling, threshold, ver.NEAR_THRESHOLD)
    assert ver.near_threshold(kept, threshold) == ver.near_threshold(falling, threshold)


@settings(deadline=None)  # the first call imports scipy
@given(both())
def test_recalibration_of_bins_is_that_of_scores(scores: tuple[np.ndarray, np.ndarray]) -> None:
    from scipy.optimize import isotonic_regression

    genuine, impostor = scores
    values, index = np.unique(np.concatenate([genuine, impostor]), return_inverse=True)
    n_genuine = np.bincount(index[: genuine.size], minlength=values.size)
    n_all = np.bincount(index, minlength=values.size)
    starts = isotonic_regression(n_genuine / n_all, weights=n_all).blocks[:-1]
    pooled = ver.pool_adjacent_violators(genuine, impostor)
    share = np.repeat(
        pooled.genuine / (pooled.genuine + pooled.impostor), (pooled.genuine + pooled.impostor).astype(int)
    )
    expected = np.add.reduceat(n_genuine, starts) / np.add.reduceat(n_all, starts)
    assert share == pytest.approx(np.repeat(expected, np.add.reduceat(n_all, starts)), abs=1e-12)


@settings(deadline=None)  # the first call compiles
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.floats(-1, 1)), min_size=1))
def test_sums_at_ends_have_the_bits_of_two_bincounts(rows: list[tuple[int, int, float]]) -> None:
    first, second, values = (np.array(column) for column in zip(*rows, strict=True))
    expected = np.bincount(first, values, 5) + np.bincount(second, values, 5)
    assert sums_at_ends(first, second, values.astype(float), 5).tobytes() == expected.tobytes()


@pytest.mark.parametrize("size", [1, 1000, sorting.BLOCK + 1, 3 * sorting.BLOCK + 77])
def test_means_in_blocks_have_the_bits_of_numpy(size: int) -> None:
    scores = np.random.default_rng(size).normal(0.1, 0.3, size).astype(np.float32)
    wide = scores.astype(np.float64)
    assert sorting.moments(scores) == (float(wide.mean()), float(wide.var()))
    costs = sorting.mean_in_blocks(scores, lambda block: np.logaddexp(0.0, block.astype(np.float64)))
    assert costs == float(np.logaddexp(0.0, wide).mean())


def test_all_pairs_fall_as_a_list_of_them_does() -> None:
    n = 60
    ends = np.stack(np.triu_indices(n, 1), axis=1).astype(np.uint16)
    scores = np.random.default_rng(3).integers(-4, 4, len(ends)).astype(np.float32)  # many ties, zeros of both signs
    scores[::7] *= np.float32(-1.0)
    scores[5] = -np.inf
    order = sorting.falling_order(scores)
    fallen, first, second = sorting.fallen_with_ends(scores, ends)
    np.testing.assert_array_equal(fallen, scores[order])
    np.testing.assert_array_equal(np.stack([first, second], axis=1), ends[order])
