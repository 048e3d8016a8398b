"""What a plan promises: costs from the cache and a timed batch, and the ratios a design can show."""

import math

import numpy as np
import pytest
from PIL import Image

from facebench.execution.options import RunOptions
from facebench.metrics import power
from facebench.metrics.uncertainty import errors_needed
from facebench.run.evaluate import evaluate
from facebench.run.plan import needed_for_double, plan, sentences
from facebench.run.protocols import Protocol
from facebench.schema import InputSpec, ModelCard, ProtocolSpec


class Grid:
    """A model of a few pixels."""

    card = ModelCard(
        name="grid", adapter="test", weights_sha256="1" * 64, embedding_dim=16, input=InputSpec(height=112, width=112)
    )

    def embed(self, faces):
        return faces[:, ::28, ::28, 0].reshape(len(faces), -1).astype(np.float32) - 100


def write_faces(folder, groups, images=2):
    """One folder of faces; `groups` maps a group to its number of identities."""
    rng = np.random.default_rng(5)
    rows = ["image_id,path,identity,team"]
    (folder / "images").mkdir(parents=True)
    for team, people in groups.items():
        for person in range(people):
            base = rng.integers(0, 200, (4, 4, 1))
            for shot in range(images):
                name = f"{team}{person}_{shot}"
                tile = np.kron(base + rng.integers(0, 40, (4, 4, 1)), np.ones((28, 28, 3)))
                Image.fromarray(tile.astype(np.uint8)).save(folder / "images" / f"{name}.png")
                rows.append(f"{name},images/{name}.png,{team}{person},{team}")
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n")
    return folder


def protocol(**keys):
    fields = {"name": "p", "title": "p", "fmr_targets": (0.1, 0.001), "primary_fmr_target": 0.1, **keys}
    return Protocol(ProtocolSpec.model_validate(fields), None)


def test_a_plan_counts_what_a_run_then_finds(tmp_path, monkeypatch):
    monkeypatch.setenv("FACEBENCH_CACHE", str(tmp_path / "cache"))
    data = {"faces": write_faces(tmp_path / "faces", {"a": 9, "b": 14})}
    options = RunOptions(out=tmp_path / "out", batch_size=8)
    spec = protocol()
    before = plan(Grid(), spec, data, options)
    assert before.n_cached == 0
    assert before.seconds_per_image > 0
    assert [part.what for part in before.parts] == ["embedding", "comparing and measuring"]
    assert before.parts[0].seconds == pytest.approx(46 * before.seconds_per_image)
    assert not (tmp_path / "out").exists()

    result = evaluate(Grid(), spec, data, options)
    after = plan(Grid(), spec, data, options)
    assert after.n_cached == 46
    assert after.parts[0].seconds == 0
    pooled = next(e for e in result.estimates if e.metric == "fmr" and e.group == "all")
    assert (after.n_genuine, after.n_impostor) == (pooled.n_genuine, pooled.n_impostor)
    for group in after.groupings[0].groups:
        own = next(e for e in result.estimates if e.metric == "fmr" and e.group == group.name and e.group_b is None)
        assert (group.n_genuine, group.n_impostor) == (own.n_genuine, own.n_impostor)
        assert group.n_identities == own.n_identities


def test_a_plan_says_what_cannot_be_seen(tmp_path):
    data = {"faces": write_faces(tmp_path / "faces", {"a": 4, "b": 30}, images=1)}
    found = plan(Grid(), protocol(), data, RunOptions(out=tmp_path))
    (grouping,) = found.groupings
    small, large = grouping.groups
    assert small.expected_errors == pytest.approx((0.001 * 6, 0.1 * 6))
    assert small.resolvable == (False, False)
    assert large.resolvable == (False, True)
    assert grouping.fnmr_ratio is None
    assert needed_for_double(large)[1] == pytest.approx(errors_needed(2, large.design_effects[1]))
    text = " ".join(sentences(found))
    for said in ("no genuine comparisons", "team=a", "no ratio at all", "finer than one false match"):
        assert said in text


def test_the_rule_and_its_inverse_agree():
    for ratio in (1.5, 2, 5):
        for effect in (1.0, 7.5):
            k = errors_needed(ratio, effect)
            assert power.detectable_ratio([k / effect, k / effect, 10 * k]) == pytest.approx(ratio)
    assert power.detectable_ratio([5.0]) is None
    assert power.detectable_ratio([5.0, 0.0]) is None


def test_error_correlations_are_those_of_the_bivariate_normal():
    from scipy.special import ndtri
    from scipy.stats import multivariate_normal

    for rate in (0.5, 0.1, 1e-2, 1e-3):
        for correlation in (0.05, 0.3, 0.7):
            t = ndtri(rate)
            both = multivariate_normal.cdf([t, t], cov=[[1, correlation], [correlation, 1]])
            expected = (both - rate**2) / (rate * (1 - rate))
            assert power.error_correlation(rate, correlation) == pytest.approx(expected, rel=1e-3, abs=1e-6)


@pytest.mark.parametrize("images", [[1] * 12, [3] * 6, [1, 2, 3, 4, 5]])
def test_the_design_effect_is_the_mean_of_all_correlations(images):
    """Against a double loop over all couples of comparisons."""
    shares = power.Shares(0.3, 0.2)
    owner = np.repeat(np.arange(len(images)), images)
    pairs = [{int(a), int(b)} for i, a in enumerate(owner) for b in owner[i + 1 :] if a != b]
    one = power.error_correlation(0.05, 0.15)
    both = power.error_correlation(0.05, 0.5)
    total = 0.0
    for i, x in enumerate(pairs):
        for j, y in enumerate(pairs):
            common = len(x & y)
            total += 1.0 if i == j else {0: 0.0, 1: one, 2: both}[common]
    assert power.impostor_design_effect(0.05, images, shares) == pytest.approx(total / len(pairs))
    assert math.isclose(power.impostor_design_effect(0.05, [3], shares), 1.0)
