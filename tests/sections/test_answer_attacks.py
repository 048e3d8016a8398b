"""White-box attacks on answers, from a model file through the command line: the contract of comparisons holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from facebench.cli import application
from facebench.measure.saved import load_result
from facebench.probes.attacks import answers as rules
from facebench.probes.attacks.head import PairHead
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
