"""Conditions in words."""

from __future__ import annotations

from facebench.schema.robustness import POSITIONS, kind_of, level_of, levels_of

PLACES = (
    "upper left",
    "upper middle",
    "upper right",
    "left",
    "middle",
    "right",
    "lower left",
    "lower middle",
    "lower right",
)


def words(condition: str) -> str:
    """Return a condition in words, without its family.

    >>> words("corruption:gaussian_noise:3"), words("occlusion:sliding_patch:5"), words("geometry:flip")
    ('gaussian noise, severity 3', 'sliding patch, middle', 'flip')
    """
    name, level = kind_of(condition).partition(":")[2].replace("_", " "), level_of(condition)
    if level is None:
        return name
    if levels_of(kind_of(condition)) == POSITIONS:
        return f"{name}, {PLACES[level - 1]}"
    return f"{name}, severity {level}"
