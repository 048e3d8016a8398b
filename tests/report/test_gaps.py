"""A report must come out whatever a result lacks: readers need it most when something went wrong."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from facebench.report.summary import summary_rows
from facebench.run.report import render_report, verdict_sentences
from facebench.schema import Estimate, Flag

from . import factory
from .test_page import Page

NUMBERS = ["value", "ci_low", "ci_high", "bracket", "expected_if_fair", "excess", "p_value", "threshold"]
COUNTS = ["n_genuine", "n_impostor", "n_identities", "errors", "n_eff", "ci_method"]
BASES = [factory.full(), factory.zero_cells(), factory.utk(), factory.failing()]


def spoil(estimate: Estimate, draw: random.Random) -> Estimate:
    """Blank some fields, move the value to an extreme, add a flag."""
    changes: dict[str, object] = {name: None for name in NUMBERS + COUNTS if draw.random() < 0.15}
    if draw.random() < 0.2:
        changes["value"] = draw.choice([0.0, 1.0, 1e-12, 1 - 1e-12])
    if draw.random() < 0.2:
        changes["flags"] = (draw.choice(list(Flag)),)
    return estimate.model_copy(update=changes)


@settings(max_examples=40, deadline=None)
@given(base=st.sampled_from(BASES), seed=st.integers(min_value=0, max_value=2**32))
def test_missing_and_extreme_values_never_break_the_report(base, seed: int) -> None:
    draw = random.Random(seed)
    kept = [spoil(e, draw) for e in base.estimates if draw.random() < 0.9]
    draw.shuffle(kept)
    result = base.model_copy(update={"estimates": tuple(kept)})
    text = render_report(result)
    Page(text)
    assert ">None<" not in text
    assert "nan" not in "".join(verdict_sentences(result)).split()
    assert all(isinstance(cell, str) for row in summary_rows(result) for cell in row)
