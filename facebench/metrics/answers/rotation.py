"""Turns of the head as a whole: the angle between two rotations, which three separate angles do not tell."""

from __future__ import annotations

import numpy as np

from facebench.metrics.answers.table import Figure, Floats, column, known_rows, share


def rotations(angles: Floats) -> Floats:
    """Return (N, 3, 3) rotations of (N, 3) pitch, yaw and roll in degrees: about x, then y, then z.

    The order is that of 300W-LP and AFLW2000: ``R = Rz(roll) Ry(yaw) Rx(pitch)``.
    """
    pitch, yaw, roll = np.radians(angles).T
    (cx, cy, cz), (sx, sy, sz) = ((f(pitch), f(yaw), f(roll)) for f in (np.cos, np.sin))
    return np.stack(
        [
            np.stack([cz * cy, cz * sy * sx - sz * cx, cz * sy * cx + sz * sx], axis=1),
            np.stack([sz * cy, sz * sy * sx + cz * cx, sz * sy * cx - cz * sx], axis=1),
            np.stack([-sy, cy * sx, cy * cx], axis=1),
        ],
        axis=1,
    )


def geodesic(answers: Floats, truth: Floats) -> Floats:
    """Return (N,) degrees, 0 to 180, by which a head must be turned from one pose to the other.

    >>> geodesic(np.array([[0.0, 90.0, 0.0]]), np.array([[0.0, 60.0, 0.0]])).round(6).tolist()
    [30.0]

    Args:
        answers, truth: (N, 3) pitch, yaw and roll in degrees.
    """
    traces = np.einsum("nij,nij->n", rotations(answers), rotations(truth))
    return np.asarray(np.degrees(np.arccos(np.clip((traces - 1) / 2, -1.0, 1.0))))


def geodesic_figure(answers: Floats, truth: Floats, start: int) -> tuple[Floats, Figure]:
    """Return (N, 2) contributions and the mean angle, whose sums begin at column `start`."""
    known = known_rows(answers)
    found = np.zeros((len(truth), 2))
    found[known, 0] = 1
    found[known, 1] = geodesic(answers[known], truth[known])
    always = float(geodesic(np.zeros_like(truth), truth).mean()) if len(truth) else 0.0
    n, total = column(start), column(start + 1)
    return found, Figure("geodesic", lambda sums: share(total(sums), n(sums)), null={"always frontal": always})
