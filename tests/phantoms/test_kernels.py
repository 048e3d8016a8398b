"""Kernels against the same formulas in plain Python or numpy."""

import math
from dataclasses import replace
from fractions import Fraction

import numba
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from facebench.phantoms import Accessory, Pose, render, sample_nuisance, sample_subject
from facebench.phantoms import camera as optics
from facebench.phantoms._instructions import STEP_X, STEP_Y, STEP_Z, corners, fused
from facebench.phantoms.lighting import SHADOW_EXTENT, SHADOW_X, SHADOW_Y, SHADOW_Z, to_shadow_map
from facebench.phantoms.mesh import grid_points
from facebench.phantoms.noise import noise_slope, value_noise
from facebench.phantoms.parameters import Wear

WORD = 0xFFFFFFFF
finite = st.floats(-300, 300)


@numba.njit
def fused_once(a: float, b: float, c: float) -> float:
    return fused(a, b, c)


@numba.njit
def corners_of(start: int) -> tuple[float, ...]:
    return corners(start)


def scrambled(h: int) -> float:
    """The hash of the noise, 32 bits at a time."""
    h &= WORD
    h = (h ^ (h >> 13)) * 1274126177 & WORD
    h = (h ^ (h >> 16)) * 2246822519 & WORD
    return ((h ^ (h >> 15)) & 0xFFFFFF) / 2**23 - 1


@given(finite, finite, finite)
@settings(max_examples=50, deadline=None)
def test_fused_rounds_once(a: float, b: float, c: float) -> None:
    assert fused_once(a, b, c) == float(Fraction(a) * Fraction(b) + Fraction(c))


@given(st.integers(-(2**50), 2**50))
@settings(max_examples=50, deadline=None)
def test_corners_are_the_hashes_of_their_places(start: int) -> None:
    expected = [scrambled(start + x * STEP_X + y * STEP_Y + z * STEP_Z) for z in (0, 1) for y in (0, 1) for x in (0, 1)]
    assert list(corners_of(start)) == expected


@given(finite, finite, finite, st.integers(0, 2**20))
@settings(max_examples=50, deadline=None)
def test_noise_is_smooth_between_lattice_points(x: float, y: float, z: float, seed: int) -> None:
    i, j, k = math.floor(x), math.floor(y), math.floor(z)
    at_corner = value_noise(float(i), float(j), float(k), seed)
    assert at_corner == scrambled(i * STEP_X + j * STEP_Y + k * STEP_Z + seed * 1274126177)
    assert -1 <= value_noise(x, y, z, seed) < 1
    step = 1e-6
    slope_x, slope_y = noise_slope(x, y, z, seed)
    along_x = (value_noise(x + step, y, z, seed) - value_noise(x - step, y, z, seed)) / (2 * step)
    along_y = (value_noise(x, y + step, z, seed) - value_noise(x, y - step, z, seed)) / (2 * step)
    assert math.isclose(slope_x, along_x, abs_tol=1e-4)
    assert math.isclose(slope_y, along_y, abs_tol=1e-4)


def test_a_scene_is_projected_as_its_landmarks_are() -> None:
    rng = np.random.default_rng(1)
    points = rng.normal(0, 60, (50, 3))
    lift = rng.uniform(0, 6, 50)
    camera = optics.Camera(Pose(yaw=0.4, pitch=-0.2, roll=0.1), 900.0)
    alignment = np.array([[0.4, 0.1, 50.0], [-0.1, 0.4, 60.0]])
    screen = np.empty_like(points)
    optics.to_screen(points, optics.AIM, camera.turn, camera.distance, alignment, 2.0, lift, screen)
    in_camera = camera.to_camera(points)
    flat = optics.transform(camera.project(in_camera), alignment)
    np.testing.assert_allclose(screen[:, :2], (flat + 0.5) * 2 - 0.5, rtol=0, atol=1e-9)
    np.testing.assert_allclose(screen[:, 2], -in_camera[:, 2] - lift, rtol=0, atol=1e-9)


def test_the_shadow_map_looks_along_the_light() -> None:
    points = np.random.default_rng(2).normal(0, 60, (50, 3))
    axes = optics.shadow_axes(np.array([0.5, 0.7, 0.6]))
    seen = np.empty_like(points)
    to_shadow_map(points, axes, 160, seen)
    across, up, towards = ((points - [SHADOW_X, SHADOW_Y, SHADOW_Z]) @ axes.T).T
    texels = np.stack([(across / SHADOW_EXTENT * 0.5 + 0.5) * 160 - 0.5, (up / SHADOW_EXTENT * 0.5 + 0.5) * 160 - 0.5])
    np.testing.assert_allclose(seen, [*zip(*texels, -towards, strict=True)], rtol=0, atol=1e-9)


def test_points_between_the_vertices_of_a_grid() -> None:
    rng = np.random.default_rng(3)
    rows, columns = 7, 5
    material = np.zeros((rows, columns, 3))
    material[..., 1] = np.cumsum(rng.uniform(1, 2, (rows, columns)), axis=0)
    position = rng.normal(size=(rows, columns, 3))
    asked = np.array([0.0, 0.3, 1.0, 2.7, 3.999, 4.0, 1.5, 1.5])
    heights = np.array([*rng.uniform(2, 7, 6), -50.0, 50.0])  # the last two lie off the grid: its border answers
    found = np.empty((len(asked), 3))
    grid_points(asked, heights, material, position, found)
    for column, height, point in zip(asked, heights, found, strict=True):
        left = min(int(column), columns - 2)
        share = column - left
        level = material[:, left, 1] * (1 - share) + material[:, left + 1, 1] * share
        curve = position[:, left] * (1 - share) + position[:, left + 1] * share
        expected = [np.interp(height, level, curve[:, axis]) for axis in range(3)]
        np.testing.assert_allclose(point, expected, rtol=0, atol=1e-12)


def test_what_is_kept_of_an_identity_is_not_altered_nor_mixed_up() -> None:
    rng = np.random.default_rng(4)
    subject, other = sample_subject(rng), sample_subject(rng)
    nuisance = sample_nuisance(rng)
    first = render(subject, nuisance).image
    for kind in (Accessory.MASK, Accessory.CAP, Accessory.SCARF):
        render(subject, replace(nuisance, wear=Wear(kind, None)))
    same_shape = replace(other, shape=subject.shape)
    bumpless = replace(subject, bumps=np.zeros_like(subject.bumps))
    assert not np.array_equal(render(same_shape, nuisance).image, first)
    assert not np.array_equal(render(bumpless, nuisance).image, first)
    np.testing.assert_array_equal(render(subject, nuisance).image, first)
