"""The negative control, corrected p values, excess intervals and power beside the differentials of a run."""

import numpy as np
import pytest

from facebench.measure import control
from facebench.measure.every_score import measure
from facebench.measure.groups import Grouping
from facebench.measure.sample import Images
from facebench.metrics import fairness
from facebench.schema import Estimate, Flag, ProtocolSpec

SPEC = ProtocolSpec.model_validate(
    {
        "name": "p", "title": "p", "fmr_targets": (0.1, 0.02), "primary_fmr_target": 0.1,
        "groups": {"intersections": "none"}, "uncertainty": {"replicates": 200},
    }
)  # fmt: skip


def people(n, images=2, seed=0, spread=1.0, dim=24):
    """Embeddings of two teams; those of team b lie closer together by a shared direction of length `spread` - 1."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((n, dim))
    centres[n // 2 :, 0] += 3 * (spread - 1)
    vectors = np.repeat(centres, images, 0) + 0.4 * rng.standard_normal((n * images, dim))
    names = [f"p{i}" for i in range(n) for _ in range(images)]
    team = ["a" if i < n // 2 else "b" for i in range(n) for _ in range(images)]
    ids = tuple(f"{name}_{k}" for k, name in enumerate(names))
    return Images(ids, tuple(names), {"team": tuple(team)}), vectors.astype(np.float32)


def measured(*, spread=1.0, n=60, seed=0):
    images, vectors = people(n, seed=seed, spread=spread)
    found = measure(SPEC, images, vectors, None, comparator="cosine", seed=seed)
    return found.estimates


def test_shuffled_groups_keep_their_sizes_and_their_people_together():
    rng = np.random.default_rng(0)
    identity = np.repeat(np.arange(30), 3)
    label = np.repeat(rng.integers(-1, 3, 30), 3).astype(np.int32)
    found = control.control_grouping(Grouping("g", ("g=a", "g=b", "g=c"), label), identity, seed=1)
    assert sorted(np.bincount(found.label + 1)) == sorted(np.bincount(label + 1))
    assert all(len(set(found.label[identity == i])) == 1 for i in range(30))
    assert (found.label != label).any()
    again = control.control_grouping(Grouping("g", ("g=a", "g=b", "g=c"), label), identity, seed=1)
    assert (again.label == found.label).all()


def test_the_control_shows_nothing_where_the_groups_differ():
    estimates = measured(spread=2.0)
    real = {(e.metric, e.fmr_target): e for e in estimates if e.group == "team" and e.condition == "clean"}
    shuffled = {(e.metric, e.fmr_target): e for e in estimates if e.condition == control.CONDITION}
    assert real["fmr_gap", 0.1].ci_low > 0
    assert real["equal_fmr_test", 0.1].p_holm < 1e-3
    assert shuffled["fmr_gap", 0.1].ci_low == 0
    assert abs(shuffled["fmr_gap", 0.1].excess) < real["fmr_gap", 0.1].excess / 3
    assert not [e for e in estimates if Flag.CONTROL_FAILED in e.flags]
    assert not [e for e in estimates if control.of_control(e)]
    assert {e.group for e in shuffled.values()} == {"team"}


def test_intervals_that_ignore_shared_identities_fail_the_control():
    """Without the dependence between comparisons, shuffled labels look unlike: the flag exists to show that."""
    fields = {"metric": "equal_fmr_test", "value": 40.0, "fmr_target": 0.1, "group": control.NAME}
    estimates = [
        Estimate(**fields, p_value=1e-6),
        Estimate(**{**fields, "fmr_target": 0.02}, p_value=0.4),
        Estimate(**{**fields, "metric": "fmr_gap"}),
        Estimate(**{**fields, "metric": "fmr", "group": f"{control.NAME}=1"}),
    ]
    found = control.as_control(estimates, "team")
    assert [(e.metric, e.fmr_target, Flag.CONTROL_FAILED in e.flags) for e in found] == [
        ("equal_fmr_test", 0.1, True),
        ("equal_fmr_test", 0.02, False),
        ("fmr_gap", 0.1, True),
    ]


def test_the_control_changes_no_other_number(monkeypatch):
    before = [e for e in measured() if e.condition == "clean"]
    shuffle = control.control_grouping
    monkeypatch.setattr(control, "control_grouping", lambda grouping, identity, seed: shuffle(grouping, identity, 99))
    assert [e for e in measured() if e.condition == "clean"] == before


def test_without_identities_there_is_no_control():
    images, vectors = people(30)
    nameless = Images(images.image_ids, None, images.attributes)
    found = measure(SPEC, nameless, vectors, None, comparator="cosine", seed=0).estimates
    assert not [e for e in found if e.condition == control.CONDITION]


def test_families_are_those_of_one_operating_point():
    tests = [
        e for e in measured() if e.metric.startswith("equal_f") and e.p_value is not None and e.condition == "clean"
    ]
    assert {e.family for e in tests} == {2}
    for e in tests:
        assert e.p_value <= e.q_value <= e.p_holm <= 1


def test_excess_debiased_gap_and_power_stand_beside_the_differentials():
    estimates = [e for e in measured(spread=1.6) if e.condition == "clean" and e.fmr_target == 0.1]
    found = {e.metric: e for e in estimates if e.group == "team"}
    gap, clean = found["fmr_gap"], found["fmr_gap_debiased"]
    assert gap.excess_low < gap.excess < gap.excess_high
    assert 0 <= clean.value <= gap.value
    assert (clean.ci_low, clean.ci_high) == (gap.ci_low, gap.ci_high)
    ratio = found["fmr_max_min"]
    assert ratio.detectable_ratio > 1
    assert ratio.excess_low < ratio.excess < ratio.excess_high
    assert ratio.excess_low > -ratio.expected_if_fair  # a ratio of rates is positive


def test_failures_to_acquire_are_counted_per_group():
    images, vectors = people(20)
    vectors[:3] = np.nan
    found = {
        e.group: e
        for e in measure(SPEC, images, vectors, None, comparator="cosine", seed=0).estimates
        if e.metric == "fta"
    }
    assert (found["all"].errors, found["all"].n_images) == (3, 40)
    assert (found["team=a"].errors, found["team=a"].n_images) == (3, 20)
    assert found["team=b"].value == 0
    assert Flag.ZERO_ERRORS in found["team=b"].flags


@pytest.mark.parametrize("seed", range(5))
def test_debiased_gap_is_less_biased(seed):
    rng = np.random.default_rng(seed)
    p, se = 0.1, 0.01
    rates = p + se * rng.standard_normal((400, 6))
    raw = np.mean([fairness.gap(row) for row in rates])
    debiased = np.mean([fairness.debiased_gap(row, [se**2] * 6) for row in rates])
    assert debiased < 0.35 * raw
    apart = rates + np.array([0, 0, 0, 0, 0, 0.2])
    assert np.mean([fairness.debiased_gap(row, [se**2] * 6) for row in apart]) == pytest.approx(0.21, rel=0.1)
    assert fairness.debiased_gap([0.1, 0.1], [0.0, 0.0]) is None
    assert fairness.debiased_gap([0.1, 0.1], [1e-4, 1e-4]) == 0
    q = np.sum((rates[0] - rates[0].mean()) ** 2) / se**2
    expected = fairness.gap(rates[0]) * max(0, 1 - 5 / q)
    assert fairness.debiased_gap(rates[0], [se**2] * 6) == pytest.approx(expected)
