"""Figures that depend on the order of scores, for images that carry weights. Tied scores are one step."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from facebench.metrics.answers.table import Floats, share

Ends = NDArray[np.int64]


def ends_of_ties(score: Floats) -> Ends:
    """Return the last place of each run of equal scores; scores are in falling order."""
    return np.flatnonzero(np.append(np.diff(score) != 0, True)) if score.size else np.zeros(0, np.int64)


def risk_coverage_area(weight: Floats, wrong: Floats, ends: Ends) -> Floats:
    """Return the area under the risk-coverage curve: the mean, over images, of the error among those at least as sure.

    Args:
        weight: (r, n) of the images in falling order of confidence.
        wrong: (n,) 1 for a wrong answer.
        ends: of ties.
    """
    covered = np.cumsum(weight, axis=1)[:, ends]
    errors = np.cumsum(weight * wrong, axis=1)[:, ends]
    steps = np.diff(covered, prepend=0.0, axis=1)
    risk = np.where(covered > 0, errors / np.where(covered > 0, covered, 1.0), 0.0)
    return share((risk * steps).sum(axis=1), covered[:, -1] if ends.size else np.zeros(len(weight)))


def roc_area(weight: Floats, positive: Floats, ends: Ends) -> Floats:
    """Return the area under the ROC curve; ties count half. Arguments as in `risk_coverage_area`."""
    hits = np.cumsum(weight * positive, axis=1)[:, ends]
    false = np.cumsum(weight * (1 - positive), axis=1)[:, ends]
    if not ends.size:
        return np.full(len(weight), np.nan)
    steps = np.diff(false, prepend=0.0, axis=1)
    middle = hits - np.diff(hits, prepend=0.0, axis=1) / 2
    return share((steps * middle).sum(axis=1), hits[:, -1] * false[:, -1])


def average_precision(weight: Floats, positive: Floats, ends: Ends) -> Floats:
    """Return the average precision: precision at each step of recall, without interpolation.

    Arguments as in `risk_coverage_area`.
    """
    if not ends.size:
        return np.full(len(weight), np.nan)
    hits = np.cumsum(weight * positive, axis=1)[:, ends]
    shown = np.cumsum(weight, axis=1)[:, ends]
    precision = np.where(shown > 0, hits / np.where(shown > 0, shown, 1.0), 0.0)
    return share((np.diff(hits, prepend=0.0, axis=1) * precision).sum(axis=1), hits[:, -1])
