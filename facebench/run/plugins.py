"""Every kind of thing that plugs in, by name: one registry each, so that all are listed and checked in one way."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from facebench.data.load import readers
from facebench.errors import FaceBenchError, UnknownNameError
from facebench.metrics.catalogue import METRICS
from facebench.models.load import models
from facebench.probes.attacks.catalogue import attacks
from facebench.probes.conditions import CONDITIONS
from facebench.probes.saliency import METHODS
from facebench.registry import Registry
from facebench.scoring.comparators import comparators
from facebench.scoring.rerank import rerankers
from facebench.sections import SECTIONS

KINDS: dict[str, Registry[Any]] = {
    "adapters": models,
    "attacks": attacks,
    "comparators": comparators,
    "conditions": CONDITIONS,
    "metrics": METRICS,
    "readers": readers,
    "rerankers": rerankers,
    "saliency": METHODS,
    "sections": SECTIONS,
}
"""Kinds by the word that `facebench list` takes."""


def registry_of(kind: str) -> Registry[Any]:
    """Return the registry of a kind.

    Raises:
        UnknownNameError: no such kind; the message lists all.
    """
    if kind not in KINDS:
        raise UnknownNameError("kind of plug-in", kind, KINDS)
    return KINDS[kind]


def entries(kind: str) -> list[dict[str, Any]]:
    """Return what is told of everything of a kind: name, about, options, origin, facts; or the error in a plug-in."""
    registry = registry_of(kind)
    found = []
    for name in registry.names():
        try:
            told = asdict(registry.describe(name))
            found.append(json.loads(json.dumps(told, default=str)))  # a default may be anything, such as a path
        except FaceBenchError as error:  # one that is broken must not hide the others
            found.append({"name": name, "origin": registry.origin(name), "error": str(error)})
    return found


def check(kind: str, name: str) -> str | None:
    """Run the contract test of a kind on one of its names; return what is broken, or None.

    Raises:
        UnknownNameError: no such kind or name.
    """
    registry = registry_of(kind)
    if name not in registry:
        raise UnknownNameError(registry.kind, name, registry.names())
    try:
        registry.check(name)
    except (AssertionError, FaceBenchError) as error:
        return str(error)
    return None
