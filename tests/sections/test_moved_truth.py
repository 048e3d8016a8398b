"""Geometry on answers: what is true turns and mirrors with the picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from facebench.cli import application
from facebench.measure.answers.moved import mirrored_truth, turned_truth
from facebench.measure.sample import Images
from facebench.measure.saved import load_result
from facebench.probes import conditions
from facebench.probes.face import Change, Kind
from facebench.schema.task import ClassifyTask, MultilabelTask, RegressTask
from tests.run.test_answers import run, write_rows

CODE = """
import torch
from torch import nn
class Pose(nn.Module):
    '''The side on which the white spot lies is the yaw, its slope from the middle the roll.'''
    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(1))
    def forward(self, x):
        grey = (x.mean(1) * 127.5 + 127.5) / 255
        rows = torch.arange(x.shape[2]) - (x.shape[2] - 1) / 2
        total = grey.sum((1, 2))
        across, down = (grey * rows).sum((1, 2)) / total, (grey * rows[:, None]).sum((1, 2)) / total
        return torch.stack([self.gain * 10 * across.sign(), torch.rad2deg(torch.atan(down / across))], 1)
def make():
    return Pose()
"""
MODEL = """
name: pose
adapter: torch
weights: w.pth
factory: net:make
input: {height: 48, width: 48, mean: 127.5, std: 127.5, alignment: none}
outputs: [{name: pose, names: [yaw, roll], unit: degrees}]
"""
PROTOCOL = """
name: pose
title: Pose
dataset: {name: faces}
task: {shape: regress, head: pose, truth: [yaw, roll], wrap: "360"%s}
robustness: {conditions: [%s]}
"""


@pytest.fixture
def posed(tmp_path: Path) -> tuple[Path, Path]:
    """A model, and thirty pictures of a spot to the right: its yaw is 10, its angle, clockwise, the roll."""
    from PIL import Image, ImageDraw

    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "net.py").write_text(CODE)
    torch.save({"gain": torch.ones(1)}, folder / "w.pth")
    (folder / "m.yaml").write_text(MODEL)
    faces, rows = tmp_path / "faces", []
    (faces / "images").mkdir(parents=True)
    rng = np.random.default_rng(2)
    for i in range(30):
        angle = np.deg2rad(rng.uniform(-40, 40))
        at = 23.5 + 12 * np.array([np.cos(angle), np.sin(angle)])
        picture = Image.new("RGB", (48, 48))
        ImageDraw.Draw(picture).ellipse([*(at - 3), *(at + 3)], fill=(255, 255, 255))
        picture.save(faces / f"images/{i}.png")
        rows.append(
            {"image_id": f"i{i}", "path": f"images/{i}.png", "identity": f"p{i % 10}",
             "yaw": 10.0, "roll": np.rad2deg(angle),
             "landmarks": "15 18 33 18 23.5 23.5 17 34 30 34"}
        )  # fmt: skip
    write_rows(faces / "manifest.csv", rows)
    return folder / "m.yaml", faces


def judged(tmp_path: Path, posed: tuple[Path, Path], keys: str, names: str) -> Any:
    (tmp_path / "p.yaml").write_text(PROTOCOL % (keys, names))
    words = (str(posed[0]), str(tmp_path / "p.yaml"), "--data", f"faces={posed[1]}", "--out", str(tmp_path / "out"))
    return run(*words, "--trust-code")


def figures(result: Any) -> dict[tuple[str, str], float]:
    """Return the leading figure and the loss of all images, by metric and condition."""
    rows = [e for e in result.estimates if e.group == "all" and (e.of is None or e.metric == "answer_loss")]
    return {(e.metric, e.condition): e.value for e in rows}


def test_angles_turn_and_mirror_with_the_picture(posed: tuple[Path, Path], tmp_path: Path) -> None:
    names = "'geometry:flip', 'geometry:rotation:5'"
    done = judged(tmp_path, posed, ", mirror: [yaw, roll], turns: {roll: clockwise}", names)
    assert done.exit_code == 0, done.output
    assert "identical to the bytes" in CliRunner().invoke(application(), ["rescore", str(tmp_path / "out")]).output
    result = load_result(tmp_path / "out")
    found = {(e.condition, e.of): e.value for e in result.estimates if e.metric == "mae" and e.group == "all"}
    assert found["clean", None] < 2
    assert found["geometry:flip", None] == pytest.approx(found["clean", None], abs=0.01)
    assert found["geometry:rotation:5", None] < 5  # of truth left as it was, 27 of the roll alone: 13 on average
    wrong = judged(tmp_path, posed, ", mirror: [yaw, roll], turns: {roll: anticlockwise}", names)
    assert wrong.exit_code == 0
    again = {e.condition: e.value for e in load_result(tmp_path / "out").estimates if e.metric == "answer_loss"}
    assert again["geometry:rotation:5"] > 20


def test_where_pictures_are_turned_beyond_the_range_neither_side_is_cut(
    posed: tuple[Path, Path], tmp_path: Path
) -> None:
    """The clean side alone was cut to the range, which hid its errors and made the condition look dear."""
    rows = (posed[1] / "manifest.csv").read_text().splitlines()
    top = max(abs(float(row.split(",")[4])) for row in rows[1:])
    keys = f", mirror: [yaw, roll], turns: {{roll: clockwise}}, range: [-{top + 0.1}, {top + 0.1}], clip: true"
    # a network that says ten times the roll: cut to the range, its clean answers look much better than they are
    code = (posed[0].parent / "net.py").read_text()
    (posed[0].parent / "net.py").write_text(code.replace("torch.rad2deg(", "10 * torch.rad2deg("))
    protocol = PROTOCOL.replace('"360"', "none")
    (tmp_path / "p.yaml").write_text(protocol % (keys, "'geometry:rotation:5'"))
    words = (str(posed[0]), str(tmp_path / "p.yaml"), "--data", f"faces={posed[1]}", "--out", str(tmp_path / "out"))
    done = run(*words, "--trust-code")
    assert done.exit_code == 0, done.output
    assert "identical to the bytes" in CliRunner().invoke(application(), ["rescore", str(tmp_path / "out")]).output
    result = load_result(tmp_path / "out")
    (gap,) = (gap for gap in result.unmeasured if "geometry:rotation:5" in gap.what)
    assert "beyond the range" in gap.why
    found = figures(result)
    (tmp_path / "p.yaml").write_text(protocol % (keys.replace(", clip: true", ""), "'geometry:rotation:5'"))
    assert run(*words, "--trust-code").exit_code == 0
    plain = figures(load_result(tmp_path / "out"))
    assert found["mae", "clean"] < plain["mae", "clean"] / 2
    assert found["answer_loss", "geometry:rotation:5"] == plain["answer_loss", "geometry:rotation:5"]


def test_geometry_is_refused_where_nobody_said_what_turns(posed: tuple[Path, Path], tmp_path: Path) -> None:
    assert "task.mirror" in str(judged(tmp_path, posed, "", "'geometry:flip'").exception)
    assert "task.turns" in str(judged(tmp_path, posed, ", mirror: [yaw]", "'geometry:rotation:2'").exception)


def test_truth_of_mirror_images() -> None:
    gaze = ClassifyTask(
        shape="classify", truth="gaze", classes=("Look_Left", "ahead", "Look_Right"), merge={"l": "Look_Left"}
    )
    images = Images(
        ("a", "b", "c"), None, {"gaze": ["l", "ahead", "Look_Right"], "yaw": [10.0, None, -5.0], "up": [1.0, 2.0, 3.0]}
    )
    assert mirrored_truth(gaze, images).attributes["gaze"] == ["Look_Right", "ahead", "Look_Left"]
    pose = RegressTask(shape="regress", truth=("up", "yaw"), mirror=("yaw",), turns={"up": "anticlockwise"})
    assert mirrored_truth(pose, images).attributes["yaw"] == [-10.0, None, 5.0]
    assert turned_truth(pose, images, [1.0, 0.0, 200.0]).attributes["up"] == [0.0, 2.0, 163.0]
    wink = MultilabelTask(shape="multilabel", truth={"wink left": "up", "wink right": "yaw"})
    assert mirrored_truth(wink, images).attributes["up"] == [10.0, None, -5.0]


def test_a_turn_is_told_as_it_is_drawn() -> None:
    bar = np.zeros((101, 101, 3), np.uint8)
    bar[48:53, 50:95] = 255
    points = np.array([[30, 50], [70, 50], [50, 50], [40, 50], [60, 50.0]])
    for name in ("geometry:rotation:4", "geometry:rotation:1", "geometry:misalignment:5"):
        for image in "abc":
            y, x = np.nonzero(conditions.alter(name, bar, points, image)[..., 0] > 100)
            far = x.argmax()
            near = np.abs(x - x.min()).argmin()
            seen = np.rad2deg(np.arctan2(float(y[far] - y[near]), float(x[far] - x[near])))
            assert seen == pytest.approx(conditions.turned(name, image), abs=6)
    assert conditions.turned("geometry:crop:3", "a") == 0


def test_a_change_of_a_plugin_says_how_it_moves_the_truth(monkeypatch: pytest.MonkeyPatch) -> None:
    def lean(face: Change) -> float:
        return face.level * 0.1 * float(face.rng.choice((-1, 1)))

    own = {
        "geometry:lean": Kind(lambda face: face.pixels[::-1], 1, (1, 2), turn=lean),
        "geometry:mirror": Kind(lambda face: face.pixels[:, ::-1], 1, mirrors=True),
    }
    for name, change in own.items():
        monkeypatch.setitem(conditions.CONDITIONS._targets, name, change)
    assert abs(conditions.turned("geometry:lean:2", "a")) == pytest.approx(np.rad2deg(0.2))
    assert conditions.turns("geometry:lean:1")
    assert not conditions.mirrored("geometry:lean:1")
    assert conditions.mirrored("geometry:mirror")
    assert not conditions.turns("geometry:mirror")
    assert conditions.mirrored("geometry:flip")
