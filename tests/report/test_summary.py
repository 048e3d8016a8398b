"""The terminal summary shows what a protocol is about, and leads with it."""

from __future__ import annotations

import pytest

from facebench.report.summary import MOST, summary_rows
from facebench.schema import Estimate, Result
from facebench.schema.ood import OodDetails

from . import factory


def with_estimates(*found: Estimate, **fields: object) -> Result:
    result = factory.full()
    return result.model_copy(update={"estimates": (*result.estimates, *found), **fields})


RANK = Estimate(metric="rank", k=1, value=0.75, ci_low=0.7, ci_high=0.8, n_genuine=200, errors=50)
FNIR = Estimate(metric="fnir", k=1, fpir_target=0.01, value=0.3, ci_low=0.2, ci_high=0.4, n_genuine=200, errors=60)
FOLDS = Estimate(metric="accuracy", value=0.99, ci_low=0.98, ci_high=0.995, n_genuine=3000, n_impostor=3000)


def names(result: Result) -> list[str]:
    return [row[0] for row in summary_rows(result)[1:]]


def test_fold_accuracy_comes_first() -> None:
    rows = summary_rows(with_estimates(FOLDS))
    assert rows[1][1:3] == ["0.990", "0.980 to 0.9950"]
    assert "ccuracy" in rows[1][0]


def test_an_open_set_search_leads_and_a_closed_one_follows() -> None:
    led = names(with_estimates(RANK, FNIR))
    assert led[0] == "Rank-1 identification"
    assert led.index("FNIR (rank-1) at FPIR 1e-2") < led.index("TAR at FMR target 1e-3")
    follows = names(with_estimates(RANK))
    assert follows[0].startswith("TAR at FMR target")
    assert "Rank-1 identification" in follows


def test_counts_are_those_the_value_is_a_share_of() -> None:
    rows = {row[0]: row for row in summary_rows(with_estimates(RANK, FNIR))}
    assert rows["Rank-1 identification"][3] == "150 of 200"
    assert rows["FNIR (rank-1) at FPIR 1e-2"][3] == "60 of 200"


@pytest.mark.parametrize(
    ("estimate", "name"),
    [
        (Estimate(metric="edc_fnmr", discarded=0.2, fmr_target=1e-3, value=0.02), "FNMR after discarding 20%"),
        (Estimate(metric="mean_tar", condition="corruption", fmr_target=1e-3, value=0.8), "Mean TAR, corruption"),
        (
            Estimate(metric="attack_success", condition="attack:ensemble-white-linf:8/255:dodging", value=0.5),
            "white-linf:8/255:dodging",
        ),
        (
            Estimate(metric="fnmr_change", condition="sweep:tone", group="tone", fmr_target=1e-3, value=0.1),
            "sweep:tone",
        ),
    ],
)
def test_the_figures_of_each_section_are_printed(estimate: Estimate, name: str) -> None:
    assert any(name in found for found in names(with_estimates(estimate)))


def test_a_long_topic_says_how_much_more_there_is() -> None:
    many = [Estimate(metric="precision_at_1", condition=f"occlusion:{n}", value=0.5) for n in range(MOST + 3)]
    rows = summary_rows(with_estimates(*many, ood=OodDetails.model_construct()))
    assert rows[1][0].startswith("P@1")
    assert [row for row in rows if row[0] == "3 more figures on search"]


def test_without_errors_the_bound_leads_in_the_terminal_as_in_the_report() -> None:
    rows = {row[0]: row for row in summary_rows(factory.frame(factory.overall(600, 40_000, mu=12)))}
    assert rows["TAR at FMR target 1e-3"][1:4] == ["≥ 0.850", "0.850 to 1", "600 of 600"]
