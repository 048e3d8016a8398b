"""A griffe extension that turns FaceBench's docstrings into the Markdown the site is made of.

Examples and formulas become code blocks wherever in a docstring they stand, and the fields of records and dataclasses,
which are described where they are defined, become a table.
"""

from __future__ import annotations

import ast
import re
from typing import Any

import griffe

EXAMPLE = re.compile(r"^( *)>>> .*(?:\n(?! *$).*)*", re.MULTILINE)
LITERAL = re.compile(r"(?<=\S)::$", re.MULTILINE)
ENUMS = {"StrEnum", "IntEnum", "Enum"}


def markdown(text: str) -> str:
    """Return a docstring with a fence around each run of lines from ``>>>`` to the next empty one.

    What follows ``::`` is indented and so is code already.
    """
    text = EXAMPLE.sub(lambda found: f"{found[1]}```pycon\n{found[0]}\n{found[1]}```", text)
    return LITERAL.sub(":", text)


def fields(owner: griffe.Class) -> list[str]:
    """Return one line ``name: description`` for each public field of a record, dataclass or enumeration."""
    is_enum = any(str(base).rpartition(".")[2] in ENUMS for base in owner.bases)
    lines = []
    for name, member in owner.members.items():
        if not isinstance(member, griffe.Attribute) or name.startswith("_") or name == "model_config":
            continue
        if "property" in member.labels or member.docstring or (member.annotation is None and not is_enum):
            continue
        default, words = _value(str(member.value)) if member.value is not None else (None, "")
        words = words or _comment(member)
        if is_enum:
            words = f"`{default}`" + (f": {words}" if words else "")
        elif default is not None:
            words = f"{words}; default `{default}`" if words else f"default `{default}`"
        lines.append(f"    {name}: {words or 'required'}")
    return lines


def _value(source: str) -> tuple[str | None, str]:
    """Return the default and the description of ``Field(...)``, or the value itself."""
    node = ast.parse(source, mode="eval").body
    if not (isinstance(node, ast.Call) and ast.unparse(node.func) in ("Field", "field")):
        return source, ""
    options = {keyword.arg: keyword.value for keyword in node.keywords}
    default = node.args[0] if node.args else options.get("default", options.get("default_factory"))
    words = options.get("description")
    return (ast.unparse(default) if default else None), (ast.literal_eval(words) if words else "")


def _comment(member: griffe.Attribute) -> str:
    """Return the comment at the end of the line that defines a field."""
    if not isinstance(member.filepath, list) and member.lineno:
        line = member.lines_collection[member.filepath][member.lineno - 1]
        return line.partition("  # ")[2]
    return ""


class Docstrings(griffe.Extension):
    """Change every docstring before it is parsed."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Fence examples, and add the table of fields where the docstring has none."""
        if obj.docstring is None:
            return
        obj.docstring.value = markdown(obj.docstring.value)
        if isinstance(obj, griffe.Class) and "Attributes:" not in obj.docstring.value and (lines := fields(obj)):
            obj.docstring.value += "\n\nAttributes:\n" + "\n".join(lines)
