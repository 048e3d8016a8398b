"""The command line. Thin: every command parses its words, calls one function, and prints what came back."""

from __future__ import annotations

import atexit
import gc
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn

from facebench.errors import ExitCode

if TYPE_CHECKING:
    import typer


def application() -> typer.Typer:
    """Return the command line with every command."""
    from facebench.cli import (  # noqa: F401 - they add their commands to the app
        board_commands,
        commands,
        compare_commands,
        data_commands,
        fairness_commands,
        list_commands,
        render_commands,
        threshold_commands,
        zoo_commands,
    )
    from facebench.cli.apps import app

    return app


def main() -> NoReturn:
    """Run the command the process was started with, and exit with one of `ExitCode`."""
    from facebench.cli.ending import no_early_exit, sigterm_as_error
    from facebench.cli.streams import leave_output, visible_streams

    gc.set_threshold(200_000, 20, 100)  # lists of millions of rows make many objects and hardly a circle
    with visible_streams(), no_early_exit(), sigterm_as_error():
        code = _run()
    atexit.register(leave_output)
    sys.exit(code)


def _run() -> int:
    """Run the command and return its exit code; whatever ends it is told on standard error."""
    from facebench.cli.ending import ending

    try:
        code = _invoke()
        sys.stdout.flush()
    except BrokenPipeError:
        _drop_output()
        return int(ExitCode.PASS)
    except BaseException as error:  # the outermost handler: nothing leaves without a sentence and an exit code
        message, code = ending(error)
        print(f"facebench: {message}", file=sys.stderr)  # noqa: T201 - this is the command line
    return int(code)


def _invoke() -> int:
    """Run the command as the parser of the command line has it, without the parser's own handling of errors."""
    import typer

    try:
        with typer.main.get_command(application()).make_context("facebench", sys.argv[1:], color=True) as context:
            context.command.invoke(context)
    except typer.Exit as done:
        return int(done.exit_code)
    return int(ExitCode.PASS)


def _drop_output() -> None:
    """Send what is left for standard output nowhere: its reader is gone."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
