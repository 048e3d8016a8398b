"""Representational alignment: whether two sources of scores order the same comparisons alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.errors import InputError

MIN_IDENTITIES = 10
BLOCKS = 20


@dataclass(frozen=True)
class Aligned:
    """Spearman's correlation with its interval; None where it is undefined, or where identities are too few."""

    value: float | None
    ci_low: float | None
    ci_high: float | None


def rank_alignment(
    first: NDArray[np.floating[Any]],
    second: NDArray[np.floating[Any]],
    left: NDArray[np.int64],
    right: NDArray[np.int64],
    *,
    confidence: float = 0.95,
) -> Aligned:
    """Return Spearman's correlation of two scores of the same comparisons, with an interval over identities.

    Comparisons share people, so they are not independent: the interval comes from a jackknife that leaves out blocks of
    identities with every comparison they take part in, on Fisher's z scale with Student's t. Source: Kriegeskorte, Mur
    and Bandettini 2008, "Representational similarity analysis" (the statistic); Busing, Meijer and van der Leeden 1999
    (the delete-m jackknife).

    Args:
        first, second: (C,) scores.
        left, right: (C,) identity of either end of each comparison.
        confidence: of the interval.

    Raises:
        InputError: the arrays differ in length or hold NaN.

    >>> scores = np.array([0.1, 0.4, 0.2])
    >>> rank_alignment(scores, scores**3, np.array([0, 0, 1]), np.array([1, 2, 2])).value
    1.0
    """
    if not (len(first) == len(second) == len(left) == len(right)):
        raise InputError("an alignment needs two scores and two identities for every comparison")
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise InputError("a score is NaN or infinite; leave its comparison out")
    value = spearman(first, second)
    people = np.unique(np.concatenate([left, right]))
    if value is None or len(people) < MIN_IDENTITIES:
        return Aligned(value, None, None)
    blocks = min(BLOCKS, len(people))
    # identities come in the order of the dataset, which may be sorted by group: deal them out in turn
    block = {int(person): k % blocks for k, person in enumerate(people)}
    a, b = (np.array([block[int(person)] for person in ends]) for ends in (left, right))
    left_out = [spearman(first[keep], second[keep]) for keep in ((a != k) & (b != k) for k in range(blocks))]
    if abs(value) >= 1 or any(found is None for found in left_out):
        return Aligned(value, None, None)
    return Aligned(value, *_interval(value, np.array(left_out, np.float64), confidence))


def _interval(value: float, left_out: NDArray[np.float64], confidence: float) -> tuple[float, float]:
    from scipy.special import stdtrit

    n = len(left_out)
    z = np.arctanh(np.clip(left_out, -1 + 1e-15, 1 - 1e-15))
    error = float(np.sqrt((n - 1) / n * np.sum((z - z.mean()) ** 2)))
    half = float(stdtrit(n - 1, 0.5 + confidence / 2)) * error
    centre = float(np.arctanh(value))
    return float(np.tanh(centre - half)), float(np.tanh(centre + half))


def judge_agreement(
    judge: NDArray[np.int64], comparison: NDArray[np.int64], similarity: NDArray[np.floating[Any]]
) -> float | None:
    """Return how well one judge predicts the others: mean Spearman's correlation of each with the mean of the rest.

    The lower bound of the noise ceiling: a model that predicts the judgements as well as a person does reaches about
    this value. Source: Nili et al. 2014, "A toolbox for representational similarity analysis".

    Args:
        judge, comparison: (J,) who judged what.
        similarity: (J,) what was said.

    Returns:
        None with fewer than two judges who share three comparisons with others.

    >>> said = np.array([1.0, 2.0, 3.0, 2.0, 4.0, 5.0])
    >>> judge_agreement(np.array([0, 0, 0, 1, 1, 1]), np.array([0, 1, 2, 0, 1, 2]), said)
    1.0
    """
    found = []
    total, times = (np.bincount(comparison, weights) for weights in (similarity, None))
    for one in np.unique(judge):
        mine = judge == one
        where = comparison[mine]
        others = times[where] - 1
        shared = others > 0
        if shared.sum() < 3:
            continue
        rest = (total[where] - similarity[mine])[shared] / others[shared]
        agreed = spearman(similarity[mine][shared], rest)
        if agreed is not None:
            found.append(agreed)
    return float(np.mean(found)) if len(found) >= 2 else None


def spearman(first: NDArray[np.floating[Any]], second: NDArray[np.floating[Any]]) -> float | None:
    """Return Spearman's correlation, ties at their mean rank; None when one side does not vary."""
    from scipy.stats import rankdata

    if len(first) < 2:
        return None
    a, b = (rankdata(scores).astype(np.float64) for scores in (first, second))
    a -= a.mean()
    b -= b.mean()
    scale = float(np.sqrt((a @ a) * (b @ b)))
    return None if scale == 0 else min(1.0, max(-1.0, float(a @ b) / scale))
