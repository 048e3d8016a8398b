"""The parts of the page on answers: figures, classes, confusion, calibration, error by value, groups."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from facebench.metrics.catalogue import Direction, Kind, Topic, metric
from facebench.report import charts, tables
from facebench.report import format as fmt
from facebench.report.parts import Block, Chart, Section
from facebench.report.reading import Reading, grouping_label, short_label
from facebench.report.svg import el, linear, path, picture
from facebench.report.tables import Cell, Table
from facebench.report.wording import measure
from facebench.schema import Curve, Estimate
from facebench.schema.task import Shape, TaskDetails

EACH = {
    Shape.CLASSIFY: "Class",
    Shape.DISTRIBUTION: "Class",
    Shape.MULTILABEL: "Label",
    Shape.REGRESS: "Value",
    Shape.SCORE: "Species",
}
TITLES = {
    Shape.CLASSIFY: "Classes",
    Shape.DISTRIBUTION: "Classes",
    Shape.MULTILABEL: "Labels",
    Shape.REGRESS: "Values",
    Shape.SCORE: "Species",
}
MAX_NULLS = 2


def leading(reading: Reading) -> list[Section]:
    """Return the parts of a result of a task, in their order."""
    details = reading.result.task
    assert details is not None
    return [
        _figures(reading, details),
        *_parts_of(reading, details),
        *_confusion(details),
        *_reliability(reading.result.curves),
        *_groups(reading, details),
    ]


def headline_estimate(reading: Reading, group: str = "all") -> Estimate | None:
    """Return the figure the task leads with."""
    details = reading.result.task
    assert details is not None
    return _find(reading, details.primary, group)


def _find(reading: Reading, name: str, group: str, of: str | None = None) -> Estimate | None:
    return next(
        (e for e in reading.clean() if (e.metric, e.group, e.of) == (name, group, of) and e.group_b is None), None
    )


def _figures(reading: Reading, details: TaskDetails) -> Section:
    rows = [e for e in reading.clean() if e.group == "all" and e.of is None]
    lead = (
        f"{fmt.count(details.n_judged)} images were judged; {fmt.plural(details.n_units, 'unit')} "
        f"({_unit(details)}) are what the intervals take as independent. Beside a figure stands what an answer that "
        "ignores the picture would score."
    )
    if details.n_answered < details.n_judged:
        lead += f" {fmt.count(details.n_judged - details.n_answered)} of them were left without an answer."
    if details.threshold is not None:
        lead += f" Threshold: {fmt.number(details.threshold)}, {details.threshold_source}; intervals take it as given."
    left = "; ".join(f"{fmt.count(n)}: {why}" for why, n in details.left_out.items())
    if left:
        lead += f" Left out ({left})."
    return Section("answers", "Answers", lead, (Block(tables=(_table("All images", rows),)),), "Nothing was judged.")


def _unit(details: TaskDetails) -> str:
    return (
        "each image by itself, since the data does not say which belong together"
        if details.unit == "image"
        else (details.unit)
    )


def _table(caption: str, rows: Iterable[Estimate]) -> Table:
    return tables.table(
        caption,
        ["Measure", "#Value", "#Ignoring the picture", "#Counts", "~Notes"],
        [
            [
                Cell(_name(e)), tables.value(e, measure(e.metric).write), _nulls(e), _counted(e), tables.notes(e),
            ]
            for e in rows
        ],
    )  # fmt: skip


def _counted(e: Estimate) -> Cell:
    """Return how many images the share is of; `errors` are the wrong ones, and a share of right ones shows those."""
    if e.errors is None or e.n_images is None:
        return Cell(fmt.MISSING)
    k = e.errors if metric(e.metric).direction is Direction.LOWER else e.n_images - e.errors
    worth = () if e.n_eff is None else (f"effective n {fmt.count(e.n_eff)}",)
    return Cell(fmt.k_of_n(k, e.n_images), worth, k)


def _name(e: Estimate) -> str:
    words = measure(e.metric).label
    return words if e.at is None else f"{words}, {'within' if e.metric == 'within' else 'at'} {fmt.number(e.at)}"


def _nulls(e: Estimate) -> Cell:
    if not e.nulls:
        return Cell(fmt.MISSING)
    write = measure(e.metric).write
    lines = tuple(name for name in list(e.nulls)[:MAX_NULLS])
    return Cell(write(next(iter(e.nulls.values()))), lines)


def _parts_of(reading: Reading, details: TaskDetails) -> list[Section]:
    rows = [
        e for e in reading.clean()
        if e.group == "all" and e.of is not None and metric(e.metric).topic is Topic.ANSWERS
    ]  # fmt: skip
    if not rows:
        return []
    metrics = list(dict.fromkeys(e.metric for e in rows))
    by_value = [name for name in metrics if name.endswith("_by_value")]
    blocks = []
    for chosen, head in (([m for m in metrics if m not in by_value], EACH[details.shape]), (by_value, "True value")):
        if chosen:
            found = {(e.metric, e.of, e.at): e for e in rows}
            names = list(dict.fromkeys(e.of for e in rows if e.metric in chosen))
            heads = [(m, at) for m in chosen for at in dict.fromkeys(e.at for e in rows if e.metric == m)]
            titles = [f"#{measure(m).short}" + ("" if at is None else f" ({fmt.number(at)})") for m, at in heads]
            body = [
                [
                    tables.text(name),
                    *(tables.value(found.get((m, name, at)), measure(m).write) for m, at in heads),
                    tables.plain(_shown(found, heads, name)),
                ]
                for name in names
            ]
            caption = f"Each {head.lower()}"
            drawn = _dots(found, names, chosen[0], head)
            blocks.append(Block(charts=drawn, tables=(tables.table(caption, [head, *titles, "#Images"], body),)))
    return [
        Section(
            "each", TITLES[details.shape], f"The figures of each {EACH[details.shape].lower()}, with intervals.",
            tuple(blocks),
        )
    ]  # fmt: skip


def _shown(
    found: dict[tuple[str, str | None, float | None], Estimate], heads: Sequence[tuple[str, float | None]],
    name: str | None,
) -> int | None:  # fmt: skip
    """Return how many images show the class or lie in the bin: what the first figure was counted over."""
    return next((e.n_images for m, at in heads if (e := found.get((m, name, at))) is not None), None)


def _dots(
    found: dict[tuple[str, str | None, float | None], Estimate], names: Sequence[str | None], name: str, head: str
) -> tuple[Chart, ...]:
    rows = [(str(of), found.get((name, of, None))) for of in names]
    known = [v for _, e in rows if e and e.value is not None for v in (e.value, e.ci_low, e.ci_high) if v is not None]
    if len(known) < 2:
        return ()
    dots = [charts.dot(label, e) for label, e in rows]
    low, high = metric(name).bounds
    start = charts.label_room([d.label for d in dots])
    bottom = low if abs(low) <= 1 else min(known)
    scale = linear(bottom, high if high <= 1 else max(known) * 1.05, start, charts.WIDTH - charts.RIGHT)
    label = measure(name).label
    drawing = charts.dot_plot(dots, scale, label.lower(), f"{label} of each {head.lower()}", reference=None)
    return (Chart(drawing, f"{label} of each {head.lower()}, with intervals"),)


def _confusion(details: TaskDetails) -> list[Section]:
    if "all" not in details.confusion:
        return []
    lead = (
        "Rows are what the images show, columns what was answered: images, and their share of the row. The last column "
        "counts images without an answer, or with one that is no class of the protocol."
    )
    names = list(details.confusion)
    blocks = [Block(tables=(_confusion_table("All images", details.names, details.confusion["all"]),))]
    folded = tuple(
        _confusion_table(short_label(name), details.names, details.confusion[name]) for name in names if name != "all"
    )
    if folded:
        blocks.append(Block("By group", False, tables=folded))
    return [Section("confusion", "What is taken for what", lead, tuple(blocks))]


def _confusion_table(caption: str, names: Sequence[str], counts: Sequence[Sequence[int]]) -> Table:
    rows = []
    for name, row in zip(names, counts, strict=True):
        total = sum(row)
        cells = [Cell(fmt.count(n), (fmt.percent(round(n / total, 2)),) if n and total else (), n) for n in row]
        rows.append([tables.text(name), *cells])
    return tables.table(caption, ["Shown", *(f"#{name}" for name in names), "#none of these"], rows)


def _reliability(curves: Sequence[Curve]) -> list[Section]:
    curve = next((c for c in curves if c.kind == "reliability" and c.x), None)
    if curve is None:
        return []
    x = linear(0.0, 1.0, charts.LEFT, charts.WIDTH - charts.RIGHT)
    y = linear(0.0, 1.0, charts.HEIGHT - charts.BOTTOM, charts.TOP)
    points = [(x.at(a), y.at(b)) for a, b in zip(curve.x, curve.y, strict=True)]
    drawing = picture(
        charts.WIDTH, charts.HEIGHT, "Accuracy against confidence; the table holds the numbers",
        charts.axes(x, y, "confidence", "accuracy"),
        el("path", d=path([(x.at(0), y.at(0)), (x.at(1), y.at(1))]), class_="reference"),
        el("path", d=path(points), class_="line s0"),
    )  # fmt: skip
    body = [[tables.plain(a, fmt.number), tables.plain(b, fmt.number)] for a, b in zip(curve.x, curve.y, strict=True)]
    found = tables.table("Accuracy by confidence", ["#Confidence", "#Accuracy"], body)
    lead = (
        "A model that is sure of 80 % should be right in 80 of 100 such answers: points on the dashed line. Below it, "
        "the model is surer than it should be."
    )
    chart = Chart(drawing, "Reliability: accuracy of answers by their confidence", found)
    return [Section("reliability", "Confidence", lead, (Block(charts=(chart,)),))]


def _groups(reading: Reading, details: TaskDetails) -> list[Section]:
    groupings = _groupings(reading)
    if not groupings:
        return []
    gaps = [e for e in reading.clean() if metric(e.metric).kind is Kind.GAP]
    led = [e.metric.removesuffix("_gap") for e in gaps if e.of is None]
    metrics = list(dict.fromkeys([details.primary, *led]))
    blocks = []
    for number, (grouping, names) in enumerate(groupings.items()):
        rows = [
            [
                tables.text(short_label(name)),
                *(tables.value(_find(reading, m, name), measure(m).write) for m in metrics),
                tables.plain(_images(reading, metrics, name)),
                tables.notes(*(_find(reading, m, name) for m in metrics)),
            ]
            for name in names
        ]
        heads = ["Group", *(f"#{measure(m).short}" for m in metrics), "#Images", "~Notes"]
        each = tables.table(f"By {fmt.clip(grouping_label(grouping), 80)}", heads, rows)
        own = [e for e in gaps if e.group == grouping]
        between = _gap_table("How far these groups lie apart", [e for e in own if e.of is None])
        of_each = _gap_table(f"The same of each {EACH[details.shape].lower()}", [e for e in own if e.of is not None])
        found = tuple(t for t in (each, between, of_each) if t.rows)
        blocks.append(Block(f"By {fmt.clip(grouping_label(grouping), 80)}", number == 0, tables=found))
    lead = (
        "The same figures for each group. Groups that show the classes in another mix differ in accuracy for that "
        "alone; accuracy at one common mix takes it out. Small groups push gaps up: read the excess."
    )
    return [Section("groups", "Groups", lead, tuple(blocks))]


def _gap_table(caption: str, gaps: Sequence[Estimate]) -> Table:
    return tables.table(
        caption,
        ["Measure", "#Gap", "#Expected if all alike", "#Excess", "#p", "~Notes"],
        [
            [
                Cell(measure(e.metric).label if e.of is None else f"{measure(e.metric).label}: {fmt.clip(e.of, 40)}"),
                tables.value(e, measure(e.metric).write), tables.plain(e.expected_if_fair, fmt.number),
                tables.plain(e.excess, fmt.number), tables.plain(e.p_value, fmt.p_value), tables.notes(e),
            ]
            for e in gaps
        ],
    )  # fmt: skip


def _images(reading: Reading, metrics: Sequence[str], name: str) -> int | None:
    return next((e.n_images for m in metrics if (e := _find(reading, m, name)) is not None), None)


def _groupings(reading: Reading) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for e in reading.clean():
        if "=" in e.group and e.of is None:
            grouping = "&".join(part.partition("=")[0] for part in e.group.split("&"))
            names = found.setdefault(grouping, [])
            if e.group not in names:
                names.append(e.group)
    return found
