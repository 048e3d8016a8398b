"""Scores of presentation attacks against CDCN's and FSFM's code, run elsewhere, and against brute force."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facebench.metrics.answers import Table, score_table
from facebench.metrics.answers.ranked import ends_of_ties
from facebench.metrics.answers.score import eer_threshold, equal_error
from tests.metrics.test_answers import oracle, value

SPECIES = ["print", "replay", "mask3d"]


def parts(found: dict[str, Any], split: str) -> tuple[Any, Any]:
    given = found["inputs"][split]
    names = ["bona_fide", *SPECIES]
    return np.array(given["score"]), np.array([names.index(name) for name in given["species"]])


def ranked(table: Table, metric: str, at: float | None = None) -> float:
    (figure,) = (f for f in table.ranked if (f.metric, f.at) == (metric, at))
    order = np.argsort(-figure.score, kind="stable")
    found = figure.value(np.ones((1, order.size)), figure.hit[order], ends_of_ties(figure.score[order]))
    return float(found[0])


def test_attacks_agree_with_the_references_under_either_accept_rule() -> None:
    found = oracle("pad")
    wanted = found["expected"]
    score, species = parts(found, "dev")
    threshold = eer_threshold(score, species == 0)
    assert threshold == wanted["threshold_dev_eer_cdcn"] == wanted["fsfm"]["dev_threshold"]
    score, species = parts(found, "test")
    table = score_table(score, species, SPECIES, threshold=threshold)
    for name, apcer in wanted["test_with_>=_rule"]["apcer_per_species"].items():
        assert value(table, "apcer", name) == pytest.approx(apcer)
    assert value(table, "bpcer") == pytest.approx(wanted["test_with_>=_rule"]["bpcer"])
    assert value(table, "answer_hter") == pytest.approx(wanted["fsfm"]["test_hter_at_dev_threshold (honest)"])
    # CDCN accepts above the threshold only; a score on it lies on the other side
    table = score_table(score, species, SPECIES, threshold=float(np.nextafter(threshold, 2)))
    strict = wanted["test"]
    assert value(table, "apcer_worst") == pytest.approx(strict["apcer_worst (ISO 30107-3 headline)"])
    assert value(table, "apcer_pooled") == pytest.approx(strict["apcer_pooled_over_attacks (CDCN 'APCER')"])
    assert value(table, "bpcer") == pytest.approx(strict["bpcer"])
    assert value(table, "acer") == pytest.approx(strict["acer_worst=(max apcer+bpcer)/2 (OULU-NPU)"])
    assert value(table, "answer_hter") == pytest.approx(strict["hter_dev_threshold"])
    assert ranked(table, "answer_auc") == pytest.approx(wanted["auc"])
    assert ranked(table, "answer_eer") == pytest.approx(wanted["fsfm"]["test_eer"])
    assert ranked(table, "bpcer_at_apcer", 0.10) == pytest.approx(wanted["bpcer10_worst_species"]["bpcer"])
    assert ranked(table, "bpcer_at_apcer", 0.05) == pytest.approx(wanted["bpcer20_worst_species"]["bpcer"])
    assert ranked(table, "tpr_at_fpr", 0.01) == pytest.approx(wanted["tpr_at_fpr_1pct"])
    pooled = score_table(score, np.minimum(species, 1), ["attack"], threshold=threshold)
    assert ranked(pooled, "bpcer_at_apcer", 0.10) == pytest.approx(wanted["bpcer10_pooled"]["bpcer"])


def test_a_presentation_without_an_answer_is_an_error_and_counted() -> None:
    score = np.array([0.9, np.nan, 0.2, np.nan])
    table = score_table(score, np.array([0, 0, 1, 1]), ["print"], threshold=0.5)
    for metric, of in (("bpcer", None), ("apcer", "print"), ("apnrr", None), ("bpnrr", None)):
        assert value(table, metric, of) == 0.5
    assert ranked(table, "answer_auc") == 1.0


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 2)), min_size=3, max_size=40))
def test_weights_are_copies_and_limits_hold(rows: list[tuple[int, int]]) -> None:
    """A row of weight 2 is a row given twice; at the threshold found, no species exceeds its limit."""
    score = np.array([float(s) for s, _ in rows])
    kind = np.array([k for _, k in rows])
    if set(kind.tolist()) != {0, 1, 2}:
        return
    table = score_table(score, kind, ["a", "b"], threshold=3.0)
    weights = np.random.default_rng(len(rows)).integers(1, 3, len(rows))
    twice = score_table(np.repeat(score, weights), np.repeat(kind, weights), ["a", "b"], threshold=3.0)
    for figure, copied in zip(table.ranked, twice.ranked, strict=True):
        order = np.argsort(-figure.score, kind="stable")
        ends = ends_of_ties(figure.score[order])
        found = figure.value(weights[order][None].astype(float), figure.hit[order], ends)[0]
        assert found == pytest.approx(ranked(twice, copied.metric, copied.at))
        assert 0 <= found <= 1
    limits = [
        (max(np.mean(score[kind == s] >= t) for s in (1, 2)), np.mean(score[kind == 0] < t)) for t in [*score, 99.0]
    ]
    best = min(bpcer for apcer, bpcer in limits if apcer <= 0.10)
    assert ranked(table, "bpcer_at_apcer", 0.10) == pytest.approx(best)


def test_equal_error_of_scores_without_order_is_one_half() -> None:
    found = equal_error(np.ones((1, 4)), np.array([1.0, 0.0, 1.0, 0.0]), np.array([3]))
    assert found.tolist() == [0.5]
