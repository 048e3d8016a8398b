"""The trade-off of many models: all as dots, those no other beats by number and name."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from facebench.comparison.charts import LEGEND_ROW, Point
from facebench.report import charts
from facebench.report import format as fmt
from facebench.report.charts import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH
from facebench.report.svg import Scale, el, linear, path, picture

WHISKERS = 24  # with more models the bars hide the dots; the table holds the intervals
NAMED = 12


def pareto(points: Sequence[Point], front: Sequence[Point], x_title: str, y_title: str) -> Markup:
    """Draw models by two measures, lower being better in both; those in front are joined, numbered and named."""
    bars = len(points) <= WHISKERS
    x = _scale([v for p in points for v in (p.x, *(p.x_limits or () if bars else ()))], LEFT, WIDTH - RIGHT)
    y = _scale([v for p in points for v in (p.y, *(p.y_limits or () if bars else ()))], HEIGHT - BOTTOM, TOP)
    parts = [charts.axes(x, y, x_title, y_title)]
    ordered = sorted(front, key=lambda p: (p.x, p.y))
    if len(ordered) > 1:
        parts.append(el("path", d=path([(x.at(p.x), y.at(p.y)) for p in ordered]), class_="reference", fill="none"))
    if bars:
        parts += [_bars(p, x, y) for p in points]
    leading = {id(p) for p in front}
    for p in points:
        class_ = "front" if id(p) in leading else "dot"
        dot = el(
            "circle",
            el("title", p.label),
            cx=x.at(p.x),
            cy=y.at(p.y),
            r=5.0 if id(p) in leading else 3.5,
            class_=class_,
        )
        parts.append(dot)
    for i, p in enumerate(ordered[:NAMED]):
        parts.append(el("text", str(i + 1), x=x.at(p.x) + 8, y=y.at(p.y) - 7, class_="label main"))
        row = HEIGHT + LEGEND_ROW * i + 10
        parts.append(el("text", f"{i + 1}  {fmt.clip(p.label, 48)}", x=LEFT, y=row, class_="label"))
    named = min(len(ordered), NAMED)
    label = f"{y_title} against {x_title}, one dot per model; lower is better in both; the table holds the numbers"
    return picture(WIDTH, HEIGHT + LEGEND_ROW * named + 8, label, *parts)


def _bars(p: Point, x: Scale, y: Scale) -> Markup:
    parts = Markup("")
    if p.x_limits:
        low, high = (x.at(v) for v in p.x_limits)
        parts += el("line", x1=low, x2=high, y1=y.at(p.y), y2=y.at(p.y), class_="bar")
    if p.y_limits:
        low, high = (y.at(v) for v in p.y_limits)
        parts += el("line", x1=x.at(p.x), x2=x.at(p.x), y1=low, y2=high, class_="bar")
    return parts


def _scale(values: Sequence[float], start: float, end: float) -> Scale:
    return linear(0.0, max(values, default=1.0) * 1.1 or 1.0, start, end)
