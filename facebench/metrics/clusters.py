"""What the comparisons of each identity add to a statistic, and the variance that follows.

A statistic of comparisons moves by the sum of their influences (for a rate, ``(e - p) / P`` each). Comparisons that
share an identity depend on each other. What could be independent, a *unit*, is one genuine comparison, or all impostor
comparisons of one pair of identities together. With x_i the influence of a unit, and T_u the sum over all units that
identity u takes part in::

    b_u = (T_u² - sum over the units of u of x_i²) / (1 - h_u)²
    V = sum_i x_i² + max(0, sum_u b_u + sqrt(sum_u b_u²))

The first term is the variance were all units independent. ``sum_u b_u`` is what sharing adds: the products of the
influences of different units with a common identity (dyadic cluster variance). It is estimated from few identities and
skewed, so it is corrected for leverage (h_u is the share of the comparisons that u takes part in: leaving u out changes
the mean by ``T_u / (1 - h_u)``), and raised by its own standard error. Where nobody takes part in two units every b_u
is 0 and V is that of independent comparisons, whatever the list; so there is no switch between lists and all
pairs. Sources: Fafchamps and Gubert, "The formation of risk sharing networks", 2007; Aronow, Samii and Assenova,
"Cluster-robust variance estimation for dyadic data", 2015; for leverage MacKinnon and White, "Some
heteroskedasticity-consistent covariance matrix estimators", 1985. How often intervals from it hold the truth is
measured by benchmarks/coverage_study.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.integer[Any]]
MOST_LEVERAGE = 0.5
"""Of an identity in half of the comparisons or more the others do not tell how much it matters: intervals then cover
too seldom, and what rests on such comparisons is flagged."""


@dataclass(frozen=True, eq=False)
class Influence:
    """What each identity adds to a statistic.

    Attributes:
        together: (I,) ``T_u / (1 - h_u)``.
        squares: (I,) sum over the units of u of x_i², over ``(1 - h_u)²``.
        independent: the sum of x_i² over all units.
    """

    together: Floats
    squares: Floats
    independent: float

    @property
    def variance(self) -> float:
        """V as above."""
        shared = self.together**2 - self.squares
        return self.independent + max(0.0, float(shared.sum()) + sqrt(float(shared @ shared)))


def added(parts: Iterable[tuple[float, Influence]]) -> Influence:
    """Return the influence of a weighted sum of statistics that have no unit in common."""
    parts = list(parts)
    return Influence(
        np.sum([weight * part.together for weight, part in parts], axis=0),
        np.sum([weight**2 * part.squares for weight, part in parts], axis=0),
        float(sum(weight**2 * part.independent for weight, part in parts)),
    )


class PairIndex:
    """Impostor comparisons by pair of identities.

    Attributes:
        pair: (P,) index of each comparison's pair.
        sizes: (U,) comparisons of each pair.
        ends: two arrays (U,), the identities of each pair.
        leading: share of the comparisons that the identity with most of them takes part in.
    """

    def __init__(self, first: Ints, second: Ints, n_identities: int) -> None:
        self.n_identities = n_identities
        present = np.zeros(n_identities, bool)
        present[first] = present[second] = True
        people = np.flatnonzero(present)
        place = np.cumsum(present) - 1  # only identities that occur, so that small cells stay small
        n = max(people.size, 1)
        key = place[np.minimum(first, second)]
        key *= n
        key += place[np.maximum(first, second)]
        if n * n <= 4 * key.size:
            counts = np.bincount(key, minlength=n * n)
            used = np.flatnonzero(counts)
            index = np.zeros(n * n, np.int32)
            index[used] = np.arange(used.size, dtype=np.int32)
            self.pair, self.sizes = index[key], counts[used]
        else:
            used, self.pair, self.sizes = np.unique(key, return_inverse=True, return_counts=True)
        self.ends = people[used // n], people[used % n]
        counted = self._per_identity(self.sizes.astype(np.float64))
        shares = counted / max(key.size, 1)
        self.leading = float(shares.max(initial=0.0))
        self._kept = 1 - np.minimum(shares, MOST_LEVERAGE)

    def _per_identity(self, values: Floats) -> Floats:
        from facebench.metrics.kernels import sums_at_ends

        found: Floats = sums_at_ends(*self.ends, values, self.n_identities)
        return found

    def of_units(self, units: Floats) -> Influence:
        """Return the influence of a statistic from that of each pair of identities, (U,)."""
        squares = units * units
        return Influence(
            self._per_identity(units) / self._kept, self._per_identity(squares) / self._kept**2, float(squares.sum())
        )

    def influence(self, each: Floats) -> Influence:
        """Return the influence of a statistic from that of each comparison, (P,)."""
        return self.of_units(np.asarray(np.bincount(self.pair, each, self.sizes.size), np.float64))

    def rate(self, errors: int) -> Influence:
        """Return the influence of the share of errors when the first `errors` comparisons are those in error."""
        n = self.pair.size
        counts = np.bincount(self.pair[:errors], minlength=self.sizes.size)
        return self.of_units((counts - errors / n * self.sizes) / n)

    def rate_beyond(self, errors: int, slope: float, other: Influence, other_rate: float, n_other: int) -> Influence:
        """Return the influence of this rate minus `slope` times that of a rate over more comparisons, these included.

        Args:
            errors: as in `rate`, here and among the others alike: one threshold decides.
            other: the influence of the other rate.
            other_rate, n_other: that rate, and its comparisons.
        """
        n = self.pair.size
        counts = np.bincount(self.pair[:errors], minlength=self.sizes.size)
        shared = slope * (counts - other_rate * self.sizes) / n_other  # what these pairs do to the other rate
        units = (counts - errors / n * self.sizes) / n - shared
        changed = units * units - shared * shared
        return Influence(
            self.rate(errors).together - slope * other.together,
            np.maximum(slope**2 * other.squares + self._per_identity(changed) / self._kept**2, 0.0),
            max(0.0, slope**2 * other.independent + float(changed.sum())),
        )

    def disjoint(self) -> int:
        """Return how many comparisons that share nobody can be picked one after the other."""
        from facebench.metrics.kernels import greedy_matching

        return int(greedy_matching(self.ends[0], self.ends[1], self.n_identities))


def of_people(each: Floats, identity: Ints, n_identities: int) -> Influence:
    """Return the influence of a statistic of comparisons that belong to one identity each (genuine ones).

    Args:
        each: (P,) influence of each comparison.
        identity: (P,) its identity.
        n_identities: I.
    """
    n = n_identities
    kept = 1 - np.minimum(np.bincount(identity, minlength=n) / max(each.size, 1), MOST_LEVERAGE)
    squares = np.bincount(identity, each * each, n)
    return Influence(np.bincount(identity, each, n) / kept, squares / kept**2, float(squares.sum()))
