"""Decide one question: pass, regression, or cannot tell, with the sentence that says why."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from typing import Any

from facebench.metrics import catalogue
from facebench.metrics.paired import identities_to_settle, one_sided_quantile, p_above, side_error
from facebench.schema import Difference, Estimate, Flag, GateFinding, OnDoubt, Outcome, Policy, Rule, point_fields

LIMITED = "Cannot tell: a limited run never passes a gate."
BLIND = {
    Flag.UNRESOLVABLE: "the data holds too few impostor comparisons for this FMR target",
    Flag.NO_GENUINE: "there are no genuine comparisons",
    Flag.NO_IMPOSTOR: "there are no impostor comparisons",
    Flag.INSUFFICIENT: "it is undefined on these counts",
    Flag.NOISY: "the times scatter or drift by more than a tenth: the machine was busy with other work",
    Flag.UNRELIABLE: "a check for hidden gradients failed, so the attack may have been misled",
}


@dataclass(frozen=True)
class Question:
    """One rule and the number it is about: a paired difference, an estimate of the candidate, or none.

    Everything is put on one scale, the *worsening*: how far the candidate lies on the wrong side. A margin asks
    whether it stays below the margin, an absolute bound whether ``bound - value`` (or ``value - bound``) stays below 0.
    """

    number: int
    rule: Rule
    row: Difference | Estimate | None

    @cached_property
    def bound(self) -> float | None:
        """The margin in units of the metric, or 0 for an absolute bound."""
        rule = self.rule
        if not rule.paired:
            return 0.0
        if rule.margin is not None:
            return rule.margin
        base = self.row.base_value if isinstance(self.row, Difference) else None
        return None if base is None or rule.margin_relative is None else rule.margin_relative * abs(base)

    @cached_property
    def worsening(self) -> float | None:
        """How far the candidate lies on the wrong side."""
        if isinstance(self.row, Difference):
            return self.row.worsening
        if self.row is None or self.row.value is None:
            return None
        return self.rule.min - self.row.value if self.rule.min is not None else self.row.value - (self.rule.max or 0.0)

    def errors(self, confidence: float) -> tuple[float, float] | None:
        """Return the standard errors that the lower and the upper limit of the worsening rest on."""
        if isinstance(self.row, Difference):
            error = self.row.standard_error
            return None if error is None else (error, error)
        if self.row is None or self.row.value is None or self.row.ci_low is None:
            return None
        low = side_error(self.row.value, self.row.ci_low, confidence)
        high = side_error(self.row.value, self.row.ci_high, confidence)
        return (high, low) if self.rule.min is not None else (low, high)

    def p_regression(self, policy: Policy) -> float | None:
        """Return the one-sided p-value of "no regression"; None where the number cannot be tested."""
        errors = self.errors(0.95)
        if self.worsening is None or errors is None or self.bound is None or self.blind(policy):
            return None
        line = 0.0 if policy.regression == "above-zero" else self.bound
        return p_above(self.worsening, line, errors[0]) if isfinite(errors[0]) else 1.0

    def blind(self, policy: Policy) -> str:
        """Return why the number can decide nothing; empty when it can."""
        flags = self.row.flags if self.row is not None else ()
        for flag, words in BLIND.items():
            if flag in flags:
                return words
        if isinstance(self.row, Difference) and self.row.higher_is_better is None:
            return "which of two values is better cannot be told from these scores"
        if Flag.NAIVE_INTERVAL in flags and policy.without_identities == "inconclusive":
            return "the data has no identity labels, so its intervals are too narrow to decide"
        return ""


def decide(question: Question, policy: Policy, p_adjusted: float | None, *, limited: bool) -> GateFinding:
    """Return the finding of one question.

    Non-inferior when ``worsening + z SE < margin``; a regression when the corrected p-value of "at most the margin"
    (or of "not worse at all", where the policy says so) is below 1 - confidence; otherwise it cannot be told.
    """
    rule, row = question.rule, question.row
    fields: dict[str, Any] = {
        "rule": question.number, "metric": rule.metric, **point_fields(rule.point), **_part(rule),
        "group": rule.group, "condition": rule.condition,
    }  # fmt: skip
    if row is None:
        reason = (
            f"{_name(rule)} was not measured, or nothing matches group {rule.group} and condition {rule.condition}."
        )
        return _finding(fields, Outcome.MISSING, reason, question, policy)
    value, base = row.value, row.base_value if isinstance(row, Difference) else None
    fields |= {
        **point_fields(row.point), **_part(row), "group": row.group, "condition": row.condition, "value": value,
        "base_value": base, "n_identities": row.n_identities, "n_comparisons": _comparisons(row),
    }  # fmt: skip
    z = one_sided_quantile(policy.confidence)
    errors, worse, bound = question.errors(0.95), question.worsening, question.bound
    blind = question.blind(policy)
    if blind or errors is None or worse is None or bound is None:
        why = blind or "no interval is known for it"
        return _finding(fields, Outcome.INCONCLUSIVE, f"Cannot tell: {why}.", question, policy)
    low, high = worse - z * errors[0], worse + z * errors[1]
    fields |= {"worsening": worse, "bound": _shown_bound(rule, bound), "p_adjusted": p_adjusted}
    fields |= {"lower": low if isfinite(low) else None, "upper": high if isfinite(high) else None}
    fields["p_value"] = question.p_regression(policy)
    if limited:
        return _finding(fields, Outcome.INCONCLUSIVE, LIMITED, question, policy)
    if p_adjusted is not None and p_adjusted < 1 - policy.confidence:
        return _finding(fields, Outcome.REGRESSION, _words(question, fields), question, policy)
    if high < bound or high == bound == worse:
        return _finding(fields, Outcome.PASS, _words(question, fields), question, policy)
    fields["identities_needed"] = identities_to_settle(
        abs(bound - worse), errors[1] if worse < bound else errors[0], row.n_identities or 0, z
    )
    return _finding(fields, Outcome.INCONCLUSIVE, _open(question, fields), question, policy)


def _finding(fields: dict[str, Any], outcome: Outcome, reason: str, question: Question, policy: Policy) -> GateFinding:
    counts_as = outcome
    if outcome is Outcome.INCONCLUSIVE:
        choice = question.rule.on_inconclusive or policy.on_inconclusive
        limited = reason == LIMITED
        if choice is OnDoubt.FAIL:
            counts_as = Outcome.REGRESSION
        elif choice is OnDoubt.PASS and not limited:
            counts_as = Outcome.PASS
    elif outcome is Outcome.MISSING and policy.on_missing == "fail":
        counts_as = Outcome.REGRESSION
    return GateFinding(outcome=outcome, counts_as=counts_as, reason=reason, **fields)


def _comparisons(row: Difference | Estimate) -> int | None:
    if isinstance(row, Difference):
        return row.n_comparisons
    definition = catalogue.metric(row.metric)
    return definition.total(n_genuine=row.n_genuine, n_impostor=row.n_impostor, n_images=row.n_images)


def _shown_bound(rule: Rule, margin: float) -> float:
    if rule.min is not None:
        return rule.min
    return rule.max if rule.max is not None else margin


def _name(rule: Rule) -> str:
    if rule.operating_point is not None:
        return f"{rule.metric} at the threshold {rule.operating_point}"
    return f"{rule.metric} at FMR target {rule.fmr_target:g}" if rule.fmr_target is not None else rule.metric


def _figure(value: float) -> str:
    return f"{value:.3g}"


def _words(question: Question, fields: dict[str, Any]) -> str:
    """Say what was seen, with the limit that decides."""
    if not question.rule.paired:
        side = "at least" if question.rule.min is not None else "at most"
        return f"The candidate has {_figure(fields['value'])}; {side} {_figure(fields['bound'])} is asked for."
    worse, bound = fields["worsening"], fields["bound"]
    seen = (
        f"Worse by {_figure(worse)}" if worse > 0 else f"Better by {_figure(-worse)}" if worse < 0 else "No difference"
    )
    if fields["upper"] is None or fields["lower"] is None:
        return f"{seen}; margin {_figure(bound)}."
    return (
        f"{seen}, at least {_figure(fields['lower'])} and at most {_figure(fields['upper'])}; margin {_figure(bound)}."
    )


def _open(question: Question, fields: dict[str, Any]) -> str:
    needed = fields["identities_needed"]
    more = (
        f" About {needed:,} identities would settle it; there are {fields['n_identities']:,}."
        if needed is not None and fields["n_identities"] is not None
        else " No number of identities can be named that would settle it."
    )
    return f"Cannot tell: {_words(question, fields)[0].lower()}{_words(question, fields)[1:]}{more}"


def _part(row: Rule | Difference | Estimate) -> dict[str, Any]:
    """Return which part of a metric is meant: a rank, a class, a cut-off."""
    return {"k": row.k, "of": row.of, "at": row.at}
