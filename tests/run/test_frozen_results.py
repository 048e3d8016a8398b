"""Results of every version of the schema: loaded, scored again, compared, reported, and named as they were."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field

from facebench.comparison.compare import compare
from facebench.errors import InputError
from facebench.files import parse_json
from facebench.measure.saved import load_inputs, load_result, load_scores
from facebench.run.evaluate import rescore
from facebench.run.protocols import Protocol
from facebench.run.report import render_report
from facebench.schema import SCHEMA_VERSION, Estimate, ProtocolSpec, Result
from facebench.schema.identity import identity
from facebench.schema.migration import STEPS, migrated

FROZEN = Path(__file__).resolve().parents[1] / "frozen"
VERSIONS = sorted(path.name for path in FROZEN.iterdir() if path.name.startswith("v"))
RESULTS = sorted(path.parent for path in FROZEN.glob("v*/*/result.json"))
ROOT = FROZEN.parents[1]
MOVED = {
    ("phantom-eigenfaces", 0.1, "clean"): 0.152679808,
    ("phantom-eigenfaces", 0.01, "control:random-labels"): 0.237441581,
    ("phantom-eigenfaces", 0.1, "control:random-labels"): 0.009737610,
    ("phantom-softmax", 0.01, "clean"): 0.292884008, ("phantom-softmax", 0.01, "control:random-labels"): 1.198018742,
}  # fmt: skip
"""Statistics of `equal_fnmr_test` follow how groups move together, which was mended since: what they are now."""


def name(folder: Path) -> str:
    return f"{folder.parent.name}/{folder.name}"


def test_there_are_results_of_every_version() -> None:
    assert [f"v{version}" for version in range(1, SCHEMA_VERSION + 1)] == VERSIONS
    assert sorted(STEPS) == list(range(1, SCHEMA_VERSION))
    for folder in RESULTS:
        assert json.loads((folder / "result.json").read_text())["schema_version"] == int(folder.parent.name[1:])


@pytest.mark.parametrize("folder", RESULTS, ids=name)
def test_it_is_loaded_under_its_id_and_scored_again(folder: Path) -> None:
    before = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    stored, fresh = rescore(folder)
    assert stored.schema_version == SCHEMA_VERSION
    assert stored.result_id == before["result_id"] == stored.compute_id()
    assert len(fresh.estimates) == len(stored.estimates) == len(before["estimates"])
    for old, new in zip(stored.estimates, fresh.estimates, strict=True):
        assert (new.metric, new.group, new.condition, new.errors) == (old.metric, old.group, old.condition, old.errors)
        moved = old.metric == "equal_fnmr_test" and (folder.name, old.fmr_target, old.condition) in MOVED
        expected = MOVED[folder.name, old.fmr_target, old.condition] if moved else old.value
        assert new.value == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("folder", RESULTS, ids=name)
def test_its_protocol_is_known_again(folder: Path) -> None:
    result = load_result(folder)
    loaded = load_scores(result, folder) if folder.name == "scores" else load_inputs(result, folder)
    assert Protocol(loaded[3], folder).sha256 == result.protocol.sha256


@pytest.mark.parametrize("folder", RESULTS, ids=name)
def test_it_is_reported(folder: Path) -> None:
    result = load_result(folder)
    page = render_report(result)
    assert result.model.name in page
    assert result.result_id in page


@pytest.mark.parametrize("first", VERSIONS)
@pytest.mark.parametrize("second", VERSIONS)
def test_results_of_two_versions_are_compared(first: str, second: str) -> None:
    found = compare(FROZEN / first / "phantom-eigenfaces", FROZEN / second / "phantom-softmax")
    (tar,) = (d for d in found.differences if d.metric == "tar" and d.group == "all" and d.condition == "clean"
              and d.fmr_target == 0.1)  # fmt: skip
    assert tar.difference is not None
    assert tar.difference > 0.5


def test_what_was_measured_has_one_id_in_every_version() -> None:
    ids = [{folder.name: load_result(folder).result_id for folder in RESULTS if folder.parent.name == version}
           for version in VERSIONS]  # fmt: skip
    assert all(each == ids[0] for each in ids)


def test_a_changed_result_is_refused_whatever_its_version(tmp_path: Path) -> None:
    for version in VERSIONS:
        copy = tmp_path / version
        shutil.copytree(FROZEN / version / "scores", copy)
        body = json.loads((copy / "result.json").read_text(encoding="utf-8"))
        body["estimates"][0]["value"] = 0.123
        (copy / "result.json").write_text(json.dumps(body), encoding="utf-8")
        with pytest.raises(InputError, match="does not match its result_id"):
            load_result(copy)


def test_the_protocol_beside_a_result_is_as_it_was_written() -> None:
    written = parse_json((FROZEN / "v2" / "scores" / "protocol.json").read_text(encoding="utf-8"), "protocol")
    assert written == {
        "name": "frozen-scores", "title": "Scores of another tool, kept", "comparisons": {"kind": "pair-list"},
        "fmr_targets": [0.1], "primary_fmr_target": 0.1, "uncertainty": {"replicates": 100},
    }  # fmt: skip


class LaterEstimate(Estimate):
    weight: float = Field(1.0, description="a key of a later version")
    tags: tuple[str, ...] = ("plain",)


class LaterResult(Result):
    estimates: tuple[LaterEstimate, ...]  # type: ignore[assignment]
    reviewed: bool = False
    notes: dict[str, str] = Field(default_factory=dict)


class LaterProtocol(ProtocolSpec):
    rounding: int = 6


LaterEstimate.__name__, LaterResult.__name__, LaterProtocol.__name__ = "Estimate", "Result", "ProtocolSpec"


@pytest.mark.parametrize("folder", RESULTS, ids=name)
def test_new_optional_keys_move_no_id(folder: Path) -> None:
    result = load_result(folder)
    later = LaterResult.parse(json.loads((folder / "result.json").read_text(encoding="utf-8")), where="later")
    assert later.compute_id() == result.result_id
    assert later.model_copy(update={"reviewed": True}).compute_id() != result.result_id
    heavy = later.estimates[0].model_copy(update={"weight": 2.0})
    assert later.model_copy(update={"estimates": (heavy, *later.estimates[1:])}).compute_id() != result.result_id
    written = json.loads((folder / "protocol.json").read_text(encoding="utf-8"))
    spec, later_spec = ProtocolSpec.parse(written, where="now"), LaterProtocol.parse(written, where="later")
    assert identity(later_spec) == identity(spec)
    assert identity(later_spec.model_copy(update={"rounding": 3})) != identity(spec)


def test_a_later_version_is_refused_in_words() -> None:
    with pytest.raises(InputError, match=f"schema_version is {SCHEMA_VERSION + 1}.*install a later one"):
        Result.parse({"schema_version": SCHEMA_VERSION + 1}, where="result x")
    untouched: Any = {"schema_version": "two"}
    assert migrated(untouched, "x") == untouched


def test_every_entry_of_the_leaderboard_keeps_its_id() -> None:
    entries = [path for path in sorted((ROOT / "leaderboard").glob("*/*/*.json")) if len(path.stem) == 64]
    assert entries
    for path in entries:
        result = Result.parse(json.loads(path.read_text(encoding="utf-8")), where=str(path))
        assert result.result_id == path.stem == result.compute_id(), path


def test_entries_migrate_by_command_with_their_numbers(tmp_path: Path) -> None:
    from facebench.leaderboard.migrate import migrate_entries

    old = load_result(FROZEN / "v1" / "scores")
    path = tmp_path / "board" / "frozen-scores" / "model" / f"{old.result_id}.json"
    path.parent.mkdir(parents=True)
    path.write_text((FROZEN / "v1" / "scores" / "result.json").read_text(encoding="utf-8"), encoding="utf-8")
    assert migrate_entries([tmp_path / "board"]) == [path]
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content["schema_version"] == SCHEMA_VERSION
    assert Result.parse(content, where="entry") == old
    assert migrate_entries([tmp_path / "board"]) == []
    path.write_text(path.read_text(encoding="utf-8").replace('"value":0.', '"value":0.9', 1), encoding="utf-8")
    with pytest.raises(InputError, match="does not match its result_id"):
        migrate_entries([path])  # of this version too
    path.write_text(path.read_text(encoding="utf-8").replace('"schema_version":2,', "", 1), encoding="utf-8")
    with pytest.raises(InputError, match="does not match its result_id"):
        migrate_entries([path])
