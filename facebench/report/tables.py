"""The tables of the report as plain data: cells hold what is shown and what is sorted by."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from facebench.metrics.catalogue import Topic, metric
from facebench.report import format as fmt
from facebench.report.reading import (
    Reading,
    comparisons,
    grouping_label,
    hopeful_bound,
    is_bound,
    short_label,
    upper_bound,
)
from facebench.report.wording import estimate_words, measure, rule_words
from facebench.schema import Curve, Estimate, Point, Result
from facebench.schema.robustness import family_of

MAX_ROWS = 200
CONTROL = "control:random-labels"
Write = Callable[[float | None], str]


@dataclass(frozen=True)
class Cell:
    """One cell: its text, smaller lines below it, the value it is sorted by, an optional small chart, and a link."""

    text: str
    notes: tuple[str, ...] = ()
    sort: float | None = None
    chart: Markup | None = None
    href: str | None = None

    @property
    def tells(self) -> bool:
        """Whether the cell says anything."""
        return self.text not in ("", fmt.MISSING) or bool(self.notes) or self.chart is not None


@dataclass(frozen=True)
class Column:
    """One column; `numeric` ones are set flush right and sorted by value, `long` ones hold sentences.

    `fixed` ones cannot be sorted by: their values do not rank.
    """

    title: str
    numeric: bool = False
    long: bool = False
    fixed: bool = False


@dataclass(frozen=True)
class Table:
    """One table; the first cell of each row is its header. A `filterable` one can be narrowed to rows with a word."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""
    filterable: bool = False


def table(
    caption: str, columns: Sequence[str], rows: Iterable[Sequence[Cell]], note: str = "", *, limit: int = MAX_ROWS
) -> Table:
    """Build a table; `#` before a column title makes it numeric, `~` long, `!` after that not sortable.

    Columns in which no row says anything are left out; rows beyond the limit are counted in the note.
    """
    found = [tuple(row) for row in rows]
    if len(found) > limit:
        rest = f"{fmt.count(len(found) - limit)} more rows are in result.json."
        note, found = f"{note} {rest}".strip(), found[:limit]
    telling = [i for i in range(len(columns)) if i == 0 or any(row[i].tells for row in found)]
    titles = [columns[i] for i in telling]
    heads = tuple(
        Column(title.lstrip("#~!"), title.startswith("#"), title.startswith("~"), title[1:2] == "!") for title in titles
    )
    return Table(caption, heads, tuple(tuple(row[i] for i in telling) for row in found), note)


def text(words: str | None, note: str = "") -> Cell:
    """Return a cell of words."""
    return Cell(fmt.clip(words) if words else fmt.MISSING, (fmt.clip(note),) if note else ())


def value(
    estimate: Estimate | None, write: Write, *, chart: Markup | None = None, without: Estimate | None = None
) -> Cell:
    """Return a cell of a number over its interval; without any error, of its upper bound.

    `without` is the same rate with failed images left out; it becomes a further line.
    """
    extra = () if without is None else (f"{write(without.value)} without failed images",)
    if estimate is None or estimate.value is None:
        return Cell(fmt.MISSING, extra, chart=chart)
    if is_bound(estimate):
        hopeful = hopeful_bound(estimate)
        note = "no error seen" if hopeful is None else f"no error; ≤ {write(hopeful)} if dependent as all together"
        return Cell(f"≤ {write(upper_bound(estimate))}", (note, *extra), 0.0, chart)
    return Cell(write(estimate.value), (*limits(estimate, write), *extra), estimate.value, chart)


def limits(estimate: Estimate, write: Write) -> tuple[str, ...]:
    """Return the interval as the second line of a cell, if there is one."""
    words = fmt.interval(estimate.ci_low, estimate.ci_high, write)
    return () if words == fmt.MISSING else (words,)


def counted(estimate: Estimate | None) -> Cell:
    """Return a cell of k of n over the number of independent comparisons it is worth, sorted by k."""
    if estimate is None:
        return Cell(fmt.MISSING)
    worth = () if estimate.n_eff is None else (f"effective n {fmt.count(estimate.n_eff)}",)
    return Cell(fmt.k_of_n(estimate.errors, comparisons(estimate)), worth, estimate.errors)


def plain(number: float | None, write: Write = fmt.count) -> Cell:
    """Return a cell of a bare number."""
    return Cell(write(number), sort=number)


def notes(*estimates: Estimate | None) -> Cell:
    """Return a cell that says what to know before trusting the row."""
    near = max((e.near_threshold or 0 for e in estimates if e), default=0)
    close = (f"{fmt.plural(near, 'comparison')} within 2e-6 of the threshold",) if near else ()
    return Cell(estimate_words(*estimates), close)


def operating_points(reading: Reading) -> Table:
    """Tabulate TAR, FNMR and FMR over all comparisons at every target, with and without failed images."""
    excluded = any(e.failures == "excluded" and e.group == "all" for e in reading.clean())
    first = "#Operating point" if any(isinstance(t, str) for t in reading.targets) else "#FMR target"
    columns = [
        first, "#TAR", "#FNMR", "#Genuine missed", "#Achieved FMR", "#False matches", "#Threshold", "~Notes",
    ]  # fmt: skip
    if excluded:
        columns.insert(1, "Failed images")
    rows = []
    for target in reading.targets:
        for failures in ("counted", "excluded") if excluded else ("counted",):
            row = _operating_point(reading, target, failures)
            if not row:
                continue
            if excluded:
                row.insert(1, Cell("count as non-matches" if failures == "counted" else "left out"))
            rows.append(row)
    level = fmt.percent(reading.result.protocol.confidence)
    return table(f"All comparisons at every operating point, with {level} intervals", columns, rows)


def _operating_point(reading: Reading, target: Point, failures: str) -> list[Cell]:
    tar = reading.find("tar", target=target, failures=failures)
    far = reading.find("fmr", target=target, failures=failures)
    missed = reading.missed(target, "all", failures=failures)
    if not (tar or far or missed):
        return []
    threshold = next((e.threshold for e in (tar, far, missed) if e and e.threshold is not None), None)
    sort = threshold if isinstance(target, str) else target
    head = Cell(fmt.target(target), ("leads this report",) if target == reading.primary else (), sort)
    return [
        head,
        _accepted(tar, missed),
        value(missed, fmt.number),
        counted(missed),
        value(far, fmt.fmr),
        counted(far),
        plain(threshold, fmt.number),
        notes(tar, far),
    ]


def _accepted(tar: Estimate | None, missed: Estimate | None) -> Cell:
    """Return the cell of a TAR; without any miss, of its lower bound."""
    bound = upper_bound(missed) if missed and is_bound(missed) else None
    if tar is None or bound is None:
        return value(tar, fmt.share)
    return Cell(f"≥ {fmt.share(1 - bound)}", ("no error seen",), tar.value)


def single_figures(reading: Reading) -> Table:
    """Tabulate the figures that have no FMR target, each with what it says."""
    found = [
        e
        for e in reading.clean()
        if (e.group, e.group_b, e.point, e.rule) == ("all", None, None, "strict")
        and metric(e.metric).topic not in (Topic.EFFICIENCY, Topic.SEARCH)
    ]
    rows = []
    for e in found:
        words = measure(e.metric)
        label = words.label.replace("-k", f"-{e.k}") if e.k is not None else words.label
        suffix = "failed images left out" if e.failures == "excluded" else ""
        if e.fpir_target is not None:
            suffix = f"at FPIR target {fmt.target(e.fpir_target)}"
        rows.append([text(label, suffix), value(e, words.write), Cell(words.reading), notes(e)])
    return table("Figures without an FMR target", ["Figure", "#Value", "~What it says", "~Notes"], rows)


def compatibility(reading: Reading) -> Table:
    """Tabulate the TAR under the threshold rules of other tools beside the strict one."""
    rules = list(dict.fromkeys(e.rule for e in reading.clean() if e.rule != "strict"))
    targets = [t for t in reading.targets if any(reading.find("tar", target=t, rule=r) for r in rules)]
    rows = []
    for rule in ["strict", *rules] if rules else []:
        rows.append([text(rule), *(_under_rule(reading, t, rule) for t in targets), Cell(rule_words(rule))])
    columns = ["Rule", *(f"#TAR at {fmt.target(t)}" for t in targets), "~How the threshold is set"]
    return table("The same scores under the threshold rules of other tools", columns, rows)


def _under_rule(reading: Reading, target: Point, rule: str) -> Cell:
    tar, far = (reading.find(metric, target=target, rule=rule) for metric in ("tar", "fmr"))
    if tar is None or tar.value is None:
        return Cell(fmt.MISSING)
    achieved = (f"achieved FMR {fmt.fmr(far.value)}",) if far and far.value is not None else ()
    return Cell(fmt.share(tar.value), achieved, tar.value)


def groups(reading: Reading, grouping: str, sparks: dict[tuple[str, str], Markup]) -> Table:
    """Tabulate the rates of the groups at the primary operating point; `sparks` are small charts by rate and group."""
    rows = [_group_row(reading, group, sparks) for group in reading.groupings[grouping]]
    columns = ["Group", "#Identities", "#FMR", "#False matches", "#FNMR", "#Genuine missed", "#Failed images", "~Notes"]
    caption = f"Error rates by {grouping_label(grouping)} at {fmt.point(reading.primary)}"
    return table(fmt.clip(caption), columns, rows)


def _group_row(reading: Reading, group: str, sparks: dict[tuple[str, str], Markup]) -> list[Cell]:
    found = {rate: reading.rate(rate, group) for rate in ("fmr", "fnmr")}
    people = next((e.n_identities for e in found.values() if e and e.n_identities is not None), None)
    row = [text(short_label(group)), plain(people)]
    for rate in found:
        without = reading.rate(rate, group, failures="excluded")
        write = measure(rate).write
        row += [value(found[rate], write, chart=sparks.get((rate, group)), without=without), counted(found[rate])]
    lost = reading.find("fta", group=group)
    acquired = Cell(fmt.MISSING)
    if lost is not None:
        acquired = Cell(fmt.k_of_n(lost.errors, lost.n_images), limits(lost, fmt.number), lost.value)
    return [*row, acquired, notes(*found.values())]


def other_targets(reading: Reading, grouping: str) -> Table:
    """Tabulate the rates of the groups at the remaining operating points."""
    rest = [t for t in reading.targets if t != reading.primary]
    rows = []
    for group in reading.groupings[grouping]:
        row = [text(short_label(group))]
        for target in rest:
            row.append(value(reading.find("fmr", target=target, group=group), fmt.fmr))
            row.append(value(reading.missed(target, group), fmt.number))
        rows.append(row)
    heads = [f"#{rate} at {fmt.target(t)}" for t in rest for rate in ("FMR", "FNMR")]
    return table("The same groups at the other operating points", ["Group", *heads], rows if rest else [])


def cross_groups(reading: Reading, grouping: str) -> Table:
    """Tabulate every cell of the matrix between groups, highest rate first."""
    names = reading.groupings[grouping]
    cells = [
        (a, b, found)
        for i, a in enumerate(names)
        for b in names[: i + 1]
        if (found := reading.cell(reading.primary, a, b))
    ]
    cells.sort(key=lambda item: -(item[2].value or 0.0))
    rows = [[text(short_label(a)), text(short_label(b)), value(e, fmt.fmr), counted(e), notes(e)] for a, b, e in cells]
    return table(
        "False match rate between groups", ["Group", "Compared with", "#FMR", "#False matches", "~Notes"], rows
    )


def remaining(reading: Reading, own_conditions: tuple[str, ...]) -> Table:
    """Tabulate what no other table covers: other conditions than those of parts of their own, further metrics."""
    details = reading.result.robustness
    altered = {*details.conditions, *map(family_of, details.conditions)} if details else set()
    rows = []
    for e in reading.result.estimates:
        listed = e.metric in ("tar", "fmr", "fnmr", "fta") or e.group == "all" or "=" not in e.group
        if e.condition == CONTROL or (e.condition == "clean" and listed):
            continue
        if e.condition.startswith(own_conditions) or e.condition in altered:
            continue  # these have sections of their own
        if reading.result.ood is not None and metric(e.metric).topic is Topic.SEARCH:
            continue  # these have sections of their own
        words = measure(e.metric)
        label = f"{words.label} at {fmt.target(e.point)}" if e.point else words.label
        who = f"{e.group} with {e.group_b}" if e.group_b else e.group
        rows.append([text(label), text(e.condition), text(who), value(e, words.write), counted(e), notes(e)])
    return table("Further estimates", ["Measure", "Condition", "Group", "#Value", "#Counts", "~Notes"], rows)


def failures(result: Result) -> Table:
    """Tabulate the images that could not be used."""
    rows = [[text(f.image_id), text(f.stage), text(f.reason)] for f in result.failures]
    caption = f"{fmt.plural(len(rows), 'image')} that could not be used"
    return table(caption, ["Image", "Stage", "~Reason"], rows)


def unmeasured(result: Result) -> Table:
    """Tabulate what the protocol asks for and this data cannot answer."""
    rows = [[text(u.what), Cell(fmt.clip(u.why, 400))] for u in result.unmeasured]
    return table("What was asked for and could not be measured", ["What", "~Why"], rows)


def det_points(curves: Sequence[Curve], names: Sequence[str], limit: int = 40) -> Table:
    """Tabulate the points of DET curves, thinned evenly."""
    rows = []
    for curve, name in zip(curves, names, strict=True):
        points = list(zip(curve.x, curve.y, strict=True))
        step = max(1, -(-len(points) // limit))
        rows += [[text(name), plain(x, fmt.fmr), plain(y, fmt.number)] for x, y in points[::step]]
    return table("Points of the DET curve", ["Curve", "#FMR", "#FNMR"], rows)


def histogram_bars(curves: Sequence[Curve]) -> Table:
    """Tabulate the bars of the score histograms."""
    rows = []
    for curve in curves:
        for low, high, n in zip(curve.x, curve.x[1:], curve.y, strict=False):
            rows.append([text(curve.name), plain(low, fmt.number), plain(high, fmt.number), plain(n)])
    return table("Score histograms", ["Comparisons", "#From score", "#To score", "#Count"], rows)
