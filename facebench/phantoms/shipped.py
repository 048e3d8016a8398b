"""The phantom datasets shipped with FaceBench: byte-identical for everyone, checked before every use.

Each set is one zip of images and a manifest. `build` renders a set again; its bytes may differ in a last bit between
machines, which is why the sets are shipped and not rendered on demand. Identities are numbered from 0, with a seed of
their own per set; those that reference models are trained on have numbers from 100000 and seed 0.

Run ``facebench data render FILE --set NAME`` to build one.
"""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from facebench.errors import InputError, UnknownNameError
from facebench.files import sha256_file, write_atomic

_FOLDER = Path(__file__).resolve().parent / "sets"
_EPOCH = (2020, 1, 1, 0, 0, 0)
BUILTIN = "builtin:"
JPEG: dict[str, Any] = {"format": "JPEG", "quality": 88, "subsampling": 2, "optimize": True}
"""Colour at half resolution; see docs/phantoms.md for what this does to scores."""
WEBP: dict[str, Any] = {"format": "WEBP", "lossless": True, "quality": 100, "method": 6, "exact": True}
"""For pictures that must agree with each other to the pixel."""

SETS: dict[str, dict[str, Any]] = {
    "phantom-smoke-v1": {
        "sha256": "2d0ecde8797b75cdd1334ebe8d4ddc1b81dd450cc155d6b1e65dfda6e26a9eef",
        "identities": 72,
        "images_per_identity": 4,
        "seed": 20,
        "tier": "default",
        "full_cross": True,
    },
    "phantom-v1": {
        "sha256": "7c0f004cbbb3ca81fa048b0830cfb959446acc1eb9f55a6e56c705444bd42e0a",
        "identities": 360,
        "images_per_identity": 5,
        "seed": 21,
        "tier": "default",
        "full_cross": True,
    },
    "phantom-hard-v1": {
        "sha256": "7c5ef56394725d3e4d044f2cd42c3e5fc32d682553f8f529c8bc686a6eb3de0b",
        "identities": 108,
        "images_per_identity": 5,
        "seed": 22,
        "tier": "hard",
        "full_cross": True,
        "accessories": {"glasses": 0.1, "sunglasses": 0.05, "mask": 0.05, "cap": 0.05, "beanie": 0.05, "scarf": 0.05},
    },
    "phantom-counterfactual-v1": {
        "sha256": "b8f191b8ec08ece7f8367746b22f4b7c884c63d16b0410b22e62e1f392134c27",
        "identities": 36,
        "images_per_identity": 2,
        "seed": 23,
        "tier": "easy",
        "full_cross": True,
        "sweeps": {
            "tone": (0.1, 0.3, 0.5, 0.7, 0.9),
            "age": (22, 38, 54, 70),
            "sex": ("female", "male"),
            "hair": ("short", "long", "curly", "bald"),
            "expression": ("smile", "laugh", "surprise", "frown"),
            "yaw": (-0.6, -0.3, 0.3, 0.6),
            "pitch": (-0.3, 0.3),
            "light": (-1.2, -0.6, 0.6, 1.2),
            "accessory": ("glasses", "sunglasses", "mask", "cap", "scarf"),
        },
    },
    "phantom-parts-v1": {
        "sha256": "b4fd97df17622a5dbb767ce068bdf102e07e744e62ad225ba394b061b408c08e",
        "identities": 18,
        "images_per_identity": 2,
        "seed": 24,
        "tier": "easy",
        "full_cross": True,
        "labels": True,
        "part_swaps": ("eyes", "brows", "nose", "mouth", "jaw", "layout"),
    },
}
"""What each set was rendered with, and the sha256 of its file."""


def shipped_names() -> list[str]:
    """Return the names of the shipped sets."""
    return sorted(SETS)


def shipped_dataset(name: str) -> Path:
    """Return the file of a shipped set.

    Raises:
        UnknownNameError: no such set.
        InputError: the file is missing or damaged.
    """
    if name not in SETS:
        raise UnknownNameError("shipped dataset", name, SETS)
    path = _FOLDER / f"{name}.zip"
    if not path.is_file() or sha256_file(path) != SETS[name]["sha256"]:
        raise InputError(f"the shipped dataset {name} is missing or damaged ({path}); reinstall facebench")
    return path


def builtin_path(path: Path) -> Path:
    """Return the file behind ``builtin:NAME``; any other path as it is."""
    text = str(path)
    return shipped_dataset(text.removeprefix(BUILTIN)) if text.startswith(BUILTIN) else path


def build(
    name: str,
    path: Path,
    progress: Callable[[int, int], None] | None = None,
    *,
    workers: int = 2,
    folder: Path | None = None,
) -> str:
    """Render a set and write it as one zip; return the file's sha256. `folder` keeps the rendered files."""
    from facebench.phantoms.dataset import write_dataset

    if name not in SETS:
        raise UnknownNameError("shipped dataset", name, SETS)
    request = {key: value for key, value in SETS[name].items() if key != "sha256"}
    with TemporaryDirectory() as temporary:
        root = folder or Path(temporary)
        write_dataset(root, **request, workers=workers, progress=progress)
        write_atomic(path, _pack(root))
    return sha256_file(path)


def _pack(root: Path) -> bytes:
    """Return a zip of manifest.csv, dataset.json, images and masks, the same bytes for the same files."""
    with (root / "manifest.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    exact = {row["image_id"] for row in rows if row.get("swap_of")} | {row.get("swap_of") for row in rows}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        members: dict[str, bytes] = {}
        for row in rows:
            lossless = row["image_id"] in exact
            source, row["path"] = row["path"], row["path"].replace(".png", ".webp" if lossless else ".jpg")
            members[row["path"]] = _encoded(root / source, **(WEBP if lossless else JPEG))
            for mask in filter(None, (row.get("region_mask"), row.get("change_mask"))):
                members[mask] = _encoded(root / mask, format="PNG", optimize=True)
        _add(archive, "manifest.csv", _csv(rows))
        about = json.loads((root / "dataset.json").read_text(encoding="utf-8"))
        about.pop("manifest_sha256", None)
        _add(archive, "dataset.json", (json.dumps({**about, "phantom": True}, indent=1) + "\n").encode())
        for member in sorted(members):
            _add(archive, member, members[member])
    return buffer.getvalue()


def _csv(rows: list[dict[str, str]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    kind = zipfile.ZIP_DEFLATED if name.endswith((".csv", ".json")) else zipfile.ZIP_STORED
    archive.writestr(zipfile.ZipInfo(name, _EPOCH), content, kind)


def _encoded(path: Path, **encoding: Any) -> bytes:
    """A picture in another encoding, without the notes inside the file."""
    import numpy as np
    from PIL import Image

    buffer = io.BytesIO()
    with Image.open(path) as image:
        Image.fromarray(np.asarray(image)).save(buffer, **encoding)
    return buffer.getvalue()
