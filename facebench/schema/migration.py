"""Results of earlier versions, brought to the present one when they are read.

Version 2 (extensions of plug-ins; the protocol beside a result as it was written) only added keys, and their defaults
are left out of every hash, so a result of version 1 keeps its id.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from facebench.errors import InputError

SCHEMA_VERSION = 2

Content = dict[str, Any]


def _from_1(content: Content) -> Content:
    return {**content, "schema_version": 2}


STEPS: dict[int, Callable[[Content], Content]] = {1: _from_1}
"""From each earlier version to the next; a step takes and returns plain data, and leaves its argument as it is."""


def migrated(content: Any, where: str) -> Any:
    """Return the content of a result as the present version has it.

    Raises:
        InputError: it is of a later version, which only a later FaceBench can read.
    """
    if not isinstance(content, dict):
        return content
    version = content.get("schema_version", 1)
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise InputError(
            f"{where}: schema_version is {version}; this FaceBench reads up to {SCHEMA_VERSION}: install a later one"
        )
    while type(version) is int and version in STEPS:
        content = STEPS[version](content)
        version = content["schema_version"]
    return content
