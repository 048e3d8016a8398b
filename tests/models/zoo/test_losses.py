"""Each loss against its closed form written out with plain numbers, its limits, and its gradient."""

from __future__ import annotations

import math
from itertools import permutations

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

from facebench.models.zoo.losses import (
    ArcFace,
    Circle,
    CosFace,
    LSoftmax,
    PartialFC,
    SFace,
    Softmax,
    SphereFace,
    SphereFace2,
    SubCentreArcFace,
    Triplet,
)
from facebench.models.zoo.losses.angular import psi
from facebench.models.zoo.losses.margin import add_angle

CLASSES, DIM = 5, 3
LABELS = torch.tensor([0, 3, 3, 1, 0, 4])


@pytest.fixture(autouse=True)
def _seeded():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        yield


def embeddings() -> Tensor:
    return torch.randn(len(LABELS), DIM, dtype=torch.float64) * 2


def cross_entropy(logits: list[float], y: int) -> float:
    return -math.log(math.exp(logits[y]) / sum(math.exp(value) for value in logits))


def softplus(value: float) -> float:
    return math.log1p(math.exp(value))


class Case:
    """One embedding and the class weights as plain numbers."""

    def __init__(self, x: list[float], weights: list[list[float]], y: int) -> None:
        self.y = y
        self.norm = math.hypot(*x)
        self.norms = [math.hypot(*w) for w in weights]
        self.dots = [sum(a * b for a, b in zip(x, w, strict=True)) for w in weights]
        self.cos = [d / (self.norm * n) for d, n in zip(self.dots, self.norms, strict=True)]
        self.theta = [math.acos(c) for c in self.cos]


def by_hand(loss, formula) -> float:
    x, weights = embeddings(), loss.weight.tolist()
    expected = [formula(Case(row, weights, int(y))) for row, y in zip(x.tolist(), LABELS, strict=True)]
    found = loss(x, LABELS)
    assert found.shape == ()
    assert found.item() == pytest.approx(sum(expected) / len(expected), rel=1e-9)
    return found.item()


def replaced(case: Case, values: list[float], own: float) -> list[float]:
    return [own if j == case.y else value for j, value in enumerate(values)]


def hand_psi(theta: float, m: int) -> float:
    k = min(int(theta * m / math.pi), m - 1)
    return (-1) ** k * math.cos(m * theta) - 2 * k


def test_softmax():
    loss = Softmax(CLASSES, DIM).double()
    with torch.no_grad():
        loss.bias.copy_(torch.tensor([0.3, -0.2, 0.0, 0.7, -1.0]))
    bias = loss.bias.tolist()
    by_hand(loss, lambda c: cross_entropy([d + b for d, b in zip(c.dots, bias, strict=True)], c.y))


@pytest.mark.parametrize("steps", [0, 10_000])
def test_lsoftmax(steps):
    loss = LSoftmax(CLASSES, DIM, m=2, lambda_start=10.0, lambda_end=0.5).double()
    for _ in range(steps):
        loss.step()
    lam = 10.0 if steps == 0 else 0.5
    assert loss.annealing == lam

    def formula(c: Case) -> float:
        logits = [n * c.norm * value for n, value in zip(c.norms, c.cos, strict=True)]
        own = c.norms[c.y] * c.norm * (lam * c.cos[c.y] + hand_psi(c.theta[c.y], 2)) / (1 + lam)
        return cross_entropy(replaced(c, logits, own), c.y)

    by_hand(loss, formula)


def test_sphereface():
    loss = SphereFace(CLASSES, DIM, m=4, lambda_start=5.0).double()

    def formula(c: Case) -> float:
        own = c.norm * (5 * c.cos[c.y] + hand_psi(c.theta[c.y], 4)) / 6
        return cross_entropy(replaced(c, [c.norm * value for value in c.cos], own), c.y)

    by_hand(loss, formula)


def test_cosface():
    loss = CosFace(CLASSES, DIM, scale=8, margin=0.35).double()
    by_hand(loss, lambda c: cross_entropy([8 * v for v in replaced(c, c.cos, c.cos[c.y] - 0.35)], c.y))


def hand_arc(cos: float, theta: float, m: float) -> float:
    return math.cos(theta + m) if theta + m < math.pi else cos - m * math.sin(m)


def test_arcface():
    loss = ArcFace(CLASSES, DIM, scale=8, margin=0.5).double()
    by_hand(
        loss, lambda c: cross_entropy([8 * v for v in replaced(c, c.cos, hand_arc(c.cos[c.y], c.theta[c.y], 0.5))], c.y)
    )


def test_arcface_on_an_angle_of_sixty_degrees():
    """Two classes at right angles, the embedding 60° from its own and 30° from the other."""
    loss = ArcFace(2, 2, scale=4, margin=0.5).double()
    with torch.no_grad():
        loss.weight.copy_(torch.tensor([[3.0, 0.0], [0.0, 0.2]]))
    x = torch.tensor([[0.5, math.sqrt(0.75)]], dtype=torch.float64) * 7
    own, other = math.cos(math.pi / 3 + 0.5), math.cos(math.pi / 6)
    assert loss(x, torch.tensor([0])).item() == pytest.approx(softplus(4 * (other - own)))


def test_subcentre_arcface_takes_the_nearest_centre():
    loss = SubCentreArcFace(CLASSES, DIM, centres=3, scale=8).double()
    x, y = embeddings(), LABELS

    def one(row: list[float], label: int) -> float:
        every = Case(row, loss.weight.tolist(), 0).cos
        cos = [max(every[3 * j : 3 * j + 3]) for j in range(CLASSES)]
        own = hand_arc(cos[label], math.acos(cos[label]), 0.5)
        return cross_entropy([8 * (own if j == label else value) for j, value in enumerate(cos)], label)

    expected = [one(row, int(label)) for row, label in zip(x.tolist(), y, strict=True)]
    assert loss(x, y).item() == pytest.approx(sum(expected) / len(expected))


def test_the_dominant_centre_is_the_one_most_of_a_class_is_nearest_to():
    loss = SubCentreArcFace(2, 2, centres=2)
    degrees = torch.tensor([0.0, 90.0, 180.0, 270.0])  # class 0: 0° and 90°, class 1: 180° and 270°
    with torch.no_grad():
        loss.weight.copy_(torch.stack([degrees.deg2rad().cos(), degrees.deg2rad().sin()], dim=1))
    seen = torch.tensor([10.0, 20.0, 80.0, 260.0]).deg2rad()
    found = loss.dominant_angles(torch.stack([seen.cos(), seen.sin()], dim=1), torch.tensor([0, 0, 0, 1]))
    assert found.rad2deg().tolist() == pytest.approx([10, 20, 80, 10], abs=1e-3)


def test_circle():
    loss = Circle(CLASSES, DIM, gamma=10, margin=0.25).double()

    def formula(c: Case) -> float:
        m, own = 0.25, c.cos[c.y]
        others = [s for j, s in enumerate(c.cos) if j != c.y]
        negative = sum(math.exp(10 * max(0, s + m) * (s - m)) for s in others)
        positive = math.exp(-10 * max(0, 1 + m - own) * (own - (1 - m)))
        return math.log1p(negative * positive)

    by_hand(loss, formula)


def test_circle_gradient_leaves_the_weights_of_similarities_alone():
    """With one negative L = softplus(z), and dL/ds is σ(z) times the constant factor γα."""
    loss = Circle(2, 2, gamma=4, margin=0.25).double()
    with torch.no_grad():
        loss.weight.copy_(torch.eye(2))
    angle = torch.tensor(0.9, dtype=torch.float64, requires_grad=True)
    loss(torch.stack([angle.cos(), angle.sin()])[None], torch.tensor([0])).backward()
    s_y, s_j = math.cos(0.9), math.sin(0.9)
    a_y, a_j = 1.25 - s_y, s_j + 0.25
    z = 4 * a_j * (s_j - 0.25) - 4 * a_y * (s_y - 0.75)
    sigma = 1 / (1 + math.exp(-z))
    assert angle.grad.item() == pytest.approx(sigma * 4 * (a_j * math.cos(0.9) + a_y * math.sin(0.9)))


def test_sphereface2():
    loss = SphereFace2(CLASSES, DIM, lam=0.7, r=6, margin=0.3, t=3).double()
    b = loss.bias.item()

    def formula(c: Case) -> float:
        g = [2 * ((value + 1) / 2) ** 3 - 1 for value in c.cos]
        positive = softplus(-6 * (g[c.y] - 0.3) - b)
        negative = sum(softplus(6 * (value + 0.3) + b) for j, value in enumerate(g) if j != c.y)
        return (0.7 * positive + 0.3 * negative) / 6

    by_hand(loss, formula)


@pytest.mark.parametrize("classes", [2, 3, 10, 450, 1_000_000])
def test_sphereface2_starts_balanced(classes):
    """At right angles the pull of the positive equals the push of all negatives."""
    loss = SphereFace2(2, DIM)
    loss.classes = classes
    b, g = loss._balanced_bias(), 2 * 0.5**3 - 1
    pull = 0.7 / (1 + math.exp(40 * (g - 0.4) + b))
    push = 0.3 * (classes - 1) / (1 + math.exp(-(40 * (g + 0.4) + b)))
    assert pull == pytest.approx(push, rel=1e-9)


def sface_weights(c: Case) -> tuple[float, list[float]]:
    pull = 4 / (1 + math.exp(-5 * (c.theta[c.y] - 0.8)))
    push = [4 / (1 + math.exp(5 * (theta - 1.2))) for theta in c.theta]
    return pull, push


def test_sface():
    loss = SFace(CLASSES, DIM, scale=4, k=5, a=0.8, b=1.2).double()

    def formula(c: Case) -> float:
        pull, push = sface_weights(c)
        return sum(push[j] * c.cos[j] for j in range(CLASSES) if j != c.y) - pull * c.cos[c.y]

    by_hand(loss, formula)


def test_sface_gradient_is_the_constrained_one():
    loss = SFace(2, 2, scale=4, k=5, a=0.8, b=1.2).double()
    with torch.no_grad():
        loss.weight.copy_(torch.eye(2))
    angle = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    loss(torch.stack([angle.cos(), angle.sin()])[None], torch.tensor([0])).backward()
    pull, push = sface_weights(Case([math.cos(0.5), math.sin(0.5)], [[1.0, 0.0], [0.0, 1.0]], 0))
    assert angle.grad.item() == pytest.approx(pull * math.sin(0.5) + push[1] * math.cos(0.5))


def test_triplet_against_a_search():
    loss = Triplet(margin=0.3)
    x = embeddings()
    unit = [[v / math.hypot(*row) for v in row] for row in x.tolist()]
    d = [[math.dist(a, b) ** 2 for b in unit] for a in unit]
    terms = []
    for a, p in permutations(range(len(unit)), 2):
        if LABELS[a] != LABELS[p]:
            continue
        negatives = [d[a][n] for n in range(len(unit)) if LABELS[n] != LABELS[a]]
        farther = [value for value in negatives if value > d[a][p]]
        terms.append(max(0, d[a][p] - (min(farther) if farther else max(negatives)) + 0.3))
    assert loss(x, LABELS).item() == pytest.approx(sum(terms) / len(terms))


@pytest.mark.parametrize("labels", [[0, 0, 0], [0, 1, 2]])
def test_triplet_without_a_triplet_is_zero(labels):
    x = torch.randn(3, DIM, requires_grad=True)
    loss = Triplet()(x, torch.tensor(labels))
    loss.backward()
    assert loss.item() == 0
    assert not x.grad.any()


# ---- limits: where one loss becomes another


def same_weights(a, b):
    with torch.no_grad():
        b.weight.copy_(a.weight)
    return a, b


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (ArcFace(CLASSES, DIM, scale=9, margin=0.0), CosFace(CLASSES, DIM, scale=9, margin=0.0)),
        (SubCentreArcFace(CLASSES, DIM, centres=1, scale=9), ArcFace(CLASSES, DIM, scale=9)),
        (PartialFC(CLASSES, DIM, rate=1.0, scale=9), ArcFace(CLASSES, DIM, scale=9)),
        (LSoftmax(CLASSES, DIM, m=1), Softmax(CLASSES, DIM)),
    ],
    ids=["arcface-cosface", "one centre", "all classes", "m is 1"],
)
def test_limits(first, second):
    a, b = same_weights(first.double(), second.double())
    x = embeddings()
    assert a(x, LABELS).item() == pytest.approx(b(x, LABELS).item(), rel=1e-9)


def test_partial_fc_keeps_the_classes_of_the_batch():
    loss = PartialFC(100, DIM, rate=0.1)
    labels = torch.tensor([99, 0, 42, 42])
    drawn = [loss.sample(labels) for _ in range(20)]
    assert all(len(classes) == 10 and {0, 42, 99} <= set(classes.tolist()) for classes in drawn)
    assert len({tuple(classes.tolist()) for classes in drawn}) > 1
    assert len(PartialFC(100, DIM, rate=0.01).sample(labels)) == 3


def test_partial_fc_is_arcface_of_the_sampled_classes():
    loss = PartialFC(40, DIM, rate=0.2, scale=5).double()
    x = embeddings()
    torch.manual_seed(1)
    classes = loss.sample(LABELS)
    small = ArcFace(len(classes), DIM, scale=5).double()
    with torch.no_grad():
        small.weight.copy_(loss.weight[classes])
    torch.manual_seed(1)
    found = loss(x, LABELS)
    assert found.item() == pytest.approx(small(x, torch.searchsorted(classes, LABELS)).item())
    found.backward()
    assert set(loss.weight.grad.abs().sum(dim=1).nonzero()[:, 0].tolist()) <= set(classes.tolist())


@pytest.mark.parametrize("m", [1, 2, 3, 4])
def test_psi_falls_without_a_jump(m):
    theta = torch.linspace(0, math.pi, 20_001, dtype=torch.float64)
    values = psi(theta, m)
    assert values[0] == 1
    assert values[-1].item() == pytest.approx(1 - 2 * m)
    steps = values.diff()
    assert steps.max() <= 1e-12
    assert steps.min() > -1e-3


def test_added_angle_falls_to_the_end():
    cosine = torch.linspace(1, -1, 20_001, dtype=torch.float64)
    assert add_angle(cosine, 0.5).diff().max() <= 1e-9


# ---- gradients

CHECKED = {
    "softmax": Softmax(CLASSES, DIM),
    "lsoftmax": LSoftmax(CLASSES, DIM, m=2, lambda_start=1),
    "sphereface": SphereFace(CLASSES, DIM, lambda_start=5),
    "cosface": CosFace(CLASSES, DIM, scale=8),
    "arcface": ArcFace(CLASSES, DIM, scale=8),
    "subcentre": SubCentreArcFace(CLASSES, DIM, scale=8),
    "sphereface2": SphereFace2(CLASSES, DIM, r=6),
    "partial-fc": PartialFC(CLASSES, DIM, rate=1.0, scale=8),
    "triplet": Triplet(),
}
"""Circle and SFace hold factors constant, so their gradient is not that of their value; they are checked above."""


@pytest.mark.parametrize("name", CHECKED)
def test_gradients(name):
    loss = CHECKED[name].double()
    x = embeddings().requires_grad_()
    assert gradcheck(lambda e, *_: loss(e, LABELS), (x, *loss.parameters()))


@pytest.mark.parametrize("loss", [ArcFace, CosFace, SphereFace, LSoftmax, Circle, SFace, SphereFace2, SubCentreArcFace])
def test_the_gradient_is_finite_where_an_embedding_equals_its_class(loss):
    made = loss(3, DIM)
    x = (made.weight[:1].detach() * 5).requires_grad_()
    made(x, torch.tensor([0])).backward()
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("loss", [Softmax, ArcFace, SphereFace2])
def test_one_class_is_refused(loss):
    with pytest.raises(ValueError, match="at least two"):
        loss(1, DIM)
