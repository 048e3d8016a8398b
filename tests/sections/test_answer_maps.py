"""Maps of answers: a planted mouth-reader is found, its expression regions beat their nulls, and rescoring agrees."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from facebench.cli import application
from facebench.measure.saved import load_result
from facebench.probes.saliency.controls import RandomProjection
from facebench.probes.saliency.expressions import UNITS, expression_regions
from facebench.probes.saliency.heads import HeadTarget
from facebench.probes.saliency.regions import REGIONS, TEMPLATE, from_landmarks
from facebench.schema import Flag
from facebench.sections.explanation.expressions import expression_estimates
from facebench.sections.explanation.writer import Explainees
from tests.run.test_answers import run, write_rows

CODE = """
import torch
from torch import nn
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(1, 8, 5, 4, 2), nn.Linear(8 * 28 * 28, 2)
    def forward(self, x):
        return self.fc(torch.relu(self.conv(x.mean(1, keepdim=True))).flatten(1))
def make():
    return Net()
"""
MODEL = """
name: mouth-reader
adapter: torch
weights: w.pth
factory: net:make
input: {height: 112, width: 112, mean: 127.5, std: 127.5, alignment: none}
outputs: [{name: expression, names: [happy, sad], activation: logits}]
"""
PROTOCOL = """
name: maps
title: Maps
dataset: {name: faces}
task:
  {shape: classify, head: expression, truth: expression, classes: [happiness, sadness],
   merge: {happy: happiness, sad: sadness}}
explanation:
  methods:
    - {name: occlusion, options: {patch: 8, stride: 8, fill: mean}}
    - {name: rise, options: {masks: 300}}
    - {name: integrated-gradients}
    - {name: ebp}
    - {name: s-rise, options: {masks: 10}}
  pairs: 8
  control_pairs: 6
"""


@pytest.fixture
def seen(tmp_path: Path) -> tuple[Path, Path]:
    """Forty pictures; the mouth is bright in the happy ones; and a network that reads the mouth alone."""
    from PIL import Image

    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "net.py").write_text(CODE)
    mouth = from_landmarks(TEMPLATE, (112, 112))["mouth"]
    weight = torch.zeros(2, 8, 28, 28)
    small = torch.from_numpy(mouth.reshape(28, 4, 28, 4).mean((1, 3))).float()
    weight[0, 0], weight[1, 0] = small, -small
    kernel = torch.zeros(8, 1, 5, 5)
    kernel[0] = 1 / 25
    state = {"conv.weight": kernel, "conv.bias": torch.full((8,), 1.0),
             "fc.weight": weight.reshape(2, -1) / small.sum() * 10, "fc.bias": torch.tensor([-10.0, 10.0])}  # fmt: skip
    torch.save(state, folder / "w.pth")
    (folder / "m.yaml").write_text(MODEL)
    faces, rows = tmp_path / "faces", []
    (faces / "images").mkdir(parents=True)
    rng = np.random.default_rng(1)
    for i in range(24):
        pixels = rng.integers(60, 190, (112, 112, 3))
        pixels[mouth] = rng.integers(160, 250) if i % 2 else rng.integers(5, 90)
        Image.fromarray(pixels.astype(np.uint8)).save(faces / f"images/{i}.png")
        rows.append(
            {"image_id": f"i{i}", "path": f"images/{i}.png", "identity": f"p{i % 12}",
             "expression": ("sad", "happy")[i % 2]}
        )  # fmt: skip
    write_rows(faces / "manifest.csv", rows)
    return folder / "m.yaml", faces


def test_a_mouth_reader_is_seen_to_read_the_mouth(seen: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(PROTOCOL)
    out = tmp_path / "out"
    words = (str(seen[0]), str(tmp_path / "p.yaml"), "--data", f"faces={seen[1]}", "--out", str(out), "--trust-code")
    done = run(*words)
    assert done.exit_code == 0, done.output
    result: Any = load_result(out)
    assert "identical to the bytes" in CliRunner().invoke(application(), ["rescore", str(out)]).output
    verdicts = {v.method: v for v in result.explanation.methods}
    assert verdicts["occlusion"].qualified, verdicts["occlusion"]
    assert "answers" in verdicts["ebp"].why
    assert not verdicts["s-rise"].qualified
    assert {name for _, name in result.explanation.pairs} == {"happiness", "sadness"}
    assert len(result.explanation.pairs) == 8
    found = {(e.metric, e.condition, e.of): e for e in result.estimates if e.rule == "strict"}
    for method in ("occlusion", "integrated-gradients"):
        mouth = found["saliency_iou", f"saliency:{method}:mouth", None]
        assert mouth.value > 2 * max(mouth.nulls[key] for key in ("chance", "upside_down", "mismatched_region"))
        sad = found["saliency_iou", f"saliency:{method}:expression", "sadness"]
        assert sad.value > sad.nulls["chance"]
    assert ("iou_mismatch_gap", "saliency:rise:expression", None) in found
    page = (out / "report.html").read_text()
    assert "Saliency" in page or "saliency" in page
    assert "made it match" not in page


def test_regions_of_expressions_follow_their_action_units() -> None:
    parts = from_landmarks(TEMPLATE, (112, 112))
    regions = expression_regions(parts)
    assert set(regions) == set(UNITS)
    assert not (regions["happiness"] & parts["brows"]).any()
    assert not (regions["disgust"] & (parts["brows"] | parts["eyes"])).any()
    assert (regions["surprise"] & parts["brows"]).sum() == parts["brows"].sum()
    assert (regions["surprise"] & ~regions["fear"]).sum() == 0  # lips lie in mouth and chin
    none = {name: np.zeros((4, 4), bool) for name in parts}
    assert expression_regions(none) == {}


def test_targets_of_heads_are_log_odds_or_the_value() -> None:
    answers = np.array([[9.0, 1.0, 2.0, 0.5], [9.0, np.nan, 0.0, 0.0]], np.float32)
    odds = HeadTarget(slice(1, 4), (0, 2), "logits").score(answers)
    assert odds[0] == pytest.approx(np.logaddexp(1, 0.5) - 2)
    assert np.isnan(odds[1])
    share = HeadTarget(slice(1, 4), (0,), "probabilities").score(np.array([[0, 0.2, 0.3, 0.5]], np.float32))
    assert share[0] == pytest.approx(np.log(0.2 / 0.8), abs=1e-5)
    assert HeadTarget(slice(1, 4), (1,), "values").score(answers)[0] == 2


def test_a_model_without_heads_is_asked_one_number_it_has() -> None:
    model = RandomProjection(0)
    faces = np.random.default_rng(1).integers(0, 256, (3, 112, 112, 3)).astype(np.uint8)
    for start in (5, 64, 200):
        asked = HeadTarget(slice(start, start + 3), (1,), "logits").untrained(model.embed, None)
        assert np.isfinite(asked.score(model.embed(faces))).all()
        assert all(part.dtype != object for part in asked.parts)  # these bytes name kept maps


def test_images_without_a_map_or_a_second_region_are_counted_out() -> None:
    parts = from_landmarks(TEMPLATE, (112, 112))
    regions = np.stack([[parts[name] for name in REGIONS]] * 4)
    only_brows = [parts[name] & (name == "brows") for name in REGIONS]
    regions[0] = only_brows
    maps = np.random.default_rng(1).random((4, 112, 112))
    maps[3] = 0
    who = Explainees(np.arange(4), {}, np.arange(0), ())
    classes = ["sad"] * 4
    found = expression_estimates("rise", True, {"rise/pairs": maps, "regions": regions}, who, classes, 0.95)
    overall = {e.metric: e for e in found if e.of is None}
    several = len(expression_regions(dict(zip(REGIONS, only_brows, strict=True)))) > 1
    for e in overall.values():
        assert e.n_genuine == (3 if several else 2)
        assert Flag.DEGENERATE_MAPS in e.flags
    assert "mismatched_region" in overall["saliency_iou"].nulls
    mouthless = [parts[name] & (name == "nose") for name in REGIONS]
    assert set(expression_regions(dict(zip(REGIONS, mouthless, strict=True)))) == {"disgust"}
    regions[0] = mouthless
    found = expression_estimates("rise", True, {"rise/pairs": maps, "regions": regions}, who, ["disgust"] * 4, 0.95)
    (iou,) = (e for e in found if e.metric == "saliency_iou" and e.of is None)
    assert iou.n_genuine == 2
    assert "mismatched_region" in iou.nulls
    nothing = {"rise/pairs": np.zeros_like(maps), "regions": regions}
    found = expression_estimates("rise", True, nothing, who, ["disgust"] * 4, 0.95)
    assert {e.value for e in found} == {None}
