"""A verdict for people and for machines: terminal rows, JUnit XML, a Markdown summary, annotations."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree as ET

from facebench.report import format as fmt
from facebench.report.format import escaped, one_line
from facebench.report.wording import difference_writer, measure, signed_as
from facebench.schema import GateFinding, Outcome, Verdict

MAX_ANNOTATIONS = 10
MAX_SUMMARY_BYTES = 1_000_000
HEADER = ["outcome", "measure", "group", "base", "candidate", "worse by", "at most", "margin", "notes"]
MARK = {
    Outcome.PASS: "pass",
    Outcome.REGRESSION: "REGRESSION",
    Outcome.INCONCLUSIVE: "cannot tell",
    Outcome.MISSING: "not measured",
}
_ORDER = {Outcome.REGRESSION: 0, Outcome.MISSING: 1, Outcome.INCONCLUSIVE: 2, Outcome.PASS: 3}


def worst_first(verdict: Verdict) -> list[GateFinding]:
    """Return the findings, those that weigh most first."""

    def weight(finding: GateFinding) -> tuple[int, int, float]:
        p = finding.p_adjusted if finding.p_adjusted is not None else 1.0
        return _ORDER[finding.counts_as], _ORDER[finding.outcome], p

    return sorted(verdict.findings, key=weight)


def name_of(finding: GateFinding) -> str:
    """Return the measure of a finding in words."""
    words = measure(finding.metric).label
    if finding.of is not None:
        words = f"{words}, {finding.of}"
    if finding.k is not None:
        words = words.replace("-k", f"-{finding.k}")
    if finding.point is not None:
        words = f"{words} at {fmt.short_point(finding.point)}"
    return words if finding.condition == "clean" else f"{words}, {finding.condition}"


def gate_rows(verdict: Verdict) -> list[list[str]]:
    """Return a header and one row per finding, worst first."""
    return [HEADER, *(_row(finding) for finding in worst_first(verdict))]


def _row(finding: GateFinding) -> list[str]:
    write = measure(finding.metric).write
    note = ""
    if finding.outcome is not Outcome.PASS:
        note = f"{fmt.count(finding.identities_needed)} identities needed" if finding.identities_needed else ""
    if finding.outcome is not finding.counts_as:
        note = f"{note}; counts as {finding.counts_as.value}".strip("; ")
    return [
        MARK[finding.outcome],
        one_line(fmt.clip(name_of(finding), 60)),
        one_line(fmt.clip(finding.group, 60)),
        write(finding.base_value),
        write(finding.value),
        signed_as(finding.metric, finding.worsening),
        signed_as(finding.metric, finding.upper),
        difference_writer(finding.metric)(finding.bound),
        note,
    ]


def junit(verdict: Verdict) -> str:
    """Return the verdict as JUnit XML: one suite, one case per finding.

    A regression is a failure; what was not measured, or cannot be told and stops the gate, is an error; what the policy
    lets through although it cannot be told is skipped.
    """
    findings = verdict.findings
    kinds = [_kind(finding) for finding in findings]
    suite = ET.Element(
        "testsuite", name=f"facebench gate: {_xml(verdict.policy)}", tests=str(len(findings)),
        failures=str(kinds.count("failure")), errors=str(kinds.count("error")), skipped=str(kinds.count("skipped")),
        time="0",
    )  # fmt: skip
    properties = ET.SubElement(suite, "properties")
    for name in ("base", "candidate", "base_result_id", "candidate_result_id", "protocol", "policy_sha256"):
        ET.SubElement(properties, "property", name=name, value=_xml(str(getattr(verdict, name))))
    for finding, kind in zip(findings, kinds, strict=True):
        case = ET.SubElement(
            suite, "testcase", classname=f"facebench.{_xml(verdict.protocol)}.{_xml(finding.metric)}",
            name=_xml(f"rule {finding.rule}: {name_of(finding)}, {finding.group}"), time="0",
        )  # fmt: skip
        if kind == "skipped":
            ET.SubElement(case, "skipped", message=_xml(finding.reason))
        elif kind:
            ET.SubElement(case, kind, message=_xml(finding.reason), type=finding.outcome.value).text = _xml(
                finding.reason
            )
        else:
            ET.SubElement(case, "system-out").text = _xml(finding.reason)
    suites = ET.Element(
        "testsuites", name="facebench gate", tests=suite.get("tests", ""), failures=suite.get("failures", ""),
        errors=suite.get("errors", ""), time="0",
    )  # fmt: skip
    suites.append(suite)
    ET.indent(suites)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(suites, encoding="unicode") + "\n"


def _kind(finding: GateFinding) -> str:
    if finding.counts_as is Outcome.REGRESSION:
        return "failure"
    if finding.counts_as in (Outcome.INCONCLUSIVE, Outcome.MISSING):
        return "error"
    return "skipped" if finding.outcome is Outcome.INCONCLUSIVE else ""


def _xml(text: str) -> str:
    """Return text XML can hold: control characters and non-characters are replaced."""
    return "".join("�" if character in "\ufffe\uffff" else character for character in fmt.visible(text))


def gate_markdown(verdict: Verdict) -> str:
    """Return the verdict as Markdown for a step summary, below a megabyte whatever the number of findings."""
    head = [
        f"## {escaped(verdict.headline)}",
        "",
        f"Candidate **{escaped(verdict.candidate)}** against base **{escaped(verdict.base)}** under protocol "
        f"{escaped(verdict.protocol)}, policy {escaped(verdict.policy)}. Claims hold at {verdict.confidence:.0%} "
        f"confidence, one-sided; regressions are corrected for {verdict.family_size} findings.",
        "",
    ]
    notes = [f"- {escaped(note)}" for note in verdict.notes]
    rows = [f"| {' | '.join(HEADER[:-1])} | why |", f"|{'---|' * len(HEADER)}"]
    size = len("\n".join([*head, *notes, *rows]).encode()) + 200
    left_out = 0
    for finding in worst_first(verdict):
        cells = [*_row(finding)[:-1], finding.reason]
        line = f"| {' | '.join(escaped(cell) for cell in cells)} |"
        size += len(line.encode()) + 1
        if size > MAX_SUMMARY_BYTES:
            left_out += 1
            continue
        rows.append(line)
    tail = [f"\n{left_out} more findings are in the JSON output."] if left_out else []
    return "\n".join([*head, *notes, *([""] if notes else []), *rows, *tail]) + "\n"


def github_annotations(verdict: Verdict) -> list[str]:
    """Return at most ten GitHub workflow commands, worst first; what passed says nothing."""
    lines = []
    for finding in worst_first(verdict):
        if finding.outcome is Outcome.PASS:
            continue
        level = {Outcome.REGRESSION: "error", Outcome.PASS: "notice"}.get(finding.counts_as, "warning")
        title = _property(f"{MARK[finding.outcome]}: {name_of(finding)}, {finding.group}")
        lines.append(f"::{level} title={title}::{_message(finding.reason)}")
    if len(lines) > MAX_ANNOTATIONS:
        rest = len(lines) - MAX_ANNOTATIONS + 1
        return [*lines[: MAX_ANNOTATIONS - 1], f"::warning title=facebench gate::{rest} more findings in the summary"]
    return lines


def _message(text: str) -> str:
    return fmt.visible(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _message(text).replace(":", "%3A").replace(",", "%2C")


def verdict_lines(verdict: Verdict) -> Sequence[str]:
    """Return the headline and the notes for a terminal."""
    family = f"Regressions are corrected for {verdict.family_size} findings." if verdict.family_size > 1 else ""
    return [
        fmt.visible(verdict.headline),
        *([family] if family else []),
        *(fmt.visible(note) for note in verdict.notes),
    ]
