"""Altered images are compared comparison by comparison, each model at its own clean threshold."""

from __future__ import annotations

import numpy as np
import pytest

from facebench import compare, load_result
from facebench.measure.every_score import Measurement
from facebench.measure.saved import load_inputs, save_result, save_section
from facebench.sections.robustness.conditions import Baseline, condition_estimates
from tests.comparison import factory

CONDITION = "corruption:gaussian_noise:3"
SPEC = {"robustness": {"conditions": [CONDITION]}}


def with_condition(folder, clean, altered, name):
    """A result with the embeddings and estimates that section `robustness` would have added."""
    factory.write_result(folder, clean, name=name, spec=SPEC)
    result = load_result(folder)
    vectors, images, pairs, spec = load_inputs(result, folder)
    artifact = save_section(folder, "robustness", {CONDITION: altered.astype(np.float32)})
    baseline = Baseline(spec, images, vectors, pairs, Measurement(result.estimates, (), ()), comparator="cosine")
    found = condition_estimates(baseline, baseline.scores(altered.astype(np.float32)), CONDITION)
    changed = {"estimates": (*result.estimates, *found), "artifacts": (*result.artifacts, artifact)}
    save_result(result.model_copy(update=changed).with_id(), folder / "result.json")
    return folder


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    top = tmp_path_factory.mktemp("conditions")
    clean, rng = factory.vectors(), np.random.default_rng(2)
    noise = rng.standard_normal(clean.shape)
    return [
        with_condition(top / "a", clean, clean + 0.3 * noise, "a"),
        with_condition(top / "b", clean, clean + 1.2 * noise, "b"),
    ]


def test_conditions_are_paired_and_agree_with_the_results(pair):
    found = compare(*pair)
    rows = [d for d in found.differences if d.condition == CONDITION and d.metric in ("tar", "fnmr", "fmr")]
    stored = [
        {(e.metric, e.fmr_target, e.group): e.value for e in load_result(folder).estimates if e.condition == CONDITION}
        for folder in pair
    ]
    for d in rows:
        key = d.metric, d.fmr_target, d.group
        if key in stored[0]:
            assert d.base_value == pytest.approx(stored[0][key])
            assert d.value == pytest.approx(stored[1][key])
    assert {d.ci_method for d in rows} == {"paired-identity"}
    assert {"all", "sex=a", "sex=b"} == {d.group for d in rows}
    tar = next(d for d in rows if (d.metric, d.fmr_target, d.group) == ("tar", 0.01, "all"))
    assert tar.difference < 0
    assert tar.newly_wrong > 0


def test_a_condition_is_never_called_equal_because_the_clean_embeddings_are(pair):
    """Both results hold the same clean embeddings; the altered ones differ, and so does their error."""
    found = compare(*pair)
    assert found.identical == ("b",)
    tar = next(d for d in found.differences if (d.metric, d.group, d.condition) == ("tar", "all", CONDITION))
    assert tar.standard_error > 0
    clean = next(d for d in found.differences if (d.metric, d.group, d.condition) == ("tar", "all", "clean"))
    assert clean.standard_error == 0


def test_the_page_shows_altered_images(pair, tmp_path):
    from facebench.comparison.page import render_comparison

    page = render_comparison(compare(*pair), [load_result(folder) for folder in pair])
    assert 'id="conditions"' in page
    assert CONDITION in page
    assert "mean FNMR on altered images" in page
