"""Trains a convolutional reference model from its recipe; the same recipe gives the same weights on one machine."""

from __future__ import annotations

import inspect
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from facebench.errors import ModelError
from facebench.files import write_atomic
from facebench.models.zoo import losses
from facebench.models.zoo.network import DIM, INPUT, Network
from facebench.models.zoo.recipes import BATCH, IMAGES_OF_ONE, Recipe
from facebench.models.zoo.training_faces import Progress, TrainingFaces, choose, training_faces

THREADS = 1
"""Sums are split by thread, so their number is part of the recipe; with one, a busy machine costs the least."""
SHIFT = 2
"""Largest shift of a training image, pixels at half size."""
MISLABELLED_ANGLE = math.radians(75)
"""Images farther than this from the dominant sub-centre are left out (sub-centre ArcFace, section 3.4)."""
_WARM_UP = 0.15
_ATTACK_FROM = 0.3
_CLIP = 5.0


@dataclass(frozen=True, eq=False)
class Trained:
    """A network, and how its training went: the loss of every step and the seconds it took, rendering left out."""

    network: Network
    losses: list[float] = field(repr=False)
    images_seen: int
    identities: int
    wall_s: float


def train(recipe: Recipe, out: Path, progress: Progress) -> Trained:
    """Render the training faces or take them from the cache, train, and write the weights to `out`.

    Raises:
        WriteError: the weights or the cache cannot be written.
        ModelError: the training diverged.
    """
    trained = fit(recipe, choose(training_faces(progress), recipe.people), progress)
    write_atomic(out, packed(trained.network))
    return trained


def fit(recipe: Recipe, faces: TrainingFaces, progress: Progress) -> Trained:
    """Train a network on some faces."""
    clock = time.monotonic()
    with _reproducible(recipe.seed):
        rng = np.random.default_rng([recipe.seed, 1])
        labels = mislabel(faces.classes, recipe.wrong_labels, rng)
        network = Network(recipe.view).train()
        loss = make_loss(recipe, int(faces.classes.max()) + 1)
        parameters = [*network.parameters(), *loss.parameters()]
        optimiser = torch.optim.AdamW(parameters, lr=0.0, betas=(0.9, 0.99), weight_decay=0.05)
        history: list[float] = []
        batches = _batches(labels, recipe, rng)
        for step in range(recipe.steps):
            if isinstance(loss, losses.SubCentreArcFace) and step == round(recipe.drop_after * recipe.steps) > 0:
                kept = trusted(network, loss, faces.images, labels)
                batches = (kept[rows] for rows in _batches(labels[kept], recipe, rng))
            rows = next(batches)
            batch, target = augment(faces.images[rows], rng), torch.from_numpy(labels[rows])
            if recipe.attack_eps and step >= _ATTACK_FROM * recipe.steps:
                batch = attacked(network, loss, batch, target, recipe.attack_eps)
            for group in optimiser.param_groups:
                group["lr"] = recipe.peak_rate * schedule(step / recipe.steps)
            value = loss(network.embed_small(batch), target)
            optimiser.zero_grad()
            value.backward()
            nn.utils.clip_grad_norm_(parameters, _CLIP)
            optimiser.step()
            if isinstance(loss, losses.LSoftmax | losses.SphereFace):
                loss.step()
            history.append(float(value.detach()))
            if not math.isfinite(history[-1]):
                raise ModelError(f"training diverged at step {step}: the loss is {history[-1]}; lower the rate")
            progress("train", step + 1, recipe.steps)
    seen, people = len(history) * BATCH, len(np.unique(faces.classes))
    return Trained(network.eval(), history, seen, people, time.monotonic() - clock)


def make_loss(recipe: Recipe, classes: int) -> nn.Module:
    """Return the loss of a recipe for a number of identities."""
    kind = getattr(losses, recipe.loss)
    sized = {"classes": classes, "dim": DIM} if "classes" in inspect.signature(kind).parameters else {}
    made: nn.Module = kind(**sized, **recipe.settings)
    return made


def schedule(done: float) -> float:
    """Return the learning rate relative to its peak: a linear rise, then half a cosine down to 0.

    >>> [round(schedule(x), 2) for x in (0.0, 0.075, 0.15, 1.0)]
    [0.02, 0.51, 1.0, 0.0]
    """
    if done < _WARM_UP:
        return 0.02 + 0.98 * done / _WARM_UP
    return 0.5 * (1 + math.cos(math.pi * (done - _WARM_UP) / (1 - _WARM_UP)))


def mislabel(classes: NDArray[np.int64], share: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return labels of which a share, drawn at random, names another identity."""
    labels, count = classes.copy(), int(classes.max()) + 1
    wrong = rng.permutation(len(classes))[: round(share * len(classes))]
    labels[wrong] = (labels[wrong] + rng.integers(1, count, len(wrong))) % count
    return labels


def augment(images: NDArray[np.uint8], rng: np.random.Generator) -> Tensor:
    """Return (B, 3, 48, 48) network inputs of (B, 56, 56, 3) faces: mirrored, shifted, of other contrast and tint."""
    top, left, bottom, right = (edge // 2 for edge in INPUT.crop or ())
    shifts = rng.integers(-SHIFT, SHIFT + 1, (len(images), 2))
    cut = np.stack(
        [image[top + y : bottom + y, left + x : right + x] for image, (y, x) in zip(images, shifts, strict=True)]
    )
    mirrored = rng.random(len(images)) < 0.5
    cut[mirrored] = cut[mirrored, :, ::-1]
    values = cut.transpose(0, 3, 1, 2).astype(np.float32) / 127.5 - 1
    values *= rng.uniform(0.8, 1.2, (len(images), 1, 1, 1)).astype(np.float32)
    values += rng.uniform(-0.08, 0.08, (len(images), 3, 1, 1)).astype(np.float32)
    return torch.from_numpy(values)


def attacked(network: Network, loss: nn.Module, batch: Tensor, labels: Tensor, eps: float, steps: int = 2) -> Tensor:
    """Return PGD examples: from a random point of the L∞ ball of radius `eps` ([0, 1] scale) up the loss.

    Source: Madry et al., "Towards deep learning models resistant to adversarial attacks", ICLR 2018.
    """
    radius = 2 * eps  # inputs span [-1, 1]
    moved = torch.zeros_like(batch).uniform_(-radius, radius)
    for _ in range(steps):
        moved.requires_grad_()
        (slope,) = torch.autograd.grad(loss(network.embed_small(batch + moved), labels), moved)
        moved = (moved.detach() + radius / 2 * slope.sign()).clamp(-radius, radius)
    return batch + moved


def trusted(
    network: Network, loss: losses.SubCentreArcFace, images: NDArray[np.uint8], labels: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the rows of the images near the dominant sub-centre of their class; at least half of them are kept."""
    top, left, bottom, right = (edge // 2 for edge in INPUT.crop or ())
    network.eval()
    parts = []
    with torch.no_grad():
        for start in range(0, len(images), 8 * BATCH):
            cut = images[start : start + 8 * BATCH, top:bottom, left:right].transpose(0, 3, 1, 2)
            parts.append(network.embed_small(torch.from_numpy(cut.astype(np.float32) / 127.5 - 1)))
    network.train()
    found = loss.dominant_angles(torch.cat(parts), torch.from_numpy(labels)).numpy()
    return np.flatnonzero(found <= max(MISLABELLED_ANGLE, float(np.median(found))))


def packed(network: Network) -> bytes:
    """Return the weights as safetensors: matrices and kernels in float16, vectors in float32."""
    from safetensors.torch import save

    tensors = {name: value for name, value in network.state_dict().items() if value.is_floating_point()}
    return save({name: (value.half() if value.ndim > 1 else value).contiguous() for name, value in tensors.items()})


def _batches(labels: NDArray[np.int64], recipe: Recipe, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """Yield rows of one batch after another, without end."""
    if recipe.loss == "Triplet":
        members = [np.flatnonzero(labels == k) for k in range(int(labels.max()) + 1)]
        while True:
            chosen = rng.permutation(len(members))[: BATCH // IMAGES_OF_ONE]
            yield np.concatenate([rng.permutation(members[k])[:IMAGES_OF_ONE] for k in chosen])
    while True:
        order = rng.permutation(len(labels))
        for start in range(0, max(len(order) - BATCH + 1, 1), BATCH):
            yield order[start : start + BATCH]


@contextmanager
def _reproducible(seed: int) -> Iterator[None]:
    """Fix torch's seed and threads for a block, and put both back."""
    threads = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(threads)
