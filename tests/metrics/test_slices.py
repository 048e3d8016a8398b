"""Weak spots: the false-alarm rate of the whole scan, the power on a planted slice, and the variance by hand."""

from __future__ import annotations

import numpy as np
import pytest

from facebench.metrics.families import holm
from facebench.metrics.slices import described, excess, worst_slices


def scan(rng: np.random.Generator, planted: float, people: int = 120, each: int = 4) -> list[str]:
    """Return the slices a scan of simulated people confirms at 5 %; people differ, and one slice may be planted."""
    unit = np.repeat(np.arange(people), each)
    sex, tone = (rng.integers(0, k, people)[unit] for k in (2, 3))
    dark = rng.integers(0, 3, unit.size)
    columns = {
        name: {f"{name}={v}": values == v for v in np.unique(values)}
        for name, values in (("sex", sex), ("tone", tone), ("dark", dark))
    }
    chance = 0.15 + rng.normal(0, 0.05, people)[unit] + planted * ((sex == 1) & (dark == 2))
    loss = (rng.random(unit.size) < chance).astype(float)
    search = (rng.permutation(people) < people // 2)[unit]
    slices = described(columns)
    found = worst_slices(loss[search], unit[search], {n: m[search] for n, m in slices.items()}, count=5, min_units=8)
    tested = [(name, one) for name in found if (one := excess(loss[~search], unit[~search], slices[name][~search]))]
    return [name for (name, _), p in zip(tested, holm([one.p_value for _, one in tested]), strict=True) if p < 0.05]


def test_one_report_in_twenty_at_most_accuses_a_slice_where_none_is_worse() -> None:
    rng = np.random.default_rng(5)
    alarms = np.mean([bool(scan(rng, 0.0)) for _ in range(400)])
    assert alarms <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)
    assert alarms > 0.005


def test_a_planted_slice_is_found_and_named() -> None:
    rng = np.random.default_rng(6)
    found = [scan(rng, 0.35) for _ in range(60)]
    assert np.mean(["sex=1 & dark=2" in names or "dark=2 & sex=1" in names for names in found]) > 0.8


def test_the_variance_counts_a_person_on_both_sides_once() -> None:
    loss = np.array([1.0, 0, 1, 0, 0, 0])
    unit = np.array([0, 0, 1, 1, 2, 2])
    member = np.array([True, False, True, False, True, False])
    found = excess(loss, unit, member)
    assert found is not None
    assert (found.inside, found.outside, found.n, found.units) == (pytest.approx(2 / 3), 0, 3, 3)
    parts = np.array([1 / 3, 1 / 3, -2 / 3]) / 3
    assert found.variance == pytest.approx(parts @ parts * 3 / 2)
    assert excess(loss, unit, np.ones(6, bool)) is None


def test_two_words_for_one_slice_are_tested_once() -> None:
    rng = np.random.default_rng(0)
    unit = np.repeat(np.arange(40), 3)
    mask = (np.arange(40) < 20)[unit]
    loss = (rng.random(120) < np.where(mask, 0.6, 0.1)).astype(float)
    slices = {"a=1": mask, "b=1": mask.copy(), "a=0": ~mask}
    assert worst_slices(loss, unit, slices, count=5, min_units=5) == ["a=1"]
    assert worst_slices(loss, unit, slices, count=5, min_units=30) == []
