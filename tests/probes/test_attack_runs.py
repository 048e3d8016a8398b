"""Whole runs of attacks on models with known robustness: the instrument checks itself."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facebench.data import decode_batches, load_dataset
from facebench.errors import InputError
from facebench.execution.options import RunOptions
from facebench.models.zoo.closed_form import ClosedFormModel, Fault
from facebench.probes.attacks.batch import radius
from facebench.run.evaluate import evaluate, rescore
from facebench.run.protocols import Protocol, load_protocol
from facebench.schema import ProtocolSpec, Result
from facebench.schema.attacks import Norm
from tests.probes.planted import attack, make_faces, model

EPS = ["1/255", "2/255", "4/255", "8/255", "16/255"]


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_faces(tmp_path_factory.mktemp("faces"))


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


def test_a_threshold_from_a_development_set_is_named_in_every_row(faces: Path, tmp_path: Path) -> None:
    """Attacks said ``fixed`` where clean rates named the development set."""
    attack(model(), faces, tmp_path / "dev", {"attack": "fgsm", "goal": "dodging", "eps": ["1/255"]})
    (tmp_path / "p.yaml").write_text(
        "{name: t, title: t, uncertainty: {replicates: 100}, groups: {attributes: [group], min_identities: 2},\n"
        "operating_points: [{name: dev, threshold: {from: dev/result.json, fmr_target: 0.05}},\n"
        "  {name: own, threshold: 0.5}], primary_operating_point: dev,\n"
        "robustness: {attacks: {max_pairs: 40, operating_point: dev,\n"
        "  cells: [{attack: fgsm, goal: dodging, eps: [4/255]}]}}}\n",
        encoding="utf-8",
    )
    options = RunOptions(out=tmp_path / "out", batch_size=32)
    result = evaluate(model(), load_protocol(tmp_path / "p.yaml"), {"faces": faces}, options)
    rows = [row for row in result.estimates if row.operating_point == "dev" and row.threshold_source]
    assert {row.condition.split("-")[0] for row in rows} >= {"clean", "attack:fgsm", "attack:ensemble"}
    assert {row.threshold_source.split(":")[0] for row in rows} == {"development"}
    assert {row.threshold_source for row in result.estimates if row.operating_point == "own"} <= {"fixed"}
    stored, fresh = rescore(tmp_path / "out")
    assert stored.estimates == fresh.estimates


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
    assert all(a >= b for strong, weak in pairwise(tars) for a, b in zip(strong, weak, strict=True))
    assert tars[0] != tars[1] != tars[2]


@pytest.mark.parametrize(
    ("fault", "check"), [(Fault.MASKED, "gradients"), (Fault.RANDOM, "repeatable"), (Fault.NAN, "finite")]
)
def test_a_model_that_hides_its_gradients_is_unreliable(fault: Fault, check: str, faces: Path, tmp_path: Path) -> None:
    result = attack(model(fault=fault), faces, tmp_path, {"attack": "pgd", "goal": "dodging", "eps": EPS[:3]})
    cell = result.robustness.attacks.cells[0]
    assert cell.unreliable
    assert check in [c.name for c in cell.checks if c.passed is False]
    attacked = [e for e in result.estimates if e.condition.startswith("attack:")]
    assert attacked
    assert all("unreliable" in e.flags for e in attacked)


def test_saved_images_rescore_to_the_reported_success(faces: Path, tmp_path: Path) -> None:
    victim = model()
    cells = [
        {"attack": "pgd", "goal": "dodging", "eps": ["4/255", "8/255"]},
        {"attack": "pgd", "goal": "impersonation", "eps": ["4/255", "8/255"]},
        {"attack": "square", "goal": "dodging", "eps": ["8/255"], "queries": 50},
        {"attack": "hopskipjump", "goal": "dodging", "eps": ["4/255", "16/255"], "queries": 150, "max_pairs": 10},
        {"attack": "fmn", "goal": "impersonation", "eps": ["4/255", "8/255"]},
    ]
    result = attack(victim, faces, tmp_path / "a", *cells, save_examples=1000)
    report = result.robustness.attacks
    spec = ProtocolSpec.parse(
        {"name": "again", "title": "again", "fmr_targets": [0.5], "primary_fmr_target": 0.5, "groups": None,
         "comparisons": {"kind": "pair-list"}},
        where="test",
    )  # fmt: skip
    again = evaluate(
        victim, Protocol(spec, tmp_path), {"faces": tmp_path / "a" / "attacked"}, RunOptions(tmp_path / "b")
    )
    assert not again.failures
    from facebench.measure.saved import load_inputs
    from facebench.scoring import compare_pairs

    vectors, images, pairs, _ = load_inputs(again, tmp_path / "b")
    accepted = compare_pairs(vectors, pairs.a, pairs.b) >= np.float32(report.threshold)
    second = np.array([images.image_ids[i].rpartition("/")[0] for i in pairs.b])
    counted = 0
    for cell in report.cells:
        for level in cell.levels:
            mine = accepted[second == level.condition]
            assert mine.size == level.n
            assert int((~mine if cell.cell.goal == "dodging" else mine).sum()) == level.successes
            counted += level.successes
    assert counted > 20


def test_verdicts_do_not_depend_on_batches_order_or_threads(faces: Path, tmp_path: Path) -> None:
    import torch

    cells = [
        {"attack": "pgd", "goal": "dodging", "eps": EPS[1:4], "steps": 10},
        {"attack": "dim", "goal": "impersonation", "eps": EPS[1:4], "steps": 10},
        {"attack": "apgd", "goal": "dodging", "norm": "l2", "eps": EPS[:3], "steps": 10},
        {"attack": "square", "goal": "dodging", "eps": EPS[3:4], "queries": 60},
        {"attack": "hopskipjump", "goal": "impersonation", "eps": EPS[3:], "queries": 60},
        {"attack": "ddn", "goal": "dodging", "eps": EPS[2:4], "steps": 30},
    ]
    found = []
    threads = torch.get_num_threads()
    for name, batch, n_threads in (("a", 32, 1), ("b", 1, 1), ("c", 7, 2)):
        torch.set_num_threads(n_threads)
        try:
            result = attack(model(), faces, tmp_path / name, *cells, batch=batch, batch_size=batch)
        finally:
            torch.set_num_threads(threads)
        found.append([cell.levels for cell in result.robustness.attacks.cells])
    for other in found[1:]:
        for mine, theirs in zip(found[0], other, strict=True):
            assert [(a.n, a.successes, a.successes_float) for a in mine] == [
                (a.n, a.successes, a.successes_float) for a in theirs
            ]


def test_a_row_is_attacked_the_same_way_wherever_it_stands(faces: Path) -> None:
    from facebench.probes.attacks.batch import Rows, Target, run_gradient
    from facebench.schema import Comparator
    from facebench.schema.attacks import AttackCell

    victim = model()
    dataset = load_dataset(faces)
    images = np.stack(next(decode_batches(dataset, [list(range(24))], workers=2)))
    probes, enrolled = images[1::2], images[::2]
    cell = AttackCell.parse({"attack": "pgd", "goal": "dodging", "eps": ["6/255"], "steps": 10}, where="test")
    order = np.random.default_rng(0).permutation(len(probes))
    found = []
    for rows in (np.arange(len(probes)), order):
        batch = Rows(probes, enrolled, enrolled, True, tuple(range(len(probes))), np.zeros((len(probes), 5, 2)))
        target = Target(victim.module(), victim.embed(enrolled[rows]), 0.99, Comparator.COSINE)
        found.append(run_gradient(cell, batch.some(rows), target).pixels[0])
    assert (found[0][order] == found[1]).all()


def test_a_killed_run_takes_its_finished_batches_from_the_store(faces: Path, tmp_path: Path) -> None:
    class Counted(ClosedFormModel):
        networks = 0

        def module(self) -> object:
            Counted.networks += 1
            return super().module()

    base = model()
    victim = Counted(base.slope, shape=(16, 16), weights=base.weights)
    cell = {"attack": "pgd", "goal": "dodging", "eps": EPS[:2], "steps": 5}
    first = attack(victim, faces, tmp_path, cell, batch=8)
    batches = sorted((tmp_path / ".work" / "attacks").rglob("*.safetensors"))
    assert len(batches) == 5
    batches[2].unlink()
    stamps = [path.stat().st_mtime_ns for path in batches if path.exists()]
    second = attack(victim, faces, tmp_path, cell, batch=8)
    assert second.estimates == first.estimates
    assert second.result_id == first.result_id
    assert [path.stat().st_mtime_ns for path in batches if path != batches[2]] == stamps
    assert batches[2].exists()


def test_what_cannot_be_attacked_is_an_error_or_is_told(faces: Path, tmp_path: Path) -> None:
    class Closed:
        """The same model without gradients."""

        def __init__(self) -> None:
            self._model = model()
            self.card = self._model.card
            self.embed = self._model.embed

    white = {"attack": "pgd", "goal": "dodging", "eps": ["4/255"]}
    black = {"attack": "square", "goal": "dodging", "eps": ["4/255"], "queries": 20}
    with pytest.raises(InputError, match="needs gradients"):
        attack(Closed(), faces, tmp_path / "a", white)
    both = attack(Closed(), faces, tmp_path / "b", white, black)
    assert len(both.robustness.attacks.cells) == 1
    assert any("needs gradients" in gap.why for gap in both.unmeasured)
    # a protocol that asks for more than attacks is run without them
    marked = make_faces(tmp_path / "marked")
    head, *rows = (marked / "manifest.csv").read_text().splitlines()
    landmarks = "5 6 10 6 8 9 6 12 10 12"
    (marked / "manifest.csv").write_text("\n".join([head + ",landmarks", *(f"{row},{landmarks}" for row in rows)]))
    rest = attack(Closed(), marked, tmp_path / "f", white, conditions=("corruption:jpeg:1",))
    assert any("needs gradients" in gap.why for gap in rest.unmeasured)
    assert any(estimate.condition == "corruption:jpeg:1" for estimate in rest.estimates)
    assert rescore(tmp_path / "f")[1].estimates == rest.estimates
    assert rescore(tmp_path / "f")[1].unmeasured == rest.unmeasured
    with pytest.raises(InputError, match=r"300/255 lies outside \(0, 1\]"):
        attack(model(), faces, tmp_path / "c", {**white, "eps": ["300/255"]})
    worn = {"attack": "occluder", "goal": "dodging", "pattern": "glasses"}
    missing = attack(model(), faces, tmp_path / "d", white, worn)
    assert any("no landmarks" in gap.why for gap in missing.unmeasured)
    with pytest.raises(InputError, match="works in linf"):
        attack(model(), faces, tmp_path / "e", {**white, "attack": "square", "norm": "l2"})
    with pytest.raises(InputError, match="Did you mean 'deepfool'"):
        attack(model(), faces, tmp_path / "f", {**white, "attack": "depfool"})


def test_a_surrogate_must_be_another_model(faces: Path, tmp_path: Path) -> None:
    from facebench.models import register_model

    register_model("closed-form-twin", model)
    base = model(2.0)
    register_model("closed-form-other", lambda: ClosedFormModel(4.0, shape=(16, 16), weights=base.weights))
    cell = {"attack": "mim", "goal": "dodging", "eps": ["8/255"], "knowledge": "transfer"}
    with pytest.raises(InputError, match="is the victim itself"):
        attack(model(), faces, tmp_path / "a", {**cell, "surrogate": "closed-form-twin"})
    result = attack(model(3.0), faces, tmp_path / "b", {**cell, "surrogate": "closed-form-other"})
    (found,) = result.robustness.attacks.cells
    assert found.levels[0].condition == "attack:mim-linf@closed-form-other:8/255:dodging"
    assert found.levels[0].successes > 0


def test_the_same_weights_read_another_way_are_no_other_model(faces: Path, tmp_path: Path) -> None:
    """Two model files may hold one network with other preprocessing: the embeddings differ, the weights do not."""
    from facebench.models import register_model

    def with_weights(made: ClosedFormModel, sha256: str) -> Any:
        made.card = made.card.model_copy(update={"weights_sha256": sha256})
        return made

    other = {"slope": 4.0, "shape": (16, 16), "weights": model(2.0).weights}
    register_model("closed-form-recut", lambda: with_weights(ClosedFormModel(**other), "a" * 64))
    register_model("closed-form-stranger", lambda: with_weights(ClosedFormModel(**other), "b" * 64))
    victim = with_weights(model(3.0), "a" * 64)
    cell = {"attack": "mim", "goal": "dodging", "eps": ["8/255"], "knowledge": "transfer"}
    with pytest.raises(InputError, match="closed-form-recut is the victim itself"):
        attack(victim, faces, tmp_path / "a", {**cell, "surrogate": "closed-form-recut"})
    result = attack(victim, faces, tmp_path / "b", {**cell, "surrogate": "closed-form-stranger"})
    assert result.robustness.attacks.cells


def test_a_larger_budget_holds_what_a_smaller_one_reached(faces: Path, tmp_path: Path) -> None:
    """The worst case per comparison is over budgets too: another attack at a larger one cannot lower it."""
    strong = {"attack": "pgd", "goal": "dodging", "eps": ["4/255"], "steps": 10}
    weak = {"attack": "fgsm", "goal": "dodging", "eps": ["1/255", "8/255"]}
    result = attack(model(), faces, tmp_path, strong, weak)
    rows = {cell.cell.attack: {level.eps: level.successes for level in cell.levels}
            for cell in result.robustness.attacks.cells}  # fmt: skip
    found = {e.condition: e.errors for e in result.estimates if e.metric == "attack_success" and e.group == "all"}
    at = [found[f"attack:ensemble-white-box-linf:{eps}:dodging"] for eps in ("1/255", "4/255", "8/255")]
    assert at[0] == rows["fgsm"]["1/255"]
    assert at[1] >= max(rows["pgd"]["4/255"], at[0])
    assert at[2] >= max(rows["fgsm"]["8/255"], at[1])


def test_budgets_of_l2_and_l1_are_per_value_so_that_norms_compare(faces: Path, tmp_path: Path) -> None:
    """An L2 budget eps allows a change of eps in every one of the d values: a length of eps times the root of d."""
    size = 3 * 112 * 112
    assert radius(0.01, Norm.L2, size) == pytest.approx(0.01 * 194, rel=1e-4)  # 37,632 values; root 193.99
    assert radius(0.01, Norm.L1, size) == pytest.approx(0.01 * size)
    assert radius(0.01, Norm.LINF, size) == 0.01
    victim = model()
    result = attack(victim, faces, tmp_path, {"attack": "pgd", "goal": "dodging", "norm": "l2", "eps": EPS})
    dataset, tensors = load_dataset(faces), saved(tmp_path)
    images = np.stack(next(decode_batches(dataset, [list(range(len(dataset)))], workers=2)))
    rows = tensors["attacks.0.rows"]
    probe, enrolled = (images[tensors[f"attacks.dodging.{end}"][rows]] for end in ("probe", "enrolled"))
    length = victim.distance(probe, enrolled, result.robustness.attacks.threshold, norm="l2")
    distance = length / np.sqrt(images[0].size) * 255
    found = [level.successes_float for level in result.robustness.attacks.cells[0].levels]
    for eps, successes in zip((1, 2, 4, 8, 16), found, strict=True):
        # steps of gradient come within a hundredth of the shortest way
        assert int((distance * 1.02 < eps).sum()) <= successes <= int((distance < eps).sum())
    assert 0 < found[2] < result.robustness.attacks.cells[0].levels[2].n
