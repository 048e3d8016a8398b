"""The negative control of every fairness protocol, and the correction for how many questions it asks.

People are given the labels of others at random. Such groups differ by chance alone, so a differential between them says
that intervals and tests are too narrow for this data, and nothing said of real groups can be trusted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.measure.groups import Grouping
from facebench.metrics import catalogue, families
from facebench.metrics.catalogue import Kind
from facebench.metrics.streams import Stream, generator
from facebench.schema import Estimate, Flag, Point

CONDITION = "control:random-labels"
NAME = "random labels"
LEVEL = 0.01
"""Chance of flagging a sound instrument, over all control tests of a result."""

KEPT = ("fmr_gap", "fmr_max_min", "equal_fmr_test", "fnmr_gap", "fnmr_max_min", "equal_fnmr_test")


def control_grouping(grouping: Grouping, identity: NDArray[np.integer[Any]], seed: int) -> Grouping:
    """Return a grouping in which the labels of identities are shuffled, so that its groups are as large as before.

    An identity whose images carry several labels takes its most frequent one.
    """
    n = int(identity.max()) + 1
    votes = np.zeros((n, len(grouping.groups) + 1), np.int64)
    np.add.at(votes, (identity, grouping.label), 1)  # label -1 lands in the last column: no label
    own = votes.argmax(axis=1)
    shuffled = own[generator(Stream.CONTROL_LABELS, seed).permutation(n)]
    label = np.where(shuffled == len(grouping.groups), -1, shuffled)[identity].astype(np.int32)
    used = np.unique(label[label >= 0])
    position = np.full(len(grouping.groups) + 1, -1, np.int32)
    position[used] = np.arange(used.size)
    return Grouping(NAME, tuple(f"{NAME}={i + 1}" for i in range(used.size)), position[label])


def as_control(estimates: Sequence[Estimate], grouping: str) -> list[Estimate]:
    """Return the differentials of the shuffled groups, under the name of the grouping they mimic, flagged if unlike."""
    kept = [e for e in estimates if e.group == NAME and e.metric in KEPT]
    tests = [e for e in kept if e.p_value is not None]
    failed = {
        (catalogue.metric(e.metric).rate, e.point)
        for e in tests
        if e.p_value is not None and e.p_value * len(tests) < LEVEL
    }
    found = []
    for e in kept:
        rate = catalogue.metric(e.metric).rate
        flags = (*e.flags, Flag.CONTROL_FAILED) if (rate, e.point) in failed else e.flags
        found.append(e.model_copy(update={"group": grouping, "condition": CONDITION, "flags": flags}))
    return found


def in_control(condition: str) -> bool:
    """Tell whether a condition is that of the shuffled groups."""
    return condition == CONDITION


def of_control(estimate: Estimate) -> bool:
    """Tell whether an estimate belongs to the shuffled groups."""
    return estimate.group == NAME or estimate.group.startswith(f"{NAME}=")


def corrected(estimates: Sequence[Estimate]) -> list[Estimate]:
    """Return the estimates with p values of equal rates corrected over all such tests at the same operating point."""
    found = list(estimates)
    members: dict[Point | None, list[int]] = {}
    for i, e in enumerate(found):
        test = catalogue.metric(e.metric).kind is Kind.TEST
        if test and e.condition == "clean" and e.p_value is not None:
            members.setdefault(e.point, []).append(i)
    for rows in members.values():
        p = [found[i].p_value or 0.0 for i in rows]
        for i, claim, explore in zip(rows, families.holm(p), families.benjamini_hochberg(p), strict=True):
            found[i] = found[i].model_copy(update={"p_holm": claim, "q_value": explore, "family": len(rows)})
    return found
