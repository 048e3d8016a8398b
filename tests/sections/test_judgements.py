"""Human judgements of similarity: planted truth, the file's faults, and the numbers again without the model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from facebench.errors import InputError
from facebench.execution.options import RunOptions
from facebench.measure.sample import Images
from facebench.metrics.alignment import judge_agreement
from facebench.run.evaluate import evaluate, rescore
from facebench.run.protocols import Protocol
from facebench.schema import ProtocolSpec, Result
from facebench.sections.judgements.measure import read_judgements
from tests.probes.planted import make_faces, model

PEOPLE = 12


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_faces(tmp_path_factory.mktemp("faces"), PEOPLE, 4)


def judged(folder: Path, out: Path, rows: list[str]) -> Result:
    (folder / "judgements.csv").write_text("\n".join(rows) + "\n")
    spec = ProtocolSpec.parse(
        {
            "name": "t", "title": "t", "fmr_targets": [0.05], "primary_fmr_target": 0.05, "groups": None,
            "uncertainty": {"replicates": 100}, "judgements": {},
        },
        where="test",
    )  # fmt: skip
    return evaluate(model(), Protocol(spec, out), {"faces": folder}, RunOptions(out=out))


def brightness_says(noise: float, judges: int = 1) -> list[str]:
    """Judgements by how near the people stand in brightness, which is what the model sees."""
    rng = np.random.default_rng(1)
    rows = ["image_a,image_b,similarity,judge"]
    for a in range(PEOPLE):
        for b in range(a, PEOPLE):
            for judge in range(judges):
                said = -abs(a - b) + noise * rng.standard_normal()
                rows.append(f"{a}_0,{b}_{int(a == b)},{said:.4f},j{judge}")
    return rows


def test_a_planted_alignment_is_found_and_noise_is_not(folder: Path, tmp_path: Path) -> None:
    agreeing = judged(folder, tmp_path / "a", brightness_says(0.5, judges=3))
    by = {(e.metric, e.condition): e for e in agreeing.estimates}
    everyone, strangers = by["judgement_alignment", "judgements:all"], by["judgement_alignment", "judgements:strangers"]
    assert everyone.value is not None
    assert everyone.value > 0.9
    assert everyone.ci_low is not None
    assert everyone.ci_low > 0.5
    assert (everyone.n_genuine, everyone.n_impostor) == (PEOPLE, PEOPLE * (PEOPLE - 1) // 2)
    assert (strangers.n_genuine, strangers.n_identities) == (0, PEOPLE)
    ceiling = by["judge_agreement", "judgements:all"]
    assert ceiling.value is not None
    assert 0.8 < ceiling.value < 1
    deaf = judged(folder, tmp_path / "b", brightness_says(1e4))
    by = {(e.metric, e.condition): e for e in deaf.estimates}
    aligned = by["judgement_alignment", "judgements:all"]
    assert aligned.ci_low is not None
    assert aligned.ci_high is not None
    assert aligned.ci_low < 0 < aligned.ci_high
    assert ("judge_agreement", "judgements:all") not in by


def test_recomputed_without_the_model_or_the_file(folder: Path, tmp_path: Path) -> None:
    result = judged(folder, tmp_path, brightness_says(2.0, judges=2))
    (folder / "judgements.csv").unlink()
    stored, again = rescore(tmp_path)
    assert again.estimates == stored.estimates
    assert again.result_id == result.result_id


def test_agreement_of_judges_by_hand() -> None:
    rng = np.random.default_rng(0)
    said = rng.standard_normal((3, 8))
    comparison = np.tile(np.arange(8), 3)
    judge = np.repeat(np.arange(3), 8)
    expected = np.mean([spearmanr(said[k], np.delete(said, k, 0).mean(0)).statistic for k in range(3)])
    assert judge_agreement(judge, comparison, said.ravel()) == pytest.approx(expected)
    assert judge_agreement(judge[:8], comparison[:8], said[0]) is None


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("image_a,image_b\n0,1\n", "lacks the column similarity"),
        ("image_a,image_b,similarity,who\n0,1,2,x\n", "unknown column who"),
        ("image_a,image_b,similarity\n0,1,much\n", "must be a number"),
        ("image_a,image_b,similarity\n0,1,\n", "must be a number"),
        ("image_a,image_b,similarity\n0,1,3\n0,9,1\n", r"line 3: image '9' is not in the dataset"),
        ("image_a,image_b,similarity\n0,0,3\n", "line 2: an image is compared with itself"),
        ("image_a,image_b,similarity\n0,1,3\n1,0,2\n", "judged more than once"),
        ("image_a,image_b,similarity\n", "no rows"),
    ],
)
def test_faults_of_the_file(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "judgements.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=complaint):
        read_judgements(path, Images(("0", "1", "2"), ("a", "b", "c"), {}))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"judgements\.csv"):
        read_judgements(tmp_path / "judgements.csv", Images(("0", "1"), ("a", "b"), {}))


def test_the_report_has_a_section_for_them(folder: Path, tmp_path: Path) -> None:
    from facebench.report.reading import Reading
    from facebench.report.tables import remaining
    from facebench.sections.judgements.report import sections

    reading = Reading(judged(folder, tmp_path, brightness_says(2.0, judges=2)))
    (section,) = (s for s in sections(reading) if s.anchor == "judgements")
    assert "One judge agrees with the mean of the others" in section.lead
    assert [row[0].text for row in section.blocks[0].tables[0].rows] == ["all pairs judged", "pairs of two people"]
    assert not any("judgements" in cell.text for row in remaining(reading, ("judgements:",)).rows for cell in row)


def test_judgements_of_failed_images_are_told() -> None:
    from facebench.sections.judgements.measure import Judgements, _measured

    spec = ProtocolSpec.parse({"name": "t", "title": "t"}, where="test")
    vectors = np.random.default_rng(0).standard_normal((4, 8)).astype(np.float32)
    vectors[3] = np.nan
    first, second = np.array([0, 0, 1, 2]), np.array([1, 2, 2, 3])
    said = Judgements(first, second, np.zeros(4, np.int64), np.arange(4.0))
    found = _measured(spec, Images(("0", "1", "2", "3"), ("a", "b", "c", "d"), {}), vectors, "cosine", said)
    assert [gap.what for gap in found.unmeasured] == ["1 of 4 human judgements"]
    assert found.estimates[0].n_impostor == 3
