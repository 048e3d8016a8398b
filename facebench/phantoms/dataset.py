"""Phantom faces as a folder of files, or as arrays in memory."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed
from PIL import Image, PngImagePlugin

from facebench.errors import InputError, WriteError
from facebench.phantoms._kernel import ByteArray, FloatArray
from facebench.phantoms.labels import LABEL_NAMES
from facebench.phantoms.parameters import (
    AGE_EDGES,
    TONE_EDGES,
    Accessory,
    HairStyle,
    Nuisance,
    Subject,
)
from facebench.phantoms.population import Cell, Request, nuisance_of, people, subject_of
from facebench.phantoms.renderer import RENDERER_VERSION, RenderedFace, render
from facebench.phantoms.sampling import TierName
from facebench.phantoms.table import parameter_columns, parameter_vector

FORMAT_VERSION = 1
_TEXT_KEY = "facebench-phantom"
_COLUMNS = ["image_id", "path", "identity", "sex", "tone", "age_band", "age", "accessory", "landmarks"]


@dataclass(frozen=True)
class Face:
    """One image of a request, with all that is known of it."""

    image_id: str
    identity: str
    subject: Subject
    nuisance: Nuisance
    rendered: RenderedFace


@dataclass(frozen=True)
class FaceArrays:
    """A request in memory: images (N, H, W, 3), labels (N, H, W), landmarks (N, 5, 2) and one entry per image."""

    images: ByteArray
    labels: ByteArray
    landmarks5: FloatArray
    identities: list[str]
    subjects: list[Subject]
    nuisances: list[Nuisance]


def identity_name(number: int) -> str:
    """Name of an identity; the letter keeps readers from taking it for a number."""
    return f"p{number:06d}"


def iter_faces(request: Request) -> Iterator[Face]:
    """Render the images of a request one by one, identity by identity."""
    for number, subject in people(request):
        for index in range(request.images_per_identity):
            nuisance = nuisance_of(request, number, index)
            name = identity_name(number)
            yield Face(f"{name}-{index:03d}", name, subject, nuisance, render(subject, nuisance, request.size))


def render_arrays(request: Request, *, workers: int = 1) -> FaceArrays:
    """Render all images of a request into arrays; the result does not depend on `workers`."""
    tasks = zip(request.identity_numbers, request.cells(), strict=True)
    faces = [
        face for group in _spread(_render_identity, [(request, *task) for task in tasks], workers) for face in group
    ]
    return FaceArrays(
        images=np.stack([face.rendered.image for face in faces]),
        labels=np.stack([face.rendered.labels for face in faces]),
        landmarks5=np.stack([face.rendered.landmarks5 for face in faces]),
        identities=[face.identity for face in faces],
        subjects=[face.subject for face in faces],
        nuisances=[face.nuisance for face in faces],
    )


def write_dataset(
    out: Path,
    *,
    identities: int,
    images_per_identity: int,
    seed: int = 0,
    tier: TierName = "default",
    first_identity: int = 0,
    size: int = 112,
    attributes: Mapping[str, Mapping[str, float]] | None = None,
    full_cross: bool = False,
    labels: bool = False,
    accessories: Mapping[str, float] | None = None,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write phantom faces, their manifest and their parameters below `out`; returns the manifest's path.

    The files depend on the request alone, byte for byte, whatever the number of workers. A run that was stopped
    resumes where it was: complete images are kept, anything else is rendered again. `progress` is called with
    (images done, images in all).

    Layout: `images/<identity>/<k>.png`, `labels/<identity>/<k>.png` when asked for, `manifest.csv`,
    `parameters.npz` (`image_id`, `columns`, `values`) and `dataset.json`.
    """
    request = Request(
        identities=identities,
        images_per_identity=images_per_identity,
        seed=seed,
        tier=tier,
        first_identity=first_identity,
        size=size,
        attributes=attributes or {},
        full_cross=full_cross,
        accessories=accessories or {},
    )
    out = Path(out)
    description = _describe(request, labels)
    _prepare(out, description)
    tasks = [
        (out, request, number, cell, labels)
        for number, cell in zip(request.identity_numbers, request.cells(), strict=True)
    ]
    rows: list[dict[str, str]] = []
    values: list[FloatArray] = []
    for identity_rows, identity_values in _spread(_write_identity, tasks, workers):
        rows += identity_rows
        values += identity_values
        if progress is not None:
            progress(len(rows), request.images)
    manifest = _manifest(rows, labels)
    _write(out / "manifest.csv", manifest)
    _write(out / "parameters.npz", _parameters(rows, values))
    description["manifest_sha256"] = hashlib.sha256(manifest).hexdigest()
    _write(out / "dataset.json", _json(description))
    return out / "manifest.csv"


def _spread(function: Callable, tasks: list[tuple], workers: int) -> Iterator:  # type: ignore[type-arg]
    """Results of `function(*task)` in order, here or in worker processes."""
    if workers < 1:
        raise InputError(f"workers is {workers}; at least one process has to do the work.")
    if workers == 1 or len(tasks) == 1:
        return (function(*task) for task in tasks)
    warm_up()
    parallel = Parallel(n_jobs=min(workers, len(tasks)), return_as="generator")
    results: Iterator = parallel(delayed(function)(*task) for task in tasks)  # type: ignore[type-arg]
    return results


def warm_up() -> None:
    """Compile the kernels, or load them from disk, so that worker processes find them there."""
    next(iter_faces(Request(identities=1, images_per_identity=1, size=32)))


def _render_identity(request: Request, number: int, cell: Cell) -> list[Face]:
    subject = subject_of(request, number, cell)
    name = identity_name(number)
    faces = []
    for index in range(request.images_per_identity):
        nuisance = nuisance_of(request, number, index)
        faces.append(Face(f"{name}-{index:03d}", name, subject, nuisance, render(subject, nuisance, request.size)))
    return faces


def _write_identity(
    out: Path, request: Request, number: int, cell: Cell, labels: bool
) -> tuple[list[dict[str, str]], list[FloatArray]]:
    """Write the missing images of one identity; returns its manifest rows and parameter vectors."""
    subject = subject_of(request, number, cell)
    name = identity_name(number)
    rows, values = [], []
    for index in range(request.images_per_identity):
        nuisance = nuisance_of(request, number, index)
        path = f"images/{name}/{index:03d}.png"
        mask = f"labels/{name}/{index:03d}.png"
        recipe = _recipe(request, number, index, cell)
        landmarks = _landmarks_on_disk(out / path, recipe)
        if landmarks is None or (labels and _landmarks_on_disk(out / mask, recipe) is None):
            face = render(subject, nuisance, request.size)
            landmarks = " ".join(f"{value:.3f}" for value in face.landmarks5.ravel())
            # The image goes last: it is what a resumed run looks for first.
            if labels:
                _write(out / mask, _png(face.labels, recipe, landmarks))
            _write(out / path, _png(face.image, recipe, landmarks))
        row = {
            "image_id": f"{name}-{index:03d}",
            "path": path,
            "identity": name,
            "sex": subject.sex.value,
            "tone": subject.tone.value,
            "age_band": subject.age_band.value,
            "age": f"{subject.age:.2f}",
            "accessory": nuisance.wear.kind.value,
            "landmarks": landmarks,
        }
        if labels:
            row["region_mask"] = mask
        rows.append(row)
        values.append(parameter_vector(subject, nuisance))
    return rows, values


def _recipe(request: Request, number: int, index: int, cell: Cell) -> str:
    """Fingerprint of all that decides an image's pixels; stored in the file, so that a stale one is never kept."""
    parts = {
        "renderer": RENDERER_VERSION,
        "seed": request.seed,
        "identity": number,
        "image": index,
        "tier": request.tier,
        "size": request.size,
        "cell": [None if level is None else level.value for level in (cell.sex, cell.tone, cell.age_band)],
        "accessories": sorted(request.accessories.items()),
    }
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]


def _png(pixels: ByteArray, recipe: str, landmarks: str) -> bytes:
    info = PngImagePlugin.PngInfo()
    info.add_text(_TEXT_KEY, f"{recipe};{landmarks}")
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", pnginfo=info)
    return buffer.getvalue()


def _landmarks_on_disk(path: Path, recipe: str) -> str | None:
    """Landmarks stored in a complete image made by the same recipe; None when there is no such image."""
    try:
        with Image.open(path) as image:
            image.load()
            found, _, landmarks = str(image.info.get(_TEXT_KEY, "")).partition(";")
    except (OSError, SyntaxError, ValueError):
        return None
    return landmarks if found == recipe else None


def _write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise WriteError(
            f"cannot write {path}: {error.strerror or error}. Free some space, then run it again."
        ) from error


def _prepare(out: Path, description: Mapping[str, object]) -> None:
    """Make sure that `out` can take this dataset and does not hold another one."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe = out / f".probe.{os.getpid()}"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise InputError(
            f"cannot write phantom faces to {out}: {error.strerror or error}. Choose a folder you may write to."
        ) from error
    try:
        known = json.loads((out / "dataset.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    if not isinstance(known, dict) or {key: known.get(key) for key in description} != json.loads(_json(description)):
        raise InputError(
            f"{out} holds another dataset (see its dataset.json). Choose another folder, or empty it first."
        )


def _describe(request: Request, labels: bool) -> dict[str, object]:
    asked = asdict(request) | {"labels": labels}
    return {
        "format": FORMAT_VERSION,
        "kind": "phantom faces",
        "renderer": RENDERER_VERSION,
        "request": asked,
        "images": request.images,
        "alignment": "arcface-112",
        "bands": {
            "tone (melanin)": {tone.value: edges for tone, edges in TONE_EDGES.items()},
            "age_band (years)": {band.value: edges for band, edges in AGE_EDGES.items()},
        },
        "labels": list(LABEL_NAMES),
        "hair_styles": [style.value for style in HairStyle],
        "accessories": [accessory.value for accessory in Accessory],
        "note": "Phantoms show that a difference can be detected. Their groups are set by hand: no result on them "
        "says anything about people.",
    }


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def _manifest(rows: list[dict[str, str]], labels: bool) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, _COLUMNS + (["region_mask"] if labels else []), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _parameters(rows: list[dict[str, str]], values: list[FloatArray]) -> bytes:
    """An npz archive with a fixed date in it: numpy's own stamps the time, so no two files would be equal."""
    arrays = {
        "image_id": np.array([row["image_id"] for row in rows]),
        "columns": np.array(parameter_columns()),
        "values": np.stack(values),
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, array, allow_pickle=False)
            info = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, member.getvalue())
    return buffer.getvalue()
