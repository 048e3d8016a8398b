"""The catalogue knows every metric there is, and nothing in the package guesses from a metric's name."""

from __future__ import annotations

import ast
import json
import re
from math import isinf
from pathlib import Path

import numpy as np
import pytest

from facebench.errors import InputError
from facebench.measure.every_score import measure
from facebench.measure.sample import Images, Pairs
from facebench.metrics import catalogue
from facebench.metrics.catalogue import Counted, Direction, Format, Kind, MetricDef, Topic
from facebench.schema import ProtocolSpec

ROOT = Path(__file__).resolve().parent.parent.parent
ENTRIES = sorted(path for path in ROOT.glob("leaderboard/*/*/*.json") if re.fullmatch(r"[0-9a-f]{64}", path.stem))

PAGES = ("metrics", "explanations", "tasks")

# What a reader of the field expects; a change of any of these turns verdicts round.
HIGHER = {
    "tar", "auc", "dprime", "accuracy", "rank", "throughput", "fdr", "equalised_odds_ratio", "judgement_alignment",
    "mean_tar", "worst_tar", "precision_at_1", "r_precision", "map_at_r", "reranked_precision_at_1",
    "reranked_r_precision", "reranked_map_at_r", "rerank_gain", "robust_tar", "saliency_iou", "iou_mismatch_gap",
    "pixel_auroc", "pointing", "insertion_auc", "insertion_tar", "seed_stability", "inpainting_at_1",
    "inpainting_at_5",
}  # fmt: skip
HIGHER_OF_ANSWERS = {
    "top1_accuracy", "uar", "uar_present", "macro_f1", "weighted_f1", "accuracy_common_mix", "kappa", "mcc", "recall",
    "precision", "f1", "mean_f1", "mean_label_accuracy", "label_accuracy", "answer_auc", "average_precision", "pcc",
    "ccc", "icc31", "sagr", "within", "tpr_at_fpr", "cosine", "intersection",
    "bin_accuracy", "one_off", "qwk",
}  # fmt: skip
NEITHER = {
    "accuracy_fold_std", "equal_fmr_test", "equal_fnmr_test", "fmr_odds_mean", "fnmr_odds_mean",
    "fmr_odds_difference", "fnmr_odds_difference", "judge_agreement", "score_change", "score_step",
    "relevance_mass", "map_ncc", "bias", "bias_by_value", "selection_rate",
}  # fmt: skip


def everything() -> list[MetricDef]:
    return [catalogue.metric(name) for name in catalogue.names()]


def test_directions_are_those_of_the_field() -> None:
    found = {d: {m.name for m in everything() if m.direction is d} for d in Direction}
    assert found[Direction.HIGHER] == HIGHER | HIGHER_OF_ANSWERS
    assert found[Direction.NONE] == NEITHER
    assert {"fmr", "fnmr", "eer", "fnir", "fpir", "fmr_gap", "latency_ms", "worst_fmr"} <= found[Direction.LOWER]


@pytest.mark.parametrize("definition", everything(), ids=lambda d: d.name)
def test_every_definition_is_whole(definition: MetricDef) -> None:
    low, high = definition.bounds
    assert low < high
    assert definition.label
    assert definition.words.endswith(".")
    if definition.alike is not None:
        assert low <= definition.alike <= high
    if definition.kind is Kind.RATE:
        assert definition.bounds == (0.0, 1.0)
        assert definition.intervals, "a rate has an interval"
    if definition.format is Format.SHARE:
        assert definition.direction is Direction.HIGHER or definition.topic is Topic.IDENTIFICATION
    if definition.kind in (Kind.COUNT, Kind.TIMING):
        assert (definition.topic, definition.counted) == (Topic.EFFICIENCY, Counted.NOTHING)
    least, most = definition.difference_bounds
    assert least == -most


def test_gain_and_order_follow_the_direction() -> None:
    up, down, neither = (catalogue.metric(name) for name in ("mean_tar", "fmr_gap", "score_change"))
    assert up.gain(0.962, 0.368) == pytest.approx(-0.594)
    assert down.gain(0.1, 0.3) == pytest.approx(-0.2)
    assert neither.gain(0.1, 0.3) is None
    values = [0.2, None, 0.9]
    assert sorted(values, key=up.sort_key) == [0.9, 0.2, None]
    assert sorted(values, key=down.sort_key) == [0.2, 0.9, None]


def test_an_unknown_metric_is_an_error_with_a_suggestion() -> None:
    with pytest.raises(InputError, match=r"unknown metric 'mean_tars' in rule 2\. Did you mean 'mean_tar'\?"):
        catalogue.metric("mean_tars", where="rule 2")
    assert not catalogue.known("fmr_")


def test_a_plug_in_adds_a_metric_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue.METRICS, "_targets", dict(catalogue.METRICS._targets))
    own = MetricDef(
        name="blink_rate", label="Blinks", words="How often.", topic=Topic.ALTERED, kind=Kind.RATE,
        direction=Direction.LOWER, bounds=(0.0, 1.0), counted=Counted.IMAGES, intervals=("wilson-identity",),
    )  # fmt: skip
    catalogue.register(own)
    assert catalogue.metric("blink_rate") is own
    with pytest.raises(InputError, match="already registered"):
        catalogue.register(own)


def test_every_metric_is_documented_and_every_documented_one_exists() -> None:
    text = "\n".join((ROOT / f"docs/{page}.md").read_text(encoding="utf-8") for page in PAGES)
    missing = [name for name in catalogue.names() if f"`{name}`" not in text and name != "map_ncc"]
    assert not missing
    tables = (
        (ROOT / "docs/metrics.md").read_text(encoding="utf-8").split("\n## Intervals\n")[0].split("## Verification")[1]
    )
    heads = [line.split("|")[1] for line in tables.splitlines() if line.startswith("| `")]
    named = {name for head in heads for name in re.findall(r"`([a-z0-9_]+)`", head)}
    assert named <= set(catalogue.names())


@pytest.mark.parametrize("path", ENTRIES[:: max(1, len(ENTRIES) // 6)], ids=lambda p: p.parent.name)
def test_estimates_of_the_leaderboard_fit_their_definitions(path: Path) -> None:
    for e in json.loads(path.read_text(encoding="utf-8"))["estimates"]:
        definition = catalogue.metric(e["metric"])
        low, high = definition.bounds
        if e["value"] is not None:
            assert low - 1e-12 <= e["value"] <= high + 1e-12, e
        if e.get("ci_method"):
            assert definition.allows(e["ci_method"]), e


def test_every_name_the_package_writes_is_known() -> None:
    """Literal names given to the field `metric`, wherever they stand."""
    unknown = []
    for path in sorted((ROOT / "facebench").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            given = node.value if isinstance(node, ast.keyword) and node.arg == "metric" else None
            if isinstance(given, ast.Constant) and isinstance(given.value, str) and not catalogue.known(given.value):
                unknown.append(f"{path.relative_to(ROOT)}:{node.lineno} {given.value}")
    assert not unknown


def test_bounds_are_finite_where_the_kind_says_so() -> None:
    for m in everything():
        if m.kind in (Kind.RATE, Kind.CORRELATION):
            assert not any(isinf(limit) for limit in m.bounds), m.name


@pytest.mark.parametrize("labelled", [True, False])
def test_what_is_measured_fits_the_definitions(labelled: bool) -> None:
    """Values and intervals of a fresh measurement lie within the bounds, found by a method the catalogue names."""
    rng = np.random.default_rng(3)
    identity = np.arange(120) // 3
    vectors = (rng.standard_normal((40, 12))[identity] + 0.8 * rng.standard_normal((120, 12))).astype(np.float32)
    groups = {"sex": tuple("fm"[i % 2] for i in identity), "tone": tuple("abc"[i % 3] for i in identity)}
    images = Images(tuple(map(str, range(120))), tuple(f"p{i}" for i in identity), groups)
    spec = ProtocolSpec.model_validate({
        "name": "p", "title": "p", "fmr_targets": (0.1, 0.01), "primary_fmr_target": 0.1,
        "groups": {"attributes": ["sex", "tone"]}, "uncertainty": {"replicates": 100},
        "identification": {"ranks": [1, 5]},
    })  # fmt: skip
    pairs = None
    if not labelled:
        first, second = rng.integers(0, 120, (2, 600))
        kept = first != second
        pairs = Pairs(first[kept], second[kept], identity[first[kept]] == identity[second[kept]], None)
        images = Images(images.image_ids, None, groups)
        spec = spec.model_copy(update={"identification": None})
    found = measure(spec, images, vectors, pairs, comparator="cosine", seed=0)
    seen = set()
    for e in found.estimates:
        definition = catalogue.metric(e.metric)
        seen.add(e.metric)
        low, high = definition.bounds
        for limit in (e.value, e.ci_low, e.ci_high):
            assert limit is None or low - 1e-12 <= limit <= high + 1e-12, (e.metric, limit)
        if e.ci_method:
            assert definition.allows(e.ci_method), (e.metric, e.ci_method)
    assert {"tar", "fmr", "eer", "auc", "fmr_gap", "garbe", "ir"} <= seen
