from __future__ import annotations

import shutil

import numpy as np
import pytest

from facebench.leaderboard import add_entry
from tests.comparison import factory

NOISE = {"good": 0.5, "middling": 1.2, "poor": 2.5}


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """Runs of three models on the same faces; good and middling see the same noise."""
    top = tmp_path_factory.mktemp("runs")
    return {
        name: factory.write_result(top / name, factory.vectors(noise=noise, seed=4), name=name)
        for name, noise in NOISE.items()
    }


@pytest.fixture(scope="session")
def made(runs, tmp_path_factory):
    """A leaderboard of the three."""
    root = tmp_path_factory.mktemp("made") / "leaderboard"
    return root, {name: add_entry(folder, root) for name, folder in runs.items()}


@pytest.fixture
def board(made, tmp_path):
    """A copy of the leaderboard that a test may spoil."""
    root, places = made
    copy = tmp_path / "leaderboard"
    shutil.copytree(root, copy)
    return copy, {name: copy / place.relative for name, place in places.items()}


@pytest.fixture(scope="session")
def other_vectors():
    return np.asarray(factory.vectors(noise=0.2, seed=9))
