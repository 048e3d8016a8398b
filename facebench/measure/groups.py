"""Demographic groups: from the columns of a manifest to one label per image, per grouping."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from facebench.errors import InputError, UnknownNameError
from facebench.metrics.fairness import individual_typology_angle
from facebench.schema import GroupSpec, Unmeasured

Column = Sequence[str | float | None]
MAX_GROUPS = 40


@dataclass(frozen=True, eq=False)
class Grouping:
    """One way of dividing the images into groups.

    Attributes:
        name: the attributes, joined by ``&``; for example ``race&gender``.
        groups: names such as ``race=asian&gender=female``, in order.
        label: (N,) index into `groups` per image, -1 where an attribute is missing.
    """

    name: str
    groups: tuple[str, ...]
    label: NDArray[np.int32]

    @property
    def incomplete(self) -> bool:
        """Whether some images belong to no group."""
        return bool((self.label < 0).any())


def with_derived(attributes: Mapping[str, Column], spec: GroupSpec | None) -> Mapping[str, Column]:
    """Return the columns with `ita` added, where the protocol names the columns of L* and b*.

    Raises:
        UnknownNameError: no such column.
        InputError: a column holds words, or the manifest has a column `ita` of its own.
    """
    if spec is None or spec.ita is None:
        return attributes
    for column in spec.ita:
        if column not in attributes:
            raise UnknownNameError("attribute", column, attributes, where="the protocol's groups.ita")
        if any(isinstance(value, str) for value in attributes[column]):
            raise InputError(f"groups.ita: the column {column!r} holds words; L* and b* are numbers")
    if "ita" in attributes:
        raise InputError("groups.ita: the manifest has a column 'ita' already; leave out the key")
    lightness, yellow = (attributes[column] for column in spec.ita)
    angles: list[str | float | None] = [
        None if a is None or b is None else individual_typology_angle(float(a), float(b))
        for a, b in zip(lightness, yellow, strict=True)
    ]
    return {**attributes, "ita": angles}


def make_groupings(attributes: Mapping[str, Column], spec: GroupSpec) -> tuple[list[Grouping], list[Unmeasured]]:
    """Return the groupings a protocol asks for, and what it asks for that this data cannot give.

    Raises:
        UnknownNameError: the protocol names a column the manifest does not have.
    """
    wanted = list(attributes) if spec.attributes == "all" else list(spec.attributes)
    for column in [*wanted, *(column for columns in _listed(spec) for column in columns)]:
        if column not in attributes:
            raise UnknownNameError("attribute", column, attributes, where="the protocol's groups")
    single: dict[str, Grouping] = {}
    categorical: list[str] = []
    unmeasured = []
    for column in dict.fromkeys([*wanted, *(c for columns in _listed(spec) for c in columns)]):
        made = _single(column, attributes[column], spec)
        if isinstance(made, str):
            unmeasured.append(Unmeasured(what=f"differentials by {column}", why=made))
            continue
        single[column] = made
        if column in wanted and not is_numeric(attributes[column]):
            categorical.append(column)
    crossed = combinations(categorical, 2) if spec.intersections == "pairwise" else _listed(spec)
    groupings = [single[column] for column in wanted if column in single]
    for columns in crossed:
        if not all(column in single for column in columns):
            continue
        made = _cross([single[column] for column in columns])
        if len(made.groups) > MAX_GROUPS:
            why = f"{len(made.groups)} groups; at most {MAX_GROUPS} are compared"
            unmeasured.append(Unmeasured(what=f"differentials by {made.name}", why=why))
        else:
            groupings.append(made)
    return groupings, unmeasured


def _listed(spec: GroupSpec) -> tuple[tuple[str, ...], ...]:
    return spec.intersections if isinstance(spec.intersections, tuple) else ()


def is_numeric(column: Column) -> bool:
    """Tell whether a column holds numbers."""
    return any(issubclass(kind, float) for kind in set(map(type, column)))  # those of numpy too


def _single(name: str, column: Column, spec: GroupSpec) -> Grouping | str:
    """Return the grouping by one column, or why there is none."""
    if is_numeric(column):
        if name not in spec.bins:
            return "the column is numeric and the protocol states no bins for it"
        return _binned(name, column, spec.bins[name])
    if name in spec.bins:
        raise InputError(f"the protocol bins {name!r} as a number, but the manifest holds words in that column")
    values = sorted({str(value) for value in column if value is not None})
    if len(values) < 2:
        return "all images have the same value" if values else "the column is empty"
    if len(values) > MAX_GROUPS:
        return f"{len(values)} different values; at most {MAX_GROUPS} groups are compared"
    index = {value: i for i, value in enumerate(values)}
    label = np.array([-1 if value is None else index[str(value)] for value in column], np.int32)
    return Grouping(name, tuple(f"{name}={value}" for value in values), label)


def _binned(name: str, column: Column, edges: tuple[float, ...]) -> Grouping | str:
    values = np.array([np.nan if value is None else float(value) for value in column])
    bins = np.where(np.isnan(values), -1, np.searchsorted(edges, values, side="right") - 1)
    bins = np.where(bins >= len(edges) - 1, -1, bins)
    used = [b for b in range(len(edges) - 1) if (bins == b).any()]
    if len(used) < 2:
        return "all images fall into one bin"
    position = {b: i for i, b in enumerate(used)}
    label = np.array([position.get(int(b), -1) for b in bins], np.int32)
    return Grouping(name, tuple(f"{name}={edges[b]:g}-{edges[b + 1]:g}" for b in used), label)


def _cross(parts: Sequence[Grouping]) -> Grouping:
    rows = np.stack([part.label for part in parts])
    known = np.asarray((rows >= 0).all(axis=0))
    combinations_found = sorted({tuple(int(i) for i in column) for column in rows[:, known].T})
    index = {combination: i for i, combination in enumerate(combinations_found)}
    label = np.array(
        [index[tuple(int(i) for i in column)] if ok else -1 for column, ok in zip(rows.T, known, strict=True)], np.int32
    )
    names = tuple(
        "&".join(part.groups[i] for part, i in zip(parts, combination, strict=True))
        for combination in combinations_found
    )
    return Grouping("&".join(part.name for part in parts), names, label)
