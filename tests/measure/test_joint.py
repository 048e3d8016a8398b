"""Rates of groups that share a threshold move together as bootstrap replicates of all scores do."""

from __future__ import annotations

import numpy as np
import pytest

from facebench.measure import joint
from facebench.measure.grouped import GroupMeasurer
from facebench.measure.sample import Sample, score_embeddings
from facebench.measure.streaming_counts import Tallied
from facebench.measure.streaming_groups import LargeGroups
from facebench.measure.study import groupings_of, points_of
from facebench.metrics.clusters import Influence
from tests.measure.test_streaming import LARGE, SPEC, make


def test_points_have_the_moments_they_stand_for() -> None:
    rng = np.random.default_rng(0)
    factor = rng.standard_normal((4, 3))  # a covariance without full rank
    wanted, means = factor @ factor.T, rng.random(4)
    found = joint.points(means, wanted)
    np.testing.assert_allclose(found.mean(axis=0), means, atol=1e-12)
    np.testing.assert_allclose(np.cov(found.T, ddof=0), wanted, atol=1e-10)
    assert found.shape[0] >= 100


def test_what_lies_in_several_cells_follows_from_the_whole() -> None:
    assert joint.alike_between_cells(10.0, [4.0, 6.0]) == 0.0  # no pair of identities lies in two cells
    assert joint.alike_between_cells(4.0 * 4, [4.0, 4.0]) == 1.0  # d_1 = d_2 everywhere
    assert joint.alike_between_cells(3.0, [4.0, 6.0]) == 0.0  # they err in opposite ways: taken as apart
    assert joint.alike_between_cells(5.0, [5.0]) == 0.0


def test_two_halves_of_all_comparisons_move_in_opposite_directions() -> None:
    """Were there no others, the FMR of one half at a threshold set on both could only rise while the other falls."""
    own = [np.array([1.0, -0.5, 0, 0]), np.array([0, 0, 0.7, -0.2])]
    halves = [Influence(each, each**2, float(each @ each) / 4) for each in own]
    pooled = Influence((own[0] + own[1]) / 2, np.zeros(4), sum(h.independent for h in halves) / 4)
    rates = [joint.Moving(h, True, h.independent / 2, -1.0, v) for h, v in zip(halves, (4.0, 9.0), strict=True)]
    found = joint.covariance(rates, pooled, 0.0)
    np.testing.assert_allclose(found, [[4, -6], [-6, 9]])


@pytest.mark.slow
def test_rates_move_together_as_in_replicates() -> None:
    images, vectors = make(1000, 200)
    points = points_of(SPEC)
    groupings, _ = groupings_of(SPEC, images)
    sample = Sample(
        images, score_embeddings(vectors, images, None, "cosine").scores, groupings, replicates=1000, seed=1
    )
    fields = {"confidence": 0.95, "min_identities": 2, "design_effects": [1.0] * 3, "seed": 0}
    dense = GroupMeasurer(sample, points, policy="pooled", **fields)  # type: ignore[arg-type]
    large = LargeGroups(Tallied(images, vectors, groupings, points, "cosine", LARGE), **fields)  # type: ignore[arg-type]
    for number, shares_people in ((1, False), (2, True)):
        for (drawn, _), (found, _) in zip(dense.group_rates(number), large.group_rates(number), strict=True):
            assert drawn.fmr_replicates is not None
            assert found.fmr_replicates is not None
            expected, seen = np.corrcoef(drawn.fmr_replicates.T), np.corrcoef(found.fmr_replicates.T)
            # where people carry several labels groups may be taken to move further apart than they do, never less
            above = np.triu(seen - expected, 1)
            assert above.max() < 0.15
            assert above.min() > (-0.35 if shares_people else -0.15)
            variances = [0.0 if rate is None or rate.variance is None else rate.variance for rate in found.fmr]
            np.testing.assert_allclose(found.fmr_replicates.var(axis=0), variances, rtol=1e-9)
