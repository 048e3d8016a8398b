"""A PyTorch network with several heads, from its file through the command line: one pass serves several protocols."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from facebench.errors import InputError, ModelError
from facebench.measure.saved import load_result
from facebench.models import load_model
from tests.run.test_answers import one, run, write_rows

CODE = """
from pathlib import Path
import torch
from torch import nn
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(1))
    def forward(self, x):
        with (Path(__file__).parent / "calls.txt").open("a") as file:
            file.write("x" * len(x))
        level = self.gain * (x.mean((2, 3)) * 127.5 + 127.5)
        return {"expression": level / 8, "age": level.sum(1) / 10}
def make():
    return Net()
"""
MODEL = """
name: two-heads
adapter: torch
weights: w.pth
factory: net:make
input: {height: 16, width: 16, mean: 127.5, std: 127.5, alignment: none}
outputs:
  - {name: expression, names: [calm, joy, fear], activation: logits}
  - {name: age, names: [age], unit: years}
"""
CLASSIFY = """
name: heads-expression
title: Expressions
dataset: {name: faces}
task: {shape: classify, head: expression, truth: expression, classes: [fear, calm, joy]}
"""
REGRESS = """
name: heads-age
title: Ages
dataset: {name: faces}
task: {shape: regress, head: age, truth: age}
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "net.py").write_text(CODE)
    torch.save({"gain": torch.ones(1)}, folder / "w.pth")
    (folder / "m.yaml").write_text(MODEL)
    return folder / "m.yaml"


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """Forty pictures of ten people; the brightest channel is the class, the sum of the channels ten times the age."""
    from PIL import Image

    folder = tmp_path / "faces"
    (folder / "images").mkdir(parents=True)
    rng, rows = np.random.default_rng(3), []
    for i in range(40):
        colour = rng.integers(40, 90, 3)
        colour[i % 3] += 60
        Image.fromarray(np.broadcast_to(colour.astype(np.uint8), (16, 16, 3)).copy()).save(folder / f"images/{i}.png")
        rows.append(
            {"image_id": f"i{i}", "path": f"images/{i}.png", "identity": f"p{i % 10}",
             "expression": ("calm", "joy", "fear")[i % 3], "age": float(colour.sum()) / 10}
        )  # fmt: skip
    write_rows(folder / "manifest.csv", rows)
    return folder


def calls(model: Path) -> int:
    path = model.parent / "calls.txt"
    return len(path.read_text()) if path.is_file() else 0


def judged(model: Path, faces: Path, protocol: str, out: Path) -> Any:
    (faces.parent / "p.yaml").write_text(protocol)
    words = (str(model), str(faces.parent / "p.yaml"), "--data", f"faces={faces}", "--out", str(out), "--trust-code")
    done = run(*words)
    assert done.exit_code == 0, done.output
    return load_result(out)


def test_two_protocols_take_one_pass_of_a_network_with_two_heads(model: Path, faces: Path, tmp_path: Path) -> None:
    first = judged(model, faces, CLASSIFY, tmp_path / "a")
    assert one(first, "top1_accuracy").value == 1  # joined by name, whatever the order
    before = calls(model)
    second = judged(model, faces, REGRESS, tmp_path / "b")
    assert one(second, "mae").value == pytest.approx(0, abs=1e-3)
    assert "years on average: Mean absolute error" in (tmp_path / "b" / "report.html").read_text()
    assert calls(model) - before < 40  # only the probe at loading: the answers of the faces are in the store


def test_heads_are_told_by_name_place_and_width(model: Path) -> None:
    black = np.zeros((3, 16, 16, 3), np.uint8)
    found = load_model(str(model), trust_code=True).embed(black)
    assert found.shape == (3, 4)
    code = (model.parent / "net.py").read_text()
    (model.parent / "net.py").write_text(
        code.replace('return {"expression": level / 8, "age"', 'return {"mood": level, "age"')
    )
    with pytest.raises(InputError, match=r"no output 'expression'.*mood"):
        load_model(str(model), trust_code=True)
    (model.parent / "net.py").write_text(code.replace("level.sum(1) / 10", "level"))
    with pytest.raises(ModelError, match="names 1 values"):
        load_model(str(model), trust_code=True)
    (model.parent / "net.py").write_text(code.replace("return {", "return level / 8, level.sum(1) / 10\n        {"))
    model.write_text(
        MODEL.replace("{name: expression,", "{name: expression, tensor: '0',").replace(
            "{name: age,", "{name: age, tensor: '1',"
        )
    )
    assert load_model(str(model), trust_code=True).embed(black).shape == (3, 4)
    model.write_text(MODEL.replace("alignment: none", "alignment: none, flip: sum"))
    with pytest.raises(InputError, match="flip: none"):
        load_model(str(model), trust_code=True)


def test_a_grey_network_sees_grey_and_gives_gradients(model: Path) -> None:
    model.write_text(
        MODEL.replace("alignment: none", "alignment: none, colour: grey").replace("[calm, joy, fear]", "[calm]")
    )
    loaded: Any = load_model(str(model), trust_code=True)
    faces = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)
    pixels = torch.from_numpy(faces.transpose(0, 3, 1, 2).copy()).float() / 255
    assert loaded.module()(pixels).detach().numpy() == pytest.approx(loaded.embed(faces), abs=0.1)


def test_the_age_of_phantoms_is_asked_of_any_network_with_such_a_head(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = run(str(model), "phantom-age", "--out", str(out), "--limit", "120", "--trust-code")
    assert done.exit_code == 0, done.output
    result = load_result(out)
    (mae,) = (e for e in result.estimates if (e.metric, e.group, e.condition) == ("mae", "all", "clean"))
    assert (mae.n_images, mae.n_identities) == (120, 24)
    conditions = {e.condition for e in result.estimates if e.metric == "mae"}
    assert {"clean", "corruption:low_light:3", "occlusion:surgical_mask"} <= conditions
    groups = {e.group for e in result.estimates}
    assert {"sex", "tone"} <= groups
    assert not any(group.startswith("age") for group in groups)  # truth is no group
