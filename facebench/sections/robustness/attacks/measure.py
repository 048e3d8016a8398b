"""From attacked embeddings to estimates and the report of attacks: the same function for a run and for rescoring."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.measure.sample import Images
from facebench.metrics.survival import kaplan_meier, median_size
from facebench.schema import Estimate, Point, ProtocolSpec, Unmeasured, point_fields
from facebench.schema.attack_report import (
    AttackReport,
    CellReport,
    Check,
    GoalReport,
    Level,
    Picture,
    Signs,
    Smallest,
    Spent,
    Trace,
)
from facebench.schema.attacks import AttackCell, Goal, Knowledge, epsilon_value
from facebench.scoring import compare_pairs
from facebench.sections.robustness.attacks.masking import Facts, judge
from facebench.sections.robustness.attacks.rates import Judged, condition_estimates, ensemble_estimates
from facebench.sections.robustness.attacks.sample import Victims

Tensors = dict[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Measured:
    """What the model told about one cell.

    Attributes:
        rows: (A,) attacked comparisons, as indices into the victims of the goal.
        arrays: `vectors` (E, A, D) of the 8-bit images; `crossed`, `first`, `distance` (E, A); `trace` (T, A) and
            `trace_at` (T,); `pixels` (A, E, H, W, 3) if images are kept.
    """

    cell: AttackCell
    limit: int
    rows: NDArray[np.int64]
    arrays: Mapping[str, NDArray[Any]]
    signs: Signs
    spent: Spent
    picture: Picture | None = None


@dataclass(frozen=True)
class Part:
    """What attacks add to a result."""

    estimates: tuple[Estimate, ...]
    unmeasured: tuple[Unmeasured, ...]
    details: AttackReport
    tensors: Tensors


KEPT = ("vectors", "crossed", "first", "distance", "trace", "trace_at")


def measure_attacks(
    protocol: ProtocolSpec,
    images: Images,
    vectors: NDArray[np.float32],
    comparator: str,
    threshold: float,
    point: Point | None,
    victims: Sequence[Victims],
    measured: Sequence[Measured],
) -> Part:
    """Return estimates, report and tensors of all cells that were run."""
    by_goal = {one.goal: one for one in victims}
    judged = [judge_cell(one, by_goal[one.cell.goal], vectors, comparator, threshold) for one in measured]
    facts = [Facts(one.cell, found, one.signs, one.arrays) for one, found in zip(measured, judged, strict=True)]
    verdicts = judge(facts)
    cells, estimates = [], []
    confidence = protocol.uncertainty.confidence
    for one, found, checks in zip(measured, judged, verdicts, strict=True):
        found.unreliable = any(check.passed is False for check in checks)
        estimates += condition_estimates(found, protocol, images, threshold, point)
        cells.append(cell_report(one, found.success, found.n_pairs, checks, confidence))
    more, gaps = ensemble_estimates(judged, protocol, images, threshold, point)
    report = AttackReport(
        threshold=threshold, **point_fields(point), cells=tuple(cells),
        goals=tuple(
            GoalReport(goal=one.goal, n_pairs=one.probe.size, n_clean_errors=int(one.wrong.sum())) for one in victims
        ),
    )  # fmt: skip
    return Part((*estimates, *more), tuple(gaps), report, _tensors(victims, measured))


def judge_cell(
    one: Measured, victims: Victims, vectors: NDArray[np.float32], comparator: str, threshold: float
) -> Judged:
    """Compare the attacked probes with the enrolled images, again at the clean threshold."""
    attacked = np.asarray(one.arrays["vectors"], np.float32)
    enrolled = vectors[victims.enrolled[one.rows]]
    n = one.rows.size
    ends = np.arange(n)
    scores = np.stack(
        [compare_pairs(np.concatenate([enrolled, level]), ends, ends + n, comparator) for level in attacked]
    )
    accepted = scores >= np.float32(threshold)
    success = ~accepted if one.cell.goal is Goal.DODGING else accepted
    return Judged(one.cell, victims, min(one.limit, victims.probe.size), one.rows, scores, success)


def cell_report(
    one: Measured, success: NDArray[np.bool_], n_pairs: int, checks: tuple[Check, ...], confidence: float
) -> CellReport:
    """Return what a cell found, from (E, A) whether each budget opened each row, after rounding to 8 bits."""
    return CellReport(
        cell=one.cell, n_pairs=n_pairs, levels=_levels(one, success), smallest=_smallest(one, success, confidence),
        trace=_trace(one), checks=checks, unreliable=any(check.passed is False for check in checks), signs=one.signs,
        spent=one.spent, picture=one.picture,
    )  # fmt: skip


def _sees_float(cell: AttackCell) -> bool:
    """Whether success before rounding was seen on the victim itself."""
    return cell.knowledge is Knowledge.WHITE_BOX


def _crossed(one: Measured, success: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return np.asarray(one.arrays["crossed"], bool) if _sees_float(one.cell) else success


def _levels(one: Measured, success: NDArray[np.bool_]) -> tuple[Level, ...]:
    crossed, distance = _crossed(one, success), np.asarray(one.arrays["distance"], float)
    return tuple(
        Level(
            condition=one.cell.condition(eps), eps=eps, n=one.rows.size, successes=int(success[e].sum()),
            successes_float=int(crossed[e].sum()),
            median_change=float(np.median(distance[e][crossed[e]])) * 255 if crossed[e].any() else None,
        )
        for e, eps in enumerate(one.cell.eps or (None,))
    )  # fmt: skip


def _smallest(one: Measured, success: NDArray[np.bool_], confidence: float) -> Smallest | None:
    """Return the median smallest change: the distance itself of attacks that minimise it, else the smallest budget."""
    cell = one.cell
    if not cell.eps or cell.known.universal:
        return None
    crossed = _crossed(one, success)
    opened = np.asarray(crossed.any(0))
    budgets = np.array([epsilon_value(eps) for eps in cell.eps])
    if cell.known.minimal:
        sizes = np.where(opened, np.asarray(one.arrays["distance"], float)[-1], budgets[-1])
    else:
        sizes = np.where(opened, budgets[crossed.argmax(0)], budgets[-1])
    median, low, high = (
        None if value is None else value * 255 for value in median_size(kaplan_meier(sizes, opened, confidence))
    )
    return Smallest(
        median=median, low=low, high=high, events=int(opened.sum()), censored=int((~opened).sum()),
        cap=float(budgets[-1] * 255), grid=not cell.known.minimal,
    )  # fmt: skip


def _trace(one: Measured) -> Trace | None:
    trace, at = np.asarray(one.arrays["trace"]), one.arrays["trace_at"]
    if not at.size or not trace.size:
        return None
    unit = "queries" if one.cell.knowledge is Knowledge.BLACK_BOX else "steps"
    shares = tuple(round(float(share), 6) for share in trace.astype(float).mean(1))
    return Trace(unit=unit, at=tuple(int(point) for point in at), share=shares)


# ---- what lies beside the result


def _tensors(victims: Sequence[Victims], measured: Sequence[Measured]) -> Tensors:
    found: Tensors = {}
    for one in victims:
        found[f"attacks.{one.goal}.enrolled"], found[f"attacks.{one.goal}.probe"] = one.enrolled, one.probe
    for number, cell in enumerate(measured):
        found[f"attacks.{number}.rows"] = cell.rows
        for name in KEPT:
            value = np.asarray(cell.arrays[name])
            found[f"attacks.{number}.{name}"] = value.astype(np.uint8) if value.dtype == bool else value
    return found


def remeasure_part(
    protocol: ProtocolSpec,
    images: Images,
    vectors: NDArray[np.float32],
    comparator: str,
    stored: AttackReport,
    tensors: Mapping[str, NDArray[Any]],
) -> Part:
    """Compute the part again from the files beside the result; what only the model can tell is taken from `stored`."""
    from facebench.sections.robustness.attacks.sample import victims_from

    victims = [
        victims_from(
            one.goal, tensors[f"attacks.{one.goal}.enrolled"], tensors[f"attacks.{one.goal}.probe"], vectors,
            comparator, stored.threshold,
        )
        for one in stored.goals
    ]  # fmt: skip
    measured = [
        Measured(
            report.cell, report.n_pairs, tensors[f"attacks.{number}.rows"],
            {name: tensors[f"attacks.{number}.{name}"] for name in KEPT}, report.signs, report.spent, report.picture,
        )
        for number, report in enumerate(stored.cells)
    ]  # fmt: skip
    return measure_attacks(protocol, images, vectors, comparator, stored.threshold, stored.point, victims, measured)
