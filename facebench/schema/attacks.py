"""What a protocol asks of attacks: a grid of cells, each one attack with one goal, one attacker and some budgets."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction as Ratio
from itertools import pairwise
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, model_validator

from facebench.errors import PluginError, did_you_mean
from facebench.registry import Registry
from facebench.schema._base import Strict


class Goal(StrEnum):
    """What the attacker wants: a genuine pair rejected, an impostor pair accepted, or an answer that is wrong."""

    DODGING = "dodging"
    IMPERSONATION = "impersonation"
    ANSWER = "answer"


class Knowledge(StrEnum):
    """What the attacker has: the network, a network like it, answers of the network, or none of these."""

    WHITE_BOX = "white-box"
    TRANSFER = "transfer"
    BLACK_BOX = "black-box"
    NO_BOX = "no-box"


class Norm(StrEnum):
    """How large a change is measured on pixels in [0, 1].

    ``linf`` largest change of a value; ``l2`` root mean square change, ``|d|_2 / sqrt(number of values)``;
    ``l1`` mean absolute change; ``pattern`` any change, but only inside a pattern bound to the landmarks.
    """

    LINF = "linf"
    L2 = "l2"
    L1 = "l1"
    PATTERN = "pattern"


class Pattern(StrEnum):
    """What an attacker could wear."""

    GLASSES = "glasses"
    STICKER = "sticker"
    MASK = "mask"
    HAT = "hat"


_EPSILON = re.compile(r"^\d+(\.\d+)?(/255)?$")


def _epsilon(value: object) -> object:
    text = f"{value:g}" if isinstance(value, float | int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not _EPSILON.match(text):
        raise ValueError('write a budget as "8/255", or as a number in (0, 1]')
    if not 0 < epsilon_value(text) <= 1:
        levels = f'; for {text} of 255 grey levels write "{text}/255"' if text.isdigit() and 0 < int(text) < 255 else ""
        raise ValueError(f"{text} lies outside (0, 1]: pixels are in [0, 1], so no change is larger than 1{levels}")
    return text


def epsilon_value(text: str) -> float:
    """Return a budget as a number.

    >>> epsilon_value("8/255") == 8 / 255
    True
    """
    number, _, whole = text.partition("/")
    return float(Ratio(number) / int(whole or 1))


Epsilon = Annotated[str, BeforeValidator(_epsilon)]

WHITE_BOX = (Knowledge.WHITE_BOX,)
QUERIES = (Knowledge.BLACK_BOX,)
MOVED = (Knowledge.WHITE_BOX, Knowledge.TRANSFER)
PIXELS = (Norm.LINF, Norm.L2)


class Known(Strict):
    """What an attack can do.

    `minimal` attacks look for the smallest change and are read at every budget; others use the budget they are given.
    """

    knowledge: tuple[Knowledge, ...]
    norms: tuple[Norm, ...]
    minimal: bool = False
    steps: int | None = None
    queries: int | None = None
    restarts: int = 1
    iterative: bool = True
    universal: bool = False


ATTACKS: dict[str, Known] = {
    "fgsm": Known(knowledge=MOVED, norms=PIXELS, iterative=False, steps=1),
    "bim": Known(knowledge=MOVED, norms=PIXELS, steps=40),
    "pgd": Known(knowledge=MOVED, norms=PIXELS, steps=40, restarts=2),
    "mim": Known(knowledge=MOVED, norms=(Norm.LINF,), steps=20),
    "dim": Known(knowledge=MOVED, norms=(Norm.LINF,), steps=20),
    "tim": Known(knowledge=MOVED, norms=(Norm.LINF,), steps=20),
    "ti-dim": Known(knowledge=MOVED, norms=(Norm.LINF,), steps=20),
    "apgd": Known(knowledge=WHITE_BOX, norms=PIXELS, steps=100),
    "cw": Known(knowledge=WHITE_BOX, norms=(Norm.L2,), minimal=True, steps=200),
    "ddn": Known(knowledge=WHITE_BOX, norms=(Norm.L2,), minimal=True, steps=100),
    "deepfool": Known(knowledge=WHITE_BOX, norms=PIXELS, minimal=True, steps=50),
    "fmn": Known(knowledge=WHITE_BOX, norms=(Norm.LINF,), minimal=True, steps=100),
    "ead": Known(knowledge=WHITE_BOX, norms=(Norm.L1,), minimal=True, steps=200),
    "square": Known(knowledge=QUERIES, norms=(Norm.LINF,), queries=1000),
    "hopskipjump": Known(knowledge=QUERIES, norms=(Norm.L2,), minimal=True, queries=1000),
    "boundary": Known(knowledge=QUERIES, norms=(Norm.L2,), minimal=True, queries=1000),
    "universal": Known(knowledge=WHITE_BOX, norms=(Norm.LINF,), steps=100, universal=True),
    "pattern": Known(knowledge=MOVED, norms=(Norm.PATTERN,), steps=100),
    "occluder": Known(knowledge=(Knowledge.NO_BOX,), norms=(Norm.PATTERN,), iterative=False),
    "prototype": Known(knowledge=(Knowledge.NO_BOX,), norms=(Norm.LINF,), steps=100),
}
"""Every attack by name. ``occluder`` is the grey patch a ``pattern`` is held against."""


@dataclass(frozen=True)
class Attack:
    """An attack of a plug-in: a white-box or transfer attack with a budget.

    Attributes:
        traits: what it can do.
        run: ``run(head, faces, labels, *, norm, eps, steps, seeds, restart)`` -> (N, 3, H, W) attacked faces in [0, 1]
            within `eps` of `faces`; see docs/plugins.md.
    """

    traits: Known
    run: Callable[..., Any]


PLUGGED: Registry[Attack] = Registry("attack", group="facebench.attacks")
"""Attacks of plug-ins."""


def known_attack(name: str) -> Known | None:
    """Return what an attack can do; None where nobody brings it."""
    if name in ATTACKS:
        return ATTACKS[name]
    if name not in PLUGGED:
        return None
    found = PLUGGED.get(name)
    if not isinstance(found, Attack):
        raise PluginError(f"attack {name!r} is {type(found).__name__}; expected facebench.schema.attacks.Attack")
    return found.traits


class AttackCell(Strict):
    """One cell of the grid: one attack, one goal, one kind of attacker, one or several budgets."""

    attack: str = Field(description="fgsm, bim, pgd, ... as listed in docs/attacks.md")
    goal: Goal
    knowledge: Knowledge | None = Field(None, description="default: the first the attack is made for")
    norm: Norm | None = Field(None, description="default: the first the attack is made for")
    eps: tuple[Epsilon, ...] = Field((), description='budgets, rising, such as "8/255"; none for patterns')
    steps: int | None = Field(None, ge=1, le=10_000)
    restarts: int | None = Field(None, ge=1, le=100)
    queries: int | None = Field(None, ge=10, le=100_000)
    surrogate: str | None = Field(None, description="transfer: a registered model or the path of a model file")
    pattern: Pattern | None = None
    max_pairs: int | None = Field(None, ge=1, description="fewer pairs than the section's, for dear attacks")

    @model_validator(mode="before")
    @classmethod
    def _defaults(cls, value: object) -> object:
        name = value.get("attack") if isinstance(value, dict) else None
        known = known_attack(name) if isinstance(name, str) else None
        if known is None or not isinstance(value, dict):
            return value
        filled = {"knowledge": known.knowledge[0], "norm": known.norms[0]}
        return {**filled, **{key: item for key, item in value.items() if item is not None}}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        known = known_attack(self.attack)
        if known is None:
            names = sorted([*ATTACKS, *PLUGGED.names()])
            hint = did_you_mean(self.attack, names)
            raise ValueError(f"unknown attack {self.attack!r}.{hint} Known: {', '.join(names)}.")
        if self.knowledge not in known.knowledge:
            raise ValueError(f"{self.attack} is a {' or '.join(known.knowledge)} attack, not {self.knowledge}")
        if self.norm not in known.norms:
            raise ValueError(f"{self.attack} works in {' or '.join(known.norms)}, not in {self.norm}")
        if (self.surrogate is not None) != (self.knowledge is Knowledge.TRANSFER):
            raise ValueError("`surrogate` and `knowledge: transfer` belong together")
        if (self.pattern is not None) != (self.norm is Norm.PATTERN):
            raise ValueError(f"`pattern` belongs to the attacks pattern and occluder, which need it ({self.attack})")
        if (not self.eps) != (self.norm is Norm.PATTERN):
            raise ValueError(f"{self.attack} needs `eps`" if not self.eps else "a pattern has no `eps`")
        if self.norm is Norm.LINF and any("/" not in text and epsilon_value(text) == 1 for text in self.eps):
            raise ValueError(
                "eps 1 is the whole range of a pixel, which turns any face into any other; for 1 of 255 grey levels "
                'write "1/255"'
            )
        values = self.eps_values
        if any(b <= a for a, b in pairwise(values)):
            raise ValueError(f"eps must rise: {', '.join(self.eps)}")
        if self.queries is not None and known.queries is None:
            raise ValueError(f"{self.attack} takes no `queries`")
        return self

    @property
    def known(self) -> Known:
        """What the attack can do."""
        found = known_attack(self.attack)
        assert found is not None, "checked when the cell was read"
        return found

    @property
    def eps_values(self) -> tuple[float, ...]:
        """The budgets as numbers."""
        return tuple(epsilon_value(text) for text in self.eps)

    @property
    def label(self) -> str:
        """Attack and norm, such as ``pgd-linf`` or ``pattern-glasses``, and the surrogate of a transfer attack."""
        name = f"{self.attack}-{self.pattern or self.norm}"
        return f"{name}@{_stem(self.surrogate)}" if self.surrogate else name

    def condition(self, eps: str | None) -> str:
        """Return the condition of the cell at one budget, such as ``attack:pgd-linf:8/255:dodging``."""
        return ":".join(part for part in ("attack", self.label, eps, self.goal.value) if part)


def _stem(reference: str) -> str:
    return reference.replace("\\", "/").rpartition("/")[2].removesuffix(".yaml").removesuffix(".yml")


class AttackSpec(Strict):
    """Attacks on a sample of the comparisons, at the clean threshold."""

    cells: tuple[AttackCell, ...] = Field(min_length=1)
    fmr_target: float | None = Field(
        None, gt=0, lt=1, description="whose threshold; default: the leading operating point"
    )
    operating_point: str | None = Field(None, description="name of the threshold, in place of fmr_target")
    max_pairs: int = Field(200, ge=1, description="comparisons drawn per goal")
    batch: int = Field(16, ge=1, le=512, description="pairs attacked at once")
    check_pairs: int = Field(8, ge=1, description="pairs of each cell the masking checks spend passes on")
    save_examples: int = Field(0, ge=0, description="adversarial images per cell kept beside the result")

    @model_validator(mode="after")
    def _different(self) -> Self:
        seen = [cell.condition(eps) for cell in self.cells for eps in (cell.eps or (None,))]
        twice = sorted({condition for condition in seen if seen.count(condition) > 1})
        if twice:
            raise ValueError(f"asked for twice: {', '.join(twice)}")
        return self
