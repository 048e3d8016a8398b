"""Every interval holds the truth about as often as it promises: 200 runs here, 2,000 by benchmarks/coverage_study."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from benchmarks.coverage_study import study  # noqa: E402 - found only from the root of the repository
from benchmarks.coverage_study.designs import Design, Group  # noqa: E402
from benchmarks.coverage_study.table import (  # noqa: E402
    HIGHEST,
    LOWEST,
    RECORD,
)

RUNS = 200
PEOPLE = Group("all", 40)
DESIGNS = (
    Design("all pairs", (PEOPLE,), target=0.02),
    Design("sparse list", (Group("all", 200),), "sparse", target=0.05),
    Design("dense list", (Group("all", 60),), "dense", target=0.05),
)


@pytest.mark.slow
@pytest.mark.parametrize("design", DESIGNS, ids=lambda design: design.name)
def test_coverage(design: Design) -> None:
    """No kind covers significantly less than .92 or more than .99, at one in 10,000 (the seed was chosen once)."""
    found = study.count("verification", design, study.study(design, "verification", runs=RUNS, seed=1), RUNS)
    assert {each.kind for each in found} >= {"fmr", "fnmr", "tar", "eer", "auc", "dprime", "cllr", "min_cllr"}
    for each in found:
        assert each.intervals == RUNS, each
        assert not each.loose, each  # every interval holds its own estimate
        assert binom.cdf(each.covered, each.intervals, LOWEST) > 1e-4, each
        assert binom.sf(each.covered - 1, each.intervals, HIGHEST) > 1e-4, each


SMALL = Design("two groups", (Group("a", 25), Group("b", 25, lift=0.3)), target=0.05)
LISTED = Design("sparse list", (Group("all", 200),), "sparse", target=0.05)
OTHERS = (
    ("differences", SMALL),
    ("differences", LISTED),
    ("conditions", Design("one group", (PEOPLE,), target=0.02)),
    ("searches", Design("one group", (PEOPLE,))),
    ("answers", study.Answering("classes", "classify", 30, 4)),
    ("answers", study.Answering("numbers", "regress", 30, 4, 0.4)),
)
WIDE = ("difference of", "of a group", "_gap", "worst_", "mean_tar")
"""Kinds that may cover more often: differences of few errors, and intervals that hold for several at once."""


@pytest.mark.slow
@pytest.mark.parametrize(("source", "design"), OTHERS, ids=lambda part: getattr(part, "name", part))
def test_coverage_of_other_kinds(source: str, design: Any) -> None:
    found = study.count(source, design, study.study(design, source, runs=RUNS, seed=2), RUNS)
    assert len(found) >= 4
    for each in found:
        assert not each.loose, each
        runs = min(each.intervals, RUNS)  # those of several groups or conditions in one run are not independent
        covered = round(each.coverage * runs)
        assert binom.cdf(covered, runs, LOWEST) > 1e-4, each
        if not any(word in each.kind for word in WIDE):
            assert binom.sf(covered - 1, runs, HIGHEST) > 1e-4, each


def test_comparisons_that_lean_on_one_identity_are_flagged() -> None:
    """Where one person stands in all of them, the interval holds the truth about every other time."""
    hub = Design("hub", (Group("all", 120),), "hub", effect=0.5, target=0.05)
    found = study.count("verification", hub, study.study(hub, "verification", runs=20, seed=3), 20)
    assert all(each.kind.endswith("flagged few_identities") for each in found), found
    dense = study.count("verification", DESIGNS[2], study.study(DESIGNS[2], "verification", runs=2, seed=3), 2)
    assert not any("flagged" in each.kind for each in dense)


RANGES = {"fmr": (0, 1), "fnmr": (0, 1), "tar": (0, 1), "eer": (0, 1), "auc": (0, 1), "min_cllr": (0, 1)}


@st.composite
def small_designs(pick: st.DrawFn) -> Design:
    people, images = pick(st.integers(2, 12)), pick(st.integers(1, 4))
    group = Group("all", people, images, separation=pick(st.floats(0, 6)))
    listing = pick(st.sampled_from(["all", "sparse", "dense", "hub"]))
    return Design("small", (group,), listing, pick(st.floats(0, 0.6)), pick(st.sampled_from([0.3, 0.05, 0.001])))


@settings(max_examples=60, deadline=None)
@given(small_designs(), st.integers(0, 2**32 - 1))
def test_small_designs_give_finite_intervals_in_range(design: Design, seed: int) -> None:
    for each in study.verification(design, np.random.default_rng(seed), 100):
        low, high = RANGES.get(each.kind, (-np.inf, np.inf))
        assert np.isfinite(each.value)
        for limit in (each.low, each.high):
            assert limit is None or (np.isfinite(limit) and low <= limit <= high)
        if each.low is not None and each.high is not None:
            assert each.low <= each.value + 1e-12
            assert each.value <= each.high + 1e-12


def test_the_recorded_study_covers() -> None:
    """`make verify` measures the record anew, and then runs this test once more."""
    for row in json.loads(RECORD.read_text(encoding="utf-8"))["counts"]:
        assert not row["loose"], row
        if "flagged" not in row["kind"]:  # the flag says that the interval may not be relied on
            assert binom.cdf(row["covered"], row["intervals"], LOWEST) > 1e-4, row
