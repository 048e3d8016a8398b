"""All attacks by name, built-in ones and those of plug-ins, with what each can do; loads no torch."""

from __future__ import annotations

from typing import Any

from facebench.registry import Registry, first_sentence
from facebench.schema.attacks import ATTACKS, Attack, Known


def _traits(found: Attack | Known) -> Known:
    return found if isinstance(found, Known) else found.traits


def _about(name: str, found: Attack | Known) -> str:
    if isinstance(found, Attack):
        return first_sentence(found.run)
    how = " or ".join(knowledge.value for knowledge in found.knowledge)
    spent = f"{found.steps} steps" if found.steps else f"{found.queries} queries" if found.queries else "no steps"
    looks = "the smallest change" if found.minimal else "a change within a budget"
    return f"{name.upper()}: {how}, looks for {looks}, {spent} by default."


def _facts(found: Attack | Known) -> dict[str, Any]:
    traits = _traits(found)
    return traits.model_dump(mode="json", exclude_none=True)


attacks: Registry[Any] = Registry(
    "attack",
    builtin=ATTACKS,
    group="facebench.attacks",
    page="attacks.md",
    contract="facebench.probes.contract:check_attack_contract",
    about=_about,
    facts=_facts,
)
