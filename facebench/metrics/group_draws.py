"""Error counts of groups whose true rates are supposed: what samples of this size and dependence would show.

The counts of a group are beta-binomial: as many trials as it has comparisons, and so overdispersed that they carry no
more information than its effective number of comparisons. Zeros therefore occur as often as in real data. Counts of
different groups depend on each other through the identities and the threshold they share; a Gaussian copula keeps that.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

DRAWS = 1000
PRIOR_ERRORS = 30.0
"""Errors of a group from which its own design effect counts for more than that of the others."""
LEAST_EFFECT = 0.05
"""Least design effect of counts: their sum stands where they set the threshold themselves."""
_SMOOTH_ERRORS = 25.0
"""Effective errors from which counts are taken from the beta quantile and rounded."""
_SMOOTH_EFFECT = 8.0
"""Design effect from which the same is done: single counts no longer matter."""
_GRID = np.linspace(-4.5, 4.5, 73)


@dataclass(frozen=True, eq=False)
class GroupCounts:
    """Counts of one kind of error in G groups.

    Attributes:
        errors, n: (G,) errors, and comparisons.
        n_eff: (G,) effective number of independent comparisons; above `n` where a shared threshold holds the rates.
    """

    errors: Floats
    n: Floats
    n_eff: Floats

    @property
    def rates(self) -> Floats:
        """(G,) observed rates."""
        return self.errors / self.n

    @property
    def smoothed(self) -> Floats:
        """(G,) rates with half an error added, so that none is 0 or 1."""
        return (self.errors + 0.5) / (self.n + 1)

    @property
    def pooled(self) -> float:
        """The common rate were all groups alike."""
        return float(self.errors.sum() / self.n.sum())

    def draw(self, rates: Floats, normals: Floats) -> Floats:
        """Return (B, G) error counts at supposed true rates.

        Args:
            rates: (G,) true rates.
            normals: (B, G) standard normal numbers, correlated between groups as their counts are.
        """
        columns = [
            _counts(float(p), float(n), float(e), z)
            for p, n, e, z in zip(rates, self.n, self.n_eff, normals.T, strict=True)
        ]
        return np.stack(columns, axis=1)


def effective_numbers(errors: Floats, n: Floats, variances: Floats, independent: Floats) -> Floats:
    """Return (G,) effective numbers of comparisons for samples under supposed rates.

    ``n / DEFF`` with ``DEFF = V n / (p (1 - p))``. Variances of groups with few errors are poorly known, so what a
    comparison shares with the others of its group, ``(DEFF - 1) / (n / m)``, is drawn towards the mean over the
    groups, with the weight of `PRIOR_ERRORS` errors; and a variance over m units is itself uncertain, which Student's t
    with m degrees of freedom makes up for.

    Args:
        errors, n: (G,) counts.
        variances: (G,) of the rates.
        independent: (G,) m, comparisons between disjoint identities.

    Where no group shows errors and non-errors, nothing is certain but that comparisons between disjoint identities are
    independent, as in the bounds of the groups' own rates (`uncertainty.zero_error_bounds`).
    """
    from scipy.special import stdtrit

    p = errors / n
    size = np.maximum(n / independent, 1.0)
    weight = np.minimum(errors, n - errors)
    with np.errstate(divide="ignore", invalid="ignore"):
        effect = np.where(weight > 0, variances * n / (p * (1 - p)), 1.0)
        shared = (effect - 1) / size  # below 0 where the threshold that the groups share holds their rates together
    if weight.sum() > 0:
        common = float((weight * shared).sum() / weight.sum())
        own = weight / (weight + PRIOR_ERRORS)
        effect = 1 + (own * shared + (1 - own) * common) * size
    else:
        effect = size
    effect = effect * (stdtrit(np.maximum(independent, 2.0), 0.975) / 1.959964) ** 2
    return np.asarray(n / np.clip(effect, LEAST_EFFECT, n))


def correlated_normals(
    n_columns: int, replicates: Floats | None, rng: np.random.Generator, draws: int = DRAWS
) -> Floats:
    """Return (draws, n_columns) standard normal numbers with the correlations that replicates show.

    Args:
        replicates: (R, n_columns) rates in bootstrap replicates; None when they are unknown and taken as independent.
    """
    z = rng.standard_normal((draws, n_columns))
    if replicates is None or n_columns < 2:
        return z
    kept = replicates[np.isfinite(replicates).all(axis=1)]
    if kept.shape[0] < max(50, replicates.shape[0] / 2):
        return z
    centred = kept - kept.mean(axis=0)
    size = np.sqrt((centred**2).sum(axis=0))
    centred = np.where(size > 0, centred, 0.0) / np.where(size > 0, size, 1.0)
    correlation = centred.T @ centred
    np.fill_diagonal(correlation, 1.0)
    values, vectors = np.linalg.eigh(correlation)
    found: Floats = z @ (vectors * np.sqrt(np.maximum(values, 0.0))).T
    return found


def _counts(p: float, n: float, n_eff: float, z: Floats) -> Floats:
    """Return the beta-binomial count at each standard normal number."""
    if p > 0.5:
        return np.asarray(n - _counts(1 - p, n, n_eff, -z))
    if p <= 0:
        return np.zeros(z.size)
    effect = n / n_eff
    if p * n_eff >= _SMOOTH_ERRORS or effect > _SMOOTH_EFFECT:
        return np.asarray(np.rint(n * _beta_quantile(p, n_eff, z)))
    from scipy.special import ndtr

    cumulative = _beta_binomial(p, n, effect)
    return np.asarray(np.searchsorted(cumulative, ndtr(z)), np.float64)


def _beta_quantile(p: float, n_eff: float, z: Floats) -> Floats:
    """Return quantiles of the beta distribution with mean p and the variance of a rate over n_eff trials."""
    from scipy.special import betaincinv, ndtr

    size = max(n_eff - 1, 0.05)
    at = betaincinv(p * size, (1 - p) * size, ndtr(_GRID))
    found: Floats = np.interp(z, _GRID, at)
    return found


def _beta_binomial(p: float, n: float, effect: float) -> Floats:
    """Return the cumulative distribution of the count, up to where next to nothing is left."""
    from scipy.special import betaln, gammaln

    mean = p * n
    top = int(min(n, np.ceil(mean + 12 * np.sqrt(mean * effect) + 12 * effect)))
    k = np.arange(top + 1.0)
    chosen = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
    if abs(effect - 1) <= 1e-6 or n < 2:
        logs = chosen + k * np.log(p) + (n - k) * np.log1p(-p)
    elif effect < 1:
        return _hypergeometric(p, n, effect)
    else:
        size = max((n - 1) / (effect - 1) - 1, 0.02)
        logs = chosen + betaln(k + p * size, n - k + (1 - p) * size) - betaln(p * size, (1 - p) * size)
    cumulative = np.cumsum(np.exp(logs))
    return np.asarray(cumulative[:-1], np.float64)


def _hypergeometric(p: float, n: float, effect: float) -> Floats:
    """Return the cumulative distribution of n drawn from so many that the variance is `effect` times the binomial one.

    With ``M = (n - effect) / (1 - effect)`` comparisons in all, p M of them errors, as where a threshold accepts a
    given number of all comparisons and the group holds n of them.
    """
    from scipy.special import gammaln

    everything = max((n - effect) / (1 - effect), n + 1)
    errors = p * everything
    k = np.arange(max(0.0, np.ceil(n - everything + errors)), np.floor(min(n, errors)) + 1.0)
    inside = gammaln(errors + 1) - gammaln(k + 1) - gammaln(errors - k + 1)
    right = everything - errors
    logs = inside + gammaln(right + 1) - gammaln(n - k + 1) - gammaln(right - n + k + 1)
    weights = np.exp(logs - logs.max())
    cumulative = np.concatenate([np.zeros(int(k[0])), np.cumsum(weights) / weights.sum()])
    return np.asarray(cumulative[:-1], np.float64)
