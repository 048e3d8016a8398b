"""What a gate writes: JUnit XML, Markdown, annotations, the table; also from hostile and from huge verdicts."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from facebench.errors import ExitCode
from facebench.gate.output import MAX_SUMMARY_BYTES, gate_markdown, gate_rows, github_annotations, junit, worst_first
from facebench.schema import GateFinding, Outcome, Verdict
from tests.gate.junit_schema import violations

HOSTILE = "x<script>alert('1')</script>|`]]>&\x00\x1b[31m\u202e\n::error::y"


def finding(outcome, counts_as=None, **fields):
    common = {"rule": 1, "metric": "tar", "group": "sex=f", "condition": "clean", "reason": "Because."}
    return GateFinding.model_validate({**common, "outcome": outcome, "counts_as": counts_as or outcome, **fields})


def verdict(*findings, **fields):
    common = {
        "outcome": Outcome.REGRESSION, "exit_code": ExitCode.REGRESSION, "headline": "Regression.", "policy": "p",
        "policy_sha256": "0" * 64, "confidence": 0.95, "base": "a", "candidate": "b", "base_result_id": "1" * 64,
        "candidate_result_id": "2" * 64, "protocol": "small", "findings": findings, "family_size": len(findings),
    }  # fmt: skip
    return Verdict.model_validate({**common, **fields})


EVERY = (
    finding(Outcome.PASS, value=0.9, base_value=0.9, worsening=0.0, upper=0.001, lower=-0.001, bound=0.01),
    finding(Outcome.REGRESSION, p_adjusted=0.001),
    finding(Outcome.INCONCLUSIVE, identities_needed=900),
    finding(Outcome.INCONCLUSIVE, Outcome.PASS),
    finding(Outcome.INCONCLUSIVE, Outcome.REGRESSION),
    finding(Outcome.MISSING),
)


def test_junit_keeps_the_schema():
    text = junit(verdict(*EVERY))
    assert violations(text) == []
    suite = ET.fromstring(text).find("testsuite")
    assert {k: suite.get(k) for k in ("tests", "failures", "errors", "skipped")} == {
        "tests": "6", "failures": "2", "errors": "2", "skipped": "1",
    }  # fmt: skip


def test_the_schema_check_can_fail():
    text = junit(verdict(*EVERY))
    for old, new in (('tests="6"', 'tests="x"'), ("classname", "klass"), ('failures="2"', 'failures="1"')):
        assert violations(text.replace(old, new)), old


def test_hostile_names_break_nothing():
    bad = verdict(
        finding(Outcome.REGRESSION, group=HOSTILE, reason=HOSTILE, condition=HOSTILE), candidate=HOSTILE,
        headline=HOSTILE, notes=(HOSTILE,), protocol=HOSTILE,
    )  # fmt: skip
    assert violations(junit(bad)) == []
    page = gate_markdown(bad)
    assert "<script>" not in page
    assert "\x1b" not in page + junit(bad)
    assert "\u202e" not in page
    lines = github_annotations(bad)
    assert len(lines) == 1
    assert "\n" not in lines[0]
    rows = [line for line in page.splitlines() if line.startswith("|")]
    assert len({line.replace("\\|", "").count("|") for line in rows}) == 1
    assert all("\n" not in cell and "\x1b" not in cell for row in gate_rows(bad)[1:] for cell in row[:3])


def test_the_summary_stays_below_a_megabyte():
    many = verdict(*(finding(Outcome.INCONCLUSIVE, group=f"g=é{i}", reason="r" * 400) for i in range(4000)))
    page = gate_markdown(many)
    assert len(page.encode()) < MAX_SUMMARY_BYTES
    assert "more findings are in the JSON output" in page
    assert len(github_annotations(many)) == 10


def test_annotations_are_few_and_worst_first():
    many = [finding(Outcome.INCONCLUSIVE, rule=i + 1) for i in range(15)]
    lines = github_annotations(verdict(*many, finding(Outcome.REGRESSION, reason="Worst.")))
    assert len(lines) == 10
    assert lines[0].startswith("::error")
    assert "7 more findings" in lines[-1]
    assert github_annotations(verdict(finding(Outcome.PASS))) == []
    assert github_annotations(verdict(finding(Outcome.INCONCLUSIVE, Outcome.PASS)))[0].startswith("::notice")


@pytest.mark.parametrize("write", [junit, gate_markdown])
def test_output_is_the_same_every_time(write):
    assert write(verdict(*EVERY)) == write(verdict(*EVERY))


def test_worst_first():
    order = [f.outcome for f in worst_first(verdict(*EVERY))]
    assert order[0] is Outcome.REGRESSION
    assert order[-1] is Outcome.PASS
