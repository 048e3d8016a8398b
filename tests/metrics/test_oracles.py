"""Every figure in data/*.json: values from published tables, other implementations and hand calculation."""

import json
from math import log
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_iris

from facebench.metrics import fairness as fair
from facebench.metrics import uncertainty as unc
from facebench.metrics import verification as ver
from facebench.metrics.disparity import OF_ONE_RATE
from facebench.metrics.group_draws import GroupCounts, correlated_normals
from facebench.metrics.inversion import Supposed

DATA = Path(__file__).parent / "data"


def oracle(name):
    return json.loads((DATA / f"{name}.json").read_text(encoding="utf-8"))


VERIFICATION = oracle("verification")
FAIRNESS = oracle("fairness")
UNCERTAINTY = oracle("uncertainty")


# --- verification -----------------------------------------------------------------------------------------------------

IRIS = [key for key in VERIFICATION["iris"] if key != "how"]


def iris_scores(title):
    """Return genuine and impostor scores of a title such as 'sepal_length versicolor=genuine vs setosa=impostor'."""
    data = load_iris()
    feature, genuine, _, impostor = title.split()
    column = data.data[:, data.feature_names.index(feature.replace("_", " ") + " (cm)")]
    names = list(data.target_names)
    return tuple(column[data.target == names.index(kind.split("=")[0])] for kind in (genuine, impostor))


@pytest.mark.parametrize("title", IRIS)
def test_iris(title):
    expected = VERIFICATION["iris"][title]
    genuine, impostor = iris_scores(title)
    assert genuine.size == impostor.size == 50
    assert ver.area_under_curve(genuine, impostor) == pytest.approx(expected["auc"], abs=1e-12)
    eer = ver.equal_error_rate(genuine, impostor)
    assert eer.value == pytest.approx(expected["eer"], abs=1e-12)
    if "eer_bracket" in expected:
        assert eer.bracket == pytest.approx(expected["eer_bracket"], abs=1e-12)
    if "eer_rocch" in expected:
        assert ver.rocch_equal_error_rate(genuine, impostor) == pytest.approx(expected["eer_rocch"], abs=1e-10)
    assert ver.cllr(genuine, impostor) == pytest.approx(expected["cllr"], rel=1e-12)
    assert ver.min_cllr(genuine, impostor) == pytest.approx(expected["min_cllr_ties_pooled"], rel=1e-12, abs=1e-12)
    for target, counts in expected["strict"].items():
        (point,) = ver.operating_points(impostor, [float(target)])
        true_accepts = ver.accepted(genuine, point.threshold)
        assert (point.false_accepts, true_accepts) == (counts["false_accepts"], counts["true_accepts"])
        assert point.false_accepts == ver.accepted(impostor, point.threshold)
        if "tar" in counts:
            assert true_accepts / genuine.size == counts["tar"]
        assert point.resolvable == (counts.get("flag") != "unresolvable")


def test_uniform_scores():
    """The published figure .25252524 is the threshold at the crossing (25/99 of the way), not a rate.

    Scores are a hundred counts, so an error rate is a multiple of .01: by counting, the EER is .25 exactly.
    """
    genuine, impostor = np.linspace(0, 1, 100), np.linspace(-0.5, 0.5, 100)
    eer = ver.equal_error_rate(genuine, impostor)
    assert VERIFICATION["uniform"]["eer"] == pytest.approx(25 / 99, abs=1e-7)
    assert eer.threshold == pytest.approx(VERIFICATION["uniform"]["eer"], abs=1e-7)
    assert eer.value == pytest.approx(0.25, abs=1e-12)
    assert eer.bracket == pytest.approx((0.25, 0.25), abs=1e-12)


def test_cmc_of_first_hits():
    """Rank-k is the share of first hits at rank <= k; the mean rank feeds the rank disparity."""
    ranks = np.array(VERIFICATION["cmc"]["ranks_first_hit"])
    assert [float(np.mean(ranks <= k)) for k in (1, 2, 3)] == [0.375, 0.75, 1.0]
    assert fair.rank_disparity(ranks[:4], ranks[4:]) == (0.25, -1.0)
    assert fair.rank_disparity(ranks[4:], ranks[:4]) == (0.25, 1.0)


@pytest.mark.parametrize("value", [0.0, -1.5, 0.7])
def test_constant_scores_reach_no_tar(value):
    assert "TAR@any FMR<1 is 0" in VERIFICATION["degenerate"]["constant scores"]
    genuine, impostor = np.full(30, value), np.full(40, value)
    for point in ver.operating_points(impostor, [0.01, 0.5, 0.99]):
        assert point.false_accepts == 0
        assert ver.accepted(genuine, point.threshold) == 0
    assert not ver.operating_points(impostor, [0.01])[0].resolvable
    assert ver.equal_error_rate(genuine, impostor).value == 0.5
    assert ver.rocch_equal_error_rate(genuine, impostor) == pytest.approx(0.5)
    assert ver.area_under_curve(genuine, impostor) == 0.5
    assert ver.min_cllr(genuine, impostor) == pytest.approx(1.0)
    assert ver.d_prime(genuine, impostor) is None


def test_an_impostor_scores_highest():
    assert "FNMR at zero FMR is 1.0" in VERIFICATION["degenerate"]["impostor highest"]
    genuine, impostor = np.array([0.1, 0.2, 0.3]), np.array([0.9, 0.05, 0.04, 0.03])
    point = ver.zero_fmr_point(impostor)
    assert point.false_accepts == 0
    assert ver.accepted(genuine, point.threshold) == 0


# --- fairness ---------------------------------------------------------------------------------------------------------


def test_rfw_counts():
    rfw = FAIRNESS["rfw_global34"]
    fmr = np.array(rfw["false_matches"]) / rfw["n_per_group"]
    fnmr = np.array(rfw["false_non_matches"]) / rfw["n_per_group"]
    assert fair.inequity_rate(fmr, fnmr) == pytest.approx(rfw["IR"], rel=1e-12)
    assert fair.garbe(fmr, fnmr) == pytest.approx(rfw["GARBE"], rel=1e-12)
    assert fair.fdr(fmr, fnmr) == pytest.approx(rfw["FDR"], rel=1e-12)
    assert fair.equalised_odds_difference(fmr, fnmr) == pytest.approx(rfw["equalised_odds_difference"], rel=1e-12)


def test_nist_annex_15():
    nist = FAIRNESS["nist_annex15_visionlabs_006"]
    fmr, fnmr = nist["fmr"], nist["fnmr"]
    assert len(fmr) == len(fnmr) == len(nist["groups"])
    close = {"rel": 5e-6}
    assert fair.fdr(fmr, fnmr) == pytest.approx(nist["FDR"], **close)
    assert [fair.max_min(fmr), fair.max_min(fnmr)] == pytest.approx(nist["max_min"], **close)
    assert fair.inequity_rate(fmr, fnmr) == pytest.approx(nist["IR"], **close)
    assert [fair.gini(fmr), fair.gini(fnmr)] == pytest.approx(nist["gini"], **close)
    assert fair.garbe(fmr, fnmr) == pytest.approx(nist["GARBE"], **close)
    # these two are printed with four digits
    assert [fair.max_geomean(fmr), fair.max_geomean(fnmr)] == pytest.approx(nist["max_geomean"], rel=2e-4)
    assert fair.werm(fmr, fnmr) == pytest.approx(nist["WERM"], rel=2e-4)
    assert [fair.sedg(fmr), fair.sedg(fnmr)] == pytest.approx(nist["SEDG"], **close)


@pytest.mark.parametrize(("fmr_part", "fnmr_part", "expected"), FAIRNESS["werm"])
def test_werm_from_its_parts(fmr_part, fnmr_part, expected):
    """Two rates r², 1 have max over geometric mean r."""
    assert fair.max_geomean([fmr_part**2, 1.0]) == pytest.approx(fmr_part, rel=1e-12)
    assert fair.werm([fmr_part**2, 1.0], [fnmr_part**2, 1.0]) == pytest.approx(expected, abs=1e-4)


def test_fr_nas_ratios():
    """Both sexes are equally frequent, so their errors are mean -+ half the disparity."""
    published = FAIRNESS["fr_nas"]
    low = published["error"] - published["disparity"] / 2
    high = published["error"] + published["disparity"] / 2
    ratio, sign = fair.signed_ratio_difference(low, high)
    assert ratio == pytest.approx(published["error_ratio_from_means_equal_sexes"], abs=1e-7)
    assert sign == -1
    ratio, sign = fair.signed_ratio_difference(1 - low, 1 - high)
    assert ratio == pytest.approx(published["ratio_from_means"], abs=1e-7)
    assert sign == 1


def test_toys():
    toys = FAIRNESS["toys"]
    x = toys["gini"]["x"]
    assert fair.gini(x) == pytest.approx(toys["gini"]["corrected"], abs=1e-7)
    assert fair.gini(x) * 3 / 4 == pytest.approx(toys["gini"]["raw"], abs=1e-7)
    assert fair.max_geomean(x) == pytest.approx(toys["gini"]["max_geomean"], abs=1e-6)
    assert fair.sedg(x) == pytest.approx(toys["gini"]["sedg"], rel=1e-12)
    assert fair.gini([0, 0, 0.3, 0]) == pytest.approx(toys["gini_one_hot_of_4"], rel=1e-12)
    assert fair.gini([0.2, 0.2, 0.2]) == pytest.approx(toys["gini_all_equal"], abs=1e-15)
    assert toys["one_group"] == "undefined"
    for measure in (fair.gap, fair.max_min, fair.max_geomean, fair.gini, fair.sedg):
        assert measure([0.1]) is None
    for measure in (fair.fdr, fair.inequity_rate, fair.garbe, fair.werm):
        assert measure([0.1], [0.2]) is None
    assert fair.equalised_odds_difference([0.1], [0.2]) is None
    assert fair.equalised_odds_ratio([0.1], [0.2]) is None
    assert toys["a_zero_cell"] == "IR, max/min, max/geomean undefined"
    assert fair.inequity_rate([0, 0.1], [0.1, 0.2]) is None
    assert fair.max_min([0, 0.1]) is None
    assert fair.max_geomean([0, 0.1]) is None
    assert fair.gini([0.0, 0.0]) is None
    assert fair.sedg([0.0, 0.0]) is None


def test_rfw_cannot_support_one_in_a_thousand():
    """At a pooled FMR of 1e-3 twelve false matches are left for four groups, and one group has none."""
    assert "false matches 9,2,0,1 per group" in FAIRNESS["evidence"]
    false_matches = np.array([9, 2, 0, 1])
    assert false_matches.sum() == ver.false_accept_budget(1e-3, 12_000)
    fmr = false_matches / 3000
    assert fair.max_min(fmr) is None
    assert fair.max_geomean(fmr) is None
    assert false_matches.max() < unc.errors_needed(2)
    n = np.full(4, 3000.0)
    normals = correlated_normals(4, None, np.random.default_rng(0))
    found = Supposed((GroupCounts(false_matches.astype(float), n, n),), normals).invert(OF_ONE_RATE["max_min"], 0.95)
    assert 1 < found.low < 6  # Pearson's test of (9, 2, 0, 1) gives p = .001
    assert found.high is None
    assert found.expected is None  # with three errors to a group, zeros are common


# --- uncertainty ------------------------------------------------------------------------------------------------------


def reference_wilson_with_variance(errors, pairs, variance, alpha):
    """Return the interval of the published reference implementation (a compatibility function; not our default).

    It differs from ours in two places: with no error it uses n_eff = n, and with one error the lower bound is
    -ln(1 - alpha) / n whatever the variance.
    """
    p = errors / pairs
    n_eff = pairs if errors == 0 else p * (1 - p) / variance
    low, high = unc.wilson(p, n_eff, 1 - alpha)
    if errors == 1:
        low = -log(1 - alpha) / pairs
    return low, high


@pytest.mark.parametrize(("arguments", "expected"), UNCERTAINTY["wilson_with_variance"]["cases"])
def test_wilson_with_variance(arguments, expected):
    errors, pairs, variance, alpha = arguments
    assert reference_wilson_with_variance(*arguments) == pytest.approx(tuple(expected), rel=1e-9, abs=1e-15)
    ours = unc.wilson_from_variance(errors / pairs, pairs, variance, 1 - alpha)
    assert ours.high == pytest.approx(expected[1], rel=1e-9)
    if errors != 1:
        assert ours.low == pytest.approx(expected[0], rel=1e-9, abs=1e-15)
    assert (ours.n_eff is None) == (errors == 0)


def hand_case(index):
    return UNCERTAINTY["hand"][index]


def test_one_identity_matches_everyone():
    case = hand_case(0)
    first, second = np.triu_indices(case["identities"], 1)
    errors = (first == 0).astype(float)
    p = errors.mean()
    assert p == case["fmr"]
    variance = unc.cell_variance(errors - p, first, second, errors.size, p)
    assert variance == pytest.approx(case["V"], rel=1e-12)
    interval = unc.wilson_from_variance(p, errors.size, variance)
    assert interval.n_eff == pytest.approx(case["n_eff"], rel=1e-12)
    assert (interval.low, interval.high) == pytest.approx(tuple(case["wilson"]), abs=1e-9)


def test_negative_covariance_is_clipped():
    """The note of the oracle says the covariance is clipped; here its sum is 0, and the floor p (1 - p) / P is met."""
    case = hand_case(1)
    first, second = np.triu_indices(case["identities"], 1)
    wrong = {tuple(pair) for pair in case["errors"]}
    errors = np.array([(u, v) in wrong for u, v in zip(first, second, strict=True)], float)
    p = errors.mean()
    assert p == pytest.approx(case["fmr"], abs=1e-9)
    variance = unc.cell_variance(errors - p, first, second, errors.size, p)
    assert variance == pytest.approx(case["V"], abs=1e-6)
    assert variance >= p * (1 - p) / errors.size


def test_covariance_below_zero_counts_as_none():
    """Errors at disjoint pairs only: every S_u is 0, so the covariance would be negative."""
    first, second = np.triu_indices(4, 1)
    errors = ((first == 0) & (second == 1) | (first == 2) & (second == 3)).astype(float)
    p = errors.mean()
    assert unc.cell_variance(errors - p, first, second, errors.size) == pytest.approx(p * (1 - p) / errors.size)


def test_genuine_errors_of_one_identity():
    case = hand_case(2)
    errors = np.array([1.0, 0, 0, 0, 0])
    q = errors.mean()
    assert q == case["fnmr"]
    variance = unc.identity_variance(errors - q, np.arange(5), 5)
    assert variance == pytest.approx(case["V"], rel=1e-12)
    assert reference_wilson_with_variance(1, 5, variance, 0.05) == pytest.approx(tuple(case["wilson"]), abs=1e-8)
    # the lower bound above is the reference's special case of one error; ours is Wilson's
    interval = unc.wilson_from_variance(q, 5, variance)
    assert interval.high == pytest.approx(case["wilson"][1], abs=1e-8)
    assert (interval.low, interval.high) == pytest.approx(unc.wilson(0.2, 5), rel=1e-12)


@pytest.mark.parametrize(("fraction", "expected"), UNCERTAINTY["clopper_pearson_95"].items())
def test_clopper_pearson(fraction, expected):
    errors, n = map(int, fraction.split("/"))
    assert unc.clopper_pearson(errors, n) == pytest.approx(tuple(expected), abs=1e-10)
