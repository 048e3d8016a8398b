"""Signs of a broken pipeline: each planted fault is named first, and nothing is said of a sound one."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from facebench.cli import commands  # noqa: F401 - adds its commands to the app
from facebench.cli.apps import app
from facebench.data import Dataset, load_dataset
from facebench.data.decode import decode
from facebench.measure.sanity import alignment, file_doubts, picture_doubts, score_doubts
from facebench.measure.sanity.scores import separation
from facebench.measure.saved import load_result
from facebench.phantoms.shipped import shipped_dataset
from facebench.run.report import verdict_sentences
from facebench.schema import Curve, Estimate, Failure, InputSpec, ModelCard

CARD = ModelCard(name="m", adapter="onnx", embedding_dim=2, comparator="cosine", input=InputSpec(height=112, width=112))


def moved(picture: np.ndarray, right: float, down: float, size: float = 1.0) -> np.ndarray:
    """Move a face by pixels and enlarge it about the nose; edges are continued."""
    padded = np.pad(picture, ((224, 224), (224, 224), (0, 0)), mode="edge")
    affine = (1 / size, 0, 280 - (56 + right) / size, 0, 1 / size, 296 - (72 + down) / size)
    return np.asarray(Image.fromarray(padded).transform((112, 112), Image.Transform.AFFINE, affine, 2))


@cache
def dataset(name: str) -> Dataset:
    return load_dataset(shipped_dataset(name))


def faces(name: str, **wanted: str) -> list[np.ndarray]:
    data = dataset(name)
    columns = {**data.attributes, **data.edits}
    rows = [n for n in range(len(data)) if all(columns[key][n] == value for key, value in wanted.items())]
    return [decode(data.images[row].read()) for row in rows[:: max(1, len(rows) // 60)]][:60]


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    return faces("phantom-smoke-v1")


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("phantom-smoke-v1", {}),
        ("phantom-v1", {"tone": "dark"}),
        ("phantom-hard-v1", {}),
        ("phantom-hard-v1", {"tone": "dark"}),
        ("phantom-counterfactual-v1", {"attribute": "accessory"}),
        ("phantom-counterfactual-v1", {"attribute": "yaw"}),
        ("phantom-counterfactual-v1", {"attribute": "light"}),
    ],
)
def test_no_alarm_on_aligned_faces_whatever_their_tone_pose_light_and_accessories(name: str, wanted: dict) -> None:
    for shown in (
        faces(name, **wanted),
        [picture.mean(2, keepdims=True).repeat(3, 2).astype(np.uint8) for picture in faces(name, **wanted)],
    ):
        found = alignment.read_alignment(shown)
        assert found is not None
        assert not found.scattered, found
        assert not found.elsewhere, found


@pytest.mark.parametrize("way", ["right", "left", "up", "down", "each", "far", "loose", "body", "noise"])
def test_faces_off_the_template_are_noticed(pictures: list[np.ndarray], way: str) -> None:
    rng = np.random.default_rng(0)
    turns = np.linspace(0, 2 * np.pi, len(pictures), endpoint=False)
    spoilt = {
        "right": lambda p, _: moved(p, 7, 0),
        "left": lambda p, _: moved(p, -7, 0),
        "up": lambda p, _: moved(p, 0, -7),
        "down": lambda p, _: moved(p, 0, 7),
        "each": lambda p, turn: moved(p, 7 * np.cos(turn), 7 * np.sin(turn)),
        "far": lambda p, turn: moved(p, 14 * np.cos(turn), 14 * np.sin(turn)),
        "loose": lambda p, _: moved(p, 0, 0, 0.55),
        "body": lambda p, turn: moved(p, 8 * np.cos(turn), -44, 0.17),
        "noise": lambda p, _: rng.integers(0, 256, p.shape, np.uint8),
    }[way]
    found = alignment.read_alignment([spoilt(p, turn) for p, turn in zip(pictures, turns, strict=True)])
    assert found is not None
    assert found.scattered or found.elsewhere, found


def test_the_reading_says_where_the_faces_lie(pictures: list[np.ndarray]) -> None:
    found = alignment.read_alignment([moved(p, 10, -8) for p in pictures])
    assert found is not None
    assert found.across == pytest.approx(10 / 35.2, abs=0.03)
    assert found.along == pytest.approx(-8 / 35.2, abs=0.03)
    assert alignment.read_alignment(pictures[: alignment.MIN_PICTURES - 1]) is None
    assert alignment.read_alignment([np.zeros((112, 112, 3), np.uint8)] * 60).elsewhere  # type: ignore[union-attr]


def test_the_average_face_is_that_of_the_shipped_phantoms() -> None:
    shown = [alignment.local_contrast(picture) for picture in faces("phantom-v1")]
    average = sum(detail for detail, _ in shown) / np.maximum(sum(known for _, known in shown), 1)
    assert np.corrcoef(average.ravel(), alignment.average_face().ravel())[0, 1] > 0.95


def test_landmarks_tell_where_they_are_known() -> None:
    data = dataset("phantom-smoke-v1")
    assert picture_doubts(data, CARD, ()) == []
    assert data.landmarks is not None
    off = replace(data, landmarks=data.landmarks + np.array([0, 7]))
    (doubt,) = picture_doubts(off, CARD, ())
    assert doubt.about == "alignment"
    assert "landmarks lie 0.20" in doubt.seen
    loose = CARD.model_copy(update={"input": InputSpec(height=112, width=112, alignment="none")})
    assert picture_doubts(off, loose, ()) == []


def test_most_images_failing_is_said_with_the_commonest_reason() -> None:
    data = dataset("phantom-smoke-v1").subset(40)
    failed = [Failure(image_id=name, stage="decode", reason="too small") for name in data.image_ids[:21]]
    (doubt,) = picture_doubts(data, CARD, failed)
    assert doubt.about == "failures"
    assert "21 of 40 images could not be used" in doubt.seen
    assert "decode: too small" in doubt.seen
    assert picture_doubts(data, CARD, failed[:20]) == []


def bars(genuine: np.ndarray, impostor: np.ndarray) -> list[Curve]:
    edges = np.linspace(min(genuine.min(), impostor.min()), max(genuine.max(), impostor.max()) + 1e-9, 61)
    return [
        Curve(kind="histogram", name=name, x=tuple(edges), y=tuple(map(float, np.histogram(scores, edges)[0])))
        for name, scores in (("genuine", genuine), ("impostor", impostor))
    ]


@pytest.mark.parametrize(
    ("distance", "about"), [(2.0, None), (0.5, None), (0.0, "chance"), (-2.0, "reversed"), (0.06, "medians")]
)
def test_scores_that_say_nothing(distance: float, about: str | None) -> None:
    rng = np.random.default_rng(3)
    curves = bars(rng.normal(distance, 1, 20000), rng.normal(0, 1, 20000))
    found = score_doubts([], curves)
    assert [doubt.about for doubt in found] == ([] if about is None else [about])


def test_an_interval_that_holds_one_half_decides() -> None:
    rng = np.random.default_rng(3)
    curves = bars(rng.normal(2, 1, 200), rng.normal(0, 1, 200))
    wide = Estimate(metric="auc", value=0.7, ci_low=0.45, ci_high=0.9)
    (doubt,) = score_doubts([wide], curves)
    assert doubt.about == "chance"
    assert "AUC 0.700 (0.450 to 0.900)" in doubt.seen
    assert score_doubts([wide.model_copy(update={"ci_low": 0.51})], curves) == []
    assert separation([wide], curves[:1]) is None


def test_constant_scores() -> None:
    same = np.full(50, 0.25)
    (doubt,) = score_doubts([], bars(same, same))
    assert doubt.about == "constant"


def call(*words: object) -> str:
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_distances_read_as_similarities_are_the_first_sentence_and_the_result_is_written(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    for name, middle, n in (("gen", 0.4, 100), ("imp", 1.2, 500)):
        (tmp_path / f"{name}.txt").write_text("\n".join(f"{x:.4f}" for x in rng.normal(middle, 0.1, n)))
    said = call("run", f"scores:{tmp_path}/gen.txt#impostor=imp.txt", "scores", "--out", tmp_path / "out")
    assert said.startswith("This pipeline is probably broken: the scores look reversed: AUC 0 (")
    assert "scale=distance" in said.splitlines()[0]
    result = load_result(tmp_path / "out")
    assert verdict_sentences(result)[0] == said.splitlines()[0]
    assert result.doubts[0].about == "reversed"
    assert "probably broken" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    mended = call(
        "run", f"scores:{tmp_path}/gen.txt#impostor=imp.txt,scale=distance", "scores", "--out", tmp_path / "b"
    )
    assert "probably broken" not in mended


def test_histograms_read_as_scores_are_noticed(tmp_path: Path) -> None:
    for name, middle in (("gen", 70), ("imp", 30)):
        rows = [f"{x} {round(1000 * np.exp(-(((x - middle) / 12) ** 2)))}" for x in range(101)]
        (tmp_path / f"{name}.txt").write_text("\n".join(rows))
    said = call("run", f"scores:{tmp_path}/gen.txt#impostor=imp.txt", "scores", "--out", tmp_path / "out")
    assert "look like a histogram" in said.splitlines()[0]
    (tmp_path / "gen.txt").write_text("b 1\na 2\n")
    call("run", f"scores:{tmp_path}/gen.txt#impostor=imp.txt", "scores", "--out", tmp_path / "names")
    assert "histogram" not in {doubt.about for doubt in load_result(tmp_path / "names").doubts}
    assert file_doubts(["something else"]) == []


def test_misaligned_phantoms_are_named_by_run_and_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEBENCH_CACHE", str(tmp_path / "cache"))
    data = dataset("phantom-smoke-v1").subset(96)
    assert data.identities is not None
    rows = ["image_id,path,identity"]
    for number, source in enumerate(data.images):
        turn = number * 2.4
        shown = moved(decode(source.read()), 14 * np.cos(turn), 14 * np.sin(turn))
        Image.fromarray(shown).save(tmp_path / f"{number}.png")
        rows.append(f"i{number},{number}.png,{data.identities[number]}")
    (tmp_path / "manifest.csv").write_text("\n".join(rows))
    quick = {"name": "q", "title": "Q", "dataset": {"name": "faces"}, "uncertainty": {"replicates": 100}}
    (tmp_path / "quick.yaml").write_text(json.dumps({**quick, "fmr_targets": [1e-2], "primary_fmr_target": 1e-2}))
    out = ("--data", f"faces={tmp_path}", "--out", tmp_path / "out")
    said = call("run", "phantom-eigenfaces", tmp_path / "quick.yaml", *out)
    assert said.startswith("This pipeline is probably broken: the faces do not look aligned")
    done = CliRunner().invoke(app, ["check", "phantom-eigenfaces", "--data", str(tmp_path), "--json"])
    assert done.exit_code == 1
    failed = {finding["name"] for finding in json.loads(done.stdout) if not finding["passed"]}
    assert "faces are aligned" in failed
