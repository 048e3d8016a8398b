"""Causal sweeps on the page: what changes when one attribute is changed."""

from __future__ import annotations

from collections.abc import Sequence

from facebench.report import charts, tables
from facebench.report import format as fmt
from facebench.report.parts import Block, Chart, Section
from facebench.report.reading import Reading, short_label
from facebench.report.svg import Scale, linear
from facebench.report.tables import Cell, Table
from facebench.schema import Estimate
from facebench.schema.causal import Sweep

MAX_LABEL = 22

Keyed = dict[tuple[str, str, str], Estimate]


def sections(reading: Reading) -> list[Section]:
    """Return the part on causal sweeps, or none when none was asked for."""
    details = reading.result.causal
    if details is None:
        return []
    compared = "another image of the same person" if details.enrolled_other else "the unedited image itself"
    lead = (
        "One attribute of an image was changed and all else stayed, so a change of its score has no other cause. Each "
        f"edited image is compared with {compared}, and its score is held against the score of the unedited image "
        "there. Below zero: the change makes people less like themselves to the model. Intervals treat people as the "
        "sampling unit."
    )
    blocks = tuple(_sweep(reading, sweep, number == 0) for number, sweep in enumerate(details.sweeps))
    return [Section("causal", "One attribute changed", lead, blocks)]


def _sweep(reading: Reading, sweep: Sweep, open_: bool) -> Block:
    estimates = {
        (e.metric, e.condition, e.group): e for e in reading.result.estimates if e.condition.startswith("causal:")
    }
    conditions = [(level, f"causal:{sweep.attribute}={level}") for level in sweep.levels]
    rows = [(level, estimates.get(("score_change", condition, "all"))) for level, condition in conditions]
    drawn: tuple[Chart, ...] = ()
    if any(e is not None and e.value is not None for _, e in rows):
        dots = [charts.dot(fmt.clip(level, MAX_LABEL), e) for level, e in rows]
        scale = _around_zero([e for _, e in rows if e is not None], charts.label_room([dot.label for dot in dots]))
        label = f"Change of score by level of {sweep.attribute}; the table holds the numbers"
        mark = charts.Mark(0.0, 0.0, "no change")
        drawing = charts.dot_plot(dots, scale, "change of score", label, reference=mark)
        caption = f"Change of score when {fmt.clip(sweep.attribute, 40)} is set to a level, with intervals"
        drawn = (Chart(drawing, caption),)
    found = [_level_table(sweep, conditions, estimates)]
    groups = list(dict.fromkeys(group for _, _, group in estimates if group != "all"))
    folded = [_group_table(sweep, conditions, estimates, groups)] if groups else []
    return Block(f"By {fmt.clip(sweep.attribute, 60)}", open_, drawn, tuple(found), tuple(folded))


def _level_table(sweep: Sweep, conditions: Sequence[tuple[str, str]], estimates: Keyed) -> Table:
    rows = []
    for level, condition in conditions:
        change, step, flips = (
            estimates.get((metric, condition, "all")) for metric in ("score_change", "score_step", "fnmr_change")
        )
        pairs = None if change is None else change.n_genuine
        people = None if change is None else change.n_identities
        cells = [_signed(change), _signed(step), _signed(flips), tables.plain(pairs), tables.plain(people)]
        rows.append([tables.text(level), *cells, tables.notes(change, flips)])
    heads = ["Level", "#Change of score", "#From the level before", "#Change of FNMR"]
    heads += ["#Comparisons", "#Identities", "~Notes"]
    return tables.table(f"{fmt.clip(sweep.attribute, 60)} set to each level", heads, rows)


def _group_table(sweep: Sweep, conditions: Sequence[tuple[str, str]], estimates: Keyed, groups: Sequence[str]) -> Table:
    rows = [
        [tables.text(short_label(group))]
        + [_signed(estimates.get(("score_change", condition, group))) for _, condition in conditions]
        for group in groups
    ]
    heads = ["Group", *(f"#{level}" for level, _ in conditions)]
    return tables.table(f"Change of score by group, {fmt.clip(sweep.attribute, 60)} set to each level", heads, rows)


def _signed(e: Estimate | None) -> Cell:
    if e is None or e.value is None:
        return Cell(fmt.MISSING)
    words = fmt.interval(e.ci_low, e.ci_high, _change)
    return Cell(_change(e.value), () if words == fmt.MISSING else (words,), e.value)


def _change(value: float | None) -> str:
    return fmt.MISSING if value is None else f"{value:+.3f}".replace("-", "−")


def _around_zero(known: Sequence[Estimate], room: float) -> Scale:
    values = [0.0, *(v for e in known for v in (e.value, e.ci_low, e.ci_high) if v is not None)]
    margin = 0.08 * (max(values) - min(values) or 1.0)
    return linear(min(values) - margin, max(values) + margin, room, charts.WIDTH - charts.RIGHT)
