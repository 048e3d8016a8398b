"""One run at a time in a folder: a second is told who is at work, and what a dead run left is told and gone on with.

The lock is the system's own (``flock``), which goes with the process that holds it, however that ends. The file tells
people who holds it. Where the file system has no such lock, the process named in the file is looked for instead.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from facebench.errors import IncompleteError, WriteError
from facebench.execution.environment import now
from facebench.files import explain_write_failure

NAME = ".facebench-run"
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)


@contextmanager
def only_run_in(folder: Path) -> Iterator[None]:
    """Hold a folder, which is made, for one run.

    Raises:
        IncompleteError: another run is in progress there.
        WriteError: the folder cannot be written.
    """
    path = Path(folder) / NAME
    handle = _taken(path)
    try:
        _after_dead(path, handle)
        _write(path, handle)
        yield
    finally:
        with suppress(OSError):
            path.unlink()  # before it is let go: who waits for this file looks whether it still has the name
        os.close(handle)


def refuse_second_run(folder: Path) -> None:
    """Say at once that another run is in progress in a folder; changes nothing.

    Raises:
        IncompleteError: a run is in progress there.
    """
    path = Path(folder) / NAME
    try:
        handle = os.open(path, os.O_RDWR)
    except OSError:
        return
    try:
        _lock(path, handle)
    finally:
        os.close(handle)


def _taken(path: Path) -> int:
    """Return the open file of a lock that this process now holds."""
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise WriteError(explain_write_failure(path.parent, error)) from error
        try:
            _lock(path, handle)
            if os.path.samestat(os.fstat(handle), path.stat()):
                return handle
        except FileNotFoundError:  # its holder removed it between the two steps above
            pass
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def _lock(path: Path, handle: int) -> None:
    try:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise _busy(path, _holder(handle)) from None
    except ImportError:
        _look_for_holder(path, handle)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise WriteError(explain_write_failure(path, error)) from error
        _look_for_holder(path, handle)


def _look_for_holder(path: Path, handle: int) -> None:
    """Refuse when the process named in the file may be alive."""
    holder = _holder(handle)
    if holder and (holder.get("host") != socket.gethostname() or _alive(holder.get("pid"))):
        raise _busy(path, holder)


def _alive(pid: Any) -> bool:
    if not isinstance(pid, int) or pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is somebody else's
        return True
    return pid != os.getpid()


def _busy(path: Path, holder: dict[str, Any]) -> IncompleteError:
    return IncompleteError(
        f"a run is in progress here: {path.parent} is in use by {_words(holder)}. Wait until it has ended, or choose "
        f"another folder with --out. If there is no such process any more, remove {path}"
    )


def _after_dead(path: Path, handle: int) -> None:
    """Tell of a run that ended without a word, and remove the files it was just writing."""
    holder = _holder(handle)
    if holder:
        for unfinished in (*path.parent.glob(".*.part"), *(path.parent / ".work").rglob(".*.part")):
            unfinished.unlink(missing_ok=True)
        logging.getLogger("facebench").warning(
            "%s: %s ended before it was finished; this run goes on from what it left", path.parent, _words(holder)
        )


def _words(holder: dict[str, Any]) -> str:
    return f"process {holder.get('pid', '?')} on {holder.get('host', '?')}, begun {holder.get('begun', '?')}"


def _holder(handle: int) -> dict[str, Any]:
    """Return what the file says of its holder; nothing when it says nothing that can be read."""
    try:
        found = json.loads(os.pread(handle, 4096, 0))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write(path: Path, handle: int) -> None:
    about = {"pid": os.getpid(), "host": socket.gethostname(), "begun": now()}
    try:
        os.ftruncate(handle, 0)
        os.pwrite(handle, json.dumps(about).encode(), 0)
    except OSError as error:
        raise WriteError(explain_write_failure(path, error)) from error
