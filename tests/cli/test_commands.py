"""`facebench plan` and `facebench calibrate` as people and machines call them."""

import json

import pytest
from typer.testing import CliRunner

from facebench.cli import fairness_commands  # noqa: F401 - adds its commands to the app
from facebench.cli.apps import app
from tests.run.test_plan import write_faces


def call(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def faces(tmp_path, monkeypatch):
    monkeypatch.setenv("FACEBENCH_CACHE", str(tmp_path / "cache"))
    return write_faces(tmp_path / "faces", {"a": 12, "b": 12})


def test_plan_prints_costs_and_limits(faces):
    done = call("plan", "phantom-eigenfaces", "verification", "--data", f"faces={faces}")
    assert done.exit_code == 0, done.output
    for said in ("48 images of 24 identities", "By team", "Smallest FMR ratio", "What this data cannot show"):
        assert said in done.output
    found = json.loads(call("plan", "phantom-eigenfaces", "verification", "--data", f"faces={faces}", "--json").stdout)
    assert found["n_images"] == 48
    assert found["groupings"][0]["groups"][0]["name"] == "team=a"
    assert found["seconds"] > 0


def test_calibrate_prints_coverage(faces):
    words = ["calibrate", faces, "--by", "team", "--fmr", "0.1", "--ratio", "1", "--seeds", "20"]
    done = call(*words)
    assert done.exit_code == 0, done.output
    assert "False alarms" in done.output
    found = json.loads(call(*words, "--json").stdout)
    assert found["design"]["groups"]["team=a"] == [2] * 12
    assert 0 <= found["outcomes"][0]["fmr"]["coverage"] <= 1
    assert call(*words, "--json").stdout == call(*words, "--json").stdout


def test_wrong_words_are_refused():
    for words in (["--identities", "7"], ["--identities", "a,b"], ["--identity-share", "0.9", "--pair-share", "0.5"]):
        assert call("calibrate", *words).exit_code != 0
