"""Human judgements on the page."""

from __future__ import annotations

from facebench.report import format as fmt
from facebench.report import tables
from facebench.report.parts import Block, Section
from facebench.report.reading import Reading
from facebench.report.tables import Cell


def sections(reading: Reading) -> list[Section]:
    """Return the part on judgements, or none when none were asked for."""
    known = [e for e in reading.result.estimates if e.metric == "judgement_alignment"]
    if not known:
        return []
    lead = (
        "Whether the model finds those alike whom people find alike: Spearman's correlation of its scores with the "
        "mean judgement of each pair, 1 for the same order, 0 for none."
    )
    agreement = next((e for e in reading.result.estimates if e.metric == "judge_agreement"), None)
    if agreement is not None and agreement.value is not None:
        lead += (
            f" One judge agrees with the mean of the others to {fmt.number(agreement.value)}; no interval is known "
            "for it. More cannot be asked of a model."
        )
    words = {"all": "all pairs judged", "strangers": "pairs of two people"}
    rows = [
        [
            Cell(words.get(e.condition.rpartition(":")[2], e.condition)), tables.value(e, fmt.number),
            Cell(fmt.count((e.n_genuine or 0) + (e.n_impostor or 0))),
            Cell(fmt.count(e.n_identities)), tables.notes(e),
        ]
        for e in known
    ]  # fmt: skip
    heads = ["Comparisons", "#Correlation", "#Pairs", "#Identities", "~Notes"]
    return [Section("judgements", "Human judgements", lead, (Block(tables=(tables.table("Alignment", heads, rows),)),))]
