"""Intervals of attacks accepted, bona fide rejected and of divergences hold the truth as often as they promise."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from scipy.stats import binom

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from benchmarks.coverage_study import study  # noqa: E402 - found only from the root of the repository
from benchmarks.coverage_study.designs import Design, Group  # noqa: E402

RUNS, LOWEST = 200, 0.92


@pytest.mark.slow
def test_intervals_of_presentations_and_votes_cover() -> None:
    design = Design("40 subjects", (Group("all", 40),))
    found = study.count("presentations", design, study.study(design, "presentations", runs=RUNS, seed=1), RUNS)
    assert {each.kind for each in found} == {"apcer", "apcer_worst", "bpcer", "acer", "js"}
    for each in found:
        assert not each.missing, each
        assert not each.loose, each
        assert binom.cdf(each.covered, each.intervals, LOWEST) > 1e-4, each
