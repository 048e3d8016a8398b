"""The vertex bootstrap against naive computations, one replicate and one comparison at a time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facebench.metrics import bootstrap as boot
from facebench.metrics import verification as ver

seeds = st.integers(0, 2**32 - 1)
many = settings(max_examples=60, deadline=None)


class Design:
    """Images of a few identities, some of them in several groups or in none, all compared with all."""

    def __init__(self, seed, dtype=np.float64, n_identities=None, n_images=None, n_levels=None, failed=True):
        self.rng = rng = np.random.default_rng(seed)
        self.n_identities = n_identities or int(rng.integers(2, 9))
        n_images = n_images or int(rng.integers(self.n_identities, 25))
        self.identity = np.concatenate(
            [np.arange(self.n_identities), rng.integers(0, self.n_identities, n_images - self.n_identities)]
        ).astype(np.int32)
        self.sex = rng.integers(-1, 2, n_images)
        self.age = rng.integers(-1, 3, n_images)
        self.i, self.j = np.triu_indices(n_images, 1)
        effect = rng.normal(size=self.n_identities)
        scores = effect[self.identity[self.i]] + effect[self.identity[self.j]] + rng.normal(size=self.i.size)
        self.genuine = self.identity[self.i] == self.identity[self.j]
        scores += 1.5 * self.genuine
        n_levels = n_levels or int(rng.choice([2, 5, 1000]))
        scores = np.round(scores * n_levels / 5) / n_levels  # ties
        if failed:
            scores[rng.random(scores.size) < 0.05] = -np.inf
        self.scores = scores.astype(dtype)
        self.weights = boot.vertex_weights(self.n_identities, 12, rng)
        self.cell_ends = [np.array([[0, 0], [0, 1], [1, 1]]), np.array([[0, 0], [1, 1], [2, 2], [0, 2], [1, 2]])]

    @property
    def labels(self):
        return [self.sex, self.age]

    def cells(self):
        """Return (pairs, 2) the cell of each pair in each grouping, numbered through."""
        columns, offset = [], 0
        for group, ends in zip(self.labels, self.cell_ends, strict=True):
            column = np.full(self.i.size, -1, np.int32)
            for c, (g, h) in enumerate(ends):
                a, b = group[self.i], group[self.j]
                column[((a == g) & (b == h)) | ((a == h) & (b == g))] = offset + c
            columns.append(column)
            offset += len(ends)
        return np.stack(columns, 1), offset

    def ranked(self, genuine):
        kept = np.flatnonzero(self.genuine == genuine)
        order = kept[np.argsort(-self.scores[kept], kind="stable")]
        cells, n_cells = self.cells()
        return boot.RankedComparisons(
            self.scores[order], self.identity[self.i[order]], self.identity[self.j[order]], cells[order], n_cells
        )

    def pooled_totals(self):
        """Return the totals of all impostor comparisons together."""
        everyone = np.zeros(self.identity.size, np.int64)
        return boot.all_pairs_totals(self.weights, self.identity, [everyone], [np.array([[0, 0]])])


def naive_totals(design):
    """Return weight, filled and observed by drawing the images of every replicate and comparing all with all."""
    n_cells = design.cells()[1]
    weight = np.zeros((len(design.weights), n_cells))
    filled = np.zeros_like(weight)
    observed = np.zeros(n_cells, int)
    for r, row in enumerate(design.weights):
        # a drawn image: identity, number of the draw, image
        drawn = [(u, copy, k) for k, u in enumerate(design.identity) for copy in range(row[u])]
        for a in range(len(drawn)):
            for b in range(a):
                (u, copy_u, k), (v, copy_v, m) = drawn[a], drawn[b]
                if u == v and copy_u == copy_v:
                    continue  # genuine
                for cell in cells_of(design, k, m):
                    weight[r, cell] += 1
                    filled[r, cell] += u == v
    for k in range(design.identity.size):
        for m in range(k):
            if design.identity[k] != design.identity[m]:
                for cell in cells_of(design, k, m):
                    observed[cell] += 1
    return weight, filled, observed


def cells_of(design, k, m):
    offset = 0
    for group, ends in zip(design.labels, design.cell_ends, strict=True):
        for c, (g, h) in enumerate(ends):
            if sorted((group[k], group[m])) == sorted((g, h)):
                yield offset + c
        offset += len(ends)


def test_vertex_weights():
    weights = boot.vertex_weights(7, 500, np.random.default_rng(0))
    assert weights.shape == (500, 7)
    assert (weights.sum(1) == 7).all()
    assert weights.mean(0) == pytest.approx(np.ones(7), abs=0.2)


@many
@given(seeds)
def test_all_pairs_totals(seed):
    design = Design(seed)
    totals = boot.all_pairs_totals(design.weights, design.identity, design.labels, design.cell_ends)
    weight, filled, observed = naive_totals(design)
    np.testing.assert_allclose(totals.weight, weight, rtol=0, atol=1e-9)
    np.testing.assert_allclose(totals.filled, filled, rtol=0, atol=1e-9)
    np.testing.assert_array_equal(totals.observed, observed)
    cells, n_cells = design.cells()
    impostor = cells[~design.genuine]
    counts = sum(np.bincount(column[column >= 0], minlength=n_cells) for column in impostor.T)
    np.testing.assert_array_equal(totals.observed, counts)


def test_all_pairs_totals_of_some_groups_only():
    """Groups without a cell, and no cells at all."""
    weights = np.array([[1, 1, 1], [3, 0, 0]], np.int32)
    identity, group = np.array([0, 0, 1, 2]), np.array([0, 1, 1, 2])
    totals = boot.all_pairs_totals(weights, identity, [group], [np.array([[1, 1]])])
    assert totals.observed.tolist() == [1]
    assert totals.weight.tolist() == [[1], [3]]
    assert totals.filled.tolist() == [[0], [3]]
    empty = boot.all_pairs_totals(weights, identity, [group], [np.zeros((0, 2), int)])
    assert empty.weight.shape == (2, 0)
    assert empty.observed.shape == (0,)


@many
@given(seeds)
def test_listed_totals(seed):
    design = Design(seed)
    kept = design.rng.random(design.i.size) < 0.6
    first, second = design.identity[design.i[kept]], design.identity[design.j[kept]]
    cells, n_cells = design.cells()
    totals = boot.listed_totals(design.weights, first, second, cells[kept], n_cells)
    weight = np.zeros((len(design.weights), n_cells))
    observed = np.zeros(n_cells, int)
    for u, v, own_cells in zip(first, second, cells[kept], strict=True):
        for cell in own_cells[own_cells >= 0]:
            observed[cell] += 1
            for r, row in enumerate(design.weights):
                weight[r, cell] += row[u] if u == v else row[u] * row[v]
    np.testing.assert_array_equal(totals.weight, weight)
    np.testing.assert_array_equal(totals.observed, observed)
    assert not totals.filled.any()


def naive_cutoff(row, ranked, filled, observed, budget):
    """Return the highest score whose block of ties, taken with all higher ones, exceeds the budget."""
    for score in np.unique(ranked.scores)[::-1]:
        at_or_above = ranked.scores >= score
        weight = (row[ranked.first] * row[ranked.second])[at_or_above].sum() + filled * at_or_above.sum() / observed
        if weight > budget + 1e-9:
            return score
    return -np.inf


@many
@given(seeds, st.sampled_from([np.float32, np.float64]))
def test_replicate_cutoffs(seed, dtype):
    design = Design(seed, dtype)
    ranked, totals = design.ranked(genuine=False), design.pooled_totals()
    targets = [0.01, 0.1, 0.25, 0.5]
    cutoffs = boot.replicate_cutoffs(design.weights, ranked, totals, targets)
    for r, row in enumerate(design.weights):
        for t, target in enumerate(targets):
            budget = target * totals.weight[r, 0]
            assert cutoffs[r, t] == naive_cutoff(row, ranked, totals.filled[r, 0], totals.observed[0], budget)


def test_a_replicate_without_comparisons_leaves_the_others_alone():
    """Of two listed identities a replicate may draw only one; its rates are undefined, those of the rest are not."""
    ranked = boot.RankedComparisons(
        np.array([0.9, 0.5, 0.1]),
        np.array([0, 0, 0], np.int32),
        np.array([1, 1, 1], np.int32),
        np.zeros((3, 1), np.int32),
        1,
    )
    weights = np.array([[2, 0, 1], [1, 1, 1]] * 40, np.int32)
    totals = boot.listed_totals(weights, ranked.first, ranked.second, ranked.cells, 1)
    cutoffs = boot.replicate_cutoffs(weights, ranked, totals, [0.4])
    assert (cutoffs[0::2] == -np.inf).all()
    assert (cutoffs[1::2] == 0.5).all()


@pytest.mark.parametrize(("n", "target"), [(100, 0.29), (1000, 0.001), (4950, 0.1), (700, 0.57)])
def test_equal_weights_give_the_threshold_of_the_data(n, target):
    """Also where the target times the number of comparisons is whole, but not in binary."""
    scores = np.sort(np.random.default_rng(n).normal(size=n))[::-1]
    ends = np.zeros(n, np.int32), np.ones(n, np.int32)
    ranked = boot.RankedComparisons(scores, *ends, np.zeros((n, 1), np.int32), 1)
    weights = np.ones((1, 2), np.int32)
    cutoffs = boot.replicate_cutoffs(weights, ranked, boot.listed_totals(weights, *ends, ranked.cells, 1), [target])
    (point,) = ver.operating_points(scores, [target])
    assert cutoffs[0, 0] == scores[point.false_accepts]
    accepts = boot.replicate_accepts(weights, ranked, cutoffs)
    assert accepts[0, 0, 0] == point.false_accepts


@many
@given(seeds, st.booleans())
def test_replicate_accepts(seed, genuine):
    design = Design(seed)
    ranked = design.ranked(genuine)
    falling = -np.sort(-design.rng.choice(design.scores, (len(design.weights), 4)), axis=1)
    falling[0, -1] = -np.inf
    accepts = boot.replicate_accepts(design.weights, ranked, falling)
    expected = np.zeros_like(accepts)
    for r, row in enumerate(design.weights):
        for k in range(ranked.scores.size):
            u, v = ranked.first[k], ranked.second[k]
            for cell in ranked.cells[k][ranked.cells[k] >= 0]:
                for t in range(4):
                    if ranked.scores[k] > falling[r, t]:
                        expected[r, t, cell] += row[u] if u == v else row[u] * row[v]
    np.testing.assert_array_equal(accepts, expected)


def naive_equal_error_rate(row, genuine, impostor, totals, r):
    """Return the EER of a replicate as `equal_error_rate` defines it, trying every threshold."""
    best = []
    for threshold in [np.inf, *np.unique(np.concatenate([genuine.scores, impostor.scores]))]:
        above = impostor.scores >= threshold
        false = (row[impostor.first] * row[impostor.second])[above].sum()
        fmr = (false + totals.filled[r, 0] * above.sum() / totals.observed[0]) / totals.weight[r, 0]
        weight = row[genuine.first]
        fnmr = weight[genuine.scores < threshold].sum() / weight.sum()
        best.append((round(abs(fmr - fnmr), 11), (fmr + fnmr) / 2))
    return min(best)[1]


@many
@given(seeds)
def test_replicate_equal_error_rates(seed):
    design = Design(seed)
    genuine, impostor, totals = design.ranked(genuine=True), design.ranked(genuine=False), design.pooled_totals()
    rates = boot.replicate_equal_error_rates(design.weights, genuine, impostor, totals)
    for r, row in enumerate(design.weights):
        if row[genuine.first].sum() == 0:
            assert np.isnan(rates[r])
        else:
            expected = naive_equal_error_rate(row, genuine, impostor, totals, r)
            assert rates[r] == pytest.approx(expected, abs=1e-10)


@many
@given(seeds)
def test_equal_weights_give_the_equal_error_rate_of_the_data(seed):
    design = Design(seed)
    design.weights = np.ones((1, design.n_identities), np.int32)
    genuine, impostor = design.ranked(genuine=True), design.ranked(genuine=False)
    if genuine.scores.size:
        (rate,) = boot.replicate_equal_error_rates(design.weights, genuine, impostor, design.pooled_totals())
        assert rate == pytest.approx(ver.equal_error_rate(genuine.scores, impostor.scores).value, abs=1e-12)


def test_a_perfect_model_has_no_equal_error_rate_in_any_replicate():
    design = Design(3, n_identities=8, n_images=30, failed=False)
    design.scores = np.where(design.genuine, 0.9, 0.1) + 0.01 * design.rng.random(design.i.size)
    parts = design.ranked(genuine=True), design.ranked(genuine=False), design.pooled_totals()
    rates = boot.replicate_equal_error_rates(design.weights, *parts)
    assert (np.nan_to_num(rates) == 0).all()


@pytest.mark.parametrize("n_levels", [3, 1000])
def test_lists_longer_than_the_first_guess(n_levels):
    """The tail is extended when the replicates need more of it than guessed: one identity owns the top of the list."""
    design = Design(5, n_identities=20, n_images=120, n_levels=n_levels, failed=False)
    owner = (design.identity[design.i] == 0) | (design.identity[design.j] == 0)
    design.scores = design.scores + 50.0 * (owner & ~design.genuine)
    genuine, impostor, totals = design.ranked(genuine=True), design.ranked(genuine=False), design.pooled_totals()
    assert impostor.scores.size > 6000
    targets = [0.001, 0.02, 0.3, 0.9]
    for chosen in (targets[:2], targets):
        cutoffs = boot.replicate_cutoffs(design.weights, impostor, totals, chosen)
        for r, row in enumerate(design.weights):
            for t, target in enumerate(chosen):
                budget = target * totals.weight[r, 0]
                expected = naive_cutoff(row, impostor, totals.filled[r, 0], totals.observed[0], budget)
                assert cutoffs[r, t] == expected
    rates = boot.replicate_equal_error_rates(design.weights, genuine, impostor, totals)
    for r, row in enumerate(design.weights):
        assert rates[r] == pytest.approx(naive_equal_error_rate(row, genuine, impostor, totals, r), abs=1e-10)


def test_threads_change_nothing(monkeypatch):
    design = Design(11, n_identities=8, n_images=24)
    impostor, totals = design.ranked(genuine=False), design.pooled_totals()
    answers = []
    for threads in (1, 5, 64):
        monkeypatch.setattr(boot.os, "cpu_count", lambda threads=threads: threads)
        answers.append(boot.replicate_cutoffs(design.weights, impostor, totals, [0.1, 0.3]))
    np.testing.assert_array_equal(answers[0], answers[1])
    np.testing.assert_array_equal(answers[0], answers[2])


def closed_form(deviations, first, second, n):
    """Return the variance of the vertex bootstrap: ``(1 - 1/n) [(1 - 2/n) sum_u S_u² + sum_{u<v} d_uv²] / P²``."""
    matrix = np.zeros((n, n))
    np.add.at(matrix, (first, second), deviations)
    matrix += matrix.T
    shared, squares = (matrix.sum(0) ** 2).sum(), (matrix**2).sum() / 2
    return (1 - 1 / n) * ((1 - 2 / n) * shared + squares) / deviations.size**2


@pytest.mark.parametrize("seed", range(4))
def test_vertex_variance_is_that_of_the_bootstrap(seed):
    """At a fixed threshold the closed form is the variance of the replicates' error weight per comparison.

    The mean of a replicate is linearised: deviations are summed with the replicate's weights, repeat draws add nothing
    because they are filled with the mean, and the sum is divided by the comparisons of the data.
    """
    design = Design(seed, n_identities=12, n_images=40, failed=False)
    impostor, replicates = design.ranked(genuine=False), 40_000
    errors = (impostor.scores > np.quantile(impostor.scores, 0.8)).astype(float)
    p, n_pairs = errors.mean(), errors.size
    weights = boot.vertex_weights(12, replicates, design.rng).astype(float)
    matrix = np.zeros((12, 12))
    np.add.at(matrix, (impostor.first, impostor.second), errors - p)
    means = np.einsum("ru,uv,rv->r", weights, matrix, weights) / n_pairs
    closed = closed_form(errors - p, impostor.first, impostor.second, 12)
    centred = (means - means.mean()) ** 2
    margin = 4 * centred.std() / np.sqrt(replicates)
    assert means.var() == pytest.approx(closed, abs=margin)


def test_vertex_variance_is_near_that_of_the_rates_themselves():
    """With the weight of each replicate in the denominator, as the bootstrap of rates has it, the variance is close."""
    design = Design(8, n_identities=60, n_images=120, failed=False)
    impostor = design.ranked(genuine=False)
    cutoff = np.quantile(impostor.scores, 0.9)
    design.weights = boot.vertex_weights(60, 4000, design.rng)
    totals = design.pooled_totals()
    one = boot.RankedComparisons(
        impostor.scores, impostor.first, impostor.second, np.zeros((impostor.scores.size, 1), np.int32), 1
    )
    accepts = boot.replicate_accepts(design.weights, one, np.full((4000, 1), cutoff))[:, 0, 0]
    errors = (impostor.scores > cutoff).astype(float)
    rates = (accepts + totals.filled[:, 0] * errors.mean()) / totals.weight[:, 0]
    closed = closed_form(errors - errors.mean(), impostor.first, impostor.second, 60)
    assert rates.var() == pytest.approx(closed, rel=0.15)


@pytest.mark.parametrize("band", [1, 3, 1 << 14])
@pytest.mark.parametrize("seed", range(4))
def test_bands_of_the_list_change_nothing(band, seed, monkeypatch):
    design = Design(seed)
    ranked, totals = design.ranked(genuine=False), design.pooled_totals()
    expected = boot.replicate_cutoffs(design.weights, ranked, totals, [0.05, 0.3])
    accepts = boot.replicate_accepts(design.weights, ranked, expected)
    monkeypatch.setattr(boot, "_BAND", band)
    np.testing.assert_array_equal(boot.replicate_cutoffs(design.weights, ranked, totals, [0.05, 0.3]), expected)
    np.testing.assert_array_equal(boot.replicate_accepts(design.weights, ranked, expected), accepts)


def test_more_cells_than_can_be_numbered_are_summed_one_by_one(monkeypatch):
    design = Design(2)
    ranked, totals = design.ranked(genuine=False), design.pooled_totals()
    cutoffs = boot.replicate_cutoffs(design.weights, ranked, totals, [0.2])
    expected = boot.replicate_accepts(design.weights, ranked, cutoffs)
    monkeypatch.setattr(boot, "_MOST_COMBINATIONS", 1)
    np.testing.assert_array_equal(boot.replicate_accepts(design.weights, ranked, cutoffs), expected)
