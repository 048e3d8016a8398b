"""The commands under ``facebench leaderboard``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facebench.cli.apps import Json, board_app, print_json

if TYPE_CHECKING:
    from facebench.schema.leaderboard import Validation

Board = Annotated[Path, typer.Option(help="The leaderboard's folder.")]


@board_app.command("add")
def board_add(
    result: Annotated[Path, typer.Argument(help="result.json of a run, or its folder.")],
    board: Board = Path("leaderboard"),
    half: Annotated[
        bool, typer.Option("--half", help="Round the embeddings to half precision; the numbers are then theirs.")
    ] = False,
    elsewhere: Annotated[
        str | None, typer.Option(help="Name the files instead of copying them: an address, or what makes them again.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a leaderboard entry of a run.

    Example: facebench leaderboard add out/my-model --half
    """
    from facebench.cli.progress import ProgressPrinter
    from facebench.leaderboard import add_entry

    with ProgressPrinter("recompute"):
        place = add_entry(result, board, half=half, elsewhere=elsewhere)
    if as_json:
        print_json({"entry": str(place.path), "result_id": place.result_id})
        return
    typer.echo(str(place.path))


@board_app.command("validate")
def board_validate(
    entries: Annotated[list[Path], typer.Argument(help="Entries, or folders that hold some.")],
    markdown: Annotated[Path | None, typer.Option(help="Append a Markdown summary to this file.")] = None,
    as_json: Json = False,
) -> None:
    """Compute every number of an entry again, and name what differs: exit 0 accepted, 1 refused, 3 files elsewhere,
    4 another protocol or other data.

    Example: facebench leaderboard validate leaderboard/phantom-core
    """
    from facebench.cli.progress import ProgressPrinter
    from facebench.leaderboard.site.words import validation_lines, validation_markdown
    from facebench.leaderboard.validate import exit_code, validate_entries

    def say(validation: Validation) -> None:
        if not as_json:
            for line in validation_lines(validation):
                typer.echo(line)

    with ProgressPrinter("validate"):
        found = validate_entries(entries, say)
    if markdown is not None:
        from facebench.files import write_atomic

        before = markdown.read_text(encoding="utf-8") if markdown.is_file() else ""
        write_atomic(markdown, before + validation_markdown(found))
    if as_json:
        print_json([validation.model_dump(mode="json") for validation in found])
    raise typer.Exit(int(exit_code(found)))


@board_app.command("build")
def board_build(
    board: Board = Path("leaderboard"),
    out: Annotated[Path, typer.Option(help="Folder for the site.")] = Path("out/leaderboard"),
    as_json: Json = False,
) -> None:
    """Write the site of a leaderboard: pages that open from disk and load nothing.

    Example: facebench leaderboard build --out site
    """
    from facebench.cli.progress import ProgressPrinter
    from facebench.execution.environment import facebench_version
    from facebench.leaderboard import load_boards
    from facebench.leaderboard.site import write_site

    with ProgressPrinter("build"):
        pages = write_site(load_boards(board), out, facebench_version())
    if as_json:
        print_json({"index": str(out / "index.html"), "pages": len(pages)})
        return
    typer.echo(f"{len(pages)} pages\n{out / 'index.html'}")
