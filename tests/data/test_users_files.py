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
from facebench.data import load_dataset

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


# ---- scores


def score_rows(n: int = 12) -> list[dict[str, Any]]:
    """All comparisons of 12 people with 3 images each; the later people are older, every second is m."""
    rng = np.random.default_rng(3)
    rows = []
    names = [(p, i) for p in range(n) for i in range(3)]
    for place, (p, i) in enumerate(names):
        for q, j in names[place + 1 :]:
            score = round(float(rng.normal(0.7 if p == q else 0.1, 0.15)), 5)
            rows.append({"a": f"p{p}_{i}", "b": f"p{q}_{j}", "p": p, "q": q, "genuine": int(p == q), "score": score})
    return rows


def age(person: int) -> int:
    return 20 + 5 * person


def table(header: str, line: str, rows: list[dict[str, Any]] | None = None) -> str:
    gender = "fm"
    shown = (
        line.format(**row, age_a=age(row["p"]), age_b=age(row["q"]), ga=gender[row["p"] % 2], gb=gender[row["q"] % 2])
        for row in (score_rows() if rows is None else rows)
    )
    return header + "\n" + "\n".join(shown) + "\n"


PLAIN = table(
    "a,b,genuine,score,identity_a,identity_b,age_a,age_b,gender_a,gender_b",
    "{a},{b},{genuine},{score},p{p},p{q},{age_a},{age_b},{ga},{gb}",
)
BOB = table(
    "bio_ref_subject_id,bio_ref_template_id,bio_ref_gender,bio_ref_age,probe_subject_id,probe_template_id,probe_key,"
    "probe_gender,probe_age,probe_light,score",
    "p{p},{a},{ga},{age_a},p{q},{b},{b},{gb},{age_b},dim,{score}",
)
BFW = table(
    "fold,p1,p2,label,id1,id2,att1,att2,vgg16,resnet50,a1,a2,g1,g2,e1,e2",
    "1,{a},{b},{genuine},p{p},p{q},x,x,{score},{score},x,x,{ga},{gb},{age_a},{age_b}",
)


def groups(folder: Path) -> set[str]:
    return {estimate["group"] for estimate in result_of(folder)["estimates"]}


@pytest.mark.parametrize(
    ("text", "options", "numeric"), [(PLAIN, "", "age"), (BOB, "", "age"), (BFW, "#column=vgg16", "ethnicity")]
)
def test_attributes_of_score_tables_are_read_as_a_manifests(
    facebench: Command, tmp_path: Path, text: str, options: str, numeric: str
) -> None:
    root = write_tree(tmp_path, {"s.csv": text})
    done = facebench("run", f"scores:{root / 's.csv'}{options}", "scores", "--out", tmp_path / "out")
    assert done.code == 0, done.err
    found = groups(tmp_path / "out")
    assert {"gender=f", "gender=m"} <= found
    assert not {f"{numeric}={age(person)}" for person in range(12)} & found, "numbers are no words"
    if numeric == "age":
        assert any(group.startswith("age=") and "45" in group for group in found), found
    if text == BOB:
        assert left_out(tmp_path / "out")["columns of the score file"] == (1, ["probe_light"])
    if text == BFW:
        assert left_out(tmp_path / "out")["columns of the score file"] == (1, ["resnet50"])


@pytest.mark.parametrize(("text", "options"), [(PLAIN, ""), (BFW, "#column=vgg16")])
@pytest.mark.parametrize("word", ["nan", "NaN"])
def test_nan_in_a_score_table_is_refused_with_its_line(
    facebench: Command, tmp_path: Path, text: str, options: str, word: str
) -> None:
    broken = text.replace(",f", f",{word}")
    root = write_tree(tmp_path, {"s.csv": broken})
    done = facebench("run", f"scores:{root / 's.csv'}{options}", "scores", "--out", tmp_path / "out")
    assert done.code == 2
    assert f"s.csv, line 2: gender is '{word}'; leave the cell empty if the value is unknown" in done.err


def test_bob_writes_nan_for_what_it_does_not_know(facebench: Command, tmp_path: Path) -> None:
    root = write_tree(tmp_path, {"s.csv": BOB.replace("p3_0,m", "p3_0,nan")})
    done = facebench("run", f"scores:{root / 's.csv'}", "scores", "--out", tmp_path / "out")
    assert done.code == 0, done.err
    assert "gender=f" in groups(tmp_path / "out")
    assert not any("nan" in group for group in groups(tmp_path / "out"))
    assert result_of(tmp_path / "out")["data"]["notes"] == ["nan in a metadata column counts as unknown: 2 samples"]


def test_an_unknown_person_is_no_person(facebench: Command, tmp_path: Path) -> None:
    root = write_tree(tmp_path, {"s.csv": PLAIN.replace(",p11,", ",nan,")})
    done = facebench("run", f"scores:{root / 's.csv'}", "scores", "--out", tmp_path / "out")
    assert (done.code, "identity_b is nan" in done.err) == (2, True)
    manifest = "image_id,path,identity\n" + "".join(f"{p}{i},P{p}/{i}.png,nan\n" for p in range(3) for i in range(2))
    faces = write_tree(tmp_path / "faces", {**people(3), "manifest.csv": manifest})
    assert "identity is 'nan', a missing value" in facebench("data", "check", faces).err


@pytest.mark.parametrize("shift", [0.0, 0.05])
def test_both_orders_of_a_comparison_count_once(facebench: Command, tmp_path: Path, shift: float) -> None:
    rows = score_rows()
    mirrored = [row | {"a": row["b"], "b": row["a"], "p": row["q"], "q": row["p"], "score": row["score"] + shift}
                for row in rows]  # fmt: skip
    header, line = "a,b,genuine,score,identity_a,identity_b", "{a},{b},{genuine},{score},p{p},p{q}"
    root = write_tree(tmp_path, {"one.csv": table(header, line), "two.csv": table(header, line, rows + mirrored)})
    for name in ("one", "two"):
        done = facebench("run", f"scores:{root / name}.csv", "scores", "--out", tmp_path / name)
        assert done.code == 0, done.err
    one, two = (result_of(tmp_path / name) for name in ("one", "two"))
    assert one["estimates"] == two["estimates"]
    assert left_out(tmp_path / "two")["comparisons listed in both orders"] == (
        len(rows), [f"{row['b']} - {row['a']}" for row in rows[:5]]
    )  # fmt: skip
    effect = two["data"]["left_out"][0]["effect"]
    assert ("have another score" in effect) == bool(shift)
    assert "comparisons listed in both orders" in (tmp_path / "two" / "report.html").read_text(encoding="utf-8")


def test_orders_that_contradict_each_other_are_refused(facebench: Command, tmp_path: Path) -> None:
    text = "a,b,genuine,score\nx,y,1,0.9\ny,x,0,0.9\nx,z,0,0.1\n"
    done = facebench(
        "run", f"scores:{write_tree(tmp_path, {'s.csv': text}) / 's.csv'}", "scores", "--out", tmp_path / "o"
    )
    assert (done.code, "is genuine in one order and impostor in the other" in done.err) == (2, True)


GENUINE, IMPOSTOR = ([row for row in score_rows() if row["genuine"] == kind] for kind in (1, 0))


@pytest.mark.parametrize(
    ("files", "options", "cause"),
    [
        ({"s.csv": PLAIN.replace(",", ";")}, "", "separated by semicolons; save the file with commas"),
        ({"s.csv": PLAIN.replace(",", "\t")}, "", "separated by tabs"),
        ({"s.txt": PLAIN.replace(",", ";")}, "", "separated by semicolons"),
        ({"s.csv": table("a,b,genuine,score", "{a},{b},{genuine},0,75")}, "", "a decimal comma"),
        ({"s.csv": table("a,b,genuine,score", '{a},{b},{genuine},"0,75"')}, "", "decimal comma, write a point"),
        ({"s.txt": table("", "p{p} p{q} {b} 0,75")}, "", "decimal comma, write a point"),
        ({"s.txt": table("", "p{p} p{q} My Photos/{b} {score}")}, "", "a blank within a name splits it"),
        ({"s.txt": table("", "p{p} {a} p{q} My Photos/{b} {score}")}, "", "a blank within a name splits it"),
        (
            {"s.txt": table("", "My Photos/{a} My Photos/{b} {score}", GENUINE), "i.txt": "a b 1\n"},
            "#impostor=i.txt", "a blank within a name splits it",
        ),
        ({"s.txt": table("", "My Photos/{b} {a} {score}"), "m.txt": "a b\n"}, "#match=m.txt", "a blank within a name"),
        ({"s.csv": table("a,b,genuine,arc,cos", "{a},{b},{genuine},1,{score}")}, "", "such as #column=arc"),
        ({"s.csv": table("a,b,genuine,score", "{a},{b},{genuine},1_0")}, "", "is no score"),
    ],
)  # fmt: skip
def test_the_message_names_the_cause(
    facebench: Command, tmp_path: Path, files: dict[str, str], options: str, cause: str
) -> None:
    write_tree(tmp_path, {name: text.lstrip("\n") for name, text in files.items()})
    done = facebench("run", f"scores:{tmp_path / next(iter(files))}{options}", "scores", "--out", tmp_path / "out")
    assert done.code == 2
    assert cause in done.err
    assert ("line" in done.err) or "5 columns" in done.err


def test_tabs_allow_blanks_in_names(facebench: Command, tmp_path: Path) -> None:
    line = "My Photos/{a}\tMy Photos/{b}\t{score}"
    write_tree(tmp_path, {"g.txt": table("", line, GENUINE).lstrip(), "i.txt": table("", line, IMPOSTOR).lstrip()})
    done = facebench("run", f"scores:{tmp_path / 'g.txt'}#impostor=i.txt", "scores", "--out", tmp_path / "out")
    assert done.code == 0, done.err
    assert result_of(tmp_path / "out")["data"]["n_images"] == 36


@pytest.mark.parametrize("column", ["score", "other"])
def test_one_of_several_columns_of_scores(facebench: Command, tmp_path: Path, column: str) -> None:
    text = table("a,b,genuine,score,other,third", "{a},{b},{genuine},{score},{score},0.5")
    write_tree(tmp_path, {"s.csv": text})
    done = facebench("run", f"scores:{tmp_path / 's.csv'}#column={column}", "scores", "--out", tmp_path / "out")
    assert done.code == 0, done.err
    rest = sorted({"score", "other", "third"} - {column}, key=["score", "other", "third"].index)
    assert left_out(tmp_path / "out")["columns of the score file"] == (2, rest)


# ---- pair lists


@pytest.mark.parametrize(
    ("options", "n", "n_genuine"), [((), 66, 6), (("--per-identity", 1), 12, 6), (("--folds", 3), 18, 6)]
)
def test_pair_lists_from_own_folders(
    facebench: Command, tmp_path: Path, options: tuple[object, ...], n: int, n_genuine: int
) -> None:
    root = write_tree(tmp_path / "set", people(6))
    lists = []
    for _ in range(2):
        done = facebench("data", "pairs", root, root / "pairs.csv", "--seed", 5, *options)
        assert done.code == 0, done.err
        lists.append((root / "pairs.csv").read_text(encoding="utf-8"))
    assert lists[0] == lists[1], "the same seed gives the same list"
    assert f"{n} pairs ({n_genuine} genuine)" in done.out
    dataset = load_dataset(root, pairs="own")
    assert dataset.pairs is not None
    assert (len(dataset.pairs), int(dataset.pairs.genuine.sum())) == (n, n_genuine)
    if "--folds" in options:
        assert dataset.identities is not None
        assert dataset.pairs.fold is not None
        ends = zip(dataset.pairs.a.tolist(), dataset.pairs.b.tolist(), dataset.pairs.fold.tolist(), strict=True)
        home = {(dataset.identities[end], fold) for a, b, fold in ends for end in (a, b)}
        assert len(home) == 6, "every identity is in one fold"


def test_a_bin_file_from_own_folders(facebench: Command, tmp_path: Path) -> None:
    faces = people(10)
    root = write_tree(tmp_path / "set", faces)
    assert facebench("data", "pairs", root, tmp_path / "own.bin", "--per-identity", 1).code == 0
    found = load_dataset(tmp_path / "own.bin")
    assert found.pairs is not None
    assert (len(found.pairs), int(found.pairs.genuine.sum()), found.pairs.n_folds) == (20, 10, 10)
    assert {int(found.pairs.genuine[found.pairs.fold == fold].sum()) for fold in range(10)} == {1}
    assert {image.read() for image in found.images} <= set(faces.values())


def test_a_pair_list_needs_people(facebench: Command, tmp_path: Path) -> None:
    root = write_tree(tmp_path / "set", {"a.png": encode(face(0, 0)), "manifest.csv": "image_id,path\na,a.png\n"})
    done = facebench("data", "pairs", root, tmp_path / "p.csv")
    assert (done.code, "has no identities" in done.err) == (2, True)
    done = facebench("data", "pairs", write_tree(tmp_path / "few", people(3)), tmp_path / "p.csv", "--folds", 2)
    assert (done.code, "too few for 2 folds" in done.err) == (2, True)
