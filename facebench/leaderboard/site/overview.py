"""The first page's tables: all models over all protocols, and the protocols."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from facebench.leaderboard.site import ranking
from facebench.leaderboard.site.figures import EMPTY, Figures, Shown
from facebench.report import format as fmt
from facebench.report import tables
from facebench.report.parts import Block, Section
from facebench.report.tables import Cell, Table

By = dict[str, dict[str, Figures]]


def overview_section(boards: Sequence[Shown]) -> Section:
    """Tabulate every model over all protocols."""
    lead = (
        "Every model with what each protocol says of it: TAR at the protocol's leading FMR target with the rank it may "
        "have, then the other questions, each from the protocol that answers it for most models. Models are listed by "
        "name; no figure here adds protocols up."
    )
    table = _overview(boards)
    blocks = (Block(tables=(table,)),) if table.rows else ()
    return Section("models", "Models", lead, blocks, "No entry yet.")


def _overview(boards: Sequence[Shown]) -> Table:
    by: By = {}
    for board in boards:
        for row in board.ranked:
            by.setdefault(row.name, {})[board.board.protocol.name] = row
    asked: list[tuple[str, Callable[[Figures], Cell]]] = [
        (ranking.GAP_HEAD["fmr"], lambda f: f.differential("fmr")),
        (ranking.GAP_HEAD["fnmr"], lambda f: f.differential("fnmr")),
        *((f"#Mean TAR, {name}", lambda f, name=name: f.altered(name)) for name in _families(by)),
        ("#TAR left under attack", Figures.attacked),
        ("#Saliency methods that qualified", Figures.explained),
        ("#Parameters", Figures.parameters),
        ("#Latency" if _one_machine(by) else "#!Latency", lambda f: f.latency(one_machine=_one_machine(by))),
    ]
    source = {title: _source(boards, by, cell) for title, cell in asked}
    names = [board.board.protocol.name for board in boards]
    titles = [
        "Model",
        *(f"#TAR, {fmt.clip(name, 40)}" for name in names),
        *(f"{title} ({source[title]})" if source[title] else title for title, _ in asked),
    ]
    rows = []
    for model in sorted(by):
        held = by[model]
        cells = [next(iter(held.values())).model("")]
        cells += [_tar_and_rank(held.get(name)) for name in names]
        cells += [cell(held[source[title]]) if source[title] in held else EMPTY for title, cell in asked]
        rows.append(cells)
    found = tables.table(fmt.plural(len(rows), "model"), titles, rows, limit=ranking.EVERY)
    return Table(found.caption, found.columns, found.rows, found.note, filterable=True)


def _families(by: By) -> list[str]:
    return list(dict.fromkeys(f for held in by.values() for row in held.values() for f in row.families()))


def _one_machine(by: By) -> bool:
    return len({row.machine for held in by.values() for row in held.values() if row.machine is not None}) == 1


def _source(boards: Sequence[Shown], by: By, cell: Callable[[Figures], Cell]) -> str:
    """Return the protocol that answers a question for most models; a column never mixes protocols."""
    names = [board.board.protocol.name for board in boards]
    told = {name: sum(name in held and cell(held[name]).tells for held in by.values()) for name in names}
    best = max(names, key=lambda name: told[name], default="")
    return best if told.get(best) else ""


def _tar_and_rank(row: Figures | None) -> Cell:
    if row is None:
        return EMPTY
    tar, rank = row.tar(), row.rank()
    return Cell(tar.text, (*tar.notes, f"rank {rank.text}" if rank.sort is not None else rank.text), tar.sort)


def protocols_section(boards: Sequence[Shown]) -> Section:
    """Tabulate the protocols, each with a link to its page."""
    rows = [
        [
            Cell(board.board.protocol.name, href=f"protocols/{board.board.protocol.name}.html"),
            Cell(fmt.clip(board.board.protocol.title, 160)),
            tables.plain(len(board.ranked)), tables.plain(len(board.entries)),
            Cell(f"TAR at {fmt.short_point(board.board.protocol.primary)}"),
            tables.plain(board.board.data.n_images), tables.plain(board.board.data.n_identities),
            Cell("rendered" if board.board.data.phantom else "images of people"),
        ]
        for board in boards
    ]  # fmt: skip
    columns = ["Protocol", "~What it measures", "#Models", "#Entries", "Ranked by", "#Images", "#Identities", "Faces"]
    lead = "Each protocol has a page with its full ranking, its definition, its data statement and the known defects."
    table = tables.table(fmt.plural(len(rows), "protocol"), columns, rows, limit=ranking.EVERY)
    return Section("protocols", "Protocols", lead, (Block(tables=(table,)),))
