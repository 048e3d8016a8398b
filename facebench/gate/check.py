"""Apply a policy to a comparison: every rule to every group and condition it covers, then one verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from facebench.errors import ExitCode, InputError
from facebench.gate.decide import Question, decide
from facebench.gate.policy import check_metrics, policy_sha256
from facebench.metrics.families import holm
from facebench.schema import (
    Comparison,
    Difference,
    Estimate,
    GateFinding,
    Outcome,
    Point,
    Policy,
    Result,
    Rule,
    Verdict,
)
from facebench.schema.timed import timed_estimates

LEVEL = {Outcome.REGRESSION: 3, Outcome.MISSING: 2, Outcome.INCONCLUSIVE: 1, Outcome.PASS: 0}


def check_gate(comparison: Comparison, candidate: Result, policy: Policy) -> Verdict:
    """Return whether the candidate may replace the base.

    Args:
        comparison: of exactly two results, the base first.
        candidate: the second result, which absolute bounds are read from.
        policy: the rules.

    Raises:
        InputError: the comparison holds more than two models, the candidate is not its second one, or a rule names a
            metric that does not exist or has no better direction.
    """
    if len(comparison.models) != 2 or comparison.models[1].result_id != candidate.result_id:
        raise InputError("a gate takes a base and one candidate: compare exactly these two results")
    check_metrics(policy, where=f"policy {policy.name}")
    questions = [
        question
        for number, rule in enumerate(policy.rules, 1)
        for question in _ask(number, rule, comparison, candidate)
    ]
    tested = [i for i, q in enumerate(questions) if q.p_regression(policy) is not None]
    raw = [questions[i].p_regression(policy) or 0.0 for i in tested]
    adjusted = dict(zip(tested, holm(raw) if policy.correction == "holm" else raw, strict=True))
    limited = any(model.limit is not None for model in comparison.models)
    findings = [decide(question, policy, adjusted.get(i), limited=limited) for i, question in enumerate(questions)]
    return _verdict(comparison, policy, findings, len(tested), limited=limited)


def _ask(number: int, rule: Rule, comparison: Comparison, candidate: Result) -> list[Question]:
    """Return the questions one rule puts: one per group and condition; none known gives one that is missing."""
    target = rule.point
    rows: Sequence[Difference | Estimate] = comparison.differences if rule.paired else _of(candidate)
    primary = comparison.protocol.primary
    found = [row for row in rows if _covers(rule, row, primary if target is None else target)]
    if not rule.paired:
        found = [row for row in found if isinstance(row, Estimate) and _counts(row)]
    if not found:
        return [Question(number, rule, None)]
    return [Question(number, rule, row) for row in found]


def _of(candidate: Result) -> tuple[Estimate, ...]:
    return (*candidate.estimates, *timed_estimates(candidate))


def _covers(rule: Rule, row: Difference | Estimate, target: Point) -> bool:
    return (
        row.metric == rule.metric
        and (row.point is None or row.point == target)
        and (rule.point is None or row.point == rule.point)
        and (rule.k is None or row.k == rule.k)
        and row.of == rule.of
        and (rule.at is None or row.at == rule.at)
        and matches(rule.group, row.group)
        and matches(rule.condition, row.condition)
    )


def _counts(estimate: Estimate) -> bool:
    return estimate.rule == "strict" and estimate.failures == "counted" and estimate.group_b is None


def matches(pattern: str, name: str) -> bool:
    """Tell whether a group or condition fits a pattern; a star does not reach across an ampersand.

    >>> matches("sex=*", "sex=female"), matches("sex=*", "sex=female&tone=1"), matches("sex=*&tone=*", "sex=f&tone=1")
    (True, False, True)
    """
    parts, names = pattern.split("&"), name.split("&")
    if pattern == "*":
        return True
    return len(parts) == len(names) and all(fnmatchcase(n, p) for n, p in zip(names, parts, strict=True))


@dataclass(frozen=True)
class _Summary:
    """The verdict over all findings, before it is written down."""

    outcome: Outcome
    exit_code: ExitCode


def _summary(findings: Sequence[GateFinding]) -> _Summary:
    worst = max((f.counts_as for f in findings), key=LEVEL.__getitem__)
    code = {Outcome.PASS: ExitCode.PASS, Outcome.REGRESSION: ExitCode.REGRESSION}.get(worst, ExitCode.INCOMPLETE)
    return _Summary(worst, code)


def _verdict(
    comparison: Comparison, policy: Policy, findings: Sequence[GateFinding], family: int, *, limited: bool
) -> Verdict:
    base, candidate = comparison.models
    found = _summary(findings)
    notes = [*comparison.cautions]
    if candidate.label in comparison.identical:
        notes.insert(
            0, "Both results hold the same embeddings, to the last bit: differences on untouched images are zero."
        )
    overlooked = [f for f in findings if f.outcome is Outcome.INCONCLUSIVE and f.counts_as is Outcome.PASS]
    if overlooked:
        notes.append(f"{len(overlooked)} inconclusive findings were let through: the policy says so.")
    if limited:
        notes.append("A limited run never passes.")
    return Verdict(
        outcome=found.outcome, exit_code=found.exit_code, headline=_headline(found.outcome, findings, candidate.label),
        policy=policy.name, policy_sha256=policy_sha256(policy), confidence=policy.confidence,
        base=base.label, candidate=candidate.label, base_result_id=base.result_id,
        candidate_result_id=candidate.result_id, protocol=comparison.protocol.name,
        findings=tuple(findings), family_size=family, notes=tuple(dict.fromkeys(notes)),
    )  # fmt: skip


def _headline(outcome: Outcome, findings: Sequence[GateFinding], candidate: str) -> str:
    counts = {kind: sum(f.outcome is kind for f in findings) for kind in Outcome}
    listed = ", ".join(f"{n} {kind.value}" for kind, n in counts.items() if n)
    words = {
        Outcome.PASS: f"Pass: {candidate} stays within every margin",
        Outcome.REGRESSION: f"Regression: {candidate} is worse than the policy allows",
        Outcome.INCONCLUSIVE: f"Cannot tell whether {candidate} stays within the margins",
        Outcome.MISSING: f"Incomplete: {candidate} was not measured for every rule",
    }
    return f"{words[outcome]} ({listed} of {len(findings)})."
