"""Comparisons of whole results, through the Python interface."""

from __future__ import annotations

import json

import numpy as np
import pytest

from facebench import FaceBenchError, compare, load_result
from facebench.errors import InputError, NotComparableError
from facebench.measure.sample import Images, Pairs
from tests.comparison import factory


def pick(comparison, model, metric, **where):
    wanted = {"group": "all", "condition": "clean", **where}
    found = [
        d
        for d in comparison.differences
        if d.model == model and d.metric == metric and all(getattr(d, k) == v for k, v in wanted.items())
    ]
    assert found, (model, metric, where)
    return found[0]


def test_values_are_those_of_the_results(folders, comparison):
    """What a comparison says of one model is what its own result says, overall and per group."""
    for name in ("noisy", "worse"):
        base, model = load_result(folders["base"]), load_result(folders[name])
        stored = {
            (e.metric, e.fmr_target, e.group, e.k, e.condition): e.value for e in model.estimates if e.group_b is None
        }
        of_base = {
            (e.metric, e.fmr_target, e.group, e.k, e.condition): e.value for e in base.estimates if e.group_b is None
        }
        checked = 0
        for d in comparison.differences:
            key = d.metric, d.fmr_target, d.group, d.k, d.condition
            if d.model == name and key in stored:
                assert d.value == pytest.approx(stored[key], abs=1e-12), key
                assert d.base_value == pytest.approx(of_base[key], abs=1e-12), key
                checked += 1
        assert checked > 30


def test_counts_of_changed_sides_add_up(comparison):
    for d in comparison.differences:
        if d.newly_wrong is not None and d.metric in ("fnmr", "fmr"):
            assert d.difference == pytest.approx((d.newly_wrong - d.newly_right) / d.n_comparisons, abs=1e-12)


def test_a_much_worse_model_is_told_apart(comparison):
    tar = pick(comparison, "worse", "tar", fmr_target=0.01)
    assert tar.difference < 0
    assert tar.ci_high < 0
    assert tar.p_adjusted < 0.001
    ranks = [r for r in comparison.ranks if r.metric == "tar" and r.fmr_target == 0.01]
    assert [r.model for r in ranks][-1] == "worse"
    assert (ranks[-1].best, ranks[-1].worst) == (3, 3)
    assert not set(ranks[0].ties) & set(ranks[-1].ties)


def test_pairing_makes_intervals_narrower(folders, comparison):
    """The models share what makes a comparison hard, so the paired interval beats two separate ones."""
    d = pick(comparison, "noisy", "dprime")
    widths = []
    for name in ("base", "noisy"):
        e = next(e for e in load_result(folders[name]).estimates if e.metric == "dprime")
        widths.append(e.ci_high - e.ci_low)
    assert d.ci_high - d.ci_low < np.hypot(*widths)


def test_swapping_the_models_turns_every_sign(folders):
    there = compare(folders["base"], folders["worse"])
    back = compare(folders["worse"], folders["base"])
    for a, b in zip(there.differences, back.differences, strict=True):
        assert (a.metric, a.group, a.fmr_target) == (b.metric, b.group, b.fmr_target)
        if a.difference is not None:
            assert a.difference == pytest.approx(-b.difference, abs=1e-12)
        if a.standard_error is not None and a.metric != "accuracy":
            assert a.standard_error == pytest.approx(b.standard_error, rel=1e-9, abs=1e-12) or a.newly_wrong == 0


def test_equal_embeddings_differ_by_exactly_nothing(folders):
    found = compare(folders["base"], folders["twin"])
    assert found.identical == ("twin",)
    assert all(d.difference == 0 and d.standard_error == 0 for d in found.differences if d.difference is not None)
    assert not found.moved_pairs
    assert not found.moved_identities
    assert all(d.minimum == pytest.approx(1) for d in found.drift)


def test_the_comparison_is_the_same_every_time(folders, comparison):
    again = compare(folders["base"], folders["noisy"], folders["worse"])
    assert again.model_dump_json() == comparison.model_dump_json()


def test_models_of_one_name_get_numbers(folders):
    assert [m.label for m in compare(folders["base"], folders["base"]).models] == ["base (1)", "base (2)"]


def test_planted_movement_is_named(tmp_path):
    """One identity's embeddings are shuffled: it heads the list, and its pairs are the ones that moved."""
    base = factory.vectors()
    moved = base.copy()
    moved[8:12] = np.random.default_rng(3).standard_normal((4, base.shape[1]))
    a, b = (factory.write_result(tmp_path / n, v, name=n) for n, v in (("a", base), ("b", moved)))
    found = compare(a, b)
    assert found.moved_identities[0].identity == "p2"
    assert found.moved_identities[0].misses > found.moved_identities[0].misses_base
    wrong = [p for p in found.moved_pairs if p.genuine and p.newly_wrong]
    assert wrong
    assert all(p.image_a.startswith("p2_") and p.image_b.startswith("p2_") for p in wrong)
    drift = {d.group: d for d in found.drift}
    assert drift["sex=a"].minimum < 0.7 < drift["sex=b"].minimum


def test_one_weight_matrix_serves_differential_measures(comparison):
    d = pick(comparison, "noisy", "fnmr_gap", group="sex", fmr_target=0.01)
    assert d.standard_error is not None
    assert d.ci_low <= d.difference <= d.ci_high


CHANGES = {
    "protocol.manifest_sha256": {"manifest": "n" * 64},
    "protocol key threshold_policy": {"spec": {"threshold_policy": "worst"}},
    "protocol.threshold_policy": {"spec": {"threshold_policy": "worst"}},
    "protocol key fmr_targets": {"spec": {"fmr_targets": [0.2, 0.01]}},
    "protocol key uncertainty.replicates: 200 and 300": {"spec": {"uncertainty": {"replicates": 300}}},
    "run.limit": {"limit": 90},
}


@pytest.mark.parametrize("field", CHANGES)
def test_what_is_not_comparable_is_named(tmp_path, folders, field):
    other = factory.write_result(tmp_path / "other", factory.vectors(), name="other", **CHANGES[field])
    with pytest.raises(NotComparableError, match="not comparable") as caught:
        compare(folders["base"], other)
    assert field in str(caught.value)
    assert caught.value.exit_code == 4


def test_a_result_of_a_later_version_is_named(tmp_path, folders):
    body = json.loads((folders["base"] / "result.json").read_text())
    (tmp_path / "result.json").write_text(json.dumps({**body, "schema_version": 99}))
    with pytest.raises(InputError, match="schema_version is 99; this FaceBench reads up to"):
        compare(folders["base"], tmp_path)


def test_other_images_under_the_same_manifest_hash_are_refused(tmp_path, folders):
    own = factory.images()
    renamed = Images(own.image_ids, ("x", *own.identities[1:]), own.attributes)
    other = factory.write_result(tmp_path / "other", factory.vectors(), of=renamed, name="other")
    with pytest.raises(NotComparableError, match="identities"):
        compare(folders["base"], other)


def test_a_changed_embedding_file_is_found(tmp_path, folders):
    other = factory.write_result(tmp_path / "other", factory.vectors(seed=5), name="other")
    path = other / "embeddings.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="was changed"):
        compare(folders["base"], other)


@pytest.mark.parametrize("n", [1, 9])
def test_two_to_eight_models(folders, n):
    with pytest.raises(FaceBenchError, match="2 to 8"):
        compare(*[folders["base"]] * n)


def test_eight_models(tmp_path, folders):
    found = compare(*[folders[n] for n in ("base", "twin", "noisy", "worse")] * 2)
    assert len(found.models) == 8
    assert len(found.ranks) == 8 * len({(r.metric, r.fmr_target) for r in found.ranks})


def test_dimensions_may_differ_and_drift_is_then_left_out(tmp_path, folders):
    wide = np.hstack([factory.vectors(seed=4), np.zeros((96, 8), np.float32)])
    found = compare(folders["base"], factory.write_result(tmp_path / "wide", wide, name="wide"))
    assert not found.drift
    assert found.differences


def test_failed_images_count_against_the_model(tmp_path, folders):
    holes = factory.vectors()
    holes[0] = np.nan
    found = compare(folders["base"], factory.write_result(tmp_path / "holes", holes, name="holes"))
    tar = pick(found, "holes", "fnmr", fmr_target=0.01)
    assert tar.newly_wrong == 3
    assert any("Failed images" in caution for caution in found.cautions)


def test_pair_lists_and_folds(tmp_path):
    rng = np.random.default_rng(0)
    n = 400
    a, b = rng.integers(0, 96, n), rng.integers(0, 96, n)
    b = np.where(rng.random(n) < 0.5, a // 4 * 4 + (a + 1) % 4, b)
    keep = a != b
    a, b = a[keep], b[keep]
    pairs = Pairs(a, b, a // 4 == b // 4, np.arange(a.size) % 5)
    spec = {"comparisons": {"kind": "pair-list"}}
    base = factory.vectors()
    noisy = base + 0.8 * rng.standard_normal(base.shape)
    made = [
        factory.write_result(tmp_path / name, values, name=name, pairs=pairs, spec=spec)
        for name, values in (("a", base), ("b", noisy))
    ]
    accuracy = pick(compare(*made), "b", "accuracy")
    assert accuracy.ci_method == "paired-folds"
    assert accuracy.difference < 0


def test_without_identities_intervals_are_called_naive(tmp_path):
    from facebench.schema import Flag

    own = factory.images()
    bare = Images(own.image_ids, None, own.attributes)
    rng = np.random.default_rng(0)
    a, b = np.triu_indices(96, 1)
    pairs = Pairs(a, b, a // 4 == b // 4, None)
    spec = {"comparisons": {"kind": "pair-list"}, "identification": None}
    made = [
        factory.write_result(
            tmp_path / name, factory.vectors() + scale * rng.standard_normal((96, 32)), of=bare, name=name, pairs=pairs,
            spec=spec,
        )
        for name, scale in (("a", 0), ("b", 0.4))
    ]  # fmt: skip
    found = compare(*made)
    assert Flag.NAIVE_INTERVAL in pick(found, "b", "tar", fmr_target=0.01).flags
    assert any("no identity labels" in caution for caution in found.cautions)


def test_runs_that_differ_in_batch_size_are_compared_with_a_caution(tmp_path, folders):
    other = factory.write_result(tmp_path / "other", factory.vectors(seed=6), name="other", batch_size=8)
    assert any("batch size (32, 8)" in caution for caution in compare(folders["base"], other).cautions)


def test_checks_of_the_instrument_are_not_compared(comparison):
    """Random labels say something of the intervals, nothing of a model."""
    assert not [d for d in comparison.differences if d.condition.startswith("control:")]
    assert not [d for d in comparison.differences if d.metric.endswith("_test")]


def test_cllr_counts_both_kinds_of_comparisons(comparison):
    counted = {d.metric: d.n_comparisons for d in comparison.differences if d.metric in ("cllr", "min_cllr")}
    assert counted["cllr"] == counted["min_cllr"] == 96 * 95 // 2
