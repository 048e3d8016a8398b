"""One interval of one run, and the protocol every design is measured under."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.coverage_study.designs import Design
from facebench.schema import Flag, ProtocolSpec

WARNED = (Flag.FEW_IDENTITIES,)
"""Flags that say an interval may be too short; those that carry one are counted apart."""


@dataclass(frozen=True)
class Judged:
    """One interval of one run; `truth` is None where it is the mean of the values over all runs."""

    kind: str
    value: float
    low: float | None
    high: float | None
    truth: float | None


Source = Callable[[Any, np.random.Generator, int], Iterator[Judged]]


def protocol(design: Design, *, replicates: int, **more: Any) -> ProtocolSpec:
    """Return the protocol a design is measured under."""
    return ProtocolSpec.model_validate(
        {
            "name": "coverage", "title": "coverage", "operating_points": ({"fmr_target": design.target},),
            "primary_fmr_target": design.target, "groups": None, "uncertainty": {"replicates": replicates}, **more,
        }
    )  # fmt: skip


def warned(kind: str, flags: tuple[Flag, ...]) -> str:
    """Return a kind with the warning its interval carries."""
    found = [flag.value for flag in flags if flag in WARNED]
    return f"{kind}, flagged {' and '.join(found)}" if found else kind
