"""Tasks on a Dask cluster (extra ``dask``)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from typing import Any

from facebench.errors import IncompleteError, InputError
from facebench.execution.threads import in_one_thread

CONNECT_S, PAUSE_S = 20, 0.5
ATTEMPTS = 5
"""How often a task is given out again after its worker died under it."""


@contextmanager
def _client(address: str, workers: int) -> Iterator[Any]:
    from distributed import Client, LocalCluster

    if address == "local":
        with (
            LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None) as cluster,
            Client(cluster) as client,
        ):
            yield client
        return
    try:
        client = Client(address, timeout=CONNECT_S)
    except (OSError, ValueError, TypeError) as error:  # TimeoutError is an OSError
        raise InputError(
            f"no Dask scheduler answers at {address!r} ({error}); start one with `dask scheduler`, and give its "
            "address as dask:tcp://HOST:PORT"
        ) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=CONNECT_S)
        except TimeoutError as error:
            raise InputError(
                f"the Dask scheduler at {address} has no workers; start some: dask worker {address}"
            ) from error
        yield client


def run(
    function: Callable[[Any, Any], Any], shared: Any, tasks: Sequence[Any], address: str, workers: int
) -> Iterator[tuple[int, Any]]:
    """Yield number and result of every task as it is done; see `facebench.execution.run_tiles`."""
    from distributed import as_completed
    from distributed.scheduler import KilledWorker

    with _client(address, workers) as client:
        handle = _scattered(client, shared)
        attempts = dict.fromkeys(range(len(tasks)), 0)

        def submit(number: int) -> Any:
            attempts[number] += 1
            if attempts[number] > ATTEMPTS:
                raise IncompleteError(
                    f"task {number} lost its Dask worker {ATTEMPTS} times (out of memory?); "
                    "run again to go on from here"
                )
            return client.submit(in_one_thread, function, handle, tasks[number], pure=False)

        numbers = {}
        futures = as_completed([], loop=client.loop)
        for number in attempts:
            future = submit(number)
            numbers[future.key] = number
            futures.add(future)
        for future in futures:
            number = numbers.pop(future.key)
            try:
                # A result is fetched from its worker, which may die in the meantime: also a finished task can be lost.
                found = _result(future)
            except KilledWorker:
                pass
            except CancelledError:  # the shared data went with its last holder
                handle = _scattered(client, shared)
            else:
                yield number, found
                continue
            again = submit(number)
            numbers[again.key] = number
            futures.add(again)


def _scattered(client: Any, shared: Any) -> Any:
    """Send the shared data to every worker, so that the death of one does not take the only copy along.

    A worker may die while it receives; the scheduler needs a moment to notice, and a new one takes its place.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return client.scatter(shared, broadcast=True, hash=False)
        except OSError as error:  # among them TimeoutError
            if attempt == ATTEMPTS or client.status != "running":
                raise IncompleteError(
                    f"the Dask scheduler is gone ({error}); start one again, and run again to go on from here"
                ) from error
            time.sleep(PAUSE_S)
    raise AssertionError("not reached")


def _result(future: Any) -> Any:
    try:
        return future.result()
    except ModuleNotFoundError as error:
        raise InputError(
            f"the Dask workers cannot import what the tasks need: {error}; install facebench there"
        ) from error
