"""The table of one protocol, its summary in sentences, and the pictures of trade-offs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from facebench.comparison import charts as comparison_charts
from facebench.comparison.charts import Point
from facebench.leaderboard.site.charts import pareto
from facebench.leaderboard.site.figures import Figures, Shown
from facebench.report import format as fmt
from facebench.report import tables
from facebench.report.differential_case import RATES
from facebench.report.parts import Block, Chart, Section
from facebench.report.reading import grouping_label
from facebench.report.statement import Statement, Tone
from facebench.report.tables import Cell, Table
from facebench.schema import Estimate, Flag

EVERY = 100_000
CURVES = 8
GAP_HEAD = {"fmr": "#Excess gap in FMR", "fnmr": "#Excess gap in FNMR"}


def ranking_table(board: Shown, root: str) -> Table:
    """Tabulate every model of a protocol."""
    rows = board.ranked
    primary = fmt.short_point(board.board.protocol.primary)
    families = list(dict.fromkeys(family for row in rows for family in row.families()))
    machines = {row.machine for row in rows if row.machine is not None}
    columns: list[tuple[str, Callable[[Figures], Cell]]] = [
        ("Model", lambda row: row.model(root)),
        ("#Rank", Figures.rank),
        (f"#TAR at {primary}", Figures.tar),
        ("#EER", Figures.eer),
        *((head, lambda row, rate=rate: row.differential(rate)) for rate, head in GAP_HEAD.items()),
        *((f"#Mean TAR, {family}", lambda row, family=family: row.altered(family)) for family in families),
        ("#TAR left under attack", Figures.attacked),
        ("#Saliency methods that qualified", Figures.explained),
        ("#Relevance outside the face", Figures.outside),
        ("#Parameters", Figures.parameters),
        ("#Multiply-adds", Figures.multiply_adds),
        ("#Latency" if len(machines) == 1 else "#!Latency", lambda row: row.latency(one_machine=len(machines) == 1)),
        ("Embeddings", lambda row: Cell("elsewhere" if row.listed.elsewhere else "here")),
        ("Measured", lambda row: Cell(row.listed.result.run.started[:10])),
    ]
    body = [[build(row) for _, build in columns] for row in rows]
    note = (
        "A rank is every place the data does not rule out: pairs of models are tested on the same comparisons and "
        "corrected for the number of pairs (Holm). Models that share a letter under “ties” cannot be told apart. A gap "
        "is the largest difference of a rate between groups; the excess is what is left of it after what chance alone "
        "would show, and “beyond chance” is what the model's own report says, from a test of equal rates corrected for "
        "their number."
    )
    if len(machines) > 1:
        note += " Latencies were taken on several machines, so this column cannot be sorted by."
    if not rows:
        note = "No entry yet."
    titles = [title for title, _ in columns]
    found = tables.table(f"{fmt.plural(len(rows), 'model')}, the best first", titles, body, note, limit=EVERY)
    return Table(found.caption, found.columns, found.rows, found.note, filterable=True)


# ---- sentences


def leaders(board: Shown) -> Statement:
    """Say which models cannot be told from the best."""
    rows = [row for row in board.ranked if row.listed.rank is not None and row.listed.rank.best is not None]
    point = fmt.point(board.board.protocol.primary)
    if not rows:
        return Statement("Recognition", Tone.UNKNOWN, "No model could be ranked.")
    first = [row for row in rows if row.listed.rank is not None and row.listed.rank.best == 1]
    best = rows[0]
    cell = best.tar()
    within = f" ({cell.notes[0]})" if cell.notes else ""
    lead = f"TAR {cell.text}{within} at {point}"
    if len(rows) == 1:
        return Statement("Recognition", Tone.PLAIN, f"{best.name} is the only model: {lead}.")
    if len(first) == 1:
        return Statement("Recognition", Tone.PLAIN, f"{best.name} was shown to be ahead of all others: {lead}.")
    others = len(first) - 1
    names = ", ".join(fmt.clip(row.name, 40) for row in first[1:9])
    more = f" and {others - 8} more" if others > 8 else ""
    return Statement(
        "Recognition",
        Tone.UNKNOWN,
        f"{fmt.plural(len(first), 'model')} of {len(rows)} may be the best; this data cannot tell them apart.",
        f"{best.name} has the highest figure: {lead}. No model was shown to be better than {names}{more}.",
    )


def differentials(board: Shown, rate: str) -> Statement:
    """Say how many models show a differential beyond chance."""
    rows = board.ranked
    tones = [row.tone(rate) for row in rows]
    what = RATES[rate][0]
    topic = what.capitalize()
    if not any(row.gap(rate) is not None for row in rows):
        return Statement(topic, Tone.UNKNOWN, f"Whether {what} differ between groups is not measured here.")
    found = [row for row, tone in zip(rows, tones, strict=True) if tone is Tone.FINDING]
    open_ = sum(tone is Tone.UNKNOWN for tone in tones)
    rest = f" For {open_} it cannot be told." if open_ else ""
    if not found:
        headline = f"No model shows a differential in {what} that can be told from chance."
        return Statement(topic, Tone.UNKNOWN if open_ else Tone.PLAIN, headline, rest.strip())
    names = "; ".join(_by(row, rate) for row in found[:8])
    more = f"; and {len(found) - 8} more" if len(found) > 8 else ""
    show = "shows" if len(found) == 1 else "show"
    headline = f"{fmt.plural(len(found), 'model')} of {len(rows)} {show} a differential in {what} beyond chance."
    return Statement(topic, Tone.FINDING, headline, f"{names}{more}.{rest}")


def _by(row: Figures, rate: str) -> str:
    gap = row.gap(rate)
    return f"{fmt.clip(row.name, 40)} by {fmt.clip(grouping_label(gap.group), 40)}" if gap else fmt.clip(row.name, 40)


def cautions(board: Shown) -> list[Statement]:
    """Say what a reader must know before trusting the table."""
    found = []
    if board.board.data.phantom:
        found.append(
            "Phantom data: the faces are rendered. These ranks show that the instrument works; they say nothing about "
            "people."
        )
    planted = sum(bool(row.planted) for row in board.ranked)
    if planted:
        said = "is a positive control" if planted == 1 else "are positive controls"
        found.append(f"{fmt.plural(planted, 'model')} of these {said}: something was planted, and has to be found.")
    unreliable = [row.name for row in board.ranked if row.reading.seen(Flag.UNRELIABLE)]
    if unreliable:
        names = ", ".join(fmt.clip(name, 40) for name in unreliable[:8])
        found.append(f"Attacks on {names} are unreliable: a check for hidden gradients failed, and they do not rank.")
    elsewhere = sum(bool(row.listed.elsewhere) for row in board.ranked)
    if elsewhere:
        kept = "keeps its embeddings" if elsewhere == 1 else "keep their embeddings"
        found.append(
            f"{fmt.plural(elsewhere, 'model')} {kept} elsewhere; they must be fetched before it is recomputed."
        )
    defects = board.board.protocol.known_defects
    if defects:
        found.append(f"The data has {fmt.plural(len(defects), 'known defect')}, listed below.")
    return [Statement("Caution", Tone.CAUTION, text) for text in found]


# ---- pictures


def trade_offs(board: Shown) -> Section:
    """Draw accuracy against each second measure that at least two models have."""
    rows = board.ranked
    x_title = f"FNMR at {fmt.point(board.board.protocol.primary)}"
    one_machine = len({row.machine for row in rows if row.machine is not None}) == 1
    sides: list[tuple[str, Callable[[Figures], Estimate | None]]] = [
        ("excess gap in FMR", lambda row: _excess(row, "fmr")),
        ("excess gap in FNMR", lambda row: _excess(row, "fnmr")),
        ("mean FNMR on altered images", Figures.missed_altered),
        *([("latency of one face, ms", _latency)] if one_machine else []),
    ]
    charts = [chart for title, side in sides for chart in _trade_off(rows, side, x_title, title)]
    lead = (
        "Two measures at once, lower being better in both. The dashed line joins the models that no other beats in "
        "both; where bars overlap, the order may be chance."
    )
    blocks = (Block(charts=tuple(charts)),) if charts else ()
    return Section("trade-offs", "Trade-offs", lead, blocks, "No second measure was computed for two models.")


def _latency(row: Figures) -> Estimate | None:
    return row.latency_estimate


def _excess(row: Figures, rate: str) -> Estimate | None:
    gap = row.gap(rate)
    if gap is None or gap.excess is None:
        return None
    # below zero there is no excess: such models are alike in this measure
    low, high = gap.excess_low, gap.excess_high
    return Estimate(
        metric=f"{rate}_gap", value=max(gap.excess, 0.0), ci_low=None if low is None else max(low, 0.0),
        ci_high=None if high is None else max(high, 0.0),
    )  # fmt: skip


def _trade_off(
    rows: Sequence[Figures], side: Callable[[Figures], Estimate | None], x_title: str, y_title: str
) -> list[Chart]:
    points = []
    for row in rows:
        x, y = row.reading.missed(row.reading.primary, "all"), side(row)
        if x is not None and x.value is not None and y is not None and y.value is not None:
            points.append(Point(row.name, x.value, y.value, _limits(x), _limits(y)))
    if len(points) < 2:
        return []
    front = comparison_charts.not_dominated(points)
    names = {p.label for p in front}
    data = [
        [
            tables.text(p.label), Cell(fmt.number(p.x), sort=p.x), Cell(fmt.number(p.y), sort=p.y),
            Cell("" if p.label in names else "another model is better in both"),
        ]
        for p in points
    ]  # fmt: skip
    table = tables.table(y_title, ["Model", f"#{x_title}", f"#{y_title}", "~Notes"], data, limit=EVERY)
    return [Chart(pareto(points, front, x_title, y_title), f"Accuracy against {y_title}", table)]


def _limits(e: Estimate) -> tuple[float, float] | None:
    return None if e.ci_low is None or e.ci_high is None else (e.ci_low, e.ci_high)


def curves(board: Shown) -> Section:
    """Draw the DET curves of the best models."""
    found, names = [], []
    for row in board.ranked[:CURVES]:
        for curve in row.listed.result.curves:
            if curve.kind == "det" and curve.condition == "clean" and curve.group == "all" and curve.x:
                found.append(curve)
                names.append(row.name)
                break
    if not found:
        return Section("curves", "DET curves", "", (), "The entries hold no DET curves.")
    targets = board.ranked[0].reading.fmr_targets
    drawing = comparison_charts.det_overlay(found, names, targets)
    lead = "What each false match rate costs in missed genuine comparisons: lower is better. Dotted lines: FMR targets."
    caption = f"DET curves of the first {fmt.plural(len(found), 'model')} on normal-deviate axes"
    chart = Chart(drawing, caption, tables.det_points(found, names))
    return Section("curves", "DET curves", lead, (Block(charts=(chart,)),))
