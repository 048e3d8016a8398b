"""The report on altered faces and on search: worst first, pictures of phantoms only, plain words."""

from __future__ import annotations

import re

import pytest

from facebench.execution.options import RunOptions
from facebench.models import load_model
from facebench.report.reading import Reading
from facebench.run.evaluate import evaluate
from facebench.run.protocols import Protocol
from facebench.run.report import render_report
from facebench.schema import ProtocolSpec, Result
from facebench.schema.ood import OodDetails
from facebench.sections.ood import report as ood
from facebench.sections.robustness import report as robustness
from facebench.sections.robustness.words import words

ASKED = {
    "name": "t", "title": "t", "fmr_targets": [0.1, 0.01], "primary_fmr_target": 0.1,
    "dataset": {"path": "builtin:phantom-smoke-v1"}, "uncertainty": {"replicates": 100},
    "groups": {"attributes": ["sex"], "intersections": "none"},
    "robustness": {
        "conditions": ["corruption:low_light", "corruption:jpeg", "occlusion:surgical_mask", "occlusion:sliding_patch"],
        "severities": [1, 5],
    },
    "ood": {"conditions": ["occlusion:surgical_mask"], "rerank": {}},
}  # fmt: skip


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Result:
    out = tmp_path_factory.mktemp("out")
    options = RunOptions(out, limit=96)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACEBENCH_CACHE", str(out / "cache"))
        protocol = Protocol(ProtocolSpec.parse(ASKED, where="test"), out)
        return evaluate(load_model("phantom-eigenfaces"), protocol, {}, options)


def test_each_family_has_its_section_with_the_worst_first(result: Result) -> None:
    corrupted, covered = robustness.sections(Reading(result))
    assert (corrupted.anchor, covered.anchor) == ("corruption", "occlusion")
    (table,) = corrupted.blocks[0].tables
    kinds = [row[0].text for row in table.rows]
    assert set(kinds) == {"low light", "jpeg"}
    column = [c.title for c in table.columns].index("Relative drop there")
    drops = [row[column].sort for row in table.rows]
    assert drops == sorted(drops, reverse=True)
    every, others = corrupted.blocks[0].folded
    assert [c.title for c in others.columns] == ["Condition", "TAR at 1e-2"]
    assert len(every.rows) == 4
    tars = [row[1].sort for row in every.rows]
    assert tars == sorted(tars)
    assert len(corrupted.blocks[0].charts) == 1
    assert "sliding patch, middle" in [row[0].text for row in covered.blocks[0].folded[0].rows]
    groups = next(block for block in corrupted.blocks if block.title == "By group")
    assert [row[0].text for row in groups.tables[0].rows] == ["female", "male"]


def test_the_lead_names_the_mean_and_the_worst_condition_with_their_intervals(result: Result) -> None:
    (corrupted, _) = robustness.sections(Reading(result))
    worst = min(
        (e for e in result.estimates
         if e.metric == "tar" and e.condition.startswith("corruption:") and e.fmr_target == 0.1),
        key=lambda e: e.value,
    )  # fmt: skip
    assert f"Lowest with {words(worst.condition)}: " in corrupted.lead
    assert re.search(
        r"On average over 4 conditions the TAR is [\d.]+ \([\d.]+ to [\d.]+\); clean it is", corrupted.lead
    )
    assert "probe of every comparison" in corrupted.lead


def test_pictures_are_shown_for_phantom_faces_only(result: Result) -> None:
    page = render_report(result)
    assert page.count("<img ") == 2 * 2 + 1 + 1  # two severities of two kinds, the mask, the worst place of the patch
    assert 'alt="surgical mask"' in page
    assert len(page.encode()) < 1_000_000
    bare = result.model_copy(update={"robustness": result.robustness.model_copy(update={"examples": ()})})
    assert "<img " not in render_report(bare)
    assert "Pictures are shown for phantom faces only." in render_report(bare)


def test_conditions_are_not_listed_a_second_time(result: Result) -> None:
    page = render_report(result)
    assert 'id="further"' not in page
    assert page.count(">P@1<") >= 1


def test_search_tells_whether_lists_were_put_in_order_again(result: Result) -> None:
    (section,) = ood.sections(Reading(result))
    assert "not put in order again" in section.lead
    (table, *_) = section.blocks[0].tables
    assert [row[0].text for row in table.rows] == ["clean", "surgical mask"]
    assert "#Gain" not in [c.title for c in table.columns]
    details = OodDetails(conditions=result.ood.conditions, n_queries=1, n_gallery=95, reranking="a method")
    again = ood.sections(Reading(result.model_copy(update={"ood": details})))
    assert "in order again by a method" in again[0].lead
    assert ood.sections(Reading(result.model_copy(update={"ood": None}))) == []
