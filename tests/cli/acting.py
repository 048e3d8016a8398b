"""Commands in processes of their own, with a model that does in its third call what the test says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import facebench

ROOT = Path(facebench.__file__).resolve().parents[1]

# a model whose call does what the first word of the command line says
MODEL = """
import ctypes, os, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a suite started in the background hands down "ignore"
import numpy as np
import facebench
from facebench import ModelCard
from facebench.schema import InputSpec
from facebench.cli import main

ACT = sys.argv.pop(1)

class Acting:
    card = ModelCard(name="acting", adapter="test", weights_sha256="1" * 64, embedding_dim=24,
                     input=InputSpec(height=112, width=112))
    calls = 0

    def __init__(self):
        if ACT.startswith("build: "):
            exec(ACT[7:], globals())

    def embed(self, faces):
        Acting.calls += 1
        if Acting.calls == 3 and not ACT.startswith("build: "):
            exec(ACT, globals())
        return faces[:, ::28, ::28].reshape(len(faces), -1)[:, :24].astype(np.float32) - 100

facebench.register_model("acting", Acting)
main()
"""


def start(act: str, folder: Path, *words: object, env: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", MODEL, act, *map(str, words or run_words(folder))]
    own = {"FACEBENCH_CACHE": str(folder / "cache"), "PYTHONPATH": str(ROOT), **(env or {})}
    return subprocess.Popen(
        command, cwd=folder, env={**os.environ, **own}, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def run_words(folder: Path) -> list[object]:
    return ["run", "acting", "phantom-smoke", "--out", folder / "out", "--batch-size", 8, "--json"]


def call(act: str, folder: Path, *words: object) -> tuple[int, str, str]:
    running = start(act, folder, *words)
    out, err = running.communicate(timeout=300)
    return running.returncode, out.decode(), err.decode()
