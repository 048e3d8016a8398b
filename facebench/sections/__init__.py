"""Parts of a protocol beyond clean verification: one folder each, with ``measure.py`` and ``report.py``.

Adding one takes its folder, a schema file, a line in `SECTIONS` and a field of the same name in `ProtocolSpec` (and one
in `Result` if it reports more than estimates). One of a plug-in uses the open key `extensions` of both.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from facebench.errors import InputError, PluginError
from facebench.registry import Registry
from facebench.sections.section import Section

if TYPE_CHECKING:
    from facebench.report.parts import Section as Part
    from facebench.report.reading import Reading
    from facebench.report.statement import Statement
    from facebench.schema import ProtocolSpec, Result
    from facebench.sections.contract import Listed, RunContext, Saved, SectionResult

IN_ORDER = (
    "robustness", "impostor_ladder", "covariates", "causal", "error_versus_discard", "published_measures",
    "judgements", "ood", "weak_spots", "efficiency", "explanation",
)  # fmt: skip
"""Built-in sections, in the order in which they are run and shown."""

SECTIONS: Registry[Section] = Registry(
    "section",
    builtin={name: f"facebench.sections.{name}:SECTION" for name in IN_ORDER},
    group="facebench.sections",
    page="protocols.md",
    contract="facebench.sections.checks:check_section_contract",
    about=lambda _, section: section.line,
    facts=lambda section: {"needs_model": section.needs_model, "takes_scores": section.takes_scores},
)
"""Names to sections. One of a plug-in is asked for, and tells its details, under the key `extensions`."""


def sections_in(result: Result) -> list[Section]:
    """Return the sections that may report on a result: those built in, then the plug-ins it was measured with.

    One that is not installed here is left out; its estimates are then shown among the further ones.
    """
    own = [name for name in result.extensions or {} if name not in IN_ORDER and name in SECTIONS]
    return [SECTIONS.get(name) for name in (*IN_ORDER, *own)]


def sections_of(spec: ProtocolSpec) -> Iterator[Section]:
    """Yield every section a protocol asks for.

    Raises:
        UnknownNameError: it asks for a section of a plug-in that is not installed.
        InputError: it asks for a built-in one under `extensions`.
        PluginError: a section of a plug-in is not what FaceBench asks for.
    """
    for name in IN_ORDER:
        if getattr(spec, name) is not None:
            yield SECTIONS.get(name)
    for name in spec.extensions or {}:
        where = f"protocol {spec.name}, key 'extensions'"
        if name in IN_ORDER:
            raise InputError(f"{where}: {name} is no extension; write it as a key of the protocol itself")
        section = SECTIONS.get(name, where=where)
        with SECTIONS.blame(name, "cannot be asked"):
            section.asked(spec)
        yield section


def run_section(section: Section, context: RunContext) -> SectionResult:
    """Measure a section with the model; what a plug-in raises names it."""
    with SECTIONS.blame(section.name):
        return _result(section, section.measuring.run(context))


def remeasure_section(section: Section, saved: Saved) -> SectionResult:
    """Compute a section again from the files beside the result; what a plug-in raises names it."""
    with SECTIONS.blame(section.name):
        return _result(section, section.measuring.remeasure(saved))


def section_from_scores(section: Section, listed: Listed) -> SectionResult:
    """Measure a section on a file of scores; what a plug-in raises names it."""
    with SECTIONS.blame(section.name):
        return _result(section, section.measuring.from_scores(listed))


def parts_of(reading: Reading) -> list[Part]:
    """Return what sections add to the page of a result."""
    found: list[Part] = []
    for section in sections_in(reading.result):
        with SECTIONS.blame(section.name, "failed in its report"):
            found += section.parts(reading)
    return found


def statements_of(reading: Reading) -> list[Statement]:
    """Return what sections add to the verdict."""
    found: list[Statement] = []
    for section in sections_in(reading.result):
        with SECTIONS.blame(section.name, "failed in its verdict"):
            found += section.statements(reading)
    return found


def _result(section: Section, found: object) -> SectionResult:
    from facebench.sections.contract import SectionResult

    if not isinstance(found, SectionResult):
        raise PluginError(f"section {section.name!r} returned {type(found).__name__}; expected a SectionResult")
    return found
