"""The pages of the site: all models, one protocol, one model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from facebench.files import asset_dir
from facebench.leaderboard.site import ranking
from facebench.leaderboard.site.figures import Figures, Shown
from facebench.leaderboard.site.overview import overview_section, protocols_section
from facebench.report import differential_tables, html, tables
from facebench.report import format as fmt
from facebench.report.parts import Block, Section
from facebench.report.provenance import Facts, provenance
from facebench.report.reading import grouping_label
from facebench.report.statement import Statement, Tone
from facebench.report.tables import Cell, Table, text
from facebench.schema.leaderboard import Listed
from facebench.sections import parts_of

DATA = "leaderboard.json"


@dataclass(frozen=True)
class Link:
    """A link in the footer."""

    href: str
    text: str
    download: bool = False


def index_page(boards: Sequence[Shown], version: str) -> str:
    """Return the page of all models and protocols."""
    models = {row.name for board in boards for row in board.ranked}
    entries = sum(len(board.entries) for board in boards)
    protocols, held = fmt.plural(len(boards), "protocol"), fmt.plural(entries, "entry", "entries")
    counted = f"{fmt.plural(len(models), 'model')} under {protocols}, in {held}."
    how = (
        "An entry is admitted when all its numbers that do not need the model were computed again from its embeddings."
    )
    statements = [Statement("Measured", Tone.PLAIN, counted, how)]
    for board in boards:
        found = ranking.leaders(board)
        statements.append(Statement(fmt.clip(board.board.protocol.name, 60), found.tone, found.headline, found.detail))
    if any(board.board.data.phantom for board in boards):
        words = "Phantom data: the faces of some protocols are rendered. Ranks on them say nothing about people."
        statements.append(Statement("Caution", Tone.CAUTION, words))
    return _page(
        "Leaderboard", "Face-recognition models, every number with its interval and a way to recompute it", "", version,
        statements, [overview_section(boards), protocols_section(boards)],
    )  # fmt: skip


def protocol_page(board: Shown, version: str) -> str:
    """Return the page of one protocol: ranking, trade-offs, curves, definition, data statement and known defects."""
    protocol, data = board.board.protocol, board.board.data
    kind = "rendered faces" if data.phantom else "face images"
    people = f" of {fmt.plural(data.n_identities, 'identity', 'identities')}" if data.n_identities is not None else ""
    n = len(board.ranked)
    measured = f"{fmt.plural(n, 'model')} on {fmt.count(data.n_images)} {kind}{people}."
    statements = [Statement("Measured", Tone.PLAIN, measured, protocol.description), ranking.leaders(board)]
    statements += [ranking.differentials(board, rate) for rate in ("fmr", "fnmr")]
    statements += ranking.cautions(board)
    table = ranking.ranking_table(board, "../")
    lead = (
        "The range under a figure is its interval, with identities as the sampling unit. With scripts on, headings "
        "sort and the field above narrows the table."
    )
    blocks = (Block(tables=(table,)),) if table.rows else ()
    sections = [
        Section("ranking", "Ranking", lead, blocks, "No entry yet."),
        ranking.trade_offs(board), ranking.curves(board), *_left_out(board),
    ]  # fmt: skip
    return _page(
        protocol.title, f"{protocol.name}, version {protocol.version}", "../", version, statements, sections,
        facts=_definition(board), facts_title="Definition and data",
        facts_lead="What every entry must measure. An entry on other data, or of another protocol, is refused.",
    )  # fmt: skip


def _left_out(board: Shown) -> list[Section]:
    """Name the entries that do not validate, each with the fields; none of their numbers is shown."""
    rows = [
        [Cell(fmt.clip(validation.entry, 400)), Cell(fmt.clip(problem.field, 80)), text(problem.why)]
        for validation in board.listed.left_out
        for problem in validation.problems
    ]
    if not rows:
        return []
    lead = "Entries that do not validate, with every reason. They are not ranked, and none of their numbers is shown."
    table = tables.table(fmt.plural(len(rows), "reason"), ["~Entry", "Field", "~Why"], rows, limit=ranking.EVERY)
    return [Section("left-out", "Left out", lead, (Block(tables=(table,)),))]


def _definition(board: Shown) -> list[Facts]:
    if not board.entries:
        return []
    update = {"protocol": board.board.protocol, "data": board.board.data}
    result = board.entries[0].result.model_copy(update=update)
    return [facts for facts in provenance(result) if facts.title in ("Protocol", "Data")]


def model_page(name: str, entries: Sequence[tuple[Shown, Listed]], version: str) -> str:
    """Return the page of one model: a section per protocol, the history, and the model card."""
    ranked = [(board, board.figures[entry.path]) for board, entry in entries if entry.rank is not None]
    measured = f"{fmt.clip(name)} under {fmt.plural(len(ranked), 'protocol')}."
    statements = [Statement("Measured", Tone.PLAIN, measured)]
    planted = next((figures.planted for _, figures in ranked), "")
    for board, figures in ranked:
        statements.append(_standing(board, figures))
    if planted:
        words = f"A positive control, in which something was planted: {fmt.clip(planted, 300)}."
        statements.append(Statement("Caution", Tone.CAUTION, words))
    if any(board.board.data.phantom for board, _ in ranked):
        words = "Phantom data: the faces are rendered. What is said here says nothing about people."
        statements.append(Statement("Caution", Tone.CAUTION, words))
    sections = [_protocol_section(board, figures) for board, figures in ranked]
    card = next((f.listed.result for _, f in ranked), entries[0][1].result)
    return _page(
        name, "Model card, results and history", "../", version, statements, [*sections, _history(entries)],
        facts=[facts for facts in provenance(card) if facts.title in ("Model", "Run")], facts_title="Model card",
        facts_lead="What the ranked result says of the model and of its run.",
    )  # fmt: skip


def _standing(board: Shown, figures: Figures) -> Statement:
    rank, of = figures.rank(), len(board.ranked)
    tar = figures.tar()
    within = f" ({tar.notes[0]})" if tar.notes else ""
    point = fmt.point(board.board.protocol.primary)
    place = f"rank {rank.text} of {of}" if rank.sort is not None else "not ranked"
    headline = f"TAR {tar.text}{within} at {point}: {place}."
    said = [
        figures.statements[topic].headline
        for topic in ("False matches", "False non-matches")
        if topic in figures.statements
    ]
    found = any(figures.tone(rate) is Tone.FINDING for rate in ("fmr", "fnmr"))
    tone = Tone.FINDING if found else Tone.PLAIN
    return Statement(fmt.clip(board.board.protocol.name, 60), tone, headline, " ".join(said))


def _protocol_section(board: Shown, figures: Figures) -> Section:
    """Return everything a result says, as tables; its charts are in its own report."""
    reading, result = figures.reading, figures.listed.result
    protocol = board.board.protocol
    said = [s for topic, s in figures.statements.items() if s.tone is not Tone.CAUTION and topic != "Measured"]
    full = tables.table(
        "What the report says in full", ["Question", "~Answer"], [[Cell(s.topic), Cell(s.text)] for s in said]
    )
    blocks = [
        Block(tables=_filled(tables.operating_points(reading), tables.single_figures(reading)), folded=_filled(full))
    ]
    for grouping in reading.groupings:
        found = [tables.groups(reading, grouping, {})]
        if grouping in reading.differential_groupings():
            found.append(differential_tables.differentials(reading, grouping))
        blocks.append(Block(f"Groups by {fmt.clip(grouping_label(grouping), 80)}", False, tables=_filled(*found)))
    further = parts_of(reading)
    for section in further:
        found = [t for block in section.blocks for t in (*block.tables, *block.folded)]
        blocks.append(Block(section.title, False, tables=_filled(*found)))
    blocks.append(Block("What was not measurable", False, tables=_filled(tables.unmeasured(result))))
    kept = tuple(block for block in blocks if block.tables)
    lead = " ".join(s.headline for s in said)
    return Section(
        f"protocol-{protocol.name}", f"{protocol.title} ({protocol.name})", lead, kept, "Nothing was measured."
    )


def _filled(*found: Table) -> tuple[Table, ...]:
    return tuple(t for t in found if t.rows)


def _history(entries: Sequence[tuple[Shown, Listed]]) -> Section:
    ordered = sorted(entries, key=lambda e: (e[1].result.protocol.name, e[1].result.run.started), reverse=True)
    rows = []
    for board, entry in ordered:
        figures, result = board.figures[entry.path], entry.result
        weights = result.model.weights_sha256
        rows.append(
            [
                Cell(result.run.started[:10], ("ranked",) if entry.rank is not None else ("not ranked",)),
                Cell(board.board.protocol.name, href=f"../protocols/{board.board.protocol.name}.html"),
                figures.tar(), Cell(weights[:12] if weights else fmt.MISSING), Cell(result.run.facebench),
                Cell("rounded to half precision" if result.run.rounded else "as computed",
                     (f"elsewhere: {fmt.clip(entry.elsewhere, 120)}",) if entry.elsewhere else ()),
                text("; ".join(_marks(entry)) or "none"), text(entry.path),
            ]
        )  # fmt: skip
    columns = [
        "Measured",
        "Protocol",
        "#TAR at the leading FMR",
        "Weights",
        "FaceBench",
        "Embeddings",
        "~Marks",
        "~Entry",
    ]
    lead = (
        "Every result of this model. Under each protocol the last revision of its weights is ranked, in the order that "
        "models.json gives; dates are as the submitter states them and decide nothing. All charts of a result: "
        "facebench report leaderboard/ENTRY --out report.html"
    )
    table = tables.table(fmt.plural(len(rows), "result"), columns, rows, limit=ranking.EVERY)
    return Section("history", "History", lead, (Block(tables=(table,)),))


def _marks(entry: Listed) -> list[str]:
    again = entry.result.run.recomputed
    told = [f"recomputed by FaceBench {again[-1].facebench} on {again[-1].at[:10]}"] if again else []
    return [*told, *(f"{note.field}: {note.why}" for note in entry.notes)]


def _page(
    title: str, subtitle: str, root: str, version: str, statements: Sequence[Statement], sections: Sequence[Section],
    *, facts: Sequence[Facts] = (), facts_title: str = "", facts_lead: str = "",
) -> str:  # fmt: skip
    assets = asset_dir("leaderboard") / "assets"
    home = [Link(f"{root}index.html", "All models")] if root else []
    return html.render_page(
        "board.html", style=(assets / "board.css").read_text(encoding="utf-8"),
        script=(assets / "board.js").read_text(encoding="utf-8"), title=title, subtitle=subtitle, root=root,
        version=version, verdict=list(statements), sections=list(sections), provenance=list(facts),
        facts_title=facts_title, facts_lead=facts_lead,
        links=[*home, Link(f"{root}{DATA}", "All figures as JSON", True)],
    )  # fmt: skip
