"""The commands. Everything heavy is imported inside them, so that ``--help`` is quick."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from facebench.cli.apps import Json, Workers, app, print_json
from facebench.errors import ExitCode, InputError
from facebench.files import is_folder


@app.callback(invoke_without_command=True)
def top(version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False) -> None:
    """Judge face-recognition models."""
    if version:
        from facebench.execution.environment import facebench_version

        typer.echo(f"facebench {facebench_version()}")
        raise typer.Exit


@app.command()
def run(
    model: Annotated[str, typer.Argument(help="A model file (YAML), a registered name, or scores:FILE.")],
    protocol: Annotated[str, typer.Argument(help="A protocol's name, or the path of its YAML file or of a suite's.")],
    data: Annotated[list[str] | None, typer.Option("--data", metavar="NAME=PATH", help="Bind a dataset.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the result.")] = Path("out"),
    seed: Annotated[int, typer.Option(min=0, help="Seed of the bootstrap.")] = 0,
    limit: Annotated[
        int | None, typer.Option(min=2, help="Use only the first N images; such a run never ranks.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, or cuda where the adapter supports it.")] = "cpu",
    workers: Workers = 2,
    executor: Annotated[
        str, typer.Option(help="Where all pairs of many images are compared: local, dask:tcp://HOST:PORT, ray:auto.")
    ] = "local",
    batch_size: Annotated[int, typer.Option(min=1, max=4096, help="Images per call of the model.")] = 32,
    compat: Annotated[
        list[str] | None,
        typer.Option(help="Also report TAR under another tool's rule: insightface, bob, pyeer, quantile."),
    ] = None,
    trust_code: Annotated[bool, typer.Option("--trust-code", help="Run Python code the model file names.")] = False,
    second_model: Annotated[
        Path | None, typer.Option(help="Result of another model on the same images, which chooses look-alikes.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure a model under a protocol.

    Example: facebench run my-model.yaml verification --data faces=./faces --out out/my-model
    """
    from facebench.cli.progress import ProgressPrinter
    from facebench.cli.streams import prints_aside
    from facebench.cli.suites import run_suite, say_suite
    from facebench.execution.lock import refuse_second_run
    from facebench.execution.options import RunOptions
    from facebench.models import load_model
    from facebench.models.scores import is_score_reference, load_scored_model
    from facebench.report.summary import summary_rows
    from facebench.run.evaluate import evaluate
    from facebench.run.external_scores import evaluate_scores
    from facebench.run.needs import unmet_needs
    from facebench.run.protocols import load_protocol
    from facebench.run.report import verdict_sentences, write_report
    from facebench.run.suites import load_suite

    bound = bindings(data or [])
    suite = load_suite(protocol)
    if suite is None:
        loaded_protocol = load_protocol(protocol)
    refuse_second_run(out)
    with ProgressPrinter("start") as progress, prints_aside():
        options = RunOptions(
            out=out, seed=seed, limit=limit, device=device, workers=workers, batch_size=batch_size,
            compat=tuple(compat or ()), trust_code=trust_code, model_reference=model, progress=progress.update,
            second_model=second_model, executor=executor,
        )  # fmt: skip
        if suite is not None:
            record = run_suite(model, suite, bound, options)
        elif is_score_reference(model):
            if bound:
                raise InputError(f"{model} brings its own comparisons; leave out --data")
            result = evaluate_scores(load_scored_model(model), loaded_protocol, options)
        else:
            loaded = load_model(model, device=device, trust_code=trust_code)
            for gap in unmet_needs(loaded, loaded_protocol.spec):
                typer.echo(f"Will not be measured: {gap.what}: {gap.why}", err=True)
            result = evaluate(loaded, loaded_protocol, bound, options)
        if suite is None:
            progress.update("report", 0, 1)
            report = write_report(result, out / "report.html")
    if suite is not None:
        say_suite(record, out, as_json=as_json)
        return
    if as_json:
        print_json({"result": str(out / "result.json"), "report": str(report), "result_id": result.result_id})
        return
    for sentence in verdict_sentences(result):
        typer.echo(sentence)
    typer.echo()
    print_table(summary_rows(result))
    if result.failures:
        typer.echo(f"\n{len(result.failures)} images could not be used; see the report.")
    typer.echo(f"\nResult: {out / 'result.json'}\nReport: {report}")


def bindings(words: list[str]) -> dict[str, Path]:
    """Return the datasets that NAME=PATH words bind."""
    bound: dict[str, Path] = {}
    for word in words:
        name, equals, path = word.partition("=")
        if not equals or not name or not path:
            raise InputError(f"--data {word!r}: write NAME=PATH, for example --data faces=./faces")
        if name in bound:
            raise InputError(f"--data: {name!r} is bound twice")
        bound[name] = Path(path)
    return bound


def print_table(rows: list[list[str]]) -> None:
    """Print rows of words as aligned columns."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


@app.command()
def rescore(
    result: Annotated[Path, typer.Argument(help="result.json, or the folder it lies in.")],
    out: Annotated[Path | None, typer.Option(help="Write the recomputed result to this file.")] = None,
    as_json: Json = False,
) -> None:
    """Recompute every number of a result from its saved embeddings; exit 1 if any differs by more than rounding.

    Example: facebench rescore out/my-model/result.json
    """
    from facebench.cli.progress import ProgressPrinter
    from facebench.leaderboard.problems import unequal_estimates
    from facebench.measure.saved import save_result
    from facebench.run.evaluate import rescore as recompute

    with ProgressPrinter("recompute") as progress:
        stored, fresh = recompute(result, progress.update)
    if out is not None:
        save_result(fresh, out)
    n = len(stored.estimates)
    identical = [e.model_dump_json() for e in stored.estimates] == [e.model_dump_json() for e in fresh.estimates]
    wrong = [] if identical else [f"{p.field}: {p.why}" for p in unequal_estimates(stored.estimates, fresh.estimates)]
    if as_json:
        print_json({"identical": identical, "agrees": not wrong, "estimates": n, "differing": wrong[:100]})
    elif identical:
        typer.echo(f"All {n:,} estimates are identical to the bytes.")
    elif not wrong:
        typer.echo(
            f"All {n:,} estimates agree: counts are equal, other figures to 1e-6. Sums are rounded otherwise with "
            "another processor or number of threads."
        )
    else:
        typer.echo(f"{len(wrong):,} figures of {n:,} estimates differ:")
        for line in wrong[:10]:
            typer.echo(f"  {line}")
    if wrong:
        raise typer.Exit(int(ExitCode.REGRESSION))


@app.command()
def report(
    result: Annotated[Path, typer.Argument(help="result.json, or the folder it lies in.")],
    out: Annotated[Path | None, typer.Option(help="The HTML file; default: report.html beside the result.")] = None,
) -> None:
    """Write the HTML report of a result again.

    Example: facebench report out/my-model/result.json
    """
    from facebench.measure.saved import load_result
    from facebench.run.report import write_report

    folder = result if is_folder(result) else result.parent
    typer.echo(str(write_report(load_result(result), out or folder / "report.html")))


@app.command()
def figures(
    result: Annotated[Path, typer.Argument(help="result.json, or the folder it lies in.")],
    out: Annotated[Path | None, typer.Option(help="Folder of the figures; default: figures beside the result.")] = None,
    format: Annotated[str, typer.Option(help="pdf, svg, png or eps.")] = "pdf",
) -> None:
    """Draw the figures of a result for papers: DET, scores, groups, matrix, attacks, regions, classes.

    Example: facebench figures out/my-model --format pdf
    """
    from facebench.measure.saved import load_result
    from facebench.run.figures import draw_figures

    folder = result if is_folder(result) else result.parent
    for path in draw_figures(load_result(result), out or folder / "figures", kind=format):
        typer.echo(str(path))


@app.command()
def check(
    model: Annotated[str, typer.Argument(help="A model file (YAML) or a registered name.")],
    data: Annotated[
        Path | None, typer.Option(help="Dataset, with identities for a recogniser; default: phantom faces.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, or cuda where the adapter supports it.")] = "cpu",
    trust_code: Annotated[bool, typer.Option("--trust-code", help="Run Python code the model file names.")] = False,
    as_json: Json = False,
) -> None:
    """Look for wrong colours, wrong normalisation, NaN, instability, unaligned faces and scores without meaning; exit 1
    if any is found. Of a model that answers: NaN, batches, probabilities, mirrored faces and the order of its classes.

    Example: facebench check my-model.yaml
    """
    from facebench.cli.progress import ProgressPrinter
    from facebench.cli.streams import prints_aside
    from facebench.models import load_model
    from facebench.models.preflight import check_model
    from facebench.models.preflight_heads import check_heads
    from facebench.run.preflight import check_pipeline, sample_faces, sample_pictures

    with ProgressPrinter("check"), prints_aside():
        loaded = load_model(model, device=device, trust_code=trust_code)
        if loaded.card.outputs:
            findings = check_heads(loaded, *sample_pictures(data, loaded.card.input))
        else:
            faces, identities = sample_faces(data)
            findings = check_model(loaded, faces, identities)
            if all(finding.passed for finding in findings[:2]):
                findings += check_pipeline(loaded, faces, identities)
    if as_json:
        print_json([vars(finding) for finding in findings])
    else:
        for finding in findings:
            word = "ok  " if finding.passed else "WARN" if finding.warning else "FAIL"
            typer.echo(f"{word}  {finding.name}: {finding.detail}")
            if not finding.passed:
                typer.echo(f"      likely cause: {finding.likely_cause}")
    if not all(finding.passed or finding.warning for finding in findings):
        raise typer.Exit(int(ExitCode.REGRESSION))


@app.command()
def doctor(as_json: Json = False) -> None:
    """Say what FaceBench runs with and where it keeps its files.

    Example: facebench doctor
    """
    from facebench.execution import environment
    from facebench.files import asset_dir, cache_dir

    sha, dirty = environment.git_state()
    found = {
        "facebench": environment.facebench_version(),
        "commit": sha and f"{sha}{' (changed)' if dirty else ''}",
        "python": environment.python_version(),
        "platform": environment.describe_platform(),
        "processors": os.cpu_count(),
        "packages": environment.packages(),
        "protocols": str(asset_dir("protocols")),
        "cache": str(cache_dir()),
    }
    if as_json:
        print_json(found)
        return
    for key, value in found.items():
        shown = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else value
        typer.echo(f"{key}: {shown}")
