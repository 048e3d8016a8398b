"""The parts of the page on recognition and groups: heading, one line of explanation, charts and tables."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from facebench.report import charts, differential_tables, tables
from facebench.report import format as fmt
from facebench.report.heatmap import heatmap
from facebench.report.parts import Block, Chart, Section
from facebench.report.reading import Reading, grouping_label, is_bound, short_label, upper_bound
from facebench.report.statement import Statement
from facebench.report.svg import Scale, linear, logarithmic
from facebench.report.tables import Table
from facebench.report.wording import policy_words
from facebench.schema import Estimate, Result

MAX_OPEN_ROWS = 20
MAX_MATRIX = 16  # wider matrices cannot be read; their highest cells are in the table


def leading(reading: Reading, statements: Sequence[Statement]) -> list[Section]:
    """Return the parts on recognition and groups; groupings the verdict speaks of are open."""
    opened = {s.grouping for s in statements if s.grouping} or set(list(reading.groupings)[:1])
    return [
        _summary(reading),
        _curves(reading),
        _groups(reading, opened),
        _matrices(reading, opened),
        _differentials(reading, opened),
        *_control(reading),
    ]


def closing(reading: Reading, own_conditions: tuple[str, ...]) -> list[Section]:
    """Return the parts on what no other part shows; `own_conditions` start conditions that have parts of their own."""
    return [*_remaining(reading, own_conditions), _unmeasured(reading.result), _failures(reading.result)]


def _filled(*found: Table) -> tuple[Table, ...]:
    return tuple(t for t in found if t.rows)


def _summary(reading: Reading) -> Section:
    found = _filled(tables.operating_points(reading), tables.single_figures(reading), tables.compatibility(reading))
    lead = (
        "An operating point fixes how many impostor comparisons may be accepted (the FMR target). TAR is the share of "
        "genuine comparisons accepted there, FNMR the share missed. The range under a figure is its interval; "
        "effective n is the number of independent comparisons the counts are worth."
    )
    return Section("summary", "Recognition", lead, (Block(tables=found),), "No estimate over all comparisons.")


def _curves(reading: Reading) -> Section:
    det, bars = _det(reading), _histogram(reading)
    lead = (
        "The DET curve shows what each false match rate costs in missed genuine comparisons: lower is better. "
        if det
        else "No DET curve can be drawn: the result holds none, for want of genuine comparisons or by choice. "
    )
    if bars:
        lead += "The histograms show how far the scores lie apart; what lies right of a threshold is accepted."
    blocks = (Block(charts=(*det, *bars)),) if det or bars else ()
    return Section("curves", "Curves and scores", lead, blocks, "The result holds no curves.")


def _det(reading: Reading) -> list[Chart]:
    curves = [c for c in reading.result.curves if c.kind == "det" and c.condition == "clean" and c.x]
    curves.sort(key=lambda c: c.group != "all")
    if not curves:
        return []
    names = [short_label(c.group) if c.group != "all" else c.name for c in curves]
    marks = []
    for target in reading.targets:
        far, missed = reading.find("fmr", target=target), reading.missed(target, "all")
        if far and missed and far.value and missed.value:
            marks.append(charts.Mark(far.value, missed.value, fmt.target(target), target == reading.primary))
    left_out = len(curves) - charts.MAX_SERIES
    more = f" {fmt.plural(left_out, 'curve')} more in the table." if left_out > 0 else ""
    caption = f"DET curve on normal-deviate axes; diamonds are the operating points, named as in the table above.{more}"
    return [Chart(charts.det_chart(curves, marks, names), caption, tables.det_points(curves, names))]


def _histogram(reading: Reading) -> list[Chart]:
    curves = [
        c
        for c in reading.result.curves
        if c.kind == "histogram" and c.condition == "clean" and c.group == "all" and len(c.x) == len(c.y) + 1 and c.y
    ]
    if not curves:
        return []
    marks = []
    for target in reading.targets:
        found = reading.find("fmr", target=target) or reading.find("tar", target=target)
        if found and found.threshold is not None:
            label = f"threshold {fmt.number(found.threshold)}"
            marks.append(charts.Mark(found.threshold, 0.0, label, target == reading.primary))
    caption = (
        f"Score histograms; the solid line is the threshold that leads ({fmt.point(reading.primary)}), "
        "dotted lines those of the other operating points."
    )
    return [Chart(charts.histogram_chart(curves, marks), caption, tables.histogram_bars(curves))]


def _groups(reading: Reading, opened: set[str]) -> Section:
    lead = (
        "Each group's own error rates. The FMR of a group counts impostor comparisons with both people in it; "
        "bars are intervals. "
        f"{policy_words(reading.result.protocol.threshold_policy)}"
    )
    blocks = tuple(_group_block(reading, name, name in opened) for name in reading.groupings)
    return Section("groups", "Error rates by group", lead, blocks, "This result compares no demographic groups.")


def _group_block(reading: Reading, grouping: str, open_: bool) -> Block:
    names = reading.groupings[grouping]
    found: list[Chart] = []
    sparks: dict[tuple[str, str], Markup] = {}
    for rate, title in (("fmr", "false match rate (FMR)"), ("fnmr", "false non-match rate (FNMR)")):
        rows = [(name, reading.rate(rate, name)) for name in names]
        known = [e for _, e in rows if e and e.value is not None]
        if not known:
            continue
        dots = [charts.dot(short_label(name), e) for name, e in rows]
        pooled = reading.rate(rate, "all")
        room = charts.label_room([dot.label for dot in dots])
        scale = _dot_scale(known, pooled, rate, room, charts.WIDTH - charts.RIGHT)
        small = _dot_scale(known, pooled, rate, 3, 107)
        sparks |= {(rate, name): charts.spark(dot, small) for name, dot in zip(names, dots, strict=True)}
        label = f"{title} by {grouping_label(grouping)}; the table below holds the numbers"
        reference = _reference(reading, rate, pooled)
        drawing = charts.dot_plot(dots, scale, title, label, reference=reference)
        found.append(Chart(drawing, f"{title[0].upper()}{title[1:]} of each group, with intervals"))
    main = tables.groups(reading, grouping, sparks)
    folded = _filled(tables.other_targets(reading, grouping))
    return Block(_title(grouping, len(names)), open_, tuple(found), (main,), folded)


def _reference(reading: Reading, rate: str, pooled: Estimate | None) -> charts.Mark | None:
    """Return the line the groups are held against; the pooled FMR mixes in cross-group pairs, so it is not one."""
    if rate == "fmr":
        expected, words = reading.expected_fmr, "all pairs" if isinstance(reading.primary, str) else "target"
        return charts.Mark(expected, 0.0, words) if expected else None
    return charts.Mark(pooled.value, 0.0, "all groups") if pooled and pooled.value is not None else None


def _title(grouping: str, n: int) -> str:
    return f"By {fmt.clip(grouping_label(grouping), 80)} ({fmt.plural(n, 'group')})"


def _dot_scale(known: Sequence[Estimate], pooled: Estimate | None, rate: str, start: float, end: float) -> Scale:
    """Return a log scale for FMR, whose differentials are ratios, and a linear one from zero for FNMR."""
    values = [v for e in known for v in (e.value, e.ci_low, e.ci_high) if v]
    values += [bound for e in known if is_bound(e) and (bound := upper_bound(e))]
    if rate == "fmr" and values:
        return logarithmic(min(values) / 1.3, min(1.0, max(values) * 1.3), start, end)
    if pooled and pooled.value:
        values.append(pooled.value)
    return linear(0.0, min(1.0, max(values, default=1.0) * 1.1), start, end)


def _matrices(reading: Reading, opened: set[str]) -> Section:
    lead = (
        "How often people of one group are taken for people of another, or of their own (the diagonal). Each cell "
        "shows the rate and false matches / comparisons. Darker is higher, on a logarithmic scale."
    )
    blocks = []
    for i, (grouping, names) in enumerate(reading.groupings.items()):
        cross = any(reading.cell(reading.primary, a, b) for a in names for b in names if a != b)
        if not cross:
            continue
        data = tables.cross_groups(reading, grouping)
        title = _title(grouping, len(names))
        if len(names) > MAX_MATRIX:
            blocks.append(Block(title, grouping in opened, tables=(data,)))
            continue
        cells = {(r, c): reading.cell(reading.primary, a, names[c]) for r, a in enumerate(names) for c in range(r + 1)}
        drawing = heatmap([short_label(name) for name in names], cells, name=str(i))
        caption = f"False match rate between groups at {fmt.point(reading.primary)}"
        blocks.append(Block(title, grouping in opened, charts=(Chart(drawing, caption, data),)))
    return Section(
        "matrix", "False matches between groups", lead, tuple(blocks), "No cross-group comparison was counted."
    )


def _differentials(reading: Reading, opened: set[str]) -> Section:
    lead = (
        "One number for how far the groups lie apart. Small samples push these numbers up even when all groups are "
        "alike, so read the excess over what would be expected then, and never without the groups' own rates above. "
        "The fields are aligned with ISO/IEC 19795-10."
    )
    blocks = tuple(
        Block(f"By {fmt.clip(grouping_label(name), 80)}", name in opened, tables=(found,))
        for name in reading.differential_groupings()
        if (found := differential_tables.differentials(reading, name)).rows
    )
    return Section("differentials", "Differential measures", lead, blocks, "No differential measure was computed.")


def _control(reading: Reading) -> list[Section]:
    found = _filled(differential_tables.controls(reading))
    lead = (
        "People were given each other's labels at random, and these groups went through the same measurement. They "
        "differ by chance alone, so the excess should be about zero. If it is not, nothing said of the real groups "
        "can be trusted."
    )
    return [Section("control", "Negative control", lead, (Block(tables=found),))] if found else []


def _remaining(reading: Reading, own_conditions: tuple[str, ...]) -> list[Section]:
    found = _filled(tables.remaining(reading, own_conditions))
    lead = "Everything else in the result, such as the same measures on altered images."
    return [Section("further", "Further estimates", lead, (Block(tables=found),))] if found else []


def _unmeasured(result: Result) -> Section:
    found = _filled(tables.unmeasured(result))
    lead = "A question the data cannot answer is listed here; it is never answered with a guess."
    blocks = (Block(tables=found),) if found else ()
    return Section(
        "unmeasured", "What was not measurable", lead, blocks, "Everything the protocol asks for was measured."
    )


def _failures(result: Result) -> Section:
    found = _filled(tables.failures(result))
    lead = "A failed image counts against the model where it should have matched; it is never dropped silently."
    long = len(result.failures) > MAX_OPEN_ROWS
    blocks = (Block(folded=found) if long else Block(tables=found),) if found else ()
    return Section("failures", "Failed images", lead, blocks, "No image failed.")
