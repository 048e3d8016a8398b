"""The command-line applications, and the options several commands share."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

app = typer.Typer(
    name="facebench",
    help="Judge face-recognition models: every number with its interval, its sample size and a way to recompute it.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
data_app = typer.Typer(help="Look at, convert and render datasets.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(data_app, name="data")
zoo_app = typer.Typer(help="The reference models FaceBench ships.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(zoo_app, name="zoo")
board_app = typer.Typer(help="Add, validate and publish results.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(board_app, name="leaderboard")

Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Workers = Annotated[int, typer.Option(min=1, help="Threads (or processes) for reading and decoding.")]


def print_json(value: Any) -> None:
    """Print a value as JSON."""
    typer.echo(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False))
