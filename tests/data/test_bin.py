"""insightface .bin files: honest ones of every age, and hostile ones that must run nothing."""

from __future__ import annotations

import builtins
import io
import os
import pickle
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facebench.data import Dataset, decode, load_dataset
from facebench.errors import InputError

from .factory import encode, pixels, png, zip_tree

IMAGES = [png(seed) for seed in range(4)]


def load(tmp_path: Path, content: object, protocol: int = 4) -> Dataset:
    data = content if isinstance(content, bytes) else pickle.dumps(content, protocol=protocol)
    path = tmp_path / "lfw.bin"
    path.write_bytes(data)
    return load_dataset(path)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_bytes(tmp_path: Path, protocol: int) -> None:
    dataset = load(tmp_path, (IMAGES, [True, False]), protocol)
    assert [image.read() for image in dataset.images] == IMAGES
    assert dataset.image_ids == ("000000", "000001", "000002", "000003")
    assert dataset.identities is None
    assert dataset.pairs is not None
    assert dataset.pairs.a.tolist() == [0, 2]
    assert dataset.pairs.b.tolist() == [1, 3]
    assert dataset.pairs.genuine.tolist() == [True, False]
    assert dataset.pairs.fold is None
    assert dataset.images[3].where.endswith("lfw.bin, image 3")


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_arrays(tmp_path: Path, protocol: int) -> None:
    grey = np.ascontiguousarray(pixels(1)[..., 0])
    entries = [
        pixels(0),
        grey,
        np.frombuffer(png(2), np.uint8),
        np.asfortranarray(pixels(3)),
        np.frombuffer(png(4), np.uint8).copy(),
        pixels(5)[:, ::-1],
    ]
    labels = np.array([1, 0, 1], dtype=">i4")
    dataset = load(tmp_path, (entries, labels), protocol)
    found = [decode(image.read()) for image in dataset.images]
    np.testing.assert_array_equal(found[0], pixels(0))
    np.testing.assert_array_equal(found[1], np.repeat(grey[..., None], 3, axis=2))
    np.testing.assert_array_equal(found[2], pixels(2))
    np.testing.assert_array_equal(found[3], pixels(3))
    np.testing.assert_array_equal(found[5], pixels(5)[:, ::-1])
    assert dataset.pairs is not None
    assert dataset.pairs.genuine.tolist() == [True, False, True]


def test_numpy_labels(tmp_path: Path) -> None:
    for labels in ([np.True_, np.False_], np.array([True, False]), [np.int64(1), np.int64(0)], (1, 0)):
        pairs = load(tmp_path, (IMAGES, labels)).pairs
        assert pairs is not None
        assert pairs.genuine.tolist() == [True, False]


def python2_pickle(images: list[bytes], labels: list[bool]) -> bytes:
    """What Python 2 wrote with protocol 2: images are `str`, stored with the opcodes of byte strings."""
    out = b"\x80\x02]q\x00("
    out += b"".join(b"T" + struct.pack("<i", len(image)) + image for image in images)
    return out + b"e]q\x01(" + b"".join(b"\x88" if label else b"\x89" for label in labels) + b"e\x86q\x02."


def test_python_2_files(tmp_path: Path) -> None:
    dataset = load(tmp_path, python2_pickle(IMAGES, [True, False]))
    assert [image.read() for image in dataset.images] == IMAGES


def test_python_2_arrays(tmp_path: Path) -> None:
    raw = pixels().tobytes()
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01bt"
        b"R(K\x01(K\x06K\x08K\x03tcnumpy\ndtype\n(U\x02u1K\x00K\x01tR(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xff"
        b"K\x00tb\x89T" + struct.pack("<i", len(raw)) + raw + b"tb"
    )
    dataset = load(tmp_path, b"\x80\x02](" + array + array + b"e](\x88e\x86.")
    np.testing.assert_array_equal(decode(dataset.images[0].read()), pixels())


def test_ten_contiguous_folds(tmp_path: Path) -> None:
    pairs = load(tmp_path, ([png()] * 40, [True, False] * 10)).pairs
    assert pairs is not None
    assert pairs.fold is not None
    assert pairs.fold.tolist() == [fold for fold in range(10) for _ in range(2)]


def test_an_empty_image_fails_alone(tmp_path: Path) -> None:
    from facebench.data import hash_images

    hashes = hash_images(load(tmp_path, ([b"", *IMAGES[1:]], [True, False])), 1)
    assert [isinstance(sha256, str) for sha256 in hashes] == [False, True, True, True]


def test_in_a_zip_and_alone_in_a_folder(tmp_path: Path) -> None:
    data = pickle.dumps((IMAGES, [True, False]))
    assert load_dataset(zip_tree(tmp_path / "b.zip", {"lfw.bin": data})).images[1].read() == IMAGES[1]
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/lfw.bin").write_bytes(data)
    assert len(load_dataset(tmp_path / "folder")) == 4


def test_another_pair_list_is_refused(tmp_path: Path) -> None:
    load(tmp_path, (IMAGES, [True, False]))
    assert load_dataset(tmp_path / "lfw.bin", pairs="own").pairs is not None
    with pytest.raises(InputError, match="brings its own pairs"):
        load_dataset(tmp_path / "lfw.bin", pairs="pairs.csv")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an insightface .bin file, or it is damaged"),
        (b"garbage", "not an insightface .bin file, or it is damaged"),
        (pickle.dumps((IMAGES, [True, False]))[:-40], "not an insightface .bin file, or it is damaged"),
        ([1, 2, 3], "expected a pair of lists"),
        ({"bins": IMAGES}, "expected a pair of lists"),
        ((b"abc", [True]), "expected a pair of lists"),
        (([], []), "holds no pairs"),
        ((IMAGES[:3], [True, False]), "holds 3 images for 2 pairs, which need 4"),
        ((IMAGES, [True]), "holds 4 images for 1 pairs, which need 2"),
        ((IMAGES, 1), "the labels are no list"),
        ((IMAGES, [True, 2]), "the label of pair 1 is 2"),
        ((IMAGES, [True, None]), "the label of pair 1 is None"),
        ((IMAGES, [True, 0.5]), "the label of pair 1 is 0.5"),
        (([*IMAGES[:3], "text"], [True, False]), "image 3: expected an encoded image"),
        (([*IMAGES[:3], 7], [True, False]), "image 3: expected an encoded image"),
        (([*IMAGES[:3], np.zeros((2, 2, 4), np.uint8)], [True, False]), "image 3: expected an encoded image"),
        (([*IMAGES[:3], np.zeros((2, 2, 3), np.int32)], [True, False]), "image 3: expected an encoded image"),
        (([*IMAGES[:3], np.zeros((0, 2, 3), np.uint8)], [True, False]), "image 3: expected an encoded image"),
        (([*IMAGES[:3], np.zeros((2, 2, 3, 1), np.uint8)], [True, False]), "array of shape"),
        (([*IMAGES[:3], np.zeros((2, 2, 3))], [True, False]), "an array of 'f8'"),
        (([*IMAGES[:3], np.array([{}, []], object)], [True, False]), "an array of 'O8'"),
        (([*IMAGES[:3], np.zeros(2, [("a", "u1")])], [True, False]), "an array of 'V1'"),
    ],
)
def test_what_does_not_add_up_is_refused(tmp_path: Path, content: object, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        load(tmp_path, content)
    assert "lfw.bin" in str(caught.value)


class Call:
    """Pickles as a call of any function."""

    def __init__(self, function: Any, *arguments: Any, state: Any = None) -> None:
        self.reduced = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self) -> Any:
        return self.reduced

    def __repr__(self) -> str:  # the same in every test process
        return f"Call({self.reduced[0].__name__})"


EVIL = "open('pwned', 'w')"


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize(
    "payload",
    [
        Call(os.system, "touch pwned"),
        Call(builtins.eval, EVIL),
        Call(builtins.exec, EVIL),
        Call(builtins.getattr, "x", "upper"),
        Call(io.open, "pwned", "w"),
        Call(np.fromfile, "/dev/zero"),
        Call(np.load, "pwned.npy"),
        Call(bytes, 10),
        (IMAGES, Call(builtins.eval, EVIL)),
        ([Call(builtins.eval, EVIL), *IMAGES[1:]], [True, False]),
        (np.array([Call(builtins.eval, EVIL)], object), [True]),
        {Call(builtins.eval, EVIL): 1},
    ],
    ids=str,
)
def test_hostile_pickles_run_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, payload: object, protocol: int
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"lfw\.bin is refused: it (asks to load|holds an array of 'O8')"):
        load(tmp_path, payload, protocol)
    assert [path.name for path in tmp_path.iterdir()] == ["lfw.bin"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"cnumpy.core.multiarray\n_reconstruct\n(cbuiltins\neval\n(K\x00tS'b'\ntR.", "asks to load builtins.eval"),
        (b"cnumpy.core.multiarray\n_reconstruct\n(c_codecs\nencode\n(K\x00tS'b'\ntR.", "in an unknown way"),
        (b"cnumpy\nndarray\n(KdtR.", "in an unknown way"),
        (b"cnumpy\ndtype\n(S'O'\ntR.", "an array of 'O'"),
        (b"cnumpy\ndtype\n(S'u1,O'\ntR.", "an array of 'u1,O'"),
        (b"c_codecs\nencode\n(VaS'rot13'\ntR.", "encodes text in an unknown way"),
        (b"c_codecs\nencode\n(S'a'\nS'latin1'\ntR.", "encodes text in an unknown way"),
        (b"cnumpy.core.multiarray\nscalar\n(S'u1'\nS'a'\ntR.", "unknown form"),
        (b"cnumpy\ndtype.type\n.", "asks to load numpy.dtype.type"),
        (b"c__main__\nx\n.", "asks to load __main__.x"),
        (b"(S'touch pwned'\nios\nsystem\n.", "asks to load os.system"),
        (b"cnumpy\ndtype\n}S'__call__'\nS'x'\nsb.", "tries to change a function"),
        (b"cnumpy\ndtype\n(S'u1'\ntR(K\x03S'|'\nNNcbuiltins\neval\ntb.", "asks to load builtins.eval"),
        (b"cnumpy\ndtype\n(S'u1'\ntR(K\x03S'|'\nNNK\x01tb.", "array of records"),
        (b"cnumpy\ndtype\n(S'u1'\ntR(K\x03S'u1,O,>'\nNNNtb.", "unknown byte order"),
        (b"\x80\x02Pid\n.", "or it is damaged"),
        (b"\x80\x02\x82\x01.", "or it is damaged"),
        (b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tS'b'\ntRK\x01b.", "unknown form"),
    ],
)
def test_handmade_pickles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes, message: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message):
        load(tmp_path, data)
    assert not (tmp_path / "pwned").exists()


def test_claimed_sizes_reserve_no_memory(tmp_path: Path) -> None:
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I1000000000000\ntS'b'\ntR"
    state = b"(K\x01(I1000000000000\ntcnumpy\ndtype\n(S'u1'\ntR\x89S'abc'\ntb."
    tracemalloc.start()
    try:
        for data in (
            array + state,
            b"N" + b"r\xff\xff\xff\x0f" + b".",
            b"B\xff\xff\xff\x7fabc.",
            b"\x80\x04\x95" + b"\xff" * 8,
        ):
            with pytest.raises(InputError):
                load(tmp_path, data)
        assert tracemalloc.get_traced_memory()[1] < 20 * 2**20
    finally:
        tracemalloc.stop()


@settings(max_examples=200, deadline=None)
@given(edits=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=6))
def test_damaged_files_are_refused_or_read(
    tmp_path_factory: pytest.TempPathFactory, edits: list[tuple[int, int]]
) -> None:
    small = [np.zeros((2, 2, 3), np.uint8), b"abc"]
    data = bytearray(pickle.dumps((small, [True]), protocol=2))
    for position, value in edits:
        data[position % len(data)] = value
    try:
        dataset = load(tmp_path_factory.getbasetemp(), bytes(data))
    except InputError:
        return
    assert len(dataset) == 2


def test_jpeg_bytes_are_kept(tmp_path: Path) -> None:
    data = encode(pixels(), "JPEG")
    assert load(tmp_path, ([data, data], [True])).images[1].read() == data
