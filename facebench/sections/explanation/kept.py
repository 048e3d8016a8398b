"""What is dear to compute, kept by content below the run's folder, so that a killed run resumes where it stopped."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.files import canonical_json, write_atomic
from facebench.probes.saliency import Explained, Saliency

Arrays = NDArray[Any]


class Kept:
    """Arrays with a record each, named by the sha256 of all they follow from.

    Args:
        folder: created when the first array is written, and removed by `clear`.
        basis: what every array of the run depends on: model, packages, device.
    """

    def __init__(self, folder: Path, basis: Any) -> None:
        self._folder = folder
        self._basis = canonical_json(basis).encode()

    def saliency(self, words: Any, subject: Explained, make: Callable[[], Saliency]) -> Saliency:
        """Return the map of a subject, made only if it is not kept; `words` name method, options and control."""
        record: dict[str, Any] = {}

        def values() -> Arrays:
            found = make()
            record.update({name: getattr(found, name) for name in _ABOUT})
            return np.empty(0, np.float32) if found.values is None else found.values

        array, about = self.array(["map", words], subject, (), values, record)
        return Saliency(array if array.size else None, **about)

    def array(
        self, words: Any, subject: Explained, inputs: tuple[Arrays, ...], make: Callable[[], Arrays],
        record: dict[str, Any] | None = None,
    ) -> tuple[Arrays, dict[str, Any]]:  # fmt: skip
        """Return an array that follows from a subject and other arrays, with its record; made only if not kept."""
        path = self._folder / f"{self._name(words, subject, inputs)}.npz"
        found = _read(path)
        if found is None:
            values = make()
            found = values, record or {}
            buffer = io.BytesIO()
            np.savez_compressed(buffer, values=values, record=np.frombuffer(json.dumps(found[1]).encode(), np.uint8))
            write_atomic(path, buffer.getvalue())
        return found

    def clear(self) -> None:
        """Remove everything: the section is finished, and its maps lie in its own file."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _name(self, words: Any, subject: Explained, inputs: tuple[Arrays, ...]) -> str:
        digest = hashlib.sha256(self._basis)
        plain = [words, subject.seed, subject.batch_size, subject.module is not None]
        digest.update(canonical_json(plain).encode())
        target = subject.target
        for part in (subject.probe, subject.reference, target.mate, target.non_mate, *inputs):
            digest.update(b"none" if part is None else str((part.shape, part.dtype)).encode() + part.tobytes())
        return digest.hexdigest()


_ABOUT = ("method", "convention", "flag", "why", "forwards", "backwards", "settings")


def _read(path: Path) -> tuple[Arrays, dict[str, Any]] | None:
    """Return what a file holds; None when there is none, or when it is damaged and has to be made again."""
    import zipfile

    if not path.is_file():
        return None
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as found:
            return found["values"], json.loads(found["record"].tobytes())
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
