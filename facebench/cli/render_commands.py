"""The command ``facebench data render``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facebench.cli.apps import Workers, data_app
from facebench.errors import InputError

Shares = Annotated[list[str] | None, typer.Option(help="Shares of one attribute: sex=female:0.7,male:0.3. Repeatable.")]
Worn = Annotated[list[str] | None, typer.Option(help="Probability per image: glasses=0.2. Repeatable.")]
Sweeps = Annotated[
    list[str] | None,
    typer.Option(help="Sweep an attribute of the first image: tone=0.1,0.9; tone (usual levels); all. Repeatable."),
]
Parts = Annotated[str | None, typer.Option(help="Swap parts of the first image with a far donor: eyes,nose; all.")]
Conditions = Annotated[
    bool, typer.Option("--conditions", help="Write pictures of every corruption, occlusion and geometry, nothing else.")
]
Source = Annotated[
    Path | None, typer.Option("--from", help="With --conditions: the dataset of the faces; default: phantom faces.")
]


@data_app.command("render")
def data_render(
    out: Annotated[Path, typer.Argument(help="Folder to write; with --set a .zip file.")],
    identities: Annotated[int, typer.Option(help="How many people.")] = 20,
    images: Annotated[int, typer.Option(help="Images of each.")] = 5,
    tier: Annotated[str, typer.Option(help="easy, default or hard.")] = "default",
    seed: Annotated[int, typer.Option()] = 0,
    first_identity: Annotated[int, typer.Option(help="Number of the first; ranges apart share nobody.")] = 0,
    size: Annotated[int, typer.Option(help="Pixels: 112 or 224.")] = 112,
    attribute: Shares = None,
    full_cross: Annotated[
        bool, typer.Option("--full-cross", help="Equally many in each sex x tone x age cell.")
    ] = False,
    accessory: Worn = None,
    counterfactual: Sweeps = None,
    part_swaps: Parts = None,
    labels: Annotated[bool, typer.Option("--labels", help="Also write region maps.")] = False,
    landmarks68: Annotated[bool, typer.Option("--landmarks68", help="Also write 68 landmarks.")] = False,
    contact_sheet: Annotated[bool, typer.Option("--contact-sheet", help="Also write contact-sheet.png.")] = False,
    shipped: Annotated[str | None, typer.Option("--set", help="Build a shipped set again: phantom-v1, ...")] = None,
    conditions: Conditions = False,
    source: Source = None,
    workers: Workers = 2,
) -> None:
    """Render phantom faces with known identity, attributes and regions; an interrupted run goes on where it was.

    Example: facebench data render ./phantoms --identities 50 --images 6 --attribute sex=female:0.7,male:0.3
    """
    from facebench.cli.progress import ProgressPrinter
    from facebench.phantoms import write_dataset
    from facebench.phantoms.shipped import build
    from facebench.phantoms.words import read_parts, read_shares, read_sweeps, read_worn

    if conditions or source is not None:
        _render_conditions(out, source, conditions, seed)
        return
    with ProgressPrinter() as progress:
        if shipped is not None:
            build(shipped, out, lambda done, total: progress.update("render", done, total), workers=workers)
            typer.echo(str(out))
            return
        if size not in (112, 224):
            raise InputError(f"size is {size}; choose 112 or 224")
        written = write_dataset(
            out, identities=identities, images_per_identity=images, seed=seed, tier=tier,
            first_identity=first_identity, size=size, attributes=read_shares(attribute or []), full_cross=full_cross,
            accessories=read_worn(accessory or []), sweeps=read_sweeps(counterfactual or []),
            part_swaps=read_parts(part_swaps), labels=labels, landmarks68=landmarks68, sheet=contact_sheet,
            workers=workers, progress=lambda done, total: progress.update("render", done, total),
        )  # fmt: skip
    typer.echo(str(written))


def _render_conditions(out: Path, source: Path | None, conditions: bool, seed: int) -> None:
    from facebench.sections.robustness.sheets import write_condition_sheets

    if not conditions:
        raise InputError("--from names the faces of a contact sheet; say --conditions as well")
    for path in write_condition_sheets(out, source, seed=seed):
        typer.echo(str(path))
