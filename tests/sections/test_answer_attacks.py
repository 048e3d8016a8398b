"""White-box attacks on answers, from a model file through the command line: the contract of comparisons holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from facebench.cli import application
from facebench.measure.sample import Images
from facebench.measure.saved import load_result
from facebench.models import load_model
from facebench.probes.attacks import answers as rules
from facebench.probes.attacks.head import PairHead
from facebench.report import format as fmt
from facebench.report.reading import Reading
from facebench.run.evaluate import rescore
from facebench.schema import Flag, ProtocolSpec
from facebench.sections.robustness.attacks.aims import aims_of
from facebench.sections.robustness.attacks.answers_report import attack_statements
from facebench.sections.robustness.attacks.store import BatchStore
from tests.run.test_answers import run
from tests.run.test_torch_heads import CLASSIFY, REGRESS, faces, model

__all__ = ["faces", "model"]

ATTACKS = """
robustness:
  conditions: [corruption:gaussian_noise]
  attacks:
    cells:
      - {attack: pgd, goal: answer, eps: ["8/255", "64/255"], steps: 10}
      - {attack: fgsm, goal: answer, eps: ["8/255"]}
    max_pairs: 30
    check_pairs: 4
"""


def judged(tmp_path: Path, model: Path, faces: Path, protocol: str, *more: str) -> Any:
    (tmp_path / "p.yaml").write_text(protocol)
    out = tmp_path / "out"
    done = run(
        str(model), str(tmp_path / "p.yaml"), "--data", f"faces={faces}", "--out", str(out), "--trust-code", *more
    )
    assert done.exit_code == 0, done.output
    assert "Attacks" in (out / "report.html").read_text()
    assert "identical to the bytes" in CliRunner().invoke(application(), ["rescore", str(out)]).output
    return load_result(out)


def under(result: Any, metric: str, condition: str) -> Any:
    (found,) = (
        e for e in result.estimates if (e.metric, e.condition, e.group) == (metric, condition, "all")
        and (e.of is None or metric == "answer_loss")
    )  # fmt: skip
    return found


def test_classes_fall_with_the_budget_and_every_pixel_stays_within_it(model: Path, faces: Path, tmp_path: Path) -> None:
    result = judged(tmp_path, model, faces, CLASSIFY + ATTACKS)
    report = result.robustness.answer_attacks
    assert (report.n_images, report.n_clean_errors) == (30, 0)
    pgd = report.cells[0]
    small, large = (under(result, "top1_accuracy", f"attack:pgd-linf:{eps}/255:answer") for eps in (8, 64))
    # the brightest channel leads by 10 to 110 of 255: 8 flips those that lead by less than 16, 64 all below 128
    assert small.value is not None
    assert 0 < large.value <= small.value < 1 or large.value == 0
    assert [level.successes for level in pgd.levels] == [30 - round(30 * e.value) for e in (small, large)]
    assert not pgd.unreliable
    assert {check.name for check in pgd.checks if check.passed} >= {
        "finite",
        "gradients",
        "finite-differences",
        "unbounded",
    }
    loss = under(result, "answer_loss", "attack:pgd-linf:64/255:answer")
    assert loss.of == "uar"
    assert loss.value > 0.2
    # how long it took is no part of what was found
    slower = pgd.model_copy(update={"spent": pgd.spent.model_copy(update={"seconds": 999.0})})
    details = report.model_copy(update={"cells": (slower, *report.cells[1:])})
    robustness = result.robustness.model_copy(update={"answer_attacks": details})
    assert result.model_copy(update={"robustness": robustness}).compute_id() == result.result_id
    told(result)


def with_rows(result: Any, change: Any) -> str:
    """Return the verdict on attacks where `change` says what to replace of each row of losses, by its number."""
    rows, number = [], 0
    for e in result.estimates:
        if e.metric == "answer_loss" and e.condition.startswith("attack"):
            e, number = e.model_copy(update=change(number)), number + 1
        rows.append(e)
    assert number == 3
    (said,) = attack_statements(Reading(result.model_copy(update={"estimates": tuple(rows)})))
    return said.text


def told(result: Any) -> None:
    """The verdict says how many budgets it rests on, and tells doubtful ones from those without a figure."""
    hidden, empty = {"flags": (Flag.UNRELIABLE,)}, {"value": None, "ci_low": None, "ci_high": None}
    every = with_rows(result, lambda _: {})
    loss = under(result, "answer_loss", "attack:pgd-linf:64/255:answer")
    assert "the worst of 3 attack budgets that can be trusted." in every
    assert f"A loss of {fmt.number(loss.value)} ({fmt.interval(loss.ci_low, loss.ci_high, fmt.number)}) on" in every
    one = with_rows(result, lambda i: hidden if i == 0 else {})
    assert "the worst of 2 attack budgets that can be trusted (1 cannot)." in one
    assert "every attack shows signs of hidden gradients" in with_rows(result, lambda _: hidden)
    nothing = with_rows(result, lambda _: empty)
    assert "no loss can be computed" in nothing
    assert "hidden" not in nothing
    mixed = with_rows(result, lambda i: empty if i else hidden)
    assert "1 of 3 attack budgets show signs of hidden gradients. No loss can be computed for the other 2." in mixed


def test_a_cell_with_fewer_pairs_is_judged_on_those_alone(
    model: Path, faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers that were never attacked counted as survivors."""
    contents: list[Any] = []
    kept = BatchStore.get
    monkeypatch.setattr(BatchStore, "get", lambda self, content: contents.append(content) or kept(self, content))
    few = ATTACKS.replace('eps: ["8/255"]}', 'eps: ["128/255"], max_pairs: 12}')
    result = judged(tmp_path, model, faces, CLASSIFY + few)
    pgd, fgsm = result.robustness.answer_attacks.cells
    assert (pgd.n_pairs, fgsm.n_pairs) == (30, 12)
    found = under(result, "top1_accuracy", "attack:fgsm-linf:128/255:answer")
    assert found.n_images == 12
    assert found.value == pytest.approx(1 - fgsm.levels[0].successes / 12)
    assert fgsm.levels[0].successes > 0
    assert under(result, "answer_loss", "attack:fgsm-linf:128/255:answer").n_images == 12
    # what the rule takes from all the data names the batches
    assert contents
    assert all(content["aims"]["unit"] > 0 for content in contents)


def test_a_cell_whose_answers_were_all_wrong_is_told(model: Path, faces: Path, tmp_path: Path) -> None:
    """A network that calls everything fear: the one answer of the first cell is wrong."""
    code = (model.parent / "net.py").read_text()
    (model.parent / "net.py").write_text(code.replace("level / 8", "level / 8 + torch.tensor([-60.0, -60, 0])"))
    cell = "      - {attack: %s, goal: answer, eps: ['8/255'], max_pairs: %d}\n"
    cells = "".join(cell % one for one in (("fgsm", 1), ("bim", 30)))
    keys = "robustness:\n  conditions: [corruption:gaussian_noise]\n  attacks:\n    cells:\n"
    result = judged(tmp_path, model, faces, CLASSIFY + keys + cells)
    gaps = {gap.what: gap.why for gap in result.unmeasured if gap.what.startswith("attack")}
    assert gaps == {"attack:fgsm-linf:answer": "every answer drawn was wrong before the attack"}
    assert [one.cell.attack for one in result.robustness.answer_attacks.cells] == ["bim"]


def test_what_a_rule_takes_from_all_the_data_is_in_the_key(model: Path) -> None:
    """The same attacked image has another margin where the others set another threshold or unit."""
    card = load_model(str(model), trust_code=True).card
    rng = np.random.default_rng(5)
    said = rng.normal(30, 5, (20, 4)).astype(np.float32)
    images = Images(
        tuple(map(str, range(20))), None, {"expression": ["calm", "joy"] * 10, "kind": ["bona_fide", "mask"] * 10}
    )
    later = said.copy()
    later[4:] *= 2
    for task in (
        {"shape": "classify", "head": "expression", "truth": "expression", "classes": ["fear", "calm", "joy"]},
        {"shape": "score", "head": "age", "truth": "kind", "threshold": {"from": "test", "rule": "eer"}},
    ):
        words = {"name": "p", "title": "p", "dataset": {"name": "faces"}, "task": task}
        spec = ProtocolSpec.parse(words, where="test")
        first, second = (aims_of(spec, card, images, vectors).key for vectors in (said, later))
        assert first["unit"] != second["unit"]
        assert (first["threshold"] != second["threshold"]) is (task["shape"] == "score")


def test_a_value_is_driven_off_as_far_as_its_slope_allows(model: Path, faces: Path, tmp_path: Path) -> None:
    result = judged(tmp_path, model, faces, REGRESS + ATTACKS)
    found = under(result, "mae", "attack:pgd-linf:8/255:answer")
    # age is a tenth of the sum of three channels: eight grey levels in each move it by 2.4
    assert found.value == pytest.approx(2.4, abs=0.05)


def test_a_network_that_cuts_gradients_off_is_measured_under_conditions_alone(
    model: Path, faces: Path, tmp_path: Path
) -> None:
    code = (model.parent / "net.py").read_text()
    (model.parent / "net.py").write_text(
        code.replace("x.mean((2, 3))", "x.detach().mean((2, 3))").replace("self.gain *", "1 *")
    )
    (tmp_path / "p.yaml").write_text(CLASSIFY + ATTACKS)
    words = (str(model), str(tmp_path / "p.yaml"), "--data", f"faces={faces}", "--out", str(tmp_path / "out"))
    assert run(*words, "--trust-code").exit_code == 0
    result = load_result(tmp_path / "out")
    gaps = {gap.what: gap.why for gap in result.unmeasured if gap.what.startswith("attack")}
    assert set(gaps) == {"attack:pgd-linf:answer", "attack:fgsm-linf:answer"}
    assert all("gradients" in why for why in gaps.values())
    assert not any(e.condition.startswith("attack") for e in result.estimates)
    stored, fresh = rescore(tmp_path / "out")
    assert fresh.unmeasured == stored.unmeasured


@pytest.mark.parametrize(
    ("cell", "says"),
    [
        ("{attack: pgd, goal: dodging, eps: ['8/255']}", "goal `answer`"),
        ("{attack: square, goal: answer, eps: ['8/255']}", "white-box"),
    ],
)
def test_attacks_that_answers_do_not_know_are_refused(
    cell: str, says: str, model: Path, faces: Path, tmp_path: Path
) -> None:
    (tmp_path / "p.yaml").write_text(CLASSIFY + f"robustness: {{attacks: {{cells: [{cell}]}}}}\n")
    words = (str(model), str(tmp_path / "p.yaml"), "--data", f"faces={faces}", "--out", str(tmp_path / "o"))
    done = run(*words, "--trust-code")
    assert says in str(done.exception)


def test_margins_are_above_zero_exactly_where_the_answer_is_right() -> None:
    rng = np.random.default_rng(0)
    said = torch.from_numpy(rng.normal(size=(200, 5)))
    order = [1, 0, None, 1, 2]
    best = said[:, 1:].argmax(1) + 1  # the fifth number is the first of the row and no part of the head
    truth = torch.from_numpy(rng.integers(0, 3, (200, 1))).float()
    rule = rules.class_rule(slice(1, 5), [1, 0, None, 2], 3, logits=True, unit=2.0)
    stands = [None, 1, 0, None, 2]
    right = torch.tensor([stands[int(b)] == int(t) for b, t in zip(best, truth[:, 0], strict=True)])
    assert bool(((rule(said, truth) > 0) == right).all())
    assert order
    shares = torch.softmax(said, 1)
    score = rules.score_rule(slice(0, 5), 2, activation="logits", scale=1, threshold=0.3)
    sign = torch.where(torch.from_numpy(rng.random((200, 1))) < 0.5, -1.0, 1.0)
    assert bool(((score(said, sign) > 0) == ((shares[:, 2] > 0.3) == (sign[:, 0] > 0))).all())
    angle = rules.value_rule([0], scale=1.0, wrap=True)
    assert angle(torch.tensor([[359.0]]), torch.tensor([[1.0, 5.0]])).item() == pytest.approx(3)
    head = PairHead(torch.nn.Identity(), truth, 0.0, rule=rule)
    assert head.margin(said).shape == (200,)
