"""Every promise of the threat model names tests, and the tests exist."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "threat-model.md").read_text(encoding="utf-8")
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
ROWS = [
    line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith(("| what |", "| promise |"))
]


@cache
def functions(path: str) -> set[str]:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("row", ROWS)
def test_every_promise_names_a_test(row: str) -> None:
    assert NAMED.search(row.split("|")[-2]), row


@pytest.mark.parametrize("named", sorted(set(NAMED.findall(PAGE))))
def test_every_test_that_is_named_exists(named: tuple[str, str]) -> None:
    path, name = named
    assert name in functions(path)


def test_the_page_has_its_tables() -> None:
    assert len(ROWS) >= 25
    assert PAGE.count("::test_") == len(NAMED.findall(PAGE))
