"""The contract every section must keep, as one function plug-in authors can call from their own tests."""

from __future__ import annotations

import inspect
import re
from typing import Any

from facebench.schema import ProtocolSpec, Strict
from facebench.sections.section import Section


def check_section_contract(section: Any, name: str) -> None:
    """Check the record of a section and the modules it names.

    Raises:
        AssertionError: says which rule is broken.
    """
    assert isinstance(section, Section), (
        f"{name} is {type(section).__name__}; expected facebench.sections.section.Section"
    )
    assert section.name == name, f"{name} calls itself {section.name}"
    assert re.fullmatch(r"[a-z][a-z0-9_]*", name), f"{name}: a name is lower-case letters, digits and underscores"
    assert section.line.strip(), f"{name}: `line` must say in one sentence what it asks"
    if name not in ProtocolSpec.model_fields:
        assert section.package, f"{name}: `package` must name where `measure` and `report` lie"
        is_record = isinstance(section.options, type) and issubclass(section.options, Strict)
        assert is_record, f"{name}: `options` must be a record, a subclass of facebench.schema.Strict"
    wanted = {"run": 1, "remeasure": 1, **({"from_scores": 1} if section.takes_scores else {})}
    for function, n in wanted.items():
        found = getattr(section.measuring, function, None)
        assert callable(found), f"{name}: module `measure` has no function {function}"
        required = [p for p in inspect.signature(found).parameters.values() if p.default is p.empty]
        assert len(required) == n, f"{name}: {function} takes {len(required)} arguments; it is given {n}"
    if section.has_report:
        module = section.reporting
        assert callable(getattr(module, "sections", None)), f"{name}: module `report` has no function sections(reading)"
