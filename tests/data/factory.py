"""Small pictures and dataset folders for the tests of `facebench.data`."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

REAL_DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"


def pixels(seed: int = 0, height: int = 6, width: int = 8) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def encode(image: Image.Image | np.ndarray, kind: str = "PNG", **options: Any) -> bytes:
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def png(seed: int = 0) -> bytes:
    return encode(pixels(seed))


def write_tree(root: Path, files: Mapping[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    root.mkdir(exist_ok=True)
    return root


def zip_tree(path: Path, files: Mapping[str, str | bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


MANIFEST = """image_id,path,identity,race,age
a1,images/a1.png,ann,asian,30
a2,images/a2.png,ann,asian,31.5
b1,images/b1.png,bob,black,
b2,images/b2.png,bob,,44
c1,images/c1.png,cid,white,50
"""
IMAGES = {f"images/{name}.png": png(seed) for seed, name in enumerate(("a1", "a2", "b1", "b2", "c1"))}
PAIRS = "image_a,image_b,genuine,fold\na1,a2,1,0\na1,b1,0,0\nb1,b2,1,1\nc1,b2,0,1\n"


def manifest_files(manifest: str = MANIFEST, **more: str | bytes) -> dict[str, str | bytes]:
    return {"manifest.csv": manifest, **IMAGES, **{name.replace("__", "."): text for name, text in more.items()}}
