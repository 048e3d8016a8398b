"""Write the table of rooms in docs/architecture.md from the packages; with --check, say whether it is old."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "architecture.md"
START, END = "<!-- rooms -->", "<!-- /rooms -->"


def rooms() -> list[str]:
    """Return the rooms in order, as the test of the architecture holds them."""
    tree = ast.parse((ROOT / "tests" / "test_architecture.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "ROOMS":
            return list(ast.literal_eval(node.value))
    raise SystemExit("tests/test_architecture.py holds no ROOMS")


def table() -> str:
    """Return the table: each room, and the first line of what it says of itself."""
    lines = ["| room | holds |", "|---|---|"]
    for room in rooms():
        folder = ROOT / "facebench" / room
        module = folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")
        said = ast.get_docstring(ast.parse(module.read_text(encoding="utf-8"))) or ""
        first = " ".join(said.split("\n\n")[0].split()).replace("|", "\\|").replace("``", "`")
        lines.append(f"| `{room}` | {first} |")
    return "\n".join(lines)


def main() -> None:
    """Write the table, or with --check exit 1 when it is old."""
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(START)
    old, after = rest.split(END)
    new = f"\n{table()}\n"
    if "--check" in sys.argv:
        sys.exit(old != new and f"{PAGE} is old; run python docs/rooms.py")
    PAGE.write_text(f"{before}{START}{new}{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
