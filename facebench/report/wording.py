"""The words of the report: what each measure, flag and threshold rule means, for a reader outside the field."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from facebench.metrics.catalogue import Direction, Format, MetricDef, metric
from facebench.report import format as fmt
from facebench.report.reading import short_label
from facebench.schema import Estimate, Flag

WRITERS: dict[Format, Callable[[float | None], str]] = {
    Format.NUMBER: fmt.number,
    Format.SHARE: fmt.share,
    Format.FMR: fmt.fmr,
    Format.COUNT: fmt.count,
}


@dataclass(frozen=True)
class Measure:
    """What a metric is called, how its values are written and how to read it."""

    label: str
    short: str
    reading: str
    write: Callable[[float | None], str]
    definition: MetricDef


def measure(name: str) -> Measure:
    """Return the words for a metric.

    Raises:
        InputError: no such metric is in the catalogue.
    """
    definition = metric(name)
    return Measure(definition.label, definition.short, definition.words, WRITERS[definition.format], definition)


def difference_writer(name: str) -> Callable[[float | None], str]:
    """Return how differences of a metric are written: as its values, but one of shares is no share near one."""
    return fmt.fmr if metric(name).format is Format.FMR else fmt.number


def signed_as(name: str, value: float | None) -> str:
    """Write a difference of a metric, or a limit of it, with its sign."""
    return fmt.signed(value, difference_writer(name))


def better_when(name: str) -> str:
    """Return which direction is better, in words; empty where neither is."""
    return {Direction.HIGHER: "higher is better", Direction.LOWER: "lower is better"}.get(metric(name).direction, "")


FLAGS = {
    Flag.UNRESOLVABLE: "too few impostor comparisons for this target: it allows less than one false match",
    Flag.FEW_ERRORS: "fewer than 30 errors, too few to know the rate to within 30%",
    Flag.FEW_FALSE_MATCHES: "fewer than 30 false matches set the threshold",
    Flag.ZERO_ERRORS: "no error seen: only an upper bound is known",
    Flag.ALL_ERRORS: "nothing but errors: only a lower bound is known",
    Flag.FEW_IDENTITIES: "too few identities, or one that takes part in half of the comparisons",
    Flag.NO_GENUINE: "no genuine comparisons in this data",
    Flag.NO_IMPOSTOR: "no impostor comparisons in this data",
    Flag.INSUFFICIENT: "it, or what alike groups would show, is undefined on these counts",
    Flag.GROUPS_LEFT_OUT: "groups without such comparisons are left out",
    Flag.NAIVE_INTERVAL: "interval too narrow: it ignores that comparisons share people",
    Flag.NO_INTERVAL: "no interval is known",
    Flag.LABELS_INCOMPLETE: "images without this label are left out",
    Flag.UNQUALIFIED: "the method failed a control on this model: not ranked",
    Flag.DEGENERATE_MAPS: "constant maps are left out",
    Flag.UNDEFINED_CLASS: "a class without images, so nothing is known of it",
    Flag.COVERAGE_LOW: "more than one image in twenty was left without an answer",
    Flag.THRESHOLD_ON_TEST: "the judged images set the threshold themselves: better than it is; never ranks",
    Flag.CONTROL_FAILED: "groups with shuffled labels look unlike: intervals are too narrow on this data",
    Flag.NOISY: "times scatter or drift by more than a tenth: the machine was busy with other work",
    Flag.UNRELIABLE: "a check for hidden gradients failed: the attack may have been misled, so the row is not ranked",
}


SHORT_FLAGS = {
    Flag.UNRESOLVABLE: "target too strict for this data",
    Flag.FEW_ERRORS: "fewer than 30 errors",
    Flag.FEW_FALSE_MATCHES: "threshold from fewer than 30 false matches",
    Flag.ZERO_ERRORS: "no error seen",
    Flag.ALL_ERRORS: "nothing but errors",
    Flag.FEW_IDENTITIES: "few identities",
    Flag.NO_GENUINE: "no genuine comparisons",
    Flag.NO_IMPOSTOR: "no impostor comparisons",
    Flag.INSUFFICIENT: "undefined on these counts",
    Flag.GROUPS_LEFT_OUT: "leaves groups out",
    Flag.NAIVE_INTERVAL: "interval too narrow",
    Flag.NO_INTERVAL: "no interval",
    Flag.LABELS_INCOMPLETE: "unlabelled images left out",
    Flag.UNQUALIFIED: "method not qualified",
    Flag.DEGENERATE_MAPS: "constant maps left out",
    Flag.UNDEFINED_CLASS: "a class without images",
    Flag.COVERAGE_LOW: "many without an answer",
    Flag.THRESHOLD_ON_TEST: "threshold set on test images",
    Flag.CONTROL_FAILED: "negative control failed",
    Flag.NOISY: "noisy",
    Flag.UNRELIABLE: "unreliable",
}


_OF_THE_ROW = frozenset(
    SHORT_FLAGS[flag]
    for flag in (
        Flag.UNRESOLVABLE, Flag.FEW_FALSE_MATCHES, Flag.NO_GENUINE, Flag.NO_IMPOSTOR, Flag.FEW_IDENTITIES,
        Flag.NAIVE_INTERVAL, Flag.LABELS_INCOMPLETE,
    )
)  # fmt: skip


def flag_words(flags: tuple[Flag, ...]) -> str:
    """Return flags as one short line; the page explains each once."""
    return "; ".join(SHORT_FLAGS[flag] for flag in flags)


def estimate_words(*estimates: Estimate | None) -> str:
    """Return the flags of estimates as one short line; a flag of some of several rates says whose it is."""
    present = [e for e in estimates if e is not None]
    holders: dict[str, list[Estimate]] = {}
    for e in present:
        for flag in e.flags:
            holders.setdefault(_short_flag(flag, e), []).append(e)
    said = []
    for words, whose in holders.items():
        some = len(whose) < len(present) and words not in _OF_THE_ROW
        names = ", ".join(dict.fromkeys(metric(e.metric).short for e in whose)) if some else ""
        said.append(f"{words} ({names})" if some else words)
    return "; ".join(said)


def _short_flag(flag: Flag, e: Estimate) -> str:
    if flag is Flag.INSUFFICIENT and e.value is not None:
        return "what alike groups would show is undefined"
    if flag is Flag.GROUPS_LEFT_OUT and e.left_out:
        return f"leaves out {fmt.clip('; '.join(short_label(group) for group in e.left_out))}"
    return SHORT_FLAGS[flag]


_EXCEEDS = "it may exceed the target"
RULES = {
    "strict": "The highest TAR with at most floor(f·N) false accepts among N impostor comparisons: never above target",
    "insightface": "The point of scikit-learn's roc_curve whose false positive rate is nearest to the target: "
    + _EXCEEDS,
    "pyeer": "The threshold whose false accept rate is nearest to the target, above or below: " + _EXCEEDS,
    "bob": "The threshold sits on an impostor score, so the room up to the next genuine score is not used",
    "quantile": "The threshold is a linearly interpolated quantile of the impostor scores: " + _EXCEEDS,
}


def rule_words(rule: str) -> str:
    """Return what a threshold rule does differently."""
    return f"{RULES.get(rule, 'A threshold rule of another tool; see docs/metrics.md')}."


def policy_words(policy: str) -> str:
    """Return whose impostor comparisons set the threshold the groups are read at."""
    kind, _, group = policy.partition(":")
    words = {
        "pooled": "One threshold for all groups, set on all impostor comparisons together.",
        "reference": f"One threshold for all groups, set on the impostor comparisons within {group}.",
        "worst": "One threshold for all groups, the highest of the thresholds the groups would need by themselves.",
        "per-group": "Each group has its own threshold. A diagnostic: a deployed system has one threshold.",
    }
    return words.get(kind, f"Threshold policy: {policy}.")
