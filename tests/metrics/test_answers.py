"""Metrics of answers against independent implementations; the values were computed by the tools each file names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facebench.metrics.answers import Table, classify_table, multilabel_table, regress_table
from facebench.metrics.answers.ranked import ends_of_ties
from facebench.metrics.answers.regress import circular
from facebench.metrics.answers.rotation import geodesic

DATA = Path(__file__).parent / "data" / "tasks"


def oracle(name: str) -> dict[str, Any]:
    return json.loads((DATA / f"{name}.json").read_text())


def value(table: Table, metric: str, of: str | None = None, at: float | None = None, rows: Any = slice(None)) -> float:
    (figure,) = (f for f in table.figures if (f.metric, f.of, f.at) == (metric, of, at))
    return float(figure.value(table.rows[rows].sum(axis=0)))


def ranked(table: Table, metric: str, of: str | None = None) -> float:
    (figure,) = (f for f in table.ranked if (f.metric, f.of) == (metric, of))
    order = np.argsort(-figure.score, kind="stable")
    ends = ends_of_ties(figure.score[order])
    return float(figure.value(np.ones((1, order.size)), figure.hit[order], ends)[0])


@pytest.mark.parametrize("group", [None, "A", "B"])
def test_expressions_agree_with_scikit_learn_and_torchmetrics(group: str | None) -> None:
    found = oracle("classify_fer7")
    given, wanted = found["inputs"], found["expected"]["all" if group is None else f"group={group}"]
    classes = given["classes"]
    rows = np.array([group in (None, g) for g in given["group"]])
    truth = np.array(given["y"])
    table = classify_table(np.array(given["prob"]), truth, classes, bins=15, labels_only=False)
    for metric, key in (
        ("top1_accuracy", "accuracy"), ("uar_present", "uar_present_classes (sklearn balanced_accuracy_score)"),
        ("kappa", "cohen_kappa"), ("mcc", "mcc"), ("weighted_f1", "weighted_f1"),
    ):  # fmt: skip
        assert value(table, metric, rows=rows) == pytest.approx(wanted[key], abs=1e-12), metric
    for number, name in enumerate(classes):
        recall = wanted["recall_per_class"][number]
        assert value(table, "recall", name, rows=rows) == pytest.approx(
            np.nan if recall is None else recall, nan_ok=True
        )
        precision = value(table, "precision", name, rows=rows)
        assert precision == pytest.approx(wanted["precision_per_class"][number]) or np.isnan(precision)
        f1 = value(table, "f1", name, rows=rows)
        assert f1 == pytest.approx(wanted["f1_per_class_zero_division_0"][number]) or np.isnan(f1)
    if group is None:
        assert value(table, "macro_f1") == pytest.approx(wanted["macro_f1_all_7_labels_zero_division_0"])
        assert value(table, "nll") == pytest.approx(wanted["nll"])
        assert value(table, "brier") == pytest.approx(wanted["brier_sum_over_classes"])
        assert value(table, "ece") == pytest.approx(wanted["ece_15_bins_l1 (torchmetrics)"], abs=1e-7)


def test_a_class_nobody_shows_leaves_the_mean_over_all_classes_undefined() -> None:
    found = oracle("classify_absent_class")
    given, wanted = found["inputs"], found["expected"]
    said = np.eye(4)[given["pred"]]
    table = classify_table(said, np.array(given["y"]), ["a", "b", "c", "d"], bins=10, labels_only=True)
    assert np.isnan(value(table, "uar"))
    assert np.isnan(value(table, "recall", "d"))
    assert value(table, "uar_present") == pytest.approx(wanted["balanced_accuracy_sklearn (mean over true classes)"])
    assert value(table, "macro_f1") == pytest.approx(wanted["macro_f1_sklearn_default"])


def test_an_image_without_an_answer_is_wrong() -> None:
    said = np.array([[1.0, 0], [np.nan, np.nan], [0, 1.0], [0, 1.0]])
    table = classify_table(said, np.array([0, 0, 1, 1]), ["a", "b"], bins=5, labels_only=False)
    assert value(table, "top1_accuracy") == 0.75
    assert value(table, "recall", "a") == 0.5
    assert value(table, "precision", "a") == 1.0
    assert value(table, "brier") == 0.0  # of what was answered


def test_valence_agrees_with_emonet() -> None:
    found = oracle("regress_valence")
    given = found["inputs"]
    truth, said = np.array(given["truth"])[:, None], np.array(given["pred"])[:, None]
    for answers, key in ((said, "as_given"), (np.clip(said, -1, 1), "clipped_to_[-1,1] (emonet clips)")):
        wanted = found["expected"][key]
        table = regress_table(answers, truth, ["valence"], wrap=False, signed=True)
        for metric, name in (
            ("pcc",) * 2,
            ("ccc",) * 2,
            ("rmse",) * 2,
            ("mae",) * 2,
            ("icc31",) * 2,
            ("sagr", "sagr_emonet"),
        ):
            assert value(table, metric) == pytest.approx(wanted[name], abs=1e-12), metric


def test_a_constant_answer_has_no_correlation_and_no_concordance() -> None:
    truth = np.array([[0.1], [0.4], [-0.3], [0.9]])
    table = regress_table(np.full((4, 1), 0.3), truth, ["valence"], wrap=False)
    assert np.isnan(value(table, "pcc"))
    assert value(table, "ccc") == pytest.approx(0.0, abs=1e-12)


def test_age_agrees_with_scikit_learn() -> None:
    found = oracle("age")
    given, wanted = found["inputs"], found["expected"]
    table = regress_table(
        np.array(given["pred"])[:, None], np.array(given["age"], float)[:, None], ["age"], wrap=False,
        within=(3.0, 5.0), sigma=np.array(given["sigma"]), bins=given["bins"],
    )  # fmt: skip
    assert value(table, "mae") == pytest.approx(wanted["mae"])
    assert value(table, "rmse") == pytest.approx(wanted["rmse"])
    assert value(table, "bias") == pytest.approx(wanted["bias_mean_signed"])
    assert value(table, "within", at=5.0) == pytest.approx(wanted["cs5"])
    assert value(table, "within", at=3.0) == pytest.approx(wanted["cs3"])
    assert value(table, "epsilon_error") == pytest.approx(wanted["epsilon_error"])
    assert value(table, "pcc") == pytest.approx(wanted["pearson"])
    assert value(table, "mae_balanced") == pytest.approx(wanted["mean_of_bin_mae (balanced, MMAE)"])
    assert value(table, "bin_accuracy") == pytest.approx(wanted["bin_accuracy"])
    assert value(table, "one_off") == pytest.approx(wanted["one_off_accuracy"])
    assert value(table, "qwk") == pytest.approx(wanted["qwk"])
    bins = zip(given["bins"], given["bins"][1:], wanted["mae_per_bin"], strict=False)
    for low, high, mae in bins:
        assert value(table, "mae_by_value", f"{low} to {high}") == pytest.approx(mae)
    for group, mae in wanted["mae_per_group"].items():
        assert value(table, "mae", rows=np.array(given["group"]) == group) == pytest.approx(mae)


def test_angles_wrap_around_the_circle_and_never_around_half_of_it() -> None:
    found = oracle("head_pose")
    truth, said = np.array(found["inputs"]["gt"]), np.array(found["inputs"]["pred"])
    table = regress_table(said, truth, ["pitch", "yaw", "roll"], wrap=True)
    for name, wanted in zip(["pitch", "yaw", "roll"], found["expected"]["mae_wrap_360"], strict=True):
        assert value(table, "mae", name) == pytest.approx(wanted)
    assert value(table, "mae") == pytest.approx(np.mean(found["expected"]["mae_wrap_360"]))
    assert circular(np.array([180.0])).tolist() == [-180.0]
    assert geodesic(said, truth) == pytest.approx(found["expected"]["geodesic_deg"])
    turned = regress_table(
        said[:, [1, 0, 2]], truth[:, [1, 0, 2]], ["yaw", "pitch", "roll"], wrap=True, rotation=[1, 0, 2]
    )
    assert value(turned, "geodesic") == pytest.approx(np.mean(found["expected"]["geodesic_deg"]))
    said[0] = np.nan
    missing = regress_table(said, truth, ["pitch", "yaw", "roll"], wrap=True, rotation=[0, 1, 2])
    assert value(missing, "geodesic") == pytest.approx(np.mean(found["expected"]["geodesic_deg"][1:]))


def test_action_units_agree_with_their_reference() -> None:
    found = oracle("multilabel_au")
    given, wanted = found["inputs"], found["expected"]
    truth, score = np.array(given["truth"], float), np.array(given["score"])
    table = multilabel_table(score, truth, given["aus"], threshold=0.5)
    for number, au in enumerate(given["aus"]):
        f1 = wanted["pooled_f1_per_au (ref, >= .5)"][number]
        assert value(table, "f1", au) == pytest.approx(f1, abs=1e-12)
        assert value(table, "label_accuracy", au) == pytest.approx(wanted["acc_per_au"][number])
        auc = wanted["auc_per_au"][number]
        assert ranked(table, "answer_auc", au) == pytest.approx(np.nan if auc is None else auc, nan_ok=True)
    assert value(table, "mean_f1") == pytest.approx(wanted["pooled_mean_f1"])
    assert value(table, "mean_label_accuracy") == pytest.approx(wanted["mean_acc"])
    (f1,) = (f for f in table.figures if (f.metric, f.of) == ("f1", "AU1"))
    rate = truth[:, 0].mean()
    assert f1.null == {"always yes": pytest.approx(2 * rate / (1 + rate))}


def test_scores_of_one_attribute_agree_with_scikit_learn() -> None:
    found = oracle("attributes_fairness")
    given, wanted = found["inputs"], found["expected"]
    truth, score = np.array(given["truth"], float)[:, None], np.array(given["score"])[:, None]
    table = multilabel_table(score, truth, ["hired"], threshold=0.5)
    assert ranked(table, "answer_auc", "hired") == pytest.approx(wanted["auc"])
    assert ranked(table, "average_precision", "hired") == pytest.approx(wanted["ap"])
    for group in ("f", "m"):
        rows = np.array(given["group"]) == group
        assert value(table, "recall", "hired", rows=rows) == pytest.approx(wanted["by_group"]["tpr"][group])
        assert value(table, "selection_rate", "hired", rows=rows) == pytest.approx(wanted["by_group"]["sel"][group])
        assert value(table, "false_alarm_rate", "hired", rows=rows) == pytest.approx(wanted["by_group"]["fpr"][group])
