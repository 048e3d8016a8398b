"""Every reference model: listed, small, as recorded, keeps the contract, and differentiable where it should be."""

from __future__ import annotations

import json

import numpy as np
import pytest

from facebench.data import decode_batches, load_dataset
from facebench.errors import InputError, ModelError
from facebench.files import sha256_file
from facebench.models import load_model, models
from facebench.models.contract import check_adapter_contract
from facebench.models.zoo.by_name import train_model
from facebench.models.zoo.catalogue import CLASSICAL, LOADERS, describe
from facebench.models.zoo.convolutional import WEIGHTS, load_weights
from facebench.models.zoo.network import visible
from facebench.models.zoo.recipes import RECIPES, View
from facebench.phantoms.shipped import shipped_dataset

NETWORKS = sorted(RECIPES)
OWN_WEIGHTS = sorted(name for name, own in RECIPES.items() if not own.weights_of)


@pytest.fixture(scope="module")
def faces() -> np.ndarray:
    dataset = load_dataset(shipped_dataset("phantom-smoke-v1")).subset(12)
    return np.stack(next(decode_batches(dataset, [list(range(12))], workers=1)))


def test_every_name_is_registered_and_described():
    assert set(LOADERS) == {*CLASSICAL, *RECIPES} <= set(models.names())
    assert {row["name"] for row in describe()} == set(LOADERS)


@pytest.mark.parametrize("name", ["phantom-lbp", *NETWORKS])
def test_every_model_keeps_the_contract(name, faces):
    check_adapter_contract(load_model(name), faces)


@pytest.mark.parametrize("name", NETWORKS)
def test_cards_are_complete(name):
    card = load_model(name).card
    assert card.name == name
    assert card.licence
    assert card.revision
    assert card.training_data
    assert card.input is not None
    assert (card.options["planted"] == "nothing") == (not RECIPES[name].planted)


def test_weights_are_small_and_as_recorded():
    log = json.loads((WEIGHTS / "training.json").read_text(encoding="utf-8"))
    assert sorted(log) == OWN_WEIGHTS
    for name in OWN_WEIGHTS:
        path = WEIGHTS / f"{name}.safetensors"
        assert path.stat().st_size <= 2_000_000
        assert sha256_file(path) == log[name]["sha256"]


@pytest.mark.parametrize("name", NETWORKS)
def test_the_module_is_the_model(name, faces):
    import torch

    model = load_model(name)
    x = torch.from_numpy(faces.transpose(0, 3, 1, 2).astype(np.float32) / 255)
    found = model.module()(x).numpy()
    norm = np.linalg.norm(found, axis=1, keepdims=True)
    # rounding to levels turns a last bit into a level, so that one model may differ more
    limit = 0.05 if name == "phantom-masked-gradient" else 1e-5
    assert np.abs(found - model.embed(faces)).max() / norm.max() < limit


def slope(name: str, faces: np.ndarray) -> np.ndarray:
    import torch

    x = torch.from_numpy(faces.transpose(0, 3, 1, 2).astype(np.float32) / 255).requires_grad_()
    load_model(name).module()(x).square().sum().backward()
    return x.grad.abs().sum(dim=(0, 1)).numpy()


@pytest.mark.parametrize("name", ["phantom-arcface", "phantom-eyes-only", "phantom-mouth-only", "phantom-hair-only"])
def test_the_gradient_is_where_the_model_sees(name, faces):
    seen, found = visible(RECIPES[name].view), slope(name, faces)
    assert (found[~seen] == 0).all()
    assert (found[seen] > 0).mean() > 0.99


def test_the_masked_gradient_is_zero_and_the_model_is_not(faces):
    assert not slope("phantom-masked-gradient", faces).any()
    assert slope("phantom-arcface", faces).any()
    a, b = (load_model(name).embed(faces) for name in ("phantom-masked-gradient", "phantom-arcface"))
    cosines = (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    assert cosines.min() > 0.9


@pytest.mark.parametrize("name", ["phantom-eyes-only", "phantom-mouth-only", "phantom-hair-only"])
def test_what_a_model_cannot_see_does_not_matter(name, faces):
    model, seen = load_model(name), visible(RECIPES[name].view)
    changed = faces.copy()
    changed[:, ~seen] = 255 - changed[:, ~seen]
    np.testing.assert_array_equal(model.embed(changed), model.embed(faces))
    changed = faces.copy()
    changed[:, seen] = 255 - changed[:, seen]
    assert np.abs(model.embed(changed) - model.embed(faces)).max() > 0.1


def test_views_share_out_the_face():
    eyes, mouth, outline = (visible(view) for view in (View.EYES, View.MOUTH, View.OUTLINE))
    assert not (eyes & mouth).any()
    assert not (outline & (eyes | mouth)).any()
    assert 0.2 < outline.mean() < 0.5


def test_the_lbp_embedding_is_made_of_unit_histograms(faces):
    model = load_model("phantom-lbp")
    found = model.embed(faces)
    cells = np.square(found).reshape(len(faces), 49, 59).sum(axis=2)
    np.testing.assert_allclose(cells, 1, atol=1e-5)
    # a monotone change of brightness leaves local patterns as they are
    grey = np.repeat(faces[..., 1:2], 3, axis=3)
    np.testing.assert_array_equal(model.embed(grey // 2 * 2), model.embed(grey // 2))


def test_bad_weights_are_named(tmp_path):
    from safetensors.numpy import save_file

    with pytest.raises(ModelError, match="missing"):
        load_weights("phantom-arcface", tmp_path / "none.safetensors")
    (tmp_path / "w.safetensors").write_bytes(b"not tensors")
    with pytest.raises(ModelError, match=r"w\.safetensors does not hold the weights"):
        load_weights("phantom-arcface", tmp_path / "w.safetensors")
    save_file({"x": np.zeros(3, np.float32)}, tmp_path / "w.safetensors")
    with pytest.raises(ModelError, match="does not hold the weights"):
        load_weights("phantom-arcface", tmp_path / "w.safetensors")


def test_weights_trained_again_run_through_a_model_file(tmp_path, faces):
    path = tmp_path / "again.yaml"
    weights = WEIGHTS / "phantom-eyes-only.safetensors"
    path.write_text(f"name: again\nadapter: phantom-eyes-only\nweights: {weights}\n", encoding="utf-8")
    again, shipped = load_model(path), load_model("phantom-eyes-only")
    assert again.card == shipped.card.model_copy(update={"name": "again"})
    np.testing.assert_array_equal(again.embed(faces), shipped.embed(faces))


def test_only_what_can_be_trained_is_trained(tmp_path):
    with pytest.raises(InputError, match="no weights"):
        train_model("phantom-lbp", tmp_path / "w", lambda *_: None)
    with pytest.raises(InputError, match="has no seed"):
        train_model("phantom-eigenfaces", tmp_path / "w", lambda *_: None, seed=1)
    with pytest.raises(InputError, match="Did you mean 'phantom-arcface'"):
        train_model("phantom-arcfac", tmp_path / "w", lambda *_: None)
