"""One differential and what speaks for it: the extreme groups, the gap, the test, and whether they decide it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from facebench.report import format as fmt
from facebench.report.reading import BLIND, Reading, comparisons, short_label, upper_bound
from facebench.report.wording import FLAGS, SHORT_FLAGS
from facebench.schema import Estimate, Flag

THIN = frozenset({Flag.FEW_ERRORS, Flag.ZERO_ERRORS, Flag.FEW_IDENTITIES})
RATES = {"fmr": ("false matches", "false match rate"), "fnmr": ("false non-matches", "false non-match rate")}


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
            return why(flags)
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

    @cached_property
    def no_error_up_to(self) -> float | None:
        """Where no group shows an error, the largest rate that one of them may have; else None."""
        if self.extremes is None or self.extremes[0].value:
            return None
        bounds = [self.reading.rate(self.rate, group) for group in self.reading.groupings.get(self.gap.group, ())]
        return max((bound for e in bounds if e and (bound := upper_bound(e)) is not None), default=None)

    @property
    def write(self) -> Callable[[float | None], str]:
        """How its rates are written."""
        return fmt.fmr if self.rate == "fmr" else fmt.number

    def within(self, low: float | None, high: float | None, write: Callable[[float | None], str]) -> str:
        """An interval in brackets, with its level; nothing where none is known."""
        limits = fmt.interval(low, high, write)
        level = fmt.percent(self.reading.result.protocol.confidence)
        return f" ({level} interval {limits})" if limits != fmt.MISSING else ""


def evidence(case: Case) -> str:
    """Return the numbers that speak for or against a differential, in sentences."""
    gap, write, sentences = case.gap, case.write, []
    if case.extremes:
        sentences.append(_extremes(case, case.extremes))
    if gap.left_out:
        sentences.append(_left_out(case))
    if gap.value is not None and case.no_error_up_to is None:
        within = case.within(gap.ci_low, gap.ci_high, write)
        sentences += [f"The gap is {write(gap.value)}{within}.", _chance(case), *_ratio(case)]
    if case.p is not None:
        asked = f", corrected for {case.family} groupings" if case.family > 1 else ""
        if case.test is not None and case.test.p_holm is not None:
            asked = f", corrected by Holm for {fmt.plural(case.test.family or 1, 'test')}"
        sentences.append(f"Test of equal rates: {fmt.p_statement(case.p)}{asked}.")
    return " ".join([*sentences, *_cautions_of(case)])


def _extremes(case: Case, extremes: tuple[Estimate, Estimate]) -> str:
    rate, write = RATES[case.rate][1], case.write
    if case.no_error_up_to is not None:
        one = RATES[case.rate][0].removesuffix("es")
        return f"No {one} was seen in any group; a group's rate may be as high as {write(case.no_error_up_to)}."
    if extremes[0].value == extremes[1].value:
        return f"The {rate} is the same in all groups: {write(extremes[0].value)}."
    high, low = (_told(group, write) for group in extremes)
    return f"The {rate} is highest for {high} and lowest for {low}."


def _left_out(case: Case) -> str:
    """Name the groups of which nothing is said, and why."""
    names = [fmt.clip(short_label(group), 60) for group in case.gap.left_out or ()]
    kind = "impostor" if case.rate == "fmr" else "genuine"
    return f"Nothing is said of {'; '.join(names)}: no {kind} comparisons there."


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


def _chance(case: Case) -> str:
    gap, write = case.gap, case.write
    if gap.expected_if_fair is None:
        return "What chance alone would show is not known."
    text = f"If all groups were alike, chance alone would show about {write(gap.expected_if_fair)}"
    if gap.excess is None:
        return f"{text}."
    if gap.excess <= 0:
        return f"{text}, so there is no excess."
    return (
        f"{text}, which leaves an excess of {write(gap.excess)}{case.within(gap.excess_low, gap.excess_high, write)}."
    )


def _ratio(case: Case) -> list[str]:
    """Say how many times the lowest rate the highest is; nothing where nothing is known but that it is highest."""
    ratio = case.reading.find(f"{case.rate}_max_min", target=case.reading.primary, group=case.gap.group)
    if ratio is None:
        return []
    if ratio.value is not None:
        within = case.within(ratio.ci_low, ratio.ci_high, fmt.number)
        return [f"The highest rate is {fmt.number(ratio.value)} times the lowest{within}."]
    if ratio.ci_low is None or ratio.ci_low <= 1:
        return []
    return [f"The highest rate is at least {fmt.number(ratio.ci_low)} times the lowest."]


def unseen(case: Case) -> str:
    """Say what absence of evidence leaves open."""
    if case.gap.ci_high is None:
        return " How large a differential may have gone unseen cannot be stated."
    ratio = case.reading.find(f"{case.rate}_max_min", target=case.reading.primary, group=case.gap.group)
    largest = max(case.gap.ci_high, case.no_error_up_to or 0.0)
    text = f" A gap of up to {case.write(largest)} may have gone unseen."
    if ratio is not None and ratio.detectable_ratio is not None:
        text += (
            f" Data of this size shows a ratio of {fmt.number(ratio.detectable_ratio)} or more between two groups "
            "with 80% power; smaller ones are missed more often."
        )
    return text


def why(flags: tuple[Flag, ...]) -> str:
    """Return why a figure cannot be told, from its flags."""
    reasons = [FLAGS[flag] for flag in dict.fromkeys(flags) if flag in BLIND]
    return f"Reason: {'; '.join(reasons)}." if reasons else "The result holds no value for it."
