"""Parts of a protocol beyond clean verification: one folder each, with ``measure.py`` and ``report.py``.

Adding one takes its folder, a schema file, a line in `SECTIONS` and a field of the same name in `ProtocolSpec` (and one
in `Result` if it reports more than estimates).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from facebench.registry import Registry
from facebench.sections.section import Section

if TYPE_CHECKING:
    from facebench.schema import ProtocolSpec

IN_ORDER = (
    "robustness", "impostor_ladder", "covariates", "causal", "error_versus_discard", "published_measures",
    "judgements", "ood", "efficiency", "explanation",
)  # fmt: skip
"""Built-in sections, in the order in which they are run and shown."""

SECTIONS: Registry[Section] = Registry(
    "section", builtin={name: f"facebench.sections.{name}:SECTION" for name in IN_ORDER}
)


def every_section() -> list[Section]:
    """Return all sections in their order."""
    return [SECTIONS.get(name) for name in IN_ORDER]


def sections_of(spec: ProtocolSpec) -> Iterator[Section]:
    """Yield every section a protocol asks for."""
    return (section for section in every_section() if getattr(spec, section.name) is not None)
