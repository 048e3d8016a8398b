"""The exception tree and the exit codes.

    FaceBenchError                exit 2   anything FaceBench refuses or cannot do
    ├── InputError                exit 2   a file, an option or a dataset is wrong
    │   ├── UnknownNameError      exit 2   a name that is not registered, with a suggestion
    │   └── PluginError           exit 2   a plug-in raised, or is not what FaceBench asks for
    ├── ModelError                exit 2   the model cannot be loaded, or returns what it must not
    ├── IncompleteError           exit 3   the work could not be finished; running again resumes it
    │   └── WriteError            exit 3   a file could not be written (full disk, no permission)
    └── NotComparableError        exit 4   two results do not measure the same thing

An error of any other kind is a defect and ends with exit code 70; Ctrl-C with 130, SIGTERM with 143.

Every message says what is wrong, where, and how to mend it: it is printed to people without a traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from enum import IntEnum


class ExitCode(IntEnum):
    """What the process returns to the shell; scripts and CI jobs rely on these numbers."""

    PASS = 0
    REGRESSION = 1
    USAGE = 2
    INCOMPLETE = 3
    NOT_COMPARABLE = 4
    DEFECT = 70
    INTERRUPTED = 130
    TERMINATED = 143


class FaceBenchError(Exception):
    """Base of every error FaceBench raises on purpose."""

    exit_code = ExitCode.USAGE


class InputError(FaceBenchError):
    """A file, an option or a dataset is wrong."""


class UnknownNameError(InputError):
    """A name was asked for that does not exist."""

    def __init__(self, kind: str, name: str, known: Iterable[str], *, where: str = "") -> None:
        options = sorted(known)
        place = f" in {where}" if where else ""
        message = f"unknown {kind} {name!r}{place}.{did_you_mean(name, options)}"
        if options:
            message += f" Known: {', '.join(options)}."
        super().__init__(message)


class ModelError(FaceBenchError):
    """The model cannot be loaded, or returns what it must not."""


class PluginError(InputError):
    """A plug-in raised, or is not what FaceBench asks for; what it raised is the cause of this error."""


class IncompleteError(FaceBenchError):
    """The work could not be finished; running the same command again resumes it."""

    exit_code = ExitCode.INCOMPLETE


class WriteError(IncompleteError):
    """A file could not be written."""


class NotComparableError(FaceBenchError):
    """Two results do not measure the same thing."""

    exit_code = ExitCode.NOT_COMPARABLE


def how_to_install(extra: str = "") -> str:
    """Return how FaceBench is installed with an extra, from a checkout and from a wheel; it is in no index.

    >>> how_to_install("dask")
    "from a checkout: pip install -c constraints.txt '.[dask]'; from a wheel: pip install 'FILE.whl[dask]'"
    """
    words = f"[{extra}]" if extra else ""
    return f"from a checkout: pip install -c constraints.txt '.{words}'; from a wheel: pip install 'FILE.whl{words}'"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the closest known name, or an empty string.

    >>> did_you_mean("fmr_target", ["fmr_targets", "groups"])
    " Did you mean 'fmr_targets'?"
    """
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" Did you mean {close[0]!r}?" if close else ""
