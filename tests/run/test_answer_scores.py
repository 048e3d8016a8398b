"""Presentation attacks and deepfakes through the command line: splits, thresholds, videos, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facebench.errors import InputError
from facebench.measure.saved import load_result
from facebench.schema import Flag, Result
from tests.metrics.test_answers import oracle
from tests.run.test_answers import REAL, one, run, write_rows

PROTOCOL = """
name: test-liveness
title: Liveness
dataset: {{name: faces}}
task: {{shape: score, truth: species, split: split, {more}}}
groups: null
uncertainty: {{unit: subject}}
"""
DEV = "threshold: {from: dev, rule: eer}"


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """The presentations of the oracle, as a folder; the file of answers lies beside it."""
    from PIL import Image

    folder = tmp_path / "faces"
    folder.mkdir()
    rows, answers = [], []
    for split, given in oracle("pad")["inputs"].items():
        for i, (species, subject, score) in enumerate(
            zip(given["species"], given["subject"], given["score"], strict=True)
        ):
            name = f"{split}{i}"
            Image.new("RGB", (8, 8), (i, 40, 90)).save(folder / f"{name}.png")
            video = f"{split}-{species}-{i // 2}"
            rows.append(
                {
                    "image_id": name, "path": f"{name}.png", "species": species, "subject": subject, "split": split,
                    "clip": video, "place": "ab"[i % 2],
                }
            )  # fmt: skip
            answers.append({"image_id": name, "live": score})
    write_rows(folder / "manifest.csv", rows)
    write_rows(tmp_path / "answers.csv", answers)
    return folder


def judge(tmp_path: Path, faces: Path, more: str, answers: str = "answers.csv") -> Result:
    done = attempt(tmp_path, faces, more, answers)
    assert done.exit_code == 0, done.output
    return load_result(tmp_path / "out")


def attempt(tmp_path: Path, faces: Path, more: str, answers: str = "answers.csv") -> Any:
    (tmp_path / "p.yaml").write_text(PROTOCOL.format(more=more))
    model = f"predictions:{tmp_path / answers}"
    return run(model, str(tmp_path / "p.yaml"), "--data", f"faces={faces}", "--out", str(tmp_path / "out"))


def test_the_development_images_set_the_threshold_and_the_test_images_are_judged(tmp_path: Path, faces: Path) -> None:
    result = judge(tmp_path, faces, DEV)
    assert result.task is not None
    assert (result.task.n_judged, result.task.unit) == (60, "subject")
    assert result.task.threshold == pytest.approx(0.6)
    assert result.task.left_out == {"of the split that sets the threshold": 60}
    worst = one(result, "apcer_worst")
    assert (worst.value, worst.errors, worst.n_images) == (0.6, 3, 5)
    assert worst.threshold == result.task.threshold
    assert one(result, "bpcer").value == pytest.approx(0.05)
    assert one(result, "answer_hter").value == pytest.approx(0.0875)
    assert one(result, "answer_auc").value == pytest.approx(0.96875)
    for e in result.estimates:
        assert Flag.THRESHOLD_ON_TEST not in e.flags
        if e.value is not None and e.ci_low is not None and e.ci_high is not None:
            assert e.ci_low <= e.value <= e.ci_high, e
    each = [one(result, "apcer", of=name) for name in result.task.names]
    assert worst.ci_high == max(e.ci_high or 0 for e in each)
    assert (worst.ci_low or 0) < max(e.ci_low or 0 for e in each)  # any of them may lie high by chance
    page = (tmp_path / "out" / "report.html").read_text()
    assert "3 of 5 attacks of mask3d, the worst of 3 species" in page
    assert "0.600, equal error on the development images (60)" in page


def test_a_threshold_set_on_the_judged_images_is_flagged(tmp_path: Path, faces: Path) -> None:
    result = judge(tmp_path, faces, "threshold: {from: test}")
    flagged = {e.metric for e in result.estimates if Flag.THRESHOLD_ON_TEST in e.flags}
    assert flagged == {"apcer", "apcer_worst", "apcer_pooled", "bpcer", "acer", "answer_hter"}
    assert "never ranks" in (tmp_path / "out" / "report.html").read_text()


def test_scores_of_attacks_are_turned_round(tmp_path: Path, faces: Path) -> None:
    given = oracle("pad")["inputs"]
    rows = [
        {"image_id": f"{split}{i}", "fake": round(1 - score, 2)}
        for split, part in given.items()
        for i, score in enumerate(part["score"])
    ]
    write_rows(tmp_path / "turned.csv", rows)
    straight = judge(tmp_path, faces, "threshold: 0.605")
    turned = judge(tmp_path, faces, "threshold: 0.395, higher: attack", "turned.csv")
    for metric in ("apcer_worst", "bpcer", "answer_auc", "bpcer_at_apcer"):
        a, b = ([e.value for e in result.estimates if e.metric == metric] for result in (straight, turned))
        assert a == pytest.approx(b)


def test_frames_of_a_video_are_one_presentation(tmp_path: Path, faces: Path) -> None:
    result = judge(tmp_path, faces, f"{DEV}, video: clip")
    videos = {f"{s}-{i // 2}" for i, s in enumerate(oracle("pad")["inputs"]["test"]["species"])}
    assert result.task is not None
    assert result.task.n_judged == len(videos)
    done = attempt(tmp_path, faces, f"{DEV}, video: place")
    assert isinstance(done.exception, InputError)
    assert "names of videos must differ between folders" in str(done.exception)


def test_the_area_over_videos_is_that_of_their_mean_scores(tmp_path: Path) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    rng, folder = np.random.default_rng(4), tmp_path / "faces"
    rows, answers, means, fakes = [], [], [], []
    for video in range(30):
        fake, frames = bool(video % 3), int(rng.integers(1, 7))
        scores = rng.normal(0.55 if fake else 0.45, 0.05) + rng.normal(0, 0.3, frames)
        for frame, score in enumerate(scores):
            name = f"v{video}-{frame}"
            rows.append(
                {"image_id": name, "path": f"{name}.png", "species": "swap" if fake else "bona_fide",
                 "subject": f"source{video // 3}", "split": "test", "clip": f"v{video}"}
            )  # fmt: skip
            if frame or video % 5:  # the first frame of some videos has no answer, and the others stand for it
                answers.append({"image_id": name, "fake": float(score)})
        means.append(np.mean(scores if video % 5 else scores[1:]) if frames > 1 or video % 5 else np.nan)
        fakes.append(fake)
    answers, rows = rng.permutation(answers).tolist(), rng.permutation(rows).tolist()
    folder.mkdir()
    write_rows(folder / "manifest.csv", rows)
    write_rows(tmp_path / "answers.csv", answers)
    result = judge(tmp_path, folder, "threshold: 0.5, higher: attack, score: fake, video: clip")
    known = np.isfinite(means)
    expected = metrics.roc_auc_score(np.array(fakes)[known], np.array(means)[known])
    by_frame = {row["image_id"]: row["species"] == "swap" for row in rows}
    of_frames = metrics.roc_auc_score([by_frame[a["image_id"]] for a in answers], [a["fake"] for a in answers])
    assert one(result, "answer_auc").value == pytest.approx(expected, abs=1e-6)
    assert abs(expected - of_frames) > 0.01, "frames alone would give another area"
    assert result.task is not None
    assert (result.task.n_judged, result.task.unit) == (30, "subject")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("threshold: {from: dev}, dev: devel", "no image has split 'devel'"),
        (f"{DEV}, test: tset", "Did you mean 'test'"),
        (f"{DEV}, bona_fide: bonafide", "Did you mean 'bona_fide'"),
        (f"{DEV}, ignore: [print, replay, mask3d]", "attacks are needed"),
        (f"{DEV}, ignore: [bona_fide]", "is bona fide: species holds mask3d, print, replay"),
        ("threshold: {from: dev}, bona_fide: mask3d", "is bona fide"),
        (f"{DEV}, score: liev", "Did you mean 'live'"),
        ("threshold: {from: dve}", "'dev' or 'test'"),
    ],
)
def test_what_cannot_be_judged_is_named(tmp_path: Path, faces: Path, more: str, words: str) -> None:
    done = attempt(tmp_path, faces, more)
    assert isinstance(done.exception, InputError), done.output
    assert words in str(done.exception)


def test_a_threshold_from_dev_needs_a_split(tmp_path: Path, faces: Path) -> None:
    (tmp_path / "p.yaml").write_text(PROTOCOL.format(more=DEV).replace("split: split, ", ""))
    model = f"predictions:{tmp_path / 'answers.csv'}"
    done = run(model, str(tmp_path / "p.yaml"), "--data", f"faces={faces}", "--out", str(tmp_path / "out"))
    assert "needs `split`" in str(done.exception)


@pytest.mark.skipif(not REAL.is_dir(), reason="needs the real models and faces in ../shared/data/tasks")
def test_a_real_network_of_liveness_scores_what_was_measured_elsewhere(tmp_path: Path) -> None:
    data = REAL / "spoof_score"
    (tmp_path / "m.yaml").write_text(
        json.dumps(
            {
                "name": "minifasnet", "adapter": "onnx", "weights": str(data / "models/minifasnet_v2_scale2.7.onnx"),
                "input": {"height": 80, "width": 80, "colour": "BGR", "mean": 0, "std": 1, "alignment": "none"},
                "outputs": [{"name": "live", "names": ["print", "live", "replay"], "activation": "logits"}],
            }
        )
    )  # fmt: skip
    task = '{shape: score, head: live, truth: live, bona_fide: "1", score: live, split: kind, test: face crop'
    (tmp_path / "p.yaml").write_text(
        f"name: live\ntitle: Live\ndataset: {{name: faces}}\ntask: {task}, threshold: 0.5}}\ngroups: null\n"
    )
    done = run(str(tmp_path / "m.yaml"), str(tmp_path / "p.yaml"), "--data", f"faces={data}", "--out", str(tmp_path))
    assert done.exit_code == 0, done.output
    found = load_result(tmp_path)
    assert one(found, "answer_auc").value == pytest.approx(0.827, abs=5e-4)
    assert all(Flag.NAIVE_INTERVAL in e.flags for e in found.estimates)
