"""Attacks on answers on the page: what the leading figure becomes, whether the rows can be trusted, what they cost."""

from __future__ import annotations

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
    found = _figures(reading, task.primary)
    losses = [
        (loss.value, cell, level)
        for cell, level in _levels(report)
        if (loss := _loss(reading, level.condition)) is not None and loss.value is not None
        and Flag.UNRELIABLE not in loss.flags
    ]  # fmt: skip
    if not losses:
        headline = "Cannot tell what attacks do: every attack shows signs of hidden gradients."
        return [Statement("Attacks", Tone.PLAIN, headline, "See the section on attacks for the checks that failed.")]
    worst, cell, level = max(losses, key=lambda row: row[0])
    e = found.get((level.condition, "all"))
    write = measure(task.primary).write
    limits = "" if e is None or e.ci_low is None else f" ({fmt.interval(e.ci_low, e.ci_high, write)})"
    shown = fmt.MISSING if e is None or e.value is None else write(e.value)
    headline = (
        f"{measure(task.primary).label} {shown}{limits} under {cell.cell.label} {level.eps or ''}, the worst of "
        f"{fmt.plural(len(losses), 'attack')}."
    )
    detail = (
        f"{fmt.k_of_n(level.successes, level.n)} answers that were right became wrong; the attacker has the network. A "
        f"loss of {fmt.number(worst)} on {fmt.plural(report.n_images, 'image')}."
    )
    return [Statement("Attacks", Tone.PLAIN, headline, detail)]


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
