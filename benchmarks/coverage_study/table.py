"""The table of docs/metrics.md, from the recorded study."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

RECORD = Path(__file__).with_name("coverage.json")
DOCS = Path(__file__).resolve().parents[2] / "docs" / "metrics.md"
BEGIN, END = "<!-- coverage: begin -->", "<!-- coverage: end -->"


def rows(record: dict[str, Any]) -> list[str]:
    """Return the lines of the table: per kind the range of the coverage over all designs."""
    kinds: dict[str, list[dict[str, Any]]] = {}
    for each in record["counts"]:
        if each["intervals"]:
            kinds.setdefault(each["kind"], []).append(each)
    found = ["| interval | designs | runs of each | lowest coverage | highest coverage |", "|---|---|---|---|---|"]
    for kind, members in sorted(kinds.items()):
        share = [(m["covered"] / m["intervals"], m["design"]) for m in members]
        low, high = min(share), max(share)
        fewest = min(m["runs"] for m in members)
        found.append(
            f"| `{kind}` | {len(members)} | {fewest:,} | {low[0]:.3f} ({low[1]}) | {high[0]:.3f} ({high[1]}) |"
        )
    return found


def inserted(text: str, record: dict[str, Any]) -> str:
    """Return the document with the table between its two marks.

    Raises:
        ValueError: the marks are missing.
    """
    if BEGIN not in text or END not in text:
        raise ValueError(f"{DOCS.name} lacks {BEGIN} … {END}")
    table = "\n".join([BEGIN, "", *rows(record), "", END])
    return re.sub(re.escape(BEGIN) + ".*?" + re.escape(END), lambda _: table, text, flags=re.DOTALL)
