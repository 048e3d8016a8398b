"""A workshop: a folder with small stand-ins for the files the documentation speaks of."""

from __future__ import annotations

import csv
import pickle
import shutil
import sys
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT, blocks

WEIGHTS = ROOT / "facebench" / "models" / "zoo" / "weights"
IDENTITIES = 12
RESERVED = ("image_id", "identity", "landmarks")
MODELS = ("model", "my-model", "candidate", "float", "int8")
OWN_PROTOCOL = """
name: my-protocol
title: A protocol of our own
dataset: {name: faces}
fmr_targets: [1.0e-1, 1.0e-2]
primary_fmr_target: 1.0e-2
groups: {attributes: [gender, race], intersections: none, min_identities: 2}
"""


def run(words: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    """Run one command line in this process and return its exit code."""
    from facebench.cli import main

    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as stop:
        main()
    return int(stop.value.code or 0)


def write_faces(whole: Path, folder: Path, attributes: dict[str, str]) -> None:
    """Write a few of the shipped phantoms under other names of columns, without the mark of a phantom set."""
    with (whole / "manifest.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    people = list(dict.fromkeys(row["identity"] for row in rows))
    chosen = set(people[:: len(people) // IDENTITIES][:IDENTITIES])
    (folder / "images").mkdir(parents=True)
    with (folder / "manifest.csv").open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream)
        table.writerow([*RESERVED, "path", *attributes])
        for row in (row for row in rows if row["identity"] in chosen):
            shutil.copy(whole / row["path"], folder / row["path"])
            table.writerow([row[name] for name in (*RESERVED, "path", *attributes.values())])


@pytest.fixture(scope="session")
def stand_ins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stand-ins, made once; what is measured on them is measured once."""
    top = tmp_path_factory.mktemp("workshop")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACEBENCH_CACHE", str(top / "cache"))
        patch.chdir(top)
        assert run(["facebench", "data", "convert", "builtin:phantom-smoke-v1", "whole"], patch) == 0
        for name in ("faces", "att_faces"):
            write_faces(top / "whole", top / name, {"gender": "sex", "age": "age"})
        write_faces(top / "whole", top / "people", {"gender": "sex", "race": "tone", "age": "age"})
        with Path("encodings.pkl").open("wb") as stream:
            pickle.dump({f"{person}.jpg": [0.1 * person, 1.0] for person in range(3)}, stream)
        for name in MODELS:
            (top / f"{name}.yaml").write_text(
                f"name: {name}\nadapter: phantom-arcface\nweights: {WEIGHTS / 'phantom-arcface.safetensors'}\n"
            )
        shutil.copy(ROOT / "protocols" / "policies" / "no-regression.yaml", "policy.yaml")
        (top / "my-protocol.yaml").write_text(OWN_PROTOCOL + _fragment("docs/fairness.md", "impostor_ladder"))
        smoke = ["facebench", "run", "model.yaml", "phantom-smoke", "--out", "out/base"]
        assert run(smoke, patch) == 0
        own = ["facebench", "run", "phantom-eigenfaces", "my-protocol.yaml", "--data", "faces=people"]
        (top / "plain.yaml").write_text(OWN_PROTOCOL)
        assert run([*own[:3], "plain.yaml", *own[4:], "--out", "out/other"], patch) == 0
        for copy in ("out/candidate", "out/float", "out/int8", "out/my-model", "baseline"):
            shutil.copytree("out/base", copy)
    return top


@pytest.fixture
def workshop(stand_ins: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the stand-ins as the working directory."""
    place = tmp_path / "workshop"
    shutil.copytree(stand_ins, place, ignore=shutil.ignore_patterns("cache", "whole"))
    monkeypatch.setenv("FACEBENCH_CACHE", str(stand_ins / "cache"))
    monkeypatch.chdir(place)
    return place


def _fragment(page: str, key: str) -> str:
    return next(block.text for block in blocks(page, "yaml") if block.text.startswith(f"{key}:"))
