"""Protocols with a task, from files through the command line: answers of files and of a network with heads."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from facebench.cli import application
from facebench.comparison.compare import compare
from facebench.comparison.differences import comparison_sentences
from facebench.comparison.page import render_comparison
from facebench.errors import InputError
from facebench.measure.saved import load_result
from facebench.schema import Estimate, Flag, Result
from tests.metrics.test_answers import oracle
from tests.models import onnx_writer as onnx

CLASSES = ["calm", "joy", "fear"]
PROTOCOL = """
name: test-expressions
title: Expressions
dataset: {name: faces}
task:
  shape: classify
  head: expression
  truth: expression
  classes: [calm, joy, fear]
  ignore: [other]
  merge: {happy: joy}
groups: {attributes: all}
"""


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """Sixty images of twelve people, five expressions' worth of words, two groups."""
    from PIL import Image

    folder = tmp_path / "faces"
    (folder / "images").mkdir(parents=True)
    rng, rows = np.random.default_rng(3), []
    words = ["calm", "happy", "fear", "joy", "other"]
    for i in range(60):
        name = f"images/{i}.png"
        Image.fromarray(rng.integers(0, 255, (24, 24, 3), dtype=np.uint8)).save(folder / name)
        rows.append(
            {
                "image_id": f"i{i}",
                "path": name,
                "identity": f"p{i % 12}",
                "expression": words[i % 5],
                "sex": "fm"[i % 2],
            }
        )
    write_rows(folder / "manifest.csv", rows)
    return folder


def truth(i: int) -> str:
    return {"happy": "joy"}.get(word := ["calm", "happy", "fear", "joy", "other"][i % 5], word)


def run(*words: str) -> Any:
    return CliRunner().invoke(application(), ["run", *words])


def judge(tmp_path: Path, faces: Path, model: str, protocol: str = PROTOCOL) -> Result:
    (tmp_path / "p.yaml").write_text(protocol)
    out = tmp_path / "out"
    done = run(model, str(tmp_path / "p.yaml"), "--data", f"faces={faces}", "--out", str(out))
    assert done.exit_code == 0, done.output
    assert (out / "report.html").read_text().count("What is taken for what") <= 2
    again = CliRunner().invoke(application(), ["rescore", str(out)])
    assert "identical to the bytes" in again.output
    return load_result(out)


def one(result: Result, metric: str, group: str = "all", of: str | None = None) -> Estimate:
    (found,) = (e for e in result.estimates if (e.metric, e.group, e.of) == (metric, group, of))
    return found


def probabilities(i: int, wrong: bool) -> dict[str, float]:
    word = truth(i) if truth(i) in CLASSES else "calm"
    said = CLASSES[(CLASSES.index(word) + wrong) % 3]
    return {f"p_{name}": 0.8 if name == said else 0.1 for name in CLASSES}


def test_answers_of_a_file_are_judged_by_name_and_counted(tmp_path: Path, faces: Path) -> None:
    rows = [{"image_id": f"i{i}", **probabilities(i, i % 6 == 0)} for i in range(60) if i != 1]
    result = judge(tmp_path, faces, f"predictions:{write_rows(tmp_path / 'a.csv', rows)}")
    right = sum(truth(i) in CLASSES and i % 6 != 0 and i != 1 for i in range(60))
    accuracy = one(result, "top1_accuracy")
    assert (accuracy.n_images, accuracy.errors) == (48, 48 - right)
    assert accuracy.n_identities == 12
    assert result.task is not None
    assert result.task.n_answered == 47
    assert sum(result.task.left_out.values()) == 12
    counts = np.array(result.task.confusion["all"])
    assert counts.sum() == 48
    assert counts[:, 3].sum() == 1  # the image without a row
    assert np.trace(counts) == right
    by_hand = np.mean([counts[k, k] / counts[k].sum() for k in range(3)])
    assert one(result, "uar").value == pytest.approx(by_hand)
    for e in result.estimates:
        if e.value is not None and e.ci_low is not None and e.ci_high is not None:
            assert e.ci_low <= e.value <= e.ci_high, e


def test_truth_is_no_group_and_groups_add_up(tmp_path: Path, faces: Path) -> None:
    rows = [{"image_id": f"i{i}", **probabilities(i, i % 7 == 0)} for i in range(60)]
    result = judge(tmp_path, faces, f"predictions:{write_rows(tmp_path / 'a.csv', rows)}")
    groups = {e.group for e in result.estimates}
    assert groups == {"all", "sex", "sex=f", "sex=m"}
    whole, f, m = (one(result, "top1_accuracy", g).errors for g in ("all", "sex=f", "sex=m"))
    assert whole == (f or 0) + (m or 0)
    gap = one(result, "uar_gap", "sex")
    values = [one(result, "uar", g).value or 0.0 for g in ("sex=f", "sex=m")]
    assert gap.value == pytest.approx(max(values) - min(values))
    assert gap.expected_if_fair is not None


def test_words_that_are_no_class_count_as_no_answer(tmp_path: Path, faces: Path) -> None:
    rows = [{"image_id": f"i{i}", "said": "I cannot tell." if i % 4 == 0 else truth(i).title()} for i in range(60)]
    result = judge(tmp_path, faces, f"predictions:{write_rows(tmp_path / 'a.csv', rows)}#label=said")
    assert result.task is not None
    refused = sum(i % 4 == 0 and truth(i) in CLASSES for i in range(60))
    assert result.task.n_judged - result.task.n_answered == refused
    assert one(result, "top1_accuracy").errors == refused
    assert Flag.COVERAGE_LOW in one(result, "top1_accuracy").flags
    assert not any(e.metric in ("ece", "brier", "nll") for e in result.estimates)


def test_numbers_are_joined_by_name(tmp_path: Path, faces: Path) -> None:
    folder = tmp_path / "va"
    folder.mkdir()
    rng = np.random.default_rng(5)
    true = rng.uniform(-1, 1, (40, 2)).round(3)
    true[0, 0] = -2  # not annotated
    write_rows(
        folder / "manifest.csv",
        [
            {"image_id": f"i{i}", "path": f"{i}.png", "identity": f"p{i % 8}", "valence": v, "arousal": a}
            for i, (v, a) in enumerate(true)
        ],
    )
    said = true + 0.1
    rows = [{"image_id": f"i{i}", "arousal": a, "valence": v} for i, (v, a) in enumerate(said)]
    protocol = """
name: test-affect
title: Valence and arousal
dataset: {name: faces}
task: {shape: regress, truth: [valence, arousal], range: [-1, 1], ignore_values: [-2], bins: [-1, 0, 0.5]}
groups: null
"""
    result = judge(tmp_path, folder, f"predictions:{write_rows(tmp_path / 'a.csv', rows)}", protocol)
    assert one(result, "mae", of="valence").value == pytest.approx(0.1, abs=1e-6)
    assert one(result, "bias", of="arousal").value == pytest.approx(0.1, abs=1e-6)
    assert one(result, "pcc").value == pytest.approx(1.0, abs=1e-9)
    assert result.task is not None
    assert result.task.n_judged == 39
    judged = true[1:, 1]
    for name, low, high in (("-1 to 0, arousal", -1, 0), ("0 to 0.5, arousal", 0, 0.5)):
        inside = int(((judged >= low) & (judged < high)).sum())
        assert 0 < inside == one(result, "mae_by_value", of=name).n_images
    assert one(result, "mae_balanced", of="arousal").n_images == int((judged < 0.5).sum()) < 39


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([{"image_id": "i0", "p_calm": 0.5, "p_joy": 0.5, "p_fear": 0.5}], "no probabilities"),
        ([{"image_id": "i0", "p_calm": 50, "p_joy": 25, "p_fear": 25}], "percent"),
        ([{"image_id": "i0", "p_calm": 0.5, "p_joi": 0.5, "p_fear": 0.0}], "Did you mean 'joi'"),
        ([{"image_id": "x0", "p_calm": 1, "p_joy": 0, "p_fear": 0}], "images the data does not have"),
        ([{"image_id": "i0", "p_calm": 1, "p_joy": 0, "p_fear": 0}] * 2, "answered 2 times"),
        ([{"image_id": "i0", "p_calm": "much", "p_joy": 0, "p_fear": 0}], "expected a number"),
        ([{"image": "i0", "p_calm": 1}], "lacks the column image_id"),
    ],
)
def test_bad_answers_are_named(tmp_path: Path, faces: Path, rows: list[dict[str, Any]], words: str) -> None:
    (tmp_path / "p.yaml").write_text(PROTOCOL)
    model = f"predictions:{write_rows(tmp_path / 'a.csv', rows)}"
    done = run(model, str(tmp_path / "p.yaml"), "--data", f"faces={faces}", "--out", str(tmp_path / "out"))
    assert isinstance(done.exception, InputError)
    assert words in str(done.exception)


def test_an_unknown_true_class_and_embeddings_are_refused(tmp_path: Path, faces: Path) -> None:
    (tmp_path / "p.yaml").write_text(PROTOCOL.replace("ignore: [other]", "ignore: []"))
    rows = [{"image_id": f"i{i}", **probabilities(i, False)} for i in range(60)]
    model = f"predictions:{write_rows(tmp_path / 'a.csv', rows)}"
    done = run(model, str(tmp_path / "p.yaml"), "--data", f"faces={faces}", "--out", str(tmp_path / "out"))
    assert "'other', which is no class" in str(done.exception)
    (tmp_path / "p.yaml").write_text(PROTOCOL)
    done = run("phantom-lbp", str(tmp_path / "p.yaml"), "--data", f"faces={faces}", "--out", str(tmp_path / "out"))
    assert isinstance(done.exception, InputError)
    assert "names no `outputs`" in str(done.exception)


REAL = Path(__file__).parents[2].parent / "shared" / "data" / "tasks"


@pytest.mark.skipif(not REAL.is_dir(), reason="needs the real models and faces in ../shared/data/tasks")
def test_a_real_network_of_expressions_scores_what_was_measured_elsewhere(tmp_path: Path) -> None:
    data = REAL / "expression_classification"
    (tmp_path / "m.yaml").write_text(
        json.dumps(
            {
                "name": "mini-xception", "adapter": "onnx",
                "weights": str(data / "models" / "minixception_fer2013.onnx"),
                "input": {"height": 64, "width": 64, "colour": "grey", "layout": "NHWC", "alignment": "none"},
                "outputs": [{"name": "expression", "activation": "probabilities",
                             "names": ["anger", "disgust", "fear", "happy", "sad", "surprise", "neutral"]}],
            }
        )
    )  # fmt: skip
    protocol = PROTOCOL.replace("[calm, joy, fear]", "[anger, disgust, fear, happy, sadness, surprise]")
    protocol = protocol.replace("[other]", "[contempt]").replace("{happy: joy}", "{sad: sadness}")
    protocol = protocol.replace("groups: {attributes: all}", "groups: null\nuncertainty: {unit: sequence_guess}")
    result = judge(tmp_path, data, str(tmp_path / "m.yaml"), protocol)
    assert one(result, "top1_accuracy").value == pytest.approx(316 / 456)


def test_two_models_are_compared_and_gated_on_the_same_images(tmp_path: Path, faces: Path) -> None:
    (tmp_path / "p.yaml").write_text(PROTOCOL)
    for name, every in (("good", 12), ("bad", 2)):
        rows = [{"image_id": f"i{i}", **probabilities(i, i % every == 0)} for i in range(60)]
        model = f"predictions:{write_rows(tmp_path / f'{name}.csv', rows)}"
        done = run(model, str(tmp_path / "p.yaml"), "--data", f"faces={faces}", "--out", str(tmp_path / name))
        assert done.exit_code == 0, done.output
    found = compare(tmp_path / "good", tmp_path / "bad")
    (accuracy,) = (d for d in found.differences if (d.metric, d.group) == ("top1_accuracy", "all"))
    judged = [i for i in range(60) if truth(i) in CLASSES]
    worse = sum(i % 2 == 0 and i % 12 != 0 for i in judged)
    assert (accuracy.newly_wrong, accuracy.newly_right) == (worse, 0)
    assert accuracy.difference == pytest.approx(-worse / 48)
    assert accuracy.ci_high is not None
    assert accuracy.ci_high < 0
    text = " ".join(comparison_sentences(found))
    assert "It answers worse than good, more than chance explains." in text
    assert {d.group for d in found.differences} == {"all", "sex=f", "sex=m", "sex"}
    assert [r.model for r in found.ranks] == ["good", "bad"]
    assert "Mean recall of the classes" in render_comparison(
        found, [load_result(tmp_path / n) for n in ("good", "bad")]
    )
    (tmp_path / "policy.yaml").write_text("name: t\nrules:\n  - {metric: uar, margin: 0.05}\n")
    gates = {
        names: CliRunner()
        .invoke(application(), ["gate", *(str(tmp_path / n) for n in names), "--policy", str(tmp_path / "policy.yaml")])
        .exit_code
        for names in (("good", "bad"), ("good", "good"), ("bad", "good"))
    }
    assert gates == {("good", "bad"): 1, ("good", "good"): 0, ("bad", "good"): 0}


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """A small network with two heads' worth of numbers: three logits."""
    rng = np.random.default_rng(11)
    first = rng.standard_normal((3, 3, 3, 3)).astype(np.float32)
    nodes = [
        onnx.node("Conv", ["x", "a"], ["h"], (onnx.ints("strides", [2, 2]), onnx.ints("pads", [1, 1, 1, 1]))),
        onnx.node("GlobalAveragePool", ["h"], ["j"]),
        onnx.node("Reshape", ["j", "s"], ["y"]),
    ]
    shape = np.array([1, 3], np.int64)
    content = onnx.model(
        nodes, [onnx.tensor("a", first), onnx.tensor("s", shape)], [onnx.value("x", [1, 3, 24, 24])],
        [onnx.value("y", [1, 3])],
    )  # fmt: skip
    (tmp_path / "n.onnx").write_bytes(content)
    card = {
        "name": "small", "adapter": "onnx", "weights": "n.onnx",
        "input": {"height": 24, "width": 24, "alignment": "none"},
        "outputs": [{"name": "expression", "names": ["fear", "calm", "joy"], "activation": "logits"}],
    }  # fmt: skip
    (tmp_path / "n.yaml").write_text(json.dumps(card))
    return tmp_path / "n.yaml"


def test_altered_pictures_are_judged_again_and_their_loss_is_paired(tmp_path: Path, faces: Path, network: Path) -> None:
    asked = "robustness: {conditions: ['corruption:gaussian_noise', 'corruption:jpeg'], severities: [5]}\n"
    result = judge(tmp_path, faces, str(network), PROTOCOL + asked)
    noise = "corruption:gaussian_noise:5"
    values = {e.condition: e.value for e in result.estimates if (e.metric, e.group, e.of) == ("uar", "all", None)}
    assert set(values) == {"clean", noise, "corruption:jpeg:5"}
    (loss,) = (e for e in result.estimates if (e.metric, e.condition) == ("answer_loss", noise))
    assert loss.value == pytest.approx((values["clean"] or 0) - (values[noise] or 0))
    assert loss.ci_low is not None
    assert loss.ci_low <= (loss.value or 0) <= (loss.ci_high or 0)
    assert "Altered pictures" in (tmp_path / "out" / "report.html").read_text()


def test_a_head_is_found_by_name_and_its_numbers_are_counted(tmp_path: Path, faces: Path, network: Path) -> None:
    card = json.loads(network.read_text())
    card["outputs"][0]["names"] = ["calm", "joy"]
    network.write_text(json.dumps(card))
    (tmp_path / "p.yaml").write_text(PROTOCOL)
    done = run(str(network), str(tmp_path / "p.yaml"), "--data", f"faces={faces}", "--out", str(tmp_path / "out"))
    assert "gave 3 values per face, and the model file names 2" in str(done.exception)
    card["outputs"][0] |= {"names": ["fear", "calm", "joy"], "tensor": "z"}
    network.write_text(json.dumps(card))
    done = run(str(network), str(tmp_path / "p.yaml"), "--data", f"faces={faces}", "--out", str(tmp_path / "out"))
    assert "the network has no output 'z'" in str(done.exception)


def test_shares_are_judged_against_votes(tmp_path: Path, faces: Path) -> None:
    rng = np.random.default_rng(2)
    with (faces / "manifest.csv").open() as file:
        rows = list(csv.DictReader(file))
    votes = np.stack([rng.multinomial(10, [0.6, 0.2, 0.1, 0.1]) for _ in rows])
    votes[:3] = [[5, 5, 0, 0], [1, 1, 1, 7], [0, 0, 0, 0]]  # no majority; for no class; nobody voted
    for row, cast in zip(rows, votes, strict=True):
        row |= dict(zip(("v_calm", "v_joy", "v_fear", "v_unknown"), cast, strict=True))
    write_rows(faces / "manifest.csv", rows)
    answers = [{"image_id": f"i{i}", "p_calm": 0.6, "p_joy": 0.2, "p_fear": 0.2} for i in range(60)]
    task = "{shape: distribution, truth: {calm: v_calm, joy: v_joy, fear: v_fear}, other: [v_unknown], rule: RULE}"
    protocol = f"name: votes\ntitle: Votes\ndataset: {{name: faces}}\ntask: {task}\ngroups: {{attributes: all}}\n"
    model = f"predictions:{write_rows(tmp_path / 'a.csv', answers)}"
    result = judge(tmp_path, faces, model, protocol.replace("RULE", "ferplus-majority"))
    assert result.task is not None
    assert result.task.primary == "js"
    assert result.task.left_out["most votes are for no class"] >= 1
    assert result.task.left_out["no majority"] >= 2
    accuracy, js = one(result, "top1_accuracy"), one(result, "js")
    assert accuracy.nulls is not None
    assert 0.5 < accuracy.nulls["one rater"] < 1
    assert js.nulls is not None
    assert js.ci_low is not None
    assert js.value is not None
    assert js.ci_low < js.value
    assert one(result, "js_gap", "sex").expected_if_fair is not None
    assert not any("v_" in e.group for e in result.estimates)
    loose = judge(tmp_path, faces, model, protocol.replace("RULE", "most-votes"))
    assert loose.task is not None
    assert loose.task.n_judged >= result.task.n_judged
    rows[5]["v_calm"] = 2.5
    write_rows(faces / "manifest.csv", rows)
    done = run(model, str(tmp_path / "p.yaml"), "--data", f"faces={faces}", "--out", str(tmp_path / "o"))
    assert "votes are counts of people" in str(done.exception)


def test_one_label_is_fair_by_the_measures_of_fairlearn(tmp_path: Path) -> None:
    from PIL import Image

    found = oracle("attributes_fairness")
    given, wanted = found["inputs"], found["expected"]
    folder = tmp_path / "people"
    folder.mkdir()
    Image.new("RGB", (8, 8)).save(folder / "a.png")
    rows = [
        {"image_id": f"i{i}", "path": "a.png", "identity": f"p{i}", "hired": true, "sex": sex}
        for i, (true, sex) in enumerate(zip(given["truth"], given["group"], strict=True))
    ]
    write_rows(folder / "manifest.csv", rows)
    answers = [{"image_id": f"i{i}", "hired": score} for i, score in enumerate(given["score"])]
    protocol = (
        "name: hired\ntitle: Hired\ndataset: {name: faces}\ntask: {shape: multilabel, truth: {hired: hired}}\n"
        "groups: {attributes: all}\n"
    )
    result = judge(tmp_path, folder, f"predictions:{write_rows(tmp_path / 'a.csv', answers)}", protocol)
    for metric, key in (
        ("selection_rate_gap", "demographic_parity_difference"),
        ("recall_gap", "equal_opportunity_difference"),
        ("equalised_odds_gap", "equalized_odds_difference (max of tpr and fpr gaps)"),
    ):
        gap = one(result, metric, "sex", of="hired")
        assert gap.value == pytest.approx(wanted[key])
        assert gap.ci_low is not None
        assert gap.ci_high is not None
        assert gap.ci_low <= wanted[key] <= gap.ci_high
        assert gap.expected_if_fair is not None
    parity, odds = (one(result, m, "sex", of="hired") for m in ("selection_rate_gap", "equalised_odds_gap"))
    assert (parity.p_value or 1) < 0.001
    assert (odds.p_value or 0) > 0.2
    assert (odds.excess or 1) < (parity.excess or 0)
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Demographic parity difference" in page
    assert "Equalised odds difference" in page


@pytest.mark.skipif(not REAL.is_dir(), reason="needs the real models and faces in ../shared/data/tasks")
def test_a_real_network_with_its_classes_in_another_order_is_told(tmp_path: Path) -> None:
    data = REAL / "expression_classification"
    names = ["anger", "disgust", "fear", "happy", "sadness", "surprise", "neutral"]
    for order, code in ((names, 0), ([*names[3::-1], *names[4:]], 1)):
        spec = {
            "name": "mini-xception", "adapter": "onnx", "weights": str(data / "models/minixception_fer2013.onnx"),
            "input": {"height": 64, "width": 64, "colour": "grey", "layout": "NHWC", "alignment": "none"},
            "outputs": [{"name": "expression", "activation": "probabilities", "names": order}],
        }  # fmt: skip
        (tmp_path / "m.yaml").write_text(json.dumps(spec))
        done = CliRunner().invoke(application(), ["check", str(tmp_path / "m.yaml"), "--data", str(data)])
        assert done.exit_code == code, done.output
        assert ("FAIL  expression: order of the classes" in done.output) == bool(code)


def test_the_verdict_names_the_class_and_the_groups_that_differ(tmp_path: Path, faces: Path) -> None:
    with (faces / "manifest.csv").open() as file:
        people = list(csv.DictReader(file))
    for i, row in enumerate(people):
        row["sex"] = "fm"[(i // 5) % 2]
    write_rows(faces / "manifest.csv", people)
    rows = []
    for i in range(60):
        fear_of_men = truth(i) == "fear" and people[i]["sex"] == "m"
        rows.append({"image_id": f"i{i}", **probabilities(i, fear_of_men)})
    judge(tmp_path, faces, f"predictions:{write_rows(tmp_path / 'a.csv', rows)}")
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Fear is recognised in 0 of 100 images of" in page
    assert "and 100 of 100 images of" in page
