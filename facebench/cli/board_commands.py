"""The commands under ``facebench leaderboard``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facebench.cli.apps import Json, board_app, print_json

if TYPE_CHECKING:
    from facebench.leaderboard.folder import Place
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
    maintainer: Annotated[
        str | None, typer.Option(help="Who answers for the model's name, and how to reach them; for a new name.")
    ] = None,
    new_revision: Annotated[
        bool, typer.Option("--new-revision", help="Let a known name stand for these weights too.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Make a leaderboard entry of a run.

    Example: facebench leaderboard add out/my-model --half
    """
    from facebench.cli.progress import ProgressPrinter
    from facebench.leaderboard import add_entry

    with ProgressPrinter("recompute"):
        place = add_entry(
            result, board, half=half, elsewhere=elsewhere, maintainer=maintainer, new_revision=new_revision
        )
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


@board_app.command("recompute")
def board_recompute(
    entries: Annotated[list[Path], typer.Argument(help="Entries, or folders that hold some.")],
    as_json: Json = False,
) -> None:
    """Compute the numbers of entries again without their models, by the code and protocol of today: for maintainers.

    Each entry is replaced by one with a new id, which names the result before and says that it was recomputed.

    Example: facebench leaderboard recompute leaderboard
    """
    from facebench.cli.progress import ProgressPrinter
    from facebench.leaderboard.recompute import recompute_entries

    replaced: list[dict[str, str]] = []

    def say(old: Place, new: Place) -> None:
        replaced.append({"before": str(old.path), "entry": str(new.path)})
        if not as_json:
            typer.echo(f"{old.path}\n  -> {new.path.name}")

    with ProgressPrinter("recompute"):
        recompute_entries(entries, say)
    if as_json:
        print_json(replaced)


@board_app.command("migrate")
def board_migrate(
    entries: Annotated[list[Path], typer.Argument(help="Entries, or folders that hold some.")], as_json: Json = False
) -> None:
    """Write entries of earlier versions as this one has them; no number and no result id changes.

    Example: facebench leaderboard migrate leaderboard
    """
    from facebench.leaderboard.migrate import migrate_entries

    written = [str(path) for path in migrate_entries(entries)]
    if as_json:
        print_json(written)
    else:
        typer.echo("\n".join([*written, f"{len(written)} entries rewritten"]))


@board_app.command("build")
def board_build(
    board: Board = Path("leaderboard"),
    out: Annotated[Path, typer.Option(help="Folder for the site.")] = Path("out/leaderboard"),
    as_json: Json = False,
) -> None:
    """Write the site of a leaderboard: pages that open from disk and load nothing.

    Only entries that validate are shown; the others are named. What was validated on this machine before, and did not
    change since, is not computed again.

    Example: facebench leaderboard build --out site
    """
    from facebench.cli.progress import ProgressPrinter
    from facebench.execution.environment import facebench_version
    from facebench.leaderboard import load_boards
    from facebench.leaderboard.site import write_site
    from facebench.leaderboard.site.words import validation_lines

    def say(validation: Validation) -> None:
        if not validation.accepted and not as_json:
            for line in validation_lines(validation):
                typer.echo(line, err=True)

    with ProgressPrinter("build"):
        boards = load_boards(board, say)
        pages = write_site(boards, out, facebench_version())
    left_out = [validation.entry for listed in boards for validation in listed.left_out]
    if as_json:
        print_json({"index": str(out / "index.html"), "pages": len(pages), "left_out": left_out})
        return
    without = f", {len(left_out)} left out" if left_out else ""
    typer.echo(f"{len(pages)} pages{without}\n{out / 'index.html'}")
