"""The shipped protocols of published benchmarks: they load, refuse data of other counts, and run on data of theirs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from facebench.data import load_dataset
from facebench.errors import InputError
from facebench.files import asset_dir
from facebench.run.protocols import bind_dataset, load_protocol

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.command_line import Shell
from tests.data.factory import write_tree
from tests.data.writers import benchmarks as make

NAMES = ("lfw", "xqlfw", "calfw", "cplfw", "cfp-ff", "cfp-fp", "agedb-30", "rfw", "bfw", "ijbb", "ijbc", "megaface")


@pytest.mark.parametrize("name", NAMES)
def test_each_says_where_it_comes_from_and_what_is_wrong_with_it(name: str) -> None:
    spec = load_protocol(name).spec
    assert spec.name == name
    assert all([spec.source, spec.licence, spec.known_defects, spec.data_statement, spec.description])


@pytest.mark.parametrize(
    ("name", "write", "message"),
    [
        ("calfw", make.calfw, "promises 3,000 genuine pairs"),
        ("cfp-ff", make.cfp, "promises 3,500 genuine pairs"),
        ("cfp-fp", make.cfp, "promises 3,500 genuine pairs"),
        ("agedb-30", make.agedb, "promises 3,000 genuine pairs"),
        ("rfw", make.rfw, "promises 12,000 genuine pairs"),
        ("ijbb", make.ijb, "promises 227,630 images"),
        ("ijbc", make.ijb, "promises 469,375 images"),
    ],
)
def test_data_of_other_counts_is_refused(
    tmp_path: Path, name: str, write: Callable[[], make.Files], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        bind_dataset(load_protocol(name), {"faces": write_tree(tmp_path / "set", write())})


def small(name: str, path: Path) -> Path:
    """Write a shipped protocol without its counts, at an operating point a handful of pairs allows."""
    content = yaml.safe_load((asset_dir("protocols") / f"{name}.yaml").read_text(encoding="utf-8"))
    content["dataset"] = {"name": "faces"}
    content |= {"fmr_targets": [0.1], "primary_fmr_target": 0.1, "uncertainty": {"replicates": 100}}
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "write"), [("calfw", make.calfw), ("cfp-fp", make.cfp), ("rfw", make.rfw), ("ijbb", make.ijb)]
)
def test_each_runs_from_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str,
    write: Callable[[], make.Files],
) -> None:  # fmt: skip
    facebench = Shell(tmp_path, monkeypatch, capsys)
    faces = write_tree(tmp_path / "set", write())
    ids = load_dataset(faces).image_ids
    vectors = np.random.default_rng(0).normal(size=(len(ids), 4)).astype(np.float32)
    np.savez(tmp_path / "e.npz", embs=vectors, filenames=np.array(ids))
    (tmp_path / "m.yaml").write_text("name: e\nadapter: embeddings\nweights: e.npz\n", encoding="utf-8")
    words = ["run", tmp_path / "m.yaml", small(name, tmp_path / "p.yaml"), "--data", f"faces={faces}"]
    assert facebench(*words, "--out", tmp_path / "out") == 0, facebench.err
    result = json.loads((tmp_path / "out" / "result.json").read_text(encoding="utf-8"))
    found = next(e for e in result["estimates"] if e["metric"] == "fmr" and e["group"] == "all")
    assert found["n_impostor"] == {"calfw": 20, "cfp-fp": 20, "rfw": 20, "ijbb": 1}[name]
    assert "known_defects" in result["protocol"]
    if name == "rfw":
        assert {e["group"] for e in result["estimates"]} >= {"race=African", "race=Asian"}
