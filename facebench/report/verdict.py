"""The verdict: what was measured and what can be said of it, in sentences that come before any table."""

from __future__ import annotations

from collections.abc import Sequence

from facebench.report import format as fmt
from facebench.report.differential_case import RATES, Case, evidence, unseen, why
from facebench.report.model_cautions import model_cautions
from facebench.report.reading import BLIND, Reading, comparisons, grouping_label, is_bound, upper_bound
from facebench.report.statement import Statement, Tone
from facebench.report.wording import FLAGS
from facebench.schema import Comparator, Estimate, Flag, LeftOut, Point


def verdict(reading: Reading, further: Sequence[Statement] = ()) -> list[Statement]:
    """Return the statements of the verdict in the order they are read; `further` ones come before the cautions."""
    statements = [*doubted(reading), _measured(reading), _recognition(reading)]
    if reading.groupings or reading.differential_groupings():
        statements += [_differential(reading, rate) for rate in RATES]
    else:
        headline = "Not measured: this result compares no demographic groups."
        statements.append(Statement("Differentials", Tone.UNKNOWN, headline))
    return [*statements, *further, *_cautions(reading)]


def doubted(reading: Reading) -> list[Statement]:
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
        return Statement("Recognition", Tone.UNKNOWN, f"Recognition {point} cannot be told.", why(flags))
    level = fmt.percent(reading.result.protocol.confidence)
    limits = fmt.interval(tar.ci_low, tar.ci_high, fmt.share)
    within = f"{level} interval {limits}" if limits != fmt.MISSING else "no interval known"
    missed = reading.missed(target, "all")
    bound = upper_bound(missed) if missed and is_bound(missed) else None
    headline = f"True accept rate (TAR) {fmt.share(tar.value)}, {within}, {point}."
    if Flag.ALL_ERRORS in tar.flags and tar.ci_high is not None:
        headline = (
            f"No genuine comparison was accepted: true accept rate (TAR) at most {fmt.share(tar.ci_high)}, {point}."
        )
    if bound is not None:
        headline = f"No genuine comparison was missed: true accept rate (TAR) at least {fmt.share(1 - bound)}, {point}."
    own_errors = (Flag.FEW_ERRORS, Flag.ZERO_ERRORS, Flag.ALL_ERRORS)  # of the FMR: another question
    heeded = [*tar.flags, *(f for f in (far.flags if far else ()) if f not in own_errors)]
    said = [Flag.NO_INTERVAL, Flag.NAIVE_INTERVAL, Flag.ALL_ERRORS]
    if bound is not None:
        said.append(Flag.ZERO_ERRORS)
    doubts = [f for f in dict.fromkeys(heeded) if f not in said]
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
    left_open = unseen(case) if case.gap.ci_low is not None else ""
    if case.doubt:
        nowhere = all(c.gap.value is None for c in cases) and len(cases) > 1
        headline = f"Cannot tell whether {what} differ {'between any groups' if nowhere else f'by {by}'}."
        return Statement(topic, Tone.UNKNOWN, headline, f"{case.doubt} {evidence(case)}{left_open}".strip(), grouping)
    if beyond:
        headline = f"A differential: {what} differ by {by}, more than chance explains."
        others = [fmt.clip(grouping_label(c.gap.group), 80) for c in beyond if c is not case]
        also = f" They also differ beyond chance by {'; by '.join(others)}." if others else ""
        left = _undecided([c for c in cases if c not in beyond])
        return Statement(topic, Tone.FINDING, headline, evidence(case) + also + left, grouping)
    headline = f"No differential in {what} that can be told from chance."
    return Statement(topic, Tone.PLAIN, headline, evidence(case) + left_open, grouping)


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
    return Statement(what.capitalize(), Tone.UNKNOWN, headline, why(overall.flags if overall else ()))


def _size(gap: Estimate) -> float:
    if gap.value is None:
        return -1.0
    return gap.excess if gap.excess is not None else gap.value


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
    found += _left_out(data.left_out or ())
    stated = reading.result.protocol.data_statement
    if stated and not data.phantom:
        found.append(f"About the data: {fmt.clip(stated, 600)}")
    defects = reading.result.protocol.known_defects
    if defects:
        found.append(f"The data has {fmt.plural(len(defects), 'known defect')}, listed under provenance.")
    return [Statement("Caution", Tone.CAUTION, text) for text in found]


MOST_LEFT_OUT = 5


def _left_out(items: Sequence[LeftOut]) -> list[str]:
    """Say what the reader of the data left out or found twice; the names stand under provenance."""
    found = []
    for item in items[:MOST_LEFT_OUT]:
        effect = f"; {item.effect}" if item.effect else ""
        what = fmt.clip(item.what, 120)
        found.append(f"{what[:1].upper()}{what[1:]}: {fmt.count(item.count)}{effect}. Provenance names them.")
    if len(items) > MOST_LEFT_OUT:
        found.append(f"{len(items) - MOST_LEFT_OUT} more kinds of data left out are listed under provenance.")
    return found
