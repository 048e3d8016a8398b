"""Suites, from their file through the command line: one model, several protocols, one page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from facebench.measure.saved import load_result
from facebench.schema.suite import SuiteRecord
from tests.run.test_answers import run
from tests.run.test_torch_heads import CLASSIFY, REGRESS, faces, model

__all__ = ["faces", "model"]  # fixtures


def write(folder: Path, **protocols: str) -> Path:
    """Write protocols, each under the name of its file, and a suite of them."""
    for name, text in protocols.items():
        lines = [f"name: {name}" if line.startswith("name:") else line for line in text.splitlines()]
        (folder / f"{name}.yaml").write_text("\n".join(lines))
    listed = ", ".join(f"{name}.yaml" for name in protocols)
    (folder / "s.yaml").write_text(f"suite: {{name: both, title: Two questions, protocols: [{listed}]}}\n")
    return folder / "s.yaml"


def judged(model: Path, suite: Path, faces: Path, *words: str) -> tuple[Any, Path]:
    out = faces.parent / "out"
    done = run(str(model), str(suite), "--data", f"faces={faces}", "--out", str(out), "--trust-code", *words)
    return done, out


def record(out: Path) -> SuiteRecord:
    return SuiteRecord.parse(json.loads((out / "suite.json").read_text()), where="suite.json")


def test_two_tasks_of_one_model_take_one_pass_and_one_page(model: Path, faces: Path, tmp_path: Path) -> None:
    done, out = judged(model, write(tmp_path, first=CLASSIFY, second=REGRESS), faces)
    assert done.exit_code == 0, done.output
    results = [load_result(out / name) for name in ("first", "second")]
    assert [r.run.embedded_images for r in results] == [40, 0]  # the second finds the answers of the first
    members = record(out).members
    assert [m.result_id for m in members] == [r.result_id for r in results]
    page = (out / "index.html").read_text()
    for member in members:
        assert f'href="{member.folder}/report.html"' in page
        assert (out / member.folder / "report.html").is_file()
        assert member.verdict
        assert f"{member.protocol}: {member.verdict}" in done.output
    assert "under 2 of 2 protocols" in page
    alone = run(
        str(model), str(tmp_path / "second.yaml"), "--data", f"faces={faces}", "--out", str(tmp_path / "alone"),
        "--trust-code",
    )  # fmt: skip
    assert alone.exit_code == 0
    assert load_result(tmp_path / "alone").result_id == results[1].result_id


def test_a_protocol_that_fails_is_told_and_the_next_is_run(model: Path, faces: Path, tmp_path: Path) -> None:
    wrong = CLASSIFY.replace("truth: expression", "truth: mood")
    assert wrong != CLASSIFY
    done, out = judged(model, write(tmp_path, first=wrong, second=REGRESS), faces)
    assert done.exit_code == 2, done.output
    first, second = record(out).members
    assert first.error
    assert "mood" in first.error
    assert (first.exit_code, first.result_id) == (2, None)
    assert second.error is None
    assert load_result(out / "second").result_id == second.result_id
    page = (out / "index.html").read_text()
    assert "Failed: first." in page
    assert "under 1 of 2 protocols" in page
    assert 'href="first/' not in page
    assert "first: failed:" in done.output


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("suite: {name: s, protocols: [phantom-smok]}", "Did you mean 'phantom-smoke'"),
        ("suite: {name: s, protocols: [nowhere.yaml]}", "nowhere.yaml"),
        ("suite: {name: s, protocols: []}", "suite.protocols"),
        ("suite: {name: s, protocls: [phantom-smoke]}", "Did you mean 'protocols'"),
        ("suite: {name: s, protocols: [phantom-smoke, phantom-smoke]}", "two protocols are called 'phantom-smoke'"),
    ],
)
def test_a_wrong_suite_is_refused_before_anything_runs(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(text)
    done = run("phantom-eigenfaces", str(tmp_path / "s.yaml"), "--out", str(tmp_path / "out"))
    assert done.exit_code != 0
    assert said in str(done.exception)
    assert "suite" in str(done.exception)
    assert not (tmp_path / "out").exists()


def test_a_dataset_that_no_protocol_asks_for_is_refused(model: Path, faces: Path, tmp_path: Path) -> None:
    done, _ = judged(model, write(tmp_path, first=CLASSIFY, second=REGRESS), faces, "--data", f"face={faces}")
    assert done.exit_code != 0
    assert "unknown dataset name 'face'" in str(done.exception)
