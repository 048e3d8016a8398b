"""Error-versus-discard curves on the page."""

from __future__ import annotations

from facebench.report import charts, tables
from facebench.report import format as fmt
from facebench.report.parts import Block, Chart, Section
from facebench.report.reading import Reading
from facebench.report.svg import el, linear, path, picture
from facebench.report.tables import Cell
from facebench.schema import Curve


def sections(reading: Reading) -> list[Section]:
    """Return the part on discarding, or none when the result holds no curve of it."""
    curves = [curve for curve in reading.result.curves if curve.kind == "edc"]
    if not curves:
        return []
    lead = (
        "If a quality score knows which comparisons will fail, leaving out the poorest lowers the false non-match rate "
        "of the rest; a flat curve means that it does not. A comparison has the quality of its poorer image, and the "
        "threshold stays."
    )
    blocks = tuple(_discard_block(reading, curve, number == 0) for number, curve in enumerate(curves))
    return [Section("discard", "Discarding poor images", lead, blocks)]


def _discard_block(reading: Reading, curve: Curve, open_: bool) -> Block:
    x = linear(0.0, max(curve.x), charts.LEFT, charts.WIDTH - charts.RIGHT)
    y = linear(0.0, max(curve.y) * 1.15 or 1e-3, charts.HEIGHT - charts.BOTTOM, charts.TOP)
    points = [(x.at(a), y.at(b)) for a, b in zip(curve.x, curve.y, strict=True)]
    label = "FNMR against the share of comparisons discarded; the table holds the numbers"
    drawing = picture(
        charts.WIDTH, charts.HEIGHT, label, charts.axes(x, y, "share discarded", "false non-match rate (FNMR)"),
        el("path", d=path(points), class_="line s0"),
    )  # fmt: skip
    rows = []
    for e in reading.result.estimates:
        if e.condition == curve.condition and e.metric in ("edc_fnmr", "edc_area"):
            words = (
                f"mean up to {fmt.percent(e.discarded or 0)}"
                if e.metric == "edc_area"
                else fmt.percent(e.discarded or 0)
            )
            rows.append([Cell(words), tables.value(e, fmt.number), Cell(fmt.count(e.n_genuine)), tables.notes(e)])
    heads = ["Discarded", "#FNMR of the rest", "#Comparisons before", "~Notes"]
    found = tables.table(f"FNMR as comparisons of low {fmt.clip(curve.name, 40)} are discarded", heads, rows)
    chart = Chart(drawing, f"Error-versus-discard curve by {fmt.clip(curve.name, 40)}")
    return Block(f"By {fmt.clip(curve.name, 60)}", open_, (chart,), (found,))
