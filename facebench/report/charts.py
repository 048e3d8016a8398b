"""The charts of the report, drawn by hand as inline SVG; every one has its table beside it in the page.

Colours come from the style sheet (`.s0`, `.genuine`, `.threshold`, ...), so that they follow light, dark and print.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from facebench.report import format as fmt
from facebench.report.reading import is_bound, upper_bound
from facebench.report.svg import Scale, el, join, linear, path, picture, probit
from facebench.schema import Curve, Estimate

WIDTH, HEIGHT = 344.0, 300.0
LEFT, RIGHT, TOP, BOTTOM = 50.0, 12.0, 14.0, 44.0
MAX_SERIES = 5
MAX_LABEL = 24
DET_FLOOR, DET_RIGHT = 1e-6, 0.5


@dataclass(frozen=True)
class Mark:
    """An operating point: where it lies and how it is called."""

    x: float
    y: float
    label: str
    main: bool = False


@dataclass(frozen=True)
class Dot:
    """One row of a dot plot: a value with its interval; `open_` marks a bound instead of a value."""

    label: str
    value: float | None
    low: float | None
    high: float | None
    open_: bool = False


def axes(x: Scale, y: Scale, x_title: str, y_title: str) -> Markup:
    """Draw grid, tick labels and titles."""
    parts = []
    for value, label in x.ticks:
        at = x.at(value)
        parts.append(el("line", x1=at, x2=at, y1=y.end, y2=y.start, class_="grid"))
        parts.append(el("text", label, x=at, y=y.start + 15, class_="tick", text_anchor="middle"))
    for value, label in y.ticks:
        at = y.at(value)
        parts.append(el("line", x1=x.start, x2=x.end, y1=at, y2=at, class_="grid"))
        parts.append(el("text", label, x=x.start - 5, y=at + 4, class_="tick", text_anchor="end"))
    middle = (y.start + y.end) / 2
    parts.append(el("text", x_title, x=(x.start + x.end) / 2, y=y.start + 35, class_="title", text_anchor="middle"))
    turn = f"rotate(-90 11 {middle:.0f})"
    parts.append(el("text", y_title, x=11, y=middle, class_="title", text_anchor="middle", transform=turn))
    parts.append(el("path", d=path([(x.start, y.end), (x.start, y.start), (x.end, y.start)]), class_="axis"))
    return join(parts)


def det_chart(curves: Sequence[Curve], marks: Sequence[Mark], names: Sequence[str]) -> Markup:
    """Draw DET curves on normal-deviate axes with the operating points; lower and further left is better."""
    x, y = _det_scales(curves, marks)
    parts = [axes(x, y, "false match rate (FMR)", "false non-match rate (FNMR)")]
    for i, curve in enumerate(curves[:MAX_SERIES]):
        points = [(x.at(a), y.at(b)) for a, b in zip(curve.x, curve.y, strict=True) if x.holds(a) and y.holds(b)]
        if points:
            parts.append(el("path", d=path(points), class_=f"line s{i}"))
    for mark in marks:
        parts.append(_operating_point(x.at(mark.x), y.at(mark.y), mark))
    if len(curves) > 1:
        parts.append(_legend(names))
    return picture(WIDTH, HEIGHT, "DET curve: FNMR against FMR; the table below holds its points", *parts)


def _det_scales(curves: Sequence[Curve], marks: Sequence[Mark]) -> tuple[Scale, Scale]:
    """Return scales around the operating points: the far ends of a DET curve rest on a handful of errors."""
    seen = [(a, b) for curve in curves for a, b in zip(curve.x, curve.y, strict=True) if 0 < a < 1 and 0 < b < 1]
    strictest = min([m.x for m in marks if m.x > 0] or [a for a, _ in seen] or [1e-4])
    low_x = max(DET_FLOOR, strictest / 3)
    reached = [b for a, b in seen if low_x <= a <= DET_RIGHT] + [m.y for m in marks if 0 < m.y < 1]
    low_y = max(DET_FLOOR, min(reached, default=1e-3) / 1.5)
    high_y = min(0.99, max(0.2, max(reached, default=0.5) * 1.2))
    return probit(low_x, DET_RIGHT, LEFT, WIDTH - RIGHT), probit(low_y, high_y, HEIGHT - BOTTOM, TOP)


def _operating_point(x: float, y: float, mark: Mark) -> Markup:
    size = 5.0 if mark.main else 3.5
    diamond = path([(x, y - size), (x + size, y), (x, y + size), (x - size, y)]) + "Z"
    # the curve falls to the right, so the space above and right of it is free
    late = x > WIDTH - 70
    text = el(
        "text",
        mark.label,
        x=x - 7 if late else x + 8,
        y=y + 14 if late else y - 4,
        class_="label main" if mark.main else "label",
        text_anchor="end" if late else "start",
    )
    return el("path", d=diamond, class_="point main" if mark.main else "point") + text


def _legend(names: Sequence[str]) -> Markup:
    parts = []
    for i, name in enumerate(names[:MAX_SERIES]):
        y = TOP + 10 + 15 * i
        parts.append(el("line", x1=WIDTH - 120, x2=WIDTH - 96, y1=y - 4, y2=y - 4, class_=f"line s{i}"))
        parts.append(el("text", fmt.clip(name, 14), x=WIDTH - 90, y=y, class_="label"))
    return join(parts)


def histogram_chart(curves: Sequence[Curve], thresholds: Sequence[Mark]) -> Markup:
    """Draw the score histograms as shares of their own total, with a line at each threshold."""
    low, high = min(c.x[0] for c in curves), max(c.x[-1] for c in curves)
    shares = [[v / (sum(c.y) or 1.0) for v in c.y] for c in curves]
    x = linear(low, high, LEFT, WIDTH - RIGHT, ticks=5)
    top = max((v for s in shares for v in s), default=1.0)
    y = linear(0.0, top * 1.22 or 1.0, HEIGHT - BOTTOM, TOP)
    parts = [axes(x, y, "similarity score", "share of comparisons per bin")]
    for curve, values in zip(curves, shares, strict=True):
        points = [(x.at(curve.x[0]), y.at(0))]
        for left, right, value in zip(curve.x, curve.x[1:], values, strict=False):
            points += [(x.at(left), y.at(value)), (x.at(right), y.at(value))]
        points.append((x.at(curve.x[-1]), y.at(0)))
        parts.append(el("path", d=path(points), class_=f"area {_side(curve)}"))
        peak = values.index(max(values))
        centre = (curve.x[peak] + curve.x[peak + 1]) / 2
        at = min(max(x.at(centre), LEFT + 26), WIDTH - RIGHT - 26)
        parts.append(el("text", _side(curve), x=at, y=y.at(values[peak]) - 5, class_="label", text_anchor="middle"))
    parts.append(_threshold_lines(x, y, thresholds, low, high))
    return picture(WIDTH, HEIGHT, "Histograms of genuine and impostor scores; the table below holds the counts", *parts)


def _side(curve: Curve) -> str:
    return "genuine" if curve.name == "genuine" else "impostor"


def _threshold_lines(x: Scale, y: Scale, thresholds: Sequence[Mark], low: float, high: float) -> Markup:
    parts = []
    for mark in (m for m in thresholds if low <= m.x <= high):
        kind = "threshold main" if mark.main else "threshold"
        parts.append(el("line", x1=x.at(mark.x), x2=x.at(mark.x), y1=TOP, y2=y.start, class_=kind))
        if mark.main:
            late = x.at(mark.x) > WIDTH - 110
            anchor, shift = ("end", -4) if late else ("start", 4)
            parts.append(
                el("text", mark.label, x=x.at(mark.x) + shift, y=TOP + 9, class_="label main", text_anchor=anchor)
            )
    return join(parts)


def label_room(labels: Sequence[str]) -> float:
    """Return the room in pixels that row labels need."""
    return min(180.0, max(70.0, 16 + 7.0 * max(len(label) for label in labels)))


def dot(label: str, e: Estimate | None) -> Dot:
    """Return the row of an estimate: a dot with its interval, an open bound, or nothing when it is not known."""
    if e is None or e.value is None:
        return Dot(label, None, None, None)
    if is_bound(e):
        return Dot(label, None, None, upper_bound(e), open_=True)
    return Dot(label, e.value, e.ci_low, e.ci_high)


def dot_plot(rows: Sequence[Dot], scale: Scale, title: str, label: str, *, reference: Mark | None) -> Markup:
    """Draw one value with its interval per row; a dashed line marks what the rows are held against."""
    row, top = 24.0, 22.0
    bottom = top + row * len(rows)
    parts = []
    for value, text in scale.ticks:
        at = scale.at(value)
        parts.append(el("line", x1=at, x2=at, y1=top, y2=bottom, class_="grid"))
        parts.append(el("text", text, x=at, y=bottom + 15, class_="tick", text_anchor="middle"))
    if reference is not None and scale.holds(reference.x):
        at = scale.at(reference.x)
        parts.append(el("line", x1=at, x2=at, y1=top - 4, y2=bottom, class_="reference"))
        parts.append(el("text", reference.label, x=at, y=top - 7, class_="label", text_anchor="middle"))
    for i, item in enumerate(rows):
        y = top + row * (i + 0.5)
        short = fmt.clip(item.label, MAX_LABEL)
        full = el("title", item.label) if short != item.label else Markup("")
        parts.append(
            el(
                "text",
                full,
                fmt.clip(item.label, MAX_LABEL),
                x=scale.start - 8,
                y=y + 4,
                class_="label",
                text_anchor="end",
            )
        )
        parts.append(whisker(item, scale, y))
    parts.append(
        el("text", title, x=(scale.start + scale.end) / 2, y=bottom + 34, class_="title", text_anchor="middle")
    )
    return picture(WIDTH, bottom + 42, label, *parts)


def whisker(item: Dot, scale: Scale, y: float) -> Markup:
    """Draw a dot with its interval; a bound is an arrow that starts at the bound and points to zero."""
    if item.open_ and item.high is not None:
        end = scale.at(item.high)
        arrow = path([(scale.start + 5, y - 4), (scale.start, y), (scale.start + 5, y + 4)])
        return (
            el("line", x1=scale.start, x2=end, y1=y, y2=y, class_="whisker bound")
            + el("path", d=arrow, class_="whisker")
            + el("line", x1=end, x2=end, y1=y - 5, y2=y + 5, class_="whisker")
        )
    if item.value is None:
        return el("text", "not measurable", x=scale.start + 4, y=y + 4, class_="tick")
    parts = Markup("")
    if item.low is not None and item.high is not None:
        low, high = scale.at(item.low), scale.at(item.high)
        parts += el("line", x1=low, x2=high, y1=y, y2=y, class_="whisker")
        for end in (low, high):
            parts += el("line", x1=end, x2=end, y1=y - 4, y2=y + 4, class_="whisker")
    return parts + el("circle", cx=scale.at(item.value), cy=y, r=4.0, class_="dot")


def spark(item: Dot, scale: Scale) -> Markup:
    """Draw one dot with its interval for a table cell; the numbers stand beside it."""
    base = el("line", x1=scale.start, x2=scale.end, y1=9, y2=9, class_="grid")
    mark = whisker(item, scale, 9.0) if item.value is not None or item.open_ else Markup("")
    return el("svg", base, mark, viewBox="0 0 110 18", width=110, height=18, class_="spark", aria_hidden="true")
