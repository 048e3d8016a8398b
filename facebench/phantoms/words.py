"""What people write on a command line, as requests for phantom faces."""

from __future__ import annotations

from collections.abc import Sequence

from facebench.errors import InputError, UnknownNameError
from facebench.phantoms.edits import ATTRIBUTES, PARTS, SWEEPS, Level


def read_shares(words: Sequence[str]) -> dict[str, dict[str, float]]:
    """Read shares of attributes.

    >>> read_shares(["sex=female:0.7,male:0.3"])
    {'sex': {'female': 0.7, 'male': 0.3}}
    """
    shares: dict[str, dict[str, float]] = {}
    for word in words:
        name, value = _split(word, "=", "--attribute", "sex=female:0.7,male:0.3")
        if name in shares:
            raise InputError(f"--attribute {name} is given twice; give all its shares at once")
        pairs = [_split(part, ":", f"--attribute {name}", "female:0.7") for part in value.split(",")]
        shares[name] = {level: _number(share, f"--attribute {name}={level}") for level, share in pairs}
        if len(shares[name]) < len(pairs):
            raise InputError(f"--attribute {word} gives a value twice")
    return shares


def read_worn(words: Sequence[str]) -> dict[str, float]:
    """Read probabilities of accessories.

    >>> read_worn(["glasses=0.2,mask=0.1", "cap=0.05"])
    {'glasses': 0.2, 'mask': 0.1, 'cap': 0.05}
    """
    worn: dict[str, float] = {}
    for part in (part for word in words for part in word.split(",")):
        name, value = _split(part, "=", "--accessory", "glasses=0.2")
        if name in worn:
            raise InputError(f"--accessory {name} is given twice")
        worn[name] = _number(value, f"--accessory {name}")
    return worn


def read_sweeps(words: Sequence[str]) -> dict[str, tuple[Level, ...]]:
    """Read sweeps; without levels an attribute has its usual ones, and `all` sweeps all attributes.

    >>> read_sweeps(["tone=0.1,0.9", "hair=long"])
    {'tone': (0.1, 0.9), 'hair': ('long',)}
    """
    sweeps: dict[str, tuple[Level, ...]] = {}
    for word in words:
        name, given, value = word.partition("=")
        if name == "all" and not given:
            fresh: dict[str, tuple[Level, ...]] = dict(SWEEPS)
        elif name not in ATTRIBUTES:
            raise UnknownNameError("attribute of phantom faces", name, ATTRIBUTES)
        else:
            fresh = {name: tuple(map(_level, value.split(","))) if given else SWEEPS[name]}
        for attribute, levels in fresh.items():
            if attribute in sweeps:
                raise InputError(f"--counterfactual {attribute} is given twice; give all its levels at once")
            sweeps[attribute] = levels
    return sweeps


def read_parts(words: str | None) -> tuple[str, ...]:
    """Read parts to swap.

    >>> read_parts("eyes,nose")
    ('eyes', 'nose')
    """
    if words is None:
        return ()
    return PARTS if words == "all" else tuple(words.split(","))


def _level(text: str) -> Level:
    try:
        return float(text)
    except ValueError:
        return text


def _split(text: str, sign: str, option: str, example: str) -> tuple[str, str]:
    name, found, value = text.partition(sign)
    if not (found and name and value):
        raise InputError(f"{option} {text!r} cannot be read; write it like {example}")
    return name, value


def _number(text: str, where: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(f"{where}: {text!r} is no number") from None
