"""Planted differentials are recovered, and groups that are alike are not called unlike."""

import numpy as np
import pytest
from scipy.special import ndtri

from facebench.errors import InputError
from facebench.measure.grouped import GroupMeasurer
from facebench.measure.groups import Grouping
from facebench.measure.sample import Images, Sample
from facebench.measure.study import Points
from facebench.metrics import families
from facebench.metrics.power import Shares, impostor_design_effect
from facebench.metrics.uncertainty import vertex_variance
from facebench.phantoms.scores import PhantomGroup, genuine_counts, impostor_counts
from facebench.run.calibrate import Design, calibrate, design_of
from facebench.scoring import ScoreSet
from tests.run.test_plan import write_faces

SHARES = Shares(0.3, 0.2)


@pytest.mark.parametrize("images", [(1,) * 60, (4,) * 30, (1, 2, 3, 4, 5) * 6])
def test_score_phantoms_have_the_rates_and_the_dependence_they_state(images):
    group = PhantomGroup("g", images, 0.05, 0.1)
    rng = np.random.default_rng(len(images))
    found = impostor_counts(group, SHARES, 3000, rng)
    rates = found.errors / found.comparisons
    assert rates.mean() == pytest.approx(0.05, rel=0.03)
    effect = rates.var() / (0.05 * 0.95 / found.comparisons)
    # with one image each the pair's share cannot be told from noise: it changes no other comparison
    assert effect == pytest.approx(impostor_design_effect(0.05, images, SHARES), rel=0.12)


def test_the_variance_of_score_phantoms_is_that_of_a_run():
    group = PhantomGroup("g", (1,) * 12, 0.3, 0.1)
    found = impostor_counts(group, SHARES, 5, np.random.default_rng(1))
    errors = np.zeros((12, 12))
    rng = np.random.default_rng(1)
    effect = rng.standard_normal((5, 12), dtype=np.float32) * np.float32(np.sqrt(SHARES.identity / 2))
    noise = rng.standard_normal((5, 12, 12), dtype=np.float32) * np.float32(np.sqrt(1 - SHARES.identity))
    first, second = np.triu_indices(12, 1)
    for r in range(5):
        scores = effect[r][:, None] + effect[r][None, :] + noise[r]
        errors = (scores[first, second] >= -ndtri(0.3)).astype(float)
        assert found.errors[r] == errors.sum()
        expected = vertex_variance(errors - errors.mean(), first, second, errors.size)
        assert found.variance[r] == pytest.approx(expected, rel=1e-5)


def test_genuine_phantoms():
    found = genuine_counts(PhantomGroup("g", (4,) * 50 + (1,) * 9, 0.1, 0.2), 2000, np.random.default_rng(0))
    rates = found.errors / found.comparisons
    assert found.comparisons == 300
    assert found.n_independent == 50
    assert rates.mean() == pytest.approx(0.2, rel=0.03)
    # raised by one standard error of what identities with several comparisons add
    assert rates.var() < found.variance.mean() < 1.4 * rates.var()
    assert genuine_counts(PhantomGroup("g", (1, 1), 0.1, 0.2), 5, np.random.default_rng(0)) is None


@pytest.mark.slow
def test_planted_ratios_are_recovered_and_a_fair_phantom_is_left_alone():
    """Four groups of 100 identities; 80 repetitions here, 200 by `facebench calibrate`."""
    design = Design({f"g{i}": (1,) * 100 for i in range(4)})
    found = calibrate(design, seeds=80, seed=3)
    for outcome in found.outcomes:
        assert 0.92 <= outcome.fmr.coverage <= 0.99
        assert outcome.fmr.ratio_coverage >= 0.92
        assert outcome.fmr.gap_coverage >= 0.92
    # 7 % of 80 is 5.6; a true share of 7 % would show more than 10 in fewer than 2 of 100 such tests
    assert found.false_alarms <= 10
    stated = [outcome.fmr.flagged for outcome in found.outcomes]
    assert stated == sorted(stated)
    assert stated[-1] > 0.95
    assert found.detectable_ratio == pytest.approx(found.predicted_ratio, rel=0.5)


def test_more_identities_show_smaller_ratios():
    small = calibrate(Design({"a": (2,) * 20, "b": (2,) * 20}, fmr=0.05), ratios=[1.0], seeds=60)
    large = calibrate(Design({"a": (2,) * 80, "b": (2,) * 80}, fmr=0.05), ratios=[1.0], seeds=60)
    assert large.detectable_ratio < small.detectable_ratio
    assert large.predicted_ratio < small.predicted_ratio
    assert large.outcomes[0].fnmr is not None


def test_impossible_designs_are_refused(tmp_path):
    with pytest.raises(InputError, match="two groups"):
        calibrate(Design({"a": (1, 1, 1)}), seeds=20)
    with pytest.raises(InputError, match="ratio of 60"):
        calibrate(Design({"a": (1,) * 9, "b": (1,) * 9}, fmr=0.02), ratios=[60.0], seeds=20)
    faces = write_faces(tmp_path / "faces", {"a": 3, "b": 5}, images=2)
    assert design_of(faces, "team").groups == {"team=a": (2,) * 3, "team=b": (2,) * 5}
    with pytest.raises(InputError, match="team"):
        design_of(faces, "tean")


@pytest.mark.slow
def test_a_whole_run_agrees_with_the_calibration():
    """Threshold estimated, bootstrap drawn: alarms on alike groups stay rare, a planted ratio of 6 is seen."""
    alarms, seen, repetitions = 0, 0, 25
    for seed in range(repetitions):
        alarms += states_a_differential(seed, 1.0)
        seen += states_a_differential(seed, 6.0)
    assert alarms <= 4  # a true share of 7 % would show more than 4 in 3 of 100 such tests
    assert seen >= 0.8 * repetitions


def states_a_differential(seed, ratio):
    """Score phantoms of three groups through the measurer of a run; the second group errs `ratio` times as often."""
    rng = np.random.default_rng([seed, round(ratio)])
    n = 60
    label = np.repeat([0, 1, 2], n).astype(np.int32)
    first, second = np.triu_indices(3 * n, 1)
    effect = rng.standard_normal(3 * n) * np.sqrt(SHARES.identity / 2)
    scores = effect[first] + effect[second] + rng.standard_normal(first.size) * np.sqrt(1 - SHARES.identity)
    shift = ndtri(0.01 * ratio) - ndtri(0.01)
    scores[(label[first] == 1) & (label[second] == 1)] += shift
    ends = np.stack([first, second], 1).astype(np.int32)
    nothing = np.zeros(0, np.float32)
    everyone = ScoreSet(nothing, np.zeros((0, 2), np.int32), scores.astype(np.float32), ends, complete=True)
    names = tuple(str(i) for i in range(3 * n))
    sample = Sample(
        Images(names, names, {}), everyone, [Grouping("g", ("g=a", "g=b", "g=c"), label)], replicates=300, seed=seed
    )

    points = Points((0.01,))
    measurer = GroupMeasurer(
        sample, points, policy="pooled", confidence=0.95, min_identities=10,
        design_effects=[1.0], seed=seed,
    )  # fmt: skip
    found = {e.metric: e for e in measurer.estimates() if e.group == "g"}
    gap, test = found["fmr_gap"], found["equal_fmr_test"]
    return gap.ci_low > 0 and families.holm([test.p_value])[0] < 0.05 and gap.excess > 0


def test_families():
    p = [0.001, 0.04, 0.03, 0.5]
    assert families.holm(p) == pytest.approx([0.004, 0.09, 0.09, 0.5])
    assert families.benjamini_hochberg(p) == pytest.approx([0.004, 0.16 / 3, 0.16 / 3, 0.5])
    assert families.holm([]) == families.benjamini_hochberg([]) == []


def test_families_agree_with_scipy_and_keep_the_order():
    from scipy.stats import false_discovery_control

    rng = np.random.default_rng(0)
    for _ in range(20):
        p = rng.random(9) ** 3
        q = families.benjamini_hochberg(p)
        assert q == pytest.approx(list(false_discovery_control(p)))
        adjusted = families.holm(p)
        assert np.argsort(p).tolist() == sorted(range(9), key=lambda i: (adjusted[i], p[i]))
        assert all(a >= b for a, b in zip(adjusted, q, strict=True))
