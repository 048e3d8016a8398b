"""Reads the splits of an AgeDB protocol from a MATLAB file, in a process of its own.

scipy's reader of such files ends the whole process on some damaged ones, and may reserve any amount of memory; here
that is one named error.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
from typing import Any

import numpy as np

from facebench.errors import InputError

MAX_BYTES = 2**26  # the published protocol has 0.2 MB
_TIMEOUT_S = 120
_MEMORY = 2**32


def read_splits(data: bytes, where: str) -> list[list[tuple[str, str, int]]]:
    """Return the pairs of each of the ten splits: two file names and a label.

    Raises:
        InputError: names the file and what is wrong with it.
    """
    if len(data) > MAX_BYTES:
        raise InputError(f"{where} has {len(data):,} bytes; a list of pairs has at most {MAX_BYTES:,}")
    command = [sys.executable, "-c", f"import sys; sys.path[:] = {sys.path!r}; from {__name__} import main; main()"]
    try:
        done = subprocess.run(command, input=data, capture_output=True, timeout=_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        raise InputError(f"{where} is not a MATLAB file that can be read: it takes more than {_TIMEOUT_S} s") from None
    if done.returncode != 0:
        raise InputError(f"{where} is not a MATLAB file that can be read: it is damaged")
    found = json.loads(done.stdout)
    if isinstance(found, str):
        raise InputError(f"{where}{found}")
    return [[(str(a), str(b), int(label)) for a, b, label in split] for split in found]


def main() -> None:
    """Read a MATLAB file from standard input; print the splits, or a text that says what is wrong, as JSON."""
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    try:
        splits = _splits(sys.stdin.buffer.read())
        found: Any = [_rows(split, f", split {number}") for number, split in enumerate(splits, start=1)]
    except InputError as error:
        found = str(error)
    except MemoryError:
        found = " is not a MATLAB file that can be read: it asks for more memory than it needs"
    sys.stdout.write(json.dumps(found))


def _splits(data: bytes) -> list[Any]:
    from scipy.io import loadmat

    try:
        content = loadmat(io.BytesIO(data), squeeze_me=True, struct_as_record=True)
    except Exception as error:  # scipy fails on damaged files in many ways
        raise InputError(f" is not a MATLAB file that can be read: {error}") from error
    splits = np.atleast_1d(content["splits"]) if "splits" in content else np.zeros(0)
    if splits.shape[:1] != (10,):
        raise InputError(f": expected 'splits' with ten folds, found {splits.shape} in {sorted(content)}")
    return list(splits)


def _rows(split: Any, place: str) -> list[tuple[str, str, int]]:
    """Return the pairs of a split, whichever way MATLAB nested them."""
    if getattr(split, "dtype", None) is not None and split.dtype.names:
        columns = [
            np.atleast_1d(split[field].item() if split.shape == () else split[field]) for field in split.dtype.names
        ]
    else:
        table = np.asarray(split)
        columns = list(table.T) if table.ndim == 2 else []
    texts = [column for column in columns if all(isinstance(_plain(value), str) for value in column)]
    numbers = [column for column in columns if not any(isinstance(_plain(value), str) for value in column)]
    if len(texts) != 2 or len(numbers) != 1 or len({len(column) for column in (*texts, *numbers)}) != 1:
        raise InputError(f"{place}: expected two columns of file names and one of labels, all of one length")
    rows = zip(*texts, *numbers, strict=True)
    return [
        (str(_plain(a)), str(_plain(b)), _label(_plain(label), f"{place}, pair {number}"))
        for number, (a, b, label) in enumerate(rows, start=1)
    ]


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.ndarray) and value.size == 1 else value


def _label(value: Any, place: str) -> int:
    if not isinstance(value, int | float) or value not in (1, -1):
        raise InputError(f"{place}: the label is {value!r:.80}; it must be 1 or -1")
    return int(value)
