"""Trains any reference model by its name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from facebench.errors import InputError
from facebench.models.zoo.recipes import recipe
from facebench.models.zoo.training_faces import Progress


def train_model(name: str, out: Path, progress: Progress, *, seed: int | None = None) -> dict[str, Any]:
    """Train a model and write its weights to `out`; return how the training went.

    `seed` replaces the fixed seed of the recipe, to see how much training by itself moves a number.

    Raises:
        UnknownNameError: no such model.
        InputError: the model has no weights.
        WriteError: the weights or the cache of rendered faces cannot be written.
    """
    if name == "phantom-lbp":
        raise InputError("phantom-lbp has no weights: its histograms are counted, not learned")
    if name == "phantom-eigenfaces":
        if seed is not None:
            raise InputError("phantom-eigenfaces is fitted in closed form; it has no seed")
        from facebench.models.zoo import eigenfaces

        eigenfaces.train(out, lambda done, total: progress("render", done, total))
        return {}
    from facebench.models.zoo.training import train

    own = recipe(name) if seed is None else replace(recipe(name), seed=seed)
    trained = train(own, out, progress)
    return {
        "identities": trained.identities,
        "images_seen": trained.images_seen,
        "wall_s": round(trained.wall_s, 1),
        "first_loss": trained.losses[0],
        "last_loss": trained.losses[-1],
    }
