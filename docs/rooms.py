"""Write the table and the picture of rooms from the packages; with --check, say whether they are old."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "architecture.md"
PICTURE = ROOT / "docs" / "images" / "rooms.svg"
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


def imports() -> set[tuple[str, str]]:
    """Return every two rooms of which the first imports from the second."""
    names = rooms()
    found: set[tuple[str, str]] = set()
    for path in sorted((ROOT / "facebench").rglob("*.py")):
        own = path.relative_to(ROOT / "facebench").parts[0].removesuffix(".py")
        if own not in names:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            modules += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module == "facebench":
                modules += [f"facebench.{alias.name}" for alias in node.names]
            needed = {module.split(".")[1] for module in modules if module.startswith("facebench.")}
            found |= {(own, other) for other in needed & set(names) - {own}}
    return found


def picture() -> str:
    """Return an SVG: a row for each room, with a mark under each room it imports."""
    names, cell, left, top = rooms(), 26, 110, 96
    side = cell * len(names)
    width, height = left + side + 12, top + side + 12
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        'font-size="12" role="img" aria-label="Which room imports which">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
    ]
    for i, name in enumerate(names):
        middle = i * cell + cell / 2
        parts.append(f'<text x="{left - 8}" y="{top + middle + 4}" text-anchor="end" fill="#222222">{name}</text>')
        turned = f"rotate(-55 {left + middle} {top - 8})"
        parts.append(f'<text x="{left + middle}" y="{top - 8}" transform="{turned}" fill="#222222">{name}</text>')
        parts.append(
            f'<rect x="{left + i * cell}" y="{top + i * cell}" width="{cell}" height="{cell}" fill="#dddddd"/>'
        )
    for own, other in sorted(imports()):
        x, y = left + names.index(other) * cell, top + names.index(own) * cell
        parts.append(f'<rect x="{x + 2}" y="{y + 2}" width="{cell - 4}" height="{cell - 4}" fill="#1f5f8b"/>')
    return "\n".join([*parts, "</svg>", ""])


def main() -> None:
    """Write the table and the picture, or with --check exit 1 when one is old."""
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(START)
    old, after = rest.split(END)
    new = f"\n{table()}\n"
    if "--check" in sys.argv:
        drawn = PICTURE.read_text(encoding="utf-8") if PICTURE.is_file() else ""
        old_ones = [str(path) for path, is_old in ((PAGE, old != new), (PICTURE, drawn != picture())) if is_old]
        sys.exit(bool(old_ones) and f"{' and '.join(old_ones)}: old; run python docs/rooms.py")
    PAGE.write_text(f"{before}{START}{new}{END}{after}", encoding="utf-8")
    PICTURE.write_text(picture(), encoding="utf-8")


if __name__ == "__main__":
    main()
