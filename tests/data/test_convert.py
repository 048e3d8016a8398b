"""Conversion: the same dataset in FaceBench's layout, whatever it came from, also after an interruption."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facebench.data import (
    BytesSource,
    Dataset,
    PairList,
    convert_dataset,
    dataset_sha256,
    decode,
    hash_images,
    load_dataset,
)
from facebench.errors import InputError

from .factory import IMAGES, PAIRS, encode, manifest_files, pixels, png, write_tree, zip_tree


def name_of(dataset: Dataset) -> str:
    return dataset_sha256(dataset, hash_images(dataset, 2))


def converted(dataset: Dataset, out: Path) -> Dataset:
    manifest = convert_dataset(dataset, out)
    assert manifest == out / "manifest.csv"
    result = load_dataset(out, pairs=None if dataset.pairs is None else "own")
    assert name_of(result) == name_of(dataset)
    return result


def test_a_manifest_with_everything(tmp_path: Path) -> None:
    text = (
        "image_id,path,identity,template_id,media_id,race,age,region_mask,landmarks\n"
        'x,images/a1.png,"Ann, ""A""",t1,m1,asian,30,masks/x.PNG,1 2 3 4 5 6 7 8 9 0.1\n'
        "é/y,images/a2.png,bob,t1,,,0.5,,\n"
        "z,images/none.png,bob,,m2,white,,,\n"
    )
    files = manifest_files(text, dataset__json='{"phantom": true, "licence": "CC0"}')
    dataset = load_dataset(write_tree(tmp_path / "set", {**files, "masks/x.PNG": png(9)}))
    result = converted(dataset, tmp_path / "out")
    assert result.image_ids == ("x", "é/y", "z")
    assert result.phantom
    assert result.info["licence"] == "CC0"
    assert result.images[0].read() == IMAGES["images/a1.png"]
    assert result.region_masks is not None
    assert result.region_masks[0] is not None
    assert result.region_masks[0].read_bytes() == png(9)
    assert (tmp_path / "out/images/0000000.png").is_file()
    (failure,) = (image for image in hash_images(result, 1) if not isinstance(image, str))
    assert failure.image_id == "z"


def test_from_every_format(tmp_path: Path) -> None:
    jpeg = encode(pixels(), "JPEG")
    sources = [
        (write_tree(tmp_path / "manifest", manifest_files(pairs__csv=PAIRS)), "own"),
        (write_tree(tmp_path / "folders", {"ann/1.jpg": jpeg, "bob/1.gif": encode(pixels(1), "GIF")}), None),
        (write_tree(tmp_path / "lfw", {"A/A_0001.jpg": jpeg, "pairs.txt": "1\t1\nA\t1\t2\nA\t1\tB\t1\n"}), None),
        (zip_tree(tmp_path / "x.zip", {"top/ann/1.jpg": jpeg, "top/bob/1.png": png()}), None),
        (write_tree(tmp_path, {"y.bin": pickle.dumps(([jpeg, pixels(3)] * 10, [True] * 10))}) / "y.bin", None),
    ]
    for number, (path, pairs) in enumerate(sources):
        dataset = load_dataset(path, pairs=pairs)
        result = converted(dataset, tmp_path / f"out{number}")
        assert result.identities == dataset.identities
        if dataset.pairs is not None and dataset.pairs.fold is not None:
            assert result.pairs is not None
            np.testing.assert_array_equal(result.pairs.fold, dataset.pairs.fold)
    np.testing.assert_array_equal(decode(result.images[1].read()), pixels(3))
    assert result.images[0].read() == jpeg


class StopHereError(Exception):
    pass


def test_an_interrupted_conversion_goes_on(tmp_path: Path) -> None:
    dataset = load_dataset(write_tree(tmp_path / "set", manifest_files()))
    out = tmp_path / "out"

    def stop(done: int, total: int) -> None:
        if done == 3:
            raise StopHereError

    with pytest.raises(StopHereError):
        convert_dataset(dataset, out, stop)
    assert not (out / "manifest.csv").exists()
    before = {path: path.stat().st_mtime_ns for path in (out / "images").iterdir()}
    assert len(before) == 3
    (out / "images/0000001.png").write_bytes(b"torn")
    converted(dataset, out)
    kept = {path for path, time in before.items() if path.stat().st_mtime_ns == time}
    assert {path.name for path in kept} == {"0000000.png", "0000002.png"}
    converted(dataset, out)  # once more changes nothing


def test_foreign_folders_are_refused(tmp_path: Path) -> None:
    dataset = load_dataset(write_tree(tmp_path / "set", manifest_files()))
    for number, files in enumerate([{"note.txt": "mine"}, {"dataset.json": "{}"}, {"dataset.json": "[]"}]):
        out = write_tree(tmp_path / f"out{number}", files)
        with pytest.raises(InputError, match="is not empty, and not an earlier conversion of this dataset"):
            convert_dataset(dataset, out)
        assert {path.name for path in out.iterdir()} == set(files)
    with pytest.raises(InputError, match="is not empty"):
        convert_dataset(dataset, tmp_path / "set")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is a file"):
        convert_dataset(dataset, tmp_path / "file")
    convert_dataset(dataset, tmp_path / "used")
    with pytest.raises(InputError, match="not an earlier conversion of this dataset"):
        convert_dataset(dataset.subset(3), tmp_path / "used")


def test_the_dataset_file_says_where_it_came_from(tmp_path: Path) -> None:
    convert_dataset(load_dataset(write_tree(tmp_path / "set", manifest_files())), tmp_path / "out")
    info = json.loads((tmp_path / "out/dataset.json").read_text())
    assert info["phantom"] is False
    assert info["converted"]["from"] == "manifest.csv"
    assert str(tmp_path) not in (tmp_path / "out/dataset.json").read_text()


TEXT = st.text(
    st.characters(exclude_categories=("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs")), min_size=1, max_size=8
)
WORD = TEXT.filter(lambda text: text.lower() != "nan").map(lambda text: f"{text}~")  # never a number
NUMBER = st.floats(allow_nan=False, allow_infinity=False).map(lambda value: value + 0.0)


@st.composite
def datasets(draw: Any) -> Dataset:
    n = draw(st.integers(1, 6))
    column = lambda values: st.lists(values, min_size=n, max_size=n).map(tuple)  # noqa: E731
    text_column, number_column = column(st.none() | WORD), column(st.none() | NUMBER)
    names = draw(st.lists(WORD.map("zzzzzzzz".__add__), unique=True, max_size=3))  # like no reserved column
    pairs = None
    if n > 1 and draw(st.booleans()):
        ends = draw(st.lists(st.tuples(st.integers(0, n - 2), st.just(n - 1)), unique=True, min_size=1))
        a, b = np.array(ends, np.int64).T
        identities = None
        fold = np.arange(len(a), dtype=np.int64) if draw(st.booleans()) else None
        pairs = PairList(a, b, np.array(draw(st.lists(st.booleans(), min_size=len(a), max_size=len(a)))), fold)
    else:
        identities = draw(st.none() | column(TEXT))
    landmarks = None
    if draw(st.booleans()):
        landmarks = np.array(draw(st.lists(NUMBER, min_size=n * 10, max_size=n * 10))).reshape(n, 5, 2)
        landmarks[0] = np.nan if n > 1 else landmarks[0]
    return Dataset(
        name="drawn",
        root=Path(),
        image_ids=draw(st.lists(TEXT, unique=True, min_size=n, max_size=n).map(tuple)),
        images=tuple(BytesSource(png(seed), str(seed)) for seed in range(n)),
        identities=identities,
        attributes={name: draw(text_column | number_column) for name in names},
        landmarks=landmarks,
        pairs=pairs,
    )


@settings(max_examples=40, deadline=None)
@given(dataset=datasets())
def test_any_dataset_survives_writing_and_reading(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> None:
    result = converted(dataset, tmp_path_factory.mktemp("any"))
    assert result.image_ids == dataset.image_ids
    assert result.identities == dataset.identities
    assert result.attributes == dict(dataset.attributes)
    assert (result.landmarks is None) == (dataset.landmarks is None)
    if result.landmarks is not None and dataset.landmarks is not None:
        np.testing.assert_array_equal(result.landmarks, dataset.landmarks)
    assert (result.pairs is None) == (dataset.pairs is None)
