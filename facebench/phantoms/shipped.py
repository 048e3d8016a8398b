"""The phantom datasets shipped with FaceBench: byte-identical for everyone, checked before every use.

Each set is one zip of JPEG images and a manifest. `build` renders a set again; its bytes may differ in a last bit
between machines, which is why the sets are shipped and not rendered on demand.

Run ``python -m facebench.phantoms.shipped NAME FILE`` to build one.
"""

from __future__ import annotations

import io
import json
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from facebench.errors import InputError, UnknownNameError
from facebench.files import sha256_file, write_atomic

_FOLDER = Path(__file__).resolve().parent / "sets"
_EPOCH = (2020, 1, 1, 0, 0, 0)
_JPEG_QUALITY = 95

SETS: dict[str, dict[str, Any]] = {
    "phantom-smoke-v1": {
        "sha256": "f1ba1b5ef8b3684ea50125e2f80138e82d3852192981bb7c82168fcce3e1fa61",
        "identities": 72,
        "images_per_identity": 4,
        "seed": 20,
        "tier": "default",
        "full_cross": True,
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


def build(name: str, path: Path, progress: Callable[[int, int], None] | None = None) -> str:
    """Render a set and write it as one zip; return the file's sha256."""
    from facebench.phantoms.dataset import write_dataset

    request = {key: value for key, value in SETS[name].items() if key != "sha256"}
    with TemporaryDirectory() as folder:
        root = Path(folder)
        write_dataset(root, **request, workers=2, progress=progress)
        write_atomic(path, _pack(root))
    return sha256_file(path)


def _pack(root: Path) -> bytes:
    """Return a zip of manifest.csv, dataset.json and the images as JPEG, the same bytes for the same files."""
    manifest = (root / "manifest.csv").read_text(encoding="utf-8").replace(".png", ".jpg")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        _add(archive, "manifest.csv", manifest.encode())
        about = json.loads((root / "dataset.json").read_text(encoding="utf-8"))
        about.pop("manifest_sha256", None)
        _add(archive, "dataset.json", (json.dumps({**about, "phantom": True}, indent=1) + "\n").encode())
        for image in sorted(root.glob("images/**/*.png")):
            _add(archive, image.relative_to(root).with_suffix(".jpg").as_posix(), _jpeg(image))
    return buffer.getvalue()


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    kind = zipfile.ZIP_STORED if name.endswith(".jpg") else zipfile.ZIP_DEFLATED
    archive.writestr(zipfile.ZipInfo(name, _EPOCH), content, kind)


def _jpeg(path: Path) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    with Image.open(path) as image:
        image.convert("RGB").save(buffer, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
    return buffer.getvalue()


if __name__ == "__main__":
    print(build(sys.argv[1], Path(sys.argv[2])))  # noqa: T201 - a command
