"""Every metric of the catalogue through comparison, wording, gate and order, in both directions."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from facebench.comparison.compare import _adjusted
from facebench.comparison.differences import comparison_rows, comparison_statements, name_of, told_apart
from facebench.comparison.paired import Pairing
from facebench.comparison.paired_figures import unpaired_differences, why_not_compared
from facebench.errors import InputError
from facebench.gate import check
from facebench.gate.output import gate_rows
from facebench.leaderboard import rank as ranking
from facebench.metrics import catalogue
from facebench.metrics.catalogue import Direction, Kind, MetricDef, Topic
from facebench.report.wording import measure
from facebench.schema import Comparator, ComparedModel, Comparison, Estimate, Flag, Outcome, Policy, Result, Rule
from facebench.schema.result import ProtocolRef

ALL = [catalogue.metric(name) for name in catalogue.names()]
PROTOCOL = ProtocolRef(name="p", title="P", version=1, sha256="0" * 64, manifest_sha256="1" * 64)


def condition_of(definition: MetricDef) -> str:
    return {Topic.DIFFERENTIAL: "corruption:fog:3", Topic.EXPLANATION: "saliency:rise"}.get(definition.topic, "clean")


def estimate(definition: MetricDef, value: float, **fields: Any) -> Estimate:
    half = 0.01 * max(1.0, abs(value) / 10)
    known = {"n_genuine": 4000, "n_impostor": 4000, "n_images": 500, "n_identities": 200}
    return Estimate(
        metric=definition.name, value=value, ci_low=value - half, ci_high=value + half, ci_method="wilson-bootstrap",
        **{"condition": condition_of(definition), **known, **fields},
    )  # fmt: skip


def side(rows: list[Estimate], label: str, *, comparator: Comparator = Comparator.EXTERNAL) -> Any:
    result = SimpleNamespace(
        estimates=tuple(rows), efficiency=None, result_id=label, model=SimpleNamespace(comparator=comparator),
    )  # fmt: skip
    return SimpleNamespace(label=label, loaded=SimpleNamespace(result=result, vectors=np.full((2, 2), len(label))))


def compared(
    base: list[Estimate], model: list[Estimate], *, comparator: Comparator = Comparator.EXTERNAL
) -> Comparison:
    sides = side(base, "base", comparator=comparator), side(model, "candidate", comparator=comparator)
    found, family = _adjusted(unpaired_differences(Pairing(*cast("Any", sides), 0.95), []))
    models = tuple(ComparedModel(label=s.label, name=s.label, result_id=s.label) for s in sides)
    return Comparison(
        protocol=PROTOCOL, base="base", models=models, seed=0, differences=tuple(found), family_size=family
    )


def values(definition: MetricDef) -> tuple[float, float]:
    """Return a good and a bad value far apart, within the bounds."""
    low, high = definition.bounds
    if high == 1.0 and low == 0.0:
        pair = (0.368, 0.962)
    elif low >= 1.0:
        pair = (1.1, 4.0)
    else:
        pair = (0.2, 0.9)
    return pair if definition.direction is Direction.LOWER else (pair[1], pair[0])


def gated(comparison: Comparison, rule: Rule, candidate: list[Estimate]) -> Outcome:
    result = cast("Result", SimpleNamespace(result_id="candidate", estimates=tuple(candidate), efficiency=None))
    verdict = check.check_gate(comparison, result, Policy(rules=(rule,)))
    assert gate_rows(verdict)[1:]
    return verdict.findings[0].outcome


JUDGED = [d for d in ALL if d.direction is not Direction.NONE and d.topic is not Topic.EXPLANATION]


@pytest.mark.parametrize("definition", JUDGED, ids=lambda d: d.name)
def test_a_planted_fall_fails_and_a_rise_passes(definition: MetricDef) -> None:
    good, bad = ([estimate(definition, value)] for value in values(definition))
    rule = Rule(metric=definition.name, condition="*", margin=0.01)
    for base, model, outcome, word in (
        (good, bad, Outcome.REGRESSION, "worse"),
        (bad, good, Outcome.PASS, "better"),
    ):
        comparison = compared(base, model)
        (difference,) = comparison.differences
        assert difference.higher_is_better is definition.higher_is_better
        least, most = definition.difference_bounds
        if definition.kind is Kind.COUNT:
            assert told_apart(difference, 0.05) in ("more", "less")
        else:
            assert told_apart(difference, 0.05) == word
            assert difference.ci_low is not None
            assert difference.ci_high is not None
            assert least <= difference.ci_low <= difference.ci_high <= most
        assert gated(comparison, rule, model) is outcome
        assert name_of(difference).startswith(measure(definition.name).label.replace("-k", "")[:4])
        assert len(comparison_rows(comparison)) >= 1
        assert comparison_statements(comparison)
    order = sorted(values(definition), key=definition.sort_key)
    assert order[0] == values(definition)[0]


@pytest.mark.parametrize("name", ["mean_tar", "worst_tar", "precision_at_1", "r_precision", "map_at_r"])
def test_a_fall_from_962_to_368_fails_the_gate(name: str) -> None:
    definition = catalogue.metric(name)
    base, model = [estimate(definition, 0.962)], [estimate(definition, 0.368)]
    comparison = compared(base, model)
    assert gated(comparison, Rule(metric=name, margin=0.02), model) is Outcome.REGRESSION
    assert "worse" in {told_apart(d, 0.05) for d in comparison.differences}


@pytest.mark.parametrize("definition", [d for d in ALL if d.direction is Direction.NONE], ids=lambda d: d.name)
def test_what_has_no_better_direction_has_no_margin(definition: MetricDef) -> None:
    good, bad = ([estimate(definition, value)] for value in values(definition))
    comparison = compared(good, bad)
    with pytest.raises(InputError, match="neither a higher nor a lower"):
        gated(comparison, Rule(metric=definition.name, margin=0.01), bad)
    for difference in comparison.differences:
        assert difference.worsening is None
        assert told_apart(difference, 0.05) == "changed"
    if not comparison.differences:
        assert why_not_compared(good[0])


def test_every_metric_is_compared_or_its_absence_is_explained() -> None:
    for definition in ALL:
        one, two = ([estimate(definition, value)] for value in values(definition))
        assert bool(compared(one, two).differences) != bool(why_not_compared(one[0])), definition.name


def test_an_unknown_metric_is_refused_by_gate_and_comparison() -> None:
    rows = [Estimate(metric="mean_tars", value=0.5)]
    with pytest.raises(InputError, match="Did you mean 'mean_tar'"):
        compared(rows, rows)
    good = [estimate(catalogue.metric("tar"), 0.9)]
    with pytest.raises(InputError, match="unknown metric 'mean_tars' in rule 1"):
        gated(compared(good, good), Rule(metric="mean_tars", margin=0.1), good)


def test_noisy_times_are_never_slower() -> None:
    definition = catalogue.metric("latency_ms")
    quick, slow = ([estimate(definition, v, flags=(Flag.NOISY,))] for v in (5.0, 50.0))
    comparison = compared(quick, slow)
    assert told_apart(comparison.differences[0], 0.05) == "cannot tell"
    assert gated(comparison, Rule(metric="latency_ms", margin=1.0), slow) is Outcome.INCONCLUSIVE


def test_cllr_of_cosines_is_not_judged() -> None:
    definition = catalogue.metric("cllr")
    good, bad = ([estimate(definition, v)] for v in (0.3, 0.9))
    cosines = compared(good, bad, comparator=Comparator.COSINE)
    assert told_apart(cosines.differences[0], 0.05) == "not judged"
    assert gated(cosines, Rule(metric="cllr", margin=0.01), bad) is Outcome.INCONCLUSIVE
    assert told_apart(compared(good, bad).differences[0], 0.05) == "worse"


def test_shares_and_targets_are_not_mixed_up() -> None:
    definition = catalogue.metric("edc_fnmr")
    base = [estimate(definition, 0.2, discarded=d) for d in (0.1, 0.2)]
    model = [estimate(definition, v, discarded=d) for v, d in ((0.2, 0.1), (0.6, 0.2))]
    found = {d.discarded: d.difference for d in compared(base, model).differences}
    assert found == {0.1: 0.0, 0.2: pytest.approx(0.4)}


def test_the_headline_speaks_of_all_that_was_compared() -> None:
    """One figure may leave the question open while the others answer it."""
    base, model = [], []
    for name, a, b in (("eer", 0.05, 0.31), ("auc", 0.99, 0.70), ("dprime", 3.0, 0.6)):
        base.append(estimate(catalogue.metric(name), a))
        model.append(estimate(catalogue.metric(name), b))
    tar = catalogue.metric("tar")
    base.append(estimate(tar, 0.9, fmr_target=1e-3).model_copy(update={"ci_low": 0.1, "ci_high": 1.0}))
    model.append(estimate(tar, 0.3, fmr_target=1e-3).model_copy(update={"ci_low": 0.0, "ci_high": 0.9}))
    said = next(s for s in comparison_statements(compared(base, model)) if s.topic == "candidate")
    assert said.headline == "It recognises worse than base, more than chance explains: by EER, AUC, d′."
    assert "0.900 becomes 0.300" in said.detail
    mixed = [*model[:1], *base[1:3], model[3]]
    mixed[1] = estimate(catalogue.metric("auc"), 0.9999)
    base[1] = estimate(catalogue.metric("auc"), 0.90)
    said = next(s for s in comparison_statements(compared(base, mixed)) if s.topic == "candidate")
    assert said.headline.startswith("It recognises worse than base by EER, and better by AUC")


@pytest.mark.parametrize("definition", JUDGED, ids=lambda d: d.name)
def test_a_leaderboard_puts_the_better_one_first(definition: MetricDef, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranking, "LEADING", definition)
    good, bad = (
        cast(
            "Result",
            SimpleNamespace(
                protocol=SimpleNamespace(primary_fmr_target=1e-3, primary=1e-3, confidence=0.95),
                model=SimpleNamespace(name=name),
                estimates=(estimate(definition, value, fmr_target=1e-3, condition="clean"),),
            ),
        )
        for name, value in zip(("good", "bad"), values(definition), strict=True)
    )
    for results in ((good, bad), (bad, good)):
        found = {rank.model: rank for rank in ranking.rank_entries(results, [None, None])}
        assert (found["good"].best, found["good"].worst) == (1, 1)
        assert (found["bad"].best, found["bad"].worst) == (2, 2)
        assert found["good"].metric == definition.name
