"""Do intervals of differentials hold the truth? A short version of `python -m benchmarks.coverage_study`."""

import pytest
from scipy.stats import binom

from benchmarks.coverage_study.designs import DESIGNS
from benchmarks.coverage_study.study import count, study
from benchmarks.coverage_study.table import LOWEST

RUNS = 200


@pytest.mark.slow
@pytest.mark.parametrize("name", ["all pairs, three fair groups", "dense list, three unfair groups"])
def test_intervals_of_differentials_cover(name):
    design = next(d for d in DESIGNS if d.name == name)
    counts = count("groups", design, study(design, "groups", runs=RUNS, seed=7, replicates=100), RUNS)
    assert len(counts) > 30
    for each in counts:
        # exact binomial limit, .01 shared by all kinds
        fewest = binom.ppf(0.01 / len(counts), each.intervals, LOWEST)
        assert each.covered >= fewest, each
        assert each.loose == 0, each
