"""The terminal summary: the same figures as the report, as rows of plain words, the protocol's own question first."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from facebench.metrics.catalogue import Direction, Topic
from facebench.report import format as fmt
from facebench.report.reading import Reading, comparisons, is_bound, upper_bound
from facebench.report.wording import estimate_words, measure
from facebench.schema import Estimate, Flag, Result

Write = Callable[[float | None], str]
HEADER = ["measure", "value", "interval", "counts", "notes"]
MOST = 12
"""Rows of one topic; how many more the report holds is said."""

_SECTIONS = (
    Topic.IDENTIFICATION, Topic.SEARCH, Topic.DISCARD, Topic.CAUSAL, Topic.LADDER, Topic.COVARIATES, Topic.PUBLISHED,
    Topic.ALTERED, Topic.ATTACK, Topic.JUDGEMENTS, Topic.EFFICIENCY,
)  # fmt: skip
_ALTERED = ("mean_tar", "worst_tar", "worst_fmr")
_ATTACKED = ("robust_tar", "robust_far", "attack_success")
_ENSEMBLE = "attack:ensemble-"


def summary_rows(result: Result) -> list[list[str]]:
    """Return a header and one row per leading figure of each question the result answers."""
    reading = Reading(result)
    if result.task is not None:
        return [HEADER, *(_answer(e) for e in reading.clean() if e.group == "all")]
    topics = {topic: list(_figures(reading, topic)) for topic in _SECTIONS}
    lead = leading(result, topics)
    folds = [_row(measure(e.metric).label, e) for e in _all(reading) if e.metric in ("accuracy", "accuracy_fold_std")]
    rows = [HEADER, *folds, *_shown(topics, lead), *_verification(reading)]
    for topic in _SECTIONS:
        if topic is not lead:
            rows += _shown(topics, topic)
    rows += _timings(result)
    return [*rows, *_differentials(reading)]


def leading(result: Result, topics: dict[Topic, list[Estimate]]) -> Topic | None:
    """Return the topic a protocol is about, where that is not verification.

    A protocol with an open set is about identification; one with the sections `ood` or `causal` is about these; one
    with a measured speed and no altered faces is about efficiency.
    """
    if result.ood is not None:
        return Topic.SEARCH
    if result.causal is not None:
        return Topic.CAUSAL
    if any(e.metric == "fnir" for e in topics[Topic.IDENTIFICATION]):
        return Topic.IDENTIFICATION
    if result.efficiency is not None and result.robustness is None:
        return Topic.EFFICIENCY
    return None


def _shown(topics: dict[Topic, list[Estimate]], topic: Topic | None) -> Iterator[list[str]]:
    if topic is None:
        return
    found = topics[topic]
    for estimate in found[:MOST]:
        yield _row(_name(estimate), estimate)
    if len(found) > MOST:
        yield [f"{len(found) - MOST} more figures on {topic.value}", "", "", "", "in the report"]


def _all(reading: Reading) -> Iterator[Estimate]:
    """Iterate over the figures of all comparisons, under the strict rule and at the leading operating point."""
    for e in reading.result.estimates:
        whole = (e.group, e.group_b, e.rule, e.failures) == ("all", None, "strict", "counted")
        if whole and e.point in (None, reading.primary):
            yield e


def _figures(reading: Reading, topic: Topic) -> Iterator[Estimate]:
    """Iterate over the leading figures of a topic; conditions and attacks by their summaries."""
    for e in reading.result.estimates if topic is Topic.CAUSAL else _all(reading):
        if topic is Topic.ALTERED:
            wanted = e.metric in _ALTERED
        elif topic is Topic.ATTACK:
            wanted = e.metric in _ATTACKED and e.condition.startswith(_ENSEMBLE)
        else:
            wanted = measure(e.metric).definition.topic is topic and (
                e.condition == "clean" or topic not in (Topic.IDENTIFICATION, Topic.EFFICIENCY)
            )
        if wanted:
            yield e


def _verification(reading: Reading) -> Iterator[list[str]]:
    for target in reading.targets:
        for metric in ("tar", "fmr"):
            found = reading.find(metric, target=target)
            if found:
                name = measure(metric).short if metric == "tar" else f"achieved {measure(metric).short}"
                yield _row(f"{name} at {fmt.point(target)}", found)
    for metric in ("eer", "auc"):
        found = reading.find(metric)
        if found:
            yield _row(measure(metric).label, found)


def _timings(result: Result) -> Iterator[list[str]]:
    """Return what was measured of speed: times are no estimates, they stand in the section on efficiency."""
    for timing in result.efficiency.timings if result.efficiency else ():
        limits = fmt.interval(timing.ci_low_ms, timing.ci_high_ms, fmt.number)
        words = f"{fmt.number(timing.images_per_s)} images a second"
        name = f"Time of a batch of {timing.batch_size}, ms (median)"
        yield [name, fmt.number(timing.median_ms), limits, fmt.plural(timing.repeats, "call"), words]


def _differentials(reading: Reading) -> Iterator[list[str]]:
    for grouping in reading.differential_groupings():
        for metric in ("fmr_gap", "fmr_max_min", "fnmr_gap", "fnmr_max_min"):
            found = reading.find(metric, target=reading.primary, group=grouping)
            if found:
                yield _row(f"{measure(metric).label} by {grouping}", found)


def _name(e: Estimate) -> str:
    """Return a figure in words: its rank, share, FPIR and condition included."""
    label = measure(e.metric).label if e.metric != "fpir" else "achieved FPIR"
    if e.k is not None:
        label = label.replace("-k", f"-{e.k}") if "-k" in label else f"{label}, rank {e.k}"
    if e.discarded is not None:
        label += f" {fmt.percent(e.discarded)}"
    if e.fpir_target is not None:
        label += f" at FPIR {fmt.target(e.fpir_target)}"
    if e.condition != "clean":
        label += f", {e.condition.removeprefix(_ENSEMBLE)}"
    return label if e.group == "all" else f"{label}, {e.group}"


def _row(name: str, estimate: Estimate) -> list[str]:
    """Return a row; the counts are what the value is a share of, so those of a TAR are the accepted ones."""
    definition, write = measure(estimate.metric).definition, measure(estimate.metric).write
    limits = fmt.interval(estimate.ci_low, estimate.ci_high, write)
    n, k = comparisons(estimate), estimate.errors
    if definition.direction is Direction.HIGHER and n is not None and k is not None:
        k = n - k
    words = [_excess(estimate, write), estimate_words(estimate)]
    shown = _led(estimate, write)
    return [fmt.visible(fmt.clip(name)), shown, limits, fmt.k_of_n(k, n), "; ".join(word for word in words if word)]


def _excess(estimate: Estimate, write: Write) -> str:
    """Say how far a differential lies above what chance alone would show."""
    if estimate.excess is None:
        return ""
    limits = fmt.interval(estimate.excess_low, estimate.excess_high, write)
    within = "" if limits == fmt.MISSING else f" ({limits})"
    if estimate.excess_as == "ratio":
        return f"{write(estimate.excess)} times chance{within}"
    return f"excess over chance {write(estimate.excess)}{within}"


def _led(estimate: Estimate, write: Write) -> str:
    """Return the value, or where no error was seen the bound that leads the report as well."""
    if is_bound(estimate):
        return f"≤ {write(upper_bound(estimate))}"
    if estimate.metric == "tar" and estimate.ci_low is not None and Flag.ZERO_ERRORS in estimate.flags:
        return f"≥ {write(estimate.ci_low)}"
    return write(estimate.value)


def _answer(estimate: Estimate) -> list[str]:
    """Return the row of a figure of answers: of all images, of one class, or within a tolerance."""
    name = measure(estimate.metric).label
    about = [name, *([] if estimate.of is None else [estimate.of])]
    if estimate.at is not None:
        about.append(f"{'within' if estimate.metric == 'within' else 'at'} {fmt.number(estimate.at)}")
    return _row(", ".join(about), estimate)
