"""What users bring, through the command line: read as they mean it, or an error that names the cause."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from facebench.cli import main

from .factory import encode, write_tree


@dataclass
class Done:
    code: int
    out: str
    err: str


Command = Callable[..., Done]


@pytest.fixture
def facebench(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    def call(*words: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["facebench", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            main()
        said = capsys.readouterr()
        return Done(int(stop.value.code or 0), said.out, said.err)

    return call


def face(person: int, number: int) -> Image.Image:
    rng = np.random.default_rng(person)
    picture = rng.integers(0, 256, (14, 14, 3)) + np.random.default_rng(100 * person + number).integers(
        -9, 9, (14, 14, 3)
    )
    return Image.fromarray(picture.clip(0, 255).astype(np.uint8)).resize((112, 112))


def people(n: int = 6) -> dict[str, str | bytes]:
    return {f"P{p}/{i}.png": encode(face(p, i)) for p in range(n) for i in range(2)}


def judge(facebench: Command, root: Path, out: Path) -> Done:
    return facebench("run", "phantom-lbp", "verification", "--data", f"faces={root}", "--out", out)


def result_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "result.json").read_text(encoding="utf-8"))


def left_out(folder: Path) -> dict[str, tuple[int, list[str]]]:
    found = result_of(folder)["data"]["left_out"] or []
    return {item["what"]: (item["count"], item["examples"]) for item in found}


# ---- images


def test_images_are_told_by_their_content(facebench: Command, tmp_path: Path) -> None:
    images = {
        "P0/2.jfif": encode(face(0, 2), "JPEG"), "P1/2.jpe": encode(face(1, 2), "JPEG"),
        "P2/third": encode(face(2, 2), "PNG"), "P3/2.avif": encode(face(3, 2), "AVIF"),
        "P4/2.jp2": encode(face(4, 2), "JPEG2000"), "P5/2020.07.01": encode(face(5, 2), "WEBP"),
        "P0/3.dat": encode(face(0, 3), "BMP"), "P1/3.pnm": encode(face(1, 3), "PPM"),
    }  # fmt: skip
    root = write_tree(tmp_path / "set", {**people(), **images})
    done = facebench("data", "check", root)
    assert done.code == 0, done.out
    assert "identity folders: 20 images of 6 identities" in done.out
    assert "no images" not in done.out


def test_an_image_that_no_decoder_is_there_for_is_a_recorded_failure(facebench: Command, tmp_path: Path) -> None:
    heic = b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic" + bytes(64)
    root = write_tree(tmp_path / "set", {**people(), "P0/2.heic": heic, "P1/2": heic, "P2/2.jp2": b"broken"})
    done = facebench("data", "check", root)
    assert done.code == 2
    assert "2 images cannot be used (P0/2, P1/2): a HEIC image, which this installation has no decoder of" in done.out
    assert judge(facebench, root, tmp_path / "out").code == 0
    failures = result_of(tmp_path / "out")["failures"]
    assert [failure["image_id"] for failure in failures] == ["P0/2", "P1/2", "P2/2"]


@pytest.mark.parametrize(("kind", "options"), [("JPEG2000", {}), ("PNG", {})])
def test_more_than_eight_bits_are_refused_in_every_format(
    facebench: Command, tmp_path: Path, kind: str, options: dict[str, Any]
) -> None:
    deep = encode(Image.fromarray(np.full((16, 16), 40000, np.uint16)), kind, **options)
    root = write_tree(tmp_path / "set", {**people(), "P0/2": deep})
    assert "more than 8 bits per channel" in facebench("data", "check", root).out


def test_what_is_left_out_stands_in_the_result_and_in_the_report(facebench: Command, tmp_path: Path) -> None:
    files = {"notes.txt": "x", "P0/face.svg": "<svg/>", "my_pairs.csv": "a,b\n", "pairs.csv": "image_a,image_b\n"}
    root = write_tree(tmp_path / "set", {**people(), **files})
    done = judge(facebench, root, tmp_path / "out")
    assert done.code == 0, done.err
    found = left_out(tmp_path / "out")
    assert found["files that are no images"] == (3, ["P0/face.svg", "my_pairs.csv", "notes.txt"])
    assert found["pair lists that were not read"] == (2, ["my_pairs.csv", "pairs.csv"])
    report = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "P0/face.svg" in report
    assert "pair lists that were not read" in report


def test_a_manifest_tells_of_images_it_does_not_name(facebench: Command, tmp_path: Path) -> None:
    rows = "".join(f"{p}-{i},P{p}/{i}.png,P{p}\n" for p in range(5) for i in range(2))
    root = write_tree(
        tmp_path / "set", {**people(6), "P0/more.jpg": b"x", "manifest.csv": f"image_id,path,identity\n{rows}"}
    )
    done = judge(facebench, root, tmp_path / "out")
    assert done.code == 0, done.err
    assert left_out(tmp_path / "out")["images beside the listed ones that no list names"] == (1, ["P0/more.jpg"])


def test_one_file_twice(facebench: Command, tmp_path: Path) -> None:
    faces = people()
    twice = {"P1/9.png": faces["P0/0.png"], "P2/8.png": faces["P2/0.png"]}
    again = {"P3/7.bmp": encode(face(4, 0), "BMP")}  # the same pixels, other bytes
    root = write_tree(tmp_path / "set", {**faces, **twice, **again})
    said = facebench("data", "check", root).out
    assert "label conflict: 2 images stand under different identities, with the same pixels" in said
    assert "P0/0 = P1/9, P3/7 = P4/0" in said
    assert "duplicates: 1 images stand several times under one identity (P2/0 = P2/8)" in said
    assert judge(facebench, root, tmp_path / "out").code == 0
    found = left_out(tmp_path / "out")
    assert found["label conflict: images that stand under different identities"][1][0] == "P0/0 = P1/9"
    assert found["images that stand several times under one identity"] == (1, ["P2/0 = P2/8"])


# ---- paths


@pytest.mark.parametrize("path", ["x" * 5000, "/dev/zero", "PIPE", "a\nb"])
def test_paths_that_lead_to_no_file(facebench: Command, tmp_path: Path, path: str) -> None:
    if path == "PIPE":
        path = str(tmp_path / "pipe")
        os.mkfifo(path)
    for words in (
        ("data", "check", path),
        ("check", path + (".yaml" if path.startswith("x") else "")),
        ("report", path),
        ("run", "phantom-lbp", "verification", "--data", f"faces={path}", "--out", tmp_path / "out"),
        ("run", f"scores:{path}", "scores", "--out", tmp_path / "out"),
        ("gate", path, path),
        ("compare", path, path),
    ):
        done = facebench(*words)
        assert done.code == 2, words
        assert done.err.startswith("facebench: ")
        assert len(done.err) < 1500, words
