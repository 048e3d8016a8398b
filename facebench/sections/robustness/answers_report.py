"""Answers under conditions on the page: what each condition costs, worst first, and the groups."""

from __future__ import annotations

from facebench.report import charts, tables
from facebench.report import format as fmt
from facebench.report.parts import Block, Chart, Section
from facebench.report.reading import Reading, short_label
from facebench.report.statement import Statement, Tone
from facebench.report.svg import linear
from facebench.report.tables import Cell
from facebench.report.wording import measure
from facebench.schema import Estimate
from facebench.schema.robustness import family_of, kind_of, level_of

MAX_DRAWN = 30


def answer_sections(reading: Reading) -> list[Section]:
    """Return the part on altered pictures of a result of a task; none where nothing was altered."""
    details, task = reading.result.robustness, reading.result.task
    if details is None or task is None or not details.conditions:
        return []
    losses = _losses(reading)
    found = {(e.condition, e.group): e for e in reading.result.estimates if e.metric == task.primary and e.of is None}
    label, write = measure(task.primary).label, measure(task.primary).write
    rows = [
        [
            Cell(words(e.condition)), tables.value(found.get((e.condition, "all")), write),
            tables.value(e, fmt.number), tables.notes(e),
        ]
        for e in losses
    ]  # fmt: skip
    lead = (
        "The same pictures altered, and judged again. The loss is how much worse the leading figure becomes, on the "
        "same images; above zero the condition costs something. Where a picture has no landmarks, a corruption is "
        "scaled for a face that fills it."
    )
    main = tables.table(f"{label} under each condition, worst first", ["Condition", "#Value", "#Loss", "Notes"], rows)
    groups = list(dict.fromkeys(group for _, group in found if "=" in group))
    folded = tables.table(
        f"{label} of each group",
        ["Condition", *(f"#{short_label(group)}" for group in groups)],
        [
            [Cell(words(e.condition)), *(tables.value(found.get((e.condition, group)), write) for group in groups)]
            for e in losses
        ],
    )
    block = Block(charts=_drawn(losses), tables=(main,), folded=(folded,) if groups else ())
    return [Section("altered", "Altered pictures", lead, (block,))]


def answer_statements(reading: Reading) -> list[Statement]:
    """Say what the worst condition costs."""
    losses = [e for e in _losses(reading) if e.value is not None]
    task = reading.result.task
    if not losses or task is None:
        return []
    worst = losses[0]
    write = measure(task.primary).write
    limits = fmt.interval(worst.ci_low, worst.ci_high, fmt.number)
    after = next(
        (e for e in reading.result.estimates
         if (e.metric, e.group, e.of, e.condition) == (task.primary, "all", None, worst.condition)),
        None,
    )  # fmt: skip
    value = f"{measure(task.primary).label} {write(after.value)}" if after else "It"
    headline = f"{value} with {words(worst.condition)}, the worst of {fmt.plural(len(losses), 'condition')}."
    detail = f"A loss of {fmt.number(worst.value)}" + (f" ({limits})." if limits != fmt.MISSING else ".")
    return [Statement("Altered pictures", Tone.PLAIN, headline, detail)]


def words(condition: str) -> str:
    """Return a condition in words.

    >>> words("corruption:gaussian_noise:3")
    'gaussian noise, 3'
    """
    name, level = kind_of(condition).partition(":")[2].replace("_", " "), level_of(condition)
    return name if level is None else f"{name}, {level}"


def _losses(reading: Reading) -> list[Estimate]:
    rows = [e for e in reading.result.estimates if e.metric == "answer_loss" and family_of(e.condition) != "attack"]
    return sorted(rows, key=lambda e: -(e.value if e.value is not None else float("-inf")))


def _drawn(losses: list[Estimate]) -> tuple[Chart, ...]:
    known = [v for e in losses for v in (e.value, e.ci_low, e.ci_high) if v is not None]
    if not known:
        return ()
    dots = [charts.dot(words(e.condition), e) for e in losses[:MAX_DRAWN]]
    room = charts.label_room([d.label for d in dots])
    scale = linear(min(0.0, *known), max(known) * 1.05 or 1.0, room, charts.WIDTH - charts.RIGHT)
    mark = charts.Mark(0.0, 0.0, "clean")
    drawing = charts.dot_plot(dots, scale, "loss", "Loss under each condition; the table holds it", reference=mark)
    return (Chart(drawing, "What each condition costs, with intervals"),)
