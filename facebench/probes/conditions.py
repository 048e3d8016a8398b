"""Changes of a face picture by the name of their condition: corruptions, occlusions and geometry.

Each one draws its random numbers from the seed, the condition without its level, and the image id. So a picture does
not depend on its batch, on the order of images or on the number of workers, and the levels of one condition share their
draws: a higher severity is more of the same.
"""

from __future__ import annotations

import numpy as np

from facebench.errors import InputError, PluginError, UnknownNameError
from facebench.files import sha256_bytes
from facebench.probes import corruptions, geometry, occlusions
from facebench.probes.face import Change, Kind, Landmarks, MissingLandmarksError, Pixels
from facebench.registry import Registry, first_sentence
from facebench.schema.robustness import kind_of, level_of, spelled

KINDS: dict[str, Kind] = {**corruptions.KINDS, **occlusions.KINDS, **geometry.KINDS}
CONDITIONS: Registry[Kind] = Registry(
    "condition",
    builtin=KINDS,
    group="facebench.conditions",
    page="robustness.md",
    contract="facebench.probes.contract:check_condition_contract",
    about=lambda _, change: first_sentence(change.apply),
    spell=spelled,
)
"""Conditions without their level, such as ``corruption:fog``; an entry point of a plug-in is called corruption.fog."""


def kind(condition: str) -> Kind:
    """Return the change of a condition.

    Raises:
        UnknownNameError: no such condition; the message suggests the closest.
    """
    name = kind_of(condition)
    if name not in CONDITIONS:
        raise UnknownNameError("condition", condition, CONDITIONS.names())
    return CONDITIONS.get(name)


def version(condition: str) -> str:
    """Return what names the pictures of a condition in a cache: its name and its version."""
    return f"{condition} v{kind(condition).version}"


def alter(condition: str, pixels: Pixels, landmarks: Landmarks | None, image_id: str, *, seed: int = 0) -> Pixels:
    """Return a face under a condition, as uint8 of the same shape; a grey picture stays grey.

    Args:
        condition: such as ``corruption:fog:3``.
        pixels: (H, W, 3) uint8 RGB.
        landmarks: (5, 2) x, y in pixels: left eye, right eye (of the picture), nose tip, corners of the mouth; None or
            NaN where unknown, which does for changes that use none, such as ``geometry:flip``.
        image_id: seeds the random numbers, with `seed`.

    Raises:
        InputError: the condition needs landmarks, and the image has none.
    """
    change: Kind = kind(condition)
    points = None if landmarks is None or not np.isfinite(landmarks).all() else landmarks
    try:
        with CONDITIONS.blame(kind_of(condition)):
            found = change.apply(_change(condition, pixels, points, image_id, seed))
    except MissingLandmarksError:
        raise InputError(
            f"condition {condition} is placed or scaled by the landmarks of the face, and image {image_id!r} has none; "
            "add a column `landmarks` to the manifest, or use faces aligned to the 112 x 112 template"
        ) from None
    if not isinstance(found, np.ndarray) or found.shape != pixels.shape or found.dtype != np.uint8:
        told = f"{found.shape} {found.dtype}" if isinstance(found, np.ndarray) else type(found).__name__
        raise PluginError(f"condition {kind_of(condition)!r} returned {told}; expected {pixels.shape} uint8")
    if np.array_equal(pixels[..., 0], pixels[..., 1]) and np.array_equal(pixels[..., 0], pixels[..., 2]):
        found = _greyed(found, condition)
    return np.ascontiguousarray(found)


def turned(condition: str, image_id: str, *, seed: int = 0) -> float:
    """Return by how many degrees a condition turns a picture, clockwise as it is looked at."""
    turn = kind(condition).turn
    if turn is None:
        return 0.0
    nothing = np.zeros((1, 1, 3), np.uint8)
    with CONDITIONS.blame(kind_of(condition), "failed to tell its turn"):
        return float(np.rad2deg(turn(_change(condition, nothing, np.zeros((5, 2)), image_id, seed))))


def turns(condition: str) -> bool:
    """Return whether a condition turns a picture."""
    return kind(condition).turn is not None


def mirrored(condition: str) -> bool:
    """Return whether a condition mirrors a picture left and right."""
    return kind(condition).mirrors


def _change(condition: str, pixels: Pixels, landmarks: Landmarks | None, image_id: str, seed: int) -> Change:
    digest = sha256_bytes(f"{seed}|{kind_of(condition)}|{image_id}".encode())
    rng = np.random.default_rng(int(digest[:32], 16))
    points = None if landmarks is None else np.asarray(landmarks, np.float64)
    return Change(pixels, points, rng, level_of(condition) or 1)


def _greyed(pixels: Pixels, condition: str) -> Pixels:
    """Return a picture as a grey camera would see it: of noise one channel at its full strength, of things the luma."""
    if condition.startswith("corruption:"):
        return np.repeat(pixels[..., 1:2], 3, axis=2)
    luma: Pixels = (pixels @ np.array([0.299, 0.587, 0.114]) + 0.5).astype(np.uint8)
    return np.repeat(luma[..., None], 3, axis=2)
