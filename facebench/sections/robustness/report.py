"""Altered faces in a result: what corruptions, occlusions and geometry cost, worst first, with pictures and curves."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from facebench.report import format as fmt
from facebench.report.parts import Block, Chart, Section
from facebench.report.reading import Reading, short_label
from facebench.report.svg import el
from facebench.report.tables import Cell, Table, counted, notes, plain, table, text, value
from facebench.schema import Estimate
from facebench.schema import Point as OperatingPoint
from facebench.schema.robustness import FAMILIES, SEVERITIES, family_of, kind_of, level_of, levels_of
from facebench.sections.robustness.answers_report import answer_sections
from facebench.sections.robustness.attacks import report as attacks
from facebench.sections.robustness.attacks.answers_report import attack_sections
from facebench.sections.robustness.attacks.charts import Line, Point, curve_chart
from facebench.sections.robustness.statements import statements as statements  # part of a section's contract
from facebench.sections.robustness.words import words

CURVES = 5
TITLES = {
    "corruption": "Corrupted pictures",
    "occlusion": "Covered faces",
    "geometry": "Turned, cut and misaligned faces",
}


def sections(reading: Reading) -> list[Section]:
    """Return one section per family of conditions that was run, and one on attacks."""
    if reading.result.task is not None:
        return [*answer_sections(reading), *attack_sections(reading)]
    details = reading.result.robustness
    conditions = () if details is None else details.conditions
    families = [family for family in FAMILIES if any(family_of(c) == family for c in conditions)]
    return [*(_Family(reading, family).section() for family in families), *attacks.sections(reading.result)]


class _Family:
    """The conditions of one family at the primary operating point."""

    def __init__(self, reading: Reading, family: str) -> None:
        self.reading, self.family = reading, family
        details = reading.result.robustness
        assert details is not None
        self.details = details
        self.conditions = [c for c in details.conditions if family_of(c) == family]
        self.pictures = {e.condition: e.picture for e in details.examples}
        self._index: dict[tuple[str, str, str], Estimate] = {}
        self._tars: dict[tuple[str, OperatingPoint | None], Estimate] = {}
        for e in reading.result.estimates:
            if e.metric == "tar" and e.group == "all":
                self._tars[e.condition, e.point] = e
            if e.point in (None, reading.primary) and e.group_b is None:
                self._index.setdefault((e.metric, e.condition, e.group), e)

    def find(self, metric: str, condition: str, group: str = "all") -> Estimate | None:
        """Return an estimate at the primary operating point."""
        return self._index.get((metric, condition, group))

    @cached_property
    def kinds(self) -> list[tuple[str, list[str]]]:
        """Kinds with their conditions, the one that loses most first."""
        found: dict[str, list[str]] = {}
        for condition in self.conditions:
            found.setdefault(kind_of(condition), []).append(condition)
        return sorted(found.items(), key=lambda item: -max(self._drop(c) for c in item[1]))

    def _drop(self, condition: str) -> float:
        found = self.find("relative_drop", condition)
        return -1.0 if found is None or found.value is None else found.value

    def section(self) -> Section:
        """Return the section of the family."""
        point = fmt.point(self.reading.primary)
        which = "probe" if self.details.apply_to == "probe" else "both images"
        lead = (
            f"Verification again with the {which} of every comparison altered, at the clean threshold of "
            f"{point}. Each comparison counts once: the earlier image is enrolled, the later one is the probe. "
        )
        blocks = [
            Block(
                charts=tuple(self._charts()),
                tables=_filled(self._worst_first()),
                folded=_filled(self._every(), self._other_targets()),
            )
        ]
        by_group = _filled(self._groups(), self._gaps())
        if by_group:
            blocks.append(Block("By group", False, tables=by_group))
        failed = _filled(self._failed())
        if failed:
            blocks.append(Block("Images lost under a condition", False, tables=failed))
        return Section(self.family, TITLES[self.family], lead + self._reading(), tuple(blocks))

    def _reading(self) -> str:
        """Say in plain words what was lost, and where."""
        mean, drop = self.find("mean_tar", self.family), self.find("mean_relative_drop", self.family)
        clean = self.reading.find("tar", target=self.reading.primary)
        known = [c for c in self.conditions if (e := self.find("tar", c)) is not None and e.value is not None]
        if mean is None or mean.value is None or clean is None or clean.value is None or not known:
            return "This data has no genuine comparisons, so that only false matches can be counted."
        said = [
            f"On average over {fmt.plural(len(known), 'condition')} the TAR is {fmt.share(mean.value)}"
            f"{_range(mean, fmt.share)}; clean it is {fmt.share(clean.value)}."
        ]
        if drop is not None and drop.value is not None:
            said.append(f"That is a loss of {fmt.percent(round(drop.value, 3))} of it{_range(drop, fmt.number)}.")
        worst = min(known, key=lambda c: self._tar(c))
        found = self.find("tar", worst)
        assert found is not None
        said.append(f"Lowest with {words(worst)}: {fmt.share(found.value)}{_range(found, fmt.share)}.")
        above = [c for c in self.conditions if self._exceeds(c)]
        if above:
            top = max(above, key=lambda c: self.find("fmr", c).value or 0.0)  # type: ignore[union-attr]
            rate = self.find("fmr", top)
            assert rate is not None
            said.append(
                f"Under {fmt.plural(len(above), 'condition')} more impostors are let in than the target allows, most "
                f"with {words(top)}: FMR {fmt.fmr(rate.value)}{_range(rate, fmt.fmr)}."
            )
        return " ".join(said)

    def _tar(self, condition: str) -> float:
        found = self.find("tar", condition)
        return 2.0 if found is None or found.value is None else found.value

    def _exceeds(self, condition: str) -> bool:
        found = self.find("fmr", condition)
        expected = self.reading.expected_fmr
        if found is None or found.ci_low is None or expected is None:
            return False
        return found.ci_low > expected

    # ---- curves

    def _charts(self) -> list[Chart]:
        clean = self.reading.find("tar", target=self.reading.primary)
        graded = [(kind, names) for kind, names in self.kinds if levels_of(kind) == SEVERITIES and len(names) > 1]
        lines = []
        for kind, names in graded:
            start = (
                [] if clean is None or clean.value is None else [Point(0.0, clean.value, clean.ci_low, clean.ci_high)]
            )
            points = [
                Point(float(level_of(c) or 0), e.value, e.ci_low, e.ci_high)
                for c in sorted(names, key=lambda c: level_of(c) or 0)
                if (e := self.find("tar", c)) is not None and e.value is not None
            ]
            if points:
                lines.append(Line(words(kind), (*start, *points)))
        highest = max((p.high or p.y for line in lines for p in line.points), default=1.0)
        drawing = curve_chart(
            lines[:CURVES], "severity (0: clean)", "TAR at the clean threshold", top=min(1.0, 1.15 * highest) or 1.0
        )
        if not drawing:
            return []
        more = f" {fmt.plural(len(lines) - CURVES, 'kind')} more in the table." if len(lines) > CURVES else ""
        caption = f"TAR against severity, with intervals; those that lose most.{more}"
        return [Chart(drawing, caption)]

    # ---- tables

    def _worst_first(self) -> Table:
        """Tabulate the kinds, worst first, with a picture of their worst level."""
        graded = any(levels_of(kind) == SEVERITIES for kind, _ in self.kinds)
        levels = sorted(
            {level_of(c) or 0 for kind, names in self.kinds if levels_of(kind) == SEVERITIES for c in names}
        )
        rows = []
        for kind, names in self.kinds:
            worst = min(names, key=self._tar)
            tar, drop = self.find("tar", worst), self.find("relative_drop", worst)
            far = max((self.find("fmr", c) for c in names), key=lambda e: (e.value or 0.0) if e else -1.0)
            per_level = {level_of(c): c for c in names} if levels_of(kind) == SEVERITIES else {}
            at = "" if worst == kind else words(worst).rpartition(", ")[2]
            rows.append(
                [
                    text(words(kind), at), self._picture(names, worst), value(tar, fmt.share), value(drop, fmt.number),
                    value(far, fmt.fmr), *(self._short(per_level.get(level)) for level in levels), notes(tar, far),
                ]
            )  # fmt: skip
        heads = [f"#TAR, severity {level}" for level in levels] if graded else []
        columns = ["Condition", "Example", "#Lowest TAR", "#Relative drop there", "#Highest FMR", *heads, "~Notes"]
        caption = f"{TITLES[self.family]}: what each costs at {fmt.point(self.reading.primary)}, worst first"
        note = (
            "Pictures show one phantom face, at most severities 1, 3 and 5."
            if self.pictures
            else ("Pictures are shown for phantom faces only.")
        )
        return table(caption, columns, rows, note)

    def _short(self, condition: str | None) -> Cell:
        found = None if condition is None else self.find("tar", condition)
        return Cell(fmt.MISSING) if found is None else plain(found.value, fmt.share)

    def _picture(self, names: Sequence[str], worst: str) -> Cell:
        """Return a cell of pictures: three severities, or the one level that loses most."""
        shown = [c for c in names if level_of(c) in (1, 3, 5)] if levels_of(kind_of(worst)) == SEVERITIES else []
        pictures = [
            el("img", src=self.pictures[c], width=64, height=64, alt=words(c), title=words(c))
            for c in shown or [worst]
            if c in self.pictures
        ]
        return Cell("", chart=el("span", *pictures, class_="fig")) if pictures else Cell("")

    def _every(self) -> Table:
        """Tabulate every condition."""
        rows = []
        for condition in sorted(self.conditions, key=self._tar):
            tar, missed, far = (self.find(metric, condition) for metric in ("tar", "fnmr", "fmr"))
            rows.append(
                [
                    text(words(condition)), value(tar, fmt.share), counted(missed), value(far, fmt.fmr), counted(far),
                    value(self.find("relative_drop", condition), fmt.number),
                    value(self.find("fta", condition), fmt.number), notes(tar, far),
                ]
            )  # fmt: skip
        columns = ["Condition", "#TAR", "#Genuine missed", "#FMR", "#False matches", "#Relative drop", "#FTA", "~Notes"]
        return table("Every condition, lowest TAR first", columns, rows)

    def _other_targets(self) -> Table:
        """Tabulate the TAR at the remaining operating points."""
        rest = [t for t in self.reading.targets if t != self.reading.primary]
        rows = [
            [text(words(condition)), *(value(self._tars.get((condition, t)), fmt.share) for t in rest)]
            for condition in sorted(self.conditions, key=self._tar)
        ]
        heads = [f"#TAR at {fmt.target(t)}" for t in rest]
        return table("The same conditions at the other operating points", ["Condition", *heads], rows if rest else [])

    def _groups(self) -> Table:
        """Tabulate mean TAR and drop of the groups."""
        rows = []
        for name, groups in self.reading.groupings.items():
            for group in groups:
                mean, drop = (self.find(metric, self.family, group) for metric in ("mean_tar", "mean_relative_drop"))
                if mean is None:
                    continue
                clean = self.reading.missed(self.reading.primary, group)
                kept = None if clean is None or clean.value is None else 1 - clean.value
                rows.append(
                    [
                        text(short_label(group), name.replace("&", " × ")), plain(kept, fmt.share),
                        value(mean, fmt.share), value(drop, fmt.number), notes(mean),
                    ]
                )  # fmt: skip
        columns = ["Group", "#Clean TAR", "#Mean TAR, all conditions", "#Mean relative drop", "~Notes"]
        note = (
            "A larger drop says that the model is more sensitive there; a lower mean may also come from a lower start."
        )
        return table("What the groups lose on average", columns, rows, note)

    def _gaps(self) -> Table:
        """Tabulate the gaps between groups under each condition, largest excess over chance first."""
        rows = []
        for condition in self.conditions:
            for name in self.reading.groupings:
                gap = self.find("fnmr_gap", condition, name)
                if gap is None or gap.value is None:
                    continue
                before = self.reading.find("fnmr_gap", target=self.reading.primary, group=name)
                rows.append(
                    [
                        text(words(condition)), text(name.replace("&", " × ")), value(gap, fmt.number),
                        plain(gap.expected_if_fair, fmt.number), plain(gap.excess, fmt.number),
                        plain(before.value if before else None, fmt.number), notes(gap),
                    ]
                )  # fmt: skip
        rows.sort(key=lambda row: -(row[4].sort or -1.0))
        columns = ["Condition", "Groups", "#FNMR gap", "#Expected if all alike", "#Excess", "#Gap when clean", "~Notes"]
        return table("Gap in FNMR between groups, largest excess first", columns, rows[:30])

    def _failed(self) -> Table:
        rows = [
            [text(f.image_id), text(words(f.condition)), text(f.reason)]
            for f in self.details.failures
            if family_of(f.condition) == self.family
        ]
        return table("Images that worked when clean", ["Image", "Condition", "~Reason"], rows)


def _range(estimate: Estimate, write: object) -> str:
    if estimate.ci_low is None or estimate.ci_high is None:
        return ""
    return f" ({write(estimate.ci_low)} to {write(estimate.ci_high)})"  # type: ignore[operator]


def _filled(*found: Table) -> tuple[Table, ...]:
    return tuple(t for t in found if t.rows)
