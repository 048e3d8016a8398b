"""One score per image, higher for bona fide: attacks accepted per species, bona fide rejected, and their trade-off.

Terms are those of ISO/IEC 30107-3: APCER of a species of attack instruments is the share of its attacks that are taken
for bona fide, BPCER the share of bona fide presentations taken for attacks. A presentation is accepted when its score
is at least the threshold.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from facebench.metrics.answers.ranked import Ends, ends_of_ties, roc_area
from facebench.metrics.answers.table import Figure, Floats, Of, Ranked, Table, column, rate, share

APCER_LIMITS = (0.10, 0.05)
"""Of BPCER10 and BPCER20."""
FPR_LIMIT = 0.01
AT_THRESHOLD = frozenset({"apcer", "apcer_worst", "apcer_pooled", "bpcer", "acer", "answer_hter"})
"""Metrics that are read at the threshold of the protocol."""
_ROUNDING = 1e-12


def score_table(scores: Floats, species: NDArray[np.int64], names: Sequence[str], *, threshold: float) -> Table:
    """Return the table of a task with one score.

    A presentation without an answer is an error: an attack counts as accepted, a bona fide presentation as rejected;
    how many there are stands beside (`apnrr`, `bpnrr`). Figures of the order of scores are of answered ones.

    Args:
        scores: (N,) higher for bona fide; NaN for no answer.
        species: (N,) 0 for bona fide, s for species s of 1..S.
        names: S names of the species.
        threshold: of the scores; from there on a presentation is accepted.
    """
    answered = np.isfinite(scores)
    accepted = np.where(answered, scores >= threshold, species > 0)
    kinds = np.eye(len(names) + 1)[species]
    wrong = np.where(species > 0, accepted, ~accepted)
    rows = np.concatenate([kinds, kinds * wrong[:, None], kinds * ~answered[:, None]], axis=1)
    figures = _figures(names, bool((~answered).any()))
    inside = np.flatnonzero(answered)
    given, kind = scores[inside], species[inside].astype(float)
    bona_fide = (kind == 0).astype(float)
    ranked = [Ranked("answer_auc", inside, given, bona_fide, roc_area)]
    ranked.append(Ranked("answer_eer", inside, given, bona_fide, equal_error))
    for limit in APCER_LIMITS:
        value = partial(bpcer_at_apcer, n_species=len(names), limit=limit)
        ranked.append(Ranked("bpcer_at_apcer", inside, given, kind, value, at=limit))
    ranked.append(Ranked("tpr_at_fpr", inside, given, bona_fide, partial(tpr_at_fpr, limit=FPR_LIMIT), at=FPR_LIMIT))
    return Table(rows, tuple(figures), tuple(ranked), ("bpcer", "apcer_worst"))


def _figures(names: Sequence[str], unanswered: bool) -> list[Figure]:
    kinds = len(names) + 1

    def attacks(start: int) -> Of:
        return lambda sums: np.asarray(sums[..., start + 1 : start + kinds].sum(axis=-1))

    each = [rate("apcer", column(kinds + s), column(s), of=name) for s, name in enumerate(names, 1)]
    bpcer = rate("bpcer", column(kinds), column(0))
    pooled = rate("apcer_pooled", attacks(kinds), attacks(0))

    def worst(sums: Floats) -> Floats:
        return np.asarray(np.max([figure.value(sums) for figure in each], axis=0))

    all_alike = {"accepting all, or none": 0.5}
    figures = [
        Figure("apcer_worst", worst, parts=tuple(each)),
        bpcer,
        Figure("acer", lambda sums: (worst(sums) + bpcer.value(sums)) / 2, null=all_alike),
        Figure("answer_hter", lambda sums: (pooled.value(sums) + bpcer.value(sums)) / 2, null=all_alike),
        pooled,
    ]
    if unanswered:
        figures += [rate("apnrr", attacks(2 * kinds), attacks(0)), rate("bpnrr", column(2 * kinds), column(0))]
    return figures + each


def _accepted(weight: Floats, kind: Floats, ends: Ends) -> Floats:
    """Return (r, e + 1) shares of a kind (n,) of 0 and 1 accepted, from a threshold above all scores downwards."""
    hits = np.cumsum(weight * kind, axis=1)
    total = hits[:, -1:] if hits.shape[1] else np.zeros((len(weight), 1))
    return np.concatenate([np.where(total > 0, 0.0, np.nan), share(hits[:, ends], total)], axis=1)


def equal_error(weight: Floats, bona_fide: Floats, ends: Ends) -> Floats:
    """Return the error rate where attacks accepted and bona fide rejected are alike, straight between steps.

    Args:
        weight: (r, n) of the images in falling order of score.
        bona_fide: (n,) 1 or 0.
        ends: of ties.
    """
    false, missed = _accepted(weight, 1 - bona_fide, ends), 1 - _accepted(weight, bona_fide, ends)
    apart = false - missed  # rises from -1 to 1
    after = np.maximum(1, (apart >= 0).argmax(axis=1)) if apart.shape[1] > 1 else np.zeros(len(apart), int)
    rows = np.arange(len(apart))
    before = np.maximum(0, after - 1)
    step = apart[rows, after] - apart[rows, before]
    part = share(-apart[rows, before], step)
    return np.asarray(false[rows, before] + part * (false[rows, after] - false[rows, before]))


def tpr_at_fpr(weight: Floats, bona_fide: Floats, ends: Ends, *, limit: float) -> Floats:
    """Return the largest share of bona fide accepted with at most `limit` of all attacks. Arguments: `equal_error`."""
    false, hits = _accepted(weight, 1 - bona_fide, ends), _accepted(weight, bona_fide, ends)
    known = np.isfinite(false).all(axis=1) & np.isfinite(hits).all(axis=1)
    return np.where(known, np.where(false <= limit + _ROUNDING, hits, 0.0).max(axis=1), np.nan)


def bpcer_at_apcer(weight: Floats, kind: Floats, ends: Ends, *, n_species: int, limit: float) -> Floats:
    """Return BPCER at the lowest threshold at which at most `limit` of every species is accepted.

    Args:
        weight, ends: as for `equal_error`.
        kind: (n,) 0 for bona fide, s for species s of 1..n_species.
        n_species: how many species there are; where one has no weight, the figure is undefined.
        limit: of APCER.
    """
    hits = _accepted(weight, (kind == 0).astype(float), ends)
    each = [_accepted(weight, (kind == s).astype(float), ends) for s in range(1, n_species + 1)]
    worst = np.max(each, axis=0)
    known = np.isfinite(worst).all(axis=1) & np.isfinite(hits).all(axis=1)
    return np.where(known, 1 - np.where(worst <= limit + _ROUNDING, hits, 0.0).max(axis=1), np.nan)


def eer_threshold(scores: Floats, bona_fide: NDArray[np.bool_]) -> float:
    """Return the score at which attacks accepted and bona fide rejected lie nearest to each other.

    Of several the one with the smaller sum of both, then the lowest.

    Args:
        scores: (N,) finite.
        bona_fide: (N,) holding both values.

    >>> eer_threshold(np.array([0.1, 0.4, 0.6, 0.9]), np.array([False, False, True, True]))
    0.6
    """
    order = np.argsort(-scores, kind="stable")
    ends = ends_of_ties(scores[order])
    whole = np.ones((1, scores.size))
    genuine = bona_fide[order].astype(float)
    false = _accepted(whole, 1 - genuine, ends)[0, 1:]
    missed = 1 - _accepted(whole, genuine, ends)[0, 1:]
    places = scores[order][ends]
    apart, both = np.round(np.abs(false - missed), 12), np.round(false + missed, 12)
    return float(places[np.lexsort((places, both, apart))[0]])
