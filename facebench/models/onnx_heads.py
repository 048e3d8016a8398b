"""Heads of an ONNX network that answers: which tensor each one is, and its numbers side by side in one row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.errors import InputError, ModelError, did_you_mean
from facebench.schema import ModelCard

Heads = tuple[tuple[str, int], ...]


def head_tensors(session: Any, card: ModelCard) -> Heads:
    """Return the tensor and the width of every head a model file names.

    Raises:
        InputError: the network has no such output.
    """
    known = [str(entry.name) for entry in session.get_outputs()]
    found = []
    for output in card.outputs or ():
        tensor = output.tensor or (known[0] if len(known) == 1 else output.name)
        if tensor not in known:
            raise InputError(
                f"model {card.name}: the network has no output {tensor!r} (outputs: {output.name}); it has "
                f"{', '.join(known)}.{did_you_mean(tensor, known)} Say which with 'tensor: NAME'"
            )
        found.append((tensor, len(output.names)))
    return tuple(found)


def answers(results: Sequence[Any], heads: Heads, rows: int, name: str) -> NDArray[np.float32]:
    """Return (N, W) answers of all heads side by side.

    Raises:
        ModelError: a head has not one row per face, or another number of values than it has names.
    """
    parts = []
    for result, (tensor, width) in zip(results, heads, strict=True):
        found = np.asarray(result, np.float32)
        if found.shape[:1] != (rows,) or found.size != rows * width:
            per_face = found.size // rows if found.shape[:1] == (rows,) else list(found.shape)
            raise ModelError(
                f"model {name}: output {tensor} gave {per_face} values per face, and the model file names {width}; "
                "'names' lists one name per value, in the network's order"
            )
        parts.append(found.reshape(rows, width))
    return np.concatenate(parts, axis=1)
