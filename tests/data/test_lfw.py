"""LFW: the grammar of pairs.txt and people.txt, valid and broken in each way, and the folder layout."""

from __future__ import annotations

from pathlib import Path

import pytest

from facebench.data import load_dataset
from facebench.data.lfw import LfwPair, parse_pairs, parse_people
from facebench.errors import InputError

from .factory import png, write_tree, zip_tree

VIEW2 = "2\t1\nAnn_Lee\t1\t2\nAnn_Lee\t1\tBob\t1\nBob\t1\t2\nAnn_Lee\t2\tBob\t3\n"
VIEW1 = "2\nAnn_Lee\t1\t2\nBob\t1\t2\nAnn_Lee\t1\tBob\t1\nAnn_Lee\t2\tBob\t1\n"
FACES = {f"{name}/{name}_000{n}.jpg": png(n) for name in ("Ann_Lee", "Bob") for n in (1, 2)}


def test_view_2() -> None:
    assert parse_pairs(VIEW2, "p") == [
        LfwPair("Ann_Lee/Ann_Lee_0001", "Ann_Lee/Ann_Lee_0002", True, 0),
        LfwPair("Ann_Lee/Ann_Lee_0001", "Bob/Bob_0001", False, 0),
        LfwPair("Bob/Bob_0001", "Bob/Bob_0002", True, 1),
        LfwPair("Ann_Lee/Ann_Lee_0002", "Bob/Bob_0003", False, 1),
    ]


def test_view_1_has_no_folds() -> None:
    pairs = parse_pairs(VIEW1.replace("\n", "\r\n"), "p")
    assert [pair.genuine for pair in pairs] == [True, True, False, False]
    assert {pair.fold for pair in pairs} == {None}


def test_the_published_size() -> None:
    genuine = "".join(f"P{n}\t1\t2\n" for n in range(300))
    impostor = "".join(f"P{n}\t1\tQ{n}\t1\n" for n in range(300))
    text = "10\t300\n" + (genuine + impostor) * 10
    assert text.count("\n") == 6001
    pairs = parse_pairs(text, "pairs.txt")
    assert len(pairs) == 6000
    assert sum(pair.genuine for pair in pairs if pair.fold == 9) == 300


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: '' is no header"),
        ("ten\t300\n", "line 1: 'ten.t300' is no header"),
        ("0\t300\n", "is no header"),
        ("1\t2\t3\n", "is no header"),
        ("2 1\nAnn_Lee 1 2\n", "is no header"),
        ("1\t1\nAnn_Lee 1 2\nAnn\t1\tBob\t2\n", "line 2: expected a genuine pair 'name, i, j' separated by tabs"),
        ("1\t1\nAnn\t1\t2\nAnn\t1\t2\n", "line 3: expected an impostor pair"),
        ("1\t1\nAnn\t1\tBob\t2\nAnn\t1\t2\n", "line 2: expected a genuine pair"),
        ("1\t1\nAnn\t1\tx\nAnn\t1\tBob\t2\n", "line 2: 'x' is no image number"),
        ("1\t1\nAnn\t1\t0\nAnn\t1\tBob\t2\n", "'0' is no image number"),
        ("1\t1\nAnn\t1\t-2\nAnn\t1\tBob\t2\n", "'-2' is no image number"),
        ("1\t1\nAnn\t1\t²\nAnn\t1\tBob\t2\n", "is no image number"),
        ("1\t1\nAnn\t2\t2\nAnn\t1\tBob\t2\n", "line 2: image 2 of Ann is paired with itself"),
        ("1\t1\nAnn\t1\t2\nAnn\t1\tAnn\t2\n", "line 3: an impostor pair needs two people, found Ann twice"),
        ("1\t1\n../x\t1\t2\nAnn\t1\tBob\t2\n", "line 2: '../x' is no name"),
        ("1\t1\n..\t1\t2\nAnn\t1\tBob\t2\n", "line 2: '..' is no name"),
        ("1\t1\n\t1\t2\nAnn\t1\tBob\t2\n", "line 2: '' is no name"),
        ("1\t1\nAnn\t1\t2\n", "line 2: the header promises 2 pairs, but the file has 1"),
        ("9999999\t9999999\nAnn\t1\t2\n", "promises 199,999,960,000,002 pairs, but the file has 1"),
        (
            "1\t1\nAnn\t1\t2\nAnn\t1\tBob\t2\nAnn\t1\tBob\t3\n",
            "line 4: the header promises 2 pairs, but the file has 3",
        ),
        ("1\t1\nAnn\t1\t2\n\nAnn\t1\tBob\t2\n", "line 3: expected an impostor pair"),
    ],
)
def test_broken_pairs(text: str, message: str) -> None:
    with pytest.raises(
        InputError, match=r"^lists/pairs\.txt, .*" + message.replace(".", r"\.").replace(r"'ten\.", "'ten.*")
    ):
        parse_pairs(text, "lists/pairs.txt")


def test_people() -> None:
    assert parse_people("2\n1\nAnn\t3\n2\nBob\t1\nCid\t12\n", "p") == [[("Ann", 3)], [("Bob", 1), ("Cid", 12)]]
    assert parse_people("2\nAnn\t3\nBob\t1\n", "p") == [[("Ann", 3), ("Bob", 1)]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: expected a count, found ''"),
        ("1\n", "line 1: the file ends too early"),
        ("1\nx\n", "line 2: expected a count, found 'x'"),
        ("1\n2\nAnn\t3\n", "line 3: the file ends too early"),
        ("1\n1\nAnn 3\n", "line 3: expected 'name, number of images' separated by a tab, found 'Ann 3'"),
        ("1\n1\nAnn\t0\n", "line 3: expected 'name"),
        ("1\n1\nAnn\t99999\n", "line 3: expected 'name"),
        ("1\n1\n..\t1\n", "line 3: '..' is no name"),
        ("1\n1\nAnn\t3\nBob\t1\n", "line 4: the sets end before this line"),
    ],
)
def test_broken_people(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_people(text, "people.txt")


def test_the_layout_brings_its_pairs(tmp_path: Path) -> None:
    dataset = load_dataset(write_tree(tmp_path, {**FACES, "pairs.txt": VIEW2}))
    assert dataset.image_ids == (
        "Ann_Lee/Ann_Lee_0001",
        "Ann_Lee/Ann_Lee_0002",
        "Bob/Bob_0001",
        "Bob/Bob_0002",
        "Bob/Bob_0003",
    )
    assert dataset.identities == ("Ann_Lee", "Ann_Lee", "Bob", "Bob", "Bob")
    assert dataset.pairs is not None
    assert dataset.pairs.a.tolist() == [0, 0, 2, 1]
    assert dataset.pairs.b.tolist() == [1, 2, 3, 4]
    assert dataset.pairs.genuine.tolist() == [True, False, True, False]
    assert dataset.pairs.fold is not None
    assert dataset.pairs.fold.tolist() == [0, 0, 1, 1]
    assert dataset.images[1].read() == FACES["Ann_Lee/Ann_Lee_0002.jpg"]
    expected = (
        "pairs.txt: 5 images of 2 identities; 4 pairs (2 genuine) in 2 folds; images the lists name that are missing: "
        "1 (Bob/Bob_0003), kept: each is a recorded failure"
    )
    assert dataset.summary() == expected


def test_png_other_images_and_people(tmp_path: Path) -> None:
    files = {
        "pairs.txt": VIEW1,
        "people.txt": "1\n1\nCid\t2\n",
        "Cid/Cid_0001.png": png(),
        "Dora/Dora_0001.jpeg": png(),
    }
    dataset = load_dataset(write_tree(tmp_path, {**FACES, **files}))
    assert dataset.image_ids[-3:] == ("Cid/Cid_0001", "Cid/Cid_0002", "Dora/Dora_0001")
    assert dataset.images[4].read() == png()
    assert dataset.pairs is not None
    assert dataset.pairs.fold is None


def test_choosing_a_list(tmp_path: Path) -> None:
    root = write_tree(tmp_path, {**FACES, "xqlfw_pairs.txt": VIEW2})
    assert load_dataset(root).format == "xqlfw_pairs.txt"
    write_tree(tmp_path, {"pairsDevTest.txt": VIEW1})
    with pytest.raises(InputError, match=r"has the pair lists pairsDevTest\.txt, xqlfw_pairs\.txt; the protocol must"):
        load_dataset(root)
    assert load_dataset(root, pairs="pairsDevTest.txt").format == "pairsDevTest.txt"
    write_tree(tmp_path, {"pairs.txt": VIEW2})
    assert load_dataset(root, pairs="own").format == "pairs.txt"


def test_errors_name_the_file(tmp_path: Path) -> None:
    root = write_tree(tmp_path, {**FACES, "pairs.txt": "1\t1\nAnn_Lee\t1\n"})
    with pytest.raises(InputError, match=r"/pairs\.txt, line 2: expected a genuine pair"):
        load_dataset(root)
    (root / "pairs.txt").write_bytes(b"\xff")
    with pytest.raises(InputError, match="not UTF-8"):
        load_dataset(root)


def test_in_a_zip(tmp_path: Path) -> None:
    dataset = load_dataset(zip_tree(tmp_path / "lfw.zip", {**FACES, "pairs.txt": VIEW2}))
    assert dataset.images[0].read() == FACES["Ann_Lee/Ann_Lee_0001.jpg"]
