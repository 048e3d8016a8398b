"""How the process ends: every error and signal as one sentence and one of `ExitCode`; never silently with 0."""

from __future__ import annotations

import errno
import os
import platform
import shlex
import signal
import sys
import sysconfig
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import NoReturn

from facebench.errors import ExitCode, FaceBenchError, PluginError, WriteError
from facebench.files import cache_dir, printable, write_atomic

_GO_ON = "what is finished is kept: run the same command again to go on from here"
_PACKAGE = Path(__file__).resolve().parents[1]


class TerminatedError(KeyboardInterrupt):
    """The process was asked to end (SIGTERM); whatever lets Ctrl-C through lets this through."""


def ending(error: BaseException) -> tuple[str, ExitCode]:
    """Return what is said about an error that ended a command, and the exit code."""
    if isinstance(error, PluginError):
        return _fault(error), error.exit_code
    if isinstance(error, FaceBenchError):
        return str(error), error.exit_code
    if isinstance(error, TerminatedError):
        return f"ended by SIGTERM; {_GO_ON}", ExitCode.TERMINATED
    if isinstance(error, KeyboardInterrupt):
        return f"interrupted; {_GO_ON}", ExitCode.INTERRUPTED
    if isinstance(error, SystemExit):
        return (
            f"the program was ended from within, with exit code {error.code!r}, before the command was done"
            f"{_raised_in(error)}; a model or a plug-in must return or raise an error",
            ExitCode.USAGE,
        )
    if hasattr(error, "format_message"):  # a usage error of the command-line parser
        return _usage(error), ExitCode.USAGE
    if isinstance(error, MemoryError):
        return f"not enough memory{_raised_in(error)}; {_GO_ON}, with --batch-size or --workers smaller", (
            ExitCode.INCOMPLETE
        )
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"no space left on the disk ({error}); free some; {_GO_ON}", ExitCode.INCOMPLETE
    return _defect(error), ExitCode.DEFECT


def _usage(error: BaseException) -> str:
    message: str = error.format_message()  # type: ignore[attr-defined]
    context = getattr(error, "ctx", None)
    return f"{message} Try: {context.command_path} --help" if context else message


def _fault(error: PluginError) -> str:
    """Name the plug-in, and the file that holds the traceback of what it raised, for whoever wrote it."""
    if error.__cause__ is None:
        return str(error)
    path = _write_report("".join(traceback.format_exception(error.__cause__)))
    where = f"; the traceback is in {printable(path)}" if path else ""
    return f"{error}{_raised_in(error.__cause__)}{where}"


def _defect(error: BaseException) -> str:
    """Write the traceback to a file, and return the sentence that names it."""
    text = "".join(traceback.format_exception(error))
    said = f"{type(error).__name__}: {error}"
    path = _write_report(text)
    if path is None:
        sys.stderr.write(text)
        where = "The traceback stands above"
    else:
        where = f"The traceback is in {printable(path)}"
    return (
        f"this is a defect of FaceBench, or of a plug-in it ran: {said[:500]}{_raised_in(error)}. {where}; "
        f"please report it with that text. What was finished is kept."
    )


def _raised_in(error: BaseException) -> str:
    """Name the line an error came from: the last one that is not of an installed package, else the last."""
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return ""
    installed = tuple(sysconfig.get_path(key) for key in ("stdlib", "purelib", "platlib"))
    own = [frame for frame in frames if _is_own(frame.filename) or not frame.filename.startswith(installed)]
    frame = (own or list(frames))[-1]
    return f" (in {printable(frame.filename)}, line {frame.lineno})"


def _is_own(name: str) -> bool:
    return Path(name).is_relative_to(_PACKAGE)


def _write_report(text: str) -> Path | None:
    """Write what a maintainer needs; None when there is nowhere to write."""
    from facebench.execution.environment import facebench_version

    facts = f"facebench {facebench_version()}, Python {platform.python_version()}, {platform.platform()}\n"
    command = f"command: {shlex.join(['facebench', *sys.argv[1:]])}\n\n"
    content = (facts + command + text).encode("utf-8", "backslashreplace")
    name = f"defect-{datetime.now(UTC):%Y%m%d-%H%M%S}-{os.getpid()}.txt"
    for folder in (cache_dir() / "defects", Path(tempfile.gettempdir())):
        with suppress(WriteError):
            write_atomic(folder / name, content)
            return folder / name
    return None


@contextmanager
def no_early_exit() -> Iterator[None]:
    """Let ``os._exit`` in this process end as an error: a model that calls it would end a run with no word at all.

    Processes that are forked from this one leave by it as ever.
    """
    own, leave = os.getpid(), os._exit
    places = (os, sys.modules[os.name])  # os has it from posix

    def refuse(code: int) -> NoReturn:
        if os.getpid() != own:
            leave(code)
        raise SystemExit(code)

    for module in places:
        module._exit = refuse  # type: ignore[attr-defined]
    try:
        yield
    finally:
        for module in places:
            module._exit = leave  # type: ignore[attr-defined]


@contextmanager
def sigterm_as_error() -> Iterator[None]:
    """Let SIGTERM end the command as Ctrl-C does: cleaned up, with a message and exit code 143."""
    own = os.getpid()

    def terminated(number: int, _frame: FrameType | None) -> None:
        if os.getpid() != own:  # a forked worker
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        raise TerminatedError

    before: Callable[[int, FrameType | None], object] | int | None
    try:
        before = signal.signal(signal.SIGTERM, terminated)
    except ValueError:  # not the main thread, which alone may set handlers
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
