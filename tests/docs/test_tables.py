"""Tables of the pages are what the results say."""

from __future__ import annotations

import importlib.util
from types import ModuleType

import pytest

from tests.docs.blocks import ROOT


@pytest.fixture(scope="module")
def zoo() -> ModuleType:
    spec = importlib.util.spec_from_file_location("zoo", ROOT / "benchmarks" / "zoo.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tables_of_the_reference_models_are_those_of_the_leaderboard(zoo: ModuleType) -> None:
    written = zoo.PAGE.read_text(encoding="utf-8").splitlines()
    fresh = zoo.page_with(zoo.entries()).splitlines()
    drifted = [f"{old}\n  now: {new}" for old, new in zip(written, fresh, strict=False) if old != new]
    assert written == fresh, "run: python -m benchmarks.zoo table\n" + "\n".join(drifted[:5])


def test_a_number_that_drifts_is_noticed(zoo: ModuleType, tmp_path, capsys) -> None:
    page = tmp_path / "zoo.md"
    text = zoo.PAGE.read_text(encoding="utf-8")
    page.write_text(text.replace("0.7", "0.8", 1) if "0.7" in text else text + "x", encoding="utf-8")
    start = text.index(zoo.BEGIN)
    inside = text[:start] + text[start:].replace("| 0.", "| 1.", 1)
    page.write_text(inside, encoding="utf-8")
    zoo.PAGE = page
    try:
        assert zoo.table(check=True) == 1
        assert "run: python -m benchmarks.zoo table" in capsys.readouterr().out
        assert zoo.table(check=False) == 0
        assert zoo.table(check=True) == 0
        assert page.read_text(encoding="utf-8") == text
    finally:
        zoo.PAGE = ROOT / "docs" / "zoo.md"
