"""The report of a result: verdict, recognition, one part per section, provenance, on one page."""

from __future__ import annotations

from pathlib import Path

from facebench.files import write_atomic
from facebench.report import answers, recognition
from facebench.report import format as fmt
from facebench.report.answers_verdict import answers_verdict
from facebench.report.html import render_page
from facebench.report.parts import Section
from facebench.report.provenance import provenance
from facebench.report.reading import Reading
from facebench.report.statement import Statement
from facebench.report.verdict import verdict
from facebench.schema import Result
from facebench.sections import parts_of, sections_in, statements_of


def write_report(result: Result, path: Path) -> Path:
    """Write the report of a result as one HTML file and return its path.

    Raises:
        WriteError: the file cannot be written.
    """
    write_atomic(path, render_report(result))
    return Path(path)


def render_report(result: Result) -> str:
    """Return the report of a result as a complete HTML page; equal results give equal bytes."""
    reading = Reading(result)
    statements = verdict_of(reading)
    return render_page(
        "report.html",
        result=result,
        verdict=statements,
        sections=_parts(reading, statements),
        provenance=provenance(result),
    )


def verdict_of(reading: Reading) -> list[Statement]:
    """Return the statements of the verdict, those of sections among them."""
    further = statements_of(reading)
    return answers_verdict(reading, further) if reading.result.task is not None else verdict(reading, further)


def verdict_sentences(result: Result) -> list[str]:
    """Return the verdict as plain sentences, one statement per item."""
    return [fmt.visible(statement.text) for statement in verdict_of(Reading(result))]


def _parts(reading: Reading, statements: list[Statement]) -> list[Section]:
    if reading.result.task is not None:
        return [*answers.leading(reading), *parts_of(reading), *recognition.closing(reading, ())[-2:]]
    own = tuple(section.condition_prefix for section in sections_in(reading.result) if section.condition_prefix)
    return [
        *recognition.leading(reading, statements),
        *parts_of(reading),
        *recognition.closing(reading, own),
    ]
