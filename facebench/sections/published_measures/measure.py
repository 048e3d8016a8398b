"""Measures kept for comparison with published tables: those of RFW, and the disparities of FR-NAS.

RFW: accuracy of each group on its own pairs, and over the groups its standard deviation and the skewed error ratio.
FR-NAS: how far down the ranking of each image its first mate stands, per group, and absolute and relative differences
between two groups, with their sign.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.errors import InputError
from facebench.measure.differentials import inverted_fields
from facebench.measure.groups import Grouping
from facebench.measure.rates import spread
from facebench.measure.sample import Images, Pairs
from facebench.measure.study import groupings_of
from facebench.metrics import disparity, fairness, uncertainty, verification
from facebench.metrics.bootstrap import vertex_weights
from facebench.metrics.group_draws import GroupCounts, correlated_normals, effective_numbers
from facebench.metrics.inversion import Supposed
from facebench.metrics.paired_change import mean_change
from facebench.metrics.streams import Stream, generator
from facebench.schema import Estimate, Flag, ProtocolSpec, Unmeasured
from facebench.scoring import compare_pairs, failed_rows, similarity
from facebench.sections.contract import Listed, PlanRow, RunContext, Saved, SectionResult

MAX_GROUPS = 10  # differences of every two groups
Floats = NDArray[np.float64]


def plan(spec: ProtocolSpec, n_images: int, seconds_per_image: float) -> list[PlanRow]:  # noqa: ARG001 - embeds nothing
    """Return the cost: one pass over all comparisons."""
    return [PlanRow("published measures", 0, n_images**2 * 1e-7)]


@dataclass(frozen=True, eq=False)
class _Case:
    """What both families of measures are computed from.

    Attributes:
        scores: (P,) of the listed comparisons, in their order; asked for only where there are such.
        ranks: (N,) see `first_mate_ranks`; None where the comparisons at hand do not tell.
    """

    spec: ProtocolSpec
    images: Images
    pairs: Pairs | None
    scores: Callable[[Pairs], NDArray[np.floating[Any]]]
    ranks: Callable[[], Floats | None]
    seed: int

    def rng(self, part: int) -> np.random.Generator:
        """Return the random numbers of one part."""
        return generator(Stream.PUBLISHED, self.seed, part)


def run(context: RunContext) -> SectionResult:
    """Compute the measures asked for."""
    comparator, seed = context.model.card.comparator.value, context.options.seed
    return _of_embeddings(context.spec, context.images, context.pairs, context.embedded.vectors, comparator, seed)


def remeasure(saved: Saved) -> SectionResult:
    """Compute them again from the embeddings."""
    comparator, seed = saved.result.model.comparator.value, saved.result.run.seed
    return _of_embeddings(saved.spec, saved.images, saved.pairs, saved.vectors, comparator, seed)


def from_scores(listed: Listed) -> SectionResult:
    """Compute them from the scores of a file."""
    scores = listed.scored.listed
    assert scores is not None
    ranks = partial(ranks_of_listed, scores, listed.pairs, listed.images.identity)
    return _measured(_Case(listed.spec, listed.images, listed.pairs, lambda _: scores, ranks, listed.seed))


def _of_embeddings(
    spec: ProtocolSpec, images: Images, pairs: Pairs | None, vectors: NDArray[np.float32], comparator: str, seed: int
) -> SectionResult:
    ranks = partial(first_mate_ranks, vectors, images.identity, comparator)
    return _measured(
        _Case(spec, images, pairs, lambda each: compare_pairs(vectors, each.a, each.b, comparator), ranks, seed)
    )


def _measured(case: _Case) -> SectionResult:
    groupings, _ = groupings_of(case.spec, case.images)
    estimates: list[Estimate] = []
    unmeasured: list[Unmeasured] = []
    for kind in case.spec.published_measures or ():
        if kind == "rfw":
            if case.pairs is None:
                raise InputError("published_measures: rfw needs a pair list (comparisons: {kind: pair-list})")
            for number, grouping in enumerate(groupings):
                estimates += _rfw(case, case.pairs, grouping, number)
        elif case.images.identities is None:
            unmeasured.append(Unmeasured(what="FR-NAS disparities", why="the dataset names no identities"))
        else:
            ranks = case.ranks()
            if ranks is None:
                why = "a rank needs every image compared with every other one, and the file leaves comparisons out"
                unmeasured.append(Unmeasured(what="FR-NAS disparities", why=why))
                continue
            for number, grouping in enumerate(groupings):
                estimates += _fr_nas(case, grouping, ranks, number)
    return SectionResult(estimates=tuple(estimates), unmeasured=tuple(unmeasured))


# ---- RFW


def _rfw(case: _Case, pairs: Pairs, grouping: Grouping, number: int) -> list[Estimate]:
    """Return accuracy per group, their standard deviation and the skewed error ratio."""
    scores = case.scores(pairs)
    correct: list[NDArray[np.bool_]] = []
    weights: list[Floats] = []
    estimates, names = [], []
    drawn = _pair_weights(case, pairs, number)
    for g, name in enumerate(grouping.groups):
        rows = np.flatnonzero((grouping.label[pairs.a] == g) & (grouping.label[pairs.b] == g))
        kinds = pairs.genuine[rows]
        if not rows.size or kinds.all() or not kinds.any():
            missing = Flag.NO_GENUINE if not kinds.any() else Flag.NO_IMPOSTOR
            estimates.append(Estimate(metric="accuracy", value=None, group=name, flags=(missing,)))
            continue
        right = _decisions(scores[rows], kinds, None if pairs.fold is None else pairs.fold[rows])
        correct.append(right)
        weights.append(drawn[:, rows])
        names.append(name)
        limits = _of_rate(float(right.mean()), right.size, spread(_mean_of(weights[-1], right)), case)
        counts = {"n_genuine": int(kinds.sum()), "n_impostor": int((~kinds).sum())}
        fields = {"metric": "accuracy", "group": name, "value": float(right.mean()), **counts, **limits}
        estimates.append(Estimate.model_validate({**fields, "flags": _doubt(case, limits)}))
    if len(correct) < 2:
        return estimates
    return estimates + _over_groups(case, grouping, correct, weights)


def _over_groups(
    case: _Case, grouping: Grouping, correct: Sequence[NDArray[np.bool_]], weights: Sequence[Floats]
) -> list[Estimate]:
    """Return the spread of the groups' accuracies: measures of their shares of wrong decisions."""
    wrong = np.stack([_mean_of(w, ~right) for w, right in zip(weights, correct, strict=True)], axis=1)
    errors, n = (np.array([f(right) for right in correct], float) for f in (lambda r: (~r).sum(), np.size))
    variances = np.array([spread(column) or 0.0 for column in wrong.T])
    n_eff = effective_numbers(errors, n, variances, n)
    supposed = Supposed((GroupCounts(errors, n, n_eff),), correlated_normals(n.size, wrong, case.rng(300)))
    estimates = []
    for metric, measure in disparity.OF_ACCURACY.items():
        found = supposed.invert(measure, case.spec.uncertainty.confidence)
        flags = (Flag.NAIVE_INTERVAL,) if case.images.identities is None and found.low is not None else ()
        if found.value is None or found.expected is None:
            flags = (*flags, Flag.INSUFFICIENT)
        fields = {"metric": metric, "group": grouping.name, "flags": flags, **inverted_fields(found)}
        estimates.append(Estimate.model_validate(fields))
    return estimates


def _mean_of(weights: Floats, decisions: NDArray[np.bool_]) -> Floats:
    """Return (R,) the share of each replicate; NaN where it drew nobody of the group."""
    with np.errstate(invalid="ignore"):
        return np.asarray((weights @ decisions) / weights.sum(1))


def _decisions(
    scores: NDArray[np.floating[Any]], genuine: NDArray[np.bool_], fold: NDArray[np.int64] | None
) -> NDArray[np.bool_]:
    """Return which pairs are decided rightly, at the best threshold of the other folds, or of all without folds."""
    right = np.zeros(scores.size, bool)
    folds = np.zeros(scores.size, np.int64) if fold is None else fold
    for name in np.unique(folds):
        inside = folds == name
        others = ~inside if fold is not None and (~inside).any() else inside
        if genuine[others].all() or not genuine[others].any():
            others = np.ones(scores.size, bool)
        threshold, _ = verification.best_threshold(scores[others & genuine], scores[others & ~genuine])
        right[inside] = (scores[inside] >= threshold) == genuine[inside]
    return right


def _pair_weights(case: _Case, pairs: Pairs, number: int) -> Floats:
    """Return (R, P) weights: identities drawn with replacement, or pairs where no identities are known."""
    rng, replicates = case.rng(number), case.spec.uncertainty.replicates
    if case.images.identities is None:
        return vertex_weights(pairs.a.size, replicates, rng).astype(np.float64)
    identity = case.images.identity
    drawn = vertex_weights(int(identity.max()) + 1, replicates, rng).astype(np.float64)
    first, second = identity[pairs.a], identity[pairs.b]
    return np.where(first == second, drawn[:, first], drawn[:, first] * drawn[:, second])


def _doubt(case: _Case, limits: dict[str, object]) -> tuple[Flag, ...]:
    if not limits:
        return (Flag.NO_INTERVAL,)
    return (Flag.NAIVE_INTERVAL,) if case.images.identities is None else ()


def _of_rate(value: float, n: int, variance: float | None, case: _Case) -> dict[str, object]:
    """Return the Wilson interval of an accuracy over replicates."""
    if variance is None:
        return {}
    found = uncertainty.wilson_from_variance(value, n, variance, case.spec.uncertainty.confidence)
    return {"ci_low": found.low, "ci_high": found.high, "ci_method": "wilson-bootstrap", "n_eff": found.n_eff}


def _centred(value: float, replicates: Sequence[float | None], case: _Case) -> dict[str, object]:
    """Return the bootstrap interval, with replicates shifted to their mean."""
    defined = np.array([v for v in replicates if v is not None and np.isfinite(v)])
    if defined.size < max(2, len(replicates) / 2):
        return {}
    tail = (1 - case.spec.uncertainty.confidence) / 2
    low, high = np.quantile(defined, [tail, 1 - tail]) - defined.mean()
    return {"ci_low": float(value + low), "ci_high": float(value + high), "ci_method": "centred-bootstrap"}


# ---- FR-NAS


def first_mate_ranks(vectors: NDArray[np.float32], identity: NDArray[np.int64], comparator: str) -> Floats:
    """Return, per image, how many images of others score at least as high as its best mate; NaN without a mate.

    0 is best; ties count against the model, and an image that failed ranks behind everyone. Source: Dooley et al.,
    "Rethinking bias mitigation: fairer architectures make for fairer face recognition", 2023.
    """
    ranks = np.full(identity.size, np.nan)
    failed = failed_rows(vectors)
    for start in range(0, identity.size, 512):
        rows = np.arange(start, min(start + 512, identity.size))
        scores = similarity(vectors[rows], vectors, comparator)
        same = identity[rows][:, None] == identity[None, :]
        scores[np.arange(rows.size), rows] = -np.inf
        mates = same.sum(1) > 1
        best = np.where(same, scores, -np.inf).max(1)
        found = ((scores >= best[:, None]) & ~same).sum(1).astype(np.float64)
        found[failed[rows] | np.isneginf(best)] = float((~same).sum(1).max(initial=0))
        ranks[rows] = np.where(mates, found, np.nan)
    return ranks


def ranks_of_listed(scores: NDArray[np.floating[Any]], pairs: Pairs, identity: NDArray[np.int64]) -> Floats | None:
    """Return what `first_mate_ranks` does from listed scores; None unless all images are compared with each other."""
    n = identity.size
    if pairs.a.size != n * (n - 1) // 2:
        return None
    image, genuine = np.concatenate([pairs.a, pairs.b]), np.tile(pairs.genuine, 2)
    score = np.tile(scores.astype(np.float64), 2)
    best = np.full(n, -np.inf)
    np.maximum.at(best, image[genuine], score[genuine])
    found = np.bincount(image[~genuine & (score >= best[image])], minlength=n).astype(np.float64)
    found[np.isneginf(best)] = float(np.bincount(image[~genuine], minlength=n).max(initial=0))
    return np.where(np.bincount(image[genuine], minlength=n) > 0, found, np.nan)


def _fr_nas(case: _Case, grouping: Grouping, ranks: Floats, number: int) -> list[Estimate]:
    """Return mean ranks, and for every two groups the rank disparity, rank ratio and error ratio with their sign."""
    if len(grouping.groups) > MAX_GROUPS:
        return []
    identity, asked = case.images.identity, case.spec.uncertainty
    known = ~np.isnan(ranks)
    n = int(identity.max()) + 1
    drawn = vertex_weights(n, asked.replicates, case.rng(100 + number)).astype(np.float64)
    estimates: list[Estimate] = []
    means: dict[str, tuple[float, float, Floats, Floats]] = {}
    for g, name in enumerate(grouping.groups):
        rows = np.flatnonzero((grouping.label == g) & known)
        change = mean_change(
            ranks[rows], identity[rows], replicates=asked.replicates, confidence=asked.confidence,
            rng=case.rng(200 + number),
        )  # fmt: skip
        if change is None:
            estimates.append(Estimate(metric="mean_rank", value=None, group=name, flags=(Flag.NO_GENUINE,)))
            continue
        limits: dict[str, object] = {}
        if change.interval is not None:
            limits = {"ci_low": change.interval[0], "ci_high": change.interval[1], "ci_method": "identity-bootstrap"}
        fields = {"metric": "mean_rank", "group": name, "value": change.value, "n_identities": change.n_identities}
        fields |= {"n_images": change.n, "flags": () if limits else (Flag.NO_INTERVAL,), **limits}
        estimates.append(Estimate.model_validate(fields))
        weight = drawn[:, identity[rows]]
        with np.errstate(invalid="ignore"):
            rank_draws = (weight @ ranks[rows]) / weight.sum(1)
            error_draws = (weight @ (ranks[rows] > 0)) / weight.sum(1)
        means[name] = (change.value, float((ranks[rows] > 0).mean()), rank_draws, error_draws)
    for a, b in combinations(means, 2):
        estimates += _disparities(case, a, b, means)
    return estimates


def _disparities(case: _Case, a: str, b: str, means: dict[str, tuple[float, float, Floats, Floats]]) -> list[Estimate]:
    (rank_a, error_a, ranks_a, errors_a), (rank_b, error_b, ranks_b, errors_b) = means[a], means[b]
    found = []
    for metric, first, second, draws_a, draws_b in (
        ("rank_ratio", rank_a, rank_b, ranks_a, ranks_b),
        ("error_ratio", error_a, error_b, errors_a, errors_b),
    ):
        value = fairness.signed_ratio_difference(first, second)
        pairs = zip(draws_a, draws_b, strict=True)
        drawn = [fairness.signed_ratio_difference(float(x), float(y)) for x, y in pairs]
        found.append(_pair(case, metric, a, b, value, [None if d is None else d[0] * d[1] for d in drawn]))
    difference = fairness.rank_disparity([rank_a], [rank_b])
    found.insert(0, _pair(case, "rank_disparity", a, b, difference, [float(d) for d in ranks_a - ranks_b]))
    return found


def _pair(
    case: _Case, metric: str, a: str, b: str, found: tuple[float, float] | None, signed: Sequence[float | None]
) -> Estimate:
    """Return an absolute difference with its sign; its interval is that of the signed one, folded at zero."""
    common = {"metric": metric, "group": a, "group_b": b}
    if found is None:
        return Estimate.model_validate({**common, "value": None, "flags": (Flag.INSUFFICIENT,)})
    value, sign = found
    limits = _centred(value * sign, signed, case)
    if limits:
        low, high = float(str(limits["ci_low"])), float(str(limits["ci_high"]))
        inner = 0.0 if low <= 0 <= high else min(abs(low), abs(high))
        limits |= {"ci_low": min(inner, value), "ci_high": max(abs(low), abs(high), value)}
    flags = () if limits else (Flag.NO_INTERVAL,)
    return Estimate.model_validate({**common, **limits, "value": value, "sign": int(sign), "flags": flags})
