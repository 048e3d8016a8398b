"""Which results may be held against each other: same protocol, same data, same threshold rule, or none of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.errors import InputError, NotComparableError
from facebench.files import is_folder, read_json
from facebench.measure.sample import Images, Pairs
from facebench.measure.saved import PROTOCOL, load_inputs, load_result
from facebench.measure.study import in_similarities
from facebench.schema import ProtocolSpec, Result

DESCRIPTIVE = ("name", "title", "description", "data_statement", "source", "licence", "known_defects")


@dataclass(frozen=True, eq=False)
class Loaded:
    """A result with the files it was computed from."""

    result: Result
    folder: Path
    vectors: NDArray[np.float32]
    images: Images
    pairs: Pairs | None
    spec: ProtocolSpec


def load_comparable(paths: Sequence[Path]) -> list[Loaded]:
    """Load results and their embeddings, and refuse them unless they measure the same thing.

    Raises:
        NotComparableError: names every field that differs, with both values.
        InputError: a file is missing, changed or malformed.
    """
    results = [load_result(path) for path in paths]
    for path, result in zip(paths[1:], results[1:], strict=True):
        _refuse(_defining(results[0]), _defining(result), paths[0], path)
    folders = [path if is_folder(path) else path.parent for path in paths]
    loaded = [load_side(result, folder) for result, folder in zip(results, folders, strict=True)]
    for path, other in zip(paths[1:], loaded[1:], strict=True):
        _check_images(loaded[0], other, paths[0], path)
    return loaded


def load_side(result: Result, folder: Path) -> Loaded:
    """Load what a result was computed from; the thresholds of its protocol become similarities."""
    vectors, images, pairs, spec = load_inputs(result, folder)
    return Loaded(result, folder, vectors, images, pairs, in_similarities(spec, result.model))


def _defining(result: Result) -> dict[str, Any]:
    """Return the fields that define what a result measures."""
    protocol = result.protocol
    return {
        "protocol.name": protocol.name,
        "protocol.version": protocol.version,
        "protocol.sha256": protocol.sha256,
        "protocol.threshold_policy": protocol.threshold_policy,
        "protocol.manifest_sha256": protocol.manifest_sha256,
        "run.limit": result.run.limit,
    }


def _refuse(first: dict[str, Any], second: dict[str, Any], a: Path, b: Path) -> None:
    differing = [name for name in first if first[name] != second[name]]
    if not differing:
        return
    lines = [f"  {name}: {_short(first[name])} and {_short(second[name])}" for name in differing]
    lines += _protocol_keys(a, b) if "protocol.sha256" in differing else []
    raise NotComparableError("\n".join([f"not comparable: {a} and {b} do not measure the same thing", *lines]))


def _short(value: Any) -> str:
    text = "none" if value is None else str(value)
    return f"{text[:12]}…" if len(text) == 64 else text


def _protocol_keys(a: Path, b: Path) -> list[str]:
    """Name the keys in which two protocols differ, where both lie beside their results."""
    texts: list[dict[str, Any]] = []
    for path in (a, b):
        file = (path if is_folder(path) else path.parent) / PROTOCOL
        if not file.is_file():
            return []
        spec = ProtocolSpec.parse(read_json(file, "protocol"), where=str(file))
        texts.append(spec.model_dump(mode="json"))
    return [
        f"  protocol key {key}: {a} and {b}" for key, a, b in _unequal(texts[0], texts[1]) if key not in DESCRIPTIVE
    ]


def _unequal(first: Any, second: Any, place: str = "") -> Iterator[tuple[str, str, str]]:
    """Yield the path and both values wherever two nested records differ."""
    if not (isinstance(first, dict) and isinstance(second, dict)):
        if first != second:
            yield place, json.dumps(first)[:80], json.dumps(second)[:80]
        return
    for key in {**first, **second}:
        yield from _unequal(first.get(key), second.get(key), f"{place}.{key}".lstrip("."))


def _check_images(first: Loaded, second: Loaded, a: Path, b: Path) -> None:
    """The manifests agree; still, the image tables beside the results must hold the same rows in the same order."""
    for name in ("image_ids", "identities", "attributes", "roles"):
        if getattr(first.images, name) != getattr(second.images, name):
            raise NotComparableError(f"not comparable: the {name} beside {a} and {b} differ")
    if (first.pairs is None) != (second.pairs is None):
        raise NotComparableError(f"not comparable: one of {a} and {b} lists its pairs, the other compares all")
    if first.pairs is not None and second.pairs is not None:
        for name in ("a", "b", "genuine"):
            if not np.array_equal(getattr(first.pairs, name), getattr(second.pairs, name)):
                raise NotComparableError(f"not comparable: the pair lists beside {a} and {b} differ")


def labels(results: Sequence[Result]) -> list[str]:
    """Return a unique label per model: its name, numbered where two share it."""
    names = [result.model.name for result in results]
    found: list[str] = []
    for number, name in enumerate(names):
        repeated = names.count(name) > 1
        found.append(f"{name} ({names[: number + 1].count(name)})" if repeated else name)
    if len(set(found)) != len(found):
        raise InputError(f"model names {', '.join(names)} cannot be told apart; rename one")
    return found
