"""Where work runs: threads of this process, a Dask cluster, or a Ray cluster, behind one function.

Work is cut into tasks that depend on nothing but their number, so where and in which order they run changes no result.
A task lost with its worker is run again elsewhere.

Executors are named by one word:

    local                   threads of this process
    dask:tcp://HOST:PORT    the Dask cluster with that scheduler; dask:local starts one on this machine
    ray:auto                the Ray cluster this machine belongs to; ray:HOST:PORT another; ray:local starts one
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any, TypeVar

from facebench.errors import InputError, UnknownNameError, how_to_install

Shared = TypeVar("Shared")
Task = TypeVar("Task")
Done = TypeVar("Done")

LOCAL = "local"
_CLUSTERS = {
    "dask": ("distributed", "facebench.execution.dask_cluster"),
    "ray": ("ray", "facebench.execution.ray_cluster"),
}


def check_executor(executor: str) -> None:
    """Refuse an executor that cannot work here; nothing is started.

    Raises:
        UnknownNameError: no such kind of executor.
        InputError: the extra it needs is not installed, or it names no address.
    """
    if executor == LOCAL:
        return
    kind, colon, address = executor.partition(":")
    if kind not in _CLUSTERS:
        raise UnknownNameError("executor", executor, [LOCAL, "dask:local", "dask:tcp://HOST:PORT", "ray:auto"])
    if not colon or not address:
        example = "dask:tcp://127.0.0.1:8786" if kind == "dask" else "ray:auto"
        raise InputError(f"executor {executor!r} names no cluster; write for example {example}, or {kind}:local")
    if find_spec(_CLUSTERS[kind][0]) is None:
        raise InputError(
            f"executor {executor!r} needs the extra {kind!r}, which is not installed; {how_to_install(kind)}"
        )


def run_tiles(
    function: Callable[[Shared, Task], Done],
    shared: Shared,
    tasks: Sequence[Task],
    executor: str = LOCAL,
    *,
    workers: int = 1,
) -> Iterator[tuple[int, Done]]:
    """Yield the number and the result of every task, in the order in which they are done.

    Args:
        function: a function of a module that the workers can import; it is called as ``function(shared, task)``.
        shared: what all tasks need; sent to each worker once.
        tasks: small, and independent of each other.
        executor: see above.
        workers: threads of ``local``, or processes that ``dask:local`` and ``ray:local`` start.

    Raises:
        InputError: see `check_executor`; or no cluster answers at the address.
        IncompleteError: workers died again and again.
    """
    check_executor(executor)
    if executor == LOCAL:
        from facebench.execution.threads import run

        return run(function, shared, tasks, workers)
    kind, _, address = executor.partition(":")
    cluster: Any = import_module(_CLUSTERS[kind][1])
    found: Iterator[tuple[int, Done]] = cluster.run(function, shared, tasks, address, workers)
    return found
