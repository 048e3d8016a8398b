"""The table of docs/metrics.md, from the recorded study."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from scipy.stats import binom

RECORD = Path(__file__).with_name("coverage.json")
DOCS = Path(__file__).resolve().parents[2] / "docs" / "metrics.md"
LOWEST, HIGHEST, CHANCE = 0.92, 0.99, 1e-3
BEGIN, END = "<!-- coverage: begin -->", "<!-- coverage: end -->"


def rows(record: dict[str, Any]) -> list[str]:
    """Return the lines of the table: per kind the range of the coverage over all designs, and what that amounts to."""
    kinds: dict[str, list[dict[str, Any]]] = {}
    for each in record["counts"]:
        if each["intervals"]:
            kinds.setdefault(each["kind"], []).append(each)
    found = [
        "| interval | designs | runs of each | lowest coverage | highest coverage | found |",
        "|---|---|---|---|---|---|",
    ]
    for kind, members in sorted(kinds.items()):
        share = [(m["covered"] / m["intervals"], m["design"]) for m in members]
        low, high = min(share), max(share)
        fewest, most = min(m["runs"] for m in members), max(m["runs"] for m in members)
        runs = f"{fewest:,}" if fewest == most else f"{fewest:,} to {most:,}"
        found.append(
            f"| `{kind}` | {len(members)} | {runs} | {low[0]:.3f} ({low[1]}) | {high[0]:.3f} ({high[1]}) | "
            f"{_found(members)} |"
        )
    return found


def _found(members: list[dict[str, Any]]) -> str:
    """Say whether the coverage lies outside .92 to .99 by more than chance (one in 1,000, exact binomial)."""
    seldom = often = False
    for each in members:
        n = min(each["runs"], each["intervals"])  # those of several groups in one run are not independent
        covered = round(each["covered"] / each["intervals"] * n)
        seldom |= bool(binom.cdf(covered, n, LOWEST) < CHANCE)
        often |= bool(binom.sf(covered - 1, n, HIGHEST) < CHANCE)
    if seldom:
        return "too seldom"
    return "wider than promised" if often else "as promised"


def inserted(text: str, record: dict[str, Any]) -> str:
    """Return the document with the table between its two marks.

    Raises:
        ValueError: the marks are missing.
    """
    if BEGIN not in text or END not in text:
        raise ValueError(f"{DOCS.name} lacks {BEGIN} … {END}")
    table = "\n".join([BEGIN, "", *rows(record), "", END])
    return re.sub(re.escape(BEGIN) + ".*?" + re.escape(END), lambda _: table, text, flags=re.DOTALL)
