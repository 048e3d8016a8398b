"""The picture, its labels and its landmarks agree with each other."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import binary_dilation

from facebench.errors import InputError
from facebench.phantoms import Label, Pose, render, sample_nuisance, sample_subject
from facebench.phantoms.parameters import EXPRESSION_DTYPE, Nuisance, Subject, empty


def frontal(seed: int, **subject_options: object) -> tuple[Subject, Nuisance]:
    rng = np.random.default_rng([11, seed])
    subject = sample_subject(rng, **subject_options)
    nuisance = sample_nuisance(rng, "easy")
    return subject, replace(nuisance, pose=Pose(), expression=empty(EXPRESSION_DTYPE), alignment_error=np.zeros((5, 2)))


@pytest.mark.parametrize("seed", range(6))
def test_landmarks_lie_in_their_labels(seed: int) -> None:
    subject, nuisance = frontal(seed)
    face = render(subject, nuisance)

    def near(point: np.ndarray, *labels: Label) -> bool:
        region = binary_dilation(np.isin(face.labels, labels), iterations=2)
        column, row = np.round(point).astype(int)
        return bool(region[row, column])

    left, right, tip, mouth_left, mouth_right = face.landmarks5
    assert near(left, Label.LEFT_EYE, Label.LEFT_LID)
    assert near(right, Label.RIGHT_EYE, Label.RIGHT_LID)
    assert near(tip, Label.NOSE)
    for corner in (mouth_left, mouth_right):
        assert near(corner, Label.UPPER_LIP, Label.LOWER_LIP, Label.MOUTH)
    points = face.landmarks68
    assert points.shape == (68, 2)
    for k in range(36, 42):
        assert near(points[k], Label.LEFT_EYE, Label.LEFT_LID)
    for k in range(42, 48):
        assert near(points[k], Label.RIGHT_EYE, Label.RIGHT_LID)
    for k in range(48, 68):
        assert near(points[k], Label.UPPER_LIP, Label.LOWER_LIP, Label.MOUTH)
    assert (np.diff(points[:17, 0]) > 0).all()
    assert points[8, 1] == points[:, 1].max()
    x, y = points.T
    assert (np.diff(x[17:27]) > 0).all()  # brows
    assert (np.diff(y[27:31]) > 0).all()  # bridge
    assert (np.diff(x[31:36]) > 0).all()  # wings
    for first in (36, 42):
        corner, high_left, high_right, other, low_right, low_left = range(first, first + 6)
        assert x[corner] < x[high_left] < x[high_right] < x[other]
        assert x[corner] < x[low_left] < x[low_right] < x[other]
        assert y[high_left] < y[low_left]
        assert y[high_right] < y[low_right]
    for left, right, end in ((48, 54, 60), (60, 64, 68)):  # lips, outside and inside
        assert (np.diff(x[left : right + 1]) > 0).all()
        assert (np.diff(x[right:end]) < 0).all()
        middle = (left + right) // 2
        assert y[middle] < y[(right + end) // 2]


def test_alignment_puts_the_landmarks_on_the_template() -> None:
    from facebench.phantoms.labels import ARCFACE_112

    errors = [render(*frontal(seed)).landmarks5 - ARCFACE_112 for seed in range(6)]
    assert np.abs(np.mean(errors, axis=0)).max() < 4
    assert np.abs(errors).max() < 9


def test_size_scales_the_picture() -> None:
    subject, nuisance = frontal(1)
    small = render(subject, nuisance, 56)
    large = render(subject, nuisance, 112)
    np.testing.assert_allclose((small.landmarks5 + 0.5) * 2, large.landmarks5 + 0.5, atol=1e-9)
    halved = large.image.reshape(56, 2, 56, 2, 3).mean((1, 3))
    assert np.abs(halved - small.image).mean() < 4


def test_rendering_is_deterministic_and_leaves_its_arguments_alone() -> None:
    subject, nuisance = frontal(2)
    shape = subject.shape.copy()
    first = render(subject, nuisance)
    second = render(subject, nuisance)
    assert (first.image == second.image).all()
    assert (first.labels == second.labels).all()
    assert subject.shape == shape


def test_closed_eyes_show_lids_only() -> None:
    subject, nuisance = frontal(3)
    nuisance.expression.blink = 1.0
    labels = render(subject, nuisance).labels
    assert not np.isin(labels, (Label.LEFT_EYE, Label.RIGHT_EYE)).any()
    assert (labels == Label.LEFT_LID).any()
    assert (labels == Label.RIGHT_LID).any()


def test_faces_are_mostly_face() -> None:
    for seed in range(4):
        labels = render(*frontal(seed)).labels
        assert labels.max() <= max(Label)
        assert (labels == Label.SKIN).mean() > 0.15
        assert (labels == Label.NOSE).mean() > 0.01


@pytest.mark.parametrize("size", [31, 2000])
def test_odd_sizes_are_refused(size: int) -> None:
    with pytest.raises(InputError, match="choose a size"):
        render(*frontal(0), size)


def test_import_is_light() -> None:
    code = (
        "import sys, facebench.phantoms; sys.exit(any(m in sys.modules for m in ('numba', 'scipy', 'PIL', 'joblib')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_public_name_resolves() -> None:
    import facebench.phantoms as phantoms

    for name in phantoms.__all__:
        assert getattr(phantoms, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'face'"):
        _ = phantoms.face


def test_stored_kernels_depend_on_every_source_file() -> None:
    from facebench.phantoms import _kernel, shading

    index = getattr(shading.shade._cache, "_cache_file", None)
    if index is None:
        pytest.skip("no cache folder can be written here")
    assert index._source_stamp == _kernel._sources_digest()
