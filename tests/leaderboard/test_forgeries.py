"""What a submitter may try: every forgery is refused, and the field it lies in is named."""

from __future__ import annotations

import bz2
import json
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from facebench.cli import board_commands  # noqa: F401 - adds its commands to the app
from facebench.cli.apps import app
from facebench.errors import ExitCode, InputError, NotComparableError
from facebench.files import sha256_bytes
from facebench.leaderboard import add_entry, load_boards
from facebench.leaderboard.fingerprint import load_fingerprint, save_fingerprint
from facebench.leaderboard.folder import place_of
from facebench.leaderboard.names import load_names, save_names, weights_of
from facebench.leaderboard.paired import load_paired, save_paired
from facebench.leaderboard.site import write_site
from facebench.leaderboard.validate import exit_code, validate_entries, validate_entry
from facebench.leaderboard.verdicts import load_verdict, save_verdict
from facebench.measure.saved import save_result
from facebench.schema import Estimate, Failure, Result
from facebench.schema.leaderboard import NamedModel, Validation
from tests.comparison import factory
from tests.leaderboard.conftest import write_run


def read(path: Path) -> Result:
    return Result.model_validate_json(path.read_text(encoding="utf-8"))


def forge(path: Path, result: Result, *, model: str | None = None) -> Path:
    """Write a changed result as its forger would: with an id that fits and the files beside it renamed."""
    result = result.with_id()
    folder = path.parent if model is None else path.parent.parent / model
    folder.mkdir(exist_ok=True)
    target = folder / f"{result.result_id}.json"
    for beside in path.parent.glob(f"{path.stem}.*"):
        if beside != path and target != path:
            shutil.copy(beside, folder / beside.name.replace(path.stem, result.result_id))
    target.write_text(result.model_dump_json(exclude_defaults=True), encoding="utf-8")
    known = target.with_name(f"{result.result_id}.fingerprint.safetensors")
    save_fingerprint(replace(load_fingerprint(known), weights=weights_of(result.model)), known)
    if target != path:
        for beside in path.parent.glob(f"{path.stem}.*"):
            beside.unlink()
    return target


def bind(path: Path, name: str, weights: str, **more: Any) -> None:
    """Bind a name to weights, as a pull request does that a person merged."""
    root = path.parents[2]
    names = load_names(root)
    model = NamedModel(maintainer="somebody", weights=(weights,), **more)
    save_names(root, names.model_copy(update={"models": {**names.models, name: model}}))


def enter(root: Path, tmp_path: Path, vectors: np.ndarray, name: str = "forged", **more: Any) -> Path:
    """Enter embeddings of one's own making, with every number that follows from them and a name of their own."""
    run = write_run(tmp_path / f"run-{name}", vectors, name, **more)
    return add_entry(run, root, maintainer="a forger").path


def fields(path: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for problem in validate_entry(path).problems:
        found[problem.field] = "; ".join(filter(None, (found.get(problem.field), problem.why)))
    return found


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


def test_embeddings_of_another_model_under_a_new_name_are_a_duplicate(board, runs):
    good = board[1]["good"]
    stolen = changed(read(runs["good"] / "result.json"), "model", name="stolen", weights_sha256="5" * 64)
    run = good.parents[3] / "run"
    shutil.copytree(runs["good"], run)
    save_result(stolen.with_id(), run / "result.json")
    found = fields(add_entry(run, board[0], maintainer="a forger").path)
    assert list(found) == ["artifacts[embeddings].sha256"]
    assert "small/good/" in found["artifacts[embeddings].sha256"]
    assert validate_entry(good).accepted, "the original is the earlier name, and stays"


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
    limited = write_run(tmp_path / "run", factory.vectors(seed=3), "short", limit=96)
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
        add_entry(run, tmp_path / "leaderboard", maintainer="x")


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


def test_failures_that_contradict_their_number_are_named(board):
    path = board[1]["middling"]
    failure = Failure(image_id="p1_0", stage="decode", reason="cut short")
    found = fields(forge(path, read(path).model_copy(update={"failures": (failure,)})))
    assert list(found) == ["failures"]
    assert "'p1_0'" in found["failures"]


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


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"[]", b'{"schema_version": 1}', b'{"a": NaN}', b"[" * 200_000, b'{"a": ' + b"9" * 5_000 + b"}",
        b'{"\\ud800": "\\udfff"}', b"\xff\xfe", b'{"a": 1e999}',
    ],
)  # fmt: skip
def test_what_is_no_result_is_bad_input(board, content):
    path = board[1]["good"]
    path.write_bytes(content)
    validation = validate_entry(path)
    assert [p.field for p in validation.problems] == ["entry"]
    assert exit_code([validation]) == ExitCode.USAGE


def test_a_bomb_is_not_unpacked(board):
    from facebench.leaderboard import folder

    packed = next(board[1]["good"].parent.glob("*.bz2"))
    packed.write_bytes(bz2.compress(bytes(1_000_000)))
    with pytest.raises(InputError, match="unpacks to more than"):
        folder.unpack(packed, 10_000)
    packed.write_bytes(b"not compressed")
    with pytest.raises(InputError, match="not a bzip2 file"):
        folder.unpack(packed)


def test_files_kept_elsewhere_are_incomplete_until_they_are_fetched(runs, tmp_path):
    root = tmp_path / "leaderboard"
    place = add_entry(runs["good"], root, elsewhere="https://example.org/good.safetensors", maintainer="x")
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
    whole = add_entry(runs["good"], tmp_path / "whole", maintainer="x")
    half = add_entry(runs["good"], tmp_path / "half", half=True, maintainer="x")
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


@pytest.mark.parametrize(
    ("spoil", "field"),
    [
        (lambda c: c["run"].update(seed=-1), "run.seed"),
        (lambda c: c["run"].update(seed=10**100), "run.seed"),
        (lambda c: c["run"].update(batch_size=-3), "run.batch_size"),
        (lambda c: c["run"].update(started="yesterday"), "run.started"),
        (lambda c: c["run"].update(command="facebench run <img src=x>"), "run.command"),
        (lambda c: c["run"].update(platform="a\x1b[31mb"), "run.platform"),
        (lambda c: c["run"].update(git_sha="a\u202eb"), "run.git_sha"),
        (lambda c: c["run"]["packages"].update({"<b>": "1"}), "run.packages.<b>"),
        (lambda c: c["model"].update(licence="x" * 3_000_000), "model.licence"),
        (lambda c: c["model"].update(embedding_dim=10**9), "model.embedding_dim"),
        (lambda c: c["model"].update(options={"a": "\ud800"}), "entry"),
        (lambda c: c["artifacts"][0].update(path="../../embeddings.safetensors"), "artifacts[0].path"),
        (lambda c: c["artifacts"][0].update(path="other.safetensors"), "artifacts[0].path"),
        (lambda c: c["artifacts"][0].update(path="nul"), "artifacts[0].path"),
        (lambda c: c["artifacts"].append(c["artifacts"][0]), "artifacts[0].path"),
        (lambda c: c.update(artifacts=c["artifacts"][1:]), "artifacts"),
        (lambda c: c["estimates"][0].update(value="many"), "entry"),
        (lambda c: c["run"].update(compat=["no-such-rule"]), "artifacts"),
    ],
)
def test_odd_values_are_refused_by_name(board, spoil, field):
    path = board[1]["middling"]
    content = json.loads(path.read_text(encoding="utf-8"))
    spoil(content)
    path.write_text(json.dumps(content), encoding="utf-8")
    validation = validate_entry(path)
    assert field in {problem.field for problem in validation.problems}, validation.problems
    assert all(len(problem.why) < 1000 for problem in validation.problems)


@pytest.mark.parametrize(
    "tensors",
    [
        {"embeddings": np.zeros(96, np.float32)}, {"embeddings": np.zeros((96, 4, 8), np.float32)},
        {"embeddings": np.zeros((95, 32), np.float32)}, {"embeddings": np.zeros((96, 32), np.int64)},
        {"embeddings": np.float32(0)}, {"other": np.zeros((96, 32), np.float32)},
        {"embeddings": np.full((96, 32), np.inf, np.float32)}, {"embeddings": np.full((96, 32), np.nan, np.float32)},
        {"embeddings": np.zeros((96, 0), np.float32)},
        {"embeddings": np.ones((96, 32), np.float32), "pair_a": np.array([10**9]), "pair_b": np.array([-5])},
    ],
)  # fmt: skip
def test_embeddings_of_a_wrong_shape_are_refused(board, tensors):
    from safetensors.numpy import save

    path = board[1]["middling"]
    packed = next(path.parent.glob("*.embeddings.safetensors.bz2"))
    content = save({name: np.asarray(tensor) for name, tensor in tensors.items()})
    packed.write_bytes(bz2.compress(content))
    result = read(path)
    artifacts = tuple(
        a.model_copy(update={"sha256": sha256_bytes(content)}) if a.kind == "embeddings" else a
        for a in result.artifacts
    )
    found = fields(forge(path, result.model_copy(update={"artifacts": artifacts})))
    assert any(field.startswith(("artifacts", "fingerprint", "model.embedding_dim")) for field in found), found


def test_links_and_pipes_are_no_entries(board):
    _, entries = board
    target = entries["good"].rename(entries["good"].with_suffix(".real"))
    entries["good"].symlink_to(target)
    assert "not a file of its own" in fields(entries["good"])["entry"]
    os.mkfifo(entries["poor"].with_name("pipe"))
    entries["poor"].unlink()
    os.mkfifo(entries["poor"])
    assert "not a file of its own" in fields(entries["poor"])["entry"]


def moved(path: Path, run: Path, vectors: np.ndarray) -> dict[str, str]:
    """Enter altered vectors of a good run as another model's, and return what is said of them."""
    return fields(enter(path.parents[2], run, vectors))


def turn(n: int, seed: int = 1) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((n, n)))[0]


@pytest.mark.parametrize(
    "copy",
    [
        lambda v: 3.7 * v,
        lambda v: v * np.linspace(0.5, 9, len(v))[:, None],
        lambda v: v @ turn(v.shape[1]),
        lambda v: v[:, ::-1],
        lambda v: -v,
        lambda v: np.concatenate([v, np.zeros_like(v)], axis=1),
        lambda v: v.reshape(24, 4, -1)[:, ::-1].reshape(v.shape),
        lambda v: v + 1e-3 * np.random.default_rng(2).standard_normal(v.shape),
    ],
    ids=["scaled", "each scaled", "rotated", "reordered", "mirrored", "padded", "images reordered", "with noise"],
)
def test_a_copy_names_its_original(board, tmp_path, copy):
    vectors = factory.vectors(noise=0.5, seed=4)
    found = moved(board[1]["good"], tmp_path, np.ascontiguousarray(copy(vectors), np.float32))
    assert list(found) == ["artifacts[embeddings]"]
    assert "small/good/" in found["artifacts[embeddings]"]
    assert "scale, rotation or order" in found["artifacts[embeddings]"]


def test_models_trained_alike_are_no_copies(board, tmp_path):
    assert not fields(enter(board[0], tmp_path, factory.vectors(noise=0.6, seed=4)))


def test_one_repeated_vector_is_told(board, tmp_path):
    found = moved(board[1]["good"], tmp_path, np.tile(factory.vectors()[:1], (96, 1)))
    assert found["artifacts[embeddings]"].startswith(("embeddings repeat for 96 of 96", "embeddings vary along"))


def test_embeddings_that_repeat_are_counted(board, tmp_path):
    vectors = factory.vectors(noise=0.5, seed=8)
    vectors[:72] = np.repeat(vectors[:72:4], 4, axis=0) * np.linspace(1, 2, 72, dtype=np.float32)[:, None]
    assert moved(board[1]["good"], tmp_path, vectors) == {
        "artifacts[embeddings]": "embeddings repeat for 72 of 96 images"
    }


def test_a_few_repeats_are_a_mark_and_no_refusal(board, tmp_path):
    vectors = factory.vectors(noise=0.5, seed=8)
    vectors[1] = vectors[0]
    validation = validate_entry(enter(board[0], tmp_path, vectors))
    assert validation.accepted
    assert [(note.field, note.why) for note in validation.notes] == [
        ("artifacts[embeddings]", "embeddings repeat for 2 of 96 images")
    ]


def test_one_hot_codes_are_told(board, tmp_path):
    codes = np.eye(32, dtype=np.float32)[np.arange(96) // 4] + 0.01 * factory.vectors(noise=1, seed=2)
    validation = validate_entry(enter(board[0], tmp_path, codes.astype(np.float32)))
    assert any("one-hot codes for 9" in problem.why for problem in validation.problems)


def test_a_single_direction_is_told(board, tmp_path):
    rng = np.random.default_rng(0)
    line = (np.arange(96) // 4 + 0.1 * rng.standard_normal(96))[:, None] * rng.standard_normal(32)
    validation = validate_entry(enter(board[0], tmp_path, line.astype(np.float32)))
    assert any("rank one" in problem.why for problem in validation.problems)


def test_another_name_over_known_weights_is_refused(board, tmp_path):
    path = enter(board[0], tmp_path, factory.vectors(noise=0.7, seed=11))
    good, names = read(board[1]["good"]).model.weights_sha256, load_names(board[0])
    forged = forge(path, changed(read(path), "model", weights_sha256=good))
    bind(forged, "forged", good)
    assert "are the weights of 'good'" in fields(forged)["model.weights_sha256"]
    bind(forged, "forged", good, variant_of="good")
    assert "model.weights_sha256" not in fields(forged), "a person merged that it is a variant"
    save_names(board[0], names)


def test_a_known_name_over_other_weights_is_refused(board, tmp_path):
    root, entries = board
    run = write_run(tmp_path / "run", factory.vectors(noise=0.1, seed=12), "good")
    other = changed(read(run / "result.json"), "model", weights_sha256="0" * 64).with_id()
    save_result(other, run / "result.json")
    with pytest.raises(InputError, match=r"model\.weights_sha256: 0{20}.*--new-revision"):
        add_entry(run, root)
    names = load_names(root)
    place = add_entry(run, root, new_revision=True)
    assert validate_entry(place.path).accepted
    save_names(root, names)  # the pull request does not change the file
    found = fields(place.path)
    assert list(found) == ["model.weights_sha256"]
    assert "the tests" in found["model.weights_sha256"], "whom to ask"
    assert validate_entry(entries["good"]).accepted


def test_a_second_entry_of_the_same_revision_is_refused(board, tmp_path):
    place = add_entry(write_run(tmp_path / "run", factory.vectors(noise=0.1, seed=12), "good"), board[0])
    assert "a revision has one entry" in fields(place.path)["model.weights_sha256"]


@pytest.mark.parametrize("name", ["unbound", "GOOD"])
def test_a_name_that_nobody_bound_is_refused(board, tmp_path, name):
    names = load_names(board[0])
    with pytest.raises(InputError, match="maintainer"):
        add_entry(write_run(tmp_path / "run", factory.vectors(seed=21), name), board[0])
    path = add_entry(tmp_path / "run", board[0], maintainer="x").path if name != "GOOD" else None
    if path is not None:
        save_names(board[0], names)
        assert "bound to no weights" in fields(path)["model.name"]


def test_a_date_to_come_is_a_mark_and_decides_nothing(board):
    path = board[1]["poor"]
    forged = forge(path, changed(read(path), "run", started="2999-01-01T00:00:00+00:00"))
    validation = validate_entry(forged)
    assert validation.accepted
    assert [note.field for note in validation.notes] == ["run.started"]
    listed = load_boards(board[0])[0]
    assert [entry.result.model.name for entry in listed.entries] == ["good", "middling", "poor"]


@pytest.mark.parametrize("ending", ["robustness.safetensors", "embeddings.safetensors.gz", "txt"])
def test_a_side_file_in_anothers_entry_is_named(board, ending):
    good = board[1]["good"]
    good.with_name(f"{good.stem}.{ending}").write_bytes(b"x")
    found = fields(good)
    assert list(found) == ["files"]
    assert ending in found["files"]
    assert "good" not in {entry.result.model.name for entry in load_boards(board[0])[0].entries}


def test_what_belongs_to_no_entry_is_named_by_the_build(board):
    root, entries = board
    entries["good"].with_name(f"{'f' * 64}.paired.safetensors").write_bytes(b"x")
    (root / "small" / "a b").mkdir()
    (root / "small" / "a b" / "note.txt").write_text("x", encoding="utf-8")
    os.mkdir(os.fsencode(root / "small") + b"/\xff\xfe")  # noqa: PTH102 - a name that is no text
    listed = load_boards(root)[0]
    assert len(listed.entries) == 3
    assert {v.problems[0].field for v in listed.left_out} == {"files"}
    assert len(listed.left_out) == 3
    write_site([listed], root.parent / "site", "0")


def test_a_name_that_leads_elsewhere_writes_nothing_there(board, tmp_path):
    root, entries = board
    good = entries["good"]
    out = tmp_path / "deep" / "site"
    for name in ("../../x", "/tmp/x", "..", "a/b", "con"):
        forged = forge(good, changed(read(good), "model", name=name), model="good")
        assert "model.name" in fields(forged)
        good = forged
    write_site(load_boards(root), out, "0")
    assert not list(tmp_path.glob("*.html"))
    assert not list((tmp_path / "deep").glob("*.html"))
    assert sorted(p.name for p in (out / "models").iterdir()) == ["middling.html", "poor.html"]


def test_only_what_validates_is_ranked(board):
    root, entries = board
    poor = entries["poor"]
    forged = forge(poor, read(poor).model_copy(update={"estimates": tuple(map(better, read(poor).estimates))}))
    listed = load_boards(root)[0]
    assert [entry.result.model.name for entry in listed.entries] == ["good", "middling"]
    assert [validation.entry for validation in listed.left_out] == [forged.relative_to(root).as_posix()]
    assert listed.left_out[0].problems


def test_what_lies_elsewhere_is_not_ranked(board, runs, tmp_path):
    root = tmp_path / "elsewhere"
    add_entry(runs["good"], root, elsewhere="https://example.org/good.safetensors", maintainer="x")
    listed = load_boards(root)[0]
    assert not listed.entries
    assert listed.left_out[0].problems[0].exit_code == ExitCode.INCOMPLETE


def test_a_verdict_is_kept_until_something_changes(board, monkeypatch):
    from facebench.leaderboard import validate

    root, entries = board
    load_boards(root)
    asked = []
    alone = validate._alone
    monkeypatch.setattr(validate, "_alone", lambda place: asked.append(place.model) or alone(place))
    assert len(load_boards(root)[0].entries) == 3
    assert not asked
    packed = next(entries["good"].parent.glob("*.bz2"))
    packed.write_bytes(packed.read_bytes()[:-1])
    assert len(load_boards(root)[0].entries) == 2
    assert asked == ["good"]


def test_a_verdict_from_elsewhere_is_not_believed(board, tmp_path, monkeypatch):
    root, entries = board
    poor = entries["poor"]
    forged = forge(poor, read(poor).model_copy(update={"estimates": tuple(map(better, read(poor).estimates))}))
    place = place_of(forged)
    monkeypatch.setenv("FACEBENCH_CACHE", str(tmp_path / "the forger's"))
    save_verdict(place, Validation(entry=place.relative))
    assert load_verdict(place) is not None
    monkeypatch.setenv("FACEBENCH_CACHE", str(tmp_path / "ours"))
    assert load_verdict(place) is None
    assert "poor" not in {entry.result.model.name for entry in load_boards(root)[0].entries}


@given(st.data())
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
def test_validation_never_raises(made, tmp_path_factory, data):
    """Any value of an entry replaced by anything JSON can say."""
    source = made[1]["middling"].path
    root = tmp_path_factory.mktemp("odd") / "leaderboard"
    shutil.copytree(made[0], root)
    path = root / source.relative_to(made[0])
    content = json.loads(path.read_text(encoding="utf-8"))
    odd = st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.integers(), max_size=2),
        st.dictionaries(st.text(), st.integers(), max_size=2), st.sampled_from([10**4000, -1, 2**63, "../x", "\ud800"]),
    )  # fmt: skip
    for _ in range(data.draw(st.integers(1, 3))):
        at: Any = content
        while isinstance(at, dict | list) and at:
            key = data.draw(st.sampled_from(list(at) if isinstance(at, dict) else range(min(len(at), 3))))
            if not isinstance(at[key], dict | list) or not at[key] or data.draw(st.integers(0, 5)) == 0:
                at[key] = data.draw(odd)
                break
            at = at[key]
    path.write_text(json.dumps(content), encoding="utf-8")
    validation = validate_entry(path)
    json.dumps(validation.model_dump(mode="json"), ensure_ascii=False).encode()
    shutil.rmtree(root.parent)


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
