"""Pictures of all conditions side by side, for people to look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from facebench.errors import InputError
from facebench.probes.conditions import alter
from facebench.probes.face import Landmarks, Pixels
from facebench.schema.robustness import FAMILIES, LEVELS, family_of

COLUMNS = 10
TITLE, GAP = 150, 4


@dataclass(frozen=True, eq=False)
class Named:
    """A face with what conditions need to know of it."""

    image_id: str
    pixels: Pixels
    landmarks: Landmarks | None


def condition_sheets(faces: Sequence[Named], *, seed: int = 0) -> dict[str, Pixels]:
    """Return one picture per family: a row per condition, with the clean face first.

    A condition with levels shows all of them on the first face, one without shows several faces.

    Raises:
        InputError: no face, or faces without landmarks.
    """
    if not faces:
        raise InputError("a contact sheet needs at least one face")
    return {family: _sheet(family, faces, seed) for family in FAMILIES}


def _sheet(family: str, faces: Sequence[Named], seed: int) -> Pixels:
    from PIL import Image, ImageDraw, ImageFont

    side = max(faces[0].pixels.shape[:2])
    kinds = [kind for kind in LEVELS if family_of(kind) == family]
    rows = [_row(kind, faces, seed) for kind in kinds]
    wide = max(len(row) for row in rows)
    sheet = Image.new("RGB", (TITLE + wide * (side + GAP), len(rows) * (side + GAP)), (24, 24, 24))
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    for y, (kind, row) in enumerate(zip(kinds, rows, strict=True)):
        name = kind.partition(":")[2].replace("_", " ")
        draw.text((8, y * (side + GAP) + side // 2 - 8), name, fill=(230, 230, 230), font=font)
        for x, picture in enumerate(row):
            sheet.paste(Image.fromarray(picture), (TITLE + x * (side + GAP), y * (side + GAP)))
    return np.asarray(sheet)


def _row(kind: str, faces: Sequence[Named], seed: int) -> list[Pixels]:
    levels, first = LEVELS[kind], faces[0]
    if levels:
        changed = [alter(f"{kind}:{n}", first.pixels, first.landmarks, first.image_id, seed=seed) for n in levels]
        return [first.pixels, *changed][:COLUMNS]
    shown = [face for face in faces if face.pixels.shape == first.pixels.shape][: COLUMNS - 1]
    return [first.pixels, *(alter(kind, face.pixels, face.landmarks, face.image_id, seed=seed) for face in shown)]
