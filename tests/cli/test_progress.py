"""Progress: what is said while nothing moves, and a time left that is true to the end."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from facebench.cli import commands, compare_commands, progress  # noqa: F401 - add their commands to the app
from facebench.cli.apps import app
from facebench.cli.progress import ProgressPrinter, Stage
from facebench.phantoms.shipped import shipped_dataset


def test_the_time_left_counts_down_and_grows_again_when_a_step_takes_longer() -> None:
    stage = Stage("embed", 0.0, 0, 0, 10)
    assert stage.left(5.0) is None, "no step is done, so nothing is known"
    stage.move(5, 10, 10.0)
    assert stage.left(10.0) == pytest.approx(10)
    assert stage.left(11.0) == pytest.approx(9)
    stage.move(9, 10, 18.0)
    assert stage.left(18.0) == pytest.approx(2)
    late = [stage.left(18.0 + seconds) for seconds in (1, 10, 60)]
    assert late == sorted(late), "a step that takes a minute is not '2 s left' for a minute"
    assert late[-1] is not None
    assert late[-1] > 8
    stage.move(10, 10, 80.0)
    assert stage.left(80.0) is None


def test_what_an_earlier_run_left_is_no_speed() -> None:
    stage = Stage("embed", 0.0, 900, 900, 1000)
    assert stage.left(1.0) is None
    stage.move(910, 1000, 10.0)
    assert stage.left(10.0) == pytest.approx(90)


def test_a_stage_without_steps_has_no_time_left() -> None:
    assert Stage("compare", 0.0, 0, 0, 1).words(35.0) == "Comparing: 35 s so far"
    assert Stage("embed", 0.0, 0, 0, 10).words(3.0) == "Embedding: 0 of 10, 3 s so far"


def test_something_is_said_while_nothing_moves(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "FIRST_S", 0.1)
    monkeypatch.setattr(progress, "AGAIN_S", 0.5)
    with ProgressPrinter("compare") as shown:
        until = time.monotonic() + 20
        said = ""
        while said.count("Comparing: ") < 2 and time.monotonic() < until:
            time.sleep(0.1)
            said += capsys.readouterr().err
        shown.update("embed", 0, 4)
        shown.update("embed", 4, 4)
    assert said.count("Comparing: ") >= 2
    assert "Embedding: 4 of 4" in capsys.readouterr().err


def test_every_stage_of_a_run_is_reported_and_moves_no_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEBENCH_CACHE", str(tmp_path / "cache"))
    quick = {"name": "q", "title": "Q", "dataset": {"name": "faces"}, "uncertainty": {"replicates": 100}}
    quick |= {"fmr_targets": [1e-2, 1e-1], "primary_fmr_target": 1e-2, "groups": {"attributes": ["sex"]}}
    (tmp_path / "q.yaml").write_text(json.dumps(quick))
    words = ["run", "phantom-eigenfaces", str(tmp_path / "q.yaml"), "--limit", "60"]
    words += ["--data", f"faces={shipped_dataset('phantom-smoke-v1')}"]
    seen: list[tuple[str, int, int]] = []
    first = CliRunner().invoke(app, [*words, "--out", str(tmp_path / "a")])
    assert first.exit_code == 0, first.output
    real = ProgressPrinter.update

    def watched(self: ProgressPrinter, stage: str, done: int, total: int) -> None:
        seen.append((stage, done, total))
        real(self, stage, done, total)

    monkeypatch.setattr(ProgressPrinter, "update", watched)
    second = CliRunner().invoke(app, [*words, "--out", str(tmp_path / "b")])
    assert second.exit_code == 0, second.output
    ids = [json.loads((tmp_path / out / "result.json").read_text())["result_id"] for out in "ab"]
    assert ids[0] == ids[1]
    assert {stage for stage, _, _ in seen} >= {"start", "embed", "measure", "report"}
    measured = [(done, total) for stage, done, total in seen if stage == "measure" and total > 1]
    assert measured[-1][0] == measured[-1][1], "measuring ends when all its steps are done"
    assert len(measured) >= 5
    assert [done for done, _ in measured] == sorted(done for done, _ in measured)
    seen.clear()
    done = CliRunner().invoke(app, ["rescore", str(tmp_path / "b")])
    assert done.exit_code == 0, done.output
    assert {"recompute", "measure"} <= {stage for stage, _, _ in seen}
    seen.clear()
    compared = CliRunner().invoke(
        app, ["compare", str(tmp_path / "a"), str(tmp_path / "b"), "--out", str(tmp_path / "c")]
    )
    assert compared.exit_code == 0, compared.output
    assert "compare" in {stage for stage, _, _ in seen}
