"""The contracts of conditions and attacks, as functions plug-in authors can call from their own tests."""

from __future__ import annotations

from typing import Any

import numpy as np

from facebench.metrics.streams import FIXED_SEED
from facebench.probes.face import Change, Kind, Pixels
from facebench.schema.attacks import Attack, Knowledge, Known, Norm
from facebench.schema.robustness import FAMILIES, SEVERITIES

SIDE = 112
LANDMARKS = np.array([[38.3, 51.7], [73.5, 51.5], [56.0, 71.7], [41.5, 92.4], [70.7, 92.2]])


def check_condition_contract(kind: Any, name: str) -> None:
    """Check a change of pictures: size and type, its input untouched, and the same draws giving the same picture.

    Raises:
        AssertionError: says which rule is broken.
    """
    assert isinstance(kind, Kind), f"{name} is {type(kind).__name__}; expected facebench.probes.face.Kind"
    family = name.partition(":")[0]
    assert family in FAMILIES, f"{name}: call the entry point FAMILY.NAME, with a family of {', '.join(FAMILIES)}"
    known = kind.levels == SEVERITIES[: len(kind.levels)]
    assert known, f"{name}: levels are 1, 2, ... up to {SEVERITIES[-1]}, found {kind.levels}"
    rng = np.random.default_rng(FIXED_SEED)
    y, x = np.mgrid[:SIDE, :SIDE]
    plain = np.stack([(x + 2 * y) % 256, (3 * x + y) % 256, (x * y) % 256], axis=2)
    face = np.clip(plain // 2 + rng.integers(0, 100, plain.shape), 0, 255).astype(np.uint8)
    before = face.copy()
    changed = False
    for level in kind.levels or (1,):
        first, second = (kind.apply(_change(face, level)) for _ in range(2))
        assert isinstance(first, np.ndarray), f"{name} returned {type(first).__name__}; expected an array"
        assert first.shape == face.shape, f"{name} returned {first.shape} for {face.shape}"
        assert first.dtype == np.uint8, f"{name} returned {first.dtype}; expected uint8"
        assert np.array_equal(before, face), f"{name} changed the picture it was given"
        assert np.array_equal(first, second), f"{name}: the same face, level and draws gave two pictures"
        changed |= not np.array_equal(first, face)
    assert changed, f"{name} changes nothing"
    if kind.turn is not None:
        nothing = np.zeros((1, 1, 3), np.uint8)
        turn = float(kind.turn(_change(nothing, (kind.levels or (1,))[-1])))
        assert np.isfinite(turn), f"{name}: `turn` gave {turn}; expected radians"


def _change(face: Pixels, level: int) -> Change:
    return Change(face, LANDMARKS.copy(), np.random.default_rng(FIXED_SEED), level)


def check_attack_contract(attack: Any, name: str) -> None:
    """Check an attack: what it declares, and for one that climbs gradients that it keeps its budget on a toy network.

    Raises:
        AssertionError: says which rule is broken.
    """
    if isinstance(attack, Known):  # built in: its function is reached by its name
        return
    assert isinstance(attack, Attack), f"{name} is {type(attack).__name__}; expected facebench.schema.attacks.Attack"
    traits = attack.traits
    assert isinstance(traits, Known), f"{name}: `traits` must be facebench.schema.attacks.Known"
    assert not traits.minimal, f"{name}: attacks of plug-ins are given their budget; leave `minimal` out"
    allowed = {Knowledge.WHITE_BOX, Knowledge.TRANSFER}
    assert set(traits.knowledge) <= allowed, f"{name}: attacks of plug-ins are white-box or transfer attacks"
    assert set(traits.norms) <= {Norm.LINF, Norm.L2}, f"{name}: attacks of plug-ins are measured in linf or l2"
    assert traits.steps, f"{name}: `steps` must say how many steps it takes when none are asked for"
    from facebench.probes.attacks.plugged import check_on_toy

    check_on_toy(attack, name)
