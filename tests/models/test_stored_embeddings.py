"""Embeddings of other tools: images without one, ids with other endings, pickles, CSV and HDF5."""

from __future__ import annotations

import csv
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facebench.models import load_model
from facebench.models.foreign_embeddings import convert_embeddings
from tests.command_line import Shell


def ids_of(people: Path) -> list[str]:
    with (people / "manifest.csv").open(encoding="utf-8", newline="") as rows:
        return [row["image_id"] for row in csv.DictReader(rows)]


def vectors(n: int) -> np.ndarray:
    return np.random.default_rng(3).standard_normal((n, 32)).astype(np.float32)


def model(folder: Path, extra: str = "", weights: str = "e.npz") -> Path:
    path = folder / "m.yaml"
    path.write_text(f"name: m\nadapter: embeddings\nweights: {weights}\n{extra}", encoding="utf-8")
    return path


def save(folder: Path, ids: list[str]) -> None:
    np.savez(folder / "e.npz", embeddings=vectors(len(ids)), image_ids=np.array(ids))


def test_images_without_a_face_count_as_failures_when_that_is_said(shell: Shell, people: Path) -> None:
    ids = ids_of(people)
    save(shell.folder, ids[:-6])
    told = shell.refused("run", model(shell.folder), "verification", "--data", f"faces={people}")
    assert f"6 of {len(ids)} images have no embedding" in told
    assert "missing: failures" in told
    found = shell.run(model(shell.folder, "missing: failures\n"), people)
    assert [f["image_id"] for f in found["failures"]] == ids[-6:]
    assert {f["reason"] for f in found["failures"]} == {"there is no embedding of this image"}
    assert found["data"]["n_failed"] == 6
    assert "6 images could not be used" in shell.out


def test_ids_of_another_dataset_are_never_all_failures(shell: Shell, people: Path) -> None:
    save(shell.folder, ["x", "y"])
    path = model(shell.folder, "missing: failures\n")
    told = shell.refused("run", path, "verification", "--data", f"faces={people}")
    assert "ids must be those of the manifest (the file has x, y, ...)" in told
    assert "missing: failures" not in told


def test_ids_off_by_their_ending_are_matched_where_that_is_plain(tmp_path: Path) -> None:
    save(tmp_path, ["a.jpg", "b.JPEG", "c.png", "c.jpg", "v1.2"])
    stored = load_model(model(tmp_path, "missing: failures\n"))
    found = stored.lookup(["a", "b.png", "c", "c.png", "v1.3", "v1.2.png"])
    rows = vectors(5)
    np.testing.assert_array_equal(found[[0, 1, 3, 5]], rows[[0, 1, 2, 4]])
    np.testing.assert_array_equal(found[2], rows[3])  # c.png is asked for by its name, which leaves c.jpg
    assert np.isnan(found[4]).all()
    save(tmp_path, ["c.png", "c.jpg"])
    assert np.isnan(load_model(model(tmp_path, "missing: failures\n")).lookup(["c", "c.jpg.png", "c.png"])[1]).all()


IDS = ["a", "b", "c"]
ROWS = vectors(3)
FORMS: dict[str, Any] = {
    "by id": dict(zip(IDS, ROWS, strict=True)),
    "float64 lists": {name: row.astype(float).tolist() for name, row in zip(IDS, ROWS, strict=True)},
    "lists of one face": {name: [row] for name, row in zip(IDS, ROWS, strict=True)},
    "two lists": {"encodings": list(ROWS), "filenames": IDS},
    "arrays": {"embeddings": ROWS, "image_ids": np.array(IDS)},
    "deepface": [
        {"identity": name, "hash": "x", "embedding": row.tolist(), "target_x": 3, "confidence": 0.5}
        for name, row in zip(IDS, ROWS, strict=True)
    ],
    "old deepface": [[name, row.tolist()] for name, row in zip(IDS, ROWS, strict=True)],
    "pairs": list(zip(IDS, ROWS, strict=True)),
    "dictionaries by id": {name: {"embedding": row} for name, row in zip(IDS, ROWS, strict=True)},
    "big-endian": {name: row.astype(">f8") for name, row in zip(IDS, ROWS, strict=True)},
    "numpy numbers": {name: list(row) for name, row in zip(IDS, ROWS, strict=True)},
}


@pytest.mark.parametrize("protocol", [0, 2, 5])
@pytest.mark.parametrize("form", FORMS)
def test_pickles_are_converted(form: str, protocol: int, tmp_path: Path) -> None:
    (tmp_path / "e.pkl").write_bytes(pickle.dumps(FORMS[form], protocol))
    done = convert_embeddings(tmp_path / "e.pkl", tmp_path / "e.npz")
    assert (done.n_rows, done.n_values, done.n_missing) == (3, 32, 0)
    np.testing.assert_array_equal(load_model(model(tmp_path)).lookup(["c", "a", "b"]), ROWS[[2, 0, 1]])


def test_a_pickle_through_the_command_line(shell: Shell, people: Path) -> None:
    ids = ids_of(people)
    rows = dict(zip((f"images/{name}.png" for name in ids), vectors(len(ids)), strict=True))
    rows[f"images/{ids[0]}.png"] = []  # as tools write it where no face was found
    rows[f"images/{ids[1]}.png"] = None
    (shell.folder / "e.pkl").write_bytes(pickle.dumps(rows))
    told = shell.refused("run", model(shell.folder, weights="e.pkl"), "verification", "--data", f"faces={people}")
    line = next(part for part in told.split(": ") if part.startswith("facebench data")).split("; ")[0]
    assert shell(*line.split()[1:], "--ids", "stem") == 0
    assert "2 images have no vector" in shell.out
    found = shell.run(model(shell.folder), people)
    assert [f["image_id"] for f in found["failures"]] == ids[:2]


@pytest.mark.parametrize("header", ["", "file,v0,v1\n"])
@pytest.mark.parametrize("delimiter", [",", ";"])
def test_csv_is_converted(header: str, delimiter: str, tmp_path: Path) -> None:
    text = header + "a.png,1,2\nb.png,3.5,-4e-1\nc.png,,\n"
    (tmp_path / "e.csv").write_text(text.replace(",", delimiter), encoding="utf-8")
    done = convert_embeddings(tmp_path / "e.csv", tmp_path / "e.npz")
    assert (done.n_rows, done.n_values, done.n_missing) == (3, 2, 1)
    found = load_model(model(tmp_path)).lookup(["a", "b", "c"])
    np.testing.assert_array_equal(found, np.array([[1, 2], [3.5, -0.4], [np.nan, np.nan]], np.float32))


def test_hdf5_is_converted_or_names_what_it_needs(shell: Shell) -> None:
    try:
        import h5py
    except ImportError:
        (shell.folder / "e.h5").write_bytes(b"")
        told = shell.refused("data", "convert-embeddings", shell.folder / "e.h5", shell.folder / "e.npz")
        assert "pip install h5py" in told
        return
    with h5py.File(shell.folder / "e.h5", "w") as stored:
        stored["embs"], stored["filenames"] = ROWS, IDS
    assert shell("data", "convert-embeddings", shell.folder / "e.h5", shell.folder / "e.npz") == 0
    np.testing.assert_array_equal(load_model(model(shell.folder)).lookup(IDS), ROWS)


class Hostile:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"encodings": list(ROWS), "names": ["ann", "ann", "bob"]}, "no list of image ids"),
        ([("ann", ROWS[0]), ("ann", ROWS[1])], "the id 'ann' occurs twice"),
        ({"a": ROWS[0], "b": ROWS[1][:5]}, "they need one length"),
        ({"a": ROWS}, "several faces"),
        ({"a": {"x": 1}}, "not one entry holds a vector"),
        ({"a": "words"}, "no vector of numbers"),
        ({}, "holds no embeddings"),
        (3, "expected embeddings by image id"),
        ([1, 2], "entry 0: expected an image id and its vector"),
        ({"a": np.array([None], object)}, "it holds an array of 'O8'"),
        ({"embeddings": ROWS, "paths": IDS[:2]}, "3 embeddings, but 2 image ids"),
    ],
)
def test_what_is_no_embedding_by_image_is_refused(content: object, told: str, shell: Shell) -> None:
    (shell.folder / "e.pkl").write_bytes(pickle.dumps(content))
    assert told in shell.refused("data", "convert-embeddings", shell.folder / "e.pkl", shell.folder / "e.npz")
    assert not (shell.folder / "e.npz").exists()


def test_code_in_a_pickle_is_refused_and_not_run(shell: Shell) -> None:
    mark = shell.folder / "ran"
    for content in ({"a": Hostile(mark)}, Hostile(mark), [Hostile(mark)]):
        (shell.folder / "e.pkl").write_bytes(pickle.dumps(content))
        told = shell.refused("data", "convert-embeddings", shell.folder / "e.pkl", shell.folder / "e.npz")
        assert "it asks to load" in told
    assert not mark.exists()
