"""Sweeps and part swaps as datasets: what the manifest says of an edit is what its picture shows."""

from __future__ import annotations

import csv
import errno
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import facebench.cli.render_commands
import facebench.files
from facebench.cli.apps import app
from facebench.data import load_dataset
from facebench.errors import InputError, WriteError
from facebench.phantoms import LABEL_NAMES, write_dataset
from facebench.phantoms.words import read_parts, read_shares, read_sweeps, read_worn

ASKED = {
    "identities": 1,
    "images_per_identity": 2,
    "seed": 8,
    "tier": "easy",
    "size": 112,
    "labels": True,
    "landmarks68": True,
    "sweeps": {"tone": (0.1, 0.9), "yaw": (0.5,)},
    "part_swaps": ("eyes", "mouth"),
}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def pixels(folder: Path, row: dict[str, str], column: str = "path") -> np.ndarray:
    with Image.open(folder / row[column]) as image:
        return np.asarray(image)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("edits"), **ASKED, sheet=True).parent


@pytest.fixture(scope="module")
def rows(folder: Path) -> dict[str, dict[str, str]]:
    with (folder / "manifest.csv").open(encoding="utf-8", newline="") as file:
        return {row["image_id"]: row for row in csv.DictReader(file)}


def test_each_level_is_an_edit_of_the_first_image(folder: Path, rows: dict[str, dict[str, str]]) -> None:
    base = rows["p000000-000"]
    assert base["counterfactual_of"] == base["attribute"] == base["level"] == ""
    swept = {(r["attribute"], r["level"]): r for r in rows.values() if r["counterfactual_of"] == "p000000-000"}
    assert set(swept) == {("tone", "0.1"), ("tone", "0.9"), ("yaw", "0.5")}
    assert {row["identity"] for row in swept.values()} == {base["identity"]}
    assert {row["tone"] for row in swept.values()} == {base["tone"]}  # the identity's, not the edit's
    light, dark = swept["tone", "0.1"], swept["tone", "0.9"]
    assert light["landmarks"] == dark["landmarks"] == base["landmarks"]
    assert pixels(folder, light).mean() > pixels(folder, dark).mean() + 20
    assert (pixels(folder, light)[:4, :4] == pixels(folder, dark)[:4, :4]).all()  # backdrop and exposure stay
    assert swept["yaw", "0.5"]["landmarks"] != base["landmarks"]


def test_twins_differ_from_the_probe_exactly_in_their_mask(folder: Path, rows: dict[str, dict[str, str]]) -> None:
    probe = rows["p000000-000"]
    twins = [row for row in rows.values() if row["swap_of"]]
    assert {(row["part"], row["swap_of"]) for row in twins} == {("eyes", "p000000-000"), ("mouth", "p000000-000")}
    for twin in twins:
        differ = (pixels(folder, probe) != pixels(folder, twin)).any(-1)
        mask = pixels(folder, twin, "change_mask")
        assert set(np.unique(mask)) == {0, 255}
        assert ((mask == 255) == differ).all()
        assert twin["identity"] == f"p000000-{twin['part']}"


def test_original_and_twin_both_have_another_image(rows: dict[str, dict[str, str]]) -> None:
    for identity in ("p000000", "p000000-eyes", "p000000-mouth"):
        plain = [r for r in rows.values() if r["identity"] == identity and not r["counterfactual_of"]]
        assert len(plain) == 2
        assert sum(bool(row["swap_of"]) for row in plain) == (identity != "p000000")


def test_the_reader_knows_edits(folder: Path) -> None:
    dataset = load_dataset(folder)
    assert len(dataset) == 2 + 3 + 4
    assert set(dataset.edits) == {"counterfactual_of", "attribute", "level", "swap_of", "part"}
    assert set(dataset.attributes) == {"sex", "tone", "age_band", "age", "accessory"}
    assert dataset.change_masks is not None
    assert sum(mask is not None for mask in dataset.change_masks) == 2


def test_landmarks_lie_on_their_labels(folder: Path, rows: dict[str, dict[str, str]]) -> None:
    row = rows["p000000-000"]
    labels = pixels(folder, row, "region_mask")
    points = np.array(row["landmarks68"].split(), np.float64).reshape(68, 2)
    middle = {"left_eye": points[36:42], "right_eye": points[42:48], "upper_lip": points[[50, 52, 61, 63]]}
    for name, outline in middle.items():
        column, line = outline.mean(0).round().astype(int)
        near = labels[line - 1 : line + 2, column - 1 : column + 2]
        assert (near == LABEL_NAMES.index(name)).any(), name
    five = np.array(row["landmarks"].split(), np.float64).reshape(5, 2)
    assert np.linalg.norm(points[36:42].mean(0) - five[0]) < 3
    assert np.linalg.norm(points[48] - five[3]) < 2


def test_sheet_shows_the_images(folder: Path) -> None:
    with Image.open(folder / "contact-sheet.png") as sheet:
        assert sheet.size == (9 * 112 + 8 * 2, 112)


def test_stopped_run_resumes_to_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    write_dataset(tmp_path, **ASKED, sheet=True)
    for name in ("dataset.json", "images/p000000/000-tone-0.1.png", "changes/p000000-eyes.png"):
        (tmp_path / name).unlink()
    write_dataset(tmp_path, **ASKED, sheet=True)
    assert contents(tmp_path) == contents(folder)


def test_full_disk_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(facebench.files.os, "fsync", full)
    with pytest.raises(WriteError, match="free some space and run again"):
        write_dataset(tmp_path / "out", identities=1, images_per_identity=1, size=32)
    assert not list((tmp_path / "out").rglob("*.png"))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"sweeps": {"height": (1,)}}, "unknown attribute of phantom faces 'height'"),
        ({"sweeps": {"tone": ()}}, "no levels given"),
        ({"sweeps": {"tone": (0.5, 0.5)}}, "given twice"),
        ({"sweeps": {"tone": (5,)}}, "between 0.02 and 0.98"),
        ({"part_swaps": ("ears",)}, "unknown part of the face 'ears'"),
        ({"part_swaps": ("eyes", "eyes")}, "given twice"),
        ({"part_swaps": ("eyes",), "images_per_identity": 1}, "at least 2 images"),
    ],
)
def test_bad_edits_are_refused(tmp_path: Path, changed: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        write_dataset(tmp_path / "out", **({"identities": 1, "images_per_identity": 2, "size": 32} | changed))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--identities", "0"], "identities is 0"),
        (["--attribute", "sex"], "write it like sex=female:0.7"),
        (["--attribute", "sex=female"], "write it like female:0.7"),
        (["--attribute", "sex=female:lots"], "'lots' is no number"),
        (["--attribute", "sex=female:0.7"], "sum to 0.7"),
        (["--attribute", "sex=male:1", "--attribute", "sex=male:1"], "given twice"),
        (["--attribute", "height=tall:1"], "unknown attribute 'height'"),
        (["--accessory", "glasses"], "write it like glasses=0.2"),
        (["--accessory", "crown=0.5"], "unknown accessory 'crown'"),
        (["--counterfactual", "tome=0.5"], "Did you mean 'tone'"),
        (["--part-swaps", "eyes,,nose"], "unknown part of the face ''"),
        (["--size", "113"], "choose 112 or 224"),
        (["--tier", "soft"], "unknown tier 'soft'"),
        (["--set", "phantom-v2"], "unknown shipped dataset 'phantom-v2'"),
    ],
)
def test_bad_words_are_refused(tmp_path: Path, words: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        app(["data", "render", str(tmp_path / "out"), *words], standalone_mode=False)
    assert not (tmp_path / "out").exists()


def test_words_are_read() -> None:
    assert read_shares(["sex=female:0.7,male:0.3"]) == {"sex": {"female": 0.7, "male": 0.3}}
    assert read_worn(["glasses=0.2", "mask=0.1"]) == {"glasses": 0.2, "mask": 0.1}
    assert read_sweeps(["tone=0.1,0.9", "hair"])["tone"] == (0.1, 0.9)
    assert len(read_sweeps(["all"])) == 9
    assert read_parts("all") == ("eyes", "brows", "nose", "mouth", "jaw", "layout")
