"""The table "to add something" of docs/architecture.md: a toy is really added to a copy of the package."""

# ruff: noqa: E501 - places in files are quoted as they stand
from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

COMPARATOR = '''
class Half:
    """Half of the dot product."""

    def matrix(self, left: Floats, right: Floats) -> Floats:
        return left @ right.T / 2

    def rowwise(self, left: Floats, right: Floats) -> Floats:
        return (left * right).sum(axis=1) / 2
'''
SALIENCY = '''
import numpy as np
from facebench.probes.saliency.subject import Saliency, declares

@declares(uses="embeddings", random=False)
def toy(subject):
    """Map the columns of a face."""
    return Saliency.of(np.tile(np.arange(float(subject.probe.shape[1])), (subject.probe.shape[0], 1)), "toy")
'''
CONDITION = '''
def toy(face: Change) -> Pixels:
    """Turn the picture grey on its left half."""
    found = face.pixels.copy()
    found[:, : found.shape[1] // 2] = 127
    return found
'''
READER = '''
from facebench.data.format import Format

def read(tree, name, pairs):
    """Read nothing."""
    raise NotImplementedError

TOY = Format("toy.txt", lambda tree: "toy.txt" in tree.top(), read)
'''
ADAPTER = '''
def load(context):
    """Always refuses."""
    return context.model_file()
'''

# kind of `facebench list`, row of the table, name, changes: file to (text before which to insert, or None; new text)
TOYS: dict[str, tuple[str, str, dict[str, list[tuple[str | None, str]]]]] = {
    "a comparator": ("comparators", "half", {
        "scoring/comparators.py": [
            ("\ndef _about(", COMPARATOR), ('        "qmagface":', '        "half": "facebench.scoring.comparators:Half",\n'),
        ],
    }),
    "a saliency method": ("saliency", "toy", {
        "probes/saliency/toy.py": [(None, SALIENCY)],
        "probes/saliency/__init__.py": [('        "occlusion":', '        "toy": "facebench.probes.saliency.toy:toy",\n')],
    }),
    "a condition": ("conditions", "occlusion:toy", {
        "probes/occlusions.py": [
            ("\n_WORN = ", CONDITION), ('    **{f"occlusion:{function.__name__}": Kind(function, 3)', '    "occlusion:toy": Kind(toy),\n'),
        ],
        "schema/robustness.py": [('    "occlusion:sliding_patch": POSITIONS', '    "occlusion:toy": (),\n')],
    }),
    "a data format": ("readers", "toy", {
        "data/toy.py": [(None, READER)],
        "data/load.py": [
            ("\n_IN_ORDER = ", "from facebench.data.toy import TOY\n"), ('    "cfp": ', '    "toy": TOY,\n'),
        ],
    }),
    "a model adapter": ("adapters", "toy", {
        "models/toy.py": [(None, ADAPTER)],
        "models/load.py": [('        "onnx": ', '        "toy": "facebench.models.toy:load",\n')],
    }),
}  # fmt: skip


def promised(row: str) -> int:
    table = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    found = re.search(rf"^\| {re.escape(row)} \| (\d+) \|", table, re.MULTILINE)
    assert found, f"no row {row!r}"
    return int(found[1])


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("tree") / "facebench"
    ignored = shutil.ignore_patterns("*.zip", "*.safetensors", "__pycache__")
    shutil.copytree(ROOT / "facebench", place, ignore=ignored)
    return place


@pytest.mark.parametrize("row", TOYS)
def test_adding_one_touches_what_the_table_says(copied: Path, row: str) -> None:
    kind, name, changes = TOYS[row]
    assert len(changes) == promised(row)
    for file, inserted in changes.items():
        path = copied / file
        for before, text in inserted:
            if before is None:
                path.write_text(text, encoding="utf-8")
                continue
            old = path.read_text(encoding="utf-8")
            assert old.count(before) == 1, f"{file}: {before!r}"
            path.write_text(old.replace(before, f"{text}{before}" if before[0] == " " else f"\n{text}{before}"))
    environment = {**os.environ, "PYTHONPATH": str(copied.parent), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "facebench", "list", kind, name, "--check"], cwd=copied.parent, env=environment,
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.split() == ["ok", name]
