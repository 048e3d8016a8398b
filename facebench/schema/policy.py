"""What a gate lets through: rules on metrics, groups and conditions, and what to do when a question stays open."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from facebench.schema._base import Strict
from facebench.schema.points import AtPoint

Share = Annotated[float, Field(gt=0, lt=1)]


class OnDoubt(StrEnum):
    """What a number that cannot decide does to the verdict."""

    INCOMPLETE = "incomplete"  # exit code 3
    FAIL = "fail"  # exit code 1
    PASS = "pass"  # noqa: S105 - exit code 0, and the finding is listed


class Rule(AtPoint):
    """One rule; it covers every group and condition its patterns match.

    Exactly one bound is given. `margin` and `margin_relative` hold the candidate against the base on the same
    comparisons: it may be worse by at most so much. `min` and `max` bound the candidate alone.
    """

    metric: str = Field(description="a name of docs/metrics.md, for example tar, fnmr, fmr, eer, fmr_max_min")
    fmr_target: Share | None = Field(None, description="operating point; default: the one the protocol leads with")
    operating_point: str | None = Field(None, description="name of a threshold of the protocol, in place of fmr_target")
    k: int | None = Field(None, gt=0, description="rank, for `rank`")
    of: str | None = Field(None, description="of answers: the class, label or value; default: all together")
    at: float | None = Field(None, description="of answers: the cut-off")
    group: str = Field("all", description="a group, or a pattern: sex=*, race=*&gender=female; for a differential sex")
    condition: str = Field("clean", description="a condition, or a pattern: corruption:*")
    margin: float | None = Field(None, ge=0, description="how much worse the candidate may be, in units of the metric")
    margin_relative: float | None = Field(None, ge=0, description="the same as a share of the base's value")
    min: float | None = Field(None, description="the candidate's value must be shown to be at least this")
    max: float | None = Field(None, description="the candidate's value must be shown to be at most this")
    on_inconclusive: OnDoubt | None = Field(None, description="for this rule instead of the policy's own")

    @model_validator(mode="after")
    def _one_bound(self) -> Self:
        if self.fmr_target is not None and self.operating_point is not None:
            raise ValueError("give `fmr_target` or `operating_point`, not both")
        given = [name for name in ("margin", "margin_relative", "min", "max") if getattr(self, name) is not None]
        if len(given) != 1:
            found = " and ".join(given) or "none"
            raise ValueError(f"give exactly one of margin, margin_relative, min and max; found {found}")
        return self

    @property
    def paired(self) -> bool:
        """Whether the rule holds the candidate against the base."""
        return self.min is None and self.max is None


class Policy(Strict):
    """One policy file."""

    name: str = Field("policy", pattern=r"^[A-Za-z0-9][\w. -]*$", max_length=80)
    description: str = ""
    confidence: float = Field(0.95, gt=0.5, lt=1, description="one-sided, of every claim")
    correction: Literal["holm", "none"] = Field("holm", description="of regressions, over all that the rules cover")
    regression: Literal["beyond-margin", "above-zero"] = Field(
        "beyond-margin",
        description="what must be shown for a regression: worse by more than the margin, or worse at all",
    )
    on_inconclusive: OnDoubt = OnDoubt.INCOMPLETE
    on_missing: Literal["incomplete", "fail"] = Field(
        "incomplete", description="a metric that was not run never passes"
    )
    without_identities: Literal["inconclusive", "accept"] = Field(
        "inconclusive",
        description="intervals that ignore shared identities decide nothing, or are accepted as they are",
    )
    rules: tuple[Rule, ...] = Field(min_length=1)
