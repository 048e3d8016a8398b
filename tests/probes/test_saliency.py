"""Saliency methods against models whose attention is known, and their behaviour on input that cannot be explained."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from facebench.errors import InputError, UnknownNameError
from facebench.metrics.explanation import pixel_auroc, relevance_mass
from facebench.probes.saliency import METHODS, Explained, Target
from facebench.probes.saliency.controls import Masked, random_subject
from facebench.probes.saliency.regions import PARTS, REGIONS, TEMPLATE, from_landmarks

torch = pytest.importorskip("torch")
pytest.importorskip("captum")

SIDE = 112


def network(seed: int = 0) -> torch.nn.Module:
    """A plain chain with rectifiers, on which every method is defined."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return torch.nn.Sequential(
            torch.nn.Conv2d(3, 8, 5, 2, 2), torch.nn.ReLU(), torch.nn.Conv2d(8, 8, 3, 2, 1), torch.nn.ReLU(),
            torch.nn.Flatten(), torch.nn.Linear(8 * 28 * 28, 32),
        ).eval()  # fmt: skip


def embedder(module: torch.nn.Module):
    def embed(faces: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return module(torch.from_numpy(faces.astype(np.float32).transpose(0, 3, 1, 2) / np.float32(255))).numpy()

    return embed


@pytest.fixture(scope="module")
def faces() -> np.ndarray:
    """A pair that matches: one picture twice, with noise on it."""
    rng = np.random.default_rng(5)
    coarse = np.kron(rng.integers(40, 215, (28, 28, 3)), np.ones((4, 4, 1)))
    return np.stack([coarse + rng.integers(0, 8, coarse.shape) for _ in range(2)]).astype(np.uint8)


@pytest.fixture(scope="module")
def masks() -> dict[str, np.ndarray]:
    return from_landmarks(TEMPLATE, (SIDE, SIDE))


def subject(faces: np.ndarray, module: torch.nn.Module | None = None, **options) -> Explained:
    model = module or network()
    embed = embedder(model)
    return Explained(faces[0], Target(embed(faces[1:])[0]), embed, 32, model, faces[1], **options)


QUICK = {"rise": {"masks": 600}, "s-rise": {"masks": 60}, "corrrise": {"masks": 600}, "dise": {"masks": 600}}


@pytest.mark.parametrize("part", ["eyes", "nose", "mouth"])
@pytest.mark.parametrize("method", ["gradient", "input-x-gradient", "smoothgrad", "integrated-gradients"])
def test_gradients_stay_inside_a_planted_mask(method, part, faces, masks) -> None:
    plain = subject(faces)
    found = METHODS.get(method)(Masked(plain.embed, plain.module, masks[part]).subject(plain))
    mass = relevance_mass(found.values, masks[part])
    assert mass is not None
    assert mass >= 0.95


@pytest.mark.parametrize("part", ["eyes", "nose", "mouth"])
@pytest.mark.parametrize("method", ["occlusion", "minplus", "rise", "corrrise"])
def test_black_box_methods_find_a_planted_mask(method, part, faces, masks) -> None:
    plain = replace(subject(faces), module=None)
    found = METHODS.get(method)(Masked(plain.embed, None, masks[part]).subject(plain), **QUICK.get(method, {}))
    assert pixel_auroc(found.values, masks[part]) >= 0.9


def test_random_weights_point_to_no_part(faces, masks) -> None:
    found = METHODS.get("occlusion")(random_subject(subject(faces), seed=3))
    for part in PARTS:
        assert pixel_auroc(found.values, masks[part]) < 0.9


@pytest.mark.parametrize("method", ["occlusion", "minplus", "rise", "s-rise", "corrrise", "dise", "smoothgrad"])
def test_batch_size_does_not_change_a_map_and_neither_does_another_run(method, faces) -> None:
    options = {k: {"masks": 50} for k in QUICK}.get(method, {})
    one, many = (METHODS.get(method)(replace(subject(faces), batch_size=b), **options).values for b in (1, 64))
    scale = float(np.abs(many).max())
    np.testing.assert_allclose(one / scale, many / scale, atol=1e-4)
    again = METHODS.get(method)(replace(subject(faces), batch_size=64), **options).values
    np.testing.assert_array_equal(again, many)


def test_another_seed_gives_another_map(faces) -> None:
    first, second = (METHODS.get("rise")(subject(faces, seed=s), masks=30).values for s in (0, 1))
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("method", ["ebp", "contrastive-ebp"])
def test_excitation_backprop_where_it_is_defined_and_only_there(method, faces) -> None:
    found = METHODS.get(method)(subject(faces))
    assert found.values is not None
    assert found.values.min() >= 0
    leaky = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * SIDE * SIDE, 8), torch.nn.PReLU()).eval()
    refused = METHODS.get(method)(subject(faces, leaky))
    assert (refused.values, refused.flag) == (None, "unsupported")
    assert "PReLU" in refused.why

    class Residual(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = network()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.inner(x) + x.mean()

    assert METHODS.get(method)(subject(faces, Residual().eval())).flag == "unsupported"


def test_excitation_backprop_stays_inside_a_window(faces) -> None:
    """With a weight that reads one corner only, all probability must arrive there."""
    linear = torch.nn.Linear(3 * SIDE * SIDE, 4, bias=False)
    weight = torch.zeros(4, 3, SIDE, SIDE)
    weight[:, :, :20, :20] = torch.rand(4, 3, 20, 20, generator=torch.Generator().manual_seed(0))
    linear.weight.data = weight.reshape(4, -1)
    found = METHODS.get("ebp")(subject(faces, torch.nn.Sequential(torch.nn.Flatten(), linear).eval()))
    assert found.values[:20, :20].sum() == pytest.approx(found.values.sum(), rel=1e-6)


def test_grad_cam_names_layers_that_do_not_exist(faces) -> None:
    found = METHODS.get("grad-cam")(subject(faces))
    assert found.settings["layer"] == "3"
    with pytest.raises(InputError, match=r"no layer 'stage9'; it has 0, 1, 2"):
        METHODS.get("grad-cam")(subject(faces), layer="stage9")
    with pytest.raises(InputError, match="gives no picture"):
        METHODS.get("grad-cam")(subject(faces), layer="5")


def test_a_model_without_gradients_gives_no_gradient_map(faces) -> None:
    found = METHODS.get("gradient")(replace(subject(faces), module=None))
    assert (found.values, found.flag) == (None, "unsupported")


def test_integrated_gradients_report_their_completeness_gap(faces) -> None:
    found = METHODS.get("integrated-gradients")(subject(faces), steps=100)
    assert found.settings["completeness_gap"] < 0.1


def test_what_cannot_be_explained_is_refused_or_flagged(faces) -> None:
    embed = embedder(network())
    vector = embed(faces[1:])[0]
    with pytest.raises(InputError, match="its own reference"):
        Explained(faces[0], Target(vector), embed, reference=faces[0].copy())
    with pytest.raises(InputError, match="NaN, infinite or zero"):
        Target(np.full(4, np.nan, np.float32))

    def blind(batch: np.ndarray) -> np.ndarray:
        return np.ones((len(batch), 32), np.float32)

    found = METHODS.get("occlusion")(Explained(faces[0], Target(vector), blind))
    assert (found.values, found.flag) == (None, "constant")

    def broken(batch: np.ndarray) -> np.ndarray:
        return np.full((len(batch), 32), np.nan, np.float32)

    assert METHODS.get("rise")(Explained(faces[0], Target(vector), broken), masks=4).flag == "nan"
    with pytest.raises(UnknownNameError, match="occlusion"):
        METHODS.get("oclusion")


def test_regions_are_a_partition_that_lies_where_faces_have_them(masks) -> None:
    assert tuple(masks) == REGIONS
    assert (np.sum([masks[name] for name in REGIONS], axis=0) == 1).all()
    assert masks["eyes"][52, 38]
    assert masks["mouth"][92, 56]
    assert masks["nose"][68, 56]
    assert masks["brows"][40, 38]
    assert masks["outside"][0, 0]


def test_regions_from_landmarks_refuse_what_they_do_not_know() -> None:
    with pytest.raises(InputError, match="5 or 68 landmarks, found 7"):
        from_landmarks(np.zeros((7, 2)), (SIDE, SIDE))
    with pytest.raises(InputError, match="NaN"):
        from_landmarks(np.full((5, 2), np.nan), (SIDE, SIDE))
