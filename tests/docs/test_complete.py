"""Nothing that can be typed is left undocumented."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.docs.blocks import ROOT, pages


def commands() -> Iterator[tuple[str, list[str]]]:
    """Yield each command with its options, as the command line knows them."""
    import typer

    from facebench.cli import application

    def walk(command: Any, path: tuple[str, ...]) -> Iterator[tuple[str, list[str]]]:
        for name, below in getattr(command, "commands", {}).items():
            yield from walk(below, (*path, name))
        if not hasattr(command, "commands"):
            options = [option for given in command.params for option in given.opts if option.startswith("--")]
            yield " ".join(path), options

    yield from walk(typer.main.get_command(application()), ("facebench",))


@pytest.fixture(scope="module")
def text() -> str:
    return "\n".join((ROOT / page).read_text(encoding="utf-8") for page in pages())


def test_every_command_and_option_is_documented(text: str) -> None:
    found = dict(commands())
    assert len(found) >= 18
    assert "facebench leaderboard validate" in found
    missing = [name for name in found if name not in text]
    missing += [
        f"{name} {option}"
        for name, options in found.items()
        for option in options
        if option != "--help" and not re.search(rf"{re.escape(option)}\b", text)
    ]
    assert not missing


def test_the_table_of_rooms_is_that_of_the_code() -> None:
    done = subprocess.run([sys.executable, str(ROOT / "docs" / "rooms.py"), "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
