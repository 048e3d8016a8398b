"""Tasks on a Ray cluster (extra ``ray``)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from facebench.errors import IncompleteError, InputError
from facebench.execution.threads import in_one_thread

ATTEMPTS = 5
"""How often a task is given out again after its worker died under it."""


def _connected(address: str, workers: int) -> Any:
    """Return ray, connected; the connection stays open for the next tasks of this process."""
    import ray

    if ray.is_initialized():
        return ray
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        if address == "local":
            ray.init(num_cpus=workers, include_dashboard=False, **quiet)
        else:
            ray.init(address=address, **quiet)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise InputError(
            f"no Ray cluster answers at {address!r} ({str(error).splitlines()[0]}); start one with `ray start --head`, "
            "or say ray:local"
        ) from error
    return ray


def run(
    function: Callable[[Any, Any], Any], shared: Any, tasks: Sequence[Any], address: str, workers: int
) -> Iterator[tuple[int, Any]]:
    """Yield number and result of every task as it is done; see `facebench.execution.run_tiles`."""
    ray = _connected(address, workers)
    handle = ray.put(shared)
    remote = ray.remote(num_cpus=1, max_retries=ATTEMPTS)(in_one_thread)
    ahead = 4 * max(1, int(ray.cluster_resources().get("CPU", 1)))
    waiting: dict[Any, int] = {}
    left = iter(enumerate(tasks))
    while True:
        while len(waiting) < ahead and (following := next(left, None)) is not None:
            waiting[remote.remote(function, handle, following[1])] = following[0]
        if not waiting:
            return
        done, _ = ray.wait(list(waiting))
        for reference in done:
            number = waiting.pop(reference)
            yield number, _result(ray, reference, number)


def _result(ray: Any, reference: Any, number: int) -> Any:
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        cause = error.cause
        if isinstance(cause, ModuleNotFoundError) or "failed to import on the worker" in str(cause):
            last = str(cause).strip().splitlines()[-1]
            raise InputError(
                f"the Ray workers cannot import what the tasks need ({last}); install facebench there"
            ) from error
        raise cause from error
    except ray.exceptions.RayError as error:
        raise IncompleteError(
            f"task {number} lost its Ray worker {ATTEMPTS} times (out of memory?); run again to go on from here"
        ) from error
