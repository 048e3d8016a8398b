"""A tiny training: it learns, it is repeatable to the bit, and its faces are rendered once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from facebench.errors import InputError, ModelError
from facebench.models.zoo.network import Network
from facebench.models.zoo.recipes import RECIPES, People, Recipe
from facebench.models.zoo.training import attacked, augment, fit, make_loss, mislabel, packed, schedule, trusted
from facebench.models.zoo.training_faces import TrainingFaces, choose, training_faces
from facebench.phantoms.population import Request

POOL = (Request(identities=18, images_per_identity=1, seed=3, first_identity=900, full_cross=True),)


def silent(*_):
    pass


@pytest.fixture(scope="module")
def faces(tmp_path_factory) -> TrainingFaces:
    """A few rendered identities, each seen eight times with some noise."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACEBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        once = training_faces(silent, POOL, workers=1)
    rng = np.random.default_rng(0)
    images = np.repeat(once.images, 8, axis=0).astype(np.int64)
    noisy = np.clip(images + rng.integers(-9, 10, images.shape), 0, 255).astype(np.uint8)
    return TrainingFaces(noisy, once.classes.repeat(8), once.sex.repeat(8), once.tone.repeat(8))


def test_a_tiny_training_learns_and_repeats(faces):
    recipe = replace(RECIPES["phantom-arcface"], steps=12)
    first, second = fit(recipe, faces, silent), fit(recipe, faces, silent)
    assert first.losses == second.losses
    assert packed(first.network) == packed(second.network)
    assert np.mean(first.losses[-3:]) < 0.8 * np.mean(first.losses[:3])
    assert (first.identities, first.images_seen) == (18, 12 * 32)
    other = fit(replace(recipe, seed=1, steps=1), faces, silent)
    assert other.losses != first.losses[:1]


@pytest.mark.parametrize("name", [name for name, own in RECIPES.items() if own.loss != "ArcFace" or own.attack_eps])
def test_every_loss_trains(name, faces):
    found = fit(replace(RECIPES[name], steps=2), faces, silent)
    assert np.isfinite(found.losses).all()
    assert all(torch.isfinite(value).all() for value in found.network.state_dict().values())


def test_training_leaves_torch_as_it_was(faces):
    torch.manual_seed(5)
    state, threads = torch.random.get_rng_state(), torch.get_num_threads()
    fit(Recipe("x", "CosFace", steps=1), faces, silent)
    assert torch.equal(state, torch.random.get_rng_state())
    assert torch.get_num_threads() == threads


def test_a_training_that_diverges_says_so(faces):
    broken = TrainingFaces(faces.images, faces.classes, faces.sex, faces.tone)
    with pytest.raises(ModelError, match="diverged at step"):
        fit(Recipe("x", "LSoftmax", peak_rate=1e30, steps=20), broken, silent)


def test_faces_are_rendered_once_and_damage_is_mended(tmp_path, monkeypatch):
    monkeypatch.setenv("FACEBENCH_CACHE", str(tmp_path))
    told = []
    first = training_faces(lambda *step: told.append(step), POOL, workers=1)
    assert told == [("render", 18, 18)]
    assert first.images.shape == (18, 56, 56, 3)
    assert first.classes.tolist() == list(range(18))
    (path,) = (tmp_path / "zoo").iterdir()
    stamp = path.stat().st_mtime_ns
    training_faces(silent, POOL, workers=1)
    assert path.stat().st_mtime_ns == stamp
    path.write_bytes(path.read_bytes()[:1000])
    again = training_faces(silent, POOL, workers=1)
    np.testing.assert_array_equal(again.images, first.images)


def people(per_tone: int) -> TrainingFaces:
    tone = np.repeat(["light", "medium", "dark"], per_tone).repeat(2)
    sex = np.tile(np.repeat(["female", "male"], 2), len(tone) // 4)
    return TrainingFaces(np.zeros((len(tone), 56, 56, 3), np.uint8), np.arange(len(tone)) // 2, sex, tone)


@pytest.mark.parametrize(
    ("chosen", "column", "group"), [(People.FEW_DARK, "tone", "dark"), (People.FEW_FEMALE, "sex", "female")]
)
def test_a_scarce_group_is_twenty_times_rarer(chosen, column, group):
    found = choose(people(120), chosen)
    values = getattr(found, column)
    counts = {value: len(np.unique(found.classes[values == value])) for value in np.unique(values)}
    scarce = counts.pop(group)
    assert min(counts.values()) == 20 * scarce
    assert np.unique(found.classes).tolist() == list(range(scarce + sum(counts.values())))


def test_too_few_people_for_a_scarce_group():
    with pytest.raises(InputError, match="too few"):
        choose(people(6), People.FEW_DARK)


def test_wrong_labels_are_as_many_as_asked_and_all_wrong():
    classes = np.arange(50).repeat(10)
    found = mislabel(classes, 0.3, np.random.default_rng(0))
    assert (found != classes).sum() == 150
    assert set(found) <= set(range(50))
    np.testing.assert_array_equal(mislabel(classes, 0, np.random.default_rng(0)), classes)


def test_augmentation_keeps_shape_and_range():
    images = np.random.default_rng(0).integers(0, 256, (9, 56, 56, 3), np.uint8)
    found = augment(images, np.random.default_rng(1))
    assert found.shape == (9, 3, 48, 48)
    assert found.abs().max() <= 1.2 + 0.08


def test_images_far_from_the_dominant_centre_are_left_out(faces):
    recipe = RECIPES["phantom-subcentre-arcface"]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network, loss = Network().train(), make_loss(recipe, 18)
    kept = trusted(network, loss, faces.images, faces.classes)
    assert len(faces.classes) // 2 <= len(kept) < len(faces.classes)
    assert network.training


def test_attacks_stay_in_the_ball_and_raise_the_loss(faces):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network, loss = Network().train(), make_loss(RECIPES["phantom-arcface"], 18)
        labels = torch.from_numpy(faces.classes[:32])
        batch = augment(faces.images[:32], np.random.default_rng(0))
        moved = attacked(network, loss, batch, labels, 4 / 255)
    assert (moved - batch).abs().max() <= 8 / 255 + 1e-6
    assert loss(network.embed_small(moved), labels) > loss(network.embed_small(batch), labels)


def test_the_rate_rises_then_falls_to_zero():
    rates = [schedule(step / 100) for step in range(101)]
    peak = int(np.argmax(rates))
    assert rates[peak] == pytest.approx(1)
    assert np.all(np.diff(rates[: peak + 1]) > 0)
    assert np.all(np.diff(rates[peak:]) < 0)
    assert rates[-1] == pytest.approx(0)
