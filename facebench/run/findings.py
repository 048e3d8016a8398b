"""What a run found, gathered for its result: the clean measurement, then every section."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from facebench.measure.every_score import Measurement
from facebench.schema import Result
from facebench.sections import IN_ORDER
from facebench.sections.contract import SectionResult


def findings(found: Measurement, parts: Mapping[str, SectionResult]) -> dict[str, Any]:
    """Return the fields of a result that hold what was found, given the sections by name."""
    every: list[Measurement | SectionResult] = [found, *parts.values()]
    told = {name: part.details for name, part in parts.items() if part.details is not None}
    return {
        "estimates": tuple(estimate for part in every for estimate in part.estimates),
        "curves": tuple(curve for part in every for curve in part.curves),
        "unmeasured": tuple(gap for part in every for gap in part.unmeasured),
        "task": found.task,
        **{name: details for name, details in told.items() if name in Result.model_fields},
        "extensions": {
            name: part.details.model_dump(mode="json") if part.details is not None else {}  # it may report all the same
            for name, part in parts.items()
            if name not in IN_ORDER
        }
        or None,
    }
