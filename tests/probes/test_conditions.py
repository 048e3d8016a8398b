"""Altered pictures: stored summaries, rising severity, and independence of batch, order and workers."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facebench.errors import InputError, UnknownNameError
from facebench.phantoms.labels import ARCFACE_112
from facebench.probes.conditions import KINDS, alter, version
from facebench.probes.sheet import Named, condition_sheets
from facebench.schema import ProtocolSpec
from facebench.schema.robustness import FAMILIES, LEVELS, SEVERITIES, expand
from tests.probes import golden_conditions as golden

GRADED = [kind for kind, levels in LEVELS.items() if levels == SEVERITIES]


@pytest.fixture(scope="module")
def face() -> np.ndarray:
    return golden.phantom()


@pytest.fixture(scope="module")
def stored() -> dict[str, np.ndarray]:
    with np.load(golden.STORED, allow_pickle=False) as found:
        return dict(zip(found["names"].tolist(), found["values"].astype(np.float64), strict=True))


def test_every_name_has_its_change_and_every_change_its_name(stored: dict[str, np.ndarray]) -> None:
    assert set(KINDS) == set(LEVELS)
    assert set(stored) == set(golden.NAMES)


@pytest.mark.parametrize("name", golden.NAMES)
def test_pictures_are_those_that_were_stored(name: str, stored: dict[str, np.ndarray]) -> None:
    difference = np.abs(golden.summaries(name) - stored[name])
    assert difference.max() < 2.5  # grey levels; float16 keeps a tenth of one
    assert difference.mean() < 0.2


@pytest.mark.parametrize("name", golden.NAMES)
def test_pictures_are_changed_and_stay_pictures(name: str, face: np.ndarray) -> None:
    before = face.copy()
    altered = alter(name, face, ARCFACE_112, "x")
    assert altered.dtype == np.uint8
    assert altered.shape == face.shape
    assert altered.flags.c_contiguous
    assert np.array_equal(face, before), "the picture that was given stays as it is"
    assert (altered != face).mean() > 0.005


@pytest.mark.parametrize("kind", GRADED)
def test_higher_severities_lie_further_from_the_clean_picture(kind: str, face: np.ndarray) -> None:
    far = np.zeros(len(SEVERITIES))
    for row, level in enumerate(SEVERITIES):
        for image_id in ("a", "b", "c", "d"):
            altered = alter(f"{kind}:{level}", face, ARCFACE_112, image_id).astype(float)
            far[row] += np.abs(altered - face).mean()
    assert all(b > a for a, b in pairwise(far)), far


def test_a_picture_depends_on_its_id_and_the_seed_and_on_nothing_else(face: np.ndarray) -> None:
    names = ["corruption:gaussian_noise:3", "corruption:rain:2", "occlusion:surgical_mask", "geometry:rotation:4"]
    first = [alter(name, face, ARCFACE_112, "a", seed=1) for name in names]
    np.random.seed(5)
    again = [alter(name, face, ARCFACE_112, "a", seed=1) for name in reversed(names)][::-1]
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], alter(names[0], face, ARCFACE_112, "b", seed=1))
    assert not np.array_equal(first[0], alter(names[0], face, ARCFACE_112, "a", seed=2))


def test_lower_severities_of_impulses_are_part_of_higher_ones(face: np.ndarray) -> None:
    few, many = (alter(f"corruption:salt_and_pepper:{n}", face, ARCFACE_112, "a") for n in (1, 4))
    hit = (few != face).any(axis=2)
    assert hit.any()
    assert np.array_equal(few[hit], many[hit])


@pytest.mark.parametrize("name", golden.NAMES)
def test_grey_pictures_stay_grey(name: str, face: np.ndarray) -> None:
    grey = np.repeat(face[..., 1:2], 3, axis=2)
    altered = alter(name, grey, ARCFACE_112, "x")
    assert np.array_equal(altered[..., 0], altered[..., 1])
    assert np.array_equal(altered[..., 0], altered[..., 2])


@settings(max_examples=25, deadline=None)
@given(
    turn=st.floats(-0.5, 0.5), size=st.floats(0.4, 2.0), dx=st.floats(-20, 20),
    name=st.sampled_from([n for n in golden.NAMES if n.startswith("occlusion")]),
)  # fmt: skip
def test_things_follow_the_landmarks(turn: float, size: float, dx: float, name: str) -> None:
    grey = np.full((160, 160, 3), 128, np.uint8)
    c, s = size * np.cos(turn), size * np.sin(turn)
    points = (ARCFACE_112 - 56) @ np.array([[c, s], [-s, c]]) + [80 + dx, 80]
    altered = alter(name, grey, points, "x")
    assert altered.shape == grey.shape


def test_a_thing_lies_where_the_landmarks_say() -> None:
    grey = np.full((224, 224, 3), 128, np.uint8)
    for shift in (0.0, 60.0):
        covered = (alter("occlusion:sunglasses", grey, ARCFACE_112 + np.array([20 + shift, 40]), "x") != 128).any(
            axis=2
        )
        rows, columns = np.nonzero(covered)
        eyes = ARCFACE_112[:2].mean(axis=0) + np.array([20 + shift, 40])
        assert abs(columns.mean() - eyes[0]) < 4
        assert abs(rows.mean() - eyes[1]) < 6
    noise = [np.abs(alter("corruption:gaussian_blur:3", golden.pattern(), ARCFACE_112 * k, "x").astype(float)
                    - golden.pattern()).mean() for k in (0.5, 1.0, 1.5)]  # fmt: skip
    assert noise == sorted(noise), "radii are fractions of the inter-ocular distance"


def test_missing_landmarks_are_told_with_the_remedy(face: np.ndarray) -> None:
    for points in (None, np.full((5, 2), np.nan)):
        with pytest.raises(InputError, match="image 'x' has none; add a column `landmarks`"):
            alter("occlusion:hat", face, points, "x")
    with pytest.raises(InputError, match="at least one face"):
        condition_sheets([])


@pytest.mark.parametrize("name", ["geometry:flip", "geometry:crop:3", "geometry:crop_70"])
def test_a_change_that_uses_no_landmarks_needs_none(name: str, face: np.ndarray) -> None:
    known = alter(name, face, ARCFACE_112, "x")
    for points in (None, np.full((5, 2), np.nan)):
        assert np.array_equal(alter(name, face, points, "x"), known)


def test_unknown_conditions_are_told_with_a_suggestion() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'corruption:gaussian_blur'"):
        expand(["corruption:gausian_blur"])
    with pytest.raises(UnknownNameError, match="level in condition"):
        expand(["corruption:fog:6"])
    with pytest.raises(UnknownNameError, match="level in condition"):
        expand(["geometry:flip:1"])
    with pytest.raises(UnknownNameError):
        alter("occlusion:umbrella", golden.pattern(), ARCFACE_112, "x")
    for wrong, words in (
        ({"conditions": ["ocluson"]}, "Did you mean 'occlusion'"),
        ({"conditions": ["corruption"], "severities": [0]}, "severities must be numbers from 1 to 5"),
        ({"conditions": ["corruption"], "severity": [1]}, "Did you mean 'severities'"),
        ({}, "robustness asks for nothing"),
        ({"conditions": ["corruption"], "apply_to": "gallery"}, "apply_to"),
    ):
        with pytest.raises(InputError, match=words):
            ProtocolSpec.parse({"name": "t", "title": "t", "robustness": wrong}, where="test")


def test_expansion_keeps_order_and_names_each_once() -> None:
    assert expand(["geometry:flip", "corruption:fog", "corruption:fog:2"], [2]) == ("geometry:flip", "corruption:fog:2")
    assert len(expand(FAMILIES)) == len(set(expand(FAMILIES))) == 157
    assert expand(["occlusion:sliding_patch"], [1]) == tuple(f"occlusion:sliding_patch:{n}" for n in range(1, 10))
    assert version("geometry:flip") != version("geometry:crop:1")


def test_a_contact_sheet_shows_every_condition(face: np.ndarray) -> None:
    sheets = condition_sheets([Named("a", face, ARCFACE_112), Named("b", face, ARCFACE_112)])
    assert set(sheets) == set(FAMILIES)
    for family, sheet in sheets.items():
        assert sheet.shape[0] == 116 * sum(kind.startswith(family) for kind in LEVELS)
