"""Shares of classes beside the votes of several people."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from facebench.errors import InputError
from facebench.measure.answers.columns import (
    Floats,
    Judged,
    in_order,
    order_of_classes,
    probabilities,
    refuse_nothing,
    values,
)
from facebench.measure.groups import Column
from facebench.metrics.answers import distribution_table
from facebench.metrics.answers.distribution import ferplus_majority, most_votes
from facebench.metrics.answers.table import known_rows, share
from facebench.schema.model import Activation, OutputSpec
from facebench.schema.task import DistributionTask

_RULES = {"ferplus-majority": ferplus_majority, "most-votes": most_votes}


def judged_votes(
    task: DistributionTask, head: OutputSpec, given: Floats, columns: Mapping[str, Column], where: str
) -> Judged:
    """Return the shares of a model beside the votes of the images that have a majority.

    What a model gives to classes the task does not have is dropped, and the rest made to sum to 1, as FER+ does.

    Raises:
        InputError: votes are no whole numbers from 0, or the model gives words instead of shares.
    """
    if head.activation is Activation.LABEL:
        raise InputError(f"{where} compares distributions, but {head.name!r} holds words; columns p_<class> are needed")
    order = order_of_classes(head, task.classes, task.merge, where)
    votes = _votes(task, columns, where)
    k = len(task.classes)
    known = known_rows(votes)
    kept, majority = _RULES[task.rule](np.where(known[:, None], votes, 0.0))
    counted = known & (majority >= 0) & (majority < k)
    reasons = {
        "no votes": ~known,
        "no majority": known & (majority < 0),
        "most votes are for no class": known & (majority >= k),
    }
    rows = np.flatnonzero(counted)
    refuse_nothing(rows, ", ".join(task.truth.values()), where)
    shares = probabilities(given[rows], head, where)
    shares = in_order(shares, order, k)
    total = shares.sum(axis=1, keepdims=True)
    answers = share(shares, np.broadcast_to(total, shares.shape))
    table = distribution_table(
        answers, kept[rows, :k], majority[rows], task.classes, raw=votes[rows], bins=task.calibration_bins
    )
    left_out = {why: int(rows.sum()) for why, rows in reasons.items() if rows.any()}
    return Judged(table, rows, task.classes, known_rows(answers), left_out, truth=majority[rows, None].astype(float))


def _votes(task: DistributionTask, columns: Mapping[str, Column], where: str) -> Floats:
    names = (*task.truth.values(), *task.other)
    votes = np.stack([values(name, columns, (), where) for name in names], axis=1)
    wrong = np.argwhere((votes < 0) | (votes != np.round(votes)) & np.isfinite(votes))
    if wrong.size:
        row, place = wrong[0]
        raise InputError(
            f"{where}: image row {row + 1} has {votes[row, place]:g} in {names[place]!r}; votes are counts of people, "
            "whole numbers from 0"
        )
    return votes
