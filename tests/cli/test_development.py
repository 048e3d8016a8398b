"""Thresholds of a development set, through the command line: whose they are, what they are called, what compares."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from facebench.cli import application
from tests.cli.small_data import write_data

pytest.importorskip("torch")  # attacks need gradients

ONE, OTHER = "phantom-eigenfaces", "phantom-lbp"
FEW: dict[str, Any] = {"uncertainty": {"replicates": 100}, "groups": None}
ATTACK = {"attack": "square", "goal": "impersonation", "eps": ["8/255"], "queries": 10}
CONDITION = "corruption:gaussian_blur:2"


def call(*words: str) -> Any:
    return CliRunner().invoke(application(), list(words))


def write_protocol(model: str, **more: Any) -> str:
    folder = Path(model)
    folder.mkdir(exist_ok=True)
    threshold = {"from": "dev/result.json", "fmr_target": 0.1}
    keys = {"name": "two-sets", "title": "T", "operating_points": [{"name": "deployed", "threshold": threshold}]}
    path = folder / f"{'-'.join(['p', *more])}.yaml"
    path.write_text(json.dumps({**keys, **FEW, **more}), encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A development result and a result at its threshold, for each of two models."""
    root = tmp_path_factory.mktemp("development")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("FACEBENCH_CACHE", str(root / "cache"))
        patched.chdir(root)
        write_data(root)
        development = {"name": "development", "title": "D", "fmr_targets": [0.1], "primary_fmr_target": 0.1, **FEW}
        Path("development.yaml").write_text(json.dumps(development), encoding="utf-8")
        for model in (ONE, OTHER):
            for protocol, out in (("development.yaml", "dev"), (write_protocol(model), "out")):
                done = call("run", model, protocol, "--data", "faces=faces", "--out", f"{model}/{out}")
                assert done.exit_code == 0, f"{done.output} {done.exception!r}"
        yield


@pytest.mark.usefixtures("ground")
def test_the_threshold_of_another_model_is_refused() -> None:
    done = call("run", OTHER, f"{ONE}/p.yaml", "--data", "faces=faces", "--out", "refused")
    assert done.exit_code != 0
    said = f"{done.output} {done.exception}"
    assert f"dev/result.json is a result of another model than {OTHER}" in said
    assert not Path("refused/result.json").exists()


@pytest.mark.usefixtures("ground")
def test_attacks_and_conditions_name_the_development_set() -> None:
    robustness = {"conditions": [CONDITION], "attacks": {"cells": [ATTACK], "operating_point": "deployed",
                                                         "max_pairs": 4, "check_pairs": 2}}  # fmt: skip
    path = write_protocol(ONE, robustness=robustness)
    done = call("run", ONE, path, "--data", "faces=faces", "--out", "robust")
    assert done.exit_code == 0, f"{done.output} {done.exception!r}"
    found = json.loads(Path("robust/result.json").read_text(encoding="utf-8"))
    development = json.loads(Path(f"{ONE}/dev/result.json").read_text(encoding="utf-8"))
    origin = f"development:{development['result_id'][:12]}"
    at = [each for each in found["estimates"] if each.get("operating_point") == "deployed"]
    conditions = {each["condition"].partition(":")[0] for each in at if each.get("condition")}
    assert {"attack", "corruption"} <= conditions, found["unmeasured"]
    assert {each["threshold_source"] for each in at if each.get("threshold_source")} == {origin}
    rescored = call("rescore", "robust")
    assert rescored.exit_code == 0, rescored.output


@pytest.mark.usefixtures("ground")
def test_two_models_each_at_its_own_threshold_are_compared_and_gated() -> None:
    done = call("compare", f"{ONE}/out", f"{OTHER}/out", "--out", "compared")
    assert done.exit_code == 0, f"{done.output} {done.exception!r}"
    compared = next(Path("compared").glob("*.json")).read_text(encoding="utf-8")
    assert '"operating_point":"deployed"' in compared.replace(": ", ":")
    policy = "rules: [{metric: fnmr, operating_point: deployed, max: 1.0}]\n"
    Path("policy.yaml").write_text(policy, encoding="utf-8")
    gated = call("gate", f"{ONE}/out", f"{OTHER}/out", "--policy", "policy.yaml")
    assert gated.exit_code == 0, f"{gated.output} {gated.exception!r}"
