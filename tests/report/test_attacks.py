"""The report on attacks: built from the result alone, doubtful rows marked, empty cells told."""

from __future__ import annotations

from pathlib import Path

import pytest

from facebench.measure.saved import load_result
from facebench.models.zoo.closed_form import Fault
from facebench.run.report import render_report
from facebench.schema import Result
from facebench.schema.attack_report import Picture
from facebench.sections.robustness.attacks.report import sections
from tests.probes.planted import attack, make_faces, model

CELLS = (
    {"attack": "pgd", "goal": "dodging", "eps": ["2/255", "8/255"], "steps": 10},
    {"attack": "square", "goal": "dodging", "eps": ["8/255"], "queries": 40},
    {"attack": "pgd", "goal": "impersonation", "eps": ["2/255", "8/255"], "steps": 10},
)


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_faces(tmp_path_factory.mktemp("faces"))


@pytest.fixture(scope="module")
def honest(faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Result:
    out = tmp_path_factory.mktemp("honest")
    attack(model(), faces, out, *CELLS)
    return load_result(out)


def test_the_section_tells_what_was_run_and_what_was_not(honest: Result) -> None:
    (section,) = sections(honest)
    tables = {t.caption: t for block in section.blocks for t in block.tables}
    grid = tables["Dodging: threat by what the attacker knows"]
    assert [c.title for c in grid.columns] == ["Threat", "white-box", "transfer", "black-box", "no-box"]
    rows = {row[0].text: [cell.text for cell in row[1:]] for row in grid.rows}
    assert rows["hat"] == ["not run"] * 4
    assert rows["linf"][1] == rows["linf"][3] == "not run"
    assert "not run" not in (rows["linf"][0], rows["linf"][2])
    level = honest.robustness.attacks.cells[0].levels[1]
    assert f"{level.successes} of {level.n}" in [line for row in grid.rows for cell in row for line in cell.notes]
    ledger = tables["Passes of one face, all budgets together"]
    assert [row[0].text for row in ledger.rows] == [
        cell.cell.condition(None) for cell in honest.robustness.attacks.cells
    ]
    summary = tables["What stays right under attack"]
    known = [row[1].text for row in summary.rows]
    assert known == sorted(known, key=["white-box", "black-box"].index)  # kinds of attackers are not mixed
    assert len(summary.rows) == 5
    page = render_report(honest)
    assert "data:image" not in page  # these faces are no phantoms


def test_unreliable_rows_come_last_and_say_so(faces: Path, tmp_path: Path) -> None:
    result = attack(model(fault=Fault.MASKED), faces, tmp_path, *CELLS)
    (section,) = sections(result)
    tables = {t.caption: t for block in section.blocks for t in block.tables}
    notes = [row[-1].text for row in tables["What stays right under attack"].rows]
    marked = ["unreliable" in note for note in notes]
    assert any(marked)
    assert marked == sorted(marked)
    checks = tables["Checks for hidden gradients"]
    assert checks.rows[0][1].text == "unreliable"
    assert "gradients" in checks.rows[0][2].text


def test_pictures_are_shown_where_the_result_holds_them(honest: Result) -> None:
    report = honest.robustness.attacks
    first = report.cells[0].model_copy(update={"picture": Picture(before="QQ==", after="QQ==", change="QQ==")})
    details = honest.robustness.model_copy(
        update={"attacks": report.model_copy(update={"cells": (first, *report.cells[1:])})}
    )
    shown = honest.model_copy(update={"robustness": details})
    assert render_report(shown).count("data:image/jpeg;base64,QQ==") == 3
    assert shown.compute_id() == honest.result_id  # how it looks is no part of what was found
