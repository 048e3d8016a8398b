"""What a submitter may try: every forgery is refused, and the field it lies in is named."""

from __future__ import annotations

import bz2
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from facebench.cli import board_commands  # noqa: F401 - adds its commands to the app
from facebench.cli.apps import app
from facebench.errors import ExitCode, InputError, NotComparableError
from facebench.files import sha256_bytes
from facebench.leaderboard import add_entry
from facebench.leaderboard.paired import load_paired, save_paired
from facebench.leaderboard.validate import exit_code, validate_entries, validate_entry
from facebench.measure.saved import save_result
from facebench.schema import Estimate, Result
from tests.comparison import factory


def read(path: Path) -> Result:
    return Result.model_validate_json(path.read_text(encoding="utf-8"))


def forge(path: Path, result: Result, *, model: str | None = None) -> Path:
    """Write a changed result as its forger would: with an id that fits and the files beside it renamed."""
    result = result.with_id()
    folder = path.parent if model is None else path.parent.parent / model
    folder.mkdir(exist_ok=True)
    target = folder / f"{result.result_id}.json"
    for beside in path.parent.glob(f"{path.stem}.*"):
        if beside != path:
            shutil.copy(beside, folder / beside.name.replace(path.stem, result.result_id))
    target.write_text(result.model_dump_json(exclude_defaults=True), encoding="utf-8")
    if target != path:
        for beside in path.parent.glob(f"{path.stem}.*"):
            beside.unlink()
    return target


def fields(path: Path) -> dict[str, str]:
    return {problem.field: problem.why for problem in validate_entry(path).problems}


def changed(result: Result, part: str, **values: Any) -> Result:
    return result.model_copy(update={part: getattr(result, part).model_copy(update=values)})


def better(estimate: Estimate) -> Estimate:
    return estimate.model_copy(update={"value": 0.999, "ci_high": 1.0})


def test_honest_entries_are_accepted(board):
    root, entries = board
    found = validate_entries([root])
    assert [v.problems for v in found] == [()] * 3
    assert exit_code(found) == ExitCode.PASS
    assert {Path(v.entry) for v in found} == set(entries.values())


def test_a_changed_number_is_named_even_where_the_id_was_left(board):
    path = board[1]["poor"]
    content = json.loads(path.read_text(encoding="utf-8"))
    place = next(i for i, e in enumerate(content["estimates"]) if e["metric"] == "tar")
    content["estimates"][place]["value"] = 0.999
    path.write_text(json.dumps(content), encoding="utf-8")
    found = fields(path)
    assert "changed after the run" in found["result_id"]
    assert "stated 0.999, recomputed" in found[f"estimates[{place}].value"]


@pytest.mark.parametrize("metric", ["tar", "fmr_gap", "eer", "rank"])
def test_a_changed_number_with_a_fitting_id_is_named(board, metric):
    path = board[1]["poor"]
    result = read(path)
    place = next(i for i, e in enumerate(result.estimates) if e.metric == metric)
    estimates = (*result.estimates[:place], better(result.estimates[place]), *result.estimates[place + 1 :])
    validation = validate_entry(forge(path, result.model_copy(update={"estimates": estimates})))
    assert {p.field for p in validation.problems} <= {f"estimates[{place}].value", f"estimates[{place}].ci_high"}
    assert metric in validation.problems[0].why
    assert exit_code([validation]) == ExitCode.REGRESSION


def test_an_estimate_left_out_and_a_changed_curve_are_named(board):
    result = read(board[1]["poor"])
    curve = result.curves[0].model_copy(update={"y": tuple(0.5 * y for y in result.curves[0].y)})
    forged = result.model_copy(update={"estimates": result.estimates[:-1], "curves": (curve, *result.curves[1:])})
    found = fields(forge(board[1]["poor"], forged))
    assert "estimates" in found
    assert any(field.startswith("curves[0].y") for field in found)


def test_swapped_embeddings_are_named(board):
    good, poor = board[1]["good"], board[1]["poor"]
    shutil.copy(next(good.parent.glob("*.bz2")), next(poor.parent.glob("*.bz2")))
    assert list(fields(poor)) == ["artifacts[embeddings].sha256"]


def test_embeddings_of_another_model_under_a_new_name_are_a_duplicate(board):
    good = board[1]["good"]
    copy = good.parent / "copy" / good.name
    copy.parent.mkdir()
    for beside in good.parent.glob(f"{good.stem}.*"):
        shutil.copy(beside, copy.parent)
    stolen = forge(copy, changed(read(copy), "model", name="stolen"), model="stolen")
    target = good.parent.parent / "stolen" / stolen.name
    shutil.move(str(stolen.parent), str(good.parent.parent / "stolen"))
    found = fields(target)
    assert list(found) == ["artifacts[embeddings].sha256"]
    assert "small/good/" in found["artifacts[embeddings].sha256"]


def test_the_same_result_twice_is_a_duplicate(board):
    root, entries = board
    good = entries["good"]
    twin = root / "small" / "twin"
    shutil.copytree(good.parent, twin)
    found = fields(twin / good.name)
    assert "duplicate of small/good/" in found["result_id"]
    assert "lies in the folder of 'twin'" in found["model.name"]


def test_a_limited_run_is_refused(board, runs, tmp_path):
    path = board[1]["poor"]
    forged = forge(path, changed(read(path), "run", limit=50))
    assert "never ranks" in fields(forged)["run.limit"]
    limited = factory.write_result(tmp_path / "run", factory.vectors(seed=3), name="short", limit=96)
    with pytest.raises(InputError, match=r"run\.limit: only 96 images"):
        add_entry(limited, board[0])


@pytest.mark.parametrize(
    ("part", "values", "field"),
    [
        ("protocol", {"manifest_sha256": "f" * 64}, "protocol.manifest_sha256"),
        ("protocol", {"sha256": "f" * 64}, "protocol.sha256"),
        ("protocol", {"primary_fmr_target": 0.1}, "protocol.primary_fmr_target"),
        ("protocol", {"data_statement": "Faces of everybody."}, "protocol.data_statement"),
        ("data", {"phantom": False}, "data.phantom"),
        ("data", {"n_identities": 9000}, "data.n_identities"),
    ],
)
def test_another_protocol_or_other_data_is_not_comparable(board, part, values, field):
    path = board[1]["middling"]
    validation = validate_entry(forge(path, changed(read(path), part, **values)))
    assert [p.field for p in validation.problems] == [field]
    assert exit_code([validation]) == ExitCode.NOT_COMPARABLE


def test_a_protocol_that_calls_itself_like_a_shipped_one_is_refused(tmp_path):
    run = factory.write_result(tmp_path / "run", factory.vectors(), spec={"name": "phantom-core"})
    with pytest.raises(NotComparableError, match=r"protocol\.sha256: .* the shipped protocol of this name"):
        add_entry(run, tmp_path / "leaderboard")


def test_other_identity_labels_are_refused(board, tmp_path):
    """With every image its own identity's mate by construction, anything recognises perfectly."""
    of = factory.images(identities=48, each=2)
    run = factory.write_result(tmp_path / "run", factory.vectors(identities=48, each=2), of=of, name="relabelled")
    with pytest.raises(NotComparableError, match=r"artifacts\[images\]\.sha256"):
        add_entry(run, board[0])


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"name": "<script>alert(1)</script>"}, "model.name"),
        ({"name": "../../index"}, "model.name"),
        ({"licence": "<img src=x onerror=alert(1)>"}, "model.licence"),
        ({"revision": "r\u202e1"}, "model.revision"),
        ({"training_data": ("faces", "javascript:alert(1)")}, "model.training_data[1]"),
        ({"options": {"planted": "<script>"}}, "model.options.planted"),
    ],
)
def test_scripts_and_invisible_characters_are_named(board, values, field):
    path = board[1]["middling"]
    assert field in fields(forge(path, changed(read(path), "model", **values)))


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "a b", "..", "-x"])
def test_a_run_with_such_a_name_cannot_be_added(runs, tmp_path, name):
    run = tmp_path / "run"
    shutil.copytree(runs["good"], run)
    result = changed(read(run / "result.json"), "model", name=name).with_id()
    (run / "result.json").write_text(result.model_dump_json(), encoding="utf-8")
    with pytest.raises(InputError, match=r"model\.name"):
        add_entry(run, tmp_path / "leaderboard")


def test_failed_images_cannot_be_hidden(board):
    path = board[1]["middling"]
    assert "0 embeddings are missing" in fields(forge(path, changed(read(path), "data", n_failed=3)))["data.n_failed"]


def test_a_paired_file_of_another_model_is_named(board):
    good, poor = board[1]["good"], board[1]["poor"]
    shutil.copy(next(good.parent.glob("*.paired.*")), next(poor.parent.glob("*.paired.*")))
    assert list(fields(poor)) == ["paired"]
    sidecar = next(poor.parent.glob("*.paired.*"))
    paired = load_paired(next(good.parent.glob("*.paired.*")))
    assert paired is not None
    sidecar.unlink()
    assert list(fields(poor)) == ["paired"]
    save_paired(paired, sidecar)
    assert list(fields(poor)) == ["paired"]


def test_a_board_whose_labels_were_changed_refuses_everything(board):
    root, entries = board
    images = root / "small" / "images.json"
    images.write_text(images.read_text(encoding="utf-8").replace("p1", "p0", 1), encoding="utf-8")
    validation = validate_entry(entries["good"])
    assert "images.json is not the one" in validation.problems[0].why
    assert exit_code([validation]) == ExitCode.USAGE


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"schema_version": 1}', b'{"a": NaN}'])
def test_what_is_no_result_is_bad_input(board, content):
    path = board[1]["good"]
    path.write_bytes(content)
    validation = validate_entry(path)
    assert [p.field for p in validation.problems] == ["entry"]
    assert exit_code([validation]) == ExitCode.USAGE


def test_a_bomb_is_not_unpacked(board, monkeypatch):
    from facebench.leaderboard import folder

    monkeypatch.setattr(folder, "MAX_FILE", 10_000)
    packed = next(board[1]["good"].parent.glob("*.bz2"))
    packed.write_bytes(bz2.compress(bytes(1_000_000)))
    with pytest.raises(InputError, match="unpacks to more than"):
        folder.unpack(packed)
    packed.write_bytes(b"not compressed")
    with pytest.raises(InputError, match="not a bzip2 file"):
        folder.unpack(packed)


def test_files_kept_elsewhere_are_incomplete_until_they_are_fetched(runs, tmp_path):
    root = tmp_path / "leaderboard"
    place = add_entry(runs["good"], root, elsewhere="https://example.org/good.safetensors")
    validation = validate_entry(place.path)
    assert exit_code([validation]) == ExitCode.INCOMPLETE
    assert "https://example.org/good.safetensors" in validation.problems[0].why
    fetched = place.path.with_name(f"{place.result_id}.embeddings.safetensors")
    shutil.copy(runs["good"] / "embeddings.safetensors", fetched)
    assert validate_entry(place.path).accepted
    shutil.copy(runs["poor"] / "embeddings.safetensors", fetched)
    assert list(fields(place.path)) == ["artifacts[embeddings].sha256"]


def test_the_same_protocol_in_other_words_joins_the_board(board, runs, tmp_path):
    """A later FaceBench may write a new key without a value; what is asked for is the same."""
    root, _ = board
    run = tmp_path / "run"
    shutil.copytree(runs["poor"], run)
    asked = json.loads((run / "protocol.json").read_text())
    later = json.dumps(asked, indent=3).encode()
    (run / "protocol.json").write_bytes(later)
    stored = read(run / "result.json")
    named = tuple(
        a.model_copy(update={"sha256": sha256_bytes(later)}) if a.path == "protocol.json" else a
        for a in stored.artifacts
    )
    save_result(stored.model_copy(update={"artifacts": named}).with_id(), run / "result.json")
    shutil.rmtree(next(root.glob("*/poor")))
    place = add_entry(run, root)
    assert validate_entry(place.path).accepted


def test_a_protocol_changed_beside_a_run_cannot_be_added(runs, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(runs["good"], run)
    asked = json.loads((run / "protocol.json").read_text())
    (run / "protocol.json").write_text(json.dumps(asked, indent=3))
    with pytest.raises(InputError, match=r"protocol\.json was changed"):
        add_entry(run, tmp_path / "leaderboard")


def test_rounding_halves_the_entry_and_stays_exact(runs, tmp_path):
    whole = add_entry(runs["good"], tmp_path / "whole")
    half = add_entry(runs["good"], tmp_path / "half", half=True)
    assert validate_entry(half.path).accepted
    assert read(half.path).run.rounded
    assert half.result_id != whole.result_id
    sizes = [next(place.path.parent.glob("*.bz2")).stat().st_size for place in (whole, half)]
    assert sizes[1] < 0.6 * sizes[0]
    assert read(half.path).estimates[0].value == pytest.approx(read(whole.path).estimates[0].value, abs=0.01)


def test_the_command_prints_the_field_and_exits_as_documented(board, tmp_path):
    path = board[1]["poor"]
    result = read(path)
    forged = forge(path, result.model_copy(update={"estimates": tuple(map(better, result.estimates[:1]))}))
    summary = tmp_path / "summary.md"
    done = CliRunner().invoke(app, ["leaderboard", "validate", str(forged), "--markdown", str(summary)])
    assert done.exit_code == ExitCode.REGRESSION
    assert "refused" in done.output
    assert "estimates[0].value" in done.output
    assert "| refused | estimates\\[0\\].value |" in summary.read_text(encoding="utf-8")
    done = CliRunner().invoke(app, ["leaderboard", "validate", str(board[1]["good"]), "--json"])
    assert done.exit_code == ExitCode.PASS
    assert json.loads(done.stdout)[0]["problems"] == []


def test_a_summary_cannot_be_hijacked_by_an_entry():
    from facebench.leaderboard.site.words import validation_markdown
    from facebench.schema.leaderboard import Problem, Validation

    hostile = "[x](https://example.org) <b> @team | ![i](x)\n# head"
    text = validation_markdown([Validation(entry=hostile, problems=(Problem(field=hostile, why=hostile),))])
    assert not re.search(r"(?<!\\)\]\(", text)
    assert "://" not in text
    assert "<b>" not in text
    assert "@team" not in text
    assert "\n# head" not in text
