"""Positive controls among the reference models: what training planted in them must come out of a run of attacks."""

from __future__ import annotations

from pathlib import Path

import pytest

from facebench.execution.options import RunOptions
from facebench.models import load_model
from facebench.run.evaluate import evaluate
from facebench.run.protocols import Protocol
from facebench.schema import ProtocolSpec, Result

EPS = ["2/255", "4/255"]
PGD = {"attack": "pgd", "goal": "dodging", "eps": EPS, "steps": 10, "restarts": 1}
TRANSFER = {**PGD, "attack": "mim", "knowledge": "transfer", "surrogate": "phantom-cosface"}
del TRANSFER["restarts"]


def attacked(model: str, out: Path, *cells: dict[str, object], pairs: int = 32) -> Result:
    """Attack some of the phantom faces."""
    asked = {
        "name": "t", "title": "t", "fmr_targets": [0.01], "primary_fmr_target": 0.01, "groups": None,
        "dataset": {"path": "builtin:phantom-smoke-v1"}, "uncertainty": {"replicates": 100},
        "robustness": {"attacks": {"cells": list(cells), "max_pairs": pairs, "check_pairs": 4}},
    }  # fmt: skip
    return evaluate(load_model(model), Protocol(ProtocolSpec.parse(asked, where="test"), out), {}, RunOptions(out))


def success(result: Result, condition: str) -> tuple[float, float, float]:
    """Return the success of a condition with its interval."""
    (found,) = [e for e in result.estimates if e.metric == "attack_success" and e.condition == condition]
    assert found.value is not None
    assert found.ci_low is not None
    assert found.ci_high is not None
    return found.value, found.ci_low, found.ci_high


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FACEBENCH_CACHE", str(tmp_path / "cache"))


@pytest.mark.slow
def test_adversarial_training_is_told_from_plain_training(tmp_path: Path) -> None:
    plain = attacked("phantom-arcface", tmp_path / "a", PGD, pairs=100)
    hard = attacked("phantom-adversarially-trained", tmp_path / "b", PGD, pairs=100)
    for eps in EPS:
        condition = f"attack:pgd-linf:{eps}:dodging"
        assert success(hard, condition)[2] < success(plain, condition)[1]  # the intervals lie apart
    for result in (plain, hard):
        (cell,) = result.robustness.attacks.cells
        assert not cell.unreliable, cell.checks
        median = cell.smallest.median
        assert median is not None or result is hard
    assert (hard.robustness.attacks.cells[0].smallest.median or 255) > plain.robustness.attacks.cells[0].smallest.median


@pytest.mark.slow
def test_a_masked_gradient_is_called_masked(tmp_path: Path) -> None:
    result = attacked("phantom-masked-gradient", tmp_path, PGD, TRANSFER)
    white, transfer = result.robustness.attacks.cells
    assert white.unreliable
    failed = {check.name for check in white.checks if check.passed is False}
    assert {"gradients", "unbounded", "weaker-attackers"} <= failed
    assert transfer.levels[-1].successes > white.levels[-1].successes
    flagged = {e.condition for e in result.estimates if "unreliable" in e.flags}
    assert f"attack:ensemble-white-box-linf:{EPS[-1]}:dodging" in flagged
