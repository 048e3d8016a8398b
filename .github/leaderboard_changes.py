"""Lays the entries a pull request adds over the base branch's leaderboard, and lists them for validation.

leaderboard_changes.py CHECKOUT BASE_COMMIT LEADERBOARD ENTRIES SUMMARY

CHECKOUT is the pull request's. Files outside the folders of models are refused (exit 4), because protocols and their
definitions are the maintainers'.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

NAME = r"[A-Za-z0-9][A-Za-z0-9_.+-]*"
ENTRY = re.compile(rf"leaderboard/({NAME})/({NAME})/[0-9a-f]{{64}}\.[A-Za-z0-9._-]+")


def main(checkout: str, base: str, leaderboard: str, entries: str, summary: str) -> int:
    """Copy what was added, write the list of entries, and return the exit code."""
    command = ["git", "-C", checkout, "diff", "--no-renames", "--name-status", "-z", f"{base}...HEAD"]
    words = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\0")[:-1]
    changes = list(zip(words[::2], words[1::2], strict=True))
    refused = [path for status, path in changes if status != "A" or not ENTRY.fullmatch(path)]
    if refused:
        shown = "\n".join(f"- `{re.sub(r'[^A-Za-z0-9_./+-]', '?', path)[:200]}`" for path in refused[:20])
        told = "A submission adds files of entries and changes nothing else. Not allowed:"
        Path(summary).write_text(f"## Leaderboard entries\n\n{told}\n\n{shown}\n", encoding="utf-8")
        return 4
    found = []
    for _, path in changes:
        source, target = Path(checkout) / path, Path(leaderboard).parent / path
        if source.is_symlink() or not source.is_file():
            Path(summary).write_text(
                "## Leaderboard entries\n\nA submission holds plain files only.\n", encoding="utf-8"
            )
            return 4
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        if re.fullmatch(r"[0-9a-f]{64}\.json", target.name):
            found.append(str(target))
    Path(entries).write_text("".join(f"{path}\n" for path in found), encoding="utf-8")
    if not found:
        Path(summary).write_text("## Leaderboard entries\n\nNo entry was added.\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
