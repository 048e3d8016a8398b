"""The commands under ``facebench zoo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facebench.cli.apps import Json, print_json, zoo_app
from facebench.errors import InputError


@zoo_app.command("list")
def zoo_list(as_json: Json = False) -> None:
    """List the reference models, and what was planted in those that are positive controls.

    Example: facebench zoo list
    """
    from facebench.models.zoo.catalogue import describe

    rows = describe()
    if as_json:
        print_json(rows)
        return
    width = max(len(row["name"]) for row in rows)
    for row in rows:
        typer.echo(f"{row['name'].ljust(width)}  {row['summary']}")
        if row["planted"]:
            typer.echo(f"{' ' * width}  planted: {row['planted']}")


@zoo_app.command("train")
def zoo_train(
    name: Annotated[str, typer.Argument(help="A reference model; facebench zoo list names them.")],
    out: Annotated[Path, typer.Option(help="File for the weights (safetensors).")],
    seed: Annotated[int | None, typer.Option(min=0, help="Another seed than the model's own.")] = None,
    as_json: Json = False,
) -> None:
    """Train a reference model again, from rendered training identities and with its fixed seed.

    The rendered faces are kept in the cache and shared by all trainings.

    Example: facebench zoo train phantom-arcface --out arcface.safetensors
    """
    from facebench.cli.progress import ProgressPrinter
    from facebench.errors import UnknownNameError
    from facebench.files import sha256_file
    from facebench.models.zoo.by_name import train_model
    from facebench.models.zoo.catalogue import LOADERS

    if name not in LOADERS:
        raise UnknownNameError("reference model", name, LOADERS)
    if out.is_dir():
        raise InputError(f"--out {out} is a folder; name a file, for example {out / (name + '.safetensors')}")
    with ProgressPrinter() as progress:
        log = train_model(name, out, progress.update, seed=seed)
    if as_json:
        print_json({"weights": str(out), "sha256": sha256_file(out), **log})
        return
    if "wall_s" in log:
        seen = f"{log['images_seen']:,} images of {log['identities']} identities"
        fell = f"loss {log['first_loss']:.3f} to {log['last_loss']:.3f}"
        typer.echo(f"Trained in {log['wall_s']:.0f} s on {seen}; {fell}.")
    typer.echo(str(out))
