from __future__ import annotations

import shutil

import numpy as np
import pytest

from facebench.files import sha256_bytes
from facebench.leaderboard import add_entry
from tests.comparison import factory

NOISE = {"good": 0.5, "middling": 1.2, "poor": 2.5}
MAINTAINER = "the tests"


def write_run(folder, vectors, name, **more):
    """A run of a model whose weights are its own."""
    return factory.write_result(folder, vectors, name=name, weights=sha256_bytes(name.encode()), **more)


@pytest.fixture(autouse=True)
def _own_key(tmp_path_factory, monkeypatch):
    """Verdicts are sealed with a key of the tests' own."""
    monkeypatch.setenv("FACEBENCH_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """Runs of three models on the same faces; good and middling see the same noise."""
    top = tmp_path_factory.mktemp("runs")
    return {name: write_run(top / name, factory.vectors(noise=noise, seed=4), name) for name, noise in NOISE.items()}


@pytest.fixture(scope="session")
def made(runs, tmp_path_factory):
    """A leaderboard of the three."""
    root = tmp_path_factory.mktemp("made") / "leaderboard"
    return root, {name: add_entry(folder, root, maintainer=MAINTAINER) for name, folder in runs.items()}


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
