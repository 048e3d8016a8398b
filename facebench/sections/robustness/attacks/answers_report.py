"""Attacks on answers on the page: what the leading figure becomes, whether the rows can be trusted, what they cost."""

from __future__ import annotations

from collections.abc import Callable

from facebench.report import format as fmt
from facebench.report.parts import Block, Section
from facebench.report.reading import Reading, short_label
from facebench.report.statement import Statement, Tone
from facebench.report.tables import Cell, notes, plain, table, text, value
from facebench.report.wording import measure
from facebench.schema import Estimate, Flag
from facebench.schema.attack_report import AnswerAttackReport, CellReport, Level
from facebench.sections.robustness.attacks.report import checks_table, ledger_table


def attack_sections(reading: Reading) -> list[Section]:
    """Return the part on attacks of a result of a task; none where there were none."""
    report, task = _report(reading), reading.result.task
    if report is None or task is None:
        return []
    label, write = measure(task.primary).label, measure(task.primary).write
    found = _figures(reading, task.primary)
    groups = list(dict.fromkeys(group for _, group in found if "=" in group))
    rows, by_group = [], []
    for cell, level in _levels(report):
        e, loss = found.get((level.condition, "all")), _loss(reading, level.condition)
        rows.append(
            [
                text(f"{cell.cell.label} {level.eps or ''}"), value(e, write), value(loss, fmt.number),
                Cell(fmt.number(level.successes / max(level.n, 1)), (fmt.k_of_n(level.successes, level.n),)),
                plain(level.median_change, fmt.number),
                Cell("unreliable") if cell.unreliable else notes(loss),
            ]
        )  # fmt: skip
        by_group.append(
            [text(f"{cell.cell.label} {level.eps or ''}")]
            + [value(found.get((level.condition, group)), write) for group in groups]
        )
    lead = (
        f"The pictures of {fmt.plural(report.n_images, 'answer')}, drawn at random, changed by an attacker who has the "
        f"network. Attacked is the {report.margin}. {fmt.plural(report.n_clean_errors, 'answer')} were wrong before: "
        "they stay as they are and count as wrong. Success is judged on 8-bit images, saved and read again. The loss "
        "is against the same images as they were. Rows marked unreliable may have been misled by hidden gradients, and "
        "a real attacker may do better."
    )
    main = table(
        f"{label} of attacked pictures",
        ["Attack", "#Value", "#Loss", "#Made wrong", "#Median change / 255", "~Notes"],
        rows,
    )
    folded = table(f"{label} of each group", ["Attack", *(f"#{short_label(group)}" for group in groups)], by_group)
    blocks = (
        Block(tables=(main,), folded=(folded,) if groups else ()),
        Block(
            "Can the rows be trusted?", any(cell.unreliable for cell in report.cells),
            tables=(checks_table(report.cells),),
        ),
        Block("What it cost", False, tables=(ledger_table(report.cells, "Images"),)),
    )  # fmt: skip
    return [Section("attacks", "Attacks", lead, blocks)]


def attack_statements(reading: Reading) -> list[Statement]:
    """Say what the worst attack that can be trusted leaves of the leading figure."""
    report, task = _report(reading), reading.result.task
    if report is None or task is None:
        return []
    levels = [(cell, level, _loss(reading, level.condition)) for cell, level in _levels(report)]
    trusted = [(cell, level, loss) for cell, level, loss in levels if loss is None or Flag.UNRELIABLE not in loss.flags]
    losses = [(cell, level, loss) for cell, level, loss in trusted if loss is not None and loss.value is not None]
    doubtful, unknown = len(levels) - len(trusted), len(trusted) - len(losses)
    if not losses:
        return [Statement("Attacks", Tone.PLAIN, *_cannot_tell(doubtful, unknown))]
    cell, level, loss = max(losses, key=lambda row: row[2].value or 0.0)
    e = _figures(reading, task.primary).get((level.condition, "all"))
    write = measure(task.primary).write
    shown = fmt.MISSING if e is None or e.value is None else write(e.value)
    others = [f"{doubtful} cannot"] if doubtful else []
    others += [f"{unknown} without a loss"] if unknown else []
    beside = f" ({', '.join(others)})" if others else ""
    headline = (
        f"{measure(task.primary).label} {shown}{_limits(e, write)} under {cell.cell.label} {level.eps or ''}, the "
        f"worst of {fmt.plural(len(losses), 'attack budget')} that can be trusted{beside}."
    )
    detail = (
        f"{fmt.k_of_n(level.successes, level.n)} answers that were right became wrong; the attacker has the network. A "
        f"loss of {fmt.number(loss.value)}{_limits(loss, fmt.number)} on {fmt.plural(cell.n_pairs, 'image')}."
    )
    return [Statement("Attacks", Tone.PLAIN, headline, detail)]


def _cannot_tell(doubtful: int, unknown: int) -> tuple[str, str]:
    """Return headline and detail where no budget has a loss that can be trusted."""
    where = "See the section on attacks for the checks that failed."
    if not unknown:
        return "Cannot tell what attacks do: every attack shows signs of hidden gradients.", where
    if not doubtful:
        return "Cannot tell what attacks do: no loss can be computed on these images.", ""
    budgets = fmt.plural(doubtful + unknown, "attack budget")
    headline = f"Cannot tell what attacks do: {doubtful} of {budgets} show signs of hidden gradients."
    return headline, f"No loss can be computed for the other {unknown}. {where}"


def _limits(e: Estimate | None, write: Callable[[float | None], str]) -> str:
    return "" if e is None or e.ci_low is None else f" ({fmt.interval(e.ci_low, e.ci_high, write)})"


def _report(reading: Reading) -> AnswerAttackReport | None:
    details = reading.result.robustness
    return None if details is None else details.answer_attacks


def _levels(report: AnswerAttackReport) -> list[tuple[CellReport, Level]]:
    return [(cell, level) for cell in report.cells for level in cell.levels]


def _figures(reading: Reading, primary: str) -> dict[tuple[str, str], Estimate]:
    return {(e.condition, e.group): e for e in reading.result.estimates if e.metric == primary and e.of is None}


def _loss(reading: Reading, condition: str) -> Estimate | None:
    rows = (e for e in reading.result.estimates if e.metric == "answer_loss" and e.condition == condition)
    return next(rows, None)
