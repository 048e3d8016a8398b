"""Differences are written in the shape of their measure."""

from __future__ import annotations

from facebench.report.wording import signed_as


def test_a_difference_of_false_match_rates_has_their_shape() -> None:
    assert signed_as("fmr", 0.0123) == "+1.2e-2"
    assert signed_as("fmr_gap", -0.0004) == "−4.0e-4"


def test_a_difference_of_shares_is_a_number() -> None:
    assert signed_as("tar", 0.95) == "+0.950"
    assert signed_as("tar", None) == "–"
