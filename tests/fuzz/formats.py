"""Every format that is read from users' hands: a valid small example and the function that reads it."""

from __future__ import annotations

import contextlib
import io
import json
import pickle
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from facebench.data import OWN_PAIRS, OWN_TEMPLATE_PAIRS, decode, load_dataset
from facebench.data.scores import read_scores
from tests.data.factory import IMAGES, MANIFEST, PAIRS, encode, pixels, png
from tests.data.writers import benchmarks as make
from tests.data.writers.scores import BFW_HEADER, bee, bfw_row

Files = dict[str, bytes]


@dataclass(frozen=True)
class Format:
    """One format: files of which `target` is mutated, and what reads the folder they lie in."""

    name: str
    files: Files
    target: str
    kind: str  # text, json or binary: how it is mutated
    read: Callable[[Path], object]
    share: float = 1.0  # of the examples; slow readers get fewer
    writes: bool = False  # the reader changes its files, which are written again for each example


def raw(files: dict[str, Any]) -> Files:
    return {name: content if isinstance(content, bytes) else content.encode() for name, content in files.items()}


def dataset(pairs: str | None = None, file: str = "") -> Callable[[Path], object]:
    def read(root: Path) -> object:
        found = load_dataset(root / file if file else root, pairs=pairs)
        for image in found.images[:2]:
            with contextlib.suppress(Exception):
                image.read()
        return found.summary()

    return read


def bfw() -> Files:
    rows = [bfw_row(p1="a/1.jpg", p2="a/2.jpg"), bfw_row(p1="a/1.jpg", p2="w/1.jpg", id2="n9", label=0, g2="M", fold=2)]
    return raw({"bfw.csv": "\n".join([BFW_HEADER, *rows]) + "\n"})


def lfw() -> Files:
    pairs = "2\t1\nAnn\t1\t2\nAnn\t1\tBob\t1\nBob\t1\t2\nAnn\t2\tBob\t2\n"
    faces = {f"{name}/{name}_{n:04d}.png": png(n) for name in ("Ann", "Bob") for n in (1, 2)}
    return raw({"pairs.txt": pairs, "people.txt": "1\n2\nAnn\t2\nBob\t2\n", **faces})


def parquet(text: str) -> bytes:
    import pandas as pd

    stream = io.BytesIO()
    pd.read_csv(io.StringIO(text)).to_parquet(stream)
    return stream.getvalue()


def archive(files: Files) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in files.items():
            packed.writestr(name, content)
    return stream.getvalue()


def lists_of(name: str, write: Callable[[], dict[str, Any]], pairs: str | None) -> Iterator[Format]:
    """A format for every list of a published benchmark; its images are left away, as they are not opened."""
    files = raw(write())
    kinds = {".json": "json", ".mat": "binary"}
    for target in [file for file in files if not file.endswith((".jpg", ".png"))][:6]:
        kind = kinds.get(Path(target).suffix, "text")
        share = {"cfp": 0.1, "agedb": 0.02, "agedb records": 0.02}.get(name, 1.0)
        yield Format(f"{name} {target}", files, target, kind, dataset(pairs), share)


def dataset_formats() -> Iterator[Format]:
    manifest = raw(
        {"manifest.csv": MANIFEST, "pairs.csv": PAIRS, "dataset.json": '{"phantom": true, "a": [1]}', **IMAGES}
    )
    wide = (
        "image_id,path,identity,template_id,media_id,detector_score,role,landmarks,region_mask,age\n"
        "a,a.png,p,t1,m,0.5,gallery,1 2 3 4 5 6 7 8 9 10,a.png,3\nb,b.png,p,t2,m,0.5,probe,,,4\n"
        "c,c.png,q,t3,,1,probe,,,\n"
    )
    edits = (
        "image_id,path,identity,counterfactual_of,attribute,level,swap_of,part,change_mask,landmarks68\n"
        "a,a.png,p,,,,,,,\nb,b.png,p,a,age,old,a,nose,c.png,1 2\n"
    )
    templates = "template_a,template_b,genuine\nt1,t2,1\nt1,t3,0\n"
    yield Format("manifest", manifest, "manifest.csv", "text", dataset())
    yield Format("manifest with all columns", raw({"manifest.csv": wide}), "manifest.csv", "text", dataset())
    yield Format("manifest of edits", raw({"manifest.csv": edits}), "manifest.csv", "text", dataset())
    yield Format("pairs.csv", manifest, "pairs.csv", "text", dataset(OWN_PAIRS))
    yield Format("dataset.json", manifest, "dataset.json", "json", dataset())
    both = raw({"manifest.csv": wide, "template_pairs.csv": templates})
    yield Format("template_pairs.csv", both, "template_pairs.csv", "text", dataset(OWN_TEMPLATE_PAIRS))
    packed = {"manifest.parquet": parquet(MANIFEST), "pairs.parquet": parquet(PAIRS)}
    yield Format("manifest.parquet", packed, "manifest.parquet", "binary", dataset(), 0.5)
    yield Format("pairs.parquet", packed, "pairs.parquet", "binary", dataset("pairs.parquet"), 0.5)
    yield Format("zip", {"set.zip": archive(manifest)}, "set.zip", "binary", dataset(file="set.zip"))
    folders = raw({"ann/1.png": png(1), "bob/1.png": png(2), "attributes.csv": "identity,race,age\nann,x,3\nbob,y,\n"})
    yield Format("attributes.csv", folders, "attributes.csv", "text", dataset())
    yield Format("insightface .bin", {"a.bin": pickled()}, "a.bin", "binary", dataset(file="a.bin"))


def pickled() -> bytes:
    rng = np.random.default_rng(0)
    arrays = [np.frombuffer(png(3), np.uint8), rng.integers(0, 255, (4, 4, 3)).astype(np.uint8)]
    return pickle.dumps(([png(1), png(2), *arrays], [True, np.bool_(False)]))


def benchmark_formats() -> Iterator[Format]:
    yield from lists_of("lfw", lfw, OWN_PAIRS)
    yield from lists_of("cfp", make.cfp, "FP")
    yield from lists_of("calfw", make.calfw, OWN_PAIRS)
    yield from lists_of("agedb", make.agedb, OWN_PAIRS)
    yield from lists_of("agedb records", lambda: make.agedb("records"), OWN_PAIRS)
    yield from lists_of("rfw", make.rfw, OWN_PAIRS)
    yield from lists_of("bfw", bfw, OWN_PAIRS)
    yield from lists_of("ijb", make.ijb, OWN_TEMPLATE_PAIRS)
    yield from lists_of("nist", make.nist, OWN_TEMPLATE_PAIRS)
    yield from lists_of("fairface", make.fairface, None)
    megaface = raw(make.megaface())
    yield Format("megaface list", megaface, "list.json", "json", dataset(file="list.json"))


def scores(file: str, **options: str) -> Callable[[Path], object]:
    return lambda root: read_scores(root / file, options).summary()


def score_formats() -> Iterator[Format]:
    plain = (
        "a,b,genuine,score,fold,identity_a,identity_b,age_a,age_b,g_a,g_b,other\n"
        "x1,x2,1,0.9,0,x,x,3,3,m,m,1\nx1,y1,0,0.1,1,x,y,3,4,m,f,2\ny1,x2,0,0.2,1,y,x,4,3,f,m,3\n"
    )
    samples = "image_id,identity,age,g\na,p,3,m\nb,p,4,m\nc,q,5,f\n"
    nist = "enrollTempl verifTempl simScore returnCode\na b 0.9 0\na c 0.1 0\n"
    yield Format("scores csv", raw({"s.csv": plain}), "s.csv", "text", scores("s.csv"))
    yield Format("scores csv column", raw({"s.csv": plain}), "s.csv", "text", scores("s.csv", column="other"))
    bob = (
        "bio_ref_subject_id,bio_ref_template_id,bio_ref_g,probe_subject_id,probe_key,probe_g,probe_age,score\n"
        "x,x1,m,x,x2,m,3,0.9\nx,x1,m,y,y1,f,nan,0.1\n"
    )
    yield Format("scores bob csv", raw({"s.csv": bob}), "s.csv", "text", scores("s.csv"))
    yield Format("scores bfw", bfw(), "bfw.csv", "text", scores("bfw.csv", column="vgg16"))
    yield Format("scores bob 4", raw({"s.txt": "x x x2 0.9\nx y y1 0.1\ny y y2 1\n"}), "s.txt", "text", scores("s.txt"))
    yield Format("scores bob 5", raw({"s.txt": "x m1 x x2 0.9\nx m1 y y1 0.1\n"}), "s.txt", "text", scores("s.txt"))
    two = raw({"g.txt": "a b 0.9\nc d 0.8\n", "i.txt": "a c 0.1\nb d 0.2\n"})
    yield Format("scores pyeer", two, "g.txt", "text", scores("g.txt", impostor="i.txt"))
    cmc = raw({"s.txt": "q1 t1 0.9\nq1 t2 0.1\n", "m.txt": "q1 t1\n"})
    yield Format("scores cmc", cmc, "s.txt", "text", scores("s.txt", match="m.txt"))
    yield Format("scores cmc matches", cmc, "m.txt", "text", scores("s.txt", match="m.txt"))
    logs = raw({"s.txt": nist, "samples.csv": samples})
    yield Format("scores nist", logs, "s.txt", "text", scores("s.txt", samples="samples.csv"))
    yield Format("scores samples", logs, "samples.csv", "text", scores("s.txt", samples="samples.csv"))
    matrices = bee_files()
    for target in matrices:
        yield Format(f"scores {target}", matrices, target, "binary", scores("s.mtx"))


def bee_files() -> Files:
    import tempfile

    values = np.array([[1, 0.9, 0.1], [0.9, 1, 0.2], [0.1, 0.3, 1]], np.float32)
    mask = np.array([[0, 0xFF, 0x7F], [0xFF, 0, 0x7F], [0x7F, 0x7F, 0]], np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        return {
            "s.mtx": bee(Path(folder) / "s.mtx", values, form="S2", target="A", query="A").read_bytes(),
            "s.mask": bee(Path(folder) / "s.mask", mask, form="M2", target="A", query="A").read_bytes(),
        }


def image_formats() -> Iterator[Format]:
    picture = Image.fromarray(pixels(1, 24, 24))
    for kind in ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM", "AVIF", "JPEG2000"):
        data = encode(picture, kind)
        yield Format(f"image {kind}", {"x": data}, "x", "binary", lambda root: decode((root / "x").read_bytes()).shape)


@cache
def formats() -> tuple[Format, ...]:
    """Every format."""
    from tests.fuzz.records import record_formats

    found = (
        *dataset_formats(), *benchmark_formats(), *score_formats(), *image_formats(), *record_formats(),
    )  # fmt: skip
    assert len({one.name for one in found}) == len(found)
    return found


def refused_or_read(one: Format, root: Path, data: bytes) -> str:
    """Read a mutated file; returns what became of it, and lets every other exception through."""
    from facebench.errors import FaceBenchError

    (root / one.target).write_bytes(data)
    try:
        one.read(root)
    except FaceBenchError as error:
        text = str(error)
        assert text, "an error without a word"
        json.dumps(text).encode()
        return "refused"
    return "read"
