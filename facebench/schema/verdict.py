"""What a gate found: one finding per rule, group and condition, and the verdict over all of them."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import Field

from facebench.errors import ExitCode
from facebench.schema._base import Strict
from facebench.schema.points import AtPoint


class Outcome(StrEnum):
    """What can be said of one number, or of all."""

    PASS = "pass"  # noqa: S105 - no password
    REGRESSION = "regression"
    INCONCLUSIVE = "inconclusive"
    MISSING = "missing"


class GateFinding(AtPoint):
    """One rule applied to one group under one condition."""

    rule: int = Field(ge=1, description="number of the rule in the policy, from 1")
    metric: str
    k: int | None = None
    of: str | None = None
    at: float | None = None
    group: str
    condition: str
    outcome: Outcome
    reason: str = Field(description="one sentence: what was seen, and why it decides or does not")
    base_value: float | None = None
    value: float | None = None
    worsening: float | None = Field(None, description="how much worse the candidate is; negative when it is better")
    upper: float | None = Field(None, description="one-sided upper limit of the worsening, at the policy's confidence")
    lower: float | None = Field(None, description="one-sided lower limit")
    bound: float | None = Field(None, description="the margin, or the bound of the candidate's value")
    p_value: float | None = Field(None, description="one-sided, of no regression")
    p_adjusted: float | None = Field(None, description="after the policy's correction")
    n_comparisons: int | None = None
    n_identities: int | None = None
    identities_needed: int | None = Field(
        None, description="identities that would settle it with 80 % power, were the difference what it now seems"
    )
    counts_as: Outcome = Field(description="the outcome after the policy's rules for open questions")


class Verdict(Strict):
    """The answer of a gate."""

    schema_version: Literal[1] = 1
    outcome: Outcome
    exit_code: ExitCode
    headline: str
    policy: str
    policy_sha256: str
    confidence: float
    base: str
    candidate: str
    base_result_id: str
    candidate_result_id: str
    protocol: str
    findings: tuple[GateFinding, ...]
    family_size: int = Field(description="findings the correction was made for")
    notes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether the candidate may ship."""
        return self.outcome is Outcome.PASS

    def __bool__(self) -> bool:
        return self.passed
