"""The scan for weak spots through the command line: of answers and of comparisons, a planted slice is confirmed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from facebench.cli import application
from facebench.measure.saved import load_result
from facebench.schema import Result
from tests.run.test_answers import run, write_rows

SCAN = "weak_spots: {slices: 3, min_units: 6}\n"
CLASSIFY = """
name: spots
title: Spots
dataset: {name: faces}
task: {shape: classify, head: expression, truth: expression, classes: [calm, joy]}
groups: null
"""


def faces(folder: Path, people: int = 60) -> tuple[Path, list[dict[str, object]]]:
    """Four pictures of each person; every second picture is dark."""
    from PIL import Image

    (folder / "images").mkdir(parents=True)
    rng, rows = np.random.default_rng(3), []
    for i in range(4 * people):
        level = 40 if i % 2 else 180
        pixels = np.clip(rng.normal(level, 8, (12, 12, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"images/{i}.png")
        rows.append(
            {"image_id": f"i{i}", "path": f"images/{i}.png", "identity": f"p{i // 4}",
             "expression": ("calm", "joy")[(i // 2) % 2], "sex": "fm"[(i // 4) % 2]}
        )  # fmt: skip
    write_rows(folder / "manifest.csv", rows)
    return folder, rows


def test_dark_pictures_of_one_group_are_named(tmp_path: Path) -> None:
    data, rows = faces(tmp_path / "faces")
    rng, said = np.random.default_rng(1), []
    for i, row in enumerate(rows):
        wrong = rng.random() < (0.6 if i % 2 and row["sex"] == "m" else 0.08)
        word = {"calm": "joy", "joy": "calm"}[str(row["expression"])] if wrong else row["expression"]
        said.append({"image_id": row["image_id"], "label": word})
    (tmp_path / "p.yaml").write_text(CLASSIFY + SCAN)
    answers, out = write_rows(tmp_path / "a.csv", said), tmp_path / "out"
    done = run(f"predictions:{answers}", str(tmp_path / "p.yaml"), "--data", f"faces={data}", "--out", str(out))
    assert done.exit_code == 0, done.output
    assert "identical to the bytes" in CliRunner().invoke(application(), ["rescore", str(out)]).output
    result = load_result(out)
    details = result.weak_spots
    assert details is not None
    spots = [spot.name for spot in details.spots if spot.confirmed]
    assert any("sex=m" in name and "picture brightness" in name for name in spots), details
    (excess,) = (e for e in result.estimates if e.metric == "weak_spot_excess" and e.of == spots[0])
    assert excess.value is not None
    assert 0.3 < excess.value < 0.8
    assert {gap.what for gap in result.unmeasured} >= {"weak spots by pose"}
    page = (out / "report.html").read_text()
    assert "Where it fails" in page
    assert "sex=m" in page


def scanned(tmp_path: Path, model: str, data: Path, protocol: str) -> tuple[Result, list[str]]:
    (tmp_path / "p.yaml").write_text(protocol)
    out = tmp_path / "out"
    done = run(model, str(tmp_path / "p.yaml"), "--data", f"faces={data}", "--out", str(out))
    assert done.exit_code == 0, done.output
    assert "identical to the bytes" in CliRunner().invoke(application(), ["rescore", str(out)]).output
    result = load_result(out)
    assert result.weak_spots is not None
    return result, [spot.name for spot in result.weak_spots.spots if spot.confirmed]


def test_people_whose_dark_pictures_are_not_recognised_are_named(tmp_path: Path) -> None:
    data, rows = faces(tmp_path / "faces")
    rng = np.random.default_rng(2)
    people = rng.normal(size=(len(rows) // 4, 64))
    noise = np.array([2.5 if i % 2 and row["sex"] == "m" else 0.3 for i, row in enumerate(rows)])
    vectors = people[np.arange(len(rows)) // 4] + noise[:, None] * rng.normal(size=(len(rows), 64))
    np.save(tmp_path / "e.npy", vectors.astype(np.float32))
    (tmp_path / "ids.txt").write_text("".join(f"{row['image_id']}\n" for row in rows))
    model = tmp_path / "m.yaml"
    model.write_text("name: m\nadapter: embeddings\nweights: e.npy\nids: ids.txt\ncomparator: cosine\n")
    protocol = "name: spots\ntitle: Spots\ndataset: {name: faces}\ngroups: null\nprimary_fmr_target: 1.0e-2\n" + SCAN
    result, spots = scanned(tmp_path, str(model), data, protocol)
    assert any("sex=m" in name and "picture brightness" in name for name in spots), result.weak_spots
    assert "weak spots of false matches" in {gap.what for gap in result.unmeasured}


@pytest.mark.parametrize("planted", [True, False])
def test_numbers_that_are_further_off_in_a_slice_are_named(tmp_path: Path, planted: bool) -> None:
    data, rows = faces(tmp_path / "faces")
    rng, said = np.random.default_rng(7), []
    for i, row in enumerate(rows):
        row["age"] = int(rng.integers(20, 70))
        spread = 12 if planted and i % 2 and row["sex"] == "m" else 3
        said.append({"image_id": row["image_id"], "age": float(row["age"]) + rng.normal(0, spread)})
    write_rows(data / "manifest.csv", rows)
    protocol = "name: spots\ntitle: Spots\ndataset: {name: faces}\ngroups: null\n"
    protocol += "task: {shape: regress, truth: age, range: [0, 120]}\n" + SCAN
    result, spots = scanned(tmp_path, f"predictions:{write_rows(tmp_path / 'a.csv', said)}", data, protocol)
    page = (tmp_path / "out" / "report.html").read_text()
    if not planted:
        assert not spots
        assert "(size of the error) was confirmed on the other half" in page
        return
    named = [name for name in spots if "sex=m" in name and "picture brightness=low" in name]
    assert named, result.weak_spots
    (worst,) = (e for e in result.estimates if e.metric == "weak_spot_size" and e.of == named[0])
    assert worst.value is not None
    assert worst.ci_low is not None
    assert worst.ci_high is not None
    assert worst.ci_low < 12 * np.sqrt(2 / np.pi) < worst.ci_high, "the mean size of a normal error"
    assert "Worst where" in page


def test_without_units_nothing_is_confirmed(tmp_path: Path) -> None:
    """One person may be in both halves, so that a slice found on one says nothing new on the other."""
    data, rows = faces(tmp_path / "faces")
    rng = np.random.default_rng(7)
    for i, row in enumerate(rows):
        row["age"], row["shot"] = int(rng.integers(20, 70)), f"s{i}"
        row.pop("identity", None)
    said = [
        {
            "image_id": row["image_id"],
            "age": float(row["age"]) + rng.normal(0, 12 if i % 2 and row["sex"] == "m" else 3),
        }
        for i, row in enumerate(rows)
    ]
    write_rows(data / "manifest.csv", rows)
    protocol = "name: spots\ntitle: Spots\ndataset: {name: faces}\ngroups: null\n"
    protocol += "task: {shape: regress, truth: age, range: [0, 120]}\n" + SCAN
    result, spots = scanned(tmp_path, f"predictions:{write_rows(tmp_path / 'a.csv', said)}", data, protocol)
    assert not spots
    told = {gap.what for gap in result.unmeasured}
    assert "confirmation of weak spots" in told
    assert "weak spots by shot" in told, "a column of too many words is named"
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Where it fails cannot be told." in page
    assert "Worst where" not in page
