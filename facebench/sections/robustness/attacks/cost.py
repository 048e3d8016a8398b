"""What attacks will cost, in passes of one face through the network, before they are run."""

from __future__ import annotations

from dataclasses import dataclass

from facebench.schema.attacks import AttackCell, AttackSpec, Knowledge

BACKWARD = 1.0  # of a backward pass for the image alone, in forward passes: measured .9 to 1.1 on CNNs


@dataclass(frozen=True)
class CellCost:
    """The expected cost of a cell; `passes` counts a forward and a backward pass as one each."""

    condition: str
    pairs: int
    passes: int


def passes(cell: AttackCell, n_pairs: int) -> float:
    """Return the passes of one face that a cell takes for `n_pairs` attacked pairs, checks left out."""
    known, levels = cell.known, max(len(cell.eps), 1)
    if cell.knowledge is Knowledge.BLACK_BOX:
        queries = cell.queries or known.queries or 0
        return float(n_pairs * queries * (levels if cell.attack == "square" else 1))
    if cell.knowledge is Knowledge.NO_BOX:
        return float(n_pairs * levels)
    steps = cell.steps or known.steps or 1
    both = steps * (1 + BACKWARD)
    if known.minimal:
        return n_pairs * both * {"cw": 5, "ead": 7.5}.get(cell.attack, 1)
    if cell.pattern is not None:
        return n_pairs * both * 4
    return n_pairs * levels * (both + 2) * (cell.restarts or known.restarts)


def plan(spec: AttackSpec) -> list[CellCost]:
    """Return the expected cost of every cell, should every comparison drawn be attacked.

    >>> spec = AttackSpec.parse({"cells": [{"attack": "fgsm", "goal": "dodging", "eps": ["8/255"]}]}, where="doctest")
    >>> plan(spec)
    [CellCost(condition='attack:fgsm-linf:dodging', pairs=200, passes=800)]
    """
    found = []
    for cell in spec.cells:
        n = min(cell.max_pairs or spec.max_pairs, spec.max_pairs)
        found.append(CellCost(cell.condition(None), n, round(passes(cell, n))))
    return found
