"""The command that tells at which threshold a model has a wanted false match rate."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facebench.cli.apps import Json, app, print_json

if TYPE_CHECKING:
    from facebench.run.thresholds import Threshold


@app.command()
def thresholds(
    result: Annotated[Path, typer.Argument(help="result.json of a run, or its folder.")],
    fmr: Annotated[list[float] | None, typer.Option(help="A wanted FMR; may be given several times.")] = None,
    as_json: Json = False,
) -> None:
    """Print the threshold for wanted false match rates, with intervals, in the scale of the model's own scores.

    Example: facebench thresholds out --fmr 1e-3 --fmr 1e-4
    """
    from facebench.cli.compare_commands import print_table
    from facebench.report import format as fmt
    from facebench.run.thresholds import thresholds as find

    found, rows = find(result, fmr or [1e-2, 1e-3, 1e-4])
    distances = found.model.distances
    if as_json:
        print_json(
            {"model": found.model.name, "result_id": found.result_id, "distances": distances,
             "thresholds": [asdict(row) for row in rows]}
        )  # fmt: skip
        return
    typer.echo(f"{found.model.name}: accept {'at or below' if distances else 'at or above'} the threshold")
    table = [["FMR", "threshold", "interval", "achieved FMR", "interval", "false matches", "notes"]]
    for row in rows:
        table.append(
            [
                fmt.target(row.fmr_target), f"{row.threshold:.6g}", _limits(row.low, row.high),
                fmt.fmr(row.fmr), fmt.interval(row.fmr_low, row.fmr_high, fmt.fmr),
                fmt.k_of_n(row.false_matches, row.n_impostor), _notes(row),
            ]
        )  # fmt: skip
    print_table(table)


def _notes(row: Threshold) -> str:
    notes = {
        "finer than one false match": not row.resolvable,
        "no limits: one person takes part in half of the impostor comparisons": row.leaning,
    }
    return "; ".join(words for words, said in notes.items() if said)


def _limits(low: float | None, high: float | None) -> str:
    """Return the interval of a threshold; a side on which nothing limits it is left open."""
    if low is None and high is None:
        return "–"
    return f"{'…' if low is None else f'{low:.6g}'} to {'…' if high is None else f'{high:.6g}'}"
