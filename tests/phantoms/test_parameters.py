"""Drawn parameters stay in their ranges and follow the attributes asked for."""

import numpy as np
import pytest

from facebench.phantoms import sample_nuisance, sample_subject
from facebench.phantoms.parameters import SHAPE, AgeBand, HairStyle, Sex, Tone, age_band_of, tone_of
from facebench.phantoms.population import apportion
from facebench.phantoms.sampling import TIERS


def test_shapes_respect_their_limits() -> None:
    for seed in range(60):
        subject = sample_subject(np.random.default_rng(seed))
        for parameter in SHAPE:
            value = subject.shape[parameter.name]
            assert np.isfinite(value)
            if parameter.name not in ("mouth_level", "chin_level"):
                assert parameter.low <= value <= parameter.high, parameter.name
        assert subject.shape.mouth_level <= subject.shape.nose_level - 18
        assert subject.shape.chin_level <= subject.shape.mouth_level - 34
        assert 0.02 <= subject.melanin <= 0.98
        assert 19 <= subject.age <= 78
        assert tone_of(subject.melanin) is subject.tone
        assert age_band_of(subject.age) is subject.age_band


@pytest.mark.parametrize("tone", Tone)
@pytest.mark.parametrize("age_band", AgeBand)
@pytest.mark.parametrize("sex", Sex)
def test_attributes_asked_for_are_given(sex: Sex, tone: Tone, age_band: AgeBand) -> None:
    subject = sample_subject(np.random.default_rng(4), sex=sex, tone=tone, age_band=age_band)
    assert (subject.sex, subject.tone, subject.age_band) == (sex, tone, age_band)


def test_groups_differ_as_the_table_says() -> None:
    def mean(name: str, **options: object) -> float:
        return float(np.mean([sample_subject(np.random.default_rng(k), **options).shape[name] for k in range(200)]))

    assert mean("jaw_width", sex="male") > mean("jaw_width", sex="female") + 0.03
    assert mean("nose_width", melanin=0.9) > mean("nose_width", melanin=0.1) + 2


def test_tiers_spread_more_and_more() -> None:
    spreads = [np.std([sample_nuisance(np.random.default_rng(k), tier).pose.yaw for k in range(300)]) for tier in TIERS]
    assert spreads[0] < spreads[1] < spreads[2]


def test_every_hair_style_occurs() -> None:
    assert {sample_subject(np.random.default_rng(k)).hair.style for k in range(400)} == set(HairStyle)


@pytest.mark.parametrize(
    ("shares", "total", "counts"), [([0.5, 0.5], 3, [2, 1]), ([1.0, 0.0], 4, [4, 0]), ([1 / 3] * 3, 10, [4, 3, 3])]
)
def test_apportion(shares: list[float], total: int, counts: list[int]) -> None:
    assert apportion(shares, total) == counts
