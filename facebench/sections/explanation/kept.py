"""What is expensive to compute, kept by content below the run's folder, so that a killed run goes on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.files import canonical_json
from facebench.probes.saliency import Explained, Saliency
from facebench.store import CheckedFolder

Arrays = NDArray[Any]


class Kept:
    """Arrays with a record each, named by the sha256 of all they follow from.

    Args:
        folder: created when the first array is written, and removed by `clear`.
        basis: what every array of the run depends on: model, packages, device.
    """

    def __init__(self, folder: Path, basis: Any) -> None:
        self._files = CheckedFolder(folder)
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
        name = self._name(words, subject, inputs)
        found = self._files.get(name)
        if found is not None:
            return found[0]["values"], found[1]
        values, about = make(), record or {}
        self._files.put(name, {"values": values}, about)
        return values, about

    def clear(self) -> None:
        """Remove everything: the section is finished, and its maps lie in its own file."""
        self._files.clear()

    def _name(self, words: Any, subject: Explained, inputs: tuple[Arrays, ...]) -> str:
        digest = hashlib.sha256(self._basis)
        plain = [words, subject.seed, subject.batch_size, subject.module is not None]
        digest.update(canonical_json(plain).encode())
        for part in (subject.probe, subject.reference, *subject.target.parts, *inputs):
            digest.update(b"none" if part is None else str((part.shape, part.dtype)).encode() + part.tobytes())
        return digest.hexdigest()


_ABOUT = ("method", "convention", "flag", "why", "forwards", "backwards", "settings")
