"""What a network gives back, as embeddings: one row per face, one axis of values."""

from __future__ import annotations

from collections.abc import Sequence

from facebench.errors import ModelError

NO_MIRROR = "mirrored faces answer something else; 'outputs' go with flip: none"
"""Why a model with heads is not asked about mirrored faces as well."""


def embedding_width(shape: Sequence[int], rows: int, where: str) -> int:
    """Return D of an output of that shape; axes of length 1 after the first do not count, as in (N, D, 1, 1).

    Raises:
        ModelError: there is not one row per face, more than one axis is left, or rows hold no values.
    """
    if not shape or shape[0] != rows:
        got = f"{shape[0]} rows" if shape else "one number"
        raise ModelError(
            f"{where}: the network returned {got} for {rows} faces; it needs a batch axis in its input and output"
        )
    if len(shape) == 1:
        raise ModelError(f"{where} gives one number per face; expected an embedding (faces, values)")
    sizes = [size for size in shape[1:] if size != 1]
    if len(sizes) > 1:
        raise ModelError(
            f"{where} has the shape {list(shape)}; expected an embedding (faces, values). A map of features needs its "
            "pooling, or name another output with 'output: NAME'"
        )
    if 0 in sizes:
        raise ModelError(f"{where} has the shape {list(shape)}: an embedding without values")
    return sizes[0] if sizes else 1


def unequal(widths: set[int], where: str) -> ModelError:
    """Return the error for an output whose length depends on the faces."""
    return ModelError(
        f"{where} has {min(widths)} values for some faces and {max(widths)} for others; an embedding has one length"
    )
