"""Worker processes for the renderer."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from facebench.errors import IncompleteError, InputError

_Result = TypeVar("_Result")
# Parameters of glibc's `mallopt` (malloc.h), and a size above every array of a picture.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEPT_BYTES = 1 << 29


def spread(
    function: Callable[..., _Result], tasks: Sequence[tuple[Any, ...]], workers: int, warm_up: Callable[[], object]
) -> Iterator[_Result]:
    """Yield the results of `function(*task)` in order, computed here or in `workers` processes.

    `warm_up` is called before processes start. On Linux they are forked, so that what it compiled or loaded is there
    already: importing and loading it again would cost as much as rendering some forty pictures.

    Raises:
        InputError: fewer than one worker.
        IncompleteError: a process was killed.
    """
    if workers < 1:
        raise InputError(f"workers is {workers}; at least one process has to do the work.")
    if workers == 1 or len(tasks) <= 1:
        return (function(*task) for task in tasks)
    warm_up()
    return _in_processes(function, tasks, min(workers, len(tasks)))


def _in_processes(
    function: Callable[..., _Result], tasks: Sequence[tuple[Any, ...]], workers: int
) -> Iterator[_Result]:
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else None)
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_settle) as pool:
        try:
            yield from pool.map(function, *zip(*tasks, strict=True))
        except BrokenProcessPool as error:
            raise IncompleteError(
                "a process that renders faces was killed (out of memory?). What it wrote is kept: run the same command "
                "again to go on, with fewer --workers if memory is short."
            ) from error


def _settle() -> None:
    """Prepare a worker: one thread, no traceback of its own on Ctrl-C, an end when its parent is gone."""
    from threadpoolctl import threadpool_limits

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threadpool_limits(1)
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    _keep_memory()


def _leave_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _keep_memory() -> None:
    """Make glibc keep freed memory: given back and taken again for every array, it costs a tenth of a picture."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _KEPT_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
