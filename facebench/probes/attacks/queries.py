"""Attacks that only ask, with 8-bit images, as a deployed system would be asked: any adapter can be attacked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from facebench.probes.attacks.noise import generators

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float64]
Score = Callable[[Pixels, NDArray[np.int64]], Floats]


@dataclass
class Oracle:
    """Answers queries about rows and counts them.

    Attributes:
        score: (faces (n, H, W, 3), row indices (n,)) to (n,) harm: above zero is success, ``-inf`` an unusable answer.
        queries: (N,) asked so far per row.
    """

    score: Score
    queries: NDArray[np.int64]

    def ask(self, faces: Pixels, rows: NDArray[np.int64]) -> Floats:
        """Return (n,) harm of some faces, each standing in for the probe of its row."""
        np.add.at(self.queries, rows, 1)
        return self.score(faces, rows)


@dataclass
class Found:
    """What a query attack found.

    Attributes:
        faces: (N, H, W, 3) the best face of each row; the probe itself where nothing was found.
        history: per row, (queries, distance) each time a closer success was found; Square's distance is its budget.
    """

    faces: Pixels
    history: list[list[tuple[int, float]]] = field(default_factory=list)


# ---- Square: Andriushchenko et al., ECCV 2020


def square_share(query: int, queries: int, start: float = 0.8) -> float:
    """Return the share of the picture a square covers; halved at fixed points of a run of 10,000, scaled to `queries`.

    >>> square_share(0, 1000), square_share(1, 1000), square_share(900, 1000)
    (0.8, 0.4, 0.0015625)
    """
    at = query / queries * 10_000
    halvings = sum(at >= point for point in (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000))
    return float(start / 2**halvings)


def square(oracle: Oracle, faces: Pixels, *, levels: int, queries: int, seeds: Sequence[int]) -> Found:
    """Return faces changed by at most `levels` of 255, found by random squares.

    The first squares cover .8 of the picture, as in AutoAttack: .05, the paper's share for large images, is slow to
    move a whole face within a thousand queries.

    Args:
        oracle: answers with scores.
        faces: (N, H, W, 3) the probes.
        levels: the Linf budget in grey levels.
        queries: per row.
        seeds: (N,) of the rows; a row's draws do not depend on the others.
    """
    n, height, width, channels = faces.shape
    draws = generators(seeds, 11)
    stripes = np.stack([rng.choice([-levels, levels], (1, width, channels)) for rng in draws])
    best = np.clip(faces.astype(np.int16) + stripes, 0, 255).astype(np.uint8)
    rows = np.arange(n)
    harm = oracle.ask(best, rows)
    found = Found(best, [[] for _ in range(n)])
    for query in range(1, queries + 1):
        for row in rows[harm[rows] > 0]:
            found.history[row].append((int(oracle.queries[row]), levels / 255))
        rows = rows[~(harm[rows] > 0)]
        if not rows.size or query == queries:
            break
        side = min(max(round(np.sqrt(square_share(query, queries) * height * width)), 1), height - 1, width - 1)
        tried = best[rows].copy()
        for place, row in enumerate(rows):
            rng = draws[row]
            top, left = rng.integers(0, height - side), rng.integers(0, width - side)
            window = slice(top, top + side), slice(left, left + side)
            colour = rng.choice([-levels, levels], channels)
            tried[place][window] = np.clip(faces[row][window].astype(np.int16) + colour, 0, 255)
        asked = oracle.ask(tried, rows)
        better = asked > harm[rows]
        best[rows[better]], harm[rows[better]] = tried[better], asked[better]
    return found


# ---- HopSkipJump: Chen, Jordan and Wainwright, S&P 2020


def hop_skip_jump(
    oracle: Oracle, faces: Pixels, starts: Pixels, *, queries: int, seeds: Sequence[int], first: int = 24
) -> Found:
    """Return the closest faces (L2) that cross the threshold, found from decisions alone.

    Rows are attacked one by one: the published estimate of the normal is per image. The noise of that estimate is at
    least one grey level (root mean square), since less would vanish in an 8-bit query.

    Args:
        starts: (N, H, W, 3) faces that cross the threshold: the enrolled face for impersonation, somebody else's for
            dodging. A row whose start does not cross it is left as it is.
        first: noisy faces of the first estimate; it grows with the square root of the step.
    """
    found = Found(faces.copy(), [[] for _ in faces])
    for row, rng in enumerate(generators(seeds, 13)):
        _Hop(oracle, row, faces[row], queries, rng, found).run(starts[row], first)
    return found


class _Hop:
    """HopSkipJump on one row."""

    def __init__(
        self, oracle: Oracle, row: int, face: Pixels, queries: int, rng: np.random.Generator, found: Found
    ) -> None:
        self.oracle, self.row, self.queries, self.rng, self.found = oracle, row, queries, rng, found
        self.face = face.astype(np.float64)
        self.closest = np.inf

    @property
    def left(self) -> int:
        """Queries left."""
        return int(self.queries - self.oracle.queries[self.row])

    def crosses(self, faces: Floats) -> NDArray[np.bool_]:
        """Ask about (n, H, W, 3) faces, and keep the closest that crosses the threshold."""
        asked = np.clip(np.rint(faces), 0, 255).astype(np.uint8)
        crossed = self.oracle.ask(asked, np.full(len(asked), self.row)) > 0
        for image in asked[crossed]:
            distance = float(np.sqrt(np.mean((image - self.face) ** 2))) / 255
            if distance < self.closest:
                self.closest = distance
                self.found.faces[self.row] = image
                self.found.history[self.row].append((int(self.oracle.queries[self.row]), distance))
        return np.asarray(crossed)

    def run(self, start: Pixels, first: int) -> None:
        if not self.crosses(start[None].astype(np.float64))[0]:
            return
        edge = self._to_edge(start.astype(np.float64))
        step = 0
        while self.left > 4:
            step += 1
            distance = float(np.linalg.norm(edge - self.face))
            normal = self._normal(edge, min(int(first * np.sqrt(step)), self.left - 3), distance)
            size = distance / np.sqrt(step)
            while self.left > 2:
                moved = np.clip(edge + size * normal, 0, 255)
                if self.crosses(moved[None])[0]:
                    edge = self._to_edge(moved)
                    break
                size /= 2
                if size < 1:
                    break

    def _to_edge(self, outside: Floats) -> Floats:
        """Return the point between the probe and a face that crosses the threshold, just beyond it."""
        low, high = 0.0, 1.0
        while high - low > 0.01 and self.left > 0:
            middle = (low + high) / 2
            if self.crosses((self.face + middle * (outside - self.face))[None])[0]:
                high = middle
            else:
                low = middle
        return self.face + high * (outside - self.face)

    def _normal(self, edge: Floats, n: int, distance: float) -> Floats:
        radius = max(distance / np.sqrt(edge.size), np.sqrt(edge.size))
        noise = self.rng.standard_normal((max(n, 1), *edge.shape))
        noise *= radius / np.linalg.norm(noise.reshape(len(noise), -1), axis=1)[:, None, None, None]
        seen = np.clip(np.rint(edge + noise), 0, 255)
        signs = np.where(self.crosses(seen), 1.0, -1.0)
        centred = signs if abs(signs.mean()) == 1 else signs - signs.mean()
        direction: Floats = np.tensordot(centred, seen - edge, 1)
        return direction / (np.linalg.norm(direction) + 1e-12)


# ---- Boundary: Brendel, Rauber and Bethge, ICLR 2018, through foolbox


def boundary(oracle: Oracle, faces: Pixels, starts: Pixels, *, queries: int, seeds: Sequence[int]) -> Found:
    """Return the closest faces (L2) that cross the threshold by a random walk along it; arguments as `hop_skip_jump`.

    Rows are attacked one by one: foolbox draws one random direction for a whole batch.
    """
    import torch

    from facebench.probes.attacks._foolbox import Misclassification, foolbox

    found = Found(faces.copy(), [[] for _ in faces])
    attack = foolbox.attacks.BoundaryAttack(steps=max(1, int((queries - 2) / 1.1)), tensorboard=False)
    for row, seed in enumerate(seeds):
        hop = _Hop(oracle, row, faces[row], queries, np.random.default_rng(seed), found)
        if not hop.crosses(starts[row][None].astype(np.float64))[0]:
            continue
        network = _Decision(hop)
        face, start = (
            torch.from_numpy(np.moveaxis(image[row : row + 1], 3, 1) / 255).float() for image in (faces, starts)
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed % 2**63)
            model = foolbox.PyTorchModel(network, bounds=(0, 1), device="cpu")
            attack.run(model, face, Misclassification(torch.zeros(1, dtype=torch.long)), starting_points=start)
    return found


def _Decision(hop: _Hop) -> object:  # noqa: N802 - stands for a class whose base must be imported late
    """Return a network whose class 1 is "crosses the threshold", answering from 8-bit queries while any are left."""
    import torch

    class Decision(torch.nn.Module):
        def forward(self, faces: torch.Tensor) -> torch.Tensor:
            asked = np.moveaxis(faces.detach().numpy().astype(np.float64), 1, 3) * 255
            crossed = hop.crosses(asked) if hop.left > 0 else np.zeros(len(asked), bool)
            harm = torch.from_numpy(np.where(crossed, 1.0, -1.0)).float()
            return torch.stack([-harm, harm], 1)

    return Decision().eval()
