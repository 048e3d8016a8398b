"""Tables of the measures that compare all groups, with what alike groups would show."""

from __future__ import annotations

from facebench.metrics.catalogue import Kind, metric
from facebench.report import format as fmt
from facebench.report.reading import Reading, grouping_label
from facebench.report.tables import CONTROL, Cell, Table, Write, limits, notes, plain, table
from facebench.report.wording import Measure, estimate_words, measure
from facebench.schema import Estimate


def differentials(reading: Reading, grouping: str) -> Table:
    """Tabulate the measures that compare all groups, each with its expectation were all groups alike."""
    rows = []
    for e in reading.differentials(grouping):
        words = measure(e.metric)
        write = words.write
        shown = write(e.value) if e.value is not None else "undefined"
        rows.append(
            [
                Cell(fmt.clip(words.label, 60)),
                Cell(shown, limits(e, write), e.value),
                _expected(e, write),
                _excess(e, write),
                Cell(fmt.p_value(e.p_value), _corrected(e), e.p_value),
                Cell(_alike(e, words)),
                Cell(estimate_words(e), _power(e)),
            ]
        )
    columns = ["Measure", "#Value", "#Expected if all alike", "#Excess", "#p", "~How to read it", "~Notes"]
    caption = f"Differential measures by {grouping_label(grouping)}"
    family = next((e.family for e in reading.differentials(grouping) if e.family), None)
    note = "Each p-value is for its own measure; none is corrected for the number of measures shown."
    if family:
        note = (
            f"Tests of equal rates: {family} at this operating point. Holm's correction is for claims, the q value of "
            "Benjamini and Hochberg for exploration."
        )
    return table(fmt.clip(caption), columns, rows, note if any(e[4].sort is not None for e in rows) else "")


def _expected(e: Estimate, write: Write) -> Cell:
    return Cell(write(e.expected_if_fair), ("median",) if e.expected_as == "median" else (), e.expected_if_fair)


def _excess(e: Estimate, write: Write) -> Cell:
    """Return the excess over chance; of a ratio how many times what chance would show."""
    shown = f"× {write(e.excess)}" if e.excess_as == "ratio" else write(e.excess)
    return Cell(shown, _between(e.excess_low, e.excess_high, write), e.excess)


def _alike(e: Estimate, words: Measure) -> str:
    """Return how to read a measure; alike groups show what is expected of a sample, not what their true rates would."""
    if e.expected_if_fair is None or e.value is None:
        return words.reading
    true = words.reading.replace("means alike", "means alike true rates").replace("(alike)", "(alike true rates)")
    return f"{true} In samples of this size alike groups show about {words.write(e.expected_if_fair)}."


def _between(low: float | None, high: float | None, write: Write) -> tuple[str, ...]:
    words = fmt.interval(low, high, write)
    return () if words == fmt.MISSING else (words,)


def _corrected(e: Estimate) -> tuple[str, ...]:
    if e.p_holm is None or e.q_value is None:
        return ()
    return f"Holm {fmt.p_value(e.p_holm)}", f"q {fmt.p_value(e.q_value)}"


def _power(e: Estimate) -> tuple[str, ...]:
    if e.detectable_ratio is None:
        return ()
    return (f"80% power from a ratio of {fmt.number(e.detectable_ratio)}",)


def controls(reading: Reading) -> Table:
    """Tabulate what shuffled labels show: nothing, if intervals and tests hold."""
    rows = []
    for e in reading.result.estimates:
        if e.condition != CONTROL or metric(e.metric).kind not in (Kind.GAP, Kind.TEST) or e.value is None:
            continue
        words = measure(e.metric)
        rows.append(
            [
                Cell(f"{words.label} at {fmt.target(e.point)}"),
                Cell(words.write(e.value), limits(e, words.write), e.value),
                _expected(e, words.write),
                _excess(e, words.write),
                plain(e.p_value, fmt.p_value),
                notes(e),
            ]
        )
    columns = ["Measure", "#Value", "#Expected if all alike", "#Excess", "#p", "~Notes"]
    return table("Groups of people with shuffled labels", columns, rows)
