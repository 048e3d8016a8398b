"""Single attacks on models with closed-form distances, and the parts they are made of."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from facebench.errors import ModelError
from facebench.models.zoo.closed_form import ClosedFormModel
from facebench.probes.attacks import masking, queries
from facebench.probes.attacks.apgd import auto_pgd
from facebench.probes.attacks.batch import to_pixels, to_tensor
from facebench.probes.attacks.head import PairHead, frozen, succeeded
from facebench.probes.attacks.minimal import smallest
from facebench.probes.attacks.steps import climb
from facebench.probes.attacks.universal import universal
from facebench.probes.attacks.worn import occluded, outline, worn_pattern
from facebench.schema import Comparator

SIDE, N = 16, 24
TAU = float(np.cos(0.2))
TEMPLATE = np.array([[38.3, 51.7], [73.5, 51.5], [56.0, 71.7], [41.5, 92.4], [70.7, 92.2]])


class Case:
    """Genuine pairs well inside the accepted range of a model with random weights."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        weights = rng.normal(size=(SIDE, SIDE, 3))
        self.model = ClosedFormModel(2.0, shape=(SIDE, SIDE), weights=weights / np.abs(weights).sum())
        self.enrolled = rng.integers(80, 170, (N, SIDE, SIDE, 3)).astype(np.uint8)
        moved = rng.uniform(-18, 18, N)[:, None, None, None] * np.sign(weights)
        self.probes = np.clip(self.enrolled + np.round(moved), 0, 255).astype(np.uint8)
        self.faces = to_tensor(self.probes)
        self.labels = torch.zeros(N, dtype=torch.long)

    def head(self, rows: slice = slice(None)) -> PairHead:
        templates = torch.from_numpy(self.model.embed(self.enrolled[rows]))
        return PairHead(self.model.module(), templates, TAU)

    def distance(self, norm: str) -> np.ndarray:
        return self.model.distance(self.probes, self.enrolled, TAU, norm=norm)


@pytest.fixture(scope="module")
def case() -> Case:
    return Case()


def test_the_head_refuses_rows_without_their_template(case: Case) -> None:
    with pytest.raises(ModelError, match="3 faces for 24 templates"):
        case.head()(case.faces[:3])


def test_a_comparator_without_a_gradient_is_refused() -> None:
    with pytest.raises(ModelError, match="uses external"):
        PairHead(torch.nn.Flatten(), torch.zeros(1, 4), 0.25, Comparator.EXTERNAL)


@pytest.mark.parametrize("comparator", [Comparator.COSINE, Comparator.DOT, Comparator.EUCLIDEAN])
def test_logits_are_the_margin_and_its_negative(comparator: Comparator) -> None:
    rng = np.random.default_rng(1)
    a, b = (torch.from_numpy(rng.normal(size=(5, 4)).astype(np.float32)) for _ in range(2))
    head = PairHead(torch.nn.Flatten(), b, 0.25, comparator)
    logits = head(a.reshape(5, 1, 2, 2))
    expected = {
        "cosine": (a * b).sum(1) / a.norm(dim=1) / b.norm(dim=1),
        "dot": (a * b).sum(1),
        "euclidean": -(a - b).norm(dim=1),
    }[comparator.value]
    torch.testing.assert_close(logits[:, 0], expected - 0.25)
    torch.testing.assert_close(logits[:, 1], -logits[:, 0])


@pytest.mark.parametrize(
    ("name", "norm"), [("cw", "l2"), ("ddn", "l2"), ("deepfool", "l2"), ("deepfool", "linf"), ("fmn", "linf")]
)
def test_smallest_changes_are_at_least_and_nearly_the_exact_distance(name: str, norm: str, case: Case) -> None:
    head = case.head()
    found = smallest(head, case.faces, case.labels, name=name, norm=norm, steps=100, seed=1)
    change = (found - case.faces).flatten(1).double()
    size = (change.abs().amax(1) if norm == "linf" else change.norm(dim=1)).numpy()
    assert bool(succeeded(head.margin(found), case.labels).all())
    ratio = size / case.distance(norm)
    assert ratio.min() > 1 - 1e-4
    # DeepFool walks on tangents, and the cosine is flat where two phases are equal
    assert np.median(ratio) < (2.5 if name == "deepfool" else 1.01)


def test_a_failed_attack_leaves_the_face_as_it_was(case: Case) -> None:
    class Blind(torch.nn.Module):
        def forward(self, faces: torch.Tensor) -> torch.Tensor:
            return torch.ones(len(faces), 2) + 0 * faces.flatten(1)[:, :2]

    head = PairHead(Blind().eval(), torch.ones(N, 2), 0.5)
    for name in ("cw", "ead", "ddn"):
        assert torch.equal(smallest(head, case.faces, case.labels, name=name, norm="l2", steps=3, seed=1), case.faces)
    assert head.ledger.zero_rows == head.ledger.gradient_rows > 0


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_auto_pgd_and_pgd_stay_inside_their_budget_and_are_exact(norm: str, case: Case) -> None:
    exact = case.distance(norm)
    eps = float(np.median(exact)) * 1.0001
    options = {"norm": norm, "eps": eps, "steps": 30, "seeds": list(range(N))}
    for attack in (auto_pgd, lambda *a, **k: climb(*a, name="pgd", **k)):
        head = case.head()
        found = attack(head, case.faces, case.labels, **options)
        change = (found - case.faces).flatten(1)
        size = change.abs().amax(1) if norm == "linf" else change.norm(dim=1)
        assert float(size.max()) <= eps * (1 + 1e-4)
        assert (succeeded(head.margin(found), case.labels).numpy() == (exact < eps)).all()


def test_momentum_accumulates_gradients_divided_by_their_l1_norm() -> None:
    from facebench.probes.attacks.steps import _momentum

    change = _momentum(smooth=False)
    first, second = torch.tensor([[[[3.0, -1.0]]]]), torch.tensor([[[[-1.0, 0.5]]]])
    torch.testing.assert_close(change(first), first / 4)
    torch.testing.assert_close(change(second), first / 4 + second / 1.5)


def test_weights_take_no_gradient_meanwhile(case: Case) -> None:
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(SIDE * SIDE * 3, 4))
    with frozen(network):
        head = PairHead(network.eval(), torch.ones(N, 4), 0.1)
        climb(head, case.faces, case.labels, name="bim", norm="linf", eps=0.01, steps=3, seeds=list(range(N)))
        assert head.ledger.forwards == head.ledger.backwards == 3 * N
    assert all(parameter.grad is None and parameter.requires_grad for parameter in network.parameters())


def test_rounding_keeps_the_linf_budget(case: Case) -> None:
    moved = (case.faces + 2.4 / 255).clamp(0, 1)
    assert np.abs(to_pixels(moved, case.probes, 2).astype(int) - case.probes).max() == 2
    moved = (case.faces + 2.6 / 255).clamp(0, 1)
    assert np.abs(to_pixels(moved, case.probes, None).astype(int) - case.probes).max() == 3


def flat_case() -> tuple[ClosedFormModel, np.ndarray, np.ndarray]:
    """Return a model that only sees brightness, with pairs 2 to 13 grey levels from the threshold."""
    model = ClosedFormModel(2.0, shape=(SIDE, SIDE))
    enrolled = np.full((12, SIDE, SIDE, 3), 120, np.uint8)
    probes = enrolled + np.arange(13, 25, dtype=np.uint8)[:, None, None, None]
    return model, probes, enrolled


def oracle(model: ClosedFormModel, enrolled: np.ndarray) -> queries.Oracle:
    templates = model.embed(enrolled).astype(np.float64)

    def score(faces: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return TAU - (model.embed(faces) * templates[rows]).sum(1)

    return queries.Oracle(score, np.zeros(len(enrolled), np.int64))


def test_square_finds_what_lies_within_its_budget_and_counts_queries() -> None:
    model, probes, enrolled = flat_case()
    asked = oracle(model, enrolled)
    found = queries.square(asked, probes, levels=8, queries=400, seeds=list(range(12)))
    assert np.abs(found.faces.astype(int) - probes).max() <= 8
    inside = model.distance(probes, enrolled, TAU) * 255 < 8
    opened = np.array([bool(told) for told in found.history])
    assert not opened[~inside].any()  # beyond the budget nothing can be found
    assert opened[model.distance(probes, enrolled, TAU) * 255 < 4].all()
    assert (asked.queries[~opened] == 400).all()
    assert all(told[0][0] == n for told, n in zip(found.history, asked.queries, strict=True) if told)


@pytest.mark.parametrize("walk", [queries.hop_skip_jump, queries.boundary])
def test_decision_attacks_come_near_the_exact_distance(walk: object) -> None:
    model, probes, enrolled = flat_case()
    probes, enrolled = probes[:4], enrolled[:4]
    asked = oracle(model, enrolled)
    rng = np.random.default_rng(2)
    starts = rng.integers(170, 255, probes.shape).astype(np.uint8)
    found = walk(asked, probes, starts, queries=300, seeds=list(range(4)))
    assert (asked.queries <= 300).all()
    exact = model.distance(probes, enrolled, TAU, norm="l2") / np.sqrt(SIDE * SIDE * 3)
    reached = np.array([told[-1][1] for told in found.history])
    assert (reached > exact * 0.99).all()
    assert (reached < np.sqrt(np.mean((starts / 255.0 - probes / 255.0) ** 2, axis=(1, 2, 3)))).all()


def test_a_start_that_does_not_cross_the_threshold_is_left_alone() -> None:
    model, probes, enrolled = flat_case()
    asked = oracle(model, enrolled)
    found = queries.hop_skip_jump(asked, probes, enrolled, queries=50, seeds=list(range(12)))
    assert (found.faces == probes).all()
    assert (asked.queries == 1).all()


def test_one_change_opens_many_pairs() -> None:
    model, probes, enrolled = flat_case()
    head = PairHead(model.module(), torch.from_numpy(model.embed(enrolled)), TAU)
    labels = torch.zeros(12, dtype=torch.long)
    found = universal(head, to_tensor(probes), labels, eps=8 / 255, steps=20)
    change = (found - to_tensor(probes)).numpy()
    assert np.ptp(change, axis=0).max() < 1e-6
    exact = model.distance(probes, enrolled, TAU) * 255 < 8
    assert (succeeded(head.margin(found), labels).numpy() == exact).all()


@pytest.mark.parametrize(("name", "low", "high"), [("glasses", 0.03, 0.12), ("sticker", 0.01, 0.05),
                                                   ("mask", 0.12, 0.4), ("hat", 0.15, 0.35)])  # fmt: skip
def test_patterns_lie_where_they_are_worn(name: str, low: float, high: float) -> None:
    mask = outline(name, TEMPLATE, 112, 112)
    assert low < mask.mean() < high
    rows = np.flatnonzero(mask.any(1))
    centre = {"glasses": 51, "sticker": 30, "mask": 85, "hat": 16}[name]
    assert abs(rows.mean() - centre) < 14
    moved = outline(name, TEMPLATE + np.array([5, 3]), 112, 112)
    assert (moved[3:, 5:] == mask[:-3, :-5]).mean() > 0.999
    if name == "glasses":  # one sees through them
        assert not mask[52, 38]


def test_a_worn_pattern_changes_nothing_else_and_beats_grey() -> None:
    rng = np.random.default_rng(3)
    weights = rng.normal(size=(112, 112, 3))
    model = ClosedFormModel(3.0, weights=weights / np.abs(weights).sum())
    faces = rng.integers(0, 255, (3, 112, 112, 3)).astype(np.uint8)
    head = PairHead(model.module(), torch.from_numpy(model.embed(faces)), 0.999)
    masks = np.stack([outline("glasses", TEMPLATE, 112, 112)] * 3)
    labels = torch.zeros(3, dtype=torch.long)
    worn, grey = worn_pattern(head, to_tensor(faces), labels, masks, steps=20), occluded(to_tensor(faces), masks)
    for changed in (worn, grey):
        same = (changed == to_tensor(faces)).all(1).numpy()
        assert same[~masks].all()
    assert (head.margin(worn) < head.margin(grey)).all()


def test_signs_of_an_honest_and_a_masked_model(case: Case) -> None:
    found = masking.signs(case.head(), case.faces, case.labels)
    assert found.agreement > 0.99
    assert (found.free, found.scatter, found.broken) == (1.0, 0.0, False)

    class Lying(torch.nn.Module):
        """Turns the gradient round."""

        def __init__(self, inner: torch.nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, faces: torch.Tensor) -> torch.Tensor:
            return self.inner(2 * faces.detach() - faces)

    head = case.head()
    lying = PairHead(Lying(head.network).eval(), head.templates, TAU)
    assert masking.signs(lying, case.faces, case.labels).agreement < 0.1


def test_the_shipped_model_is_open_to_white_box_attacks() -> None:
    from facebench.models import load_model

    victim = load_model("phantom-eigenfaces")
    faces = np.random.default_rng(0).integers(0, 255, (3, 112, 112, 3)).astype(np.uint8)
    found = victim.module()(to_tensor(faces)).numpy()
    np.testing.assert_allclose(found, victim.embed(faces), atol=1e-4 * np.abs(found).max())
