"""The HTML page of a comparison: verdict, differences, ranks, curves, groups, trade-offs, and what moved."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from facebench.comparison import agreement_page as alike
from facebench.comparison import charts as comparison_charts
from facebench.comparison import tables as comparison_tables
from facebench.comparison.charts import Point
from facebench.comparison.differences import Differences, comparison_statements
from facebench.files import write_atomic
from facebench.metrics.catalogue import Kind, metric
from facebench.report import charts, html, tables
from facebench.report import format as fmt
from facebench.report.parts import Block, Chart, Section
from facebench.report.provenance import Fact, Facts
from facebench.report.reading import Reading, grouping_label, grouping_of, short_label
from facebench.report.tables import Table
from facebench.schema import Comparison, Difference, Estimate, Result
from facebench.schema.timed import timed_estimates, why_times_differ

MAX_PLOTTED = 24


def write_comparison(comparison: Comparison, results: Sequence[Result], path: Path) -> Path:
    """Write the page of a comparison as one HTML file and return its path.

    Raises:
        WriteError: the file cannot be written.
    """
    write_atomic(path, render_comparison(comparison, results))
    return Path(path)


def render_comparison(comparison: Comparison, results: Sequence[Result]) -> str:
    """Return the page of a comparison; equal input gives equal bytes.

    Args:
        comparison: the paired differences.
        results: in the order of its models; read for curves and for values with their own intervals.
    """
    others = [model.label for model in comparison.models[1:]]
    return html.render_page(
        "comparison.html",
        title=f"{', '.join(others)} against {comparison.base}",
        protocol=comparison.protocol,
        count=len(results),
        verdict=comparison_statements(comparison),
        sections=_sections(comparison, results),
        provenance=_provenance(comparison, results),
    )


def _sections(comparison: Comparison, results: Sequence[Result]) -> list[Section]:
    if comparison.leading is not None:
        return _of_answers(comparison)
    readings = [Reading(result) for result in results]
    return [
        _overall(comparison), _ranks(comparison), _curves(comparison, readings), _groups(comparison),
        _differentials(comparison), *_conditions(comparison),
        *_costs(comparison), _trade_offs(comparison, readings), *alike.sections(comparison), _moved(comparison),
        _not_compared(comparison),
    ]  # fmt: skip


def _of_answers(comparison: Comparison) -> list[Section]:
    """Return the parts of a comparison of answers: all figures, ranks, groups, gaps."""
    alpha = 1 - comparison.confidence
    lead = (
        "The same images judged under both models. A difference is the model minus the base; what makes an image hard "
        f"for both cancels. “Told apart” is judged after correction for {comparison.family_size:,} differences."
    )
    overall, groups = [], []
    for d in _each(comparison):
        caption = f"{fmt.clip(d.model, 60)} against {fmt.clip(comparison.base, 60)}"
        rows = [row for row in d.rows if row.group == "all"]
        whole = comparison_tables.differences(caption, [row for row in rows if row.of is None], alpha)
        parts = comparison_tables.differences(f"{caption}, part by part", [r for r in rows if r.of is not None], alpha)
        overall.append(Block(tables=_filled(whole), folded=_filled(parts)))
        gaps = [row for row in d.rows if metric(row.metric).kind is Kind.GAP]
        led = [row for row in d.rows if "=" in row.group and row.metric == comparison.leading and row.of is None]
        found = _filled(
            comparison_tables.differences(f"{caption}, by group", led, alpha, by="group"),
            comparison_tables.differentials(gaps, alpha),
        )
        groups += [Block(tables=found)] if found else []
    return [
        Section("differences", "Answers", lead, tuple(overall), "Nothing was compared."),
        _ranks(comparison),
        Section("groups", "Groups", "How the leading figure of each group changed.", tuple(groups),
                "These results compare no groups."),
        _not_compared(comparison),
    ]  # fmt: skip


def _each(comparison: Comparison) -> Iterator[Differences]:
    return (Differences(comparison, model.label) for model in comparison.models[1:])


def _filled(*found: Table) -> tuple[Table, ...]:
    return tuple(t for t in found if t.rows)


def _overall(comparison: Comparison) -> Section:
    lead = (
        "Each model at its own threshold, on the same comparisons. A difference is the model minus the base; what "
        "makes a comparison hard for both cancels, so the interval is narrower than two separate ones suggest. "
        "“Changed sides” counts comparisons that are wrong, or right, under the model alone. “Told "
        f"apart” is judged after correction for {comparison.family_size:,} differences."
    )
    alpha = 1 - comparison.confidence
    blocks = []
    for d in _each(comparison):
        caption = f"{fmt.clip(d.model, 60)} against {fmt.clip(comparison.base, 60)}"
        found = _filled(comparison_tables.differences(caption, d.overall(), alpha))
        blocks.append(Block(tables=found))
    return Section("differences", "Recognition", lead, tuple(blocks), "Nothing was compared.")


def _ranks(comparison: Comparison) -> Section:
    lead = (
        "A rank is an interval: every place the data does not rule out. Models that share a letter cannot be told "
        "apart. Pairs of models are tested on the same comparisons, corrected for the number of pairs (Holm)."
    )
    ranked = [(target, found) for target, found in comparison_tables.ranks(comparison) if found.rows]
    found = tuple(each for _, each in ranked)
    primary = comparison.protocol.primary
    leading = tuple(each for target, each in ranked if target == primary) or found[:1]
    rest = tuple(t for t in found if t not in leading)
    blocks = (Block(tables=leading, folded=rest),) if found else ()
    return Section("ranks", "Ranks", lead, blocks, "No measure could be ranked.")


def _curves(comparison: Comparison, readings: Sequence[Reading]) -> Section:
    curves, names = [], []
    for model, reading in zip(comparison.models, readings, strict=True):
        for curve in reading.result.curves:
            if curve.kind == "det" and curve.condition == "clean" and curve.group == "all" and curve.x:
                curves.append(curve)
                names.append(model.label)
                break
    lead = (
        "What each false match rate costs in missed genuine comparisons: lower is better. Dotted lines are FMR targets."
    )
    if not curves:
        return Section("curves", "DET curves", lead, (), "The results hold no DET curves.")
    drawing = comparison_charts.det_overlay(curves, names, readings[0].fmr_targets)
    caption = "DET curves of all models on normal-deviate axes"
    chart = Chart(drawing, caption, tables.det_points(curves, names))
    return Section("curves", "DET curves", lead, (Block(charts=(chart,)),))


def _groups(comparison: Comparison) -> Section:
    lead = (
        "How the error rates of each group changed at the leading operating point. The FMR of a group counts impostor "
        "comparisons with both people in it; bars are intervals of the difference. To the right of the line the model "
        "errs more often than the base."
    )
    blocks = []
    alpha = 1 - comparison.confidence
    for d in _each(comparison):
        rates = {rate: d.groups(rate) for rate in ("fnmr", "fmr")}
        groupings = dict.fromkeys(grouping_of(row.group) for rows in rates.values() for row in rows)
        for number, grouping in enumerate(groupings):
            drawings, found = [], []
            for rate, rows in rates.items():
                own = [row for row in rows if grouping_of(row.group) == grouping]
                drawings += _group_chart(own, rate, grouping)
                caption = f"{rate.upper()} by {grouping_label(grouping)}, {fmt.clip(d.model, 60)}"
                found += [comparison_tables.differences(caption, own, alpha, by="group")]
            title = f"{fmt.clip(d.model, 60)}: by {fmt.clip(grouping_label(grouping), 60)}"
            blocks.append(Block(title, number == 0, tuple(drawings), _filled(*found)))
        rest = [row for row in d.of_groups() if row.difference is not None]
        if rest:
            caption = f"Other figures of groups, {fmt.clip(d.model, 60)}"
            found = [comparison_tables.differences(caption, rest, alpha, by="group figure")]
            blocks.append(Block(f"{fmt.clip(d.model, 60)}: other figures of groups", False, tables=_filled(*found)))
    return Section("groups", "Groups", lead, tuple(blocks), "These results compare no demographic groups.")


def _group_chart(rows: Sequence[Difference], rate: str, grouping: str) -> list[Chart]:
    if not rows or len(rows) > MAX_PLOTTED or all(row.difference is None for row in rows):
        return []
    dots = [charts.Dot(short_label(r.group), r.difference, r.ci_low, r.ci_high) for r in rows]
    title = f"difference in {rate.upper()}"
    label = f"{title} by {grouping_label(grouping)}; the table below holds the numbers"
    drawing = comparison_charts.difference_plot(dots, title, label)
    return [Chart(drawing, f"Difference in {rate.upper()} of each group, with intervals")]


def _differentials(comparison: Comparison) -> Section:
    lead = (
        "How far apart the groups lie, under the model and under the base. One bootstrap weight matrix serves both, so "
        "that what chance does to the groups it does to both. Read with the groups’ own rates, never instead."
    )
    alpha = 1 - comparison.confidence
    blocks: list[Block] = []
    for d in _each(comparison):
        found = _filled(comparison_tables.differentials(d.differentials(), alpha))
        if found:
            blocks.append(Block(fmt.clip(d.model, 80), not blocks, tables=found))
    return Section("differentials", "Differential measures", lead, tuple(blocks), "No differential was compared.")


def _conditions(comparison: Comparison) -> list[Section]:
    blocks = []
    for d in _each(comparison):
        rows = d.conditions()
        if rows:
            caption = f"{fmt.clip(d.model, 60)} against {fmt.clip(comparison.base, 60)} on altered images"
            found = _filled(comparison_tables.differences(caption, rows, 1 - comparison.confidence, by="condition"))
            blocks.append(Block(fmt.clip(d.model, 80), True, tables=found))
    if not blocks:
        return []
    lead = (
        "The same measures on altered images. Where the altered embeddings are not beside the results, both values are "
        "treated as independent, and the interval is wider than a paired one would be."
    )
    return [Section("conditions", "Altered images", lead, tuple(blocks))]


def _costs(comparison: Comparison) -> list[Section]:
    blocks = []
    for d in _each(comparison):
        rows = d.costs()
        if rows:
            caption = f"{fmt.clip(d.model, 60)} against {fmt.clip(comparison.base, 60)}"
            found = _filled(comparison_tables.differences(caption, rows, 1 - comparison.confidence, by="cost"))
            blocks.append(Block(tables=found))
    if not blocks:
        return []
    lead = "What the models cost. Times are compared only where the fingerprints of the machines and the threads agree."
    return [Section("efficiency", "Efficiency", lead, tuple(blocks))]


def _trade_offs(comparison: Comparison, readings: Sequence[Reading]) -> Section:
    lead = (
        "Two measures at once, lower being better in both. Bars are the intervals of each value by itself; the dashed "
        "line joins the models that no other model beats in both."
    )
    labels = [model.label for model in comparison.models]
    found: list[Chart] = []
    for grouping in readings[0].differential_groupings()[:2]:
        for rate in ("fmr", "fnmr"):
            y = [r.find(f"{rate}_gap", target=r.primary, group=grouping) for r in readings]
            found += _trade_off(labels, readings, y, f"{rate.upper()} gap by {grouping_label(grouping)}")
    found += _trade_off(labels, readings, _latencies(readings), "latency of one face, ms")
    robust = [_mean_altered(r) for r in readings]
    found += _trade_off(labels, readings, robust, "mean FNMR on altered images")
    blocks = (Block(charts=tuple(found)),) if found else ()
    return Section("trade-offs", "Trade-offs", lead, blocks, "No second measure was computed for at least two models.")


def _trade_off(
    labels: Sequence[str], readings: Sequence[Reading], y: Sequence[Estimate | None], title: str
) -> list[Chart]:
    points = []
    for label, reading, second in zip(labels, readings, y, strict=True):
        first = reading.missed(reading.primary, "all")
        if first is None or first.value is None or second is None or second.value is None:
            continue
        points.append(Point(label, first.value, second.value, _limits(first), _limits(second)))
    if len(points) < 2:
        return []
    x_title = f"FNMR at {fmt.point(readings[0].primary)}"
    drawing = comparison_charts.trade_off(points, x_title, title)
    front = {p.label for p in comparison_charts.not_dominated(points)}
    rows = []
    for p in points:
        note = "" if p.label in front else "another model is better in both"
        rows.append([tables.text(p.label), _value(p.x, p.x_limits), _value(p.y, p.y_limits), tables.Cell(note)])
    data = tables.table(title, ["Model", f"#{x_title}", f"#{title}", "~Notes"], rows)
    return [Chart(drawing, f"Accuracy against {title}", data)]


def _value(value: float, limits: tuple[float, float] | None) -> tables.Cell:
    note = () if limits is None else (fmt.interval(*limits, fmt.number),)
    return tables.Cell(fmt.number(value), note, value)


def _limits(estimate: Estimate) -> tuple[float, float] | None:
    if estimate.ci_low is None or estimate.ci_high is None:
        return None
    return estimate.ci_low, estimate.ci_high


def _mean_altered(reading: Reading) -> Estimate | None:
    """Return the mean FNMR over all altered conditions at the leading operating point."""
    values = [
        e.value
        for e in reading.result.estimates
        if e.metric == "fnmr" and e.condition != "clean" and e.group == "all" and e.point == reading.primary
        and e.value is not None and e.failures == "counted"
    ]  # fmt: skip
    return Estimate(metric="fnmr", value=sum(values) / len(values)) if values else None


def _latencies(readings: Sequence[Reading]) -> list[Estimate | None]:
    """Return the latency at batch 1 of every model; none at all unless all were timed on one machine."""
    first = readings[0].result
    if first.efficiency is None or any(why_times_differ(first, r.result) for r in readings[1:]):
        return [None for _ in readings]
    return [
        next((e for e in timed_estimates(r.result) if (e.metric, e.condition) == ("latency_ms", "batch:1")), None)
        for r in readings
    ]


def _moved(comparison: Comparison) -> Section:
    lead = "Which comparisons and people a difference rests on. One carried by a few people may not hold for others."
    blocks = []
    for model in comparison.models[1:]:
        found = (
            comparison_tables.moved_identities(comparison, model.label),
            comparison_tables.drift(comparison, model.label),
        )
        folded = _filled(comparison_tables.moved_pairs(comparison, model.label))
        if _filled(*found) or folded:
            blocks.append(Block(fmt.clip(model.label, 80), True, tables=_filled(*found), folded=folded))
    return Section("moved", "What moved", lead, tuple(blocks), "No comparison changed sides.")


def _not_compared(comparison: Comparison) -> Section:
    found = _filled(comparison_tables.not_compared(comparison))
    blocks = (Block(tables=found),) if found else ()
    lead = "Only what every result holds can be compared."
    return Section("not-compared", "What could not be compared", lead, blocks, "Every result holds the same measures.")


def _provenance(comparison: Comparison, results: Sequence[Result]) -> list[Facts]:
    protocol = comparison.protocol
    shared = Facts(
        "What all results share",
        (
            Fact("Protocol", f"{protocol.name}, version {protocol.version}"),
            Fact("Protocol sha256", protocol.sha256, True),
            Fact("Manifest sha256", protocol.manifest_sha256, True),
            Fact("Data statement", protocol.data_statement or "not stated"),
            Fact("Intervals", f"{fmt.percent(comparison.confidence)}, identities as sampling unit"),
            Fact("Bootstrap seed", str(comparison.seed)),
        ),
    )
    parts = [shared]
    for model, result in zip(comparison.models, results, strict=True):
        facts = (
            Fact("Result id", model.result_id, True),
            Fact("Weights sha256", model.weights_sha256 or "not stated", True),
            Fact("Adapter", result.model.adapter),
            Fact("Licence", result.model.licence or "not stated"),
            Fact("Started", result.run.started),
            Fact("FaceBench", result.run.facebench),
            Fact("Command", result.run.command, True),
        )
        role = "base" if model.label == comparison.base else "model"
        parts.append(Facts(f"{fmt.clip(model.label, 60)} ({role})", facts))
    return parts
