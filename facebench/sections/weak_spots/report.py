"""Where it fails: the slices that were tested, each with its errors, its interval and its size."""

from __future__ import annotations

from facebench.report import format as fmt
from facebench.report.parts import Block, Section
from facebench.report.reading import Reading
from facebench.report.statement import Statement, Tone
from facebench.report.tables import Cell, notes, plain, table, text, value
from facebench.report.wording import measure
from facebench.schema import Estimate
from facebench.schema.weak_spots import WeakSpotDetails


def sections(reading: Reading) -> list[Section]:
    """Return the part on weak spots; none where nobody asked."""
    details = reading.result.weak_spots
    if details is None:
        return []
    found = _by_slice(reading)
    rows = []
    for spot in details.spots:
        inside, more = found[spot.name]
        write = measure(inside.metric).write
        rows.append(
            [
                text(spot.name), value(inside, write), Cell(write((more.nulls or {}).get("elsewhere"))),
                value(more, fmt.number), plain(inside.n_images), plain(inside.n_identities),
                Cell(fmt.number(more.p_holm)), text("confirmed" if spot.confirmed else "not confirmed"), notes(more),
            ]
        )  # fmt: skip
    searched, tested = (fmt.count(n) for n in details.units)
    lead = (
        f"{fmt.count(details.searched)} slices, by {', '.join(details.columns) or 'no column'} alone and in twos, were "
        f"searched on one half of the units ({searched}, {details.unit}) for those with the most losses "
        f"({details.loss}). The worst were tested on the other half ({tested}), which had no say in the choice; "
        "p-values are corrected for their number (Holm). Numbers are cut into thirds. A slice says where errors are, "
        "not why."
    )
    columns = [
        "Slice", "#Loss there", "#Elsewhere", "#Excess", "#Images", "#Units", "#p (Holm)", "Other half", "~Notes",
    ]  # fmt: skip
    block = Block(tables=(table("Slices tested, the worst of the search first", columns, rows),) if rows else ())
    empty = "No slice with more errors held enough units in both halves to be tested."
    return [Section("weak-spots", "Where it fails", lead, (block,) if rows else (), empty)]


def statements(reading: Reading) -> list[Statement]:
    """Say where it fails, or how large an excess may have gone unseen."""
    details = reading.result.weak_spots
    if details is None:
        return []
    found = _by_slice(reading)
    confirmed = [spot.name for spot in details.spots if spot.confirmed]
    if confirmed:
        worst = max(confirmed, key=lambda name: found[name][1].value or 0.0)
        return [Statement("Where it fails", Tone.PLAIN, _sentence(details, *found[worst]), _others(confirmed, worst))]
    if details.unit == "image":
        why = "The data does not say which images belong together, so that one person may be in both halves."
        return [Statement("Where it fails", Tone.UNKNOWN, "Where it fails cannot be told.", why)]
    if not details.spots:
        why = "No slice held enough units in both halves to be tested."
        return [Statement("Where it fails", Tone.UNKNOWN, "Where it fails cannot be told.", why)]
    highs = [more.ci_high for _, more in found.values() if more.ci_high is not None]
    tested = fmt.plural(len(details.spots), "worst slice")
    headline = f"None of the {tested} found ({details.loss}) was confirmed on the other half."
    detail = f"An excess of up to {fmt.number(max(highs))} in one of them may have gone unseen." if highs else ""
    return [Statement("Where it fails", Tone.UNKNOWN, headline, detail)]


def _sentence(details: WeakSpotDetails, inside: Estimate, more: Estimate) -> str:
    write = measure(inside.metric).write
    limits = fmt.interval(inside.ci_low, inside.ci_high, write)
    elsewhere = write((more.nulls or {}).get("elsewhere"))
    size = fmt.plural(inside.n_images or 0, "image")
    return f"Worst where {inside.of}: {details.loss} {write(inside.value)} ({limits}, {size}), elsewhere {elsewhere}."


def _others(confirmed: list[str], worst: str) -> str:
    rest = [name for name in confirmed if name != worst]
    words = "Found on one half of the units and confirmed on the other."
    return f"{words} Also confirmed: {'; '.join(rest)}." if rest else words


def _by_slice(reading: Reading) -> dict[str, tuple[Estimate, Estimate]]:
    rows = [e for e in reading.result.estimates if e.metric.startswith("weak_spot")]
    first = {e.of: e for e in rows if e.metric != "weak_spot_excess"}
    return {str(e.of): (first[e.of], e) for e in rows if e.metric == "weak_spot_excess"}
