"""`facebench check` on models that answer: every planted fault is found, and a sound model passes."""

from __future__ import annotations

import numpy as np
import pytest

from facebench.models.preflight_heads import check_heads
from facebench.schema import ModelCard
from facebench.schema.model import Activation, OutputSpec

CLASSES = ("calm", "joy", "fear")


class Head:
    """Three classes by the brightest channel of a face, with a fault of one's choice."""

    def __init__(
        self, fault: str = "", names: tuple[str, ...] = CLASSES, activation: str = Activation.PROBABILITIES
    ) -> None:
        self.fault, self.calls = fault, 0
        output = OutputSpec(name="expression", names=names, activation=Activation(activation))
        self.card = ModelCard(
            name="head", adapter="test", weights_sha256="0" * 64, embedding_dim=len(names), outputs=(output,)
        )

    def embed(self, faces: np.ndarray) -> np.ndarray:
        self.calls += 1
        weight = np.exp(faces.astype(float).mean(axis=(1, 2)) / 20)
        found = weight / weight.sum(axis=1, keepdims=True)
        if self.fault == "nan":
            found[0] = np.nan
        elif self.fault == "constant":
            found[:] = 1 / 3
        elif self.fault == "random":
            found = found + 1e-4 * self.calls
        elif self.fault == "batch":
            found = found - found.mean(axis=0) + 1 / 3
        elif self.fault == "order":
            found = np.sort(found, axis=0)
        elif self.fault == "percent":
            found = found * 100
        return found.astype(np.float32)


@pytest.fixture
def faces() -> tuple[np.ndarray, list[str]]:
    rng = np.random.default_rng(4)
    found, words = rng.integers(0, 120, (48, 16, 16, 3)), []
    for i in range(48):
        found[i, ..., i % 3] += 60
        words.append(CLASSES[i % 3])
    return found.astype(np.uint8), words


def failed(model: Head, faces: tuple[np.ndarray, list[str]]) -> set[str]:
    return {f.name for f in check_heads(model, faces[0], {"expression": faces[1]}) if not f.passed}


def test_a_sound_head_passes(faces: tuple[np.ndarray, list[str]]) -> None:
    findings = check_heads(Head(), faces[0], {"expression": faces[1], "sex": ["f", "m"] * 24})
    assert all(finding.passed for finding in findings)
    assert [f.detail for f in findings if f.name == "expression: mirrored faces"] == ["the same class for 48 of 48"]
    assert any(f.name == "expression: order of the classes" for f in findings)


@pytest.mark.parametrize(
    ("fault", "check"),
    [
        ("nan", "answers are numbers"),
        ("constant", "expression: different faces differ"),
        ("random", "same faces, same answers"),
        ("batch", "batch size does not matter"),
        ("order", "order of the faces does not matter"),
        ("percent", "expression: probabilities sum to 1"),
    ],
)
def test_planted_faults_of_heads_are_found(fault: str, check: str, faces: tuple[np.ndarray, list[str]]) -> None:
    assert check in failed(Head(fault), faces)


def test_classes_in_another_order_are_told_and_the_right_one_named(faces: tuple[np.ndarray, list[str]]) -> None:
    findings = check_heads(Head(names=("joy", "calm", "fear")), faces[0], {"expression": faces[1]})
    (wrong,) = (f for f in findings if not f.passed)
    assert wrong.name == "expression: order of the classes"
    assert "as calm, joy, fear there would be 48" in wrong.likely_cause


def test_probabilities_called_values_ask_for_a_look(faces: tuple[np.ndarray, list[str]]) -> None:
    findings = check_heads(Head(activation=Activation.VALUES), faces[0], {})
    (wrong,) = (f for f in findings if not f.passed)
    assert wrong.warning
    assert "activation: probabilities" in wrong.likely_cause
