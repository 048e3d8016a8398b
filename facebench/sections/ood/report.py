"""Search with altered probes in a result."""

from __future__ import annotations

from facebench.report import format as fmt
from facebench.report.parts import Block, Section
from facebench.report.reading import Reading, short_label
from facebench.report.tables import Table, notes, table, text, value
from facebench.schema import Estimate
from facebench.sections.robustness.words import words


def sections(reading: Reading) -> list[Section]:
    """Return the section on search, or none where there was none."""
    result = reading.result
    details = result.ood
    if details is None:
        return []
    lead = (
        f"Each of {fmt.plural(details.n_queries, 'image')} is searched among {fmt.count(details.n_gallery)} other "
        "clean images, as it is and altered. P@1 is the share of searches whose first entry is the right person; "
        "R-precision and MAP@R also ask for the person's other images. "
    )
    if details.reranking:
        lead += f"The best entries are then put in order again by {details.reranking}."
    else:
        lead += "The lists were not put in order again by patches: see what was not measurable."
    index = {(e.metric, e.condition, e.group): e for e in reversed(result.estimates)}
    names = ["clean", *details.conditions]
    found = (_overall(index, names, reranked=details.reranking is not None), _groups(index, names))
    tables = tuple(t for t in found if t.rows)
    blocks = [Block(tables=tables[:1])]
    if len(tables) > 1:
        blocks.append(Block("By group", False, tables=tables[1:]))
    return [Section("search", "Search with altered probes", lead, tuple(blocks))]


Index = dict[tuple[str, str, str], Estimate]


def _overall(index: Index, names: list[str], *, reranked: bool) -> Table:
    rows = []
    for name in names:
        row = [text(_probe(name))]
        for metric in ("precision_at_1", "r_precision", "map_at_r"):
            row.append(value(index.get((metric, name, "all")), fmt.share))
        if reranked:
            for metric in ("reranked_precision_at_1", "reranked_map_at_r"):
                row.append(value(index.get((metric, name, "all")), fmt.share))
            row.append(value(index.get(("rerank_gain", name, "all")), fmt.number))
        rows.append([*row, notes(index.get(("precision_at_1", name, "all")))])
    after = ["#P@1, re-ranked", "#MAP@R, re-ranked", "#Gain in P@1"] if reranked else []
    return table("Searches by kind of probe", ["Probe", "#P@1", "#R-precision", "#MAP@R", *after, "~Notes"], rows)


def _probe(name: str) -> str:
    """Return a kind of probe in words."""
    if name.startswith("attack:"):
        attack, eps = name.split(":")[1:3]
        return f"attacked, {attack} {eps}"
    return "clean" if name == "clean" else words(name)


def _groups(index: Index, names: list[str]) -> Table:
    groups = dict.fromkeys(
        group for metric, _, group in reversed(index) if metric == "precision_at_1" and group != "all"
    )
    rows = [
        [text(short_label(group)), *(value(index.get(("precision_at_1", name, group)), fmt.share) for name in names)]
        for group in groups
    ]
    heads = [f"#{_probe(name)}" for name in names]
    return table("P@1 of each group, by kind of probe", ["Group", *heads], rows)
