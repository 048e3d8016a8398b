"""Shared by the tests of models: the command line, and faces of twelve people."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.command_line import Shell
from tests.run.test_plan import write_faces


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(tmp_path, monkeypatch, capsys)


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_faces(tmp_path_factory.mktemp("people") / "faces", {"a": 6, "b": 6})
