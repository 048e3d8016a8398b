"""The attacks of a result: what stays right, at which budget it breaks, what it cost, and which rows can be trusted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from markupsafe import Markup

from facebench.report import format as fmt
from facebench.report.parts import Block, Chart, Section
from facebench.report.tables import Cell, Table, notes, plain, table, text, value
from facebench.report.wording import measure
from facebench.schema import Estimate, Flag, Result
from facebench.schema.attack_report import AttackReport, CellReport
from facebench.schema.attacks import Goal, Knowledge, Norm
from facebench.sections.robustness.attacks import charts as attack_charts

GOALS = {
    Goal.DODGING: "dodging: a genuine pair rejected",
    Goal.IMPERSONATION: "impersonation: an impostor pair accepted",
}
NORMS = {
    Norm.LINF: "largest change of a pixel value", Norm.L2: "root mean square change", Norm.L1: "mean absolute change",
    Norm.PATTERN: "any change inside a worn pattern",
}  # fmt: skip
THREATS = ("linf", "l2", "l1", "glasses", "sticker", "mask", "hat", "universal")
NOT_RUN = "not run"


def sections(result: Result) -> list[Section]:
    """Return the section on attacks, or none where there were none."""
    report = result.robustness.attacks if result.robustness else None
    return [] if report is None else [_section(result, report)]


def _section(result: Result, report: AttackReport) -> Section:
    drawn = "; ".join(
        f"{one.goal}: {fmt.plural(one.n_pairs, 'comparison')} drawn, {fmt.count(one.n_clean_errors)} of them wrong "
        "before any attack"
        for one in report.goals
    )
    lead = (
        "The probe of a comparison is changed so that a genuine pair is rejected (dodging) or an impostor pair is "
        f"accepted (impersonation), at the clean threshold {fmt.number(report.threshold)} of "
        f"{fmt.point(report.point)}. Comparisons that were wrong before are clean errors: never attacked, "
        f"never a success ({drawn}). Success is judged on 8-bit images, saved and read again. Attackers who know more "
        "or less are never ranked together, and rows marked unreliable are not ranked at all: there the attack may "
        "have been misled by hidden gradients, and a real attacker may do better."
    )
    blocks = [
        Block(tables=_filled(_ensembles(result))),
        *(_goal_block(result, report, goal.goal) for goal in report.goals),
        Block("Which threats were tried", tables=_filled(*(_grid(report, goal) for goal in Goal))),
        Block("By group", False, tables=_filled(_groups(result), _crossings(result))),
        Block("Can the rows be trusted?", _any_unreliable(report), tables=_filled(checks_table(report.cells))),
        Block("What it cost", False, tables=_filled(ledger_table(report.cells, "Pairs"))),
    ]
    return Section("attacks", "Attacks", lead, tuple(b for b in blocks if b.tables or b.charts))


def _filled(*found: Table) -> tuple[Table, ...]:
    return tuple(t for t in found if t.rows)


def _any_unreliable(report: AttackReport) -> bool:
    return any(cell.unreliable for cell in report.cells)


def _rate(estimates: Iterable[Estimate], metric: str, condition: str) -> Estimate | None:
    found = (e for e in estimates if e.metric == metric and e.condition == condition)
    return next((e for e in found if e.group == "all" and e.group_b is None), None)


# ---- robust TAR and FAR, worst first


def _ensembles(result: Result) -> Table:
    """Tabulate the worst case per comparison over all attacks with one knowledge and budget, worst first."""
    rows = []
    for e in result.estimates:
        if not e.condition.startswith("attack:ensemble-") or e.group != "all" or e.metric not in _ROBUST:
            continue
        ensemble, eps, goal = e.condition.removeprefix("attack:ensemble-").split(":")
        knowledge, _, norm = ensemble.rpartition("-")
        success = _rate(result.estimates, "attack_success", e.condition)
        tier = list(Knowledge).index(Knowledge(knowledge))  # what attackers know is never ranked together
        rank = Flag.UNRELIABLE in e.flags, tier, -((success.value or 0.0) if success else 0.0)
        cells = [
            text(goal), text(knowledge), text(f"{norm} {eps}", NORMS[Norm(norm)]), Cell(measure(e.metric).label),
            value(e, measure(e.metric).write), value(success, fmt.number), _changed(success), notes(e),
        ]  # fmt: skip
        rows.append((rank, cells))
    rows.sort(key=lambda row: row[0])
    columns = ["Goal", "Attacker knows", "Budget", "Measure", "#Value", "#Success", "#Turned", "~Notes"]
    note = (
        "Per comparison the worst over all attacks of that kind; worst rows first, unreliable rows last and unranked."
    )
    return table("What stays right under attack", columns, [cells for _, cells in rows], note)


_ROBUST = ("robust_tar", "robust_far")


def _changed(success: Estimate | None) -> Cell:
    if success is None:
        return Cell(fmt.MISSING)
    n = success.n_genuine if success.n_genuine is not None else success.n_impostor
    return Cell(fmt.k_of_n(success.errors, n), sort=success.errors)


# ---- one goal


def _goal_block(result: Result, report: AttackReport, goal: Goal) -> Block:
    cells = [cell for cell in report.cells if cell.cell.goal is goal]
    charts = [
        Chart(drawing, f"{goal.capitalize()}: share of pairs turned, by the budget ({NORMS[norm]}), with intervals")
        for norm in (Norm.LINF, Norm.L2, Norm.L1)
        if (drawing := attack_charts.budget_chart(_lines(result, cells, norm)))
    ]
    for unit in ("steps", "queries"):
        lines = _traces(cells, unit)
        if lines:
            caption = f"{goal.capitalize()}: share of pairs turned after so many {unit}, at the largest budget"
            charts.append(Chart(attack_charts.trace_chart(lines, unit), caption))
    charts += _pictures(cells)
    title = f"{GOALS[goal][0].upper()}{GOALS[goal][1:]}"
    return Block(title, True, tuple(charts), _filled(_levels(result, cells), _smallest(cells)))


def _lines(result: Result, cells: Sequence[CellReport], norm: Norm) -> list[attack_charts.Line]:
    found = []
    for cell in cells:
        if cell.cell.norm is not norm:
            continue
        points = []
        for level, eps in zip(cell.levels, cell.cell.eps_values, strict=False):
            e = _rate(result.estimates, "attack_success", level.condition)
            if e is not None and e.value is not None:
                points.append(attack_charts.Point(eps * 255, e.value, e.ci_low, e.ci_high))
        found.append(attack_charts.Line(_name(cell), tuple(points), cell.unreliable))
    return found


def _traces(cells: Sequence[CellReport], unit: str) -> list[attack_charts.Line]:
    return [
        attack_charts.Line(
            _name(cell),
            tuple(
                attack_charts.Point(float(at), share) for at, share in zip(cell.trace.at, cell.trace.share, strict=True)
            ),
            cell.unreliable,
        )
        for cell in cells
        if cell.trace is not None and cell.trace.unit == unit and len(cell.trace.at) > 2
    ]


def _name(cell: CellReport) -> str:
    return cell.cell.label


def _levels(result: Result, cells: Sequence[CellReport]) -> Table:
    """Tabulate every attack at every budget."""
    rows = []
    for cell in cells:
        for level in cell.levels:
            success = _rate(result.estimates, "attack_success", level.condition)
            robust = next((e for m in _ROBUST if (e := _rate(result.estimates, m, level.condition))), None)
            change = None if level.median_change is None else f"{fmt.number(level.median_change)}/255"
            rows.append(
                [
                    text(_name(cell)), text(str(cell.cell.knowledge)), text(level.eps), value(success, fmt.number),
                    Cell(fmt.k_of_n(level.successes, level.n), sort=level.successes),
                    Cell(fmt.k_of_n(level.successes_float, level.n), sort=level.successes_float), text(change),
                    value(robust, measure(robust.metric).write if robust else fmt.number), notes(success),
                ]
            )  # fmt: skip
    columns = [
        "Attack", "Attacker knows", "Budget", "#Success", "#Turned", "#Before rounding", "Median change",
        "#Robust rate", "~Notes",
    ]  # fmt: skip
    note = "Robust rate: robust TAR of genuine comparisons, robust FAR of impostor comparisons, clean errors included."
    return table("Every attack at every budget", columns, rows, note)


def _smallest(cells: Sequence[CellReport]) -> Table:
    rows = []
    for cell in cells:
        found = cell.smallest
        if found is None:
            continue
        shown = f"> {fmt.number(found.cap)}" if found.median is None else fmt.number(found.median)
        words = fmt.interval(found.low, found.high, fmt.number)
        how = "up to the budgets tried" if found.grid else "as found"
        rows.append(
            [
                text(_name(cell)), text(NORMS[cell.cell.norm or Norm.LINF]),
                Cell(shown, () if words == fmt.MISSING else (words,), found.median), plain(found.events),
                Cell(f"{fmt.count(found.censored)} at {fmt.number(found.cap)}", sort=found.censored), text(how),
            ]
        )  # fmt: skip
    columns = ["Attack", "Change", "#Median, of 255", "#Turned", "#Withstood", "Known"]
    note = "Kaplan-Meier medians before rounding; pairs that withstood are censored at the largest budget."
    return table("Smallest change that turns a comparison", columns, rows, note)


def _pictures(cells: Sequence[CellReport]) -> list[Chart]:
    charts = []
    for cell in cells:
        if cell.picture is None:
            continue
        alternatives = (("before", cell.picture.before), ("after", cell.picture.after), ("change", cell.picture.change))
        drawing = Markup("").join(
            Markup('<img src="data:image/jpeg;base64,{}" width="112" height="112" alt="{}"> ').format(
                data, f"{name} {_name(cell)}"
            )
            for name, data in alternatives
        )
        budget = f" at {cell.cell.eps[-1]}" if cell.cell.eps else ""
        caption = f"{_name(cell)}{budget}: before, after, and the change with its contrast stretched"
        charts.append(Chart(drawing, caption))
    return charts


# ---- the grid


def _grid(report: AttackReport, goal: Goal) -> Table:
    """Tabulate threats against knowledge; empty cells say that they were not run."""
    rows = []
    for threat in THREATS:
        row = [text(threat)]
        for knowledge in Knowledge:
            cells = [
                cell
                for cell in report.cells
                if cell.cell.goal is goal and cell.cell.knowledge is knowledge and _threat(cell) == threat
            ]
            row.append(_grid_cell(cells))
        rows.append(row)
    columns = ["Threat", *(f"{knowledge}" for knowledge in Knowledge)]
    note = "The strongest attack at its largest budget: success, then its name."
    return table(f"{goal.capitalize()}: threat by what the attacker knows", columns, rows, note)


def _threat(cell: CellReport) -> str:
    if cell.cell.known.universal:
        return "universal"
    return str(cell.cell.pattern or cell.cell.norm)


def _grid_cell(cells: Sequence[CellReport]) -> Cell:
    if not cells:
        return Cell(NOT_RUN)
    best = max(cells, key=lambda cell: cell.levels[-1].successes / max(cell.levels[-1].n, 1))
    level = best.levels[-1]
    words = [f"{_name(best)} {level.eps or ''}".strip(), fmt.k_of_n(level.successes, level.n)]
    if best.unreliable:
        words.append("unreliable")
    return Cell(fmt.number(level.successes / max(level.n, 1)), tuple(words))


# ---- groups


def _groups(result: Result) -> Table:
    rows = []
    for e in result.estimates:
        if e.metric != "attack_success" or e.group == "all" or e.group_b is not None:
            continue
        matched = _group_rate(result, "attack_success_matched", e)
        robust = next((r for m in _ROBUST if (r := _group_rate(result, m, e))), None)
        rows.append(
            [
                text(e.group), text(e.condition.removeprefix("attack:ensemble-")), value(e, fmt.number), _changed(e),
                value(matched, fmt.number), value(robust, measure(robust.metric).write if robust else fmt.number),
                notes(e, matched),
            ]
        )  # fmt: skip
    columns = ["Group", "Ensemble", "#Success", "#Turned", "#Margin-matched", "#Robust rate", "~Notes"]
    note = (
        "Margin-matched: as if the group's clean scores were spread as those of all attacked comparisons. What "
        "differential is left there is not explained by how near the group lies to the threshold."
    )
    return table("Comparisons within each group, worst case over attacks", columns, rows, note)


def _group_rate(result: Result, metric: str, like: Estimate) -> Estimate | None:
    for e in result.estimates:
        if (e.metric, e.condition, e.group, e.group_b) == (metric, like.condition, like.group, None):
            return e
    return None


def _crossings(result: Result) -> Table:
    rows = [
        [
            text(e.group),
            text(e.group_b),
            text(e.condition.removeprefix("attack:ensemble-")),
            value(e, fmt.number),
            _changed(e),
            notes(e),
        ]
        for e in result.estimates
        if e.metric == "attack_success" and e.group_b is not None
    ]
    columns = ["Attacker's group", "Victim's group", "Ensemble", "#Success", "#Turned", "~Notes"]
    return table("Impersonation across groups", columns, rows)


# ---- trust and cost


def checks_table(cells: Sequence[CellReport]) -> Table:
    """Tabulate the checks for hidden gradients of every cell, those that failed first."""
    rows = []
    ordered = sorted(cells, key=lambda cell: not cell.unreliable)
    for cell in ordered:
        failed = [c for c in cell.checks if c.passed is False]
        passed = [c.name for c in cell.checks if c.passed]
        unknown = [c.name for c in cell.checks if c.passed is None]
        why = "; ".join(f"{c.name}: {fmt.number(c.value)} ({c.detail})" for c in failed)
        verdict = "unreliable" if cell.unreliable else "no sign of hidden gradients" if passed else "not checked"
        rows.append(
            [
                text(cell.cell.condition(None)),
                text(verdict),
                Cell(why),
                text(", ".join(passed)),
                text(", ".join(unknown)),
            ]
        )
    columns = ["Attack", "Verdict", "~Failed", "~Passed", "~Not applicable or unknown"]
    note = "A passed check shows no fault; it is no proof that no stronger attack exists."
    return table("Checks for hidden gradients", columns, rows, note)


def ledger_table(cells: Sequence[CellReport], unit: str) -> Table:
    """Tabulate what every cell cost; `unit` is what was attacked."""
    rows = []
    for cell in cells:
        spent, known = cell.spent, cell.cell.known
        rows.append(
            [
                text(cell.cell.condition(None)), plain(cell.levels[0].n), plain(cell.cell.steps or known.steps),
                plain(cell.cell.restarts or known.restarts), plain(spent.forwards), plain(spent.backwards),
                plain(spent.queries), plain(spent.checks), Cell(fmt.number(spent.seconds), sort=spent.seconds),
                plain(spent.seed),
            ]
        )  # fmt: skip
    columns = [
        "Attack", f"#{unit}", "#Steps", "#Starts", "#Forward passes", "#Backward passes", "#Queries", "#Checks",
        "#Seconds", "#Seed",
    ]  # fmt: skip
    return table("Passes of one face, all budgets together", columns, rows)
