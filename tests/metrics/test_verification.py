"""Thresholds and rates against naive computations and scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score, roc_curve

from facebench.errors import InputError, UnknownNameError
from facebench.metrics import compat
from facebench.metrics import verification as ver
from facebench.metrics.kernels import largest

many = settings(max_examples=150, deadline=None)
dtypes = st.sampled_from([np.float32, np.float64])
seeds = st.integers(0, 2**32 - 1)
KINDS = ["random", "tied", "constant", "failed", "zeros", "close", "tiny", "huge"]


def some_scores(seed, kind, dtype, size=None):
    rng = np.random.default_rng(seed)
    size = size or int(rng.integers(1, 60))
    if kind == "random":
        scores = rng.normal(size=size)
    elif kind == "tied":
        scores = rng.integers(-3, 4, size) / 4
    elif kind == "constant":
        scores = np.full(size, rng.normal())
    elif kind == "failed":
        scores = np.where(rng.random(size) < 0.5, -np.inf, rng.normal(size=size))
    elif kind == "zeros":
        scores = rng.choice([0.0, -0.0, 1e-30, -1e-30], size)
    elif kind == "close":  # neighbours in the type itself
        kind = np.dtype(dtype).type
        scores = np.array([kind(0.3), np.nextafter(kind(0.3), kind(1)), np.nextafter(kind(0.3), kind(0))])
        scores = rng.choice(scores, size)
    elif kind == "tiny":
        scores = rng.choice([5e-324, -5e-324, 1e-45, -1e-45, 0.0], size)
    else:
        scores = rng.normal(size=size) * 1e37
    return scores.astype(dtype)


@many
@given(seeds, st.sampled_from(KINDS), dtypes, st.data())
def test_largest(seed, kind, dtype, data):
    scores = some_scores(seed, kind, dtype)
    ranks = data.draw(st.lists(st.integers(0, scores.size - 1), min_size=1, max_size=5))
    falling = np.sort(scores)[::-1]
    expected = [(float(falling[rank]), int((scores > falling[rank]).sum())) for rank in ranks]
    assert largest(scores, ranks) == expected
    assert largest(np.repeat(scores, 2)[::2], ranks) == expected  # not contiguous


@many
@given(seeds, st.sampled_from(KINDS), dtypes)
def test_operating_points(seed, kind, dtype):
    scores = some_scores(seed, kind, dtype)
    targets = [0.001, 0.1, 0.29, 0.5, 0.99]
    for target, point in zip(targets, ver.operating_points(scores, targets), strict=True):
        k = ver.false_accept_budget(target, scores.size)
        # thresholds that matter: every score, and the value above each
        above = [np.nextafter(s, dtype(np.inf)) for s in scores]
        allowed = [t for t in np.unique([*scores, *above]) if (scores >= t).sum() <= k]
        assert point.threshold == min(allowed)
        assert point.false_accepts == (scores >= dtype(point.threshold)).sum() == ver.accepted(scores, point.threshold)
        assert point.fmr <= target
        assert point.resolvable == (k >= 1)


def test_false_accept_budget():
    assert ver.false_accept_budget(0.29, 100) == 29
    assert ver.false_accept_budget(1e-3, 12_000) == 12
    assert ver.false_accept_budget(1e-4, 78_000) == 7
    assert ver.false_accept_budget(0.1, 3) == 0
    assert ver.false_accept_budget(4.8833333333333e-2, 12_000) == 586
    assert ver.false_accept_budget(0.048833333, 12_000) == 586
    assert ver.false_accept_budget(0.04883333, 12_000) == 585  # seven digits say what they say
    assert ver.false_accept_budget(2 / 3, 12_000) == 8000
    for k in (1, 7, 586, 11_999):
        assert ver.false_accept_budget(k / 12_000, 12_000) == k
        assert ver.false_accept_budget(k / 12_000 - 1e-6, 12_000) == k - 1


@pytest.mark.parametrize("target", [0, 1, -0.1, 1.5])
def test_wrong_targets(target):
    with pytest.raises(InputError, match="between 0 and 1"):
        ver.operating_points(np.array([0.1]), [target])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_scores_that_are_no_scores(bad):
    with pytest.raises(InputError, match="1 of 3 are NaN or infinite, the first at row 1"):
        ver.as_scores([0.1, bad, 0.2])
    with pytest.raises(InputError, match="one-dimensional"):
        ver.as_scores([[0.1]])
    with pytest.raises(InputError, match="there are none"):
        ver.as_scores([])


@pytest.mark.parametrize("threshold", [0.3, 0.30000001, float(np.float32(0.3))])
def test_a_threshold_is_not_rounded_to_the_scores(threshold):
    score = np.float32(0.3)
    scores = np.array([score, np.nextafter(score, np.float32(0)), np.nextafter(score, np.float32(1))])
    assert ver.accepted(scores, threshold) == (scores.astype(np.float64) >= threshold).sum()


def two_samples(seed, dtype=np.float64, kind=None):
    rng = np.random.default_rng(seed)
    kind = kind or rng.choice(["random", "tied", "constant"])
    genuine, impostor = some_scores(rng.integers(1 << 30), kind, dtype), some_scores(rng.integers(1 << 30), kind, dtype)
    return genuine + dtype(rng.choice([0, 0.5])), impostor


def rates(genuine, impostor):
    return [
        ver.equal_error_rate(genuine, impostor).value,
        ver.rocch_equal_error_rate(genuine, impostor),
        ver.area_under_curve(genuine, impostor),
        ver.min_cllr(genuine, impostor),
        ver.best_threshold(genuine, impostor)[1],
        *(ver.accepted(genuine, p.threshold) for p in ver.operating_points(impostor, [0.1, 0.5])),
    ]


@many
@given(seeds)
def test_increasing_transforms_and_order_change_no_rate(seed):
    genuine, impostor = two_samples(seed)
    expected = rates(genuine, impostor)
    assert rates(3 * genuine - 7, 3 * impostor - 7) == pytest.approx(expected, abs=1e-12)
    assert rates(np.arctan(genuine), np.arctan(impostor)) == pytest.approx(expected, abs=1e-12)
    rng = np.random.default_rng(seed)
    assert rates(rng.permutation(genuine), rng.permutation(impostor)) == pytest.approx(expected, abs=1e-12)


@many
@given(seeds)
def test_rates_against_naive_ones(seed):
    genuine, impostor = two_samples(seed)
    labels = np.r_[np.ones(genuine.size), np.zeros(impostor.size)]
    scores = np.r_[genuine, impostor]
    assert ver.area_under_curve(genuine, impostor) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    points = []
    for threshold in [*np.unique(scores), np.inf]:
        fmr, fnmr = (impostor >= threshold).mean(), (genuine < threshold).mean()
        points.append((round(abs(fmr - fnmr), 11), (fmr + fnmr) / 2, tuple(sorted((fmr, fnmr)))))
    found = ver.equal_error_rate(genuine, impostor)
    assert found.value == pytest.approx(min(points)[1], abs=1e-12)
    assert found.bracket == pytest.approx(min(points)[2], abs=1e-12)
    fpr, tpr, _ = roc_curve(labels, scores, drop_intermediate=False)
    curve = ver.error_curve(genuine, impostor)
    assert curve.fmr[::-1] == pytest.approx(fpr, abs=1e-12)
    assert 1 - curve.fnmr[::-1] == pytest.approx(tpr, abs=1e-12)


@many
@given(seeds)
def test_min_cllr_against_isotonic_regression(seed):
    from sklearn.isotonic import IsotonicRegression

    genuine, impostor = two_samples(seed)
    labels = np.r_[np.ones(genuine.size), np.zeros(impostor.size)]
    posterior = IsotonicRegression().fit_transform(np.r_[genuine, impostor], labels)
    with np.errstate(divide="ignore"):
        llr = np.log(posterior) - np.log1p(-posterior) - np.log(genuine.size / impostor.size)
    miss = np.log2(1 + np.exp(-llr[labels == 1])).mean()
    false_alarm = np.log2(1 + np.exp(llr[labels == 0])).mean()
    assert ver.min_cllr(genuine, impostor) == pytest.approx((miss + false_alarm) / 2, abs=1e-9)


@many
@given(seeds)
def test_rocch_against_a_linear_programme_over_pairs_of_thresholds(seed):
    """The hull's EER is the worst, over costs, of the best weighted error: max over w of min over t."""
    genuine, impostor = two_samples(seed)
    curve = ver.error_curve(genuine, impostor)
    crossing = [0.5]
    for a in range(curve.fmr.size):
        for b in range(a + 1):
            d_a, d_b = curve.fnmr[a] - curve.fmr[a], curve.fnmr[b] - curve.fmr[b]
            if d_a >= 0 >= d_b:
                share = 0.0 if d_a == d_b else -d_b / (d_a - d_b)
                crossing.append(share * curve.fmr[a] + (1 - share) * curve.fmr[b])
    assert ver.rocch_equal_error_rate(genuine, impostor) == pytest.approx(min(crossing), abs=1e-10)


@many
@given(seeds)
def test_fold_accuracy(seed):
    rng = np.random.default_rng(seed)
    folds = np.repeat(np.arange(4), 8)
    genuine = np.tile([True, False], 16)
    scores = np.round(rng.normal(size=32) + genuine, 1)
    accuracies, thresholds = [], []
    for fold in range(4):
        train, test = folds != fold, folds == fold
        candidates = np.unique(np.append(scores[train], np.nextafter(scores[train].max(), np.inf)))
        fitted = [((scores[train] >= t) == genuine[train]).sum() for t in candidates]
        threshold = candidates[int(np.argmax(fitted))]
        thresholds.append(threshold)
        accuracies.append(((scores[test] >= threshold) == genuine[test]).mean())
    found = ver.fold_accuracy(scores, genuine, folds)
    assert found.thresholds == tuple(thresholds)
    assert found.accuracies == pytest.approx(accuracies)
    assert found.mean == pytest.approx(np.mean(accuracies))
    assert found.standard_error == pytest.approx(np.std(accuracies, ddof=1) / 2)
    assert found.std == pytest.approx(np.std(accuracies))


def test_folds_of_one_kind_are_refused():
    scores, genuine = np.linspace(0, 1, 8), np.repeat([True, False], 4)
    with pytest.raises(InputError, match="interleave"):
        ver.fold_accuracy(scores, genuine, np.repeat([0, 1], 4))
    with pytest.raises(InputError, match="two folds"):
        ver.fold_accuracy(scores, genuine, np.zeros(8, int))


# --- other tools' rules -----------------------------------------------------------------------------------------------


@many
@given(seeds, dtypes, st.sampled_from(["random", "tied", "constant", "zeros", "close"]))
def test_compatibility_rules(seed, dtype, kind):
    genuine, impostor = two_samples(seed, dtype, kind)
    labels = np.r_[np.ones(genuine.size), np.zeros(impostor.size)]
    scores = np.r_[genuine, impostor].astype(np.float64)
    g, i = genuine.astype(np.float64), impostor.astype(np.float64)
    for target in (0.01, 0.1, 0.25, 0.5):
        found = {rule: compat.tar_under_rule(rule, genuine, impostor, target) for rule in compat.RULES}

        fpr, tpr, _ = roc_curve(labels, scores, drop_intermediate=True)
        nearest = np.abs(fpr - target) == np.abs(fpr - target).min()
        assert found["insightface"].tar == pytest.approx(tpr[nearest].max())
        assert found["insightface"].point.fmr == pytest.approx(fpr[np.flatnonzero(nearest)[-1]])

        threshold = np.quantile(i, 1 - target)
        assert found["quantile"].tar == (g >= threshold).mean()
        assert found["quantile"].point.fmr == (i >= threshold).mean()

        on_score = [t for t in i if (i >= t).sum() <= ver.false_accept_budget(target, i.size)]
        threshold = min(on_score) if on_score else ver.just_above(i.max(), dtype)
        assert found["bob"].tar == (g >= threshold).mean()
        assert found["bob"].point.threshold == threshold

        every = [*np.unique(scores), np.inf]
        distances = [abs((i >= t).mean() - target) for t in every]
        threshold = next(t for t, d in zip(every, distances, strict=True) if d <= min(distances) + 1e-12)
        assert found["pyeer"].point.fmr == pytest.approx((i >= threshold).mean())


def test_an_unknown_rule_is_named():
    with pytest.raises(UnknownNameError):
        compat.tar_under_rule("bobb", np.array([1.0]), np.array([0.0]), 0.1)


def test_equal_error_rate_as_pyeer_prints_it():
    # at .5 FMR 1/2 and FNMR 1/2 are equal; of unequal neighbours the one with the smaller sum is taken
    assert compat.pyeer_equal_error_rate(np.array([0.4, 0.6]), np.array([0.1, 0.5])) == (0.5, 0.5)
    g, i = np.linspace(0, 1, 100), np.linspace(-0.5, 0.5, 100)
    value, threshold = compat.pyeer_equal_error_rate(g, i)
    rates = {t: ((i >= t).mean(), (g < t).mean()) for t in np.unique(np.concatenate([g, i]))}
    after = min(t for t, (fmr, fnmr) in rates.items() if fmr <= fnmr)
    before = max((t for t in rates if t < after), default=after)
    pick = after if rates[after][0] == rates[after][1] else min((before, after), key=lambda t: sum(rates[t]))
    assert (value, threshold) == (pytest.approx(sum(rates[pick]) / 2), pytest.approx(pick))
    assert compat.pyeer_equal_error_rate(np.array([0.9]), np.array([0.95])) == (1.0, 0.95)
    assert compat.pyeer_equal_error_rate(np.array([0.5]), np.array([0.5])) is None
