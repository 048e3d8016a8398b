"""Drawing primitives: escaped SVG elements, and scales that turn values into positions."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

from markupsafe import Markup, escape

from facebench.report import format as fmt

_NORMAL = NormalDist()


def el(tag: str, *children: object, **attributes: object) -> Markup:
    """Build one SVG element; text and attribute values are escaped, numbers rounded to a tenth of a pixel.

    A trailing underscore is dropped from attribute names and the others become hyphens; None leaves one out.

    >>> str(el("text", "a<b", x=1.25, class_="tick"))
    '<text x="1.2" class="tick">a&lt;b</text>'
    """
    written = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{_attribute(value)}"'
        for name, value in attributes.items()
        if value is not None
    )
    inside = "".join(_text(child) for child in children)
    return Markup(f"<{tag}{written}>{inside}</{tag}>" if inside else f"<{tag}{written}/>")  # noqa: S704 - escaped above


def _attribute(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.1f}".removesuffix(".0")
    return str(escape(fmt.visible(str(value))))


def _text(child: object) -> str:
    return str(child) if isinstance(child, Markup) else str(escape(fmt.visible(str(child))))


def join(parts: Iterable[Markup]) -> Markup:
    """Concatenate finished elements."""
    return Markup("").join(parts)


def picture(width: float, height: float, label: str, *children: Markup, class_: str = "chart") -> Markup:
    """Wrap a drawing as one image with a text for those who cannot see it."""
    return el(
        "svg",
        *children,
        viewBox=f"0 0 {width:g} {height:g}",
        width=float(width),
        height=float(height),
        class_=class_,
        role="img",
        aria_label=label,
    )


def path(points: Sequence[tuple[float, float]]) -> str:
    """Return the path data through some points."""
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


@dataclass(frozen=True)
class Scale:
    """Maps values to positions along an axis; values beyond the ends stick to them."""

    low: float
    high: float
    start: float
    end: float
    transform: Callable[[float], float]
    ticks: tuple[tuple[float, str], ...] = ()

    def at(self, value: float) -> float:
        """Return the position of a value."""
        low, high = self.transform(self.low), self.transform(self.high)
        here = self.transform(min(max(value, self.low), self.high))
        return self.start + (here - low) / ((high - low) or 1.0) * (self.end - self.start)

    def holds(self, value: float) -> bool:
        """Tell whether a value lies between the ends."""
        return self.low <= value <= self.high


def linear(low: float, high: float, start: float, end: float, *, ticks: int = 4) -> Scale:
    """Return a linear scale with ticks at round values."""
    if high <= low:
        high = low + 1.0
    raw = (high - low) / ticks
    base = 10 ** math.floor(math.log10(raw))
    step = next(base * m for m in (1, 2, 2.5, 5, 10) if base * m >= raw * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    values = [i * step for i in range(first, math.floor(high / step + 1e-9) + 1)]
    return Scale(low, high, start, end, float, tuple((v, f"{v:.6g}") for v in values))


def logarithmic(low: float, high: float, start: float, end: float) -> Scale:
    """Return a logarithmic scale with ticks at powers of ten, and between them where those are few."""
    low = min(low, high / 2)
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    decades = math.log10(high / low)
    factors = (1, 2, 5) if decades <= 1.2 else (1, 3) if decades <= 2.2 else (1,)
    values = [m * 10.0**p for p in range(first, last + 1) for m in factors]
    inside = tuple((v, fmt.target(v)) for v in values if low * (1 - 1e-9) <= v <= high * (1 + 1e-9))
    return Scale(low, high, start, end, math.log10, inside)


def probit(low: float, high: float, start: float, end: float) -> Scale:
    """Return a normal-deviate scale: normal scores give straight DET curves on it."""
    marks = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 0.5, 0.9)
    inside = tuple((v, fmt.target(v) if v < 0.1 else f"{v:g}") for v in marks if low <= v <= high)
    return Scale(low, high, start, end, _NORMAL.inv_cdf, inside)
