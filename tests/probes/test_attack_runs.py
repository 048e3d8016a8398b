"""Whole runs of attacks on models with known robustness: the instrument checks itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facebench.data import decode_batches, load_dataset
from facebench.models.zoo.closed_form import ClosedFormModel, Fault
from facebench.runner import RunOptions, evaluate
from facebench.runner.evaluate import rescore
from facebench.runner.protocols import Protocol
from facebench.schema import ProtocolSpec, Result
from tests.probes.planted import make_faces, model

EPS = ["1/255", "2/255", "4/255", "8/255", "16/255"]


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_faces(tmp_path_factory.mktemp("faces"))


def attack(
    victim: object, faces: Path, out: Path, *cells: dict[str, object], batch_size: int = 32, **section: object
) -> Result:
    spec = ProtocolSpec.parse(
        {
            "name": "t", "title": "t", "fmr_targets": [0.05], "primary_fmr_target": 0.05,
            "groups": {"attributes": ["group"], "min_identities": 2},
            "robustness": {"attacks": {"cells": list(cells), "max_pairs": 40, **section}},
        },
        where="test",
    )  # fmt: skip
    options = RunOptions(out=out, batch_size=batch_size)
    return evaluate(victim, Protocol(spec, out), {"faces": faces}, options)


def truth(
    victim: ClosedFormModel, faces: Path, result: Result, tensors: dict[str, np.ndarray], goal: str
) -> np.ndarray:
    """Return the exact distance of each attacked pair of the first cell, in grey levels."""
    dataset = load_dataset(faces)
    images = np.stack(next(decode_batches(dataset, [list(range(len(dataset)))], workers=2)))
    rows = tensors["attacks.0.rows"]
    probe, enrolled = (images[tensors[f"attacks.{goal}.{end}"][rows]] for end in ("probe", "enrolled"))
    return victim.distance(probe, enrolled, result.robustness.attacks.threshold) * 255


def saved(out: Path) -> dict[str, np.ndarray]:
    from safetensors.numpy import load_file

    return load_file(out / "robustness.safetensors")


def value(result: Result, metric: str, condition: str, group: str = "all") -> float:
    (found,) = [
        e for e in result.estimates
        if e.metric == metric and e.condition == condition and e.group == group and e.group_b is None
    ]  # fmt: skip
    return found.value


# one full step of FGSM carries an impostor through the accepted range and out of it again, so it is exact for dodging
@pytest.mark.parametrize(
    ("name", "goal"),
    [("fgsm", "dodging")]
    + [(name, goal) for name in ("bim", "pgd", "mim", "apgd") for goal in ("dodging", "impersonation")],
)
def test_success_against_budget_is_the_closed_form(name: str, goal: str, faces: Path, tmp_path: Path) -> None:
    victim = model()
    result = attack(victim, faces, tmp_path, {"attack": name, "goal": goal, "eps": EPS})
    report = result.robustness.attacks
    distance = truth(victim, faces, result, saved(tmp_path), goal)
    assert (np.abs(distance[:, None] - [1, 2, 4, 8, 16]) > 1e-3).all()  # no ties: the answer is exact
    for level, eps in zip(report.cells[0].levels, (1, 2, 4, 8, 16), strict=True):
        assert level.successes == level.successes_float == int((distance < eps).sum())
    assert 0 < report.cells[0].levels[2].successes < level.n
    assert not report.cells[0].unreliable, report.cells[0].checks
    stored, fresh = rescore(tmp_path)
    assert stored.estimates == fresh.estimates
    assert stored.result_id == fresh.result_id


def test_planted_robustness_is_recovered_in_its_order(faces: Path, tmp_path: Path) -> None:
    cell = {"attack": "pgd", "goal": "dodging", "eps": EPS}
    medians, tars = [], []
    for weakness in (1.0, 2.0, 3.0):
        victim = model(weakness)
        result = attack(victim, faces, tmp_path / f"{weakness:g}", cell)
        tars.append([value(result, "robust_tar", f"attack:pgd-linf:{eps}:dodging") for eps in EPS])
        report = result.robustness.attacks
        distance = truth(victim, faces, result, saved(tmp_path / f"{weakness:g}"), "dodging")
        medians.append(float(np.median(distance)))
        n = report.goals[0].n_pairs
        for tar, eps in zip(tars[-1], (1, 2, 4, 8, 16), strict=True):
            assert tar == (n - report.goals[0].n_clean_errors - int((distance < eps).sum())) / n
    np.testing.assert_allclose(medians, np.array(medians[0]) / [1, 2, 3], rtol=1e-6)
    assert all(a >= b for strong, weak in zip(tars, tars[1:], strict=False) for a, b in zip(strong, weak, strict=True))
    assert tars[0] != tars[1] != tars[2]


@pytest.mark.parametrize(
    ("fault", "check"), [(Fault.MASKED, "gradients"), (Fault.RANDOM, "repeatable"), (Fault.NAN, "finite")]
)
def test_a_model_that_hides_its_gradients_is_unreliable(fault: Fault, check: str, faces: Path, tmp_path: Path) -> None:
    result = attack(model(fault=fault), faces, tmp_path, {"attack": "pgd", "goal": "dodging", "eps": EPS[:3]})
    cell = result.robustness.attacks.cells[0]
    assert cell.unreliable
    assert check in [c.name for c in cell.checks if c.passed is False]
    attacked = [e for e in result.estimates if e.condition != "clean"]
    assert attacked
    assert all("unreliable" in e.flags for e in attacked)
