"""How often the check of alignment speaks: sets of 50 pictures drawn from each source, as they are and spoilt.

Usage: python benchmarks/alignment.py [--sets 100] [--data FOLDER]... [--out benchmarks/alignment.json]

Sources are the shipped phantom sets, parts of them that must raise no alarm (darkest tones, masks, large yaw, grey),
and any dataset of faces aligned to 112 x 112 named with --data. docs/limits.md holds the table of the recorded study.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from facebench.data import Dataset, load_dataset
from facebench.data.decode import decode
from facebench.measure.sanity import alignment
from facebench.phantoms.shipped import shipped_dataset

Pixels = NDArray[np.uint8]
EYES_APART = 35.2  # pixels between the eyes of the template
PICTURES = 50
POOL = 250  # pictures of a source, from which sets are drawn


def spoilt(picture: Pixels, *, right: float = 0, down: float = 0, size: float = 1) -> Pixels:
    """Return the picture moved by inter-ocular distances and enlarged about the nose; edges are continued."""
    reach = max(picture.shape) * 2
    padded = np.pad(picture, ((reach, reach), (reach, reach), (0, 0)), mode="edge")
    x, y = 56 + EYES_APART * right, 72 + EYES_APART * down
    affine = (1 / size, 0, reach + 56 - x / size, 0, 1 / size, reach + 72 - y / size)
    moved = Image.fromarray(padded).transform(
        picture.shape[1::-1], Image.Transform.AFFINE, affine, Image.Resampling.BILINEAR
    )
    return np.asarray(moved)


def one_way(by: float, degrees: float) -> Callable[[Pixels, np.random.Generator], Pixels]:
    """Move every picture the same way."""
    way = np.deg2rad(degrees)
    return lambda picture, _: spoilt(picture, right=by * np.cos(way), down=by * np.sin(way))


def any_way(by: float) -> Callable[[Pixels, np.random.Generator], Pixels]:
    """Move each picture in a direction of its own."""

    def move(picture: Pixels, rng: np.random.Generator) -> Pixels:
        way = rng.uniform(0, 2 * np.pi)
        return spoilt(picture, right=by * np.cos(way), down=by * np.sin(way))

    return move


def loose(picture: Pixels, rng: np.random.Generator) -> Pixels:
    """Hand over a face cut with a wide margin, somewhere near the middle."""
    return spoilt(picture, right=rng.normal(0, 0.15), down=rng.normal(0, 0.15), size=rng.uniform(0.45, 0.7))


def body(picture: Pixels, rng: np.random.Generator) -> Pixels:
    """Hand over a person from head to foot: the face is a few pixels wide, near the upper edge."""
    return spoilt(picture, right=rng.normal(0, 0.2), down=-1.3 + rng.normal(0, 0.15), size=rng.uniform(0.12, 0.22))


WAYS = {
    "as it is": lambda picture, _: picture,
    "right .2": one_way(0.2, 0),
    "left .2": one_way(0.2, 180),
    "down .2": one_way(0.2, 90),
    "up .2": one_way(0.2, 270),
    "each its own way .2": any_way(0.2),
    "all one way .4": one_way(0.4, 45),
    "each its own way .4": any_way(0.4),
    "loose crop": loose,
    "whole body": body,
}


def grey(picture: Pixels) -> Pixels:
    """Return the picture without colour."""
    return np.asarray(Image.fromarray(picture).convert("L").convert("RGB"))


def sources(folders: list[Path]) -> Iterator[tuple[str, list[Pixels]]]:
    """Yield the name and the pictures of each source."""
    for name in ("phantom-v1", "phantom-hard-v1"):
        data = load_dataset(shipped_dataset(name))
        yield name, pictures(data, np.ones(len(data), bool))
        if name == "phantom-v1":
            yield f"{name}, dark skin", pictures(data, column(data, "tone") == "dark")
            yield f"{name}, grey", [grey(picture) for picture in pictures(data, np.ones(len(data), bool))]
        if name == "phantom-hard-v1":
            yield (
                f"{name}, masks and sunglasses",
                pictures(data, np.isin(column(data, "accessory"), ("mask", "sunglasses"))),
            )
    edited = load_dataset(shipped_dataset("phantom-counterfactual-v1"))
    levels = dict(zip(("what", "level"), (np.array(edited.edits[key]) for key in ("attribute", "level")), strict=True))
    turned = (levels["what"] == "yaw") & np.isin(levels["level"], ("-0.6", "0.6"))
    yield "phantom-counterfactual-v1, turned by .6", pictures(edited, turned)
    yield "phantom-counterfactual-v1, masks", pictures(edited, levels["level"] == "mask")
    for folder in folders:
        data = load_dataset(folder)
        yield folder.name, pictures(data, np.ones(len(data), bool))


def column(data: Dataset, name: str) -> NDArray[np.str_]:
    """Return an attribute as words."""
    return np.array([str(value) for value in data.attributes[name]])


def pictures(data: Dataset, kept: NDArray[np.bool_]) -> list[Pixels]:
    """Return up to `POOL` of the pictures that are kept."""
    rows = np.flatnonzero(kept)
    rows = rows[np.unique(np.linspace(0, rows.size - 1, POOL).astype(int))]
    return [decode(data.images[row].read()) for row in rows]


def study(faces: list[Pixels], way: Callable[..., Pixels], sets: int, seed: int) -> list[dict[str, float | bool]]:
    """Return what was read from each set."""
    rng = np.random.default_rng([14, seed])
    detail, known = map(np.stack, zip(*(alignment.local_contrast(way(face, rng)) for face in faces), strict=True))
    found = []
    for _ in range(sets):
        rows = rng.choice(len(faces), PICTURES, replace=len(faces) < 2 * PICTURES)
        reading = alignment.read_contrast(detail[rows], known[rows])
        found.append({**vars(reading), "scattered": reading.scattered, "elsewhere": reading.elsewhere})
    return found


def main() -> None:
    """Run the study and write what was found."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sets", type=int, default=100)
    parser.add_argument("--data", type=Path, action="append", default=[])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/alignment.json"))
    words = parser.parse_args()
    rows = []
    for name, faces in sources(words.data):
        # parts of a source are there for false alarms only
        for seed, (condition, way) in enumerate(WAYS.items() if "," not in name else [("as it is", WAYS["as it is"])]):
            found = study(faces, way, words.sets, seed)
            flagged = sum(bool(reading["scattered"] or reading["elsewhere"]) for reading in found)
            middle = {
                key: round(float(np.median([reading[key] for reading in found])), 3)
                for key in ("together", "agreement", "across", "along", "area")
            }
            rows.append({"source": name, "condition": condition, "pictures": len(faces), "flagged": flagged, **middle})
            print(json.dumps(rows[-1]), flush=True)
    words.out.write_text(json.dumps({"sets": words.sets, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
