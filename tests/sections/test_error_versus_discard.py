"""Error-versus-discard curves and comparators, against their definitions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facebench.errors import InputError, UnknownNameError
from facebench.measure.every_score import measure
from facebench.measure.sample import Images
from facebench.metrics.quality import error_versus_discard
from facebench.models.load import load_model
from facebench.schema import Comparator, Flag, ModelCard, ProtocolSpec
from facebench.scoring import compare_all, compare_pairs, similarity
from facebench.scoring.comparators import QMagFace, comparators
from facebench.sections.contract import Saved
from facebench.sections.error_versus_discard import measure as section


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5), st.integers(0, 3)), min_size=1, max_size=30))
def test_curves_by_leaving_comparisons_out(rows):
    errors, quality, weights = (np.array(column, float) for column in zip(*rows, strict=True))
    curve = error_versus_discard(errors, quality, weights)
    if weights.sum() == 0:
        assert curve is None
        return
    for level in np.unique(quality):
        kept = quality >= level
        if weights[kept].sum():
            share = weights[~kept].sum() / weights.sum()
            rate = (weights * errors)[kept].sum() / weights[kept].sum()
            assert np.isclose(curve.discarded, share).any()
            assert curve.rate[np.isclose(curve.discarded, share)].min() <= rate + 1e-9
            assert curve.rate[np.isclose(curve.discarded, share)].max() >= rate - 1e-9
    assert ((curve.rate >= 0) & (curve.rate <= 1)).all()


def test_partial_areas():
    errors = np.r_[np.ones(10), np.zeros(90)]
    knowing = error_versus_discard(errors, np.arange(100.0))
    blind = error_versus_discard(errors, np.zeros(100))
    assert knowing.at(0.1) == 0
    assert blind.mean_rate(0.2) == pytest.approx(0.1)
    x = np.arange(11) / 100
    expected = np.trapezoid((0.1 - x) / (1 - x), x) / 0.2
    assert knowing.mean_rate(0.2) == pytest.approx(expected)


def test_counts_at_a_share_split_no_ties():
    errors, quality = np.array([1, 1, 0, 1, 0, 0.0]), np.array([1, 1, 1, 2, 3, 4.0])
    curve = error_versus_discard(errors, quality)
    assert [curve.counts(share) for share in (0, 0.4, 0.5, 0.6, 0.7)] == [(3, 6), (3, 6), (1, 3), (1, 3), (0, 2)]
    assert curve.step(0.5) == 1 / 3


def people(seed=0, n=60, images=3):
    """Images whose embeddings are shorter the noisier they are."""
    rng = np.random.default_rng(seed)
    noise = rng.uniform(0.1, 1.6, n * images)
    vectors = np.repeat(rng.standard_normal((n, 16)), images, 0) + noise[:, None] * rng.standard_normal(
        (n * images, 16)
    )
    vectors *= ((2 - noise) / np.linalg.norm(vectors, axis=1))[:, None] * 10
    names = tuple(f"p{i}" for i in range(n) for _ in range(images))
    quality = tuple(None if i == 0 else -float(v) for i, v in enumerate(noise))
    attributes = {"quality": quality, "word": tuple("ab"[i % 2] for i in range(n * images))}
    return Images(tuple(f"i{i}" for i in range(n * images)), names, attributes), vectors.astype(np.float32)


def run(images, vectors, **keys):
    fields = {"name": "p", "title": "p", "fmr_targets": (0.01,), "primary_fmr_target": 0.01, "groups": None}
    spec = ProtocolSpec.model_validate({**fields, "uncertainty": {"replicates": 200}, "error_versus_discard": keys})

    class Stored:
        class model:  # noqa: N801 - stands for a field
            class comparator:  # noqa: N801
                value = "cosine"

        class run:  # noqa: N801
            seed = 0

    clean = measure(spec, images, vectors, None, comparator="cosine", seed=0)
    return section.remeasure(Saved(Stored, spec, images, None, vectors, {}, clean)), clean


def test_a_quality_that_knows_lowers_the_fnmr_of_the_rest():
    images, vectors = people()
    found, clean = run(images, vectors, quality=["norm", "quality"], discard=[0.0, 0.2], up_to=0.2)
    overall = next(e for e in clean.estimates if e.metric == "fnmr")
    by = {(e.condition, e.metric, e.discarded): e for e in found.estimates}
    start, end = by["quality:norm", "edc_fnmr", 0.0], by["quality:norm", "edc_fnmr", 0.2]
    assert start.value == pytest.approx(overall.value)
    assert end.value < start.value
    area = by["quality:norm", "edc_area", 0.2]
    assert end.value < area.value < start.value
    assert area.ci_low < area.value < area.ci_high
    assert by["quality:quality", "edc_area", 0.2].n_genuine == overall.n_genuine - 2  # one image has no quality
    assert [curve.name for curve in found.curves] == ["norm", "quality"]
    assert found.curves[0].y[0] == pytest.approx(start.value)


def test_without_errors_only_an_upper_bound_is_known():
    images, vectors = people()
    vectors = np.repeat(np.eye(60, 64), 3, 0).astype(np.float32)
    vectors += 1e-3 * np.random.default_rng(0).standard_normal(vectors.shape).astype(np.float32)
    found, _ = run(images, vectors, quality=["norm"])
    assert all(Flag.ZERO_ERRORS in e.flags and e.ci_method == "rule-of-three" for e in found.estimates)
    assert all(e.ci_low == 0 < e.ci_high < 0.2 for e in found.estimates)


def test_unknown_and_wordy_qualities_are_refused():
    images, vectors = people()
    with pytest.raises(UnknownNameError, match="'norm'"):
        run(images, vectors, quality=["norms"])
    with pytest.raises(InputError, match="words"):
        run(images, vectors, quality=["word"])


def test_qmagface_against_its_formula():
    rng = np.random.default_rng(0)
    left, right = 20 * rng.standard_normal((5, 4)), 10 * rng.standard_normal((7, 4))
    left[2] = np.nan
    found = similarity(left.astype(np.float32), right.astype(np.float32), "qmagface")
    for i in range(5):
        for j in range(7):
            a, b = np.linalg.norm(left[i]), np.linalg.norm(right[j])
            s = left[i] @ right[j] / (a * b)
            expected = s + min(0.0, 0.125926 * s - 0.077428) * min(a, b)
            assert found[i, j] == (pytest.approx(expected, abs=1e-4) if i != 2 else -np.inf)
    vectors = np.concatenate([left, right]).astype(np.float32)
    rows = compare_pairs(vectors, np.arange(5), np.arange(5, 10), "qmagface")
    assert rows == pytest.approx([found[i, i] for i in range(5)], abs=1e-5)


def test_a_poor_image_lowers_a_doubtful_score_only():
    one = np.array([[1.0, 0.0]])
    doubtful, sure = np.array([[0.3, np.sqrt(1 - 0.09)]]), np.array([[1.0, 0.0]])
    comparator = QMagFace()
    for other, changes in ((doubtful, True), (sure, False)):
        scores = [float(comparator.matrix(length * one, 50 * other)[0, 0]) for length in (5, 40)]
        assert (abs(scores[0] - scores[1]) > 1e-6) == changes


def test_plugins_add_comparators_and_misspelt_names_are_refused(tmp_path):
    class Negative:
        def matrix(self, left, right):
            return -np.abs(left[:, None] - right[None]).sum(-1)

        def rowwise(self, left, right):
            return -np.abs(left - right).sum(-1)

    comparators.register("cityblock-test", Negative)
    vectors = np.random.default_rng(0).standard_normal((6, 3)).astype(np.float32)
    scores = compare_all(vectors, np.array([0, 0, 1, 1, 2, 2]), "cityblock-test")
    assert scores.genuine[0] == pytest.approx(-np.abs(vectors[0] - vectors[1]).sum())
    card = ModelCard(name="m", adapter="test", embedding_dim=3, comparator="cityblock-test")
    assert card.comparator.value == "cityblock-test"
    assert ModelCard.model_validate_json(card.model_dump_json()) == card
    assert "cityblock-test" not in list(Comparator)
    np.save(tmp_path / "e.npy", vectors)
    (tmp_path / "ids.txt").write_text("a\nb\nc\nd\ne\nf\n")
    model = tmp_path / "m.yaml"
    text = "name: m\nadapter: embeddings\nweights: e.npy\nids: ids.txt\ncomparator: cosin\n"
    model.write_text(text)
    with pytest.raises(UnknownNameError, match="Did you mean 'cosine'"):
        load_model(model)
    model.write_text(text.replace("cosin", "qmagface"))
    assert load_model(model).card.comparator.value == "qmagface"


def test_every_share_has_counts_of_its_own():
    images, vectors = people()
    found, _ = run(images, vectors, quality=["quality"], discard=[0.0, 0.2, 0.4], up_to=0.4)
    rows = [e for e in found.estimates if e.metric == "edc_fnmr"]
    assert len({(e.errors, e.n_genuine) for e in rows}) == 3
    assert [e.n_genuine for e in rows] == sorted((e.n_genuine for e in rows), reverse=True)
    for e in rows:
        assert e.value == pytest.approx(e.errors / e.n_genuine)
        assert (Flag.ZERO_ERRORS in e.flags) == (e.errors == 0)
        assert (Flag.FEW_ERRORS in e.flags) == (0 < e.errors < 30)
        assert e.ci_low <= e.value <= e.ci_high


def test_no_error_left_at_a_share_has_an_upper_bound():
    rng = np.random.default_rng(3)
    vectors = np.repeat(rng.standard_normal((40, 16)), 3, 0).astype(np.float32)
    vectors[::30] = rng.standard_normal((4, 16))
    quality = tuple(0.0 if i % 30 == 0 else 1.0 + i for i in range(120))
    images = Images(tuple(f"i{i}" for i in range(120)), tuple(f"p{i // 3}" for i in range(120)), {"quality": quality})
    found, _ = run(images, vectors, quality=["quality"], discard=[0.0, 0.3], up_to=0.3)
    first, last = (e for e in found.estimates if e.metric == "edc_fnmr")
    assert first.errors
    assert last.errors == 0
    assert last.ci_low == 0 < last.ci_high < 1
