import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facebench.report import format as fmt

rates = st.floats(min_value=1e-12, max_value=1.0, exclude_max=True, allow_subnormal=False)
numbers = st.floats(min_value=-1e12, max_value=1e12, allow_subnormal=False).filter(lambda x: abs(x) > 1e-12)


def parse(text: str) -> float:
    return float(text.replace(",", "").replace("−", "-"))


@given(numbers)
def test_a_number_keeps_three_significant_digits(x: float) -> None:
    assert math.isclose(parse(fmt.number(x)), x, rel_tol=5.1e-3)


@given(rates)
def test_an_fmr_has_two_significant_digits_and_one_shape(x: float) -> None:
    text = fmt.fmr(x)
    assert re.fullmatch(r"\d\.\d(e-\d+)?", text)
    assert math.isclose(parse(text), x, rel_tol=5.1e-2)


@given(st.floats(min_value=1e-9, max_value=0.1))
def test_a_share_below_one_is_never_printed_as_one(missing: float) -> None:
    x = 1 - missing
    text = fmt.share(x)
    assert parse(text) < 1 or missing < 5e-10
    assert math.isclose(1 - parse(text), missing, rel_tol=0.06, abs_tol=5e-4 if missing > 0.01 else 0)


@given(st.integers(min_value=0, max_value=10**15))
def test_counts_are_exact_and_separated(n: int) -> None:
    text = fmt.count(n)
    assert int(text.replace(",", "")) == n
    assert re.fullmatch(r"\d{1,3}(,\d{3})*", text)


@given(st.integers(min_value=0, max_value=10**12))
def test_compact_counts_fit_a_cell(n: int) -> None:
    assert len(fmt.compact(n)) <= 6


@given(st.floats(min_value=0, max_value=1))
def test_p_values_are_never_zero(p: float) -> None:
    assert fmt.p_value(p) != "0"
    assert fmt.p_statement(p).startswith("p ")


@given(st.text())
def test_visible_text_has_no_control_characters(text: str) -> None:
    shown = fmt.visible(text)
    assert len(shown) == len(text)
    assert not re.search("[\x00-\x08\x0b-\x1f\u202a-\u202e\u2066-\u2069]", shown)


@given(st.text(), st.integers(min_value=1, max_value=50))
def test_clipped_text_is_no_longer_than_asked(text: str, limit: int) -> None:
    assert len(fmt.clip(text, limit)) <= limit


@pytest.mark.parametrize("write", [fmt.number, fmt.fmr, fmt.share, fmt.target, fmt.count, fmt.p_value, fmt.compact])
def test_a_missing_value_is_a_dash(write) -> None:
    assert write(None) == fmt.MISSING


def test_intervals_name_the_open_end() -> None:
    assert fmt.interval(None, 0.2, fmt.number) == "at most 0.200"
    assert fmt.interval(2.0, None, fmt.number) == "at least 2.00"
    assert fmt.interval(0.0, 1e-3, fmt.fmr) == "0 to 1.0e-3"
