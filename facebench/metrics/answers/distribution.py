"""Shares of K classes against the votes of several people: how far the two distributions lie apart, image by image.

Sources: the six measures of Geng, "Label distribution learning", 2016; Jensen-Shannon after Lin, 1991; the majority of
FER+ after Barsoum et al., "Training deep networks for facial expression recognition with crowd-sourced label
distribution", 2016.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from facebench.metrics.answers.classify import SMALLEST, classify_table
from facebench.metrics.answers.table import Figure, Floats, Table, column, known_rows, share
from facebench.metrics.streams import Fixed, fixed_generator

SPLIT_IMAGES = 20_000
"""Images whose raters are split in halves, at most about twice as many; they lie evenly over all."""
DISTANCES = ("js", "kl", "chebyshev", "clark", "canberra", "cosine", "intersection", "cross_entropy")


def distribution_table(
    answers: Floats, votes: Floats, majority: NDArray[np.int64], classes: Sequence[str], *, raw: Floats, bins: int
) -> Table:
    """Return the table of a task with shares of K classes: all figures of classes, of the majority, and distances.

    Args:
        answers: (N, K) shares summing to 1; rows of NaN are no answer, and left out of the distances.
        votes: (N, K) votes that count, with a sum above 0.
        majority: (N,) index of the class most people chose.
        classes: K names.
        raw: (N, C) votes as they were given, of the K classes and then of other columns.
        bins: of confidence, for the calibration error.
    """
    table = classify_table(answers, majority, classes, bins=bins, labels_only=False)
    truth = votes / votes.sum(axis=1, keepdims=True)
    known = known_rows(answers)
    each = distances(truth, np.where(known[:, None], answers, 1 / len(classes)))
    rows = np.where(known[:, None], np.concatenate([np.ones((len(each), 1)), each], axis=1), 0.0)
    start = table.rows.shape[1]
    even = distances(truth, np.full_like(truth, 1 / len(classes))).mean(axis=0)
    mean = truth.mean(axis=0)
    always = distances(truth, np.broadcast_to(mean, truth.shape)).mean(axis=0)
    figures = []
    for number, metric in enumerate(DISTANCES):
        nulls = {"always the mean distribution": float(always[number]), "all classes alike": float(even[number])}
        if metric == "js":
            halves = split_half(raw[:, : len(classes)])
            nulls = {**({"half of the raters against the other half": halves} if np.isfinite(halves) else {}), **nulls}
        figures.append(_mean(metric, start, number, nulls))
    counted = _with_one_rater(table.figures, raw, majority, len(classes))
    lead = ("js", *table.lead)
    return Table(np.concatenate([table.rows, rows], axis=1), (*figures, *counted), table.ranked, lead, table.lead_each)


def _mean(metric: str, start: int, number: int, nulls: dict[str, float]) -> Figure:
    total, n = column(start + 1 + number), column(start)
    return Figure(metric, lambda sums: share(total(sums), n(sums)), null=nulls)


def distances(p: Floats, q: Floats) -> Floats:
    """Return (N, 8) distances of rows of shares, in the order of `DISTANCES`; p is the truth.

    Logarithms are natural, shares of q are held above 1e-12 before theirs is taken, and terms in which both shares are
    0 count 0.
    """
    held = np.maximum(q, SMALLEST)
    logs = np.log(np.where(p > 0, p, 1.0))
    cross = -(p * np.log(held)).sum(axis=1)
    kl = (p * logs).sum(axis=1) + cross
    both = p + q
    safe = np.where(both > 0, both, 1.0)
    apart = np.abs(p - q)
    norms = np.linalg.norm(p, axis=1) * np.linalg.norm(q, axis=1)
    return np.stack(
        [
            jensen_shannon(p, q), kl, apart.max(axis=1), np.sqrt(((apart / safe) ** 2).sum(axis=1)),
            (apart / safe).sum(axis=1), (p * q).sum(axis=1) / norms, np.minimum(p, q).sum(axis=1), cross,
        ],
        axis=1,
    )  # fmt: skip


def jensen_shannon(p: Floats, q: Floats) -> Floats:
    """Return (N,) Jensen-Shannon divergences in nats, from 0 to ln 2; its square root is the distance of that name.

    >>> jensen_shannon(np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])).round(3).tolist()
    [0.693]
    """
    middle = (p + q) / 2

    def against(shares: Floats) -> Floats:
        inside = shares > 0
        ratio = np.where(inside, shares, 1.0) / np.where(inside, middle, 1.0)
        return np.asarray((shares * np.log(ratio)).sum(axis=1))

    return np.asarray(np.maximum(0.0, (against(p) + against(q)) / 2))


def ferplus_majority(votes: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """Return votes without single ones, and the column with more than half of those; -1 where there is none.

    Args:
        votes: (N, C) of all columns, such as unknown and no face.

    >>> ferplus_majority(np.array([[8.0, 1, 1], [5, 5, 0], [5, 3, 1]]))[1].tolist()
    [0, -1, 0]
    """
    kept = np.where(votes > 1, votes, 0.0)
    top = kept.argmax(axis=1)
    most = kept[np.arange(len(kept)), top]
    return kept, np.where(most > 0.5 * kept.sum(axis=1), top, -1)


def most_votes(votes: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """Return the votes, and the column with the most; -1 where several have, or nobody voted."""
    most = votes.max(axis=1)
    alone = (votes == most[:, None]).sum(axis=1) == 1
    return votes, np.where(alone & (most > 0), votes.argmax(axis=1), -1)


def split_half(votes: Floats) -> float:
    """Return the mean Jensen-Shannon divergence of half of the raters of an image from the other half, in nats.

    Which half a rater is in is drawn, the same in every run. No answer can be shown to be nearer to the truth than
    that: the truth itself is a sample of people.
    """
    rng = fixed_generator(Fixed.SPLIT_RATERS)
    whole = votes[:: max(1, len(votes) // SPLIT_IMAGES)].astype(np.int64)
    sizes = whole.sum(axis=1)
    several = sizes >= 2
    if not several.any():
        return float("nan")
    first = rng.multivariate_hypergeometric
    halves = np.array([first(row, int(n) // 2) for row, n in zip(whole[several], sizes[several], strict=True)])
    rest = whole[several] - halves
    p, q = (part / part.sum(axis=1, keepdims=True) for part in (halves, rest))
    return float(jensen_shannon(p, q).mean())


def one_rater(votes: Floats, majority: NDArray[np.int64]) -> Floats:
    """Return (N,) how likely one of the raters gave the majority's answer.

    It is kind to him: his own vote is part of the majority.
    """
    return share(votes[np.arange(len(votes)), majority], votes.sum(axis=1))


def _with_one_rater(figures: Sequence[Figure], raw: Floats, majority: NDArray[np.int64], k: int) -> list[Figure]:
    """Return figures with what one rater scores beside accuracy and mean recall."""
    right = one_rater(raw, majority)
    each = [right[majority == c].mean() if (majority == c).any() else np.nan for c in range(k)]
    known = {"top1_accuracy": float(right.mean()), "uar": float(np.mean(each))}
    return [
        replace(figure, null={"one rater": known[figure.metric], **figure.null})
        if figure.of is None and np.isfinite(known.get(figure.metric, np.nan))
        else figure
        for figure in figures
    ]
