"""Slices of the data in which errors are most frequent: found on one half of the units, tested on the other.

Slices are looked for among all that the columns describe, alone and in twos. What is found on one half would look bad
on that half by selection alone; the other half, which had no say, tests the few that were chosen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
ALIKE = 0.8
"""Share of common images (Jaccard) from which on two slices are one."""


@dataclass(frozen=True, eq=False)
class Excess:
    """Mean loss inside a slice against the rest, over some images.

    Attributes:
        inside, outside: mean loss.
        variance_inside: of the first, over units.
        variance: of the difference, over units.
        n, units: images and units inside.
    """

    inside: float
    outside: float
    variance_inside: float
    variance: float
    n: int
    units: int

    @property
    def value(self) -> float:
        """The mean loss inside less that outside."""
        return self.inside - self.outside

    @property
    def t(self) -> float:
        """The excess in standard errors."""
        return self.value / np.sqrt(self.variance) if self.variance > 0 else 0.0

    @property
    def p_value(self) -> float:
        """One-sided p-value of no excess, by Student's t with units inside - 1 degrees of freedom."""
        from scipy.special import stdtr

        return float(1 - stdtr(max(1, self.units - 1), self.t)) if self.variance > 0 else 1.0


def excess(loss: Floats, unit: NDArray[np.int64], member: Mask) -> Excess | None:
    """Return the excess of a slice; None where it is empty or everything.

    The variance is that of the linearised difference, ``V = U / (U - 1) sum_u (sum_{i in u} d_i)²`` with
    ``d_i = (l_i - m_in) / n_in`` inside and ``-(l_i - m_out) / n_out`` outside, so that persons with images on both
    sides count once.
    """
    n, m = int(member.sum()), int((~member).sum())
    if not n or not m:
        return None
    inside, outside = float(loss[member].mean()), float(loss[~member].mean())
    parts = np.where(member, (loss - inside) / n, -(loss - outside) / m)
    per_unit = np.bincount(unit, parts)
    own = np.bincount(unit[member], parts[member])
    units = int(np.unique(unit[member]).size)
    everyone = int(np.unique(unit).size)
    if units < 2 or everyone < 2:
        return None
    return Excess(
        inside, outside, float(own @ own) * units / (units - 1), float(per_unit @ per_unit) * everyone / (everyone - 1),
        n, units,
    )  # fmt: skip


def described(columns: Mapping[str, Mapping[str, Mask]]) -> dict[str, Mask]:
    """Return every slice that one value describes, or two of different columns, by its name.

    Args:
        columns: by column, its values and (N,) which images have them.
    """
    found = {name: mask for values in columns.values() for name, mask in values.items()}
    for first, second in combinations(columns, 2):
        for a, mask in columns[first].items():
            for b, other in columns[second].items():
                found[f"{a} & {b}"] = mask & other
    return found


def worst_slices(
    loss: Floats, unit: NDArray[np.int64], slices: Mapping[str, Mask], *, count: int, min_units: int
) -> list[str]:
    """Return the names of up to `count` slices with the largest excess in standard errors, the largest first.

    Slices of fewer than `min_units` units, inside or outside, and slices much like one that was chosen are left out.
    """
    ranked = []
    for name, member in slices.items():
        if np.unique(unit[member]).size < min_units or np.unique(unit[~member]).size < min_units:
            continue
        found = excess(loss, unit, member)
        if found is not None and found.value > 0 and found.variance > 0:
            ranked.append((-found.t, name))
    chosen: list[str] = []
    for _, name in sorted(ranked):
        if len(chosen) == count:
            break
        if all(_overlap(slices[name], slices[other]) < ALIKE for other in chosen):
            chosen.append(name)
    return chosen


def _overlap(first: Mask, second: Mask) -> float:
    return float((first & second).sum() / max(1, (first | second).sum()))
