"""The keys of a schema, and those a protocol uses."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel


def _records(kind: Any) -> tuple[list[type[BaseModel]], bool]:
    """Return the records a type may hold, and whether it may hold anything else."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return [kind], False
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return _records(arguments[0])
    if not arguments or origin is typing.Literal:
        return [], kind not in (types.NoneType, ...)
    parts = [_records(each) for each in (arguments[1:] if origin is dict else arguments)]
    return [record for records, _ in parts for record in records], any(plain for _, plain in parts)


def schema_keys(record: type[BaseModel], before: str = "") -> Iterator[str]:
    """Yield every key of a schema that holds a value, such as ``identification.open_set.rank``.

    Of a key that may hold several records, each one has its own name: ``task[classify].truth``.
    """
    for name, field in record.model_fields.items():
        key = before + (field.alias or name)
        records, plain = _records(field.annotation)
        if plain or not records:
            yield key
        for each in records:
            yield from schema_keys(each, f"{key}{_shape(each)}.")


def _shape(record: type[BaseModel]) -> str:
    """Return what tells a record from others at the same key: its `shape`."""
    field = record.model_fields.get("shape")
    return f"[{typing.get_args(field.annotation)[0].value}]" if field is not None else ""


def used_keys(keys: Any, known: set[str], before: str = "") -> Iterator[str]:
    """Yield the keys of the schema that a protocol uses."""
    if before in known and not (isinstance(keys, dict) and any(key.startswith(f"{before}.") for key in known)):
        yield before
        return
    for each in keys if isinstance(keys, list) else [keys]:
        shape = f"[{each['shape']}]" if isinstance(each, dict) and "shape" in each else ""
        if not isinstance(each, dict):
            if before in known:
                yield before
            continue
        for key, value in each.items():
            yield from used_keys(value, known, f"{before}{shape}.{key}" if before else key)
