"""The command line as a user calls it, and a few faces to call it on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from facebench.cli import main
from facebench.errors import ExitCode

PROTOCOL = """name: small
title: small
dataset: {name: faces}
groups: null
fmr_targets: [0.1]
primary_fmr_target: 0.1
"""


class Shell:
    """Calls facebench in this process; keeps what it printed."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._patch, self._capsys = monkeypatch, capsys
        self.out = self.err = ""
        monkeypatch.setenv("FACEBENCH_CACHE", str(folder / "cache"))

    def __call__(self, *words: object) -> int:
        self._patch.setattr("sys.argv", ["facebench", *map(str, words)])
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        self.out, self.err = self._capsys.readouterr()
        assert "Traceback" not in self.err
        return int(ended.value.code or 0)

    def refused(self, *words: object) -> str:
        """Call, expect a refusal, and return its message."""
        assert self(*words) == ExitCode.USAGE, self.out + self.err
        return self.err

    def run(self, model: Path, faces: Path, *words: object, protocol: str = "") -> dict[str, Any]:
        """Run a model under a small protocol and return its result."""
        path = self.folder / "protocol.yaml"
        path.write_text(PROTOCOL + protocol, encoding="utf-8")
        out = self.folder / "out"
        done = self("run", model, path, "--data", f"faces={faces}", "--out", out, *words)
        assert done == 0, self.err
        return json.loads((out / "result.json").read_text(encoding="utf-8"))
