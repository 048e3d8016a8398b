"""The command ``facebench list``: what there is to name in a protocol, a model file or a command."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from facebench.cli.apps import Json, app, print_json
from facebench.errors import ExitCode, InputError


@app.command("list")
def list_(
    kind: Annotated[
        str | None, typer.Argument(help="adapters, comparators, conditions, ...; without one all kinds are named.")
    ] = None,
    name: Annotated[str | None, typer.Argument(help="One of that kind, with its options.")] = None,
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="Run the contract test on NAME, or on every plug-in of KIND; exit 1 if one fails."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """List what plugs in: models, metrics, conditions, attacks, readers and others, those of plug-ins included.

    Example: facebench list saliency
    """
    from facebench.cli.streams import prints_aside

    with prints_aside():
        if kind is None:
            if check:
                raise InputError("--check needs a kind: facebench list KIND --check")
            found, lines = _everything()
        elif check:
            found, lines = _checked(kind, name)
        else:
            found, lines = _kind(kind, name)
    if as_json:
        print_json(found)
    else:
        typer.echo("\n".join(lines))
    if check and any(row["broken"] for row in found):
        raise typer.Exit(int(ExitCode.REGRESSION))


def _everything() -> tuple[Any, list[str]]:
    from facebench.phantoms.shipped import shipped_names
    from facebench.run.plugins import KINDS
    from facebench.run.protocols import protocol_names

    names = {kind: registry.names() for kind, registry in KINDS.items()}
    found = {**names, "protocols": protocol_names(), "datasets": shipped_names()}
    lines = []
    for kind, known in found.items():
        shown = known if len(known) <= 24 else [*known[:8], f"and {len(known) - 8} more"]
        lines.append(f"{kind}: {', '.join(shown)}")
    return found, [*lines, "", "facebench list KIND says what each is, where it comes from and which options it takes."]


def _kind(kind: str, name: str | None) -> tuple[Any, list[str]]:
    from facebench.run.plugins import entries, registry_of

    registry = registry_of(kind)
    if name is not None:
        registry.get(name)
    found = [row for row in entries(kind) if name in (None, row["name"])]
    width = max((len(row["name"]) for row in found), default=0)
    lines = []
    for row in found:
        said = row["error"] if "error" in row else _about(row)
        lines.append(f"{row['name'].ljust(width)}  {said}")
        if "error" not in row:
            lines += [f"{' ' * width}  {line}" for line in _details(row, full=name is not None)]
    where = f"entry-point group {registry.group}; " if registry.group else ""
    return found, [*lines, "", f"A plug-in adds its own: {where}docs/plugins.md. More on these: docs/{registry.page}."]


def _about(row: dict[str, Any]) -> str:
    origin = "" if row["origin"] == "facebench" else f" [{row['origin'] or 'registered in this process'}]"
    return f"{row['about']}{origin}"


def _details(row: dict[str, Any], *, full: bool) -> list[str]:
    properties = row["options"].get("properties", {})
    words = [
        name + (f" = {json.dumps(about['default'])}" if "default" in about else "")
        for name, about in properties.items()
    ]
    lines = [f"options: {', '.join(words)}"] if words else []
    if full:
        lines += [f"{name}: {json.dumps(value)}" for name, value in row["facts"].items()]
        lines += [f"option {name}: {json.dumps(about)}" for name, about in properties.items()]
    return lines


def _checked(kind: str, name: str | None) -> tuple[Any, list[str]]:
    from facebench.run.plugins import check, registry_of

    names = registry_of(kind).plugins() if name is None else [name]
    found = [{"name": known, "broken": check(kind, known)} for known in names]
    lines = [f"{'FAIL' if row['broken'] else 'ok  '}  {row['name']}{_why(row)}" for row in found]
    return found, lines or [f"no plug-in adds {kind}; name one that is built in to check that"]


def _why(row: dict[str, Any]) -> str:
    return f": {row['broken']}" if row["broken"] else ""
