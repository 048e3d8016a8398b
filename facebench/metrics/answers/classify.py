"""One of K classes: accuracy, recall per class and its mean, F1, agreement beyond chance, calibration."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from facebench.metrics.answers.ranked import risk_coverage_area
from facebench.metrics.answers.table import (
    Figure,
    Floats,
    Ranked,
    Table,
    column,
    diagonal,
    known_rows,
    rate,
    share,
    total_of,
)

SMALLEST = 1e-12
"""Probabilities are held above it before their logarithm is taken."""


def classify_table(
    probabilities: Floats,
    truth: NDArray[np.int64],
    classes: Sequence[str],
    *,
    bins: int,
    labels_only: bool,
    other: Floats | None = None,
) -> Table:
    """Return the table of a task with K classes.

    An image without an answer counts as wrong in every share of images; calibration is of answered images only. Where
    several classes are most probable, the first counts as answered.

    Args:
        probabilities: (N, K); rows of NaN are no answer. One-hot rows when only labels are known.
        truth: (N,) index of the true class.
        classes: K names.
        bins: of confidence, for the calibration error.
        labels_only: whether confidence is not known, so that nothing is said of calibration.
        other: (N,) the largest probability of a class the task does not have; above all others it is the answer, and
            wrong.
    """
    n, k = probabilities.shape
    answered = known_rows(probabilities)
    safe = np.where(answered[:, None], probabilities, 0.0)
    top = safe.max(axis=1)
    elsewhere = np.zeros(n, bool) if other is None else np.where(answered, other, 0.0) > top
    said = np.where(answered & ~elsewhere, safe.argmax(axis=1), k)
    hit = (said == truth) & answered
    confusion = np.zeros((n, k * (k + 1)))
    confusion[np.arange(n), truth * (k + 1) + said] = 1
    rows = [confusion]
    counts = np.bincount(truth, minlength=k)
    figures = _counted(k, classes, counts / max(1, n))
    ranked: tuple[Ranked, ...] = ()
    if not labels_only:
        top = np.where(elsewhere, other, top) if other is not None else top
        width = k * (k + 1)
        rows += [_losses(safe, truth, answered), _by_bin(top, hit, answered, bins)]
        figures += [*_costs(width), _calibration(width + 3, bins)]
        inside = np.flatnonzero(answered)
        wrong = (~hit[inside]).astype(float)
        ranked = (Ranked("aurc", inside, top[inside], wrong, risk_coverage_area),)
    lead = ("top1_accuracy", "uar", "macro_f1", "accuracy_common_mix")
    return Table(np.concatenate(rows, axis=1), tuple(figures), ranked, lead, ("recall",))


def confusion_of(sums: Floats, k: int) -> Floats:
    """Return (..., K, K + 1) counts: rows true, columns answered, the last for no class of the task."""
    return sums[..., : k * (k + 1)].reshape(*sums.shape[:-1], k, k + 1)


def _counted(k: int, classes: Sequence[str], mix: Floats) -> list[Figure]:
    def table(sums: Floats) -> Floats:
        return confusion_of(sums, k)

    def right(sums: Floats) -> Floats:
        return total_of(diagonal(table(sums)))

    def images(sums: Floats) -> Floats:
        return total_of(table(sums), 2)

    def recalls(sums: Floats) -> Floats:
        cells = table(sums)
        return share(diagonal(cells[..., :k]), cells.sum(axis=-1))

    def f1s(sums: Floats) -> Floats:
        cells = table(sums)
        return share(2 * diagonal(cells[..., :k]), cells.sum(axis=-1) + cells[..., :k].sum(axis=-2))

    def common_mix(sums: Floats) -> Floats:
        return total_of(np.where(mix > 0, recalls(sums) * mix, 0.0))

    def weighted(sums: Floats) -> Floats:
        per_class = table(sums).sum(axis=-1)
        return share(np.sum(np.where(per_class > 0, f1s(sums) * per_class, 0.0), axis=-1), per_class.sum(axis=-1))

    def present(sums: Floats) -> Floats:
        found = recalls(sums)
        known = np.isfinite(found)
        return share(np.where(known, found, 0.0).sum(axis=-1), known.sum(axis=-1).astype(float))

    majority = {"always the commonest class": float(mix.max())}
    figures = [
        rate("top1_accuracy", right, images, null=majority),
        Figure("uar", lambda sums: recalls(sums).mean(axis=-1), null={"always one class": 1 / k}),
        Figure("uar_present", present),
        Figure("macro_f1", lambda sums: f1s(sums).mean(axis=-1)),
        Figure("weighted_f1", weighted),
        Figure("accuracy_common_mix", common_mix),
        Figure("kappa", lambda sums: _kappa(table(sums))),
        Figure("mcc", lambda sums: _mcc(table(sums))),
    ]
    for number, name in enumerate(classes):

        def true(sums: Floats, c: int = number) -> Floats:
            return total_of(table(sums)[..., c, :])

        def found(sums: Floats, c: int = number) -> Floats:
            return table(sums)[..., c, c]

        def one_f1(sums: Floats, c: int = number) -> Floats:
            return f1s(sums)[..., c]

        def answered(sums: Floats, c: int = number) -> Floats:
            return total_of(table(sums)[..., :, c])

        figures += [
            rate("recall", found, true, of=name),
            rate("precision", found, answered, of=name),
            Figure("f1", one_f1, of=name),
        ]
    return figures


def _kappa(cells: Floats) -> Floats:
    """Cohen's kappa: agreement beyond what the two margins would give by chance. Source: Cohen, 1960."""
    k = cells.shape[-2]
    n = cells.sum(axis=(-1, -2))
    agreed = share(diagonal(cells[..., :k]).sum(axis=-1), n)
    chance = share((cells.sum(axis=-1) * cells[..., :k].sum(axis=-2)).sum(axis=-1), n * n)
    return share(agreed - chance, 1 - chance)


def _mcc(cells: Floats) -> Floats:
    """Matthews' correlation for K classes. Source: Gorodkin, "Comparing two K-category assignments", 2004."""
    k = cells.shape[-2]
    true, said = cells.sum(axis=-1), cells.sum(axis=-2)
    n = true.sum(axis=-1)
    covariance = diagonal(cells[..., :k]).sum(axis=-1) * n - (true * said[..., :k]).sum(axis=-1)
    spread = (n * n - (true**2).sum(axis=-1)) * (n * n - (said**2).sum(axis=-1))
    return share(covariance, np.sqrt(np.maximum(spread, 0.0)))


def _losses(p: Floats, truth: NDArray[np.int64], answered: NDArray[np.bool_]) -> Floats:
    """Answered, Brier score (summed over classes) and negative log-likelihood (nats) of each image."""
    own = p[np.arange(len(p)), truth]
    rest = np.maximum(1 - p.sum(axis=1), 0.0)  # what was given to classes the task does not have
    brier = (p**2).sum(axis=1) + rest**2 - 2 * own + 1
    loss = -np.log(np.maximum(own, SMALLEST))
    return np.where(answered[:, None], np.stack([np.ones(len(p)), brier, loss], axis=1), 0.0)


def _costs(start: int) -> list[Figure]:
    n = column(start)
    return [
        Figure("brier", lambda sums: share(sums[..., start + 1], n(sums))),
        Figure("nll", lambda sums: share(sums[..., start + 2], n(sums))),
    ]


def _by_bin(top: Floats, hit: NDArray[np.bool_], answered: NDArray[np.bool_], bins: int) -> Floats:
    """Images, confidence and hits in each of equal bins (low, high] of confidence."""
    edges = np.linspace(0, 1, bins + 1)
    place = np.clip(np.searchsorted(edges, top, side="left") - 1, 0, bins - 1)
    found = np.zeros((len(top), 3 * bins))
    inside = np.flatnonzero(answered)
    found[inside, place[inside]] = 1
    found[inside, bins + place[inside]] = top[inside]
    found[inside, 2 * bins + place[inside]] = hit[inside]
    return found


def _calibration(start: int, bins: int) -> Figure:
    """Expected calibration error: mean over images of |accuracy - confidence| of their bin. Guo et al., 2017."""

    def ece(sums: Floats) -> Floats:
        n = sums[..., start : start + bins]
        confidence = sums[..., start + bins : start + 2 * bins]
        hits = sums[..., start + 2 * bins : start + 3 * bins]
        return share(np.abs(hits - confidence).sum(axis=-1), n.sum(axis=-1))

    return Figure("ece", ece)


def reliability(sums: Floats, k: int, bins: int) -> tuple[Floats, Floats, Floats]:
    """Return images, mean confidence and accuracy of each bin, from the sums of a table with probabilities."""
    start = k * (k + 1) + 3
    n, confidence, hits = (sums[start + i * bins : start + (i + 1) * bins] for i in range(3))
    return n, share(confidence, n), share(hits, n)
