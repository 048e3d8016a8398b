"""Turns what was seen of a cell into checks; a failed one makes the cell unreliable, and unreliable rows never rank."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from facebench.schema.attack_report import Check, Signs
from facebench.schema.attacks import AttackCell, Knowledge, Norm

ZERO_GRADIENTS = 0.05
AGREEMENT = 0.5
SCATTER = 1e-4
RESTART_GAIN = 0.15
RESCALED = 0.9
SLACK = 0.02  # of the pairs, and at least one pair


class Opened(Protocol):
    """Which rows were attacked, (A,), and which of them each budget opened, (E, A)."""

    rows: NDArray[np.int64]
    success: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Facts:
    """What is known of one cell."""

    cell: AttackCell
    judged: Opened
    signs: Signs
    arrays: Mapping[str, NDArray[Any]]

    def crossed(self) -> NDArray[np.bool_]:
        """Return (E, A) success before rounding on the victim, where it was seen."""
        return np.asarray(self.arrays["crossed"], bool)


def judge(facts: Sequence[Facts]) -> list[tuple[Check, ...]]:
    """Return the checks of every cell; some hold cells against each other."""
    return [(*_own(fact), *_against(fact, facts)) for fact in facts]


def _own(fact: Facts) -> tuple[Check, ...]:
    cell, signs = fact.cell, fact.signs
    checks = [_monotone_in_budget(fact)]
    if cell.knowledge is not Knowledge.WHITE_BOX:
        return tuple(checks)
    at_most, at_least = (lambda v, limit: v <= limit), (lambda v, limit: v >= limit)
    broken = max(signs.broken_gradients or 0.0, float(signs.broken))
    return (
        _limit("finite", broken, 0.0, at_most, "share of gradients with NaN or infinity; 1 when a score is NaN"),
        _limit("repeatable", signs.scatter, SCATTER, at_most, "largest difference of two answers to the same face"),
        _limit("gradients", signs.zero_gradients, ZERO_GRADIENTS, at_most, "share of gradients that are zero"),
        _limit("finite-differences", signs.agreement, AGREEMENT, at_least, "agreement of gradients with differences"),
        _limit("unbounded", signs.free, 1.0, at_least, f"opened without a budget, of {signs.n_pairs} pairs"),
        _limit("scale", signs.rescaled, RESCALED, at_least, "verdicts that stay when the logits are scaled by 4"),
        *checks, _monotone_in_steps(fact), _restarts(fact),
    )  # fmt: skip


def _limit(name: str, value: float | None, limit: float, holds: Callable[[float, float], bool], detail: str) -> Check:
    passed = None if value is None else bool(holds(value, limit))
    return Check(name=name, passed=passed, value=None if value is None else round(value, 6), limit=limit, detail=detail)


def _slack(n: int) -> float:
    return max(1.0, SLACK * n)


def _monotone_in_budget(fact: Facts) -> Check:
    counts = fact.judged.success.sum(1)
    name, detail = "budget", "pairs lost when the budget grows"
    if counts.size < 2 or not fact.cell.known.iterative:
        return Check(name=name, passed=None, detail="one budget, or one step" if counts.size < 2 else "one step")
    lost = float((np.maximum.accumulate(counts) - counts).max())
    return Check(name=name, passed=lost <= _slack(fact.judged.rows.size), value=lost, detail=detail)


def _monotone_in_steps(fact: Facts) -> Check:
    trace = np.asarray(fact.arrays["trace"], float)
    if len(trace) < 3 or fact.cell.attack == "apgd":
        return Check(name="steps", passed=None, detail="no course of steps is known")
    counts = trace.sum(1)
    lost = float(counts.max() - counts[-1])
    return Check(name="steps", passed=lost <= _slack(trace.shape[1]), value=lost, detail="pairs lost by the last step")


def _restarts(fact: Facts) -> Check:
    if (fact.cell.restarts or fact.cell.known.restarts) < 2:
        return Check(name="restarts", passed=None, detail="one start")
    gain = float((fact.crossed().mean(1) - np.asarray(fact.arrays["first"], float).mean(1)).max())
    n = fact.judged.rows.size
    return Check(
        name="restarts", passed=gain * n <= max(2.0, RESTART_GAIN * n), value=round(gain, 6), limit=RESTART_GAIN,
        detail="share of pairs that only a further start opened",
    )  # fmt: skip


def _against(fact: Facts, every: Sequence[Facts]) -> tuple[Check, ...]:
    """A weaker attacker who does better than all white-box attacks together shows that gradients misled those."""
    if not _strong(fact.cell):
        return ()
    peers = [other for other in every if _strong(other.cell) and _comparable(other.cell, fact.cell)]
    rivals = [other for other in every if not _strong(other.cell) and _comparable(other.cell, fact.cell)]
    if not rivals:
        return (Check(name="weaker-attackers", passed=None, detail="no weaker attack was run at these budgets"),)
    lead, n, label = max((*_lead(rival, peers), rival.cell.label) for rival in rivals)
    detail = f"pairs by which {label} does better than every white-box attack together"
    return (Check(name="weaker-attackers", passed=lead <= _slack(n), value=lead, detail=detail),)


def _strong(cell: AttackCell) -> bool:
    return cell.knowledge is Knowledge.WHITE_BOX and cell.known.iterative and not cell.known.universal


def _comparable(a: AttackCell, b: AttackCell) -> bool:
    return a.goal is b.goal and a.norm is b.norm and a.norm is not Norm.PATTERN and not a.known.universal


def _lead(rival: Facts, peers: Sequence[Facts]) -> tuple[float, int]:
    """Return by how many pairs a rival opened more than its peers together, at the worst budget, and of how many."""
    worst = (0.0, rival.judged.rows.size)
    for e, eps in enumerate(rival.cell.eps):
        same = [peer for peer in peers if eps in peer.cell.eps]
        if not same:
            continue
        shared = rival.judged.rows
        for peer in same:
            shared = np.intersect1d(shared, peer.judged.rows)
        theirs = rival.judged.success[e][np.isin(rival.judged.rows, shared)]
        ours = np.zeros(shared.size, bool)
        for peer in same:
            ours |= peer.judged.success[peer.cell.eps.index(eps)][np.isin(peer.judged.rows, shared)]
        worst = max(worst, (float(theirs.sum()) - float(ours.sum()), int(shared.size)))
    return worst
