"""Things in front of the face, placed by its landmarks."""

from __future__ import annotations

from facebench.probes import worn
from facebench.probes.face import Change, Kind, Pixels

AREA = (0.05, 0.1, 0.2, 0.3, 0.4)  # of the picture


def random_rectangle(face: Change) -> Pixels:
    """Cover a share of the picture with a grey rectangle about one random point."""
    height, width = face.pixels.shape[:2]
    ratio = face.rng.uniform(0.6, 1.6)
    across, down = face.rng.random(2)
    covered = face.pixels.copy()
    tall = min(height, round((face.pick(AREA) * height * width * ratio) ** 0.5))
    wide = min(width, round(face.pick(AREA) * height * width / max(tall, 1)))
    top, left = round(down * (height - tall)), round(across * (width - wide))
    covered[top : top + tall, left : left + wide] = 127
    return covered


def sliding_patch(face: Change) -> Pixels:
    """Cover one of nine places of the face, row by row from the upper left, with a grey square of one iod."""
    row, column = divmod(face.level - 1, 3)
    eyes, mouth = face.landmarks[:2].mean(axis=0), face.landmarks[3:].mean(axis=0)
    across, down = face.landmarks[1] - face.landmarks[0], mouth - eyes
    x, y = eyes + (column - 1) * across * 0.75 + (0.75 * row - 0.35) * down
    half = face.iod / 2
    covered = face.pixels.copy()
    top, left = max(0, round(y - half)), max(0, round(x - half))
    covered[top : max(0, round(y + half)), left : max(0, round(x + half))] = 127
    return covered


_WORN = (worn.surgical_mask, worn.sunglasses, worn.eyeglasses, worn.hat, worn.scarf, worn.hand)
KINDS: dict[str, Kind] = {
    **{f"occlusion:{function.__name__}": Kind(function, 3) for function in _WORN},
    **{f"occlusion:{function.__name__}": Kind(function) for function in (random_rectangle, sliding_patch)},
}
"""Every occlusion by its condition without the severity."""
