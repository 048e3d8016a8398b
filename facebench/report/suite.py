"""The page of a suite: one row per protocol with the first sentence of its verdict and a link to its report."""

from __future__ import annotations

from facebench.report import format as fmt
from facebench.report.html import render_page
from facebench.report.parts import Block, Section
from facebench.report.statement import Statement, Tone
from facebench.report.tables import Cell, table, text
from facebench.schema.suite import Member, SuiteRecord


def render_suite(record: SuiteRecord) -> str:
    """Return the page of a suite; equal records give equal bytes."""
    lead = "Each protocol asks a question of its own and has a report of its own. No figure is taken over them."
    rows = [
        [Cell(m.title or m.protocol, (m.protocol,), href=_link(m)), text(_said(m)), text(m.measured)]
        for m in record.members
    ]
    found = table("Protocols of this suite", ["Protocol", "~Verdict, its first sentence", "~What was measured"], rows)
    return render_page(
        "suite.html",
        title=record.suite.title or record.suite.name,
        model=record.model,
        verdict=_statements(record),
        sections=[Section("protocols", "Protocols", lead, (Block(tables=(found,)),))],
        provenance=[],
    )


def _link(member: Member) -> str | None:
    return f"{member.folder}/report.html" if member.result_id else None


def _said(member: Member) -> str:
    if member.error is not None:
        return f"Failed: {member.error}"
    return member.verdict if member.result_id else "Not run yet."


def _statements(record: SuiteRecord) -> list[Statement]:
    done = sum(m.result_id is not None for m in record.members)
    total = fmt.plural(len(record.members), "protocol")
    found = [Statement("Measured", Tone.PLAIN, f"FaceBench measured {fmt.clip(record.model)} under {done} of {total}.")]
    for topic, names in (
        ("Failed", [m.protocol for m in record.members if m.error is not None]),
        ("Not run", [m.protocol for m in record.members if m.error is None and m.result_id is None]),
    ):
        if names:
            found.append(Statement(topic, Tone.CAUTION, f"{topic}: {', '.join(names)}."))
    return found
