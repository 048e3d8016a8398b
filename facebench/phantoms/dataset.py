"""Phantom faces as a folder of files, or as arrays in memory."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin

from facebench.errors import InputError
from facebench.files import write_atomic
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
from facebench.phantoms.plan import Shot, Studio, shots
from facebench.phantoms.pool import spread
from facebench.phantoms.population import Cell, Request
from facebench.phantoms.regions import contact_sheet
from facebench.phantoms.renderer import RENDERER_VERSION, RenderedFace
from facebench.phantoms.sampling import TierName
from facebench.phantoms.table import parameter_columns, parameter_vector

FORMAT_VERSION = 1
_SHEET_ROWS, _SHEET_COLUMNS = 24, 12
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


@dataclass(frozen=True)
class Extras:
    """What is written beside images and five landmarks: label maps, 68 landmarks."""

    labels: bool
    landmarks68: bool


def iter_faces(request: Request) -> Iterator[Face]:
    """Render the images of a request one by one, identity by identity."""
    for number, cell in zip(request.identity_numbers, request.cells(), strict=True):
        yield from _render_identity(request, number, cell)


def render_arrays(request: Request, *, workers: int = 1) -> FaceArrays:
    """Render all images of a request into arrays; the result does not depend on `workers`."""
    tasks = zip(request.identity_numbers, request.cells(), strict=True)
    faces = [
        face
        for group in spread(_render_identity, [(request, *task) for task in tasks], workers, warm_up)
        for face in group
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
    landmarks68: bool = False,
    accessories: Mapping[str, float] | None = None,
    sweeps: Mapping[str, Sequence[float | str]] | None = None,
    part_swaps: Sequence[str] = (),
    sheet: bool = False,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write phantom faces, their manifest and their parameters below `out`; returns the manifest's path.

    The files depend on the request alone, byte for byte, whatever the number of workers. A run that was stopped
    resumes where it was: complete images are kept, anything else is rendered again. `progress` is called with
    (images done, images in all).

    Layout: `images/<identity>/<k>.png`, `labels/<identity>/<k>.png` when asked for, `changes/<identity>-<part>.png`
    for part swaps, `manifest.csv`, `parameters.npz` (`image_id`, `columns`, `values`) and `dataset.json`.
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
        sweeps=sweeps or {},
        part_swaps=tuple(part_swaps),
    )
    out = Path(out)
    extras = Extras(labels, landmarks68)
    description = _describe(request, extras)
    _prepare(out, description)
    tasks = [
        (out, request, number, cell, extras)
        for number, cell in zip(request.identity_numbers, request.cells(), strict=True)
    ]
    rows: list[dict[str, str]] = []
    values: list[FloatArray] = []
    for identity_rows, identity_values in spread(_write_identity, tasks, workers, warm_up):
        rows += identity_rows
        values += identity_values
        if progress is not None:
            progress(len(rows), request.images)
    manifest = _manifest(rows, request, extras)
    write_atomic(out / "manifest.csv", manifest)
    write_atomic(out / "parameters.npz", _parameters(rows, values))
    description["manifest_sha256"] = hashlib.sha256(manifest).hexdigest()
    write_atomic(out / "dataset.json", _json(description))
    if sheet:
        write_atomic(out / "contact-sheet.png", _sheet(out, rows))
    return out / "manifest.csv"


def warm_up() -> None:
    """Compile the kernels, or load them from disk, so that worker processes find them there."""
    next(iter_faces(Request(identities=1, images_per_identity=1, size=32)))


def _render_identity(request: Request, number: int, cell: Cell) -> list[Face]:
    planned = shots(request, number, cell)
    studio = Studio(planned[0], request.size)
    return [Face(shot.image_id, shot.identity, shot.subject, shot.nuisance, studio.render(shot)) for shot in planned]


def _write_identity(
    out: Path, request: Request, number: int, cell: Cell, extras: Extras
) -> tuple[list[dict[str, str]], list[FloatArray]]:
    """Write the missing images of one identity; returns its manifest rows and parameter vectors."""
    planned = shots(request, number, cell)
    studio = Studio(planned[0], request.size)
    rows, values = [], []
    written: list[Future[None]] = []
    with ThreadPoolExecutor(1) as writer:  # the disk is waited for while the next face is rendered
        for shot in planned:
            recipe = _recipe(request, number, shot, cell)
            files = _files(shot, extras)
            notes = [_note_on_disk(out / path, recipe) for path in files.values()]
            note = notes[0]
            if note is None or None in notes or (extras.landmarks68 and "landmarks68" not in note):
                face = studio.render(shot)
                note = _note(face, extras)
                pictures = {"images": face.image, "labels": face.labels}
                if shot.swapped:
                    pictures["changes"] = studio.changed(face).astype(np.uint8) * 255
                paths = {out / path: pictures[kind] for kind, path in files.items()}
                written.append(writer.submit(_write_pictures, paths, recipe, note))
            rows.append(_row(shot, planned[0].subject, files, note, extras))
            values.append(parameter_vector(shot.subject, shot.nuisance))
    for pictures_of_a_shot in written:
        pictures_of_a_shot.result()  # raises what went wrong
    return rows, values


def _files(shot: Shot, extras: Extras) -> dict[str, str]:
    """Paths of a shot's files by kind; the image comes first."""
    files = {"images": f"images/{shot.stem}.png"}
    if extras.labels:
        files["labels"] = f"labels/{shot.stem}.png"
    if shot.swapped:
        files["changes"] = shot.columns["change_mask"]
    return files


def _write_pictures(pictures: Mapping[Path, ByteArray], recipe: str, note: dict[str, str]) -> None:
    # The image goes last: it is what a resumed run looks for first.
    for path in reversed(list(pictures)):
        write_atomic(path, _png(pictures[path], recipe, note))


def _row(shot: Shot, own: Subject, files: dict[str, str], note: dict[str, str], extras: Extras) -> dict[str, str]:
    """Manifest row. Sex, tone and age are those of the identity, also in the images of a sweep."""
    row = {
        "image_id": shot.image_id,
        "path": files["images"],
        "identity": shot.identity,
        "sex": own.sex.value,
        "tone": own.tone.value,
        "age_band": own.age_band.value,
        "age": f"{own.age:.2f}",
        "accessory": shot.nuisance.wear.kind.value,
        "landmarks": note["landmarks"],
    }
    if extras.labels:
        row["region_mask"] = files["labels"]
    if extras.landmarks68:
        row["landmarks68"] = note["landmarks68"]
    return row | shot.columns


def _recipe(request: Request, number: int, shot: Shot, cell: Cell) -> str:
    """Fingerprint of all that decides an image's pixels; stored in the file, so that a stale one is never kept."""
    parts = {
        "renderer": RENDERER_VERSION,
        "seed": request.seed,
        "identity": number,
        "image": shot.index,
        "tier": request.tier,
        "size": request.size,
        "cell": [None if level is None else level.value for level in (cell.sex, cell.tone, cell.age_band)],
        "accessories": sorted(request.accessories.items()),
    }
    if shot.edit:
        parts["edit"] = shot.edit
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]


def _note(face: RenderedFace, extras: Extras) -> dict[str, str]:
    """What the manifest says of an image beyond its request; kept inside the image, for a run that resumes."""
    note = {"landmarks": " ".join(f"{value:.3f}" for value in face.landmarks5.ravel())}
    if extras.landmarks68:
        note["landmarks68"] = " ".join(f"{value:.2f}" for value in face.landmarks68.ravel())
    return note


def _png(pixels: ByteArray, recipe: str, note: dict[str, str]) -> bytes:
    info = PngImagePlugin.PngInfo()
    info.add_text(_TEXT_KEY, ";".join([recipe, *note.values()]))
    buffer = io.BytesIO()
    # the default level takes 5 ms a picture, a twelfth of rendering it, to save a tenth of the size
    Image.fromarray(pixels).save(buffer, format="PNG", pnginfo=info, compress_level=1)
    return buffer.getvalue()


def _note_on_disk(path: Path, recipe: str) -> dict[str, str] | None:
    """The note inside a complete image made by the same recipe; None when there is no such image."""
    try:
        with Image.open(path) as image:
            image.load()
            found, *values = str(image.info.get(_TEXT_KEY, "")).split(";")
    except (OSError, SyntaxError, ValueError):
        return None
    return dict(zip(("landmarks", "landmarks68"), values, strict=False)) if found == recipe and values else None


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


def _describe(request: Request, extras: Extras) -> dict[str, object]:
    asked = asdict(request) | asdict(extras)
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


def _manifest(rows: list[dict[str, str]], request: Request, extras: Extras) -> bytes:
    columns = list(_COLUMNS)
    columns += ["region_mask"] if extras.labels else []
    columns += ["landmarks68"] if extras.landmarks68 else []
    columns += ["counterfactual_of", "attribute", "level"] if request.sweeps else []
    columns += ["swap_of", "part", "change_mask"] if request.part_swaps else []
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
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


def _sheet(out: Path, rows: list[dict[str, str]]) -> bytes:
    """The images of the first identities, one row each, as PNG."""
    by_identity: dict[str, list[str]] = {}
    for row in rows:
        by_identity.setdefault(row["path"].split("/")[1], []).append(row["path"])
    chosen = [paths[:_SHEET_COLUMNS] for paths in list(by_identity.values())[:_SHEET_ROWS]]
    columns = max(map(len, chosen))
    tiles = []
    for paths in chosen:
        pictures = [np.asarray(Image.open(out / path)) for path in paths]
        tiles += pictures + [np.full_like(pictures[0], 24)] * (columns - len(pictures))
    buffer = io.BytesIO()
    Image.fromarray(contact_sheet(tiles, columns, gap=2)).save(buffer, format="PNG")
    return buffer.getvalue()
