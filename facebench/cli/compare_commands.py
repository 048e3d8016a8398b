"""The commands that hold results against each other: compare and gate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from facebench.cli.apps import Json, app


@app.command()
def compare(
    results: Annotated[list[Path], typer.Argument(help="result.json files or their folders; the first is the base.")],
    out: Annotated[Path, typer.Option(help="Folder for comparison.json and comparison.html.")] = Path("comparison"),
    markdown: Annotated[Path | None, typer.Option(help="Also write the comparison as Markdown to this file.")] = None,
    as_json: Json = False,
) -> None:
    """Hold two to eight results against the first of them, on the same comparisons.

    Example: facebench compare out/float out/int8 --out out/comparison
    """
    from facebench.cli.progress import ProgressPrinter
    from facebench.comparison.compare import compare_results
    from facebench.comparison.differences import comparison_markdown, comparison_rows, comparison_sentences
    from facebench.comparison.page import write_comparison
    from facebench.files import write_atomic

    with ProgressPrinter("compare"):
        found, loaded = compare_results(results)
    text = found.model_dump_json(indent=1) + "\n"
    write_atomic(out / "comparison.json", text)
    page = write_comparison(found, loaded, out / "comparison.html")
    if markdown is not None:
        write_atomic(markdown, comparison_markdown(found))
    if as_json:
        typer.echo(text, nl=False)
        return
    for sentence in comparison_sentences(found):
        typer.echo(sentence)
    typer.echo()
    print_table(comparison_rows(found))
    typer.echo(f"\nComparison: {out / 'comparison.json'}\nReport: {page}")


@app.command()
def gate(
    base: Annotated[Path, typer.Argument(help="result.json of the model in use, or its folder.")],
    candidate: Annotated[Path, typer.Argument(help="result.json of the model that is to replace it, or its folder.")],
    policy: Annotated[str, typer.Option(help="A policy file, or the name of a shipped one: no-regression.")],
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML to this file.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Append a Markdown summary to this file.")] = None,
    verdict_file: Annotated[
        Path | None, typer.Option("--verdict", help="Write the verdict as JSON to this file.")
    ] = None,
    annotations: Annotated[
        bool, typer.Option("--annotations", help="Print GitHub annotations, at most ten, worst first.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Decide whether a candidate may replace a base: exit 0 pass, 1 regression, 3 cannot tell, 4 not comparable.

    Example: facebench gate out/float out/int8 --policy policy.yaml --junit gate.xml
    """
    from facebench.cli.progress import ProgressPrinter
    from facebench.comparison.compare import compare_results
    from facebench.files import write_atomic
    from facebench.gate import check_gate, load_policy
    from facebench.gate import output as words

    rules = load_policy(policy)
    with ProgressPrinter("compare"):
        comparison, results = compare_results([base, candidate])
        verdict = check_gate(comparison, results[1], rules)
    if verdict_file is not None:
        write_atomic(verdict_file, verdict.model_dump_json(indent=1) + "\n")
    if junit is not None:
        write_atomic(junit, words.junit(verdict))
    if markdown is not None:
        before = markdown.read_text(encoding="utf-8") if markdown.is_file() else ""
        write_atomic(markdown, before + words.gate_markdown(verdict))
    if as_json:
        typer.echo(verdict.model_dump_json(indent=1))
    else:
        for line in words.verdict_lines(verdict):
            typer.echo(line)
        typer.echo()
        print_table(words.gate_rows(verdict))
    if annotations:
        for line in words.github_annotations(verdict):
            typer.echo(line, err=as_json)
    raise typer.Exit(int(verdict.exit_code))


def print_table(rows: Sequence[Sequence[str]]) -> None:
    """Print rows of words in columns."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
