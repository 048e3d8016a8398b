"""What the rest of the house must know of a section before it runs: a light record, imported by name."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from facebench.errors import PluginError

if TYPE_CHECKING:
    from facebench.report.parts import Section as Part
    from facebench.report.reading import Reading
    from facebench.report.statement import Statement
    from facebench.schema import ProtocolSpec, Strict
    from facebench.sections.contract import Listed, RunContext, Saved, SectionResult


class Measuring(Protocol):
    """The module ``measure`` of a section.

    It may also define ``plan(spec, n_images, seconds_per_image) -> Sequence[PlanRow]``, from which `facebench plan`
    adds up its cost, and ``needs(model, spec) -> Sequence[Unmeasured]``, what it will not measure with this model, told
    before the work; it raises InputError where nothing of the section can be measured.
    """

    def run(self, context: RunContext) -> SectionResult:
        """Measure the section with the model."""
        ...

    def remeasure(self, saved: Saved) -> SectionResult:
        """Compute estimates and details again; what needs the model itself is copied from the stored result."""
        ...

    def from_scores(self, listed: Listed) -> SectionResult:
        """Measure the section on a file of scores; only sections that take scores have this."""
        ...


class Reporting(Protocol):
    """The module ``report`` of a section; it may also define ``statements(reading)``, which join the verdict."""

    def sections(self, reading: Reading) -> list[Part]:
        """Return what the section adds to the page; nothing when the result holds nothing of it."""
        ...


@dataclass(frozen=True)
class Section:
    """A part of a protocol beyond clean verification, with a key of its own in the protocol file.

    Attributes:
        name: the protocol key, the field of `Result` that holds its details, and the folder.
        needs_model: whether stored embeddings are not enough.
        takes_scores: whether a file of scores is enough.
        condition_prefix: of the conditions of its estimates, which its own tables show; empty for none.
        has_report: whether the page has parts of its own for it; other estimates are listed as further ones.
        package: where ``measure`` and ``report`` lie; a plug-in names its own.
        line: one sentence on what it asks, for `facebench list sections`.
        options: the record of its keys; None for a built-in one, whose keys are a field of `ProtocolSpec`.
    """

    name: str
    needs_model: bool = True
    takes_scores: bool = False
    condition_prefix: str = ""
    has_report: bool = True
    package: str = ""
    line: str = ""
    options: type[Strict] | None = None

    def asked(self, spec: ProtocolSpec) -> Any:
        """Return what a protocol asks of the section: its parsed options; None where it asks for nothing.

        Raises:
            InputError: an option is unknown or wrong.
            PluginError: a section of a plug-in does not say which options it takes.
        """
        if self.options is None:
            if self.name not in type(spec).model_fields:
                raise PluginError(f"section {self.name!r} of a plug-in has no `options`; give its record of options")
            return getattr(spec, self.name)
        given = (spec.extensions or {}).get(self.name)
        where = f"protocol {spec.name}, extensions.{self.name}"
        return None if given is None else self.options.parse(given, where=where)

    @property
    def measuring(self) -> Measuring:
        """The module that measures; imported when first asked for."""
        return import_module(f"{self.package or f'facebench.sections.{self.name}'}.measure")

    def parts(self, reading: Reading) -> list[Part]:
        """Return what the section adds to the page of a result."""
        return self.reporting.sections(reading) if self.has_report else []

    def statements(self, reading: Reading) -> list[Statement]:
        """Return what the section adds to the verdict."""
        found = getattr(self.reporting, "statements", None) if self.has_report else None
        return [] if found is None else list(found(reading))

    @property
    def reporting(self) -> Reporting:
        """The module that reports; imported when first asked for."""
        return import_module(f"{self.package or f'facebench.sections.{self.name}'}.report")
