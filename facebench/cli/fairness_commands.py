"""The commands that say beforehand what data can show: ``facebench plan`` and ``facebench calibrate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facebench.cli.apps import Json, Workers, app, print_json
from facebench.cli.commands import bindings, print_table

if TYPE_CHECKING:
    from facebench.run.calibrate import Calibration, Design
    from facebench.run.plan import GroupingPlan, Plan


@app.command()
def plan(
    model: Annotated[str, typer.Argument(help="A model file (YAML) or a registered name.")],
    protocol: Annotated[str, typer.Argument(help="A protocol's name or the path of its YAML file.")],
    data: Annotated[list[str] | None, typer.Option("--data", metavar="NAME=PATH", help="Bind a dataset.")] = None,
    out: Annotated[
        Path, typer.Option(help="Folder the run would write to; holds the cache of unnamed weights.")
    ] = Path("out"),
    limit: Annotated[int | None, typer.Option(min=2, help="Plan for the first N images.")] = None,
    device: Annotated[str, typer.Option(help="cpu, or cuda where the adapter supports it.")] = "cpu",
    workers: Workers = 2,
    batch_size: Annotated[int, typer.Option(min=1, max=4096, help="Images per call of the model.")] = 32,
    trust_code: Annotated[bool, typer.Option("--trust-code", help="Run Python code the model file names.")] = False,
    as_json: Json = False,
) -> None:
    """Say what a run will cost and what its data can and cannot show, before anything is computed.

    Example: facebench plan my-model.yaml verification --data faces=./faces
    """
    from dataclasses import asdict

    from facebench.cli.progress import ProgressPrinter
    from facebench.cli.streams import prints_aside
    from facebench.execution.options import RunOptions
    from facebench.models import load_model
    from facebench.run.plan import plan as make_plan
    from facebench.run.protocols import load_protocol

    bound = bindings(data or [])
    loaded_protocol = load_protocol(protocol)
    options = RunOptions(out=out, limit=limit, device=device, workers=workers, batch_size=batch_size)
    with ProgressPrinter("plan"), prints_aside():
        loaded = load_model(model, device=device, trust_code=trust_code)
        found = make_plan(loaded, loaded_protocol, bound, options)
    if as_json:
        plain = asdict(found)
        print_json(
            {**plain, "unmeasured": [gap.model_dump() for gap in found.unmeasured], "seconds": round(found.seconds, 1)}
        )
        return
    _print_plan(found)


def _print_plan(found: Plan) -> None:
    from facebench.run.plan import ASSUMED_FNMR, sentences

    people = "unknown identities" if found.n_identities is None else f"{found.n_identities:,} identities"
    typer.echo(f"{found.model} under {found.protocol}: {found.n_images:,} images of {people}")
    typer.echo(f"Comparisons: {found.n_genuine:,} genuine, {found.n_impostor:,} impostor")
    speed = found.seconds_per_image
    timed = "stored embeddings" if speed is None else f"{1000 * speed:.1f} ms an image, timed on a small batch"
    typer.echo(f"Embeddings: {found.n_cached:,} of {found.n_images:,} in the cache; {timed}")
    for part in found.parts:
        typer.echo(f"  {part.what}: {_duration(part.seconds)}")
    typer.echo(f"Time: about {_duration(found.seconds)}")
    typer.echo(f"Memory: {'cannot be told at this size' if found.memory_mib is None else _memory(found.memory_mib)}")
    for grouping in found.groupings:
        typer.echo(f"\nBy {grouping.name}")
        print_table(_grouping_rows(found, grouping))
        ratios = zip(found.fmr_targets, grouping.fmr_ratio, strict=True)
        shown = "; ".join(f"{_ratio(ratio)} at FMR {target:g}" for target, ratio in ratios)
        typer.echo(f"Smallest FMR ratio seen with 80% power: {shown}")
        if grouping.fnmr_ratio is not None:
            typer.echo(f"Smallest FNMR ratio, were the FNMR {ASSUMED_FNMR:g}: {_ratio(grouping.fnmr_ratio)}")
    lines = sentences(found)
    if lines:
        typer.echo("\nWhat this data cannot show:")
        for line in lines:
            typer.echo(f"- {line}")


def _grouping_rows(found: Plan, grouping: GroupingPlan) -> list[list[str]]:
    from facebench.report.format import target
    from facebench.run.plan import needed_for_double

    heads = [f"errors at {target(t)} (needed for ratio 2)" for t in found.fmr_targets]
    rows = [["group", "identities", "genuine", "impostor", *heads]]
    for group in grouping.groups:
        needed = zip(group.expected_errors, needed_for_double(group), strict=True)
        cells = [f"{errors:,.0f} ({need:,.0f})" for errors, need in needed]
        people = "?" if group.n_identities is None else f"{group.n_identities:,}"
        rows.append([group.name, people, f"{group.n_genuine:,}", f"{group.n_impostor:,}", *cells])
    return rows


def _ratio(ratio: float | None) -> str:
    return "none" if ratio is None or ratio > 1000 else f"{ratio:.2f}"


def _memory(mib: float) -> str:
    return f"about {mib:,.0f} MiB" if mib < 2048 else f"about {mib / 1024:,.1f} GiB"


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


@app.command()
def calibrate(
    data: Annotated[Path | None, typer.Argument(help="A dataset whose identities and groups are the design.")] = None,
    by: Annotated[str | None, typer.Option(help="Column of the dataset; default: its first column of words.")] = None,
    identities: Annotated[
        str, typer.Option(help="Without a dataset: identities per group, such as 100,100,40.")
    ] = "100,100,100,100",
    images: Annotated[int, typer.Option(min=1, help="Without a dataset: images of each identity.")] = 4,
    fmr: Annotated[
        float, typer.Option(min=1e-7, max=0.5, help="False match rate of the groups that are alike.")
    ] = 1e-2,
    fnmr: Annotated[float, typer.Option(min=1e-5, max=0.5, help="Their false non-match rate.")] = 0.05,
    ratio: Annotated[list[float] | None, typer.Option(help="Planted ratio; default: 1, 1.5, 2, 5 and 10.")] = None,
    identity_share: Annotated[
        float, typer.Option(min=0, max=0.95, help="Share of the score variance due to the two identities.")
    ] = 0.3,
    pair_share: Annotated[
        float, typer.Option(min=0, max=0.95, help="Share due to the pair of identities, beyond each of them.")
    ] = 0.2,
    seeds: Annotated[int, typer.Option(min=20, help="Repetitions per ratio.")] = 200,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the simulation.")] = 0,
    as_json: Json = False,
) -> None:
    """Simulate a design with known differentials: do intervals hold, how often is a false alarm raised, what is seen?

    Example: facebench calibrate ./faces --by race --fmr 1e-3
    """
    from dataclasses import asdict

    from facebench.cli.progress import ProgressPrinter
    from facebench.errors import InputError
    from facebench.metrics.power import Shares
    from facebench.run.calibrate import RATIOS, Design, design_of
    from facebench.run.calibrate import calibrate as simulate

    if identity_share + pair_share >= 1:
        raise InputError("--identity-share and --pair-share must sum to less than 1: the rest is noise")
    shares = Shares(identity_share, pair_share)
    if data is not None:
        design = design_of(data, by, fmr=fmr, fnmr=fnmr, shares=shares)
    else:
        groups = {f"group {i + 1}": (images,) * n for i, n in enumerate(_sizes(identities))}
        design = Design(groups, fmr=fmr, fnmr=fnmr, shares=shares)
    ratios = tuple(ratio) if ratio else tuple(r for r in RATIOS if fmr * r < 1)
    with ProgressPrinter() as progress:
        found = simulate(
            design, ratios=ratios, seeds=seeds, seed=seed,
            progress=progress.update,
        )  # fmt: skip
    if as_json:
        print_json({"design": asdict(design), **asdict(found)})
    else:
        _print_calibration(design, found)


def _sizes(words: str) -> list[int]:
    from facebench.errors import InputError

    try:
        sizes = [int(word) for word in words.split(",")]
    except ValueError:
        sizes = []
    if len(sizes) < 2 or min(sizes) < 2:
        raise InputError(f"--identities {words!r}: write at least two counts of 2 or more, such as 100,100,40")
    return sizes


def _print_calibration(design: Design, found: Calibration) -> None:
    people = ", ".join(f"{name} {len(images):,}" for name, images in design.groups.items())
    typer.echo(f"Identities: {people}; {sum(sum(images) for images in design.groups.values()):,} images")
    typer.echo(
        f"FMR {design.fmr:g}, FNMR {design.fnmr:g}; {100 * design.shares.identity:.0f}% of the score variance due to "
        f"identities, {100 * design.shares.pair:.0f}% to their pairs; {found.seeds} repetitions per ratio\n"
    )
    rows = [["planted ratio", "rate", "coverage", "worst group", "of the gap", "of the ratio", "stated", "cannot tell"]]
    for outcome in found.outcomes:
        for name, kind in (("FMR", outcome.fmr), ("FNMR", outcome.fnmr)):
            if kind is None:
                continue
            shares = (kind.coverage, kind.worst_coverage, kind.gap_coverage, kind.ratio_coverage)
            told = (f"{100 * kind.flagged:.1f}%", f"{100 * kind.undecided:.1f}%")
            rows.append([f"{outcome.ratio:g}", name, *(f"{share:.3f}" for share in shares), *told])
    print_table(rows)
    typer.echo(
        f"\nFalse alarms: an FMR differential was stated in {found.false_alarms} of {found.seeds} repetitions without "
        f"one (at most {100 * found.false_alarm_bound:.1f}%)."
    )
    if found.detectable_ratio is None:
        typer.echo("Smallest ratio of FMR stated in 80% of repetitions: none, however large.")
    else:
        typer.echo(f"Smallest ratio of FMR stated in 80% of repetitions: about {found.detectable_ratio:.2f}.")
    if found.predicted_ratio is not None:
        typer.echo(f"The rule of `facebench plan` for two groups and one test: {found.predicted_ratio:.2f}.")
