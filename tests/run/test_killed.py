"""A run with many sections that is killed twelve times on its way ends with the bytes of one that was left alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

KILLS = 12
PROTOCOL = """
name: every-section
title: Sections of every kind on a few phantom faces
dataset: {name: faces, path: "builtin:phantom-parts-v1"}
comparisons: {kind: all-pairs}
fmr_targets: [1.0e-1]
primary_fmr_target: 1.0e-1
groups: {attributes: [age_band], intersections: none, min_identities: 2}
uncertainty: {replicates: 100}
identification: {ranks: [1]}
robustness:
  conditions: [corruption:jpeg, occlusion:surgical_mask]
  severities: [3]
  attacks:
    fmr_target: 1.0e-1
    max_pairs: 4
    cells:
      - {attack: fgsm, goal: dodging, eps: ["8/255"]}
      - {attack: square, goal: dodging, eps: ["8/255"], queries: 20}
impostor_ladder: {sex: sex, age: age}
error_versus_discard: {quality: [norm]}
covariates: {age: 10}
ood: {conditions: [occlusion:sunglasses]}
efficiency: {batch_sizes: [1], warmup: 1, repeats: 10, memory: false}
explanation: {methods: [{name: occlusion}, {name: gradient}], pairs: 2, triplets: 2, control_pairs: 2}
"""
# Counts the files that are written, and dies at the one that is asked for: before it has its name, or just after.
DYING = """
import os, signal, sys
from pathlib import Path
at, after = int(os.environ["KILL_AT"]), os.environ["KILL_AFTER"] == "1"
n, flush, rename = 0, os.fsync, Path.replace

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def fsync(handle):
    global n
    n += 1
    if n == at and not after:
        die()
    flush(handle)

def replace(self, target):
    found = rename(self, target)
    with open(os.environ["WRITES"], "a") as log:
        log.write(str(target) + chr(10))
    if n == at and after:
        die()
    return found

os.fsync, Path.replace = fsync, replace
from facebench.cli import main
main()
"""


def run(model: str, folder: Path, name: str, kill_at: int = 0, *, after: bool = False) -> int:
    """Run in a process of its own, with a cache for this name alone; returns the exit code."""
    env = {
        **os.environ, "FACEBENCH_CACHE": str(folder / f"{name}-cache"), "KILL_AT": str(kill_at),
        "KILL_AFTER": str(int(after)), "WRITES": str(folder / f"{name}-writes"),
    }  # fmt: skip
    words = ["run", model, str(folder / "protocol.yaml"), "--out", str(folder / name), "--limit", "24"]
    command = [sys.executable, "-c", DYING, *words, "--batch-size", "8"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode


def finding(folder: Path) -> dict[str, Any]:
    """Return a result without what no two runs share: when and how fast."""
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    found = {key: value for key, value in result.items() if key not in ("run", "result_id", "efficiency")}
    cells = result.get("robustness", {}).get("attacks", {}).get("cells", ())
    for cell in cells:
        cell.get("spent", {}).pop("seconds", None)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("model", ["phantom-softmax", "phantom-lbp"])
def test_a_run_killed_twelve_times_ends_with_the_same_result(model: str, tmp_path: Path) -> None:
    (tmp_path / "protocol.yaml").write_text(PROTOCOL, encoding="utf-8")
    assert run(model, tmp_path, "whole") == 0
    writes = len((tmp_path / "whole-writes").read_text().splitlines())
    assert writes > KILLS
    died = 0
    for number in range(KILLS):
        # a resumed run writes only what is missing, so that the same share of the rest lies further on each time
        left = writes - len(set((tmp_path / "broken-writes").read_text().splitlines())) if number else writes
        at = max(1, left // (KILLS - number + 1))
        died += run(model, tmp_path, "broken", at, after=bool(number % 2)) == -signal.SIGKILL
    assert died == KILLS
    assert run(model, tmp_path, "broken") == 0
    assert finding(tmp_path / "broken") == finding(tmp_path / "whole")
    for name in ("embeddings", "robustness", "ood", "explanation"):
        files = [tmp_path / run / f"{name}.safetensors" for run in ("whole", "broken")]
        assert files[0].exists() == files[1].exists()
        if files[0].exists():
            assert files[0].read_bytes() == files[1].read_bytes()
    assert names(tmp_path / "broken") == names(tmp_path / "whole"), "something was left behind"


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}
