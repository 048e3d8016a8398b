"""Paired differences in words, for the terminal, the Markdown page and the verdict of the HTML page alike."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from facebench.metrics.catalogue import Kind, Topic
from facebench.report import format as fmt
from facebench.report.format import escaped, one_line
from facebench.report.reading import grouping_label, short_label
from facebench.report.statement import Statement, Tone
from facebench.report.wording import flag_words, measure, signed_as
from facebench.schema import Comparison, Difference, Flag, Point

LEADING = ("tar", "fmr", "eer", "auc", "rank", "accuracy", "dprime", "min_cllr", "cllr", "fnmr_at_zero_fmr")
"""These stand first, in this order; all other figures over everybody follow."""
HEADER = ["measure", "base", "model", "difference", "interval", "changed sides", "told apart"]


@dataclass(frozen=True)
class Differences:
    """The differences of one model against the base, with look-ups."""

    comparison: Comparison
    model: str

    @cached_property
    def rows(self) -> tuple[Difference, ...]:
        """All of them, in the order of the comparison."""
        return tuple(d for d in self.comparison.differences if d.model == self.model)

    @property
    def primary(self) -> Point:
        """The operating point the protocol leads with."""
        return self.comparison.protocol.primary

    def find(self, metric: str, *, target: Point | None = None, group: str = "all") -> Difference | None:
        """Return a difference on untouched images, or None."""
        for d in self.rows:
            if (d.metric, d.point, d.group, d.condition) == (metric, target, group, "clean"):
                return d
        return None

    def overall(self) -> list[Difference]:
        """Return the differences over all comparisons; fnmr, the complement of tar, is left out."""
        rows = [
            d
            for d in self.rows
            if d.group == "all" and d.condition == "clean" and d.metric != "fnmr" and not _is_cost(d)
        ]
        return sorted(rows, key=lambda d: (_place(d.metric), -(d.fmr_target or 0)))

    def groups(self, rate: str) -> list[Difference]:
        """Return the differences of one rate of every group at the primary operating point."""
        return [
            d
            for d in self.rows
            if d.metric == rate and "=" in d.group and d.point == self.primary and d.condition == "clean"
        ]

    def differentials(self) -> list[Difference]:
        """Return the differences of the differential measures at the primary operating point."""
        return [
            d
            for d in self.rows
            if d.group != "all" and "=" not in d.group and d.point == self.primary and d.condition == "clean"
        ]

    def conditions(self) -> list[Difference]:
        """Return the differences under altered images."""
        return [d for d in self.rows if d.condition != "clean" and not _is_cost(d)]

    def costs(self) -> list[Difference]:
        """Return the differences in size, multiply-adds, latency and memory."""
        return [d for d in self.rows if _is_cost(d)]

    def of_groups(self) -> list[Difference]:
        """Return what is known of single groups beyond FMR and FNMR, such as their failures to acquire."""
        return [
            d for d in self.rows if "=" in d.group and d.point is None and d.condition == "clean" and not _is_cost(d)
        ]


def _is_cost(difference: Difference) -> bool:
    return measure(difference.metric).definition.topic is Topic.EFFICIENCY


def _place(metric: str) -> int:
    return LEADING.index(metric) if metric in LEADING else len(LEADING)


def told_apart(difference: Difference, alpha: float) -> str:
    """Say whether a difference is beyond chance after the correction for all differences shown.

    Never more than "better" or "worse": a difference that was not found is no proof of equality. Noisy times are never
    called slower, and the cost of scores that are no log-likelihood ratios is not judged.
    """
    if difference.difference is None:
        return "not known"
    if difference.standard_error == 0 and difference.difference == 0:
        return "equal"
    if Flag.NOISY in difference.flags:
        return "cannot tell"
    if difference.ci_method == "exact":
        return "more" if difference.difference > 0 else "less"
    if difference.p_adjusted is None:
        return "no interval"
    if difference.higher_is_better is None and measure(difference.metric).definition.log_likelihood_ratios:
        return "not judged"
    if difference.p_adjusted >= alpha:
        return "cannot tell"
    if difference.worsening is None:
        return "changed"
    if difference.worsening == 0:
        return "cannot tell"
    return "worse" if difference.worsening > 0 else "better"


def name_of(difference: Difference) -> str:
    """Return the measure of a difference in words."""
    label = measure(difference.metric).label
    if difference.of is not None:
        label = f"{label}, {difference.of}"
    if difference.at is not None:
        label = f"{label} of {fmt.number(difference.at)}"
    if difference.metric == "fmr" and difference.group == "all" and difference.point is not None:
        return f"Achieved FMR, {fmt.point(difference.point).removeprefix('FMR ')}"
    if difference.k is not None:
        label = label.replace("-k", f"-{difference.k}")
    if difference.discarded is not None:
        label = f"{label} {fmt.percent(difference.discarded)}"
    if difference.fpir_target is not None:
        return f"{label} at FPIR {fmt.target(difference.fpir_target)}"
    return label if difference.point is None else f"{label} at {fmt.short_point(difference.point)}"


def interval_of(difference: Difference) -> str:
    """Return the interval of a difference with signs."""
    if difference.ci_low is None or difference.ci_high is None:
        return fmt.MISSING
    return f"{signed_as(difference.metric, difference.ci_low)} to {signed_as(difference.metric, difference.ci_high)}"


def changes_of(difference: Difference) -> str:
    """Say how many comparisons changed sides, and which way."""
    if difference.newly_wrong is None or difference.newly_right is None:
        return fmt.MISSING
    return f"{fmt.count(difference.newly_wrong)} wrong, {fmt.count(difference.newly_right)} right"


def row_of(difference: Difference, alpha: float) -> list[str]:
    """Return one difference as a row under `HEADER`."""
    write = measure(difference.metric).write
    where = "" if difference.group == "all" else f", {difference.group}"
    under = "" if difference.condition == "clean" else f", {difference.condition}"
    return [
        one_line(fmt.clip(f"{name_of(difference)}{where}{under}")), write(difference.base_value),
        write(difference.value), signed_as(difference.metric, difference.difference), interval_of(difference),
        changes_of(difference), told_apart(difference, alpha),
    ]  # fmt: skip


def comparison_sentences(comparison: Comparison) -> list[str]:
    """Return the verdict as plain sentences, one statement per item."""
    return [
        one_line(f"{s.topic}: {s.text}" if s.tone is not Tone.PLAIN or i else s.text)
        for i, s in enumerate(comparison_statements(comparison))
    ]


def comparison_statements(comparison: Comparison) -> list[Statement]:
    """Return the verdict of a comparison as statements in the order they are read."""
    names = [model.label for model in comparison.models]
    others = [name for name in names if name != comparison.base]
    listed = ", ".join(fmt.clip(name, 60) for name in others)
    tar = next((d for d in comparison.differences if d.metric == "fmr" and d.group == "all"), None)
    on = f" of {fmt.plural(tar.n_identities, 'identity', 'identities')}" if tar and tar.n_identities else ""
    what = "comparisons" if comparison.leading is None else "images"
    statements = [
        Statement(
            "Measured", Tone.PLAIN,
            f"FaceBench held {listed} against {fmt.clip(comparison.base, 60)} on the same {what}{on}.",
            f"Protocol: {fmt.clip(comparison.protocol.title)}, version {comparison.protocol.version}. "
            f"{comparison.family_size:,} differences were tested together.",
        )
    ]  # fmt: skip
    for name in others:
        found = Differences(comparison, name)
        if comparison.leading is not None:
            statements += _answers(found)
            continue
        statements += [_recognition(found), *_groups(found), *_altered(found)]
    cautions = [*comparison.cautions]
    if comparison.phantom:
        cautions.insert(0, "Phantom data: the faces are rendered. This comparison says nothing about people.")
    return statements + [Statement("Caution", Tone.CAUTION, text) for text in cautions]


def _answers(found: Differences) -> list[Statement]:
    """Say what the figure a task leads with shows, and which groups changed."""
    comparison, topic = found.comparison, fmt.clip(found.model, 40)
    base, alpha = fmt.clip(comparison.base, 60), 1 - comparison.confidence
    if found.model in comparison.identical:
        return [Statement(topic, Tone.PLAIN, f"The same answers as {base}, to the last bit.")]
    row = next((d for d in found.rows if (d.metric, d.group, d.of) == (comparison.leading, "all", None)), None)
    if row is None or row.difference is None or row.p_value is None:
        return [Statement(topic, Tone.UNKNOWN, "Answers cannot be compared.", flag_words(row.flags) if row else "")]
    write, level = measure(row.metric).write, fmt.percent(comparison.confidence)
    values = f"{measure(row.metric).label} {write(row.base_value)} becomes {write(row.value)}"
    detail = f"{values}: {signed_as(row.metric, row.difference)} ({level} interval {interval_of(row)})."
    headline, tone = f"Cannot tell whether it answers better or worse than {base}.", Tone.UNKNOWN
    # the leading figure was named beforehand: corrected for the number of models alone
    if row.p_value < alpha / (len(comparison.models) - 1) and row.worsening:
        word, tone = ("worse", Tone.FINDING) if row.worsening > 0 else ("better", Tone.PLAIN)
        headline = f"It answers {word} than {base}, more than chance explains."
    changed = [d for d in found.rows if d.group != "all" and told_apart(d, alpha) in ("better", "worse")]
    changed.sort(key=lambda d: d.p_adjusted or 0.0)
    if changed:
        parts = "; ".join(
            f"{name_of(d)} of {short_label(d.group)} {signed_as(d.metric, d.difference)}" for d in changed[:4]
        )
        detail += f" {fmt.plural(len(changed), 'figure')} of groups changed beyond chance: {parts}."
    return [Statement(topic, tone, headline, detail)]


def _recognition(found: Differences) -> Statement:
    """Say what all figures over everybody amount to; the leading one is the detail, not the verdict."""
    comparison, topic = found.comparison, fmt.clip(found.model, 40)
    base = fmt.clip(comparison.base, 60)
    if found.model in comparison.identical:
        return Statement(topic, Tone.PLAIN, f"The same embeddings as {base}, to the last bit.")
    judged = _judged(found)
    worse, better = (_listed(d for d, said in judged if said == wanted) for wanted in ("worse", "better"))
    detail, reach = _leading(found)
    if worse and better:
        headline = f"It recognises worse than {base} by {worse}, and better by {better}, more than chance explains."
        return Statement(topic, Tone.FINDING, headline, detail)
    if worse or better:
        word, listed = ("worse", worse) if worse else ("better", better)
        headline = f"It recognises {word} than {base}, more than chance explains: by {listed}."
        return Statement(topic, Tone.FINDING if worse else Tone.PLAIN, headline, detail)
    if not judged:
        return Statement(topic, Tone.UNKNOWN, "Recognition cannot be compared.", detail)
    headline = f"Cannot tell whether it recognises better or worse than {base}, by any of {len(judged)} figures."
    return Statement(topic, Tone.UNKNOWN, headline, f"{detail} {reach}".strip())


def _judged(found: Differences) -> list[tuple[Difference, str]]:
    """Return what is said of each figure over everybody; the achieved FMR is set by the threshold and says nothing."""
    alpha = 1 - found.comparison.confidence
    said = []
    for d in found.overall():
        if d.metric == "fmr" or d.difference is None or Flag.UNRESOLVABLE in d.flags:
            continue
        word = told_apart(d, alpha)
        if d.metric == "tar" and d.point == found.primary and _settled(found, d):
            word = "worse" if d.difference < 0 else "better"
        if word in ("worse", "better", "cannot tell"):
            said.append((d, word))
    return said


def _settled(found: Differences, row: Difference) -> bool:
    """Tell whether the leading figure differs, corrected for the number of models alone: it was named beforehand."""
    comparison = found.comparison
    return row.p_value is not None and row.p_value < (1 - comparison.confidence) / (len(comparison.models) - 1)


def _listed(rows: Iterable[Difference]) -> str:
    names = list(dict.fromkeys(_brief(d) for d in rows))
    shown = names[:6]
    more = f" and {len(names) - 6} more" if len(names) > 6 else ""
    return f"{', '.join(shown)}{more}"


def _brief(d: Difference) -> str:
    name = measure(d.metric).short if d.k is None else name_of(d)
    return name if d.point is None else f"{name} at {fmt.short_point(d.point)}"


def _leading(found: Differences) -> tuple[str, str]:
    """Return what the leading operating point shows, and how large a difference may have gone unseen there."""
    point = f"at {fmt.point(found.primary)}"
    row = found.find("tar", target=found.primary) or found.find("fmr", target=found.primary)
    if row is None or row.metric != "tar" or row.difference is None or Flag.UNRESOLVABLE in row.flags:
        why = flag_words(row.flags) if row is not None and row.flags else "no genuine comparisons"
        return f"TAR {point} cannot be compared: {why}.", ""
    level = fmt.percent(found.comparison.confidence)
    values = f"TAR {fmt.share(row.base_value)} becomes {fmt.share(row.value)} {point}"
    told = f"{signed_as(row.metric, row.difference)} ({level} interval {interval_of(row)})"
    detail = f"{values}: {told}. {_sides(row)}".strip()
    reach = max(abs(row.ci_low or 0.0), abs(row.ci_high or 0.0))
    return detail, f"A difference in TAR of up to {fmt.number(reach)} may have gone unseen."


def _altered(found: Differences) -> list[Statement]:
    """Say how many figures under other conditions changed beyond chance."""
    rows = [d for d in found.conditions() if d.difference is not None]
    if not rows or found.model in found.comparison.identical:
        return []
    alpha = 1 - found.comparison.confidence
    words = [told_apart(d, alpha) for d in rows]
    worse, better = words.count("worse"), words.count("better")
    topic = f"{fmt.clip(found.model, 30)}, conditions"
    of = f"of {fmt.plural(len(rows), 'figure')} under other conditions"
    if not worse and not better:
        return [Statement(topic, Tone.UNKNOWN, f"None {of} can be told from chance.")]
    headline = f"{fmt.count(worse)} {of} are worse by more than chance explains, {fmt.count(better)} better."
    return [Statement(topic, Tone.FINDING if worse else Tone.PLAIN, headline)]


def _sides(row: Difference) -> str:
    if row.newly_wrong is None or row.newly_right is None:
        return ""
    return (
        f"{fmt.plural(row.newly_wrong, 'genuine comparison is', 'genuine comparisons are')} newly missed and "
        f"{fmt.count(row.newly_right)} newly accepted, of {fmt.count(row.n_comparisons)}."
    )


def _groups(found: Differences) -> list[Statement]:
    """Name the groups and the differential measures that changed beyond chance, or say that none can be told."""
    rows = [*found.groups("fnmr"), *found.groups("fmr")]
    topic = f"{fmt.clip(found.model, 30)}, groups"
    if not rows or found.model in found.comparison.identical:
        return []
    alpha = 1 - found.comparison.confidence
    changed = [d for d in rows if told_apart(d, alpha) in ("better", "worse")]
    measures = [d for d in found.differentials() if told_apart(d, alpha) in ("better", "worse")]
    if not changed and not measures:
        widest = max(rows, key=lambda d: (d.ci_high or 0.0) if d.metric == "fnmr" else -1.0)
        unseen = ""
        if widest.metric == "fnmr" and widest.ci_high:
            who = fmt.clip(short_label(widest.group), 60)
            unseen = f"An FNMR higher by up to {fmt.number(widest.ci_high)} ({who}) may have gone unseen."
        headline = (
            f"Cannot tell whether any of {fmt.plural(len({d.group for d in rows}), 'group')} is treated differently."
        )
        return [Statement(topic, Tone.UNKNOWN, headline, unseen)]
    changed.sort(key=lambda d: d.p_adjusted or 0.0)
    parts = [_change(d) for d in changed[:4]]
    if len(changed) > 4:
        parts.append(f"{len(changed) - 4} more in the tables")
    parts += [f"{name_of(d)} by {grouping_label(d.group)} {signed_as(d.metric, d.difference)}" for d in measures[:2]]
    worse = any((d.worsening or 0) > 0 for d in [*changed, *measures])
    headline = f"{fmt.plural(len(changed), 'group rate')} changed by more than chance explains."
    if not changed:
        headline = "A differential measure changed by more than chance explains."
    return [Statement(topic, Tone.FINDING if worse else Tone.PLAIN, headline, f"{'; '.join(parts)}.")]


def _change(d: Difference) -> str:
    write = measure(d.metric).write
    return (
        f"{measure(d.metric).short} of {fmt.clip(short_label(d.group), 60)}: {write(d.base_value)} becomes "
        f"{write(d.value)} ({interval_of(d)})"
    )


def comparison_rows(comparison: Comparison) -> list[list[str]]:
    """Return a header and the leading differences of every model, for a terminal."""
    alpha = 1 - comparison.confidence
    several = len(comparison.models) > 2
    rows = [["model", *HEADER] if several else HEADER]
    for model in comparison.models[1:]:
        found = Differences(comparison, model.label)
        shown = [*found.overall(), *(d for d in found.differentials() if d.metric in ("fmr_gap", "fnmr_gap"))]
        shown += found.costs()
        if comparison.leading is not None:
            shown += [d for d in found.rows if measure(d.metric).definition.kind is Kind.GAP]
        rows += [[model.label, *row_of(d, alpha)] if several else row_of(d, alpha) for d in shown]
    return rows


def comparison_markdown(comparison: Comparison) -> str:
    """Return the comparison as Markdown: the verdict, then one table per model."""
    alpha = 1 - comparison.confidence
    lines = ["# FaceBench comparison", ""]
    lines += [f"- **{escaped(s.topic)}**: {escaped(s.text)}" for s in comparison_statements(comparison)]
    for model in comparison.models[1:]:
        found = Differences(comparison, model.label)
        lines += ["", f"## {escaped(model.label)} against {escaped(comparison.base)}", ""]
        lines += [f"| {' | '.join(HEADER)} |", f"|{'---|' * len(HEADER)}"]
        rows: Sequence[Difference] = [
            *found.overall(),
            *found.costs(),
            *found.differentials(),
            *found.groups("fnmr"),
            *found.groups("fmr"),
            *found.of_groups(),
            *found.conditions(),
        ]
        lines += [f"| {' | '.join(escaped(cell) for cell in row_of(d, alpha))} |" for d in rows]
    return "\n".join(lines) + "\n"
