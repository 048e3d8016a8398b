"""What a protocol asks that this model or this installation cannot give, known before the work."""

from __future__ import annotations

from typing import Any

from facebench.errors import InputError
from facebench.schema import ProtocolSpec, Unmeasured
from facebench.sections import SECTIONS, sections_of


def unmet_needs(model: Any, spec: ProtocolSpec) -> tuple[Unmeasured, ...]:
    """Return what will not be measured with this model, and why; a face or two are passed through it.

    Raises:
        InputError: a section cannot be run at all.
    """
    wanted = list(sections_of(spec))
    if spec.templates is not None and wanted:  # sections alter single images, so they say nothing of templates
        names = ", ".join(section.name for section in wanted)
        raise InputError(f"protocol {spec.name} compares templates; {names} need comparisons of images")
    hungry = [section.name for section in wanted if section.needs_model]
    if hungry and hasattr(model, "lookup"):
        raise InputError(
            f"protocol {spec.name} asks for {', '.join(hungry)}, which needs the model itself; "
            "stored embeddings can be judged by verification protocols only"
        )
    found: list[Unmeasured] = []
    for section in wanted:
        with SECTIONS.blame(section.name):
            needs = getattr(section.measuring, "needs", None)
            found += needs(model, spec) if needs else ()
    return tuple(found)
