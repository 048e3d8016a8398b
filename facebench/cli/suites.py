"""What ``facebench run`` does with the file of a suite."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from facebench.cli.apps import print_json
from facebench.errors import ExitCode, InputError

if TYPE_CHECKING:
    from facebench.execution.options import RunOptions
    from facebench.run.suites import Suite
    from facebench.schema.suite import SuiteRecord


def run_suite(model: str, suite: Suite, data: Mapping[str, Path], options: RunOptions) -> SuiteRecord:
    """Load the model once and run every protocol of the suite."""
    from facebench.models import load_model
    from facebench.models.scores import is_score_reference
    from facebench.run.suites import evaluate_suite

    if is_score_reference(model):
        raise InputError(f"{model} holds the scores of one list of comparisons; run it under a protocol, not a suite")
    loaded = load_model(model, device=options.device, trust_code=options.trust_code)
    return evaluate_suite(loaded, suite, data, options)


def say_suite(record: SuiteRecord, out: Path, *, as_json: bool) -> None:
    """Say what came of each protocol, and end with the exit code of the first that failed."""
    from facebench.run.suites import INDEX, RECORD, exit_code

    code = exit_code(record)
    if as_json:
        print_json(record.model_dump(mode="json"))
    else:
        for member in record.members:
            typer.echo(f"{member.protocol}: {member.verdict if member.error is None else f'failed: {member.error}'}")
        typer.echo(f"\nRecord: {out / RECORD}\nPage: {out / INDEX}")
    if code is not ExitCode.PASS:
        raise typer.Exit(int(code))
