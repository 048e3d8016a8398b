"""The charts of a comparison: DET curves overlaid, trade-offs between two measures, differences with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from facebench.report import charts
from facebench.report import format as fmt
from facebench.report.charts import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH
from facebench.report.svg import Scale, el, join, linear, logarithmic, path, picture, probit
from facebench.schema import Curve

LEGEND_ROW = 16.0


def det_overlay(curves: Sequence[Curve], names: Sequence[str], targets: Sequence[float]) -> Markup:
    """Draw the DET curves of all models on normal-deviate axes, with the FMR targets as dashed lines."""
    seen = [(a, b) for c in curves for a, b in zip(c.x, c.y, strict=True) if 0 < a < 1 and 0 < b < 1]
    low_x = max(charts.DET_FLOOR, min(targets, default=1e-4) / 3)
    reached = [b for a, b in seen if low_x <= a <= charts.DET_RIGHT]
    low_y = max(charts.DET_FLOOR, min(reached, default=1e-3) / 1.5)
    high_y = min(0.99, max(0.2, max(reached, default=0.5) * 1.2))
    x = probit(low_x, charts.DET_RIGHT, LEFT, WIDTH - RIGHT)
    y = probit(low_y, high_y, HEIGHT - BOTTOM, TOP)
    parts = [charts.axes(x, y, "false match rate (FMR)", "false non-match rate (FNMR)")]
    for target in targets:
        if x.holds(target):
            parts.append(el("line", x1=x.at(target), x2=x.at(target), y1=TOP, y2=y.start, class_="threshold"))
    for i, curve in enumerate(curves):
        points = [(x.at(a), y.at(b)) for a, b in zip(curve.x, curve.y, strict=True) if x.holds(a) and y.holds(b)]
        if points:
            parts.append(el("path", d=path(points), class_=f"line s{i % 8}"))
    parts.append(_legend(names))
    label = "DET curves of all models: FNMR against FMR; the table below holds their points"
    return picture(WIDTH, HEIGHT + LEGEND_ROW * len(names) + 8, label, *parts)


def _legend(names: Sequence[str]) -> Markup:
    rows = []
    for i, name in enumerate(names):
        y = HEIGHT + LEGEND_ROW * i + 10
        rows.append(el("line", x1=LEFT, x2=LEFT + 30, y1=y - 4, y2=y - 4, class_=f"line s{i % 8}"))
        rows.append(el("text", fmt.clip(name, 44), x=LEFT + 38, y=y, class_="label"))
    return join(rows)


@dataclass(frozen=True)
class Point:
    """A model in a trade-off: two values with their intervals."""

    label: str
    x: float
    y: float
    x_limits: tuple[float, float] | None
    y_limits: tuple[float, float] | None


def not_dominated(points: Sequence[Point]) -> list[Point]:
    """Return the points no other point beats in one measure without losing in the other; lower is better in both."""
    return [
        p
        for p in points
        if not any((q.x <= p.x and q.y < p.y) or (q.x < p.x and q.y <= p.y) for q in points if q is not p)
    ]


def trade_off(points: Sequence[Point], x_title: str, y_title: str, *, log_y: bool = False) -> Markup:
    """Draw models by two measures, lower being better in both; those no other model dominates are joined."""
    x = _range([v for p in points for v in (p.x, *(p.x_limits or ()))], LEFT, WIDTH - RIGHT, log=False)
    y = _range([v for p in points for v in (p.y, *(p.y_limits or ()))], HEIGHT - BOTTOM, TOP, log=log_y)
    parts = [charts.axes(x, y, x_title, y_title)]
    front = sorted(not_dominated(points), key=lambda p: (p.x, p.y))
    if len(front) > 1:
        parts.append(el("path", d=path([(x.at(p.x), y.at(p.y)) for p in front]), class_="reference", fill="none"))
    for i, p in enumerate(points):
        parts.append(_cross(p, x, y))
        parts.append(el("circle", cx=x.at(p.x), cy=y.at(p.y), r=5.0, class_="dot"))
        parts.append(el("text", str(i + 1), x=x.at(p.x) + 8, y=y.at(p.y) - 7, class_="label main"))
    for i, p in enumerate(points):
        row = HEIGHT + LEGEND_ROW * i + 10
        parts.append(el("text", f"{i + 1}  {fmt.clip(p.label, 48)}", x=LEFT, y=row, class_="label"))
    label = f"{y_title} against {x_title}, one point per model; lower is better in both"
    return picture(WIDTH, HEIGHT + LEGEND_ROW * len(points) + 8, label, *parts)


def _cross(p: Point, x: Scale, y: Scale) -> Markup:
    parts = Markup("")
    if p.x_limits:
        parts += el(
            "line", x1=x.at(p.x_limits[0]), x2=x.at(p.x_limits[1]), y1=y.at(p.y), y2=y.at(p.y), class_="whisker"
        )
    if p.y_limits:
        parts += el(
            "line", x1=x.at(p.x), x2=x.at(p.x), y1=y.at(p.y_limits[0]), y2=y.at(p.y_limits[1]), class_="whisker"
        )
    return parts


def _range(values: Sequence[float], start: float, end: float, *, log: bool) -> Scale:
    positive = [v for v in values if v > 0]
    if log and positive:
        return logarithmic(min(positive) / 1.3, max(positive) * 1.3, start, end)
    return linear(0.0, max(values, default=1.0) * 1.1 or 1.0, start, end)


def difference_plot(dots: Sequence[charts.Dot], title: str, label: str) -> Markup:
    """Draw differences with intervals around zero; the dashed line is the base."""
    reach = max((abs(v) for d in dots for v in (d.value, d.low, d.high) if v is not None), default=1.0) * 1.1 or 1.0
    room = charts.label_room([dot.label for dot in dots])
    scale = linear(-reach, reach, room, WIDTH - RIGHT)
    return charts.dot_plot(dots, scale, title, label, reference=charts.Mark(0.0, 0.0, "as the base"))
