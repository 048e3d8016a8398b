"""The command line. Thin: every command parses its words, calls one function, and prints what came back."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, NoReturn

from facebench.errors import ExitCode, FaceBenchError

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
        render_commands,
        threshold_commands,
        zoo_commands,
    )
    from facebench.cli.apps import app

    return app


def main() -> NoReturn:
    """Run the command the process was started with, and exit with one of `ExitCode`."""
    app = application()
    try:
        code = app(standalone_mode=False)
    except FaceBenchError as error:
        code = _complain(str(error), error.exit_code)
    except KeyboardInterrupt:
        code = _complain("interrupted; run the same command again to go on from here", ExitCode.INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = ExitCode.PASS
    except Exception as error:
        if not hasattr(error, "format_message"):  # not a usage error of the command-line parser
            raise
        code = _complain(_usage(error), ExitCode.USAGE)
    sys.exit(int(code or 0))


def _usage(error: Exception) -> str:
    message: str = error.format_message()  # type: ignore[attr-defined]
    context = getattr(error, "ctx", None)
    return f"{message} Try: {context.command_path} --help" if context else message


def _complain(message: str, code: int) -> int:
    print(f"facebench: {message}", file=sys.stderr)  # noqa: T201 - this is the command line
    return int(code)
