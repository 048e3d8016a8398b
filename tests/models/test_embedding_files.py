"""Files of embeddings: mirrored halves, MegaFace features, and files that want to run code."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from facebench.errors import InputError
from facebench.models import load_model
from facebench.models.embedding_files import read_embeddings


def feature(values: list[float], n: int | None = None, rest: tuple[int, ...] = (1, 4, 5)) -> bytes:
    header = np.array([len(values) if n is None else n, *rest], "<i4")
    return header.tobytes() + np.array(values, "<f4").tobytes()


def megaface(folder: Path, rows: dict[str, bytes]) -> Path:
    path = folder / "list.json"
    path.write_text(json.dumps({"path": list(rows), "id": list(range(len(rows)))}), encoding="utf-8")
    for name, content in rows.items():
        (folder / "f").mkdir(exist_ok=True)
        (folder / "f" / f"{name}_m.bin").write_bytes(content)
    return path


OPTIONS = {"features": "f", "suffix": "_m.bin"}


def test_megaface_features(tmp_path: Path) -> None:
    path = megaface(tmp_path, {"a.jpg": feature([1, 2]), "b.jpg": feature([3, 4])})
    found = read_embeddings(path, OPTIONS)
    assert found.ids == ["a.jpg", "b.jpg"]
    assert found.vectors.tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize("n", [3, 2])  # the appended value is counted in the header, or not
def test_megaface_noise_becomes_a_failure(tmp_path: Path, n: int) -> None:
    path = megaface(tmp_path, {"a": feature([1, 2, 0], n), "b": feature([3, 4, 100], n)})
    vectors = read_embeddings(path, OPTIONS).vectors
    assert vectors[0].tolist() == [1, 2]
    assert np.isnan(vectors[1]).all()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "b_m.bin, byte 0: the header is []"),
        (
            feature([1, 2], rest=(1, 4, 6)),
            "b_m.bin, byte 0: the header is [2, 1, 4, 6]; expected four int32: n, 1, 4, 5",
        ),
        (feature([1, 2])[:-1], "b_m.bin, byte 16: promises 2 float32, 8 bytes; the file has 7"),
        (feature([1, 2], n=-3), "byte 0: the header is [-3"),
        (feature([1, 2, 3]), "b_m.bin: its size differs from that of a"),
    ],
)
def test_broken_megaface_features(tmp_path: Path, content: bytes, message: str) -> None:
    path = megaface(tmp_path, {"a": feature([1, 2]), "b": content})
    with pytest.raises(InputError) as caught:
        read_embeddings(path, OPTIONS)
    assert message in str(caught.value)


def test_a_missing_feature_and_a_list_that_is_none(tmp_path: Path) -> None:
    path = megaface(tmp_path, {"a": feature([1, 2])})
    (tmp_path / "f" / "a_m.bin").unlink()
    with pytest.raises(InputError, match="MegaFace feature not found"):
        read_embeddings(path, OPTIONS)
    path.write_text('{"paths": []}', encoding="utf-8")
    with pytest.raises(InputError, match="a MegaFace list has the keys path and id"):
        read_embeddings(path, OPTIONS)


class Hostile:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("kind", ["npy", "npz"])
def test_objects_are_refused_and_nothing_runs(tmp_path: Path, kind: str) -> None:
    mark = tmp_path / "ran"
    objects = np.array([Hostile(mark)], object)
    path = tmp_path / f"e.{kind}"
    if kind == "npy":
        np.save(path, objects, allow_pickle=True)
    else:
        np.savez(path, embs=np.ones((1, 2), np.float32), filenames=objects)
    with pytest.raises(InputError, match=r"pickled|Python objects"):
        read_embeddings(path, {})
    assert not mark.exists()


def test_npz_variants(tmp_path: Path) -> None:
    embs = np.arange(6, dtype=np.float32).reshape(3, 2)
    np.savez(tmp_path / "a.npz", embs=embs, imm_classes=np.arange(3), filenames=np.array(["x", "y", "z"]))
    found = read_embeddings(tmp_path / "a.npz", {})
    assert (found.ids, found.mirrored_half) == (["x", "y", "z"], False)
    np.savez(tmp_path / "b.npz", embs=embs, embs_f=embs[:2])
    with pytest.raises(InputError, match=r"embs_f has the shape \(2, 2\)"):
        read_embeddings(tmp_path / "b.npz", {})


@pytest.mark.parametrize("suffix", [".h5", ".hdf5", ".pkl", ".pickle", ".csv", ".PKL"])
def test_files_that_are_converted_first_name_the_command(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(InputError, match=r"facebench data convert-embeddings .*e\..* .*e\.npz"):
        read_embeddings(tmp_path / f"e{suffix}", {})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("{mirrored: yes-please}", "options.mirrored is 'yes-please'; known: second-half"),
        ("{mirrored: second-half}", "no two halves"),
    ],
)
def test_halves_are_checked(tmp_path: Path, options: str, message: str) -> None:
    np.save(tmp_path / "e.npy", np.ones((1, 3), np.float32))
    (tmp_path / "ids").write_text("a\n", encoding="utf-8")
    text = f"name: e\nadapter: embeddings\nweights: e.npy\nids: ids\noptions: {options}\n"
    (tmp_path / "m.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        load_model(tmp_path / "m.yaml")
