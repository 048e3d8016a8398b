"""Curves of attacks: success against the budget, the steps or the queries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from facebench.report import format as fmt
from facebench.report.charts import BOTTOM, HEIGHT, LEFT, MAX_SERIES, RIGHT, TOP, WIDTH, axes
from facebench.report.svg import Scale, el, join, linear, path, picture


@dataclass(frozen=True)
class Point:
    """A point of a curve with its interval."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Line:
    """One curve; a doubtful one is drawn thin and named so."""

    name: str
    points: tuple[Point, ...]
    doubtful: bool = False


def budget_chart(lines: Sequence[Line]) -> Markup:
    """Draw success against the budget in units of 1/255; empty without any point."""
    return curve_chart(lines, "budget, of 255", "share of pairs turned")


def trace_chart(lines: Sequence[Line], unit: str) -> Markup:
    """Draw success against steps or queries."""
    return curve_chart(lines, unit, "share of pairs turned")


def curve_chart(lines: Sequence[Line], x_title: str, y_title: str, *, top: float = 1.0) -> Markup:
    """Draw shares from 0 to `top` as curves with intervals; empty without any point."""
    shown = [line for line in lines if line.points][:MAX_SERIES]
    if not shown:
        return Markup("")
    x = linear(0.0, max(point.x for line in shown for point in line.points), LEFT, WIDTH - RIGHT, ticks=5)
    y = linear(0.0, top, HEIGHT - BOTTOM, TOP + 15.0 * len(shown) + 6)
    parts = [axes(x, y, x_title, y_title)]
    for number, line in enumerate(shown):
        parts.append(_line(line, number, x, y))
        at = TOP + 15.0 * number
        parts.append(el("line", x1=LEFT, x2=LEFT + 24, y1=at, y2=at, class_=f"line s{number}"))
        name = f"{line.name} (unreliable)" if line.doubtful else line.name
        parts.append(el("text", fmt.clip(name, 40), x=LEFT + 30, y=at + 4, class_="label"))
    label = f"{y_title} against {x_title}; the table below holds the numbers"
    return picture(WIDTH, HEIGHT, label, *parts)


def _line(line: Line, number: int, x: Scale, y: Scale) -> Markup:
    shift = 1.5 * number  # intervals of several curves at one budget stay apart
    parts = []
    if len(line.points) > 1:
        points = [(x.at(point.x), y.at(point.y)) for point in line.points]
        parts.append(el("path", d=path(points), class_=f"line s{number}"))
    for point in line.points:
        at = x.at(point.x) + shift
        if point.low is not None and point.high is not None:
            parts.append(el("line", x1=at, x2=at, y1=y.at(point.low), y2=y.at(point.high), class_=f"line s{number}"))
        if len(line.points) < 30 and point.low is not None:
            parts.append(el("circle", cx=at, cy=y.at(point.y), r=2.5, class_="dot"))
    return join(parts)
