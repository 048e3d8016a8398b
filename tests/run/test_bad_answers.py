"""Answers and truths with which something is wrong: each is a clear error, a flag or a doubt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from facebench.errors import InputError
from facebench.schema import Flag
from tests.run.test_answers import PROTOCOL, faces, judge, one, probabilities, run, truth, write_rows

__all__ = ["faces"]


def ages(tmp_path: Path, values: list[Any], task: str = "{shape: regress, truth: age, range: [0, 120]}") -> str:
    """Write a folder of ages; return the protocol that asks for them."""
    from PIL import Image

    folder = tmp_path / "ages"
    folder.mkdir()
    Image.new("RGB", (8, 8)).save(folder / "a.png")
    rows = [{"image_id": f"i{i}", "path": "a.png", "identity": f"p{i // 2}", "age": v} for i, v in enumerate(values)]
    write_rows(folder / "manifest.csv", rows)
    return f"name: ages\ntitle: Ages\ndataset: {{name: faces}}\ntask: {task}\ngroups: null\n"


@pytest.mark.parametrize(
    ("value", "words"), [(130, "row 3 has the true value 130, outside 0 to 120"), ("old", "holds words such as 'old'")]
)
def test_truth_that_is_no_age_is_named(tmp_path: Path, value: Any, words: str) -> None:
    protocol = ages(tmp_path, [30, 40, value, 50])
    (tmp_path / "p.yaml").write_text(protocol)
    answers = write_rows(tmp_path / "a.csv", [{"image_id": f"i{i}", "age": 35} for i in range(4)])
    data = f"faces={tmp_path / 'ages'}"
    done = run(f"predictions:{answers}", str(tmp_path / "p.yaml"), "--data", data, "--out", str(tmp_path / "o"))
    assert isinstance(done.exception, InputError)
    assert words in str(done.exception)


def test_constant_answers_are_doubted(tmp_path: Path) -> None:
    protocol = ages(tmp_path, [20, 30, 40, 50, 60, 70])
    answers = write_rows(tmp_path / "a.csv", [{"image_id": f"i{i}", "age": 45} for i in range(6)])
    result = judge(tmp_path, tmp_path / "ages", f"predictions:{answers}", protocol)
    assert [doubt.about for doubt in result.doubts] == ["constant"]
    assert one(result, "pcc").value is None
    assert one(result, "ccc").value == pytest.approx(0.0)
    assert "all 6 answers of answer are equal" in (tmp_path / "out" / "report.html").read_text()


def test_reversed_scores_are_doubted(tmp_path: Path) -> None:
    protocol = ages(tmp_path, ["real" if i % 2 else "print" for i in range(24)], "{}").replace(
        "task: {}", "task: {shape: score, truth: age, bona_fide: real, threshold: 0.5}"
    )
    rows = [{"image_id": f"i{i}", "score": 0.1 + i / 1000 if i % 2 else 0.9 - i / 1000} for i in range(24)]
    result = judge(tmp_path, tmp_path / "ages", f"predictions:{write_rows(tmp_path / 'a.csv', rows)}", protocol)
    assert [doubt.about for doubt in result.doubts] == ["reversed"]
    assert "task.higher: attack" in result.doubts[0].cause


def test_a_class_without_images_is_flagged_and_told(tmp_path: Path, faces: Path) -> None:
    rows = [{"image_id": f"i{i}", **probabilities(i, i % 6 == 0), "p_anger": 0} for i in range(60)]
    protocol = PROTOCOL.replace("[calm, joy, fear]", "[calm, joy, fear, anger]")
    result = judge(tmp_path, faces, f"predictions:{write_rows(tmp_path / 'a.csv', rows)}", protocol)
    for metric, of in (("uar", None), ("recall", "anger")):
        found = one(result, metric, of=of)
        assert found.value is None
        assert Flag.UNDEFINED_CLASS in found.flags
    assert one(result, "uar_present").value is not None
    assert "A class of the protocol has no image here" in (tmp_path / "out" / "report.html").read_text()


def test_one_subject_only_has_no_interval(tmp_path: Path, faces: Path) -> None:
    manifest = (faces / "manifest.csv").read_text()
    for i in range(12):
        manifest = manifest.replace(f",p{i},", ",only,")
    (faces / "manifest.csv").write_text(manifest)
    rows = [{"image_id": f"i{i}", **probabilities(i, truth(i) == "joy" and i % 2 == 0)} for i in range(60)]
    result = judge(tmp_path, faces, f"predictions:{write_rows(tmp_path / 'a.csv', rows)}")
    for metric in ("uar", "top1_accuracy"):
        found = one(result, metric)
        assert found.value is not None
        assert Flag.FEW_IDENTITIES in found.flags
        assert Flag.NO_INTERVAL in found.flags
        assert found.ci_low is None


def test_liveness_without_development_images_names_the_way_out(tmp_path: Path) -> None:
    protocol = ages(tmp_path, ["bona_fide" if i % 2 else "print" for i in range(8)], "{}")
    task = "task: {shape: score, truth: age, threshold: {from: dev, rule: eer}, split: image_split}"
    (tmp_path / "p.yaml").write_text(protocol.replace("task: {}", task))
    rows = write_rows(tmp_path / "a.csv", [{"image_id": f"i{i}", "score": i} for i in range(8)])
    data = f"faces={tmp_path / 'ages'}"
    done = run(f"predictions:{rows}", str(tmp_path / "p.yaml"), "--data", data, "--out", str(tmp_path / "o"))
    assert isinstance(done.exception, InputError)
    assert "image_split" in str(done.exception)
