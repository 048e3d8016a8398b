"""What a protocol asks of robustness: conditions under which probe images are compared again; and what a run tells.

A condition is written ``family:name`` or ``family:name:level``, for example ``corruption:gaussian_noise:3`` or
``occlusion:surgical_mask``. A family alone means all its names, a name alone all its levels.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from facebench.errors import UnknownNameError
from facebench.registry import Registry
from facebench.schema._base import Strict
from facebench.schema.attack_report import AnswerAttackReport, AttackReport
from facebench.schema.attacks import AttackSpec

SEVERITIES = (1, 2, 3, 4, 5)
POSITIONS = tuple(range(1, 10))

_GRADED = {
    "corruption": (
        "gaussian_noise", "shot_noise", "impulse_noise", "speckle_noise", "salt_and_pepper", "gaussian_blur",
        "defocus_blur", "motion_blur", "zoom_blur", "glass_blur", "fog", "rain", "snow", "brightness", "low_light",
        "contrast", "saturation", "hue", "jpeg", "pixelate", "resample", "bit_depth",
    ),
    "occlusion": ("random_rectangle",),
    "geometry": ("rotation", "crop", "translation", "scale", "misalignment"),
}  # fmt: skip
_PLAIN = {
    "corruption": (),
    "occlusion": ("surgical_mask", "sunglasses", "eyeglasses", "hat", "scarf", "hand"),
    "geometry": ("crop_70", "flip"),
}

FAMILIES = tuple(_GRADED)
LEVELS: dict[str, tuple[int, ...]] = {
    **{f"{family}:{name}": SEVERITIES for family in FAMILIES for name in _GRADED[family]},
    **{f"{family}:{name}": () for family in FAMILIES for name in _PLAIN[family]},
    "occlusion:sliding_patch": POSITIONS,
}
"""Every built-in condition without its level, and its levels: severities, for the sliding patch positions, or none."""


def spelled(point: str) -> str:
    """Return the name of a condition from that of its entry point, which holds a dot in place of the colon.

    >>> spelled("corruption.dust")
    'corruption:dust'
    """
    return point.replace(".", ":", 1)


PLUGGED: Registry[Any] = Registry("condition", group="facebench.conditions", spell=spelled)
"""Conditions of plug-ins; each is asked for by its own name, never by its family alone."""


def levels_of(kind: str) -> tuple[int, ...]:
    """Return the levels of a condition without its level; of one that is not known here, none."""
    if kind in LEVELS:
        return LEVELS[kind]
    return tuple(PLUGGED.get(kind).levels) if kind in PLUGGED else ()


def family_of(condition: str) -> str:
    """Return the first word of a condition.

    >>> family_of("corruption:fog:3")
    'corruption'
    """
    return condition.partition(":")[0]


def kind_of(condition: str) -> str:
    """Return a condition without its level.

    >>> kind_of("corruption:fog:3"), kind_of("geometry:flip")
    ('corruption:fog', 'geometry:flip')
    """
    return ":".join(condition.split(":")[:2])


def level_of(condition: str) -> int | None:
    """Return the level of a condition, or None.

    >>> level_of("corruption:fog:3"), level_of("geometry:flip")
    (3, None)
    """
    parts = condition.split(":")
    return int(parts[2]) if len(parts) > 2 else None


def expand(asked: Iterable[str], severities: Iterable[int] = SEVERITIES) -> tuple[str, ...]:
    """Return the full names of the conditions asked for, in order, each once.

    >>> expand(["geometry:flip", "corruption:fog"], [1, 3])
    ('geometry:flip', 'corruption:fog:1', 'corruption:fog:3')

    Raises:
        UnknownNameError: no such family, name or level; the message suggests the closest.
    """
    wanted = tuple(severities)
    found: dict[str, None] = {}
    for text in asked:
        if text in LEVELS or text in FAMILIES:
            for kind in LEVELS if text in FAMILIES else (text,):
                if text in (kind, family_of(kind)):
                    found |= dict.fromkeys(_with_levels(kind, wanted))
        elif text in PLUGGED:
            found |= dict.fromkeys(_with_levels(text, wanted))
        elif kind_of(text) not in (*LEVELS, *PLUGGED.names()):
            raise UnknownNameError("condition", text, [*FAMILIES, *LEVELS, *PLUGGED.names()])
        elif text not in _with_levels(kind_of(text), SEVERITIES):
            raise UnknownNameError("level in condition", text, _with_levels(kind_of(text), SEVERITIES))
        else:
            found[text] = None
    return tuple(found)


def _with_levels(kind: str, severities: tuple[int, ...]) -> list[str]:
    levels = levels_of(kind)
    return [f"{kind}:{n}" for n in levels if levels != SEVERITIES or n in severities] or [kind]


def _known(conditions: tuple[str, ...]) -> tuple[str, ...]:
    try:
        expand(conditions)
    except UnknownNameError as error:
        raise ValueError(str(error)) from None
    return conditions


Conditions = Annotated[tuple[str, ...], AfterValidator(_known)]
"""Names of conditions in a protocol: family, family:name or family:name:level, each one known."""


class RobustnessSpec(Strict):
    """Verification again under altered probe images, at the clean thresholds."""

    conditions: Conditions = Field((), description="family, family:name or family:name:level")
    severities: tuple[int, ...] | None = Field(None, description="of 1 to 5; default: all, where no level is given")
    apply_to: Literal["probe", "both"] = Field("probe", description="which images of a comparison are altered")
    attacks: AttackSpec | None = Field(None, description="changes made by an attacker, on a sample of comparisons")

    @field_validator("severities")
    @classmethod
    def _in_range(cls, severities: tuple[int, ...] | None) -> tuple[int, ...] | None:
        if severities is not None and (not severities or not set(severities) <= set(SEVERITIES)):
            raise ValueError("severities must be numbers from 1 to 5, at least one")
        return severities

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.conditions and self.attacks is None:
            raise ValueError("robustness asks for nothing; list `conditions`, such as corruption, or give `attacks`")
        return self

    @property
    def expanded(self) -> tuple[str, ...]:
        """Every condition with its level, in the order of the protocol."""
        return expand(self.conditions, self.severities or SEVERITIES)


class ConditionFailure(Strict):
    """An image that worked when clean and gave no embedding under a condition."""

    condition: str
    image_id: str
    reason: str


class Example(Strict):
    """A small picture of one face under a condition, as a data URI."""

    condition: str
    picture: str = Field(pattern=r"^data:image/(jpeg|png);base64,[A-Za-z0-9+/=]+$")


class RobustnessDetails(Strict):
    """What a run tells of its conditions besides the estimates."""

    conditions: tuple[str, ...] = ()
    apply_to: Literal["probe", "both"] = "probe"
    failures: tuple[ConditionFailure, ...] = Field((), description="they count as failures to acquire (`fta`)")
    examples: tuple[Example, ...] = Field((), description="of phantom faces only; the first one is the clean face")
    attacks: AttackReport | None = None
    answer_attacks: AnswerAttackReport | None = None
