"""The matrix of false match rates between groups: log colour scale, counts in the cells, hatched where thin."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from facebench.report import format as fmt
from facebench.report.reading import upper_bound
from facebench.report.svg import el, join, picture
from facebench.schema import Estimate

CELL_W, CELL_H = 80.0, 46.0
RULE_OF_30 = 30
# ColorBrewer YlOrBr, light to dark: ordered by lightness, so it survives colour blindness and grey printing
RAMP = ((255, 247, 188), (254, 227, 145), (254, 196, 79), (254, 153, 41), (236, 112, 20), (204, 76, 2), (140, 45, 4))


@dataclass(frozen=True)
class LogColour:
    """Colours for rates between two limits, equal steps for equal factors."""

    low: float
    high: float

    def rgb(self, value: float) -> tuple[int, int, int]:
        """Return the colour of a rate."""
        span = math.log(self.high / self.low) or 1.0
        place = min(1.0, max(0.0, math.log(value / self.low) / span)) * (len(RAMP) - 1)
        i = min(int(place), len(RAMP) - 2)
        red, green, blue = (round(a + (b - a) * (place - i)) for a, b in zip(RAMP[i], RAMP[i + 1], strict=True))
        return red, green, blue


def ink_on(rgb: tuple[int, int, int]) -> str:
    """Return black or white, whichever contrasts more with a background (WCAG relative luminance)."""

    def channel(c: int) -> float:
        s = c / 255
        return s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4

    light = 0.2126 * channel(rgb[0]) + 0.7152 * channel(rgb[1]) + 0.0722 * channel(rgb[2])
    return "#000" if (light + 0.05) ** 2 > 1.05 * 0.05 else "#fff"


def heatmap(labels: Sequence[str], cells: dict[tuple[int, int], Estimate | None], *, name: str) -> Markup:
    """Draw the lower triangle with its diagonal; `cells` maps row and column (column <= row) to the estimate."""
    values = [e.value for e in cells.values() if e and e.value]
    colour = LogColour(min(values), max(values)) if values else LogColour(1e-4, 1e-3)
    left = 16 + 6.6 * max(min(len(label), 24) for label in labels)
    width = left + CELL_W * len(labels) + 8
    grid_end = CELL_H * len(labels) + 8
    parts = [_hatch(name)]
    for i, label in enumerate(labels):
        y = 8 + CELL_H * i
        parts.append(_row_label(label, left, y))
        parts += [_cell(cells[i, j], left + CELL_W * j, y, colour, name) for j in range(i + 1)]
        parts.append(_column_label(label, left + CELL_W * (i + 0.5), grid_end + 14))
    parts.append(_key(colour, left, grid_end + 58, name, drawn=bool(values)))
    text = "Matrix of false match rates between groups; the table below holds every cell"
    return picture(max(width, left + 310), grid_end + 104, text, *parts, class_="chart matrix")


def _hatch(name: str) -> Markup:
    """Define two hatchings: dark lines for coloured cells, lines in the page's ink for cells without colour."""
    patterns = [
        el(
            "pattern",
            el("path", d="M0 6L6 0M-1 1L1 -1M5 7L7 5", class_=f"hatch-{kind}"),
            id=f"{kind}-{name}",
            width=6,
            height=6,
            patternUnits="userSpaceOnUse",
        )
        for kind in ("dark", "ink")
    ]
    return el("defs", *patterns)


def _row_label(label: str, left: float, y: float) -> Markup:
    full = el("title", label)
    return el("text", full, fmt.clip(label, 24), x=left - 8, y=y + CELL_H / 2 + 4, class_="label", text_anchor="end")


def _column_label(label: str, x: float, y: float) -> Markup:
    rows = textwrap.wrap(label, 12, max_lines=3, placeholder="…") or [""]
    lines = [el("tspan", row, x=x, dy=13 if i else 0) for i, row in enumerate(rows)]
    return el("text", el("title", label), *lines, y=y, class_="label", text_anchor="middle")


def _cell(estimate: Estimate | None, x: float, y: float, colour: LogColour, name: str) -> Markup:
    """Draw one cell: the rate or its upper bound, and k/n below it."""
    if estimate is None or estimate.value is None:
        box = el("rect", x=x, y=y, width=CELL_W, height=CELL_H, class_="cell empty")
        return box + _cell_text("–", "no data", x, y, None)
    k, n = estimate.errors, estimate.n_impostor
    below = f"{fmt.compact(k)}/{fmt.compact(n)}"
    fill, ink = None, None
    if estimate.value > 0:
        rgb = colour.rgb(estimate.value)
        fill, ink = f"rgb{rgb}".replace(" ", ""), ink_on(rgb)
    parts = [el("rect", x=x, y=y, width=CELL_W, height=CELL_H, fill=fill, class_="cell" if fill else "cell empty")]
    if k is not None and k < RULE_OF_30:
        parts.append(
            el("rect", x=x, y=y, width=CELL_W, height=CELL_H, fill=f"url(#{'dark' if fill else 'ink'}-{name})")
        )
        # the hatching stops behind the figures, which must stay legible
        plain = "cell-plate" if fill else "cell-plate empty"
        parts.append(el("rect", x=x + 7, y=y + 6, width=CELL_W - 14, height=CELL_H - 12, fill=fill, class_=plain))
    above = fmt.fmr(estimate.value)
    if estimate.value == 0:
        bound = upper_bound(estimate)
        above = f"≤ {fmt.fmr(bound)}" if bound is not None else "0"
    return join(parts) + _cell_text(above, below, x, y, ink)


def _cell_text(above: str, below: str, x: float, y: float, ink: str | None) -> Markup:
    middle = x + CELL_W / 2
    return el("text", above, x=middle, y=y + 21, fill=ink, class_="cell-value", text_anchor="middle") + el(
        "text", below, x=middle, y=y + 35, fill=ink, class_="cell-count", text_anchor="middle"
    )


def _key(colour: LogColour, x: float, y: float, name: str, *, drawn: bool) -> Markup:
    """Draw the colour scale and what hatching means."""
    parts = []
    if drawn:
        for i in range(28):
            at = colour.low * (colour.high / colour.low) ** (i / 27)
            fill = f"rgb{colour.rgb(at)}".replace(" ", "")
            parts.append(el("rect", x=x + 4.0 * i, y=y, width=4.4, height=12, fill=fill))
        parts.append(el("text", fmt.fmr(colour.low), x=x, y=y + 26, class_="tick"))
        parts.append(el("text", fmt.fmr(colour.high), x=x + 112, y=y + 26, class_="tick", text_anchor="end"))
        parts.append(el("text", "log scale", x=x + 56, y=y + 40, class_="tick", text_anchor="middle"))
    parts.append(el("rect", x=x + 136, y=y, width=20, height=12, class_="cell empty"))
    parts.append(el("rect", x=x + 136, y=y, width=20, height=12, fill=f"url(#ink-{name})"))
    parts.append(el("text", "fewer than 30 errors", x=x + 162, y=y + 11, class_="tick"))
    parts.append(el("text", "≤  upper bound: no error seen", x=x + 138, y=y + 28, class_="tick"))
    return join(parts)
