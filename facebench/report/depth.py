"""Sections on groups beyond their own rates: the impostor ladder, and what changes when one attribute is changed."""

from __future__ import annotations

from collections.abc import Sequence

from facebench.report import charts, tables
from facebench.report import format as fmt
from facebench.report.parts import Block, Chart, Section
from facebench.report.reading import Reading, is_bound, short_label, upper_bound
from facebench.report.svg import Scale, el, linear, logarithmic, path, picture
from facebench.report.tables import Cell, Table
from facebench.schema import Curve, Estimate, Point
from facebench.schema.causal import Sweep

MAX_LABEL = 22
LOOKALIKES = "impostors:look-alikes"


def sections(reading: Reading) -> list[Section]:
    """Return the sections a result has something for."""
    return [*_ladder(reading), *_causal(reading), *_discard(reading), *_judgements(reading)]


def _ladder(reading: Reading) -> list[Section]:
    details = reading.result.impostor_ladder
    if details is None:
        return []
    lead = (
        "How often two strangers are taken for one person as they become more alike, at the one common threshold. A "
        "rate measured on random strangers flatters a system whose impostors share sex, race and age."
    )
    second = details.second_model
    if second is not None:
        lead += (
            f" Look-alikes are each image's nearest strangers by another model ({fmt.clip(second.name, 60)}). They "
            "were picked for being alike, so their rate is no false match rate and enters none."
        )
    rows = [(rung, words, _at(reading, rung)) for rung, words in details.rungs.items()]
    known = [e for _, _, e in rows if e is not None and e.value is not None]
    drawn: tuple[Chart, ...] = ()
    if known:
        dots = [_dot(_rung_name(rung), e) for rung, _, e in rows]
        values = [v for e in known for v in (e.value, e.ci_low, e.ci_high) if v]
        room = charts.label_room([dot.label for dot in dots])
        scale = logarithmic(min(values) / 1.3, min(1.0, max(values) * 1.3), room, charts.WIDTH - charts.RIGHT)
        title = "share of strangers accepted"
        mark = charts.Mark(reading.expected_fmr or 0.0, 0.0, "target")
        drawing = charts.dot_plot(dots, scale, title, f"{title} per rung; the table holds the numbers", reference=mark)
        drawn = (Chart(drawing, f"Strangers accepted at {fmt.point(reading.primary)}, with intervals"),)
    found = tables.table(
        "The impostor ladder at every operating point",
        ["Strangers", *(f"#{head}" for t in reading.targets for head in (f"At {fmt.target(t)}", "Accepted"))],
        [
            [tables.text(words), *(cell for t in reading.targets for cell in _rung_cells(reading, rung, t))]
            for rung, words, _ in rows
        ],
    )
    return [Section("ladder", "Strangers who are alike", lead, (Block(charts=drawn, tables=(found,)),))]


def _rung_name(rung: str) -> str:
    return rung.partition(":")[2].replace("-", " ")


def _at(reading: Reading, rung: str, target: Point | None = None) -> Estimate | None:
    wanted = reading.primary if target is None else target
    return next(
        (
            e
            for e in reading.result.estimates
            if e.condition == rung and e.point == wanted and e.metric in ("fmr", "lookalike_match_rate")
        ),
        None,
    )


def _rung_cells(reading: Reading, rung: str, target: Point) -> tuple[Cell, Cell]:
    e = _at(reading, rung, target)
    if e is None:
        return Cell(fmt.MISSING), Cell(fmt.MISSING)
    worth = () if e.n_eff is None else (f"effective n {fmt.count(e.n_eff)}",)
    return tables.value(e, fmt.fmr), Cell(fmt.k_of_n(e.errors, e.n_impostor), worth, e.errors)


def _dot(label: str, e: Estimate | None) -> charts.Dot:
    short = fmt.clip(label, MAX_LABEL)
    if e is None or e.value is None:
        return charts.Dot(short, None, None, None)
    if is_bound(e):
        return charts.Dot(short, None, None, upper_bound(e), open_=True)
    return charts.Dot(short, e.value, e.ci_low, e.ci_high)


def _causal(reading: Reading) -> list[Section]:
    details = reading.result.causal
    if details is None:
        return []
    compared = "another image of the same person" if details.enrolled_other else "the unedited image itself"
    lead = (
        "One attribute of an image was changed and all else stayed, so a change of its score has no other cause. Each "
        f"edited image is compared with {compared}, and its score is held against the score of the unedited image "
        "there. Below zero: the change makes people less like themselves to the model. Intervals treat people as the "
        "sampling unit."
    )
    blocks = tuple(_sweep(reading, sweep, number == 0) for number, sweep in enumerate(details.sweeps))
    return [Section("causal", "One attribute changed", lead, blocks)]


def _sweep(reading: Reading, sweep: Sweep, open_: bool) -> Block:
    estimates = {
        (e.metric, e.condition, e.group): e for e in reading.result.estimates if e.condition.startswith("causal:")
    }
    conditions = [(level, f"causal:{sweep.attribute}={level}") for level in sweep.levels]
    rows = [(level, estimates.get(("score_change", condition, "all"))) for level, condition in conditions]
    drawn: tuple[Chart, ...] = ()
    if any(e is not None and e.value is not None for _, e in rows):
        dots = [_dot(level, e) for level, e in rows]
        scale = _around_zero([e for _, e in rows if e is not None], charts.label_room([dot.label for dot in dots]))
        label = f"Change of score by level of {sweep.attribute}; the table holds the numbers"
        mark = charts.Mark(0.0, 0.0, "no change")
        drawing = charts.dot_plot(dots, scale, "change of score", label, reference=mark)
        caption = f"Change of score when {fmt.clip(sweep.attribute, 40)} is set to a level, with intervals"
        drawn = (Chart(drawing, caption),)
    found = [_level_table(sweep, conditions, estimates)]
    groups = list(dict.fromkeys(group for _, _, group in estimates if group != "all"))
    folded = [_group_table(sweep, conditions, estimates, groups)] if groups else []
    return Block(f"By {fmt.clip(sweep.attribute, 60)}", open_, drawn, tuple(found), tuple(folded))


Keyed = dict[tuple[str, str, str], Estimate]


def _level_table(sweep: Sweep, conditions: Sequence[tuple[str, str]], estimates: Keyed) -> Table:
    rows = []
    for level, condition in conditions:
        change, step, flips = (
            estimates.get((metric, condition, "all")) for metric in ("score_change", "score_step", "fnmr_change")
        )
        pairs = None if change is None else change.n_genuine
        people = None if change is None else change.n_identities
        cells = [_signed(change), _signed(step), _signed(flips), tables.plain(pairs), tables.plain(people)]
        rows.append([tables.text(level), *cells, tables.notes(change, flips)])
    heads = ["Level", "#Change of score", "#From the level before", "#Change of FNMR"]
    heads += ["#Comparisons", "#Identities", "Notes"]
    return tables.table(f"{fmt.clip(sweep.attribute, 60)} set to each level", heads, rows)


def _group_table(sweep: Sweep, conditions: Sequence[tuple[str, str]], estimates: Keyed, groups: Sequence[str]) -> Table:
    rows = [
        [tables.text(short_label(group))]
        + [_signed(estimates.get(("score_change", condition, group))) for _, condition in conditions]
        for group in groups
    ]
    heads = ["Group", *(f"#{level}" for level, _ in conditions)]
    return tables.table(f"Change of score by group, {fmt.clip(sweep.attribute, 60)} set to each level", heads, rows)


def _signed(e: Estimate | None) -> Cell:
    if e is None or e.value is None:
        return Cell(fmt.MISSING)
    words = fmt.interval(e.ci_low, e.ci_high, _change)
    return Cell(_change(e.value), () if words == fmt.MISSING else (words,), e.value)


def _change(value: float | None) -> str:
    return fmt.MISSING if value is None else f"{value:+.3f}".replace("-", "−")


def _around_zero(known: Sequence[Estimate], room: float) -> Scale:
    values = [0.0, *(v for e in known for v in (e.value, e.ci_low, e.ci_high) if v is not None)]
    margin = 0.08 * (max(values) - min(values) or 1.0)
    return linear(min(values) - margin, max(values) + margin, room, charts.WIDTH - charts.RIGHT)


def _discard(reading: Reading) -> list[Section]:
    curves = [curve for curve in reading.result.curves if curve.kind == "edc"]
    if not curves:
        return []
    lead = (
        "If a quality score knows which comparisons will fail, leaving out the poorest lowers the false non-match rate "
        "of the rest; a flat curve means that it does not. A comparison has the quality of its poorer image, and the "
        "threshold stays."
    )
    blocks = tuple(_discard_block(reading, curve, number == 0) for number, curve in enumerate(curves))
    return [Section("discard", "Discarding poor images", lead, blocks)]


def _discard_block(reading: Reading, curve: Curve, open_: bool) -> Block:
    x = linear(0.0, max(curve.x), charts.LEFT, charts.WIDTH - charts.RIGHT)
    y = linear(0.0, max(curve.y) * 1.15 or 1e-3, charts.HEIGHT - charts.BOTTOM, charts.TOP)
    points = [(x.at(a), y.at(b)) for a, b in zip(curve.x, curve.y, strict=True)]
    label = "FNMR against the share of comparisons discarded; the table holds the numbers"
    drawing = picture(
        charts.WIDTH, charts.HEIGHT, label, charts.axes(x, y, "share discarded", "false non-match rate (FNMR)"),
        el("path", d=path(points), class_="line s0"),
    )  # fmt: skip
    rows = []
    for e in reading.result.estimates:
        if e.condition == curve.condition and e.metric in ("edc_fnmr", "edc_area"):
            words = (
                f"mean up to {fmt.percent(e.discarded or 0)}"
                if e.metric == "edc_area"
                else fmt.percent(e.discarded or 0)
            )
            rows.append([Cell(words), tables.value(e, fmt.number), Cell(fmt.count(e.n_genuine)), tables.notes(e)])
    heads = ["Discarded", "#FNMR of the rest", "#Comparisons before", "Notes"]
    found = tables.table(f"FNMR as comparisons of low {fmt.clip(curve.name, 40)} are discarded", heads, rows)
    chart = Chart(drawing, f"Error-versus-discard curve by {fmt.clip(curve.name, 40)}")
    return Block(f"By {fmt.clip(curve.name, 60)}", open_, (chart,), (found,))


def _judgements(reading: Reading) -> list[Section]:
    known = [e for e in reading.result.estimates if e.metric == "judgement_alignment"]
    if not known:
        return []
    lead = (
        "Whether the model finds those alike whom people find alike: Spearman's correlation of its scores with the "
        "mean judgement of each pair, 1 for the same order, 0 for none."
    )
    agreement = next((e for e in reading.result.estimates if e.metric == "judge_agreement"), None)
    if agreement is not None and agreement.value is not None:
        lead += (
            f" One judge agrees with the mean of the others to {fmt.number(agreement.value)}; no interval is known "
            "for it. More cannot be asked of a model."
        )
    words = {"all": "all pairs judged", "strangers": "pairs of two people"}
    rows = [
        [
            Cell(words.get(e.condition.rpartition(":")[2], e.condition)), tables.value(e, fmt.number),
            Cell(fmt.count((e.n_genuine or 0) + (e.n_impostor or 0))),
            Cell(fmt.count(e.n_identities)), tables.notes(e),
        ]
        for e in known
    ]  # fmt: skip
    heads = ["Comparisons", "#Correlation", "#Pairs", "#Identities", "Notes"]
    return [Section("judgements", "Human judgements", lead, (Block(tables=(tables.table("Alignment", heads, rows),)),))]
