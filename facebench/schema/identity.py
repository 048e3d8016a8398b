"""What a record says, for the hashes that name it: what was given, without the defaults of keys that came later.

A hash of everything would change whenever the schema gains a key. So the keys of version 1 are listed, and always count
when they hold a value; of every later key only a value other than its default counts. The ids of stored results and
protocols therefore never move.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel

FIRST_KEYS = Path(__file__).with_name("first_keys.json")
"""The keys of every record as version 1 last had them, by the record's name; later keys are not added."""


def identity(record: BaseModel, exclude: Any = None) -> dict[str, Any]:
    """Return the plain content of a record that its hash is taken of.

    Args:
        record: the record.
        exclude: fields that are no part of it, as `pydantic.BaseModel.model_dump` takes them.
    """
    plain = record.model_dump(mode="json", exclude=exclude, exclude_none=True)
    _leave_out(record, plain)
    return plain


def _leave_out(value: Any, plain: Any) -> None:
    """Remove from plain data the keys that came after version 1 and hold their default."""
    if isinstance(value, BaseModel):
        kind = type(value)
        names = {field.alias: name for name, field in kind.model_fields.items() if field.alias}
        for key in list(plain):
            name = names.get(key, key)  # some records are written by the words of the protocol, such as `from`
            own = getattr(value, name)
            if name not in first_keys(kind.__name__) and own == _default(kind, name):
                del plain[key]
            else:
                _leave_out(own, plain[key])
    elif isinstance(value, tuple | list):
        for own, part in zip(value, plain, strict=True):
            _leave_out(own, part)
    elif isinstance(value, Mapping):
        for key, own in value.items():
            _leave_out(own, plain.get(key))


def _default(kind: type[BaseModel], name: str) -> Any:
    return kind.model_fields[name].get_default(call_default_factory=True)


@cache
def first_keys(record: str) -> frozenset[str]:
    """Return the keys a record had in version 1; none for a record that came later."""
    return frozenset(_all_first_keys().get(record, ()))


@cache
def _all_first_keys() -> dict[str, list[str]]:
    found: dict[str, list[str]] = json.loads(FIRST_KEYS.read_text(encoding="utf-8"))
    return found
