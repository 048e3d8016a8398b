"""The fenced blocks of README, CONTRIBUTING and docs/, with the notes to the tests that stand above them.

A note is an HTML comment, which readers do not see:

    <!-- not executed: needs a GPU -->         the block is not run, for this reason
    <!-- executed with: --limit 8 -->          words added to every `facebench run` of the block
    <!-- exit code 1 -->                       the code the last command of the block ends with
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(
    r"(?P<notes>(?:^ *<!--[^\n]*-->\n)*)^(?P<indent> *)```(?P<language>\w*)\n(?P<text>.*?)^(?P=indent)```$", re.M | re.S
)
NOTE = re.compile(r"<!-- (not executed|executed with|exit code):? (.*) -->")


@dataclass(frozen=True)
class Block:
    page: str
    line: int
    language: str
    text: str
    notes: dict[str, str]

    @property
    def where(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def executed(self) -> bool:
        return "not executed" not in self.notes

    def commands(self) -> list[list[str]]:
        """Return the words of each command; continued lines are joined, comments left out."""
        lines = self.text.replace("\\\n", " ").splitlines()
        words = [shlex.split(line, comments=True) for line in lines]
        extra = shlex.split(self.notes.get("executed with", ""))
        return [[*line, *(extra if line[:2] == ["facebench", "run"] else [])] for line in words if line]


def pages() -> list[str]:
    docs = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md"))
    return ["README.md", "CONTRIBUTING.md", *docs]


def blocks(page: str, language: str | None = None) -> list[Block]:
    text = (ROOT / page).read_text(encoding="utf-8")
    found = []
    for fence in FENCE.finditer(text):
        line = text.count("\n", 0, fence.start("indent")) + 1
        notes = dict(NOTE.findall(fence["notes"]))
        block = Block(
            page, line, fence["language"], re.sub(f"^{fence['indent']}", "", fence["text"], flags=re.M), notes
        )
        if language in (None, block.language):
            found.append(block)
    return found
