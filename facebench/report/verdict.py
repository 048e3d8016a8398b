"""The verdict: what was measured and what can be said of it, in sentences that come before any table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from facebench.report import format as fmt
from facebench.report.model_cautions import model_cautions
from facebench.report.reading import (
    BLIND,
    Reading,
    comparisons,
    grouping_label,
    is_bound,
    short_label,
    upper_bound,
)
from facebench.report.statement import Statement, Tone
from facebench.report.wording import FLAGS, SHORT_FLAGS
from facebench.schema import Comparator, Estimate, Flag, Point

THIN = frozenset({Flag.FEW_ERRORS, Flag.ZERO_ERRORS, Flag.FEW_IDENTITIES})


RATES = {"fmr": ("false matches", "false match rate"), "fnmr": ("false non-matches", "false non-match rate")}


def verdict(reading: Reading, further: Sequence[Statement] = ()) -> list[Statement]:
    """Return the statements of the verdict in the order they are read; `further` ones come before the cautions."""
    statements = [*_doubts(reading), _measured(reading), _recognition(reading)]
    if reading.groupings or reading.differential_groupings():
        statements += [_differential(reading, rate) for rate in RATES]
    else:
        headline = "Not measured: this result compares no demographic groups."
        statements.append(Statement("Differentials", Tone.UNKNOWN, headline))
    return [*statements, *further, *_cautions(reading)]


def _doubts(reading: Reading) -> list[Statement]:
    """Say before anything else that the pipeline is probably broken."""
    return [
        Statement(
            "Probably broken",
            Tone.CAUTION,
            f"This pipeline is probably broken: {fmt.clip(doubt.seen, 400)}.",
            f"{doubt.cause[0].upper()}{doubt.cause[1:]}{'' if doubt.cause.endswith('?') else '.'}",
        )
        for doubt in reading.result.doubts
    ]


def _measured(reading: Reading) -> Statement:
    data, protocol = reading.result.data, reading.result.protocol
    people = f" of {fmt.plural(data.n_identities, 'identity', 'identities')}" if data.n_identities is not None else ""
    kind = f"{fmt.count(data.n_images)} {'rendered faces' if data.phantom else 'face images'}"
    if reading.result.model.comparator is Comparator.EXTERNAL:
        kind = f"scores of {fmt.count(data.n_images)} samples" if data.n_images else "scores of samples without names"
    parts = []
    for metric, side in (("tar", "genuine"), ("fmr", "impostor")):
        found = reading.find(metric, target=reading.primary)
        n = comparisons(found) if found else None
        if n is not None:
            parts.append(f"{fmt.count(n) if n else 'no'} {side}")
    made = f", in {' and '.join(parts)} comparisons" if parts else ""
    return Statement(
        "Measured",
        Tone.PLAIN,
        f"FaceBench measured {fmt.clip(reading.result.model.name)} on {kind}{people}{made}.",
        f"Protocol: {fmt.clip(protocol.title)}, version {protocol.version}.",
    )


def _recognition(reading: Reading) -> Statement:
    target = reading.primary
    tar, far = reading.find("tar", target=target), reading.find("fmr", target=target)
    point = f"at {fmt.point(target)}"
    flags = (*(tar.flags if tar else ()), *(far.flags if far else ()))
    if tar is None or tar.value is None or BLIND.intersection(flags) - {Flag.NO_INTERVAL}:
        return Statement("Recognition", Tone.UNKNOWN, f"Recognition {point} cannot be told.", _why(flags))
    level = fmt.percent(reading.result.protocol.confidence)
    limits = fmt.interval(tar.ci_low, tar.ci_high, fmt.share)
    within = f"{level} interval {limits}" if limits != fmt.MISSING else "no interval known"
    missed = reading.missed(target, "all")
    bound = upper_bound(missed) if missed and is_bound(missed) else None
    headline = f"True accept rate (TAR) {fmt.share(tar.value)}, {within}, {point}."
    if bound is not None:
        headline = f"No genuine comparison was missed: true accept rate (TAR) at least {fmt.share(1 - bound)}, {point}."
    doubts = [f for f in dict.fromkeys(flags) if f not in (Flag.NO_INTERVAL, Flag.NAIVE_INTERVAL)]
    return Statement("Recognition", Tone.PLAIN, headline, _counts(tar, far, target) + _notes(doubts))


def _counts(tar: Estimate, far: Estimate | None, target: Point) -> str:
    n = tar.n_genuine
    accepted = f"{fmt.k_of_n(round((tar.value or 0) * n), n)} genuine comparisons" if n else "Genuine comparisons"
    text = f"{accepted} were accepted"
    if far and far.errors is not None and far.n_impostor:
        text += f" at a threshold that also let through {fmt.k_of_n(far.errors, far.n_impostor)} impostor comparisons"
    if isinstance(target, str):
        return f"{text}; the threshold was not set on this data."
    return f"{text}; the target allows at most {fmt.one_in(target)}."


def _notes(flags: Sequence[Flag]) -> str:
    return f" Read with care: {'; '.join(FLAGS[flag] for flag in flags)}." if flags else ""


def _why(flags: tuple[Flag, ...]) -> str:
    reasons = [FLAGS[flag] for flag in dict.fromkeys(flags) if flag in BLIND]
    return f"Reason: {'; '.join(reasons)}." if reasons else "The result holds no value for it."


def _differential(reading: Reading, rate: str) -> Statement:
    """State one kind of error: the largest differential that is beyond chance, else the largest of all."""
    names = reading.differential_groupings()
    gaps = [g for name in names if (g := reading.find(f"{rate}_gap", target=reading.primary, group=name))]
    if not gaps:
        return _no_differential(reading, rate)
    cases = [Case(reading, rate, gap, len(gaps)) for gap in gaps]
    beyond = [case for case in cases if case.beyond_chance]
    case = max(beyond or cases, key=lambda c: _size(c.gap))
    what, by = RATES[rate][0], fmt.clip(grouping_label(case.gap.group), 80)
    topic, grouping = what.capitalize(), case.gap.group
    unseen = _unseen(case) if case.gap.ci_low is not None else ""
    if case.doubt:
        nowhere = all(c.gap.value is None for c in cases) and len(cases) > 1
        headline = f"Cannot tell whether {what} differ {'between any groups' if nowhere else f'by {by}'}."
        return Statement(topic, Tone.UNKNOWN, headline, f"{case.doubt} {_evidence(case)}{unseen}".strip(), grouping)
    if beyond:
        headline = f"A differential: {what} differ by {by}, more than chance explains."
        others = [fmt.clip(grouping_label(c.gap.group), 80) for c in beyond if c is not case]
        also = f" They also differ beyond chance by {'; by '.join(others)}." if others else ""
        left = _undecided([c for c in cases if c not in beyond])
        return Statement(topic, Tone.FINDING, headline, _evidence(case) + also + left, grouping)
    headline = f"No differential in {what} that can be told from chance."
    return Statement(topic, Tone.PLAIN, headline, _evidence(case) + unseen, grouping)


def _undecided(cases: Sequence[Case]) -> str:
    """Say of the groupings that show nothing beyond chance what the data does not support, and why."""
    said = []
    for case in cases:
        why = case.doubt.rstrip(".") or "what is seen is within chance"
        ratio = case.reading.find(f"{case.rate}_max_min", target=case.reading.primary, group=case.gap.group)
        if ratio is not None and ratio.detectable_ratio is not None:
            why += f"; two groups are told apart with 80% power from a ratio of {fmt.number(ratio.detectable_ratio)}"
        said.append(
            f"whether they differ by {fmt.clip(grouping_label(case.gap.group), 80)} ({why[0].lower()}{why[1:]})"
        )
    return f" This data does not show {'; nor '.join(said)}." if said else ""


def _no_differential(reading: Reading, rate: str) -> Statement:
    what = RATES[rate][0]
    overall = reading.rate(rate, "all")
    headline = f"Not known whether {what} differ between groups."
    return Statement(what.capitalize(), Tone.UNKNOWN, headline, _why(overall.flags if overall else ()))


def _size(gap: Estimate) -> float:
    if gap.value is None:
        return -1.0
    return gap.excess if gap.excess is not None else gap.value


@dataclass(frozen=True)
class Case:
    """One differential with what is needed to judge it: the extreme groups, the test, the size of the family."""

    reading: Reading
    rate: str
    gap: Estimate
    family: int

    @property
    def alpha(self) -> float:
        """The share of false alarms that the protocol's confidence allows."""
        return 1 - self.reading.result.protocol.confidence

    @cached_property
    def extremes(self) -> tuple[Estimate, Estimate] | None:
        """The groups with the highest and the lowest rate."""
        groups = self.reading.groupings.get(self.gap.group, ())
        found = [self.reading.rate(self.rate, group) for group in groups]
        rows = [(row.value, row) for row in found if row and row.value is not None]
        if len(rows) < 2:
            return None
        return max(rows, key=lambda pair: pair[0])[1], min(rows, key=lambda pair: pair[0])[1]

    @cached_property
    def test(self) -> Estimate | None:
        """The test that all groups have one rate."""
        return self.reading.find(f"equal_{self.rate}_test", target=self.reading.primary, group=self.gap.group)

    @cached_property
    def p(self) -> float | None:
        """The p-value of the differential, or of the test of equal rates, corrected for how many were looked at.

        The correction of the result (Holm over its family), or else Bonferroni over the groupings, because the largest
        of several was picked after looking, which favours small p.
        """
        test = self.test
        if test is not None and test.p_holm is not None:
            return test.p_holm
        p = self.gap.p_value if self.gap.p_value is not None else test.p_value if test else None
        return None if p is None else min(1.0, p * self.family)

    @cached_property
    def doubt(self) -> str:
        """Why noise and differential cannot be separated; empty when they can."""
        flags, extremes = self.gap.flags, self.extremes
        if self.gap.value is None or BLIND.intersection(flags):
            return _why(flags)
        if Flag.NAIVE_INTERVAL in flags:
            return "The data has no identity labels, so the interval is too narrow to decide."
        if Flag.FEW_IDENTITIES in flags and (not extremes or any(Flag.FEW_IDENTITIES in e.flags for e in extremes)):
            return "The extreme groups hold fewer identities than the protocol asks for."
        if self.gap.ci_low is None:
            return "No interval is known for it."
        if self.p is not None and (self.p < self.alpha) != self.apart:
            return "The interval and the test disagree."
        if not self.apart and extremes and any(THIN.intersection(e.flags) for e in extremes):
            return "The extreme groups show too few errors to tell a differential from chance."
        return ""

    @property
    def apart(self) -> bool:
        """Whether the interval of the excess lies above zero; where there is none, that of the gap."""
        low = self.gap.excess_low if self.gap.excess_low is not None else self.gap.ci_low
        return low is not None and low > 0 and (self.gap.excess is None or self.gap.excess > 0)

    @cached_property
    def beyond_chance(self) -> bool:
        """The one rule that says "a differential": interval of the excess above zero, and the corrected test agrees."""
        return not self.doubt and self.apart

    @property
    def write(self) -> Callable[[float | None], str]:
        """How its rates are written."""
        return fmt.fmr if self.rate == "fmr" else fmt.number


def _evidence(case: Case) -> str:
    gap, write, sentences = case.gap, case.write, []
    if case.extremes:
        sentences.append(_extremes(case, case.extremes))
    if gap.left_out:
        sentences.append(_left_out(case))
    if gap.value is not None:
        level = fmt.percent(case.reading.result.protocol.confidence)
        limits = fmt.interval(gap.ci_low, gap.ci_high, write)
        within = f" ({level} interval {limits})" if limits != fmt.MISSING else ""
        sentences += [f"The gap is {write(gap.value)}{within}.", _chance(gap, write), *_ratio(case)]
    if case.p is not None:
        asked = f", corrected for {case.family} groupings" if case.family > 1 else ""
        if case.test is not None and case.test.p_holm is not None:
            asked = f", corrected by Holm for {fmt.plural(case.test.family or 1, 'test')}"
        sentences.append(f"Test of equal rates: {fmt.p_statement(case.p)}{asked}.")
    return " ".join([*sentences, *_cautions_of(case)])


def _extremes(case: Case, extremes: tuple[Estimate, Estimate]) -> str:
    rate, write = RATES[case.rate][1], case.write
    if extremes[0].value == extremes[1].value:
        return f"The {rate} is the same in all groups: {write(extremes[0].value)}."
    high, low = (_told(group, write) for group in extremes)
    return f"The {rate} is highest for {high} and lowest for {low}."


def _left_out(case: Case) -> str:
    """Name the groups of which nothing is said, and why."""
    names = [fmt.clip(short_label(group), 60) for group in case.gap.left_out or ()]
    kind = "impostor" if case.rate == "fmr" else "genuine"
    return f"Nothing is said of {', '.join(names)}: no {kind} comparisons there."


def _cautions_of(case: Case) -> list[str]:
    """Say which flags weaken the evidence without deciding it, and in which group."""
    weak = (Flag.FEW_ERRORS, Flag.ZERO_ERRORS, Flag.FEW_IDENTITIES, Flag.LABELS_INCOMPLETE)
    sources = [(flag, "") for flag in case.gap.flags]
    if case.extremes:
        sources = [(f, f" ({fmt.clip(short_label(e.group), 60)})") for e in case.extremes for f in e.flags] or sources
    found = [f"{SHORT_FLAGS[flag]}{where}" for flag, where in dict.fromkeys(sources) if flag in weak]
    return [f"Read with care: {'; '.join(found)}."] if found else []


def _told(group: Estimate, write: Callable[[float | None], str]) -> str:
    name, counts = fmt.clip(short_label(group.group), 60), fmt.k_of_n(group.errors, comparisons(group))
    bound = upper_bound(group)
    if group.errors == 0 and bound is not None:
        return f"{name} (no error in {fmt.count(comparisons(group))}, at most {write(bound)})"
    return f"{name} ({write(group.value)}; {counts})"


def _chance(gap: Estimate, write: Callable[[float | None], str]) -> str:
    if gap.expected_if_fair is None:
        return "What chance alone would show is not known."
    text = f"If all groups were alike, chance alone would show about {write(gap.expected_if_fair)}"
    if gap.excess is None:
        return f"{text}."
    return (
        f"{text}, so there is no excess."
        if gap.excess <= 0
        else f"{text}, which leaves an excess of {write(gap.excess)}."
    )


def _ratio(case: Case) -> list[str]:
    ratio = case.reading.find(f"{case.rate}_max_min", target=case.reading.primary, group=case.gap.group)
    if ratio is None:
        return []
    if ratio.value is not None:
        return [f"The highest rate is {fmt.number(ratio.value)} times the lowest."]
    return [f"The highest rate is at least {fmt.number(ratio.ci_low)} times the lowest."] if ratio.ci_low else []


def _unseen(case: Case) -> str:
    """Say what absence of evidence leaves open."""
    if case.gap.ci_high is None:
        return " How large a differential may have gone unseen cannot be stated."
    ratio = case.reading.find(f"{case.rate}_max_min", target=case.reading.primary, group=case.gap.group)
    text = f" A gap of up to {case.write(case.gap.ci_high)} may have gone unseen."
    if ratio is not None and ratio.detectable_ratio is not None:
        text += (
            f" Data of this size shows a ratio of {fmt.number(ratio.detectable_ratio)} or more between two groups "
            "with 80% power; smaller ones are missed more often."
        )
    return text


def _cautions(reading: Reading) -> list[Statement]:
    data, run = reading.result.data, reading.result.run
    found = list(model_cautions(reading.result))
    if data.phantom:
        found.append(
            "Phantom data: the faces are rendered. This result can show that the instrument can see a differential, "
            "never that a model is fair to people."
        )
    if run.limit is not None:
        found.append(f"Limited run: only {fmt.count(run.limit)} images were asked for, and a limited run never ranks.")
    if reading.result.protocol.threshold_policy == "per-group":
        found.append(
            "Each group is read at its own threshold. This is a diagnostic: a deployed system has one threshold."
        )
    if data.n_failed:
        share = f"{fmt.k_of_n(data.n_failed, data.n_images)} images could not be used."
        found.append(f"{share} Their comparisons count as non-matches unless said otherwise.")
    if reading.seen(Flag.CONTROL_FAILED):
        found.append(
            "The negative control failed: groups with shuffled labels look unlike. Intervals are too narrow on this "
            "data, and its differentials must not be relied on."
        )
    if reading.seen(Flag.UNRELIABLE):
        found.append(
            "A check for hidden gradients failed: attacks marked unreliable may have been misled, and a real attacker "
            "may do better. These rows are not ranked."
        )
    if reading.seen(Flag.NAIVE_INTERVAL) and data.n_identities is None:
        found.append(
            "The data has no identity labels: intervals ignore that comparisons share people and are too narrow."
        )
    stated = reading.result.protocol.data_statement
    if stated and not data.phantom:
        found.append(f"About the data: {fmt.clip(stated, 600)}")
    defects = reading.result.protocol.known_defects
    if defects:
        found.append(f"The data has {fmt.plural(len(defects), 'known defect')}, listed under provenance.")
    return [Statement("Caution", Tone.CAUTION, text) for text in found]
