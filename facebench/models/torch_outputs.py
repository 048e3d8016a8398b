"""What a PyTorch network returned, by name: one embedding, or the answers of its heads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from facebench.errors import InputError, ModelError, did_you_mean
from facebench.schema.model import OutputSpec

if TYPE_CHECKING:
    from torch import Tensor


def embedding_of(output: Any, wanted: str | None, name: str) -> Tensor:
    """Return the tensor that is the embedding: the only one, or the one the model file names by key or position.

    Raises:
        InputError: there are several and none is named, or there is none of that name.
        ModelError: the network returned no tensor.
    """
    import torch

    parts = _parts(output)
    listed = _listed(parts)
    if wanted is not None and "" not in parts and wanted not in parts:
        raise InputError(f"model {name}: the network has no output {wanted!r} (key 'output'); it returns {listed}")
    if wanted is None and len(parts) > 1:
        raise InputError(
            f"model {name}: the network returns {len(parts)} outputs: {listed}. Say which is the embedding with "
            "'output: NAME' (a key, or a place from 0) in the model file"
        )
    found = parts[wanted] if wanted is not None and wanted in parts else next(iter(parts.values()), None)
    if not isinstance(found, torch.Tensor):
        raise ModelError(
            f"model {name}: the network returned {type(found).__name__}; expected a tensor (faces, values)"
        )
    return found


def answers_of(output: Any, heads: Sequence[OutputSpec], rows: int, name: str) -> Tensor:
    """Return (N, W) answers of all heads side by side, from a tensor, a dictionary, or a tuple of tensors.

    A head's tensor is the key, or the place from 0, that `tensor` names; else the key of the head's name; else the only
    one. One number per face may come as (N,).

    Raises:
        InputError: the network returns no tensor of that name.
        ModelError: a head has not one row per face, or another number of values than it has names.
    """
    import torch

    parts = _parts(output)
    columns = []
    for head in heads:
        wanted = head.tensor or (next(iter(parts)) if len(parts) == 1 else head.name)
        if head.tensor is None and len(parts) == 1 < len(heads):
            raise InputError(
                f"model {name}: the network returns one output, and the model file names {len(heads)}; return a "
                "dictionary of one tensor per head"
            )
        if wanted not in parts:
            raise InputError(
                f"model {name}: the network has no output {wanted!r} (outputs: {head.name}); it returns "
                f"{_listed(parts)}.{did_you_mean(wanted, parts)} Say which with 'tensor: NAME' (a key, or a place "
                "from 0)"
            )
        found, width = parts[wanted], len(head.names)
        if not isinstance(found, torch.Tensor) or found.shape[:1] != (rows,) or found.numel() != rows * width:
            raise ModelError(
                f"model {name}: output {wanted or head.name} gave {_listed({'': found})} for {rows} faces, and the "
                f"model file names {width} values; 'names' lists one name per value, in the network's order"
            )
        columns.append(found.reshape(rows, width).float())
    return torch.cat(columns, dim=1)


def _parts(output: Any) -> dict[str, Any]:
    if isinstance(output, Mapping):
        return {str(key): value for key, value in output.items()}
    if isinstance(output, tuple | list):
        return {str(place): value for place, value in enumerate(output)}
    return {"": output}


def _listed(parts: Mapping[str, Any]) -> str:
    import torch

    return ", ".join(
        f"{key} {list(part.shape) if isinstance(part, torch.Tensor) else type(part).__name__}".strip()
        for key, part in parts.items()
    )
