"""The verdict on answers: how well, what is mistaken for what, for whom it is worse."""

from __future__ import annotations

from collections.abc import Sequence

from facebench.metrics.catalogue import Direction, Kind, metric
from facebench.report import format as fmt
from facebench.report.answers import headline_estimate
from facebench.report.reading import Reading, grouping_label, short_label
from facebench.report.statement import Statement, Tone
from facebench.report.verdict import doubted
from facebench.report.wording import measure
from facebench.schema import Estimate, Flag
from facebench.schema.task import Shape, TaskDetails

REGULATED = (
    "Recognising emotions at work or in education, and sorting people by sensitive traits, is restricted by law in "
    "some places, such as Article 5 of the EU AI Act. This result says nothing about whether a use is allowed."
)

SPECIES = (
    "Attacks of a species that is not in this data may fare otherwise; nothing here bounds what a new instrument does."
)


def answers_verdict(reading: Reading, further: Sequence[Statement] = ()) -> list[Statement]:
    """Return the statements of a result of a task, in the order they are read; `further` ones before the cautions."""
    details = reading.result.task
    assert details is not None
    return [
        *doubted(reading),
        _measured(reading, details),
        _quality(reading, details),
        *_mistakes(details),
        *_groups(reading),
        *_groups_of_a_class(reading),
        *further,
        *_cautions(reading, details),
    ]


def _measured(reading: Reading, details: TaskDetails) -> Statement:
    result = reading.result
    kind = "rendered faces" if result.data.phantom else "face images"
    asked = ", ".join(fmt.clip(name, 40) for name in details.truth[:3])
    headline = f"FaceBench judged the answers of {fmt.clip(result.model.name)} on {fmt.count(details.n_judged)} {kind}."
    detail = f"Asked for: {asked}. Protocol: {fmt.clip(result.protocol.title)}, version {result.protocol.version}."
    return Statement("Measured", Tone.PLAIN, headline, detail)


def _quality(reading: Reading, details: TaskDetails) -> Statement:
    found = headline_estimate(reading)
    if found is None or found.value is None:
        return Statement("Answers", Tone.UNKNOWN, "How well it answers cannot be told.", _why(found, details))
    words = measure(found.metric)
    limits = fmt.interval(found.ci_low, found.ci_high, words.write)
    within = f" ({fmt.percent(reading.result.protocol.confidence)} interval {limits})" if limits != fmt.MISSING else ""
    headline = f"{_plain(found, words.write(found.value), _unit(reading, details))}{within}."
    if details.shape is Shape.SCORE:
        headline = f"{_attacks(reading, found, details)}{within}."
    beside = ""
    if found.nulls:
        name, null = next(iter(found.nulls.items()))
        beside = f"An answer that ignores the picture ({name}) scores {words.write(null)}. "
    missing = details.n_judged - details.n_answered
    if missing:
        beside += f"{fmt.k_of_n(missing, details.n_judged)} images were left without an answer. "
    if Flag.NAIVE_INTERVAL in found.flags:
        beside += "The data does not say which images belong together, so the interval is too narrow."
    return Statement("Answers", Tone.PLAIN, headline, beside.strip())


def _unit(reading: Reading, details: TaskDetails) -> str:
    """Return the unit of the numbers answered, as the model file names it; nothing where it does not."""
    heads = reading.result.model.outputs or ()
    return next((f" {fmt.clip(head.unit, 20)}" for head in heads if head.name == details.head and head.unit), "")


def _plain(found: Estimate, written: str, unit: str = "") -> str:
    name = measure(found.metric).label
    if found.metric in ("uar", "top1_accuracy") and found.value is not None:
        per = "in each class, on average" if found.metric == "uar" else "over all images"
        return f"Right in {round(100 * found.value)} of 100 images {per}: {name} {written}"
    if found.metric == "mae":
        return f"Answers are off by {written}{unit} on average: {name}"
    return f"{name} {written}"


def _attacks(reading: Reading, found: Estimate, details: TaskDetails) -> str:
    """Say what an attacker finds and what the honest pay, where the task leads with the worst species."""
    each = [e for e in reading.clean() if (e.metric, e.group) == ("apcer", "all") and e.value is not None]
    honest = next((e for e in reading.clean() if (e.metric, e.group) == ("bpcer", "all")), None)
    if found.metric != "apcer_worst" or not each or honest is None or honest.value is None:
        return _plain(found, measure(found.metric).write(found.value))
    worst = max(each, key=lambda e: e.value or 0.0)
    kinds = f", the worst of {len(details.names)} species" if len(details.names) > 1 else ""
    return (
        f"Rejects {fmt.k_of_n(honest.errors, honest.n_images)} bona fide presentations, and accepts "
        f"{fmt.k_of_n(worst.errors, worst.n_images)} attacks of {fmt.clip(str(worst.of), 40)}{kinds}: APCER "
        f"{measure(found.metric).write(found.value)}"
    )


def _why(found: Estimate | None, details: TaskDetails) -> str:
    if found is not None and Flag.UNDEFINED_CLASS in found.flags and details.shape is Shape.CLASSIFY:
        return "A class of the protocol has no image here; see the mean over the classes that are present."
    return "The result holds no value for it."


def _mistakes(details: TaskDetails) -> list[Statement]:
    counts = details.confusion.get("all")
    if counts is None:
        return []
    worst = max(
        (
            (row[j] / sum(row), i, j)
            for i, row in enumerate(counts)
            if sum(row)
            for j in range(len(details.names))
            if j != i
        ),
        default=None,
    )
    if worst is None or worst[0] == 0:
        return []
    share, i, j = worst
    row = counts[i]
    shown, said = (fmt.clip(details.names[k], 40) for k in (i, j))
    headline = f"It most often mistakes {shown} for {said}: in {round(100 * share)} of 100 images of {shown}."
    return [Statement("Mistakes", Tone.PLAIN, headline, f"{fmt.k_of_n(row[j], sum(row))} images.")]


def _groups(reading: Reading) -> list[Statement]:
    gaps = [e for e in reading.clean() if metric(e.metric).kind is Kind.GAP and e.value is not None and e.of is None]
    if not gaps:
        return [Statement("Groups", Tone.UNKNOWN, "Not measured: this result compares no groups.")]
    alpha = 1 - reading.result.protocol.confidence
    details = reading.result.task
    assert details is not None
    led = [e for e in gaps if e.metric == f"{details.primary}_gap"] or gaps
    if Flag.NAIVE_INTERVAL in led[0].flags:
        headline = "Cannot tell whether groups differ: the data does not say which images belong together."
        return [Statement("Groups", Tone.UNKNOWN, headline)]
    family = len(led)
    beyond = [e for e in led if e.p_value is not None and e.p_value * family < alpha and (e.ci_low or 0) > 0]
    if not beyond:
        widest = max(led, key=lambda e: e.ci_high or 0)
        unseen = f"A gap of up to {measure(widest.metric).write(widest.ci_high)} may have gone unseen."
        return [Statement("Groups", Tone.PLAIN, "No differential between groups that can be told from chance.", unseen)]
    top = max(beyond, key=lambda e: e.excess or 0)
    return [Statement("Groups", Tone.FINDING, _told(reading, top), _evidence(top, family), top.group)]


def _groups_of_a_class(reading: Reading) -> list[Statement]:
    """Say which class or label is recognised unequally often, where that is more than chance over all looked at.

    The family is every gap of recall of every class and grouping.
    """
    gaps = [e for e in reading.clean() if e.metric == "recall_gap" and e.of is not None and e.p_value is not None]
    gaps = [e for e in gaps if Flag.NAIVE_INTERVAL not in e.flags]
    family = len(gaps)
    alpha = 1 - reading.result.protocol.confidence
    beyond = [e for e in gaps if (e.p_value or 0.0) * family < alpha and (e.ci_low or 0) > 0]
    if not beyond:
        return []
    top = max(beyond, key=lambda e: e.excess or 0.0)
    rows = [
        e for e in reading.clean()
        if (e.metric, e.of) == ("recall", top.of) and e.value is not None and _grouping(e.group) == top.group
    ]  # fmt: skip
    if len(rows) < 2:
        return []
    worst, best = (pick(rows, key=lambda e: e.value or 0.0) for pick in (min, max))
    shares = [
        f"{round(100 * (e.value or 0.0))} of 100 images of {fmt.clip(short_label(e.group), 60)}" for e in (worst, best)
    ]
    headline = f"{fmt.clip(str(top.of), 40).capitalize()} is recognised in {shares[0]} and {shares[1]}."
    write = measure(top.metric).write
    p = fmt.p_statement(min(1.0, (top.p_value or 0.0) * family))
    detail = (
        f"{fmt.count(worst.n_images)} and {fmt.count(best.n_images)} images; the gap is {write(top.value)} "
        f"({fmt.interval(top.ci_low, top.ci_high, write)}). Test that all are alike: "
        f"{p}, corrected for {fmt.plural(family, 'gap')} of classes and groupings."
    )
    return [Statement("Groups", Tone.FINDING, headline, detail, top.group)]


def _told(reading: Reading, gap: Estimate) -> str:
    name = gap.metric.removesuffix("_gap")
    rows = [
        e
        for e in reading.clean()
        if e.metric == name and e.of is None and e.value is not None and _grouping(e.group) == gap.group
    ]
    by = fmt.clip(grouping_label(gap.group), 80)
    if len(rows) < 2:
        return f"A differential: answers differ by {by}, more than chance explains."
    lower = metric(name).direction is Direction.LOWER
    rows.sort(key=lambda e: e.value or 0.0, reverse=lower)
    worst, best = rows[0], rows[-1]
    write = measure(name).write
    return (
        f"A differential: {measure(name).label} is {write(worst.value)} for {fmt.clip(short_label(worst.group), 60)} "
        f"and {write(best.value)} for {fmt.clip(short_label(best.group), 60)}, more than chance explains."
    )


def _grouping(group: str) -> str:
    return "&".join(part.partition("=")[0] for part in group.split("&"))


def _evidence(gap: Estimate, family: int) -> str:
    write = measure(gap.metric).write
    asked = f", corrected for {family} groupings" if family > 1 else ""
    p = min(1.0, (gap.p_value or 0.0) * family)
    return (
        f"The gap is {write(gap.value)} ({fmt.interval(gap.ci_low, gap.ci_high, write)}); chance alone would show "
        f"about {write(gap.expected_if_fair)}. Test that all are alike: {fmt.p_statement(p)}{asked}."
    )


def _cautions(reading: Reading, details: TaskDetails) -> list[Statement]:
    found = []
    if reading.result.data.phantom:
        found.append("Phantom data: the faces are rendered. This result says nothing about people.")
    if details.shape not in (Shape.REGRESS, Shape.SCORE) or {"valence", "arousal"} & set(details.truth):
        found.append(REGULATED)
    if details.shape is Shape.SCORE:
        found.append(SPECIES)
    if reading.seen(Flag.THRESHOLD_ON_TEST):
        found.append(
            "The threshold was set on the judged images themselves, so every figure at it looks better than it is: "
            "this result never ranks."
        )
    if reading.result.run.limit is not None:
        found.append(f"Only the first {fmt.count(reading.result.run.limit)} images were used: this result never ranks.")
    return [Statement("Caution", Tone.CAUTION, words) for words in found]
