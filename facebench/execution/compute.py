"""How large comparisons are carried out: where tiles run, on which device, and where finished ones are kept."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.errors import InputError
from facebench.execution import LOCAL, run_tiles
from facebench.execution.options import Progress, no_progress
from facebench.scoring import MAX_IMAGES
from facebench.scoring.arrange import Product, numpy_product
from facebench.store import TileStore


@dataclass(frozen=True)
class Compute:
    """How tiles are computed; none of it changes what is found.

    Attributes:
        executor: see `facebench.execution`.
        workers: threads, or processes of a cluster that is started for the run.
        device: ``cpu``, or a CUDA device for the matrix products.
        folder: where finished tiles are kept until the run is done; None keeps none.
        progress: told how many tiles are done.
        dense_limit: more images than this are compared by the engine that never holds all scores.
    """

    executor: str = LOCAL
    workers: int = os.cpu_count() or 1
    device: str = "cpu"
    folder: Path | None = None
    progress: Progress = no_progress
    dense_limit: int = MAX_IMAGES

    @property
    def product(self) -> Product:
        """What multiplies blocks: numpy, or torch on a CUDA device."""
        return numpy_product if self.device == "cpu" else partial(torch_product, self.device)

    def run(
        self, stage: str, function: Any, shared: Any, tasks: Sequence[tuple[int, int]]
    ) -> Iterator[tuple[int, dict[str, NDArray[Any]]]]:
        """Yield the number and result of each tile: first those a killed run left, then the others as they are done."""
        store = None if self.folder is None else TileStore(self.folder / fingerprint((function.__name__, shared)))
        left = []
        done = 0
        self.progress(stage, 0, len(tasks))
        for number in range(len(tasks)):
            found = None if store is None else store.get(number)
            if found is None:
                left.append(number)
                continue
            done += 1
            yield number, found
        self.progress(stage, done, len(tasks))
        todo = [tasks[number] for number in left]
        for position, found in run_tiles(function, shared, todo, self.executor, workers=self.workers):
            if store is not None:
                store.put(left[position], found)
            done += 1
            self.progress(stage, done, len(tasks))
            yield left[position], found

    def clear(self) -> None:
        """Remove the tiles that were kept."""
        if self.folder is not None:
            TileStore(self.folder).clear()


def torch_product(device: str, rows: NDArray[Any], columns: NDArray[Any]) -> NDArray[Any]:
    """Return the products of rows and columns, multiplied by torch on a device in full precision.

    Raises:
        InputError: torch does not know the device, or it is not there.
    """
    import torch

    try:
        a, b = (torch.from_numpy(np.ascontiguousarray(part)).to(device) for part in (rows, columns))
    except (RuntimeError, AssertionError) as error:
        first = str(error).splitlines()[0]
        raise InputError(f"comparisons cannot run on device {device!r}: {first}") from error
    found: NDArray[Any] = torch.mm(a, b.T).cpu().numpy()
    return found


def fingerprint(value: Any) -> str:
    """Return the sha256 of everything a value holds: what decides the content of its tiles."""
    digest = hashlib.sha256(f"numpy {np.__version__}\n".encode())
    for part in _parts(value):
        digest.update(part)
    return digest.hexdigest()


def _parts(value: Any) -> Iterator[Any]:
    if isinstance(value, np.ndarray):
        yield f"{value.dtype} {value.shape}\n".encode()
        yield np.ascontiguousarray(value).tobytes()
    elif is_dataclass(value):
        for field in fields(value):
            yield f"{field.name}\n".encode()
            yield from _parts(getattr(value, field.name))
    elif isinstance(value, tuple | list):
        yield f"{len(value)} of\n".encode()
        for item in value:
            yield from _parts(item)
    elif isinstance(value, partial):
        yield f"{value.func.__name__} {value.args}\n".encode()
    elif callable(value):
        yield f"{value.__name__}\n".encode()
    else:
        yield f"{value!r}\n".encode()
