"""Copies the contents a pull request adds below leaderboard/ to a folder, each under its Git hash and no other name.

leaderboard_collect.py CHECKOUT BASE_COMMIT DATA

Names stay behind: they may be no text at all. Contents are read from Git, so that a link is its target's text.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FILE_MODES = (b"100644", b"100755")
MAX_BYTES = 500_000_000


def main(checkout: str, base: str, data: str) -> None:
    """Write the folder; it holds one empty file where nothing was added."""
    git = ["git", "-C", checkout]
    command = [*git, "diff", "--raw", "-z", "--no-renames", "--no-abbrev", f"{base}...HEAD", "--", "leaderboard"]
    words = subprocess.run(command, capture_output=True, check=True).stdout.split(b"\0")[:-1]
    out, total = Path(data), 0
    out.mkdir(parents=True, exist_ok=True)
    (out / "collected").touch()
    for change in words[::2]:  # :old_mode new_mode old_hash new_hash status
        _, mode, _, name, _ = change.split(b" ")
        if mode in FILE_MODES:
            content = subprocess.run([*git, "cat-file", "blob", name.decode()], capture_output=True, check=True).stdout
            total += len(content)
            if total > MAX_BYTES:
                raise SystemExit(f"more than {MAX_BYTES:,} bytes")
            (out / name.decode()).write_bytes(content)


if __name__ == "__main__":
    main(*sys.argv[1:])
