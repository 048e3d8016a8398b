"""The looks do not change by accident; the last bits of a machine's libm may."""

import numpy as np
import pytest

from facebench.phantoms import RenderedFace
from tests.phantoms.golden import STORE, reduced, scenes


@pytest.fixture(scope="module")
def faces() -> dict[str, RenderedFace]:
    return scenes()


def test_every_scene_is_stored(faces: dict[str, RenderedFace]) -> None:
    with np.load(STORE, allow_pickle=False) as stored:
        assert set(stored.files) == set(faces)


def test_pictures_look_as_stored(faces: dict[str, RenderedFace]) -> None:
    with np.load(STORE, allow_pickle=False) as stored:
        for name, face in faces.items():
            difference = np.abs(reduced(face) - stored[name])
            assert difference.mean() < 1.0, name
            assert difference.max() < 10.0, name
