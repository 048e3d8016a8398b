"""The impostor ladder and the regression on covariates, against counts and loops that hold everything at once."""

import numpy as np
import pytest

from facebench.errors import InputError, UnknownNameError
from facebench.execution.options import RunOptions
from facebench.measure.every_score import measure
from facebench.measure.groups import with_derived
from facebench.measure.pairwise import blocks, count_rates
from facebench.measure.sample import Images
from facebench.metrics import regression
from facebench.metrics.uncertainty import vertex_variance
from facebench.run.evaluate import evaluate, rescore
from facebench.run.protocols import Protocol
from facebench.schema import GroupSpec, ProtocolSpec
from facebench.scoring import compare_all
from facebench.sections.contract import Saved
from facebench.sections.covariates import measure as covariates
from facebench.sections.impostor_ladder import measure as impostor_ladder
from tests.run.test_plan import Grid, write_faces


def some_people(seed, n=40):
    """Images of people in any order, some without an age, with embeddings that depend on sex and age."""
    rng = np.random.default_rng(seed)
    identity = np.sort(rng.integers(0, n, 3 * n))
    rng.shuffle(identity)
    _, identity = np.unique(identity, return_inverse=True)
    sex, age = rng.integers(0, 2, n)[identity], rng.uniform(18, 80, n)[identity]
    centres = rng.standard_normal((n, 6))[identity]
    vectors = centres + 0.5 * rng.standard_normal((identity.size, 6))
    vectors[:, 0] += 1.5 * sex
    vectors[:, 1] += (age - 50) / 25
    ages = tuple(None if i % 11 == 0 else float(a) for i, a in enumerate(age))
    attributes = {"sex": tuple("mf"[s] for s in sex), "age": ages}
    names = tuple(f"p{i:03d}" for i in identity)
    return Images(tuple(f"i{i}" for i in range(identity.size)), names, attributes), vectors.astype(np.float32)


def spec(**keys):
    fields = {"name": "p", "title": "p", "fmr_targets": (0.1, 0.02), "primary_fmr_target": 0.1, "groups": None}
    return ProtocolSpec.model_validate({**fields, "uncertainty": {"replicates": 100}, **keys})


def section(module, protocol, images, vectors, tensors=None):
    """Run a section that needs no model."""
    clean = measure(protocol, images, vectors, None, comparator="cosine", seed=0)

    class Stored:
        impostor_ladder = None

        class model:  # noqa: N801 - stands for a field
            class comparator:  # noqa: N801
                value = "cosine"

    return module.remeasure(Saved(Stored, protocol, images, None, vectors, tensors or {}, clean)), clean


def test_blocks_hold_every_impostor_comparison_once():
    rng = np.random.default_rng(0)
    identity = rng.integers(0, 300, 1400)
    seen = set()
    for block in blocks(identity):
        rows, columns = np.nonzero(block.impostor)
        for a, b in zip(block.rows[rows], block.columns[columns], strict=True):
            seen.add((min(a, b), max(a, b)))
    first, second = np.triu_indices(1400, 1)
    assert len(seen) == int((identity[first] != identity[second]).sum())


@pytest.mark.parametrize("seed", range(3))
def test_every_rung_is_a_count_of_its_comparisons(seed):
    images, vectors = some_people(seed)
    protocol = spec(impostor_ladder={"sex": "sex", "age": "age", "age_within": 10})
    found, clean = section(impostor_ladder, protocol, images, vectors)
    scores = compare_all(vectors, images.identity)
    a, b = scores.impostor_ends.T
    sex = np.array(images.attributes["sex"])
    age = np.array([np.nan if v is None else v for v in images.attributes["age"]])
    masks = {
        "impostors:random": np.ones(a.size, bool),
        "impostors:same-sex": sex[a] == sex[b],
        "impostors:same-sex-age": (sex[a] == sex[b]) & (np.abs(age[a] - age[b]) <= 10),
    }
    assert {e.condition for e in found.estimates} == set(masks)
    for e in found.estimates:
        mask = masks[e.condition]
        errors = (scores.impostor >= e.threshold)[mask]
        assert (e.errors, e.n_impostor) == (int(errors.sum()), int(mask.sum()))
        first, second = images.identity[a[mask]], images.identity[b[mask]]
        people = np.unique(np.concatenate([first, second])).size
        assert e.n_identities == people
        p = errors.mean()
        variance = vertex_variance(errors - p, first, second, errors.size)
        if 0 < p < 1:
            assert e.n_eff == pytest.approx(p * (1 - p) / max(variance, p * (1 - p) / errors.size))
    pooled = next(e for e in clean.estimates if e.metric == "fmr" and e.fmr_target == 0.1)
    random = next(e for e in found.estimates if e.condition == "impostors:random" and e.fmr_target == 0.1)
    assert (random.errors, random.n_impostor) == (pooled.errors, pooled.n_impostor)
    assert random.ci_low == pytest.approx(pooled.ci_low)


def test_lookalikes_never_enter_an_fmr():
    images, vectors = some_people(1)
    protocol = spec(impostor_ladder={"neighbours": 2})
    without, _ = section(impostor_ladder, protocol, images, vectors)
    assert [gap.what for gap in without.unmeasured] == ["false matches of look-alikes"]
    a, b = compare_all(vectors, images.identity).impostor_ends[:50].T
    chosen = {"first": a.astype(np.int64), "second": b.astype(np.int64)}
    found, _ = section(impostor_ladder, protocol, images, vectors, chosen)
    alike = [e for e in found.estimates if e.condition == impostor_ladder.LOOKALIKES]
    assert {e.metric for e in alike} == {"lookalike_match_rate"}
    assert {e.n_impostor for e in alike} == {50}
    assert [e for e in found.estimates if e.metric == "fmr"] == list(without.estimates)


def test_a_second_model_chooses_the_lookalikes_and_a_rescore_repeats_them(tmp_path, monkeypatch):
    monkeypatch.setenv("FACEBENCH_CACHE", str(tmp_path / "cache"))
    data = {"faces": write_faces(tmp_path / "faces", {"a": 8, "b": 8})}
    plain = Protocol(spec(), None)
    other = evaluate(Grid(), plain, data, RunOptions(out=tmp_path / "other"))
    ladder = Protocol(spec(impostor_ladder={"race": "team", "neighbours": 2}), None)
    options = RunOptions(out=tmp_path / "out", second_model=tmp_path / "other")
    result = evaluate(Grid(), ladder, data, options)
    assert result.impostor_ladder.second_model.result_id == other.result_id
    strangers = {e.condition: e.value for e in result.estimates if e.fmr_target == 0.1 and "impostors" in e.condition}
    # chosen by the same embeddings, the nearest strangers are accepted more often than any
    assert strangers[impostor_ladder.LOOKALIKES] > strangers["impostors:random"]
    stored, fresh = rescore(tmp_path / "out")
    assert stored == fresh


def test_unknown_and_wordy_columns_are_refused():
    images, vectors = some_people(0)
    with pytest.raises(UnknownNameError, match="'sex'"):
        section(impostor_ladder, spec(impostor_ladder={"sex": "sexx"}), images, vectors)
    with pytest.raises(InputError, match="words"):
        section(impostor_ladder, spec(impostor_ladder={"age": "sex"}), images, vectors)
    with pytest.raises(InputError, match="words"):
        section(covariates, spec(covariates={"sex": 1}), images, vectors)
    with pytest.raises(UnknownNameError, match="'age'"):
        section(covariates, spec(covariates={"agee": 1}), images, vectors)


def naive_fit(x, y):
    """Newton's method on the whole design."""
    beta = np.zeros(x.shape[1])
    for _ in range(60):
        p = 1 / (1 + np.exp(-x @ beta))
        beta = beta + np.linalg.solve((x * (p * (1 - p))[:, None]).T @ x, x.T @ (y - p))
    return beta


def test_regressions_agree_with_the_whole_design():
    images, vectors = some_people(2)
    found, clean = section(covariates, spec(covariates={"age": 10}), images, vectors)
    threshold = next(e.threshold for e in clean.estimates if e.metric == "fmr" and e.fmr_target == 0.1)
    scores = compare_all(vectors, images.identity)
    age = np.array([np.nan if v is None else v for v in images.attributes["age"]]) / 10
    for rate, values, ends in (
        ("fmr", scores.impostor, scores.impostor_ends),
        ("fnmr", scores.genuine, scores.genuine_ends),
    ):
        errors = (values >= threshold) if rate == "fmr" else (values < threshold)
        known = ~np.isnan(age[ends]).any(axis=1)
        a, b = ends[known].T
        x = np.stack([np.ones(a.size), (age[a] + age[b]) / 2, np.abs(age[a] - age[b])], 1)
        y = errors[known].astype(float)
        estimates = {e.metric: e for e in found.estimates if e.metric.startswith(f"{rate}_")}
        mean, difference = estimates[f"{rate}_odds_mean"], estimates[f"{rate}_odds_difference"]
        if rate == "fnmr" and mean.value is None:
            assert min(y.sum(), y.size - y.sum()) < covariates.MIN_ERRORS or np.ptp(x[:, 2]) == 0
            continue
        beta = naive_fit(x, y)
        assert np.log([mean.value, difference.value]) == pytest.approx(beta[1:], abs=1e-6)
        assert mean.errors == int(y.sum())
        # the sandwich by loops over identities
        residual = x * (y - 1 / (1 + np.exp(-x @ beta)))[:, None]
        first, second = images.identity[a], images.identity[b]
        meat = np.zeros((3, 3))
        people = np.unique(np.concatenate([first, second]))
        for u in people:
            own = residual[(first == u) | (second == u)].sum(0)
            meat += np.outer(own, own)
        for u, v in {tuple(sorted(pair)) for pair in zip(first, second, strict=True)}:
            own = residual[((first == u) & (second == v)) | ((first == v) & (second == u))].sum(0)
            meat -= np.outer(own, own)
        p = 1 / (1 + np.exp(-x @ beta))
        bread = np.linalg.inv((x * (p * (1 - p))[:, None]).T @ x)
        covariance = bread @ meat @ bread * people.size / (people.size - 1)
        half = 1.959964 * np.sqrt(covariance[2, 2])
        assert np.log(difference.ci_high) - np.log(difference.value) == pytest.approx(half, rel=1e-4)


@pytest.mark.slow
def test_the_dyadic_interval_covers():
    """Scores with identity effects and a known slope on the difference: nominal coverage, where a naive one fails."""
    rng = np.random.default_rng(4)
    n, slope, hits, repetitions = 60, -0.8, 0, 120
    first, second = np.triu_indices(n, 1)
    for _ in range(repetitions):
        value = rng.uniform(-1, 1, n)
        effect = 0.7 * rng.standard_normal(n)
        x = np.stack([np.ones(first.size), (value[first] + value[second]) / 2, np.abs(value[first] - value[second])], 1)
        # marginal slopes shrink under a random effect; a small one keeps them within the interval's own width
        logit = -1.0 + slope * x[:, 2] + 0.35 * (effect[first] + effect[second])
        y = (rng.random(first.size) < 1 / (1 + np.exp(-logit))).astype(float)
        beta = naive_fit(x, y)
        p = 1 / (1 + np.exp(-x @ beta))
        residual = x * (y - p)[:, None]
        per_identity = np.zeros((n, 3))
        np.add.at(per_identity, first, residual)
        np.add.at(per_identity, second, residual)
        meat = regression.dyadic_meat(per_identity, residual.T @ residual, n)
        bread = np.linalg.inv((x * (p * (1 - p))[:, None]).T @ x)
        half = 1.96 * np.sqrt((bread @ meat @ bread)[2, 2])
        hits += abs(beta[2] - slope) <= half
    assert 0.88 <= hits / repetitions <= 0.99


def test_a_constant_covariate_has_no_slope():
    images, vectors = some_people(3)
    flat = Images(images.image_ids, images.identities, {"age": tuple(30.0 for _ in images.image_ids)})
    found, _ = section(covariates, spec(covariates={"age": 10}), flat, vectors)
    assert all(e.value is None for e in found.estimates)


def test_ita():
    columns = {"L": (70.0, 30.0, None), "b": (20.0, 20.0, 5.0)}
    found = with_derived(columns, GroupSpec(ita=("L", "b")))
    assert found["ita"][:2] == pytest.approx([45.0, -45.0])
    assert found["ita"][2] is None
    with pytest.raises(InputError, match="already"):
        with_derived({**columns, "ita": (1.0, 2.0, 3.0)}, GroupSpec(ita=("L", "b")))
    assert with_derived(columns, None) is columns


def test_rates_of_empty_sets():
    images, vectors = some_people(0)
    ((found,),) = count_rates(vectors, images, "cosine", [0.5], [lambda block: np.zeros_like(block.impostor)], [1.0])
    assert found == (None, 0)
