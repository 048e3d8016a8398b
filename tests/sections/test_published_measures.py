"""Measures kept for comparison with published tables, against their definitions."""

import numpy as np
import pytest

from facebench.errors import InputError
from facebench.measure.every_score import measure
from facebench.measure.sample import Images, Pairs
from facebench.schema import Flag, ProtocolSpec
from facebench.sections.contract import Saved
from facebench.sections.published_measures import measure as published_measures
from facebench.sections.published_measures.measure import first_mate_ranks


def spec(*kinds, **keys):
    fields = {"name": "p", "title": "p", "fmr_targets": (0.1,), "primary_fmr_target": 0.1, "published_measures": kinds}
    return ProtocolSpec.model_validate({**fields, "uncertainty": {"replicates": 300}, **keys})


def people(seed=0, n=40, images=3):
    rng = np.random.default_rng(seed)
    noise = np.where(np.arange(n) % 2, 1.2, 0.4)  # team b is recognised less well
    vectors = np.repeat(rng.standard_normal((n, 8)), images, 0)
    vectors = vectors + np.repeat(noise, images)[:, None] * rng.standard_normal((n * images, 8))
    names = tuple(f"p{i}" for i in range(n) for _ in range(images))
    team = tuple("ab"[i % 2] for i in range(n) for _ in range(images))
    return Images(tuple(f"i{i}" for i in range(n * images)), names, {"team": team}), vectors.astype(np.float32)


def run(protocol, images, vectors, pairs=None):
    class Stored:
        class model:  # noqa: N801 - stands for a field
            class comparator:  # noqa: N801
                value = "cosine"

        class run:  # noqa: N801
            seed = 0

    clean = measure(protocol, images, vectors, pairs, comparator="cosine", seed=0)
    return published_measures.remeasure(Saved(Stored, protocol, images, pairs, vectors, {}, clean))


def pair_list(images, folds=5):
    rng = np.random.default_rng(1)
    a, b, genuine = [], [], []
    team = np.array(images.attributes["team"])
    for t in "ab":
        rows = np.flatnonzero(team == t)
        for i in rows[::3]:
            a += [i, i]
            b += [i + 1, rng.choice(rows[images.identity[rows] != images.identity[i]])]
            genuine += [True, False]
    fold = np.arange(len(a)) // 2 % folds
    return Pairs(np.array(a), np.array(b), np.array(genuine), fold)


def test_rfw_measures():
    images, vectors = people()
    pairs = pair_list(images)
    found = {(e.metric, e.group): e for e in run(spec("rfw"), images, vectors, pairs).estimates}
    accuracy = [found["accuracy", f"team={t}"].value for t in "ab"]
    assert accuracy[0] > accuracy[1]
    assert found["accuracy_std", "team"].value == pytest.approx(np.std(accuracy))
    ser = found["ser", "team"]
    if max(accuracy) < 1:
        assert ser.value == pytest.approx((1 - min(accuracy)) / (1 - max(accuracy)))
    else:
        assert Flag.INSUFFICIENT in ser.flags
    assert found["accuracy", "team=b"].ci_low < accuracy[1] < found["accuracy", "team=b"].ci_high
    nameless = Images(images.image_ids, None, images.attributes)
    naive = run(spec("rfw"), nameless, vectors, pairs).estimates
    assert {Flag.NAIVE_INTERVAL in e.flags for e in naive if e.ci_low is not None} == {True}


def test_rfw_needs_pairs():
    images, vectors = people()
    with pytest.raises(InputError, match="pair list"):
        run(spec("rfw"), images, vectors)


def test_first_mate_ranks_by_sorting():
    images, vectors = people(2)
    vectors[5] = np.nan
    identity = images.identity
    found = first_mate_ranks(vectors, identity, "cosine")
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    for i in range(0, 120, 7):
        others = [j for j in range(120) if j not in (i, 5)]
        mates = [unit[i] @ unit[j] for j in others if identity[j] == identity[i]]
        strangers = [unit[i] @ unit[j] for j in others if identity[j] != identity[i]]
        assert found[i] == sum(s >= max(mates) for s in strangers)
    assert found[5] == 117  # behind all strangers
    assert np.isnan(first_mate_ranks(vectors[::3], identity[::3], "cosine")).all()


def test_fr_nas_disparities_keep_their_sign():
    images, vectors = people(3)
    found = {(e.metric, e.group, e.group_b): e for e in run(spec("fr-nas"), images, vectors).estimates}
    a, b = (found["mean_rank", f"team={t}", None].value for t in "ab")
    disparity = found["rank_disparity", "team=a", "team=b"]
    assert (disparity.value, disparity.sign) == (pytest.approx(b - a), -1)
    assert 0 < disparity.ci_low < disparity.value < disparity.ci_high
    assert found["rank_ratio", "team=a", "team=b"].value == pytest.approx(abs(1 - a / b))
    ranks = first_mate_ranks(vectors, images.identity, "cosine")
    team = np.array(images.attributes["team"])
    errors = [(ranks[team == t] > 0).mean() for t in "ab"]
    ratio = found["error_ratio", "team=a", "team=b"]
    assert ratio.value == pytest.approx(abs(1 - errors[0] / errors[1]))
    assert ratio.sign == -1
    swapped = Images(
        images.image_ids, images.identities, {"team": tuple("ba"[t == "b"] for t in images.attributes["team"])}
    )
    other = {(e.metric, e.group, e.group_b): e for e in run(spec("fr-nas"), swapped, vectors).estimates}
    assert other["rank_disparity", "team=a", "team=b"].sign == 1
    assert other["rank_disparity", "team=a", "team=b"].value == pytest.approx(disparity.value)
