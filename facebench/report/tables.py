"""The tables of the report as plain data: cells hold what is shown and what is sorted by."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from facebench.report import format as fmt
from facebench.report.reading import Reading, comparisons, short_label, upper_bound
from facebench.report.wording import flag_words, measure, rule_words
from facebench.schema import Curve, Estimate, Flag, Result

MAX_ROWS = 200
Write = Callable[[float | None], str]


@dataclass(frozen=True)
class Cell:
    """One cell: its text, an optional smaller second line, the value it is sorted by, and an optional small chart."""

    text: str
    note: str = ""
    sort: float | None = None
    chart: Markup | None = None
    mono: bool = False


@dataclass(frozen=True)
class Column:
    """One column; `numeric` ones are set flush right and sorted by value."""

    title: str
    numeric: bool = False


@dataclass(frozen=True)
class Table:
    """One table; the first cell of each row is its header."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""


def table(caption: str, columns: Sequence[str], rows: Iterable[Sequence[Cell]], note: str = "") -> Table:
    """Build a table; a column title that starts with `#` is numeric. Rows beyond the limit are counted in the note."""
    found = [tuple(row) for row in rows]
    if len(found) > MAX_ROWS:
        rest = f"{fmt.count(len(found) - MAX_ROWS)} more rows are in result.json."
        note, found = f"{note} {rest}".strip(), found[:MAX_ROWS]
    heads = tuple(Column(title.removeprefix("#"), title.startswith("#")) for title in columns)
    return Table(caption, heads, tuple(found), note)


def text(value: str | None, note: str = "") -> Cell:
    """Return a cell of words."""
    return Cell(fmt.clip(value) if value else fmt.MISSING, fmt.clip(note))


def value(estimate: Estimate | None, write: Write, *, chart: Markup | None = None) -> Cell:
    """Return a cell of a number with its interval below; without any error, of its upper bound."""
    if estimate is None or estimate.value is None:
        return Cell(fmt.MISSING, chart=chart)
    if is_bound(estimate):
        bound = upper_bound(estimate)
        return Cell(f"≤ {write(bound)}", "no error seen", 0.0, chart)
    limits = fmt.interval(estimate.ci_low, estimate.ci_high, write)
    return Cell(write(estimate.value), "" if limits == fmt.MISSING else limits, estimate.value, chart)


def is_bound(estimate: Estimate) -> bool:
    """Tell whether only an upper bound of this rate is known."""
    return (
        estimate.metric in ("fmr", "fnmr")
        and Flag.ZERO_ERRORS in estimate.flags
        and estimate.value == 0
        and upper_bound(estimate) is not None
    )


def counted(estimate: Estimate | None) -> Cell:
    """Return a cell of k of n, sorted by k."""
    if estimate is None:
        return Cell(fmt.MISSING)
    return Cell(fmt.k_of_n(estimate.errors, comparisons(estimate)), sort=estimate.errors)


def plain(number: float | None, write: Write = fmt.count) -> Cell:
    """Return a cell of a bare number."""
    return Cell(write(number), sort=number)


def notes(*estimates: Estimate | None) -> Cell:
    """Return a cell that says what to know before trusting the row."""
    flags = tuple(dict.fromkeys(flag for e in estimates if e for flag in e.flags))
    return Cell(flag_words(flags) or "")


def operating_points(reading: Reading) -> Table:
    """Tabulate TAR, FNMR and FMR over all comparisons at every target, with and without failed images."""
    excluded = any(e.failures == "excluded" and e.group == "all" for e in reading.clean())
    columns = ["#FMR target", "#TAR", "#FNMR", "Genuine missed", "#Achieved FMR", "False matches", "#Threshold", "Notes"]
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


def _operating_point(reading: Reading, target: float, failures: str) -> list[Cell]:
    tar = reading.find("tar", target=target, failures=failures)
    far = reading.find("fmr", target=target, failures=failures)
    missed = reading.missed(target, "all", failures=failures)
    if not (tar or far or missed):
        return []
    threshold = next((e.threshold for e in (tar, far, missed) if e and e.threshold is not None), None)
    head = Cell(fmt.target(target), "leads this report" if target == reading.primary else "", target)
    return [
        head,
        value(tar, fmt.share),
        value(missed, fmt.number),
        counted(missed),
        value(far, fmt.fmr),
        counted(far),
        plain(threshold, fmt.number),
        notes(tar, far),
    ]


def single_figures(reading: Reading) -> Table:
    """Tabulate the figures that need no operating point, each with what it says."""
    found = [
        e
        for e in reading.clean()
        if e.group == "all" and e.group_b is None and e.fmr_target is None and e.rule == "strict"
    ]
    rows = []
    for e in found:
        words = measure(e.metric)
        label = words.label.replace("-k", f"-{e.k}") if e.k is not None else words.label
        suffix = "failed images left out" if e.failures == "excluded" else ""
        rows.append([Cell(fmt.clip(label, 60), suffix), value(e, words.write), Cell(words.reading), notes(e)])
    return table("Figures that need no operating point", ["Figure", "#Value", "What it says", "Notes"], rows)


def compatibility(reading: Reading) -> Table:
    """Tabulate the TAR under the threshold rules of other tools beside the strict one."""
    rules = list(dict.fromkeys(e.rule for e in reading.clean() if e.rule != "strict"))
    targets = [t for t in reading.targets if any(reading.find("tar", target=t, rule=r) for r in rules)]
    rows = []
    for rule in ["strict", *rules] if rules else []:
        found = [value(reading.find("tar", target=t, rule=rule), fmt.share) for t in targets]
        rows.append([text(rule), *found, Cell(rule_words(rule))])
    columns = ["Rule", *(f"#TAR at {fmt.target(t)}" for t in targets), "How the threshold is set"]
    return table("The same scores under the threshold rules of other tools", columns, rows)


def groups(reading: Reading, grouping: str, sparks: dict[tuple[str, str], Markup]) -> Table:
    """Tabulate the rates of the groups at the primary operating point; `sparks` are small charts by rate and group."""
    rows = []
    for group in reading.groupings[grouping]:
        far = reading.find("fmr", target=reading.primary, group=group)
        missed = reading.missed(reading.primary, group)
        people = next((e.n_identities for e in (far, missed) if e and e.n_identities is not None), None)
        row = [
            text(short_label(group)),
            plain(people),
            value(far, fmt.fmr, chart=sparks.get(("fmr", group))),
            counted(far),
            value(missed, fmt.number, chart=sparks.get(("fnmr", group))),
            counted(missed),
            notes(far, missed),
        ]
        rows.append(row)
    columns = ["Group", "#Identities", "#FMR", "#False matches", "#FNMR", "#Genuine missed", "Notes"]
    caption = f"Error rates by {grouping.replace('&', ' and ')} at FMR target {fmt.target(reading.primary)}"
    return table(fmt.clip(caption), columns, rows)


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


def cross_groups(reading: Reading, grouping: str, limit: int = MAX_ROWS) -> Table:
    """Tabulate every cell of the matrix between groups, highest rate first."""
    names = reading.groupings[grouping]
    cells = [
        (a, b, found)
        for i, a in enumerate(names)
        for b in names[: i + 1]
        if (found := reading.cell(reading.primary, a, b))
    ]
    cells.sort(key=lambda item: -(item[2].value or 0.0))
    rows = [
        [text(short_label(a)), text(short_label(b)), value(e, fmt.fmr), counted(e), notes(e)]
        for a, b, e in cells[:limit]
    ]
    return table(
        "False match rate between groups", ["Group", "Compared with", "#FMR", "#False matches", "Notes"], rows
    )


def differentials(reading: Reading, grouping: str) -> Table:
    """Tabulate the measures that compare all groups, each with its expectation were all groups alike."""
    rows = []
    for e in reading.differentials(grouping):
        words = measure(e.metric)
        write = words.write
        limits = fmt.interval(e.ci_low, e.ci_high, write)
        shown = write(e.value) if e.value is not None else "undefined"
        rows.append(
            [
                Cell(fmt.clip(words.label, 60)),
                Cell(shown, "" if limits == fmt.MISSING else limits, e.value),
                plain(e.expected_if_fair, write),
                plain(e.excess, write),
                plain(e.p_value, fmt.p_value),
                Cell(words.reading),
                notes(e),
            ]
        )
    columns = ["Measure", "#Value", "#Expected were all groups alike", "#Excess", "#p", "How to read it", "Notes"]
    caption = f"Differential measures by {grouping.replace('&', ' and ')}"
    note = "Each p-value is for its own measure; none is corrected for the number of measures shown."
    return table(fmt.clip(caption), columns, rows, note if any(e[4].sort is not None for e in rows) else "")


def remaining(reading: Reading) -> Table:
    """Tabulate the estimates no other table shows, such as those under other conditions: nothing is dropped."""
    rows = []
    for e in reading.result.estimates:
        if e.condition == "clean" and (e.metric in ("tar", "fmr", "fnmr") or e.group == "all" or "=" not in e.group):
            continue
        words = measure(e.metric)
        label = f"{words.label} at {fmt.target(e.fmr_target)}" if e.fmr_target else words.label
        who = f"{e.group} with {e.group_b}" if e.group_b else e.group
        rows.append([text(label), text(e.condition), text(who), value(e, words.write), counted(e), notes(e)])
    return table("Further estimates", ["Measure", "Condition", "Group", "#Value", "#Counts", "Notes"], rows)


def failures(result: Result) -> Table:
    """Tabulate the images that could not be used."""
    rows = [[text(f.image_id), text(f.stage), text(f.reason)] for f in result.failures]
    return table("Images that could not be used", ["Image", "Stage", "Reason"], rows)


def unmeasured(result: Result) -> Table:
    """Tabulate what the protocol asks for and this data cannot answer."""
    rows = [[text(u.what), Cell(fmt.clip(u.why, 400))] for u in result.unmeasured]
    return table("What was asked for and could not be measured", ["What", "Why"], rows)


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
