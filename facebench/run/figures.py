"""Figures of a result for papers, drawn by matplotlib: vector files of one column's width, numbers as in the report."""

from __future__ import annotations

import io
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scipy.special import ndtri

from facebench.errors import InputError
from facebench.files import write_atomic
from facebench.report import format as fmt
from facebench.report.reading import Reading, comparisons, is_bound, short_label
from facebench.report.wording import measure
from facebench.schema import Estimate, Flag, Result
from facebench.schema.attacks import epsilon_value

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = ("pdf", "svg", "png", "eps")
WIDTH, HEIGHT = 3.4, 2.8  # inches: one column of a two-column paper
DET_TICKS = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.05, 0.2, 0.5, 0.8, 0.95, 0.99)
COLOURS = ("#0b5fa5", "#c2410c", "#15803d", "#7c3aed", "#a16207", "#0e7490", "#be185d", "#4d4d4d")
STYLE: Any = {  # matplotlib's own type lists all its keys
    "font.size": 8, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.3,
    "axes.axisbelow": True, "legend.frameon": False, "legend.fontsize": 7, "savefig.bbox": "tight",
    "pdf.fonttype": 42, "ps.fonttype": 42, "svg.hashsalt": "facebench", "svg.fonttype": "none",
}  # fmt: skip
_UNDATED: dict[str, dict[str, Any]] = {
    "pdf": {"CreationDate": None}, "svg": {"Date": None}, "png": {}, "eps": {},
}  # fmt: skip
_ATTACK = re.compile(
    r"attack:(?P<attack>.+)-(?P<norm>linf|l2)(?P<surrogate>@[^:]+)?:(?P<eps>[0-9./]+):(?P<goal>[a-z]+)"
)


def draw_figures(result: Result, folder: Path, *, kind: str = "pdf") -> list[Path]:
    """Draw every figure that a result has the numbers for, and return the files.

    `det`, `scores`, `groups-<attributes>` and `matrix-<attributes>` come from comparisons, `attacks-<goal>-<norm>` from
    attacks, `regions` from saliency, `classes` from answers. Bars are the intervals of the result; a triangle stands
    for a bound instead of a value. Equal results give equal bytes.

    Args:
        result: what a run found.
        folder: where the files are written; made when it is missing.
        kind: `pdf`, `svg`, `png` or `eps`.

    Raises:
        InputError: the format is unknown, or the result has no such numbers.
        WriteError: a file cannot be written.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    if kind not in FORMATS:
        raise InputError(f"unknown format {kind!r} of figures. Known: {', '.join(FORMATS)}")
    written: list[Path] = []
    with mpl.rc_context(STYLE):
        for name, draw, wide in _drawings(Reading(result)):
            figure = Figure(figsize=(WIDTH * wide, HEIGHT), layout="constrained")
            draw(figure)
            plain = re.sub("[^A-Za-z0-9_.-]+", "_", name)
            alike = sum(path.stem.partition("~")[0] == plain for path in written)
            target = Path(folder) / f"{plain}{f'~{alike + 1}' if alike else ''}.{kind}"
            write_atomic(target, _bytes(figure, kind))
            written.append(target)
    if not written:
        raise InputError("this result has no curve, group, attack, map or class to draw")
    return written


def _bytes(figure: Figure, kind: str) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, dpi=300, metadata=_UNDATED[kind])
    content = buffer.getvalue()
    # PostScript takes no metadata, and dates itself
    return re.sub(rb"%%CreationDate: [^\n]*\n", b"", content) if kind == "eps" else content


def _drawings(reading: Reading) -> Iterator[tuple[str, Callable[[Figure], None], float]]:
    """Yield name, drawing and width in columns of each figure."""
    curves = [c for c in reading.result.curves if c.condition == "clean" and c.group == "all"]
    if any(c.kind == "det" for c in curves):
        yield "det", lambda f: _det(f.subplots(), reading), 1
    if any(c.kind == "histogram" for c in curves):
        yield "scores", lambda f: _scores(f.subplots(), reading), 1
    for grouping, groups in reading.groupings.items():
        if any(reading.rate(rate, g) for rate in ("fmr", "fnmr") for g in groups):
            yield f"groups-{grouping}", lambda f, g=groups: _groups(f, reading, g), 2  # type: ignore[misc]
        if len(groups) > 1 and reading.cell(reading.primary, groups[0], groups[1]):
            yield f"matrix-{grouping}", lambda f, g=groups: _matrix(f, reading, g), 1.3  # type: ignore[misc]
    for goal, rows in _attacks(reading.result.estimates).items():
        yield f"attacks-{goal}", lambda f, r=rows, n=goal: _budgets(f.subplots(), r, n.rpartition("-")[2]), 1  # type: ignore[misc]
    estimates = reading.result.estimates
    regions = [e for e in estimates if (e.metric, e.group, e.rule) == ("saliency_iou", "all", "strict")]
    if regions:
        yield (
            "regions",
            lambda f: _rows(f, regions, [_region(e) for e in regions], "overlap of map and region (IoU)"),
            1.3,
        )
    classes = [e for e in reading.clean() if e.metric == "recall" and e.of and e.group == "all"]
    if classes:
        yield (
            "classes",
            lambda f: _rows(f, classes, [_counted(str(e.of), e) for e in classes], "recall of the class"),
            1,
        )


def _det(ax: Axes, reading: Reading) -> None:
    for curve in (c for c in reading.result.curves if c.kind == "det" and c.condition == "clean"):
        points = [(a, b) for a, b in zip(curve.x, curve.y, strict=True) if 0 < a < 1 and 0 < b < 1]
        if points:
            ax.plot(ndtri([a for a, _ in points]), ndtri([b for _, b in points]), color=COLOURS[0], lw=1.2)
    for target in reading.fmr_targets:
        at, missed = reading.find("fmr", target=target), reading.missed(target, "all")
        if at and missed and at.value and missed.value and missed.value < 1:
            ax.plot(ndtri(at.value), ndtri(missed.value), "o", color=COLOURS[0], ms=3)
    for axis, set_ticks in ((ax.dataLim.intervalx, ax.set_xticks), (ax.dataLim.intervaly, ax.set_yticks)):
        ticks = [t for t in DET_TICKS if axis[0] - 0.3 <= ndtri(t) <= axis[1] + 0.3]
        set_ticks([float(ndtri(t)) for t in ticks], [fmt.target(t) if t < 0.01 else f"{t:g}" for t in ticks])
    ax.tick_params(axis="x", rotation=45)
    ax.set(xlabel="false match rate", ylabel="false non-match rate")


def _scores(ax: Axes, reading: Reading) -> None:
    for curve in (c for c in reading.result.curves if c.kind == "histogram" and c.condition == "clean"):
        total = sum(curve.y)
        colour = COLOURS[0] if curve.name == "genuine" else COLOURS[1]
        if total:
            ax.stairs([y / total for y in curve.y], curve.x, color=colour, label=f"{curve.name} ({fmt.count(total)})")
    point = reading.find("tar", target=reading.primary)
    if point is not None and point.threshold is not None:
        ax.axvline(point.threshold, color="#4d4d4d", lw=0.8, ls="--", label="threshold")
    ax.set(xlabel="score", ylabel="share of comparisons", yscale="log")
    ax.legend()


def _groups(figure: Figure, reading: Reading, groups: Sequence[str]) -> None:
    figure.set_figheight(0.7 + 0.2 * len(groups))
    for ax, rate in zip(figure.subplots(1, 2, sharey=True), ("fmr", "fnmr"), strict=True):
        found = [(g, reading.rate(rate, g)) for g in groups]
        shown = [(g, e) for g, e in found if e is not None]
        _dots(ax, [e for _, e in shown], [short_label(g) for g, _ in shown])
        ax.set_xlabel(f"{measure(rate).label} at {fmt.point(reading.primary)}")


def _matrix(figure: Figure, reading: Reading, groups: Sequence[str]) -> None:
    side = max(2.4, 0.5 * len(groups) + 1)
    figure.set_size_inches(side * 1.3, side)
    ax = figure.subplots()
    cells = [[reading.cell(reading.primary, a, b) for b in groups] for a in groups]
    floor = min((e.value for row in cells for e in row if e and e.value), default=1e-6)
    import numpy as np
    from matplotlib.colors import LogNorm

    values = np.array([[e.value if e and e.value else np.nan for e in row] for row in cells], np.float64)
    top = float(np.nanmax(values)) if np.isfinite(values).any() else 1.0
    image = ax.imshow(values, cmap="Blues", norm=LogNorm(floor / 2, max(top, floor)))
    for i, row in enumerate(cells):
        for j, e in enumerate(row):
            dark = e is not None and e.value is not None and e.value > (floor * top) ** 0.5
            words = "" if e is None else "0" if e.value == 0 else fmt.fmr(e.value)
            ax.text(j, i, words, ha="center", va="center", fontsize=6, color="white" if dark else "black")
    names = [short_label(g) for g in groups]
    ax.set_xticks(range(len(names)), names, rotation=45, ha="right")
    ax.set_yticks(range(len(names)), names)
    ax.grid(visible=False)
    figure.colorbar(image, ax=ax, label=f"false match rate at {fmt.point(reading.primary)}")


def _attacks(estimates: Sequence[Estimate]) -> dict[str, dict[str, list[tuple[float, Estimate]]]]:
    """Return for each goal and norm the success of each attack by budget, in 1/255 for linf."""
    found: dict[str, dict[str, list[tuple[float, Estimate]]]] = defaultdict(lambda: defaultdict(list))
    for e in estimates:
        match = _ATTACK.fullmatch(e.condition)
        if match and e.metric == "attack_success" and e.group == "all" and e.value is not None:
            eps = epsilon_value(match["eps"]) * (255 if match["norm"] == "linf" else 1)
            found[f"{match['goal']}-{match['norm']}"][match["attack"] + (match["surrogate"] or "")].append((eps, e))
    return found


def _budgets(ax: Axes, rows: dict[str, list[tuple[float, Estimate]]], norm: str) -> None:
    for i, (name, points) in enumerate(rows.items()):
        # a little apart, so that bars of one budget do not hide each other
        at, drawn = (
            [eps * 1.03**i for eps, _ in sorted(points, key=_budget)],
            [e for _, e in sorted(points, key=_budget)],
        )
        ax.errorbar(at, [e.value or 0.0 for e in drawn], yerr=_bars(drawn), fmt="o-", ms=3, lw=1, capsize=2,
                    color=COLOURS[i % len(COLOURS)], label=name)  # fmt: skip
    budgets = sorted({eps for points in rows.values() for eps, _ in points})
    unit = "linf, in 1/255" if norm == "linf" else "l2"
    ax.set(xlabel=f"budget ({unit})", ylabel="attacks that succeed", ylim=(-0.03, 1.03), xscale="log")
    ax.set_xticks(budgets, [f"{eps:g}" for eps in budgets])
    ax.minorticks_off()
    ax.legend()


def _budget(point: tuple[float, Estimate]) -> float:
    return point[0]


def _region(estimate: Estimate) -> str:
    name = estimate.condition.removeprefix("saliency:").replace(":", ", ")
    return f"{name} (method not qualified)" if Flag.UNQUALIFIED in estimate.flags else name


def _rows(figure: Figure, rows: Sequence[Estimate], names: Sequence[str], title: str) -> None:
    figure.set_figheight(0.7 + 0.2 * len(rows))
    ax = figure.subplots()
    _dots(ax, rows, names)
    ax.set_xlabel(title)


def _counted(name: str, estimate: Estimate) -> str:
    n = comparisons(estimate) or estimate.n_images
    return f"{name} ({fmt.count(n)})" if n else name


def _dots(ax: Axes, rows: Sequence[Estimate], names: Sequence[str]) -> None:
    """Draw a value with its interval in each row, and a triangle for a bound."""
    for i, e in enumerate(rows):
        if e.value is not None:
            mark = "<" if is_bound(e) else "o"
            ax.errorbar(e.value, i, xerr=_bars([e]), fmt=mark, ms=3.5, capsize=2, lw=1, color=COLOURS[0])
    ax.set_yticks(range(len(rows)), names)
    ax.set_ylim(len(rows) - 0.5, -0.5)


def _bars(rows: Sequence[Estimate]) -> list[list[float]]:
    """Return the distances of limits from values, 0 where there is no interval."""
    low = [max(0.0, e.value - e.ci_low) if e.value is not None and e.ci_low is not None else 0.0 for e in rows]
    high = [max(0.0, e.ci_high - e.value) if e.value is not None and e.ci_high is not None else 0.0 for e in rows]
    return [low, high]
