"""What the engine found about a run too large to hold its scores: rates of all cells, with their variances."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.execution.compute import Compute
from facebench.measure.groups import Grouping
from facebench.measure.rates import Rate
from facebench.measure.sample import Images, Partition
from facebench.measure.streaming_functions import functions_of
from facebench.measure.streaming_thresholds import Impostors, own_thresholds
from facebench.measure.study import Points
from facebench.metrics import clusters, uncertainty
from facebench.metrics.verification import false_accept_budget, held
from facebench.scoring import engine, failed_rows
from facebench.scoring.arrange import Arrangement, arrange
from facebench.scoring.digits import digit_floor

Floats = NDArray[np.float64]
SLOPE_STEP = 0.2
TOTAL = 0  # the cell of all comparisons


@dataclass(frozen=True, eq=False)
class Influence:
    """Errors of one kind in one cell: their number among all comparisons, and what each identity adds.

    Attributes:
        errors, n: comparisons that are errors, and all.
        of_rate: what each identity adds to the rate.
    """

    errors: int
    n: int
    of_rate: clusters.Influence

    @property
    def rate(self) -> float:
        """The share of errors."""
        return self.errors / self.n


class Tallied(Partition):
    """Counts of a run at its operating points; cells as in `Partition`.

    Attributes:
        selection: order statistics, histogram and genuine scores.
        thresholds: (T,) one per operating point, then the one above all impostor scores, then that at which FMR and
            FNMR cross, if there are genuine comparisons; then those of single groups, see `place`.
        own: thresholds that single cells set, if the policy asks for them.
        genuine, genuine_ends: all genuine comparisons; ``-inf`` where an image failed.
        n_lowest: impostor comparisons with an image that failed.
        functions: of the score, that were summed for `facebench.measure.streaming_separation`.
    """

    def __init__(
        self,
        images: Images,
        vectors: NDArray[np.float32],
        groupings: list[Grouping],
        points: Points,
        comparator: str,
        compute: Compute,
        *,
        policy: str = "pooled",
        drop_failed: bool = False,
    ) -> None:
        super().__init__(images, groupings)
        self.points = points
        self._known: dict[tuple[int, int], Influence] = {}
        usable = ~failed_rows(vectors)
        if comparator == "cosine":
            usable &= vectors.any(axis=1)
        self.counted = usable if drop_failed else np.ones(usable.size, bool)
        self.labels = np.stack([grouping.label for grouping in self.groupings], axis=1)
        rows = np.flatnonzero(usable)
        self.arrangement: Arrangement = arrange(
            vectors[rows], images.identity[rows], self.labels[rows], comparator, product=compute.product
        )
        on_all = self._select(rows, compute)
        self.own = {
            cell: own_thresholds(
                vectors[mine], images.identity[mine], int(self.n_impostor[cell]), points.targets, comparator, compute
            )
            for cell, mine in self._setting(policy, rows).items()
        }
        self.thresholds = (*on_all, *(t for own in self.own.values() for t in own.thresholds))
        n_groups = tuple(len(grouping.groups) for grouping in self.groupings)
        self.layout = engine.Cells(n_groups, self.sizes[self.arrangement.identity])
        self.functions = None if drop_failed else functions_of(self.selection, self.genuine, self.n_lowest)
        self.counts = engine.count(self.arrangement, self.layout, self.thresholds, self.functions, run=compute.run)

    def _select(self, rows: NDArray[np.int64], compute: Compute) -> tuple[float, ...]:
        """Find order statistics and genuine scores; return the thresholds set on all comparisons."""
        self.n = int(self.n_impostor[0])
        computed = self.arrangement.n_comparisons - _pairs_within(self.images.identity[rows])
        ranks = [false_accept_budget(target, self.n) for target in self.points.targets]
        self.resolvable = [*(rank >= 1 for rank in ranks), *(True for _ in self.points.named)]
        ranks = [min(rank, self.n - 1) for rank in ranks]
        failed = self._failed_genuine(rows)
        self.n_lowest = self.n - computed
        lowest = self.n_lowest, len(failed)
        self.selection = engine.select(self.arrangement, [*ranks, 0], lowest, run=compute.run)
        found = self.selection
        ends = rows[found.genuine_ends.astype(np.int64)].reshape(-1, 2)
        self.genuine = np.concatenate([found.genuine, np.full(len(failed), -np.inf, np.float32)])
        self.genuine_ends = np.concatenate([ends, failed]).astype(np.int32)
        *at_targets, above_all = engine.thresholds(found)
        named = (held(threshold, np.float32) for _, threshold, _ in self.points.named)
        self.crossing = _crossing(found, self.genuine, self.n)
        met = () if self.crossing is None else (self.crossing.threshold,)
        return (*at_targets, *named, above_all, *met)

    def _setting(self, policy: str, rows: NDArray[np.int64]) -> dict[int, NDArray[np.int64]]:
        """Return the cells whose own thresholds a policy needs, and their images that can be compared."""
        wanted = policy.removeprefix("reference:") if policy.startswith("reference:") else None
        found = {}
        for i, cell in enumerate(self.cells):
            named = wanted in (None, self.group_name(cell.grouping, cell.first))
            if policy != "pooled" and cell.grouping and cell.first == cell.second and named and self.n_impostor[i]:
                found[i] = rows[self.labels[rows, cell.grouping] == cell.first]
        return found

    def place(self, source: int, t: int) -> int:
        """Return the number of the threshold of an operating point set on a cell; 0 is that of all comparisons."""
        if source == TOTAL or self.points.fixed(t):
            return t
        before = len(self.thresholds) - len(self.own) * len(self.points.targets)
        return before + list(self.own).index(source) * len(self.points.targets) + t

    def _failed_genuine(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the genuine comparisons with an image that failed."""
        failed = self.counted.copy()
        failed[rows] = False
        found = [np.zeros((0, 2), np.int64)]
        for person in np.unique(self.images.identity[failed]):
            own = np.flatnonzero((self.images.identity == person) & self.counted)
            first, second = np.triu_indices(own.size, 1)
            pairs = np.stack([own[first], own[second]], axis=1)
            found.append(pairs[failed[pairs].any(axis=1)])
        return np.concatenate(found)

    # ---- what was compared

    @cached_property
    def sizes(self) -> NDArray[np.int32]:
        """(I, H) images of each identity in each group, groupings side by side."""
        columns = []
        for grouping in self.groupings:
            for g in range(len(grouping.groups)):
                mine = (grouping.label == g) & self.counted
                columns.append(np.bincount(self.images.identity[mine], minlength=self.identity_count))
        return np.stack(columns, axis=1).astype(np.int32)

    @cached_property
    def _offsets(self) -> list[int]:
        return [0, *np.cumsum([len(grouping.groups) for grouping in self.groupings])[:-1].tolist()]

    def _images(self, grouping: int, group: int) -> Floats:
        column: Floats = self.sizes[:, self._offsets[grouping] + group].astype(np.float64)
        return column

    @cached_property
    def n_impostor(self) -> NDArray[np.int64]:
        """(C,) impostor comparisons per cell."""
        found = []
        for cell in self.cells:
            a, b = (self._images(cell.grouping, g).astype(np.int64) for g in (cell.first, cell.second))
            every = int(a.sum()) * int(b.sum()) - int(a @ b)
            found.append(every // 2 if cell.first == cell.second else every)
        return np.array(found, np.int64)

    @cached_property
    def genuine_cells(self) -> NDArray[np.int32]:
        """(P, G) group of each genuine comparison in each grouping; -1 unless both images lie in it."""
        a, b = self.labels[self.genuine_ends[:, 0]], self.labels[self.genuine_ends[:, 1]]
        return np.where(a == b, a, -1).astype(np.int32)

    @cached_property
    def n_genuine(self) -> NDArray[np.int64]:
        """(C,) genuine comparisons per cell; 0 between groups, where they are not counted."""
        return np.array(
            [
                int((self.genuine_cells[:, cell.grouping] == cell.first).sum()) if cell.first == cell.second else 0
                for cell in self.cells
            ],
            np.int64,
        )

    # ---- errors

    def false_matches(self, i: int, t: int) -> Influence:
        """Return the false matches of a cell at a threshold.

        With k_u the accepted comparisons of identity u and n_u all of them, ``S_u = k_u - p n_u``; with k_uv and m_uv
        those of a pair, ``sum d_uv² = sum k_uv² - 2 p sum k_uv m_uv + p² sum m_uv²``.
        """
        if (i, t) in self._known:
            return self._known[i, t]
        cell = self.cells[i]
        s, g, h = cell.grouping, cell.first, cell.second
        own = g == h
        k = self._accepted(s, g, h, t) if own else self._accepted(s, g, h, t) + self._accepted(s, h, g, t)
        errors, n = int(k.sum()) // 2, int(self.n_impostor[i])
        rate = errors / n if n else 0.0
        squares, products = float(self.counts.squares[i, t]), float(self.counts.products[i, t])
        self._known[i, t] = Influence(errors, n, self.influence(i, k, rate, squares, products))
        return self._known[i, t]

    def influence(self, i: int, k: Floats, mean: float, squares: float, products: float) -> clusters.Influence:
        """Return the influence of the mean of a function over the impostor comparisons of a cell.

        Args:
            i: the cell.
            k: (I,) sum of the function over the comparisons of each identity.
            mean: of the function.
            squares, products: sums over pairs of identities of k_uv² and k_uv m_uv, m_uv their comparisons.
        """
        cell = self.cells[i]
        a, b = self._images(cell.grouping, cell.first), self._images(cell.grouping, cell.second)
        if cell.first == cell.second:
            each = a * (a.sum() - a)
            every = (float(a @ a) ** 2 - float((a * a) @ (a * a))) / 2
        else:
            each = a * (b.sum() - b) + b * (a.sum() - a)
            every = float(a @ a) * float(b @ b) + float(a @ b) ** 2 - 2 * float((a * b) @ (a * b))
        size = max(int(self.n_impostor[i]), 1)
        squares = max(0.0, squares - 2 * mean * products + mean * mean * every)
        share = each / size
        kept = 1 - np.minimum(share, clusters.MOST_LEVERAGE)
        # the squares of each identity are not counted: they are divided by its comparisons, which sum to twice theirs
        return clusters.Influence(
            (k - mean * each) / kept / size, share * squares / kept**2 / size**2, squares / size**2
        )

    def _accepted(self, grouping: int, own: int, partner: int, t: int) -> Floats:
        """Return (I,) accepted comparisons of each identity's images in one group with partners in another."""
        mine = self.arrangement.labels[:, grouping] == own
        column = self.counts.per_segment[mine, self._offsets[grouping] + partner, t].astype(np.float64)
        person = self.arrangement.identity[self.arrangement.segment_person[mine]]
        return np.asarray(np.bincount(person, column, minlength=self.identity_count), np.float64)

    def false_non_matches(self, grouping: int, group: int, threshold: float) -> Influence:
        """Return the false non-matches of a group at a threshold."""
        mine = self.genuine_cells[:, grouping] == group
        errors = (self.genuine[mine] < np.float32(threshold)).astype(np.float64)
        person = self.images.identity[self.genuine_ends[mine, 0]]
        each = (errors - (errors.mean() if errors.size else 0.0)) / max(errors.size, 1)
        return Influence(int(errors.sum()), errors.size, clusters.of_people(each, person, self.identity_count))

    def slope(self, grouping: int, group: int, fmr: float, source: int = TOTAL) -> float:
        """Return by how much the FNMR of a group falls per FMR gained in the cell that sets the threshold.

        It is a difference quotient about an operating point.
        """
        impostors = Impostors(self.selection.histogram, self.n) if source == TOTAL else self.own[source].impostors
        expected = fmr * impostors.n
        step = min(0.9, max(SLOPE_STEP, 2 / np.sqrt(max(expected, 1.0))))
        mine = np.sort(self.genuine[self.genuine_cells[:, grouping] == group])
        limits = [impostors.score_at(fmr * (1 + sign * step)) for sign in (-1, 1)]
        high, low = np.searchsorted(mine, np.array(limits, np.float32)) / max(mine.size, 1)
        return float(max(0.0, high - low) / (2 * step * fmr))


@dataclass(frozen=True)
class Crossing:
    """Where FMR and FNMR differ least."""

    threshold: float
    fmr: float
    fnmr: float


def _crossing(found: engine.Selection, genuine: NDArray[np.float32], n: int) -> Crossing | None:
    """Return the threshold at which FMR and FNMR differ least; as `facebench.metrics.verification.equal_error_rate`."""
    if not genuine.size or found.digit is None:
        return None
    low, high = digit_floor(np.array([found.digit, found.digit + 1]))
    inside = genuine[(genuine >= low) & (genuine < high)]
    values, counts = found.crossing
    tried = np.unique(np.concatenate([values, inside, [high]])).astype(np.float32)
    above = int(found.histogram[found.digit + 1 :].sum())
    accepted = above + counts.sum() - np.concatenate([[0], np.cumsum(counts)])[np.searchsorted(values, tried)]
    fmr = accepted / n
    fnmr = np.searchsorted(np.sort(genuine), tried, side="left") / genuine.size
    difference, mean = np.abs(fmr - fnmr), (fmr + fnmr) / 2
    closest = np.flatnonzero(difference <= difference.min() + 1e-12)
    best = int(closest[np.argmin(mean[closest])])
    return Crossing(float(tried[best]), float(fmr[best]), float(fnmr[best]))


def _pairs_within(identity: NDArray[Any]) -> int:
    counts = np.bincount(identity) if identity.size else np.zeros(0, np.int64)
    return int((counts * (counts - 1) // 2).sum())


def independent_pairs(partition: Partition, grouping: int, first: int, second: int) -> int:
    """Return how many comparisons of a cell share no identity."""
    a, b = (partition.n_identities(grouping, g) or 0 for g in (first, second))
    return uncertainty.disjoint_pairs(a) if first == second else min(a, b)


def leading_share(partition: Partition, grouping: int, first: int, second: int) -> float:
    """Return the share of the comparisons of a cell of all pairs that the identity with most of them takes part in.

    Of identities with a_u images in one group and b_u in the other, those of u are ``a_u (B - b_u) + b_u (A - a_u)``.
    """
    label, identity = partition.groupings[grouping].label, partition.images.identity
    a, b = (
        np.bincount(identity[label == g], minlength=partition.identity_count).astype(np.float64)
        for g in (first, second)
    )
    mine = a * (b.sum() - b) + b * (a.sum() - a)
    return float(mine.max(initial=0.0) / max(mine.sum() / 2, 1.0))


def false_non_match_rate(tallied: Tallied, grouping: int, group: int, t: int, source: int | None = TOTAL) -> Rate:
    """Return the FNMR of a group at an operating point.

    The threshold of an FMR target is itself estimated: to first order the FNMR moves by the influence of the genuine
    comparisons, plus by the slope of the FNMR in the FMR times the influence of the impostor comparisons that set the
    threshold (delta method).

    Args:
        tallied: the run.
        grouping, group: the group.
        t: the operating point.
        source: the cell that sets its threshold; None for one that stands.
    """
    fixed = source is None or tallied.points.fixed(t)
    place = tallied.place(TOTAL if source is None else source, t)
    missed = tallied.false_non_matches(grouping, group, tallied.thresholds[place])
    variance = None
    if tallied.has_identities:
        false = tallied.false_matches(source or TOTAL, place)
        slope = 0.0 if fixed else tallied.slope(grouping, group, tallied.points.targets[t], source or TOTAL)
        variance = clusters.added([(1.0, missed.of_rate), (slope, false.of_rate)]).variance
    mine = tallied.genuine_cells[:, grouping] == group
    people = int(np.unique(tallied.images.identity[tallied.genuine_ends[mine, 0]]).size)
    return Rate(missed.errors, missed.n, variance, people, missed.n / max(people, 1), "wilson-delta")
