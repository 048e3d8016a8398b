"""Statements of the verdict about altered probes and attacks."""

from __future__ import annotations

from facebench.report import format as fmt
from facebench.report.reading import Reading
from facebench.report.statement import Statement, Tone
from facebench.schema import Estimate, Flag
from facebench.schema.attacks import Knowledge
from facebench.sections.robustness.answers_report import answer_statements
from facebench.sections.robustness.attacks.answers_report import attack_statements
from facebench.sections.robustness.words import words

_ENSEMBLE = "attack:ensemble-"


def statements(reading: Reading) -> list[Statement]:
    """Return one statement on altered probes and one on attacks, where the result has them."""
    if reading.result.task is not None:
        return [*answer_statements(reading), *attack_statements(reading)]
    return [*_altered(reading), *_attacked(reading)]


def _altered(reading: Reading) -> list[Statement]:
    details = reading.result.robustness
    if details is None or not details.conditions:
        return []
    tars = {
        e.condition: e
        for e in reading.result.estimates
        if (e.metric, e.group, e.rule, e.failures) == ("tar", "all", "strict", "counted")
        and e.point == reading.primary
        and e.value is not None
    }
    altered = [tars[c] for c in details.conditions if c in tars]
    clean = reading.find("tar", target=reading.primary)
    if not altered or clean is None or clean.value is None:
        return [Statement("Altered probes", Tone.UNKNOWN, "What altered probes cost cannot be told.")]
    worst = min(altered, key=lambda e: e.value or 0.0)
    most = f"TAR {_with_limits(worst)} with {words(worst.condition)}"
    headline = f"{most}, the lowest of {fmt.plural(len(altered), 'condition')}."
    detail = f"Clean probes reach {_with_limits(clean)}, at the same threshold."
    unknown = len(details.conditions) - len(altered)
    if unknown:
        detail += f" What {fmt.plural(unknown, 'further condition')} cost cannot be told."
    return [Statement("Altered probes", Tone.PLAIN, headline, detail)]


def _attacked(reading: Reading) -> list[Statement]:
    details = reading.result.robustness
    if details is None or details.attacks is None:
        return []
    rows = [
        e
        for e in reading.result.estimates
        if e.metric == "attack_success" and e.condition.startswith(_ENSEMBLE) and e.group == "all" and e.group_b is None
    ]
    known = [e for e in rows if e.value is not None and Flag.UNRELIABLE not in e.flags]
    if not known:
        why = " Every attack was marked unreliable by a check for hidden gradients." if rows else ""
        return [Statement("Attacks", Tone.UNKNOWN, "How the model holds under attack cannot be told.", why.strip())]
    # attackers who know more or less are never ranked together: speak of the one who knows most
    tier = min(_tier(e) for e in known)
    worst = max((e for e in known if _tier(e) == tier), key=lambda e: e.value or 0.0)
    ensemble, eps, goal = worst.condition.removeprefix(_ENSEMBLE).split(":")
    knowledge, _, norm = ensemble.rpartition("-")
    n = worst.n_genuine if worst.n_genuine is not None else worst.n_impostor
    headline = f"A {knowledge} attack ({goal}, {norm} {eps}) turned {fmt.k_of_n(worst.errors, n)} comparisons."
    detail = f"A share of {_with_limits(worst)}. Stronger attacks may turn more: this bounds the robustness from above."
    return [Statement("Attacks", Tone.PLAIN, headline, detail)]


def _tier(estimate: Estimate) -> int:
    ensemble = estimate.condition.removeprefix(_ENSEMBLE).partition(":")[0]
    return list(Knowledge).index(Knowledge(ensemble.rpartition("-")[0]))


def _with_limits(estimate: Estimate) -> str:
    limits = fmt.interval(estimate.ci_low, estimate.ci_high, fmt.share)
    return fmt.share(estimate.value) if limits == fmt.MISSING else f"{fmt.share(estimate.value)} ({limits})"
