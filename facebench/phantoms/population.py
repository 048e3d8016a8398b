"""Who is in a dataset: the attributes asked for, and the stream of identities and images that follows."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

import numpy as np

from facebench.errors import InputError, UnknownNameError
from facebench.metrics.streams import Fixed, fixed_generator
from facebench.phantoms.edits import ATTRIBUTES as EDITABLE
from facebench.phantoms.edits import PARTS, edited, level_text
from facebench.phantoms.parameters import Accessory, AgeBand, Nuisance, Sex, Subject, Tone
from facebench.phantoms.sampling import TIERS, TierName, sample_nuisance, sample_subject

ATTRIBUTES: dict[str, type[StrEnum]] = {"sex": Sex, "tone": Tone, "age_band": AgeBand}
MAX_SIZE, MIN_SIZE = 1024, 32
_Level = TypeVar("_Level", bound=StrEnum)


@dataclass(frozen=True)
class Cell:
    """Attributes an identity must have; None leaves one to chance."""

    sex: Sex | None = None
    tone: Tone | None = None
    age_band: AgeBand | None = None


FULL_CROSS: tuple[Cell, ...] = tuple(Cell(s, t, a) for s in Sex for t in Tone for a in AgeBand)


@dataclass(frozen=True)
class Request:
    """A set of phantom faces, in full; the same request gives the same pixels on any machine.

    `attributes` maps attribute names to shares that sum to 1; `full_cross` asks for the same number of identities
    in each cell of sex x tone x age band; `accessories` maps names to the probability per image. `sweeps` maps
    attributes to levels, and `part_swaps` names parts: edits of each identity's first image, added to its images.
    """

    identities: int
    images_per_identity: int
    seed: int = 0
    tier: TierName = "default"
    first_identity: int = 0
    size: int = 112
    attributes: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    full_cross: bool = False
    accessories: Mapping[str, float] = field(default_factory=dict)
    sweeps: Mapping[str, Sequence[float | str]] = field(default_factory=dict)
    part_swaps: Sequence[str] = ()

    def __post_init__(self) -> None:
        _check_counts(self)
        _check_attributes(self)
        _check_accessories(self.accessories)
        _check_edits(self)

    @property
    def images(self) -> int:
        """Number of images asked for."""
        edits = sum(len(levels) for levels in self.sweeps.values()) + len(self.part_swaps) * self.images_per_identity
        return self.identities * (self.images_per_identity + edits)

    @property
    def identity_numbers(self) -> range:
        """Numbers of the identities; requests with ranges that do not overlap share no identity."""
        return range(self.first_identity, self.first_identity + self.identities)

    def cells(self) -> list[Cell]:
        """What each identity must be, in order; shares are met to the nearest whole identity."""
        if self.full_cross:
            return [FULL_CROSS[k % len(FULL_CROSS)] for k in range(self.identities)]
        return [
            Cell(s, t, a)
            for s, t, a in zip(
                self._levels("sex", Sex), self._levels("tone", Tone), self._levels("age_band", AgeBand), strict=True
            )
        ]

    def _levels(self, name: str, kind: type[_Level]) -> list[_Level | None]:
        shares = self.attributes.get(name)
        if shares is None:
            return [None] * self.identities
        counts = apportion([shares.get(level.value, 0.0) for level in kind], self.identities)
        levels = [level for level, count in zip(kind, counts, strict=True) for _ in range(count)]
        # Shuffled per attribute, so that two attributes are not tied to each other.
        rng = np.random.default_rng([self.seed, self.first_identity, zlib.crc32(name.encode())])
        return [levels[k] for k in rng.permutation(self.identities)]


def apportion(shares: list[float], total: int) -> list[int]:
    """Whole counts that sum to `total`, by largest remainders.

    >>> apportion([0.5, 0.3, 0.2], 4)
    [2, 1, 1]
    """
    exact = [share * total for share in shares]
    counts = [math.floor(value + 1e-9) for value in exact]
    by_remainder = sorted(range(len(shares)), key=lambda k: counts[k] - exact[k])
    for k in by_remainder[: total - sum(counts)]:
        counts[k] += 1
    return counts


def subject_of(request: Request, number: int, cell: Cell) -> Subject:
    """The identity with a number: depends on seed, number and cell only."""
    rng = np.random.default_rng([request.seed, number])
    return sample_subject(rng, sex=cell.sex, tone=cell.tone, age_band=cell.age_band)


def nuisance_of(request: Request, number: int, index: int) -> Nuisance:
    """What is particular to one image of an identity."""
    # The image counts from 1: a generator keyed [seed, number, 0] is the one keyed [seed, number].
    rng = np.random.default_rng([request.seed, number, 1 + index])
    return sample_nuisance(rng, request.tier, request.accessories)


def _check_counts(request: Request) -> None:
    for name, low in (("identities", 1), ("images_per_identity", 1), ("seed", 0), ("first_identity", 0)):
        value = getattr(request, name)
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < low:
            raise InputError(f"{name} is {value!r}; phantom faces need a whole number of at least {low}.")
    if not MIN_SIZE <= request.size <= MAX_SIZE:
        raise InputError(f"size is {request.size}; phantom faces are {MIN_SIZE} to {MAX_SIZE} pixels wide.")
    if request.tier not in TIERS:
        raise InputError(f"unknown tier {request.tier!r} of phantom faces. Known: {', '.join(TIERS)}.")


def _check_attributes(request: Request) -> None:
    if request.full_cross:
        if request.attributes:
            raise InputError(
                "full_cross already fixes sex, tone and age_band; give either full_cross or attributes, not both."
            )
        if request.identities % len(FULL_CROSS):
            lower = request.identities // len(FULL_CROSS) * len(FULL_CROSS)
            near = f"{lower} or {lower + len(FULL_CROSS)}" if lower else str(len(FULL_CROSS))
            raise InputError(
                f"full_cross needs a multiple of {len(FULL_CROSS)} identities (2 sexes x 3 tones x 3 age bands), "
                f"not {request.identities}; ask for {near}."
            )
    for name, shares in request.attributes.items():
        if name not in ATTRIBUTES:
            raise InputError(f"unknown attribute {name!r} of phantom faces. Known: {', '.join(ATTRIBUTES)}.")
        known = [level.value for level in ATTRIBUTES[name]]
        for level, share in shares.items():
            if level not in known:
                raise InputError(f"unknown value {level!r} of attribute {name!r}. Known: {', '.join(known)}.")
            if not (math.isfinite(share) and 0 <= share <= 1):
                raise InputError(f"the share of {name}={level} is {share}; shares lie between 0 and 1.")
        if not math.isclose(sum(shares.values()), 1.0, abs_tol=1e-6):
            raise InputError(f"the shares of attribute {name!r} sum to {sum(shares.values()):g}; they must sum to 1.")


def _check_accessories(accessories: Mapping[str, float]) -> None:
    known = [kind.value for kind in Accessory if kind is not Accessory.NONE]
    for name, probability in accessories.items():
        if name not in known:
            raise InputError(f"unknown accessory {name!r} of phantom faces. Known: {', '.join(known)}.")
        if not (math.isfinite(probability) and 0 <= probability <= 1):
            raise InputError(f"the probability of accessory {name!r} is {probability}; it lies between 0 and 1.")
    total = sum(accessories.values())
    if total > 1 + 1e-9:
        raise InputError(
            f"the probabilities of accessories sum to {total:g}; an image shows at most one, so at most 1."
        )


def _check_edits(request: Request) -> None:
    for attribute, levels in request.sweeps.items():
        if attribute not in EDITABLE:
            raise UnknownNameError("attribute of phantom faces", attribute, EDITABLE)
        if not levels:
            raise InputError(f"no levels given for attribute {attribute!r}; a sweep needs at least one.")
        if len({level_text(level) for level in levels}) < len(levels):
            raise InputError(f"a level of attribute {attribute!r} is given twice; each level makes one image.")
        rng = fixed_generator(Fixed.TRIED_EDIT)
        probe = sample_subject(rng), sample_nuisance(rng)
        for level in levels:
            edited(*probe, attribute, level)
    for part in request.part_swaps:
        if part not in PARTS:
            raise UnknownNameError("part of the face", part, PARTS)
    if len(set(request.part_swaps)) < len(request.part_swaps):
        raise InputError("a part is given twice; each part is swapped once.")
    if request.part_swaps and request.images_per_identity < 2:
        raise InputError("part swaps need at least 2 images per identity: the probe, and a mate to compare it with.")
