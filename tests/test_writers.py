"""Every file is written whole or not at all."""

from __future__ import annotations

import ast
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest

from facebench.errors import WriteError
from facebench.files import write_atomic
from facebench.measure.saved import save_result, save_section
from facebench.run.report import write_report
from facebench.schema import ModelCard
from facebench.store import EmbeddingStore, StoredBatch, TileStore
from tests.report import factory

PACKAGE = Path(__file__).resolve().parent.parent / "facebench"
IN_PLACE = {
    "write_text",
    "write_bytes",
    "to_csv",
    "to_parquet",
    "to_json",
    "tofile",
    "savetxt",
    "copyfile",
    "save_file",
}
PROBES = {
    "phantoms/dataset.py",
}  # an empty file, written to see whether a folder can be written


def _report(folder: Path) -> None:
    write_report(factory.alike(), folder / "report.html")


def _batch(folder: Path) -> None:
    card = ModelCard(name="m", adapter="onnx", embedding_dim=2, comparator="cosine")
    EmbeddingStore(folder, card, runtime={}).put(["a"], StoredBatch(np.ones((1, 2), np.float32), ()))


WRITERS: dict[str, Callable[[Path], object]] = {
    "text": lambda folder: write_atomic(folder / "file", "new"),
    "stream": lambda folder: write_atomic(folder / "file", lambda stream: stream.write(b"new")),
    "result": lambda folder: save_result(factory.alike(), folder / "result.json"),
    "report": _report,
    "section": lambda folder: save_section(folder, "robustness", {"a": np.zeros(3)}),
    "batch": _batch,
    "tile": lambda folder: TileStore(folder).put(3, {"a": np.zeros(3)}),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_a_write_that_fails_leaves_the_old_file_whole(
    writer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    WRITERS[writer](tmp_path)
    (written,) = [path for path in tmp_path.rglob("*") if path.is_file()]
    written.write_bytes(b"what was there")

    def full(_descriptor: int) -> None:
        assert written.read_bytes() == b"what was there", "readers see a file that is not finished"
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(WriteError, match="no space left"):
        WRITERS[writer](tmp_path)
    assert written.read_bytes() == b"what was there"
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [written]


def test_an_interrupted_write_leaves_the_old_file_whole(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_text("old")

    def half(stream: BinaryIO) -> None:
        stream.write(b"half of it")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomic(path, half)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_every_file_is_written_by_write_atomic() -> None:
    """Nothing but `facebench.files` opens a file to write it in place."""
    wrong = []
    for path in sorted(PACKAGE.rglob("*.py")):
        where = path.relative_to(PACKAGE).as_posix()
        if where == "files.py":
            continue
        for call in (node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call)):
            name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
            texts = [a.value for a in (*call.args, *(k.value for k in call.keywords)) if isinstance(a, ast.Constant)]
            opened = name in ("open", "fdopen", "ZipFile", "TarFile") and any(
                isinstance(text, str) and set(text) <= set("rwaxbt+") and set(text) & set("wax+") for text in texts
            )
            into_memory = name == "ZipFile" and "BytesIO" in path.read_text("utf-8")
            probe = name == "write_bytes" and where in PROBES and texts == [b""]
            if (name in IN_PLACE and not probe) or (opened and not into_memory):
                wrong.append(f"{where}:{call.lineno} {name}")
    assert not wrong, wrong
