"""Tiny and odd designs: every figure is finite and in its range, intervals hold their estimates, nothing is raised."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from facebench.measure.every_score import measure
from facebench.measure.sample import Images
from facebench.metrics import catalogue
from facebench.schema import Flag, ProtocolSpec

SPEC = ProtocolSpec.model_validate(
    {
        "name": "p", "title": "p", "fmr_targets": (0.1, 0.01), "primary_fmr_target": 0.1,
        "groups": {"intersections": "none"}, "uncertainty": {"replicates": 100},
    }
)  # fmt: skip


@st.composite
def designs(draw):
    """2 to 40 people in groups of 1 to 20, 1 to 5 images each; ties, failures, images without a label."""
    sizes = draw(st.lists(st.integers(1, 20), min_size=1, max_size=4))[:4]
    sizes = [min(size, 40 // len(sizes)) for size in sizes]
    if sum(sizes) < 2:
        sizes.append(1)
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    images = rng.integers(1, draw(st.integers(1, 5)) + 1, sum(sizes))
    person = np.repeat(np.arange(images.size), images)
    group = np.repeat(np.arange(len(sizes)), sizes)[person]
    vectors = rng.standard_normal((images.size, 6))[person] + rng.standard_normal((person.size, 6))
    if draw(st.booleans()):
        vectors = np.round(vectors)  # ties
    vectors[rng.random(person.size) < draw(st.sampled_from([0.0, 0.2]))] = np.nan
    labels = [f"g{g}" if rng.random() > 0.05 else None for g in group]
    names = tuple(f"p{p}" for p in person)
    return Images(tuple(f"i{i}" for i in range(person.size)), names, {"group": tuple(labels)}), vectors


@settings(max_examples=25, deadline=None)
@given(design=designs())
def test_differentials_of_small_designs(design):
    images, vectors = design
    if len(set(images.identities)) < 2:
        return
    vectors = vectors.astype(np.float32)
    found = measure(SPEC, images, vectors, None, comparator="cosine", seed=0).estimates
    assert found == measure(SPEC, images, vectors, None, comparator="cosine", seed=0).estimates
    differentials = [e for e in found if catalogue.metric(e.metric).topic is catalogue.Topic.DIFFERENTIAL]
    for e in differentials:
        low, high = catalogue.metric(e.metric).bounds
        if e.value is not None:
            assert low <= e.value <= high
        if e.ci_low is not None:
            top = high if e.ci_high is None else e.ci_high
            assert low <= e.ci_low <= top <= high
            if e.value is not None:
                assert e.ci_low <= e.value <= top
    assert not [e for e in found if Flag.NAIVE_INTERVAL in e.flags and "=" in e.group]
