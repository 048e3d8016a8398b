"""Tasks in threads of this process: compiled kernels and matrix products release the interpreter lock."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any


def in_one_thread(function: Callable[[Any, Any], Any], shared: Any, task: Any) -> Any:
    """Do a task of a cluster with matrix products in one thread, as here: how many share one decides how it rounds."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        return function(shared, task)


def run(
    function: Callable[[Any, Any], Any], shared: Any, tasks: Sequence[Any], workers: int
) -> Iterator[tuple[int, Any]]:
    """Yield number and result of every task as it is done; at most two tasks per worker are ahead of the reader."""
    from threadpoolctl import threadpool_limits

    waiting: dict[Future[Any], int] = {}
    left = iter(enumerate(tasks))
    # one matrix product per thread: products that share the processors among themselves would wait for each other
    with threadpool_limits(1), ThreadPoolExecutor(workers) as pool:
        try:
            while True:
                while len(waiting) < 2 * workers and (following := next(left, None)) is not None:
                    waiting[pool.submit(function, shared, following[1])] = following[0]
                if not waiting:
                    return
                for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                    number = waiting.pop(future)
                    yield number, future.result()
        finally:  # an error, or a reader that stopped: do not begin what nobody will read
            for future in waiting:
                future.cancel()
