"""Margins of answers: how far an answer is right, so that an attack on a pair of faces also runs on an answer.

Every rule takes what the network says, (N, W) with its heads side by side, and what is true, (N, T). Above zero the
answer is right. Margins are divided by a unit of their own size, so that an attack sees the same slope whatever the
scale of the answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log

import torch
from torch import Tensor

from facebench.probes.attacks.head import MarginRule

_LEAST = 1e-12  # a probability, before its logarithm


def class_rule(
    numbers: slice, order: Sequence[int | None], classes: int, *, logits: bool, unit: float = 1.0
) -> MarginRule:
    """Return the log odds of the true class against the strongest other; the truth is the number of the class.

    Several numbers of the model may stand for one class; one that stands for none is a class of its own.
    """
    own = [[place for place, stands in enumerate(order) if stands == number] for number in range(classes)]
    strange = [place for place, stands in enumerate(order) if stands is None]

    def margin(said: Tensor, truth: Tensor) -> Tensor:
        found = said[:, numbers]
        found = found if logits else found.clamp_min(_LEAST).log()
        columns = [torch.logsumexp(found[:, places], 1) for places in own] + [found[:, place] for place in strange]
        scores = torch.stack(columns, 1)
        right = truth[:, :1].long()
        hidden = torch.zeros_like(scores, dtype=torch.bool).scatter(1, right, True)
        others = scores.masked_fill(hidden, -torch.inf).amax(1)
        return (scores.gather(1, right)[:, 0] - others) / unit

    return margin


def value_rule(places: Sequence[int], *, scale: float, wrap: bool, unit: float = 1.0) -> MarginRule:
    """Return how far the mean size of the error is below what is allowed; the truth is the values, then that limit."""

    def margin(said: Tensor, truth: Tensor) -> Tensor:
        off = said[:, list(places)] * scale - truth[:, :-1]
        if wrap:
            off = torch.remainder(off + 180, 360) - 180
        return (truth[:, -1] - off.abs().mean(1)) / unit

    return margin


def score_rule(
    numbers: slice, place: int, *, activation: str, scale: float, threshold: float, unit: float = 1.0
) -> MarginRule:
    """Return how far a score lies on the right side of the threshold; the truth is 1 above it and -1 below it.

    Probabilities, and logits that become some, are taken as log odds, which do not flatten where a model is sure.
    """
    cut = threshold if activation == "values" else _log_odds(threshold)

    def margin(said: Tensor, truth: Tensor) -> Tensor:
        found = said[:, numbers]
        if activation == "values":
            score = found[:, place] * scale
        elif activation == "probabilities":
            share = found[:, place].clamp(_LEAST, 1 - 1e-6)
            score = torch.log(share) - torch.log1p(-share)
        else:
            others = [number for number in range(found.shape[1]) if number != place]
            score = found[:, place] - (torch.logsumexp(found[:, others], 1) if others else 0)
        return (score - cut) * truth[:, 0] / unit

    return margin


def label_rule(places: Sequence[int], *, logits: bool, threshold: float, unit: float = 1.0) -> MarginRule:
    """Return the mean over labels of how far each lies on its right side; the truth is 1, -1, or 0 where not coded."""
    cut = _log_odds(threshold) if logits else threshold

    def margin(said: Tensor, truth: Tensor) -> Tensor:
        coded = truth.abs().sum(1).clamp_min(1)
        return ((said[:, list(places)] - cut) * truth).sum(1) / coded / unit

    return margin


def _log_odds(share: float) -> float:
    held = min(max(share, 1e-6), 1 - 1e-6)
    return log(held / (1 - held))
