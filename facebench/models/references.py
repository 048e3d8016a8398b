"""References that name a file in place of a model, such as ``scores:FILE#KEY=VALUE,KEY=VALUE``."""

from __future__ import annotations

from pathlib import Path

from facebench.errors import InputError


def file_and_options(reference: str, prefix: str) -> tuple[Path, dict[str, str]]:
    """Return the file a reference names, and its options.

    Raises:
        InputError: it names no file, or an option is not KEY=VALUE or given twice.
    """
    place, _, fragment = reference.removeprefix(prefix).partition("#")
    if not place:
        raise InputError(f"{reference!r} names no file; write {prefix}FILE")
    options: dict[str, str] = {}
    for word in filter(None, fragment.split(",")):
        key, equals, value = word.partition("=")
        if not equals or not value or key in options:
            raise InputError(f"{reference!r}: {word!r}; write KEY=VALUE, each key once, separated by commas")
        options[key] = value
    return Path(place), options
