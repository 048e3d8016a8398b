"""The commands under ``facebench data``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from facebench.cli.apps import Json, Workers, data_app, print_json
from facebench.errors import ExitCode

if TYPE_CHECKING:
    from facebench.data import DatasetReport

Source = Annotated[Path, typer.Argument(help="Folder, manifest, .bin or .zip; or builtin:NAME.")]


@data_app.command("check")
def data_check(path: Source, workers: Workers = 2, as_json: Json = False) -> None:
    """Say what a dataset holds and what is wrong with it; exit 2 if it has errors.

    Example: facebench data check ./faces
    """
    from dataclasses import asdict

    from facebench.cli.progress import ProgressPrinter
    from facebench.data import check_dataset, load_dataset
    from facebench.phantoms.shipped import builtin_path

    with ProgressPrinter("check") as progress:
        found = check_dataset(
            load_dataset(builtin_path(path)), workers, lambda done, total: progress.update("check", done, total)
        )
    if as_json:
        print_json(asdict(found))
    else:
        _print_report(found)
    if found.problems:
        raise typer.Exit(int(ExitCode.USAGE))


def _print_report(found: DatasetReport) -> None:
    typer.echo(found.summary)
    typer.echo(f"sha256: {found.sha256}")
    typer.echo(f"image sizes: {', '.join(f'{size} ({count:,})' for size, count in found.sizes.items())}")
    for group in found.groups:
        typer.echo(
            f"  {group.group}: {group.n_images:,} images, {group.n_genuine:,} genuine, {group.n_impostor:,} impostor"
        )
    for kind, texts in (("error", found.problems), ("warning", found.warnings)):
        for text in texts:
            typer.echo(f"{kind}: {text}")
    if not found.problems:
        typer.echo("No errors.")


@data_app.command("convert")
def data_convert(path: Source, out: Annotated[Path, typer.Argument(help="Folder to write.")]) -> None:
    """Copy any readable dataset into FaceBench's own layout: images/ and manifest.csv.

    Example: facebench data convert lfw.bin ./lfw
    """
    from facebench.cli.progress import ProgressPrinter
    from facebench.data import convert_dataset, load_dataset
    from facebench.phantoms.shipped import builtin_path

    with ProgressPrinter("convert") as progress:
        written = convert_dataset(
            load_dataset(builtin_path(path)), out, lambda done, total: progress.update("convert", done, total)
        )
    typer.echo(str(written))


@data_app.command("convert-embeddings")
def data_convert_embeddings(
    source: Annotated[Path, typer.Argument(help="Pickle, CSV or HDF5 of another tool.")],
    out: Annotated[Path, typer.Argument(help="The .npz to write.")],
    ids: Annotated[
        Literal["as-is", "name", "stem"],
        typer.Option(help="Keep ids as they are, the last part of a path, or that without its ending."),
    ] = "as-is",
) -> None:
    """Turn embeddings of another tool into a file FaceBench reads; nothing in a pickle is run.

    Example: facebench data convert-embeddings encodings.pkl encodings.npz
    """
    from facebench.models.foreign_embeddings import convert_embeddings

    done = convert_embeddings(source, out, ids)
    typer.echo(f"{out}: {done.n_rows:,} embeddings of {done.n_values} values")
    if done.n_missing:
        typer.echo(f"{done.n_missing:,} images have no vector (no face found); they count as failures")


@data_app.command("pairs")
def data_pairs(
    path: Source,
    out: Annotated[Path, typer.Argument(help="The list: a .csv to lay beside the images, or an insightface .bin.")],
    per_identity: Annotated[
        int | None, typer.Option(min=1, help="Genuine pairs of each identity, and as many impostor pairs; else all.")
    ] = None,
    folds: Annotated[int | None, typer.Option(min=2, help="Folds of different people.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draw.")] = 0,
) -> None:
    """Make a pair list from a dataset with identities.

    Example: facebench data pairs ./faces ./faces/pairs.csv --per-identity 3
    """
    from facebench.data import load_dataset, make_pairs, write_pairs
    from facebench.phantoms.shipped import builtin_path

    dataset = load_dataset(builtin_path(path))
    pairs = make_pairs(dataset, per_identity, folds, seed)
    write_pairs(dataset, pairs, out)
    genuine, folded = int(pairs.genuine.sum()), f" in {pairs.n_folds} folds" if pairs.n_folds else ""
    typer.echo(f"{out}: {len(pairs):,} pairs ({genuine:,} genuine){folded}")
