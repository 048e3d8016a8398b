"""The tables of a comparison as plain data."""

from __future__ import annotations

from collections.abc import Sequence

from facebench.comparison.differences import changes_of, interval_of, name_of, told_apart
from facebench.report import format as fmt
from facebench.report.format import signed
from facebench.report.reading import grouping_label, short_label
from facebench.report.tables import Cell, Table, plain, table, text
from facebench.report.wording import flag_words, measure, signed_as
from facebench.schema import Comparison, Difference, Point, Rank

COLUMNS = ["Measure", "#Base", "#Model", "#Difference", "Changed sides", "Told apart", "~Notes"]


def differences(caption: str, rows: Sequence[Difference], alpha: float, *, by: str = "measure") -> Table:
    """Tabulate differences; `by` chooses what the first column names: measure, group or condition."""
    heads = {
        "measure": "Measure",
        "group": "Group",
        "group figure": "Group",
        "condition": "Condition",
        "cost": "Figure",
    }
    return table(caption, [heads[by], *COLUMNS[1:]], [_row(d, alpha, by) for d in rows])


def _row(d: Difference, alpha: float, by: str) -> list[Cell]:
    write = measure(d.metric).write
    head = {
        "measure": text(name_of(d)),
        "group": text(short_label(d.group)),
        "group figure": text(d.group, name_of(d)),
        "condition": text(d.condition, name_of(d)),
        "cost": text(name_of(d), "" if d.condition == "clean" else d.condition),
    }[by]
    limits = fmt.MISSING if d.ci_method == "exact" else interval_of(d)
    return [
        head,
        plain(d.base_value, write),
        plain(d.value, write),
        Cell(signed_as(d.metric, d.difference), () if limits == fmt.MISSING else (limits,), d.difference),
        Cell(changes_of(d), () if d.n_comparisons is None else (f"of {fmt.count(d.n_comparisons)}",)),
        Cell(told_apart(d, alpha), () if d.p_adjusted is None else (f"corrected p {fmt.p_value(d.p_adjusted)}",)),
        Cell(flag_words(d.flags)),
    ]


def differentials(rows: Sequence[Difference], alpha: float) -> Table:
    """Tabulate the differences of differential measures; each row names its grouping."""
    found = [[text(grouping_label(d.group)), Cell(name_of(d)), *_row(d, alpha, "measure")[1:]] for d in rows]
    return table("Differential measures", ["Grouping", "Measure", *COLUMNS[1:]], found)


def ranks(comparison: Comparison) -> list[tuple[Point | None, Table]]:
    """Tabulate where every model stands by each leading measure, one table per measure and target, with the target."""
    tables: dict[tuple[str, Point | None], list[Rank]] = {}
    for rank in comparison.ranks:
        tables.setdefault((rank.metric, rank.point), []).append(rank)
    found = []
    for (metric, target), rows in tables.items():
        write = measure(metric).write
        name = measure(metric).label
        at = "" if target is None else f" at {fmt.point(target)}"
        cells = [[text(r.model), plain(r.value, write), Cell(_span(r), sort=r.best), Cell(r.ties)] for r in rows]
        found.append((target, table(f"{name}{at}", ["Model", "#Value", "#Rank", "Ties"], cells)))
    return found


def _span(rank: Rank) -> str:
    if rank.best is None or rank.worst is None:
        return fmt.MISSING
    return str(rank.best) if rank.best == rank.worst else f"{rank.best} to {rank.worst}"


def moved_pairs(comparison: Comparison, model: str) -> Table:
    """Tabulate the comparisons that changed sides furthest."""
    rows = [
        [
            text(p.image_a), text(p.image_b), Cell("genuine" if p.genuine else "impostor"),
            Cell("newly wrong" if p.newly_wrong else "newly right"), plain(p.base_margin, signed),
            plain(p.margin, signed),
        ]
        for p in comparison.moved_pairs
        if p.model == model
    ]  # fmt: skip
    note = "Margins are scores minus threshold, in standard deviations of the model's own impostor scores."
    columns = ["Image", "Compared with", "Kind", "Change", "#Margin, base", "#Margin, model"]
    return table("Comparisons that moved furthest across the threshold", columns, rows, note)


def moved_identities(comparison: Comparison, model: str) -> Table:
    """Tabulate the identities whose errors changed most."""
    rows = [
        [
            text(m.identity), plain(m.n_genuine), plain(m.misses_base), plain(m.misses), plain(m.false_matches_base),
            plain(m.false_matches),
        ]
        for m in comparison.moved_identities
        if m.model == model
    ]  # fmt: skip
    columns = [
        "Identity", "#Genuine comparisons", "#Missed, base", "#Missed, model", "#False matches, base",
        "#False matches, model",
    ]  # fmt: skip
    return table("Identities whose errors changed most", columns, rows)


def drift(comparison: Comparison, model: str) -> Table:
    """Tabulate how alike the embeddings of one image are under both models."""
    rows = [
        [
            text(d.group),
            plain(d.n_images),
            plain(d.mean, fmt.share),
            plain(d.p05, fmt.share),
            plain(d.minimum, fmt.share),
        ]
        for d in comparison.drift
        if d.model == model
    ]
    note = "Meaningful only where one model was made from the other: independent networks have no axes in common."
    columns = ["Group", "#Images", "#Mean cosine", "#5th percentile", "#Lowest"]
    return table("Embedding drift: cosine between both embeddings of one image", columns, rows, note)


def not_compared(comparison: Comparison) -> Table:
    """Tabulate what one result holds and another lacks."""
    rows = [[text(u.what), Cell(fmt.clip(u.why, 300))] for u in comparison.not_compared]
    return table("What could not be compared", ["What", "~Why"], rows)
