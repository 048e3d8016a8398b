"""Reads a network's weights, tensors by name, and fits them into the network; nothing a file holds is ever run."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facebench.errors import InputError, ModelError

if TYPE_CHECKING:
    from torch import Tensor, nn

_COUNTER = "num_batches_tracked"  # old checkpoints lack it; inference does not read it
_GLOBAL = re.compile(r"GLOBAL ([\w.]+)")
_WAY_OUT = (
    "Save the weights alone, where the code is: torch.save(model.state_dict(), 'weights.pth'), and name that file"
)


def read_state_dict(path: Path, key: str | None, ignored: Sequence[str] = ()) -> dict[str, Tensor]:
    """Return the tensors of a file by name, less those whose names begin with a word in `ignored`.

    Raises:
        InputError: the file has no such key, or holds other things than tensors.
        ModelError: it is damaged, or holds Python objects.
    """
    import torch

    found = _read(path)
    if key is not None:
        if not isinstance(found, Mapping) or key not in found:
            known = ", ".join(map(str, list(found)[:8])) if isinstance(found, Mapping) else type(found).__name__
            raise InputError(f"{path} has no key {key!r} (state_dict_key); it holds: {known}")
        found = found[key]
    if not isinstance(found, Mapping):
        raise InputError(f"{path} holds {type(found).__name__}; expected tensors by name (a state dict)")
    kept = {str(name): value for name, value in found.items() if not _begins(str(name), ignored)}
    others = [name for name, value in kept.items() if not isinstance(value, torch.Tensor)]
    if others:
        inner = {name: len(value) for name in others if isinstance(value := kept[name], Mapping)}
        hint = f"state_dict_key: {max(inner, key=lambda name: inner[name])}" if inner else _ignore(others)
        raise InputError(f"{path} does not hold tensors by name at its top; write {hint}")
    return kept


def _read(path: Path) -> Any:
    import torch

    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch and safetensors raise many types for damaged or refused files
        raise ModelError(_why_not(path, str(error))) from error


def _why_not(path: Path, text: str) -> str:
    """Say in our words why torch refused a file."""
    if path.suffix == ".safetensors":
        return f"{path} is not a safetensors file, or it is damaged"
    if "TorchScript" in text:
        return (
            f"{path} is a TorchScript archive, which holds code. Save its weights alone: "
            "torch.save(torch.jit.load(PATH).state_dict(), 'weights.pth'), and name that file"
        )
    asked = _GLOBAL.search(text)
    if asked or "Unsupported global" in text or "Unsupported class" in text:
        what = f" ({asked[1]})" if asked else ""
        return (
            f"{path} holds Python objects{what}, such as a whole pickled model, not weights alone; loading them would "
            f"run code, and nothing was run. {_WAY_OUT}"
        )
    return f"{path} is not a state dict, or it is damaged"


def fill(network: nn.Module, tensors: dict[str, Tensor], prefix: str, path: Path) -> None:
    """Put the tensors, whose names begin with `prefix`, into the network.

    Raises:
        ModelError: they do not fit; the message names the key of the model file that would make them.
    """
    own = network.state_dict()
    named = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    for name, value in own.items():
        if name.endswith(_COUNTER):
            named.setdefault(name, value)
    missing, extra = sorted(set(own) - set(named)), sorted(set(named) - set(own))
    extra += sorted(name for name in tensors if not name.startswith(prefix))
    shapes = [name for name in own if name in named and own[name].shape != named[name].shape]
    if missing or extra or shapes:
        kinds = (("missing", missing), ("unexpected", extra), ("of another shape", shapes))
        text = "; ".join(f"{len(names)} {kind} ({', '.join(names[:3])})" for kind, names in kinds if names)
        hint = _hint(own, tensors, missing, extra) if not shapes else ""
        raise ModelError(f"the weights in {path} do not fit the network: {text}{hint}")
    network.load_state_dict(named, strict=True)


def _hint(own: Iterable[str], tensors: Iterable[str], missing: list[str], extra: list[str]) -> str:
    """Return the keys of the model file that would make the weights fit, if some would."""
    wanted = {name for name in own if not name.endswith(_COUNTER)}
    begins = Counter(
        name.removesuffix(w) for name in tensors for w in _tails(name) if w in wanted and name != w
    )  # fmt: skip
    best = max(begins, key=lambda p: begins[p], default="")
    if missing and best and begins[best] == len(wanted):
        rest = [name for name in tensors if not name.startswith(best)]
        more = f" and {_ignore(rest)}" if rest else ""
        return f". The names begin with {best!r}; write state_dict_prefix: {best}{more} in the model file"
    if not missing and extra:
        return f". The others, such as a classifier's head, are left out by {_ignore(extra)} in the model file"
    inner = Counter(w.removesuffix(name) for w in wanted for name in _tails(w) if name in set(tensors))
    outer = max(inner, key=lambda p: inner[p], default="")
    if outer and inner[outer] == len(wanted):
        return f". The network's own names begin with {outer!r}: let the factory return the part of that name"
    return ""


def _tails(name: str) -> Iterable[str]:
    """Yield a dotted name without its first words, from the longest on."""
    words = name.split(".")
    return (".".join(words[start:]) for start in range(1, len(words)))


def _ignore(names: Sequence[str]) -> str:
    tops = dict.fromkeys(f"{name.partition('.')[0]}." if "." in name else name for name in names)
    return f"state_dict_ignore: [{', '.join(tops)}]"


def _begins(name: str, words: Sequence[str]) -> bool:
    return any(name.startswith(word) for word in words)
