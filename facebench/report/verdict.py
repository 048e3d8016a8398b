"""The verdict: what was measured and what can be said of it, in sentences that come before any table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from facebench.report import format as fmt
from facebench.report.reading import (
    BLIND,
    Reading,
    comparisons,
    grouping_label,
    short_label,
    upper_bound,
)
from facebench.report.wording import FLAGS
from facebench.schema import Estimate, Flag, Result


class Tone(StrEnum):
    """How a statement is marked: by a word and a shape, never by colour alone."""

    PLAIN = "plain"
    FINDING = "finding"
    UNKNOWN = "unknown"
    CAUTION = "caution"


@dataclass(frozen=True)
class Statement:
    """One part of the verdict: a headline that stands alone, and the numbers behind it."""

    topic: str
    tone: Tone
    headline: str
    detail: str = ""
    grouping: str | None = None

    @property
    def text(self) -> str:
        """The statement as running text."""
        return f"{self.headline} {self.detail}".strip()


RATES = {"fmr": ("false matches", "false match rate"), "fnmr": ("false non-matches", "false non-match rate")}


def verdict_sentences(result: Result) -> list[str]:
    """Return the verdict as plain sentences, one statement per item."""
    return [statement.text for statement in verdict(Reading(result))]


def verdict(reading: Reading) -> list[Statement]:
    """Return the statements of the verdict in the order they are read."""
    statements = [_measured(reading), _recognition(reading)]
    for rate in RATES:
        found = _differential(reading, rate)
        if found:
            statements.append(found)
    if not reading.differential_groupings():
        statements.append(
            Statement("Differentials", Tone.UNKNOWN, "Not measured: this result compares no demographic groups.")
        )
    return statements + _cautions(reading)


def _measured(reading: Reading) -> Statement:
    data, protocol = reading.result.data, reading.result.protocol
    people = f" of {fmt.plural(data.n_identities, 'identity', 'identities')}" if data.n_identities is not None else ""
    kind = "rendered faces" if data.phantom else "face images"
    parts = []
    for metric, side in (("tar", "genuine"), ("fmr", "impostor")):
        found = reading.find(metric, target=reading.primary)
        n = comparisons(found) if found else None
        if n is not None:
            parts.append(f"{fmt.count(n)} {side}")
    made = f", in {' and '.join(parts)} comparisons" if parts else ""
    return Statement(
        "Measured",
        Tone.PLAIN,
        f"FaceBench measured {fmt.clip(reading.result.model.name)} on {fmt.count(data.n_images)} {kind}{people}{made}.",
        f"Protocol: {fmt.clip(protocol.title)}, version {protocol.version}.",
    )


def _recognition(reading: Reading) -> Statement:
    target = reading.primary
    tar, far = reading.find("tar", target=target), reading.find("fmr", target=target)
    point = f"at FMR target {fmt.target(target)}"
    flags = (*(tar.flags if tar else ()), *(far.flags if far else ()))
    if tar is None or tar.value is None or BLIND.intersection(flags) - {Flag.NO_INTERVAL}:
        return Statement("Recognition", Tone.UNKNOWN, f"Recognition {point} cannot be told.", _why(flags))
    level = fmt.percent(reading.result.protocol.confidence)
    limits = fmt.interval(tar.ci_low, tar.ci_high, fmt.share)
    within = f" ({level} interval {limits})" if limits != fmt.MISSING else " (no interval known)"
    headline = f"TAR {fmt.share(tar.value)}{within} {point}."
    doubts = [f for f in dict.fromkeys(flags) if f not in (Flag.NO_INTERVAL, Flag.NAIVE_INTERVAL)]
    return Statement("Recognition", Tone.PLAIN, headline, _counts(tar, far, target) + _notes(doubts))


def _counts(tar: Estimate, far: Estimate | None, target: float) -> str:
    n = tar.n_genuine
    accepted = f"{fmt.k_of_n(round((tar.value or 0) * n), n)} genuine comparisons" if n else "Genuine comparisons"
    text = f"{accepted} were accepted"
    if far and far.errors is not None and far.n_impostor:
        text += f" at a threshold that also let through {fmt.k_of_n(far.errors, far.n_impostor)} impostor comparisons"
    return f"{text}; the target allows at most {fmt.one_in(target)}."


def _notes(flags: list[Flag]) -> str:
    return f" Read with care: {'; '.join(FLAGS[flag] for flag in flags)}." if flags else ""


def _why(flags: tuple[Flag, ...]) -> str:
    reasons = [FLAGS[flag] for flag in dict.fromkeys(flags) if flag in BLIND]
    return f"Reason: {'; '.join(reasons)}." if reasons else "The result holds no value for it."


def _differential(reading: Reading, rate: str) -> Statement | None:
    """State the largest differential of one kind of error over all groupings."""
    gaps = [
        gap
        for name in reading.differential_groupings()
        if (gap := reading.find(f"{rate}_gap", target=reading.primary, group=name))
    ]
    if not gaps:
        return None
    largest = max(gaps, key=_size)
    what, by = RATES[rate][0], grouping_label(largest.group)
    topic = what.capitalize()
    extremes = _extremes(reading, rate, largest.group)
    doubt = _doubt(largest, extremes, len(gaps), 1 - reading.result.protocol.confidence)
    evidence = _evidence(reading, rate, largest, extremes, len(gaps))
    if doubt:
        headline = f"Cannot tell whether {what} differ by {by}."
        return Statement(topic, Tone.UNKNOWN, headline, f"{doubt} {evidence}".strip(), largest.group)
    if _beyond_chance(largest, len(gaps), 1 - reading.result.protocol.confidence):
        headline = f"A differential: {what} differ by {by}, more than chance explains."
        return Statement(topic, Tone.FINDING, headline, evidence, largest.group)
    headline = f"No differential in {what} that can be told from chance."
    return Statement(topic, Tone.PLAIN, headline, evidence + _unseen(largest, rate), largest.group)


def _size(gap: Estimate) -> float:
    if gap.value is None:
        return -1.0
    return gap.excess if gap.excess is not None else gap.value


def _extremes(reading: Reading, rate: str, grouping: str) -> tuple[Estimate, Estimate] | None:
    """Return the groups with the highest and the lowest rate."""
    find: Callable[[str], Estimate | None] = (
        (lambda group: reading.find("fmr", target=reading.primary, group=group))
        if rate == "fmr"
        else (lambda group: reading.missed(reading.primary, group))
    )
    rows = [row for group in reading.groupings.get(grouping, ()) if (row := find(group)) and row.value is not None]
    if len(rows) < 2:
        return None
    return max(rows, key=lambda e: e.value or 0), min(rows, key=lambda e: e.value or 0)


def _doubt(gap: Estimate, extremes: tuple[Estimate, Estimate] | None, family: int, alpha: float) -> str:
    """Return why noise and differential cannot be separated, or an empty string when they can."""
    blind = BLIND.intersection(gap.flags)
    if gap.value is None or blind:
        return _why(gap.flags)
    if Flag.NAIVE_INTERVAL in gap.flags:
        return "The data has no identity labels, so the interval is too narrow to decide."
    if Flag.FEW_IDENTITIES in gap.flags and (
        extremes is None or any(Flag.FEW_IDENTITIES in group.flags for group in extremes)
    ):
        return "The extreme groups hold fewer identities than the protocol asks for."
    if gap.ci_low is None:
        return "No interval is known for it."
    by_test = gap.p_value is not None and _corrected(gap.p_value, family) < alpha
    if gap.p_value is not None and by_test != (gap.ci_low > 0):
        return "The interval and the test disagree."
    return ""


def _beyond_chance(gap: Estimate, family: int, alpha: float) -> bool:
    """Decide by the simultaneous interval and, where there is one, by the test; `_doubt` has ruled out discord."""
    excess_seen = gap.excess is None or gap.excess > 0
    tested = gap.p_value is None or _corrected(gap.p_value, family) < alpha
    return gap.ci_low is not None and gap.ci_low > 0 and excess_seen and tested


def _corrected(p: float, family: int) -> float:
    """Bonferroni: the largest of several groupings was picked after looking, which by itself favours small p."""
    return min(1.0, p * family)


def _evidence(
    reading: Reading, rate: str, gap: Estimate, extremes: tuple[Estimate, Estimate] | None, family: int
) -> str:
    write = fmt.fmr if rate == "fmr" else fmt.number
    sentences = []
    if extremes:
        high, low = extremes
        sentences.append(f"The {RATES[rate][1]} is highest for {_told(high, write)} and lowest for {_told(low, write)}.")
    if gap.value is not None:
        level = fmt.percent(reading.result.protocol.confidence)
        limits = fmt.interval(gap.ci_low, gap.ci_high, write)
        within = f" ({level} interval {limits})" if limits != fmt.MISSING else ""
        sentences.append(f"Gap {write(gap.value)}{within}{_chance(gap, write)}{_ratio(reading, rate, gap.group)}.")
    if gap.p_value is not None:
        asked = f", corrected for {family} groupings" if family > 1 else ""
        sentences.append(f"Test of equal rates: {fmt.p_statement(_corrected(gap.p_value, family))}{asked}.")
    cautions = {Flag.FEW_ERRORS, Flag.ZERO_ERRORS, Flag.LABELS_INCOMPLETE}
    sides = [*gap.flags, *(flag for group in extremes or () for flag in group.flags)]
    return " ".join(sentences) + _notes([flag for flag in dict.fromkeys(sides) if flag in cautions])


def _told(group: Estimate, write: Callable[[float | None], str]) -> str:
    counts = fmt.k_of_n(group.errors, comparisons(group))
    bound = upper_bound(group)
    if group.errors == 0 and bound is not None:
        return f"{fmt.clip(short_label(group.group), 60)} (no error in {fmt.count(comparisons(group))}, at most {write(bound)})"
    return f"{fmt.clip(short_label(group.group), 60)} ({write(group.value)}; {counts})"


def _chance(gap: Estimate, write: Callable[[float | None], str]) -> str:
    if gap.expected_if_fair is None:
        return "; what chance alone would show is not known"
    text = f", where chance alone would show about {write(gap.expected_if_fair)} were all groups alike"
    if gap.excess is None:
        return text
    if gap.excess <= 0:
        return f"{text}: no excess"
    return f"{text}: an excess of {write(gap.excess)}"


def _ratio(reading: Reading, rate: str, grouping: str) -> str:
    ratio = reading.find(f"{rate}_max_min", target=reading.primary, group=grouping)
    if ratio is None:
        return ""
    if ratio.value is not None:
        return f"; the highest rate is {fmt.number(ratio.value)} times the lowest"
    return f"; the highest rate is at least {fmt.number(ratio.ci_low)} times the lowest" if ratio.ci_low else ""


def _unseen(gap: Estimate, rate: str) -> str:
    """Say what absence of evidence leaves open."""
    if gap.ci_high is None:
        return " How large a differential may have gone unseen cannot be stated."
    write = fmt.fmr if rate == "fmr" else fmt.number
    return f" A gap of up to {write(gap.ci_high)} may have gone unseen."


def _cautions(reading: Reading) -> list[Statement]:
    data, run = reading.result.data, reading.result.run
    found = []
    if data.phantom:
        found.append(
            "Phantom data: the faces are rendered. It shows that the instrument can see a differential, "
            "never that a model is fair to people."
        )
    if run.limit is not None:
        found.append(f"Limited run: only {fmt.count(run.limit)} images were asked for. It never ranks.")
    if data.n_failed:
        share = f"{fmt.k_of_n(data.n_failed, data.n_images)} images could not be used."
        found.append(f"{share} Their comparisons count as non-matches unless said otherwise.")
    if reading.seen(Flag.NAIVE_INTERVAL):
        found.append("The data has no identity labels: intervals ignore that comparisons share people and are too narrow.")
    defects = reading.result.protocol.known_defects
    if defects:
        found.append(f"The data has {fmt.plural(len(defects), 'known defect')}, listed under provenance.")
    return [Statement("Caution", Tone.CAUTION, text) for text in found]
