"""What `facebench plan` says of time and memory."""

from __future__ import annotations

import pytest

from facebench.measure.sample import Images
from facebench.run.plan import _extrapolated, _measuring_cost, _memory_mib
from facebench.schema import ProtocolSpec
from facebench.scoring import MAX_IMAGES


def test_costs_are_extrapolated_with_a_part_that_stays() -> None:
    assert _extrapolated({780.0: 9.0, 30_000.0: 2.0, 120_000.0: 3.0}, 1_200_000) == pytest.approx(15)
    assert _extrapolated({100.0: 2.0, 300.0: 1.5}, 3000) == 1.5, "noise never makes a larger run cheaper than was seen"
    assert _extrapolated({100.0: 2.0}, 3000) == 2.0


def test_memory_grows_with_comparisons_and_is_not_told_where_scores_are_not_held() -> None:
    people = [f"p{n // 2}" for n in range(200)]
    images = Images(tuple(map(str, range(200))), tuple(people), {})
    spec = ProtocolSpec.parse({"name": "t", "title": "t", "uncertainty": {"replicates": 100}}, where="test")
    few, many = (_measuring_cost(spec, images, n)[1] for n in (20_000, 2_000_000))
    assert 20 * 2_000_000 < many - few < 1000 * 2_000_000, "a comparison holds some tens to hundreds of bytes"
    held = _memory_mib(images, None, 512, many)
    assert held is not None
    assert held > many / 2**20
    crowd = Images(tuple(map(str, range(MAX_IMAGES + 1))), None, {})
    assert _memory_mib(crowd, None, 512, many) is None
