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

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.integer[Any]]
Blocks = Callable[[slice], Floats]
"""Gives the values of a slice of the comparisons."""
BLOCK = 1 << 18  # comparisons at a time, where something is computed of each
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
        sizes: (U,) comparisons of each pair.
        ends: two arrays (U,), the identities of each pair.
        leading: share of the comparisons that the identity with most of them takes part in.
    """

    def __init__(self, first: Ints, second: Ints, n_identities: int) -> None:
        from facebench.metrics.kernels import mark, number_pairs

        self.n_identities = n_identities
        self._first, self._second = first, second
        present = np.zeros(n_identities, bool)
        mark(first, second, present)
        people = np.flatnonzero(present).astype(np.int32)
        self._place = (np.cumsum(present) - 1).astype(np.int32)  # only identities that occur: small cells stay small
        n = self._n = max(people.size, 1)
        self._table: NDArray[np.int32] | None = None  # the pair of every two identities, where that is small
        self._pair: Ints | None = None  # else that of each comparison
        if n * n <= max(4 * first.size, 1):
            table = np.zeros(n * n, np.int32)
            number_pairs(first, second, self._place, n, table)
            used = np.flatnonzero(table)
            self.sizes: Ints = table[used]
            table[used] = np.arange(used.size, dtype=np.int32)
            self._table = table
        else:
            low, high = self._place[np.minimum(first, second)], self._place[np.maximum(first, second)]
            key = low.astype(np.int64) * n + high
            used, self._pair, self.sizes = np.unique(key, return_inverse=True, return_counts=True)
        self.ends = people[used // n], people[used % n]
        counted = self._per_identity(self.sizes.astype(np.float64))
        shares = counted / max(first.size, 1)
        self.leading = float(shares.max(initial=0.0))
        self._kept = 1 - np.minimum(shares, MOST_LEVERAGE)

    @property
    def size(self) -> int:
        """How many comparisons there are."""
        return int(self._first.size)

    def pair(self, rows: slice = slice(None)) -> Ints:
        """Return the pair of each comparison, or of some."""
        from facebench.metrics.kernels import pairs_of

        if self._table is None:
            assert self._pair is not None
            return self._pair[rows]
        first, second = self._first[rows], self._second[rows]
        found = np.empty(first.size, np.int32)
        pairs_of(first, second, self._place, self._n, self._table, found)
        return found

    def _counts(self, errors: int) -> NDArray[np.int32]:
        """Return (U,) how many of the first `errors` comparisons each pair has."""
        from facebench.metrics.kernels import count_pairs

        counts = np.zeros(self.sizes.size, np.int32)
        if self._table is None:
            np.add.at(counts, self.pair(slice(errors)), 1)
        else:
            ends = self._first[:errors], self._second[:errors]
            count_pairs(*ends, self._place, self._n, self._table, counts)
        return counts

    def _less_expected(self, counts: Ints, rate: float) -> Floats:
        """Return (U,) the errors of each pair less what a rate makes of its comparisons."""
        found = np.asarray(rate * self.sizes, np.float64)
        np.subtract(counts, found, out=found)
        return found

    def _per_identity(self, values: Floats) -> Floats:
        from facebench.metrics.kernels import sums_at_ends

        found: Floats = sums_at_ends(*self.ends, values, self.n_identities)
        return found

    def of_units(self, units: Floats) -> Influence:
        """Return the influence of a statistic from that of each pair of identities, (U,)."""
        from facebench.metrics.kernels import sums_and_squares_at_ends

        squares = np.empty(units.size)
        together, apart = sums_and_squares_at_ends(*self.ends, units, squares, self.n_identities).T
        return Influence(together / self._kept, apart / self._kept**2, float(squares.sum()))

    def influence(self, each: Floats) -> Influence:
        """Return the influence of a statistic from that of each comparison, (P,)."""
        return self.influences([lambda rows: each[rows]])[0]

    def influences(self, statistics: Sequence[Blocks]) -> list[Influence]:
        """Return the influence of several statistics from what gives that of some comparisons on each."""
        from facebench.metrics.kernels import add_at

        units = np.zeros((len(statistics), self.sizes.size))
        with ThreadPoolExecutor(min(len(statistics), os.cpu_count() or 1)) as pool:
            for start in range(0, self.size, BLOCK):
                rows = slice(start, min(start + BLOCK, self.size))
                pair = self.pair(rows)

                def add(number: int, rows: slice = rows, pair: Ints = pair) -> None:
                    add_at(pair, statistics[number](rows), units[number])

                list(pool.map(add, range(len(statistics))))
        return [self.of_units(own) for own in units]

    def rate(self, errors: int) -> Influence:
        """Return the influence of the share of errors when the first `errors` comparisons are those in error."""
        n = self.size
        units = self._less_expected(self._counts(errors), errors / n)
        units /= n
        return self.of_units(units)

    def rate_beyond(self, errors: int, slope: float, other: Influence, other_rate: float, n_other: int) -> Influence:
        """Return the influence of this rate minus `slope` times that of a rate over more comparisons, these included.

        Args:
            errors: as in `rate`, here and among the others alike: one threshold decides.
            other: the influence of the other rate.
            other_rate, n_other: that rate, and its comparisons.
        """
        n = self.size
        counts = self._counts(errors)
        shared = self._less_expected(counts, other_rate)  # what these pairs do to the other rate
        shared *= slope
        shared /= n_other
        units = self._less_expected(counts, errors / n)
        units /= n
        own = self._per_identity(units) / self._kept
        units -= shared
        units *= units
        shared *= shared
        changed = np.subtract(units, shared, out=units)
        return Influence(
            own - slope * other.together,
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
