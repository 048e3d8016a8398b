"""Two models on the same comparisons: the difference of their error rates and how certain it is.

With ``e_A`` and ``e_B`` the error indicators of one comparison under both models, ``D = mean(e_B - e_A)``. Whatever
makes a comparison hard for both models cancels, so D is far more certain than two separate intervals suggest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, exp, hypot, inf, sqrt

import numpy as np
from numpy.typing import NDArray

from facebench.metrics import uncertainty
from facebench.metrics.streams import Fixed, fixed_generator

Floats = NDArray[np.float64]

MAX_EXPONENT = 100.0  # exp of it squared is still a number
POWER_QUANTILE = 0.8416212335729143  # of 80 % power, on the standard normal scale


@dataclass(frozen=True)
class PairedDifference:
    """D = mean(e_B - e_A) and its variance over identities.

    Attributes:
        difference: D.
        variance: of D.
        newly_wrong, newly_right: comparisons that changed sides.
        n: comparisons.
    """

    difference: float
    variance: float
    newly_wrong: int
    newly_right: int
    n: int


def small_count_variance(variance: float, discordant: int, n: int, design_effect: float = 1.0) -> float:
    """Return the variance of D made honest where only a few comparisons changed sides.

    ``V' = V (1 + 1/m)`` with ``m = d² / (n² V)``, at least 1: the number of independent changes that d changed
    comparisons amount to; for independent ones ``V' = (d + 1) / n²``. Without it three changes, all for the worse by
    chance one time in eight, would count as significant. With no change at all, one independent change may have gone
    unseen: ``V' = DEFF / n²``. The idea of adding a change is Agresti and Min's, "Effects and non-effects of paired
    identical observations", 2004.

    Args:
        variance: V, over identities.
        discordant: d, comparisons that changed sides.
        n: comparisons.
        design_effect: comparisons per independent one, assumed where none changed sides.
    """
    if n <= 0:
        return 0.0
    if discordant == 0:
        return max(variance, max(design_effect, 1.0) / n**2)
    raised = max(variance, discordant / n**2)
    return raised * (1 + min(1.0, raised * n**2 / discordant**2))


def discordant_interval(
    newly_wrong: float, newly_right: float, n: int, variance: float, confidence: float, *,
    least_effect: float = 1.0,
) -> tuple[uncertainty.Interval, float]:  # fmt: skip
    """Return the interval of the difference of two error rates on the same comparisons, and the p-value of none.

    The difference is the share that became wrong less the share that became right. Each has a Wilson interval at the
    effective number of comparisons that the variance of the difference implies, and the limits are combined by the
    method of variance estimates recovery, ``D - sqrt((w - l_w)² + (u_r - r)²)`` and
    ``D + sqrt((u_w - w)² + (r - l_r)²)``.
    So they lie in [-1, 1], and the fewer changed sides the closer they are. The p-value is 1 minus the highest
    confidence at which the interval leaves out 0. Source: Newcombe, "Improved confidence intervals for the difference
    between binomial proportions based on paired data", 1998; Zou and Donner, "Construction of confidence limits about
    effect measures: a general approach", 2008.

    Args:
        newly_wrong: comparisons that were right and are wrong now; of a mean over conditions parts of them count.
        newly_right: comparisons that were wrong and are right now.
        n: all comparisons.
        variance: of the difference, over identities.
        confidence: of the interval.
        least_effect: the least design effect of the changes; 0 where they are parts of comparisons.
    """
    w, r = newly_wrong / n, newly_right / n
    independent = (w + r - (w - r) ** 2) / n
    effect = max(least_effect, variance / independent if independent > 0 else variance * n**2)

    def limits(level: float) -> uncertainty.Interval:
        (low_w, high_w), (low_r, high_r) = (uncertainty.wilson(share, n / effect, level) for share in (w, r))
        return w - r - hypot(w - low_w, high_r - r), w - r + hypot(high_w - w, r - low_r)

    excluded, held = 0.0, 1.0
    for _ in range(40 if w != r else 0):
        middle = (excluded + held) / 2
        low, high = limits(middle)
        excluded, held = (middle, held) if low > 0 or high < 0 else (excluded, middle)
    return limits(confidence), 1 - excluded


def ratio_difference(
    values: tuple[float, float], replicates: Floats, confidence: float
) -> uncertainty.Interval:  # fmt: skip
    """Return the interval of b - a for two ratios of at least 1 on the same comparisons.

    Ratios are skewed, so each has limits on its logarithm, ``a exp(-+ z s)``, and these are combined by the method of
    variance estimates recovery with the correlation r of both: ``D - sqrt(x² + y² - 2 r x y)`` with x from b to its
    lower limit and y from a to its upper one. Source: Zou, "Toward using confidence intervals to compare correlations",
    2007.

    Args:
        values: a and b.
        replicates: (R, 2) both in replicates of the comparisons; NaN where undefined.
    """
    (a, b), z = values, uncertainty.normal_quantile(confidence)
    logs = np.log(replicates[np.isfinite(replicates).all(axis=1)])
    spreads = logs.std(axis=0)
    r = float(np.mean(np.prod(logs - logs.mean(axis=0), axis=1)) / np.prod(spreads)) if spreads.all() else 0.0
    down = [x - max(1.0, x * exp(-z * float(s))) for x, s in zip(values, spreads, strict=True)]
    up = [x * exp(min(z * float(s), MAX_EXPONENT)) - x for x, s in zip(values, spreads, strict=True)]

    def reach(x: float, y: float) -> float:
        return sqrt(max(0.0, x * x + y * y - 2 * r * x * y))

    return b - a - reach(down[1], up[0]), b - a + reach(up[1], down[0])


def paired_genuine(
    base: NDArray[np.bool_], model: NDArray[np.bool_], identity: NDArray[np.integer]
) -> PairedDifference:
    """Return the difference of two FNMRs at fixed thresholds: ``V = sum_u (sum of (e - D) over u)² / P²``.

    Args:
        base: (P,) error indicators of the genuine comparisons under the base.
        model: (P,) the same under the model.
        identity: (P,) identity index.
    """
    change = model.astype(np.float64) - base
    d = float(change.mean())
    variance = uncertainty.identity_variance(change - d, identity, change.size)
    identities = int(np.unique(identity).size)
    return _finish(base, model, d, variance, change.size / max(identities, 1))


def paired_impostor(
    base: NDArray[np.bool_], model: NDArray[np.bool_], first: NDArray[np.integer], second: NDArray[np.integer]
) -> PairedDifference:
    """Return the difference of two FMRs at fixed thresholds, with `uncertainty.vertex_variance` of ``e_B - e_A``.

    Args:
        base: (P,) error indicators of the impostor comparisons under the base.
        model: (P,) the same under the model.
        first: (P,) identity index of one end.
        second: (P,) of the other end.
    """
    change = model.astype(np.float64) - base
    d = float(change.mean())
    variance = uncertainty.vertex_variance(change - d, first, second, change.size)
    return _finish(base, model, d, variance, 1.0)


def _finish(
    base: NDArray[np.bool_], model: NDArray[np.bool_], d: float, variance: float, design_effect: float
) -> PairedDifference:
    worse, better = int(np.count_nonzero(model & ~base)), int(np.count_nonzero(base & ~model))
    n = base.size
    return PairedDifference(d, small_count_variance(variance, worse + better, n, design_effect), worse, better, n)


def p_above(value: float, bound: float, standard_error: float) -> float:
    """Return the one-sided p-value of "the quantity lies at or below `bound`", seen a normal `value` above it."""
    from scipy.special import ndtr

    if standard_error <= 0:
        return 0.0 if value > bound else 1.0
    return float(ndtr(-(value - bound) / standard_error))


def p_two_sided(difference: float, standard_error: float) -> float:
    """Return the two-sided p-value of no difference."""
    return min(1.0, 2 * p_above(abs(difference), 0.0, standard_error)) if difference else 1.0


def identities_to_settle(
    distance: float, standard_error: float, n_identities: int, quantile: float, *, most: float = 1e9
) -> int | None:
    """Return how many identities would settle a question with 80 % power, were the difference what it now seems.

    The standard error falls with the square root of the number of identities:
    ``n (SE (z_alpha + z_power) / distance)²``.

    Args:
        distance: from the estimate to the bound in question.
        standard_error: now.
        n_identities: now.
        quantile: z_alpha, one-sided.

    Returns:
        The number, or None when the estimate lies on the bound, or so near that no data would do.
    """
    reach = standard_error * (quantile + POWER_QUANTILE)
    if n_identities <= 0 or abs(distance) * sqrt(most) <= reach * sqrt(n_identities):
        return None
    return ceil(n_identities * (reach / distance) ** 2)


def power_to_detect(difference: float, bound: float, standard_error: float, quantile: float) -> float:
    """Return the chance that a true difference is shown to lie above a bound: ``Phi((D - bound) / SE - z_alpha)``."""
    from scipy.special import ndtr

    if standard_error <= 0:
        return 1.0 if difference > bound else 0.0
    return float(ndtr((difference - bound) / standard_error - quantile))


POWER_DRAWS = 4000


def power_against_worsening(expected: float, n: int, n_identities: int, bound: float, quantile: float) -> float:
    """Return the chance that independent changes, all for the worse, are shown to exceed a bound.

    The standard error of such changes grows with their number and with how they fall on identities, so designs are
    drawn: Poisson changes per identity, each with the variance that `paired_genuine` would find.

    Args:
        expected: changes expected among the comparisons.
        n: comparisons.
        n_identities: identities, each with as many comparisons.
        bound: of the difference; 0 asks whether it is worse at all.
        quantile: z, one-sided, after any correction for the family.
    """
    changed = fixed_generator(Fixed.POWER).poisson(expected / n_identities, (POWER_DRAWS, n_identities))
    k = changed.sum(axis=1)
    d, each = k[:, None] / n, n / n_identities
    squares = (changed * (1 - d) ** 2 + (each - changed) * d**2) / n**2
    shared = (((changed - d * each) / n) ** 2 - squares) / (1 - 1 / n_identities) ** 2
    variance = squares.sum(axis=1) + np.maximum(0.0, shared.sum(axis=1) + np.sqrt((shared**2).sum(axis=1)))
    errors = [sqrt(small_count_variance(float(v), int(c), n)) for v, c in zip(variance, k, strict=True)]
    return float(np.mean(k / n - quantile * np.array(errors) > bound))


def rank_intervals(shown_better: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return the best and worst rank of each model that the data does not rule out.

    Args:
        shown_better: (M, M) whether row was shown to be better than column.
    """
    m = shown_better.shape[0]
    beaten_by, beats = shown_better.sum(axis=0), shown_better.sum(axis=1)
    return [(1 + int(beaten_by[i]), m - int(beats[i])) for i in range(m)]


def tie_letters(order: Sequence[int], shown_better: NDArray[np.bool_]) -> list[str]:
    """Return letters per model so that two models share one exactly when neither was shown to be better.

    Groups are the maximal cliques of "cannot be told apart". Source of the display: Piepho, "An algorithm for a
    letter-based representation of all-pairwise comparisons", 2004.

    Args:
        order: models from best to worst, which decides the order of the letters.
        shown_better: (M, M) whether row was shown to be better than column.
    """
    alike = ~(shown_better | shown_better.T)
    friends_of = [{u for u in range(len(order)) if u != v and alike[u, v]} for v in range(len(order))]
    cliques: list[set[int]] = []

    def grow(clique: set[int], candidates: set[int], done: set[int]) -> None:
        if not candidates and not done:
            cliques.append(clique)
            return
        # Tomita's pivot: without it the work doubles with every model that cannot be told from the others
        pivot = max(sorted(candidates | done), key=lambda u: len(candidates & friends_of[u]))
        for v in sorted(candidates - friends_of[pivot]):
            friends = friends_of[v]
            grow(clique | {v}, candidates & friends, done & friends)
            candidates = candidates - {v}
            done = done | {v}

    grow(set(), set(range(len(order))), set())
    place = {model: i for i, model in enumerate(order)}
    cliques.sort(key=lambda clique: sorted(place[v] for v in clique))
    letters = "abcdefghijklmnopqrstuvwxyz"
    return ["".join(letters[i % 26] for i, clique in enumerate(cliques) if v in clique) for v in range(len(order))]


def one_sided_quantile(confidence: float) -> float:
    """Return z with ``P(Z < z) = confidence``; 1.645 at .95."""
    from scipy.special import ndtri

    return float(ndtri(confidence))


def side_error(value: float, limit: float | None, confidence: float) -> float:
    """Return the standard error that one limit of a two-sided interval implies; infinite without a limit."""
    return inf if limit is None else abs(value - limit) / uncertainty.normal_quantile(confidence)


def independent_error(errors: Sequence[float]) -> float:
    """Return the standard error of a difference of independent quantities."""
    return sqrt(sum(error * error for error in errors))
