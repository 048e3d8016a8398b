"""How numbers and names are written: one rule per kind of quantity, used by every table, chart and sentence."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable

from facebench.schema import Point

MISSING = "–"
_ROUNDING = 1e-12  # what is smaller comes from rounding of numbers near one
PLAIN_EXPONENTS = range(-3, 5)  # numbers from 0.001 to 99,999 are written out, others with an exponent


def number(value: float | None, digits: int = 3) -> str:
    """Write a number with so many significant digits.

    >>> number(0.04512), number(12345.6), number(0.000213), number(0.0), number(-0.5)
    ('0.0451', '12,346', '2.13e-4', '0', '−0.500')
    """
    if value is None:
        return MISSING
    if abs(value) < _ROUNDING:
        return "0"
    if value < 0:
        return f"−{number(-value, digits)}"
    _, _, exponent = f"{value:.{digits - 1}e}".partition("e")
    power = int(exponent)
    if power not in PLAIN_EXPONENTS:
        return scientific(value, digits)
    return f"{value:,.{max(0, digits - 1 - power)}f}"


def scientific(value: float, digits: int = 2) -> str:
    """Write a number as mantissa and exponent, without padding.

    >>> scientific(0.00123), scientific(0.99999)
    ('1.2e-3', '1.0')
    """
    if value < 0:
        return f"−{scientific(-value, digits)}"
    mantissa, _, exponent = f"{value:.{digits - 1}e}".partition("e")
    return mantissa if int(exponent) == 0 else f"{mantissa}e{int(exponent)}"


def fmr(value: float | None) -> str:
    """Write a false match rate: two significant digits and an exponent, whatever its size.

    >>> fmr(0.000981), fmr(0.25), fmr(0.0), fmr(1.0)
    ('9.8e-4', '2.5e-1', '0', '1')
    """
    if value is None:
        return MISSING
    return f"{value:g}" if value in (0, 1) else scientific(value)


def target(value: Point | None) -> str:
    """Write an FMR target as its author would, or the name of a threshold.

    >>> target(0.001), target(0.0003), target(0.1), target("vendor")
    ('1e-3', '3e-4', '1e-1', 'vendor')
    """
    if value is None:
        return MISSING
    if isinstance(value, str):
        return value
    mantissa, _, exponent = f"{value:.5e}".partition("e")
    mantissa = mantissa.rstrip("0").rstrip(".")
    return mantissa if int(exponent) == 0 else f"{mantissa}e{int(exponent)}"


def point(value: Point | None) -> str:
    """Say what an operating point is.

    >>> point(0.001), point("vendor")
    ('FMR target 1e-3', 'threshold “vendor”')
    """
    return f"threshold “{value}”" if isinstance(value, str) else f"FMR target {target(value)}"


def short_point(value: Point | None) -> str:
    """Say the same in two words: ``FMR 1e-3``, or the name of a threshold."""
    return point(value) if isinstance(value, str) else f"FMR {target(value)}"


def share(value: float | None) -> str:
    """Write a share that is best at 1: three digits, and near 1 as many as keep two digits of the remainder.

    Three significant digits would print 0.99996 as 1.00 and hide every remaining error.

    >>> share(0.7086), share(0.955), share(0.99873), share(0.99996), share(1.0)
    ('0.709', '0.955', '0.9987', '0.999960', '1')
    """
    if value is None:
        return MISSING
    if value == 1 or not 0.9 < value < 1:
        return "1" if value == 1 else number(value)
    decimals = min(12, max(3, 1 - math.floor(math.log10(1 - value))))
    return f"{value:.{decimals}f}"


def count(value: float | None) -> str:
    """Write a count with thousands separators.

    >>> count(1234567), count(None)
    ('1,234,567', '–')
    """
    return MISSING if value is None else f"{value:,.0f}"


def k_of_n(k: int | None, n: int | None) -> str:
    """Write how many of how many.

    >>> k_of_n(41, 12800)
    '41 of 12,800'
    """
    return MISSING if k is None or n is None else f"{count(k)} of {count(n)}"


def compact(value: int | None) -> str:
    """Write a count where room is scarce; the exact count stands in the table beside it.

    >>> compact(9999), compact(12345), compact(1234567)
    ('9,999', '12k', '1.2M')
    """
    if value is None:
        return MISSING
    if value < 10_000:
        return count(value)
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            short = value / size
            return f"{short:.1f}{unit}" if short < 10 else f"{short:.0f}{unit}"
    raise AssertionError("unreachable: counts of 10,000 and more have a unit")


def interval(low: float | None, high: float | None, write: Callable[[float | None], str]) -> str:
    """Write an interval; a missing upper limit means none can be stated.

    >>> interval(0.1, 0.2, number), interval(2.0, None, number), interval(None, None, number)
    ('0.100 to 0.200', 'at least 2.00', '–')
    """
    if low is None and high is None:
        return MISSING
    if high is None:
        return f"at least {write(low)}"
    if low is None:
        return f"at most {write(high)}"
    return f"{write(low)} to {write(high)}"


def p_value(value: float | None) -> str:
    """Write a p-value.

    >>> p_value(0.0342), p_value(0.00002)
    ('0.034', '< 0.001')
    """
    if value is None:
        return MISSING
    return "< 0.001" if value < 0.001 else number(value, 2)


def p_statement(value: float) -> str:
    """Write a p-value with its relation.

    >>> p_statement(0.0342), p_statement(0.00002)
    ('p = 0.034', 'p < 0.001')
    """
    text = p_value(value)
    return f"p {text}" if text.startswith("<") else f"p = {text}"


def percent(value: float) -> str:
    """Write a nominal share, such as a confidence level.

    >>> percent(0.95)
    '95%'
    """
    return f"{100 * value:.4g}%"


def one_in(value: float) -> str:
    """Write a small rate in words.

    >>> one_in(0.001), one_in(0.0003)
    ('1 in 1,000', '0.03%')
    """
    inverse = 1 / value
    return f"1 in {inverse:,.0f}" if math.isclose(inverse, round(inverse), rel_tol=1e-9) else percent(value)


def plural(n: int, one: str, many: str = "") -> str:
    """Write a count with its noun.

    >>> plural(1, "image"), plural(2000, "image"), plural(2, "identity", "identities")
    ('1 image', '2,000 images', '2 identities')
    """
    return f"{count(n)} {one if n == 1 else many or one + 's'}"


def clip(text: str, limit: int = 160) -> str:
    """Shorten a text from outside, so that one long name cannot fill the page.

    >>> clip("abcdef", 4)
    'abc…'
    """
    return text if len(text) <= limit else text[: limit - 1] + "…"


def visible(text: str) -> str:
    """Replace characters that cannot be seen or that turn the reading direction; names come from outside.

    >>> visible("a\\u202eb\\x00c")
    'a�b�c'
    """
    if text.isprintable():
        return text
    return "".join("�" if _invisible(character) else character for character in text)


def _invisible(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cf", "Cs") and character not in "\n\t"


def one_line(text: str) -> str:
    """Return a text from outside on one line, without characters that cannot be seen."""
    return " ".join(visible(text).split())


def signed(value: float | None, write: Callable[[float | None], str] = number) -> str:
    """Write a difference with its sign.

    >>> signed(0.0123), signed(-0.5), signed(0.0), signed(0.0123, fmr)
    ('+0.0123', '−0.500', '0', '+1.2e-2')
    """
    if value is None or value == 0:
        return number(value)
    return f"{'+' if value > 0 else '−'}{write(abs(value))}"


def escaped(text: str) -> str:
    """Keep Markdown and HTML in names from being read as such."""
    shown = one_line(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    for character in "\\|`*_[]":
        shown = shown.replace(character, f"\\{character}")
    return shown
