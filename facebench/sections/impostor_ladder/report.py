"""The impostor ladder on the page: strangers who are alike."""

from __future__ import annotations

from facebench.report import charts, tables
from facebench.report import format as fmt
from facebench.report.parts import Block, Chart, Section
from facebench.report.reading import Reading
from facebench.report.svg import logarithmic
from facebench.report.tables import Cell
from facebench.schema import Estimate, Point

MAX_LABEL = 22


def sections(reading: Reading) -> list[Section]:
    """Return the part on the ladder, or none when no ladder was asked for."""
    details = reading.result.impostor_ladder
    if details is None:
        return []
    lead = (
        "How often two strangers are taken for one person as they become more alike, at the one common threshold. A "
        "rate measured on random strangers flatters a system whose impostors share sex, race and age."
    )
    second = details.second_model
    if second is not None:
        lead += (
            f" Look-alikes are each image's nearest strangers by another model ({fmt.clip(second.name, 60)}). They "
            "were picked for being alike, so their rate is no false match rate and enters none."
        )
    rows = [(rung, words, _at(reading, rung)) for rung, words in details.rungs.items()]
    known = [e for _, _, e in rows if e is not None and e.value is not None]
    drawn: tuple[Chart, ...] = ()
    if known:
        dots = [charts.dot(_rung_name(rung), e) for rung, _, e in rows]
        values = [v for e in known for v in (e.value, e.ci_low, e.ci_high) if v]
        room = charts.label_room([dot.label for dot in dots])
        scale = logarithmic(min(values) / 1.3, min(1.0, max(values) * 1.3), room, charts.WIDTH - charts.RIGHT)
        title = "share of strangers accepted"
        mark = charts.Mark(reading.expected_fmr or 0.0, 0.0, "target")
        drawing = charts.dot_plot(dots, scale, title, f"{title} per rung; the table holds the numbers", reference=mark)
        drawn = (Chart(drawing, f"Strangers accepted at {fmt.point(reading.primary)}, with intervals"),)
    found = tables.table(
        "The impostor ladder at every operating point",
        ["Strangers", *(f"#{head}" for t in reading.targets for head in (f"At {fmt.target(t)}", "Accepted"))],
        [
            [tables.text(words), *(cell for t in reading.targets for cell in _rung_cells(reading, rung, t))]
            for rung, words, _ in rows
        ],
    )
    return [Section("ladder", "Strangers who are alike", lead, (Block(charts=drawn, tables=(found,)),))]


def _rung_name(rung: str) -> str:
    return fmt.clip(rung.partition(":")[2].replace("-", " "), MAX_LABEL)


def _at(reading: Reading, rung: str, target: Point | None = None) -> Estimate | None:
    wanted = reading.primary if target is None else target
    return next(
        (
            e
            for e in reading.result.estimates
            if e.condition == rung and e.point == wanted and e.metric in ("fmr", "lookalike_match_rate")
        ),
        None,
    )


def _rung_cells(reading: Reading, rung: str, target: Point) -> tuple[Cell, Cell]:
    e = _at(reading, rung, target)
    if e is None:
        return Cell(fmt.MISSING), Cell(fmt.MISSING)
    worth = () if e.n_eff is None else (f"effective n {fmt.count(e.n_eff)}",)
    return tables.value(e, fmt.fmr), Cell(fmt.k_of_n(e.errors, e.n_impostor), worth, e.errors)
