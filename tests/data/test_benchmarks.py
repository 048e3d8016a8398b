"""Published benchmarks in their own layouts: what is found, and every way in which a list may not add up."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from facebench.data import (
    OWN_PAIRS,
    OWN_TEMPLATE_PAIRS,
    check_dataset,
    convert_dataset,
    dataset_sha256,
    hash_images,
    load_dataset,
)
from facebench.data.aligned import ARCFACE_112, AlignedSource, BoxSource, similarity_transform
from facebench.data.decode import decode
from facebench.data.sources import BytesSource, ImageError
from facebench.errors import InputError

from .factory import encode, write_tree, zip_tree
from .writers import benchmarks as make
from .writers.scores import BFW_HEADER, bfw_row


def bfw() -> make.Files:
    rows = [bfw_row(p1="a/n1/1.jpg", p2="a/n1/2.jpg"), bfw_row(p1="a/n1/1.jpg", p2="w/n9/1.jpg", id2="n9", label=0,
            g2="M", e2="W", fold=2)]  # fmt: skip
    images = {path: make.jpg(n) for n, path in enumerate(("a/n1/1.jpg", "a/n1/2.jpg", "w/n9/1.jpg"))}
    return {"bfw-v0.1.5-datatable.csv": "\n".join([BFW_HEADER, *rows]) + "\n", **images}


@pytest.mark.parametrize(
    ("write", "pairs", "summary"),
    [
        (make.cfp, "FF", "CFP, split FF: 80 images of 20 identities; 40 pairs (20 genuine) in 10 folds"),
        (make.cfp, "FP", "CFP, split FP: 80 images of 20 identities; 40 pairs (20 genuine) in 10 folds"),
        (make.calfw, OWN_PAIRS, "pairs_CALFW.txt: 40 images of 20 identities; 40 pairs (20 genuine) in 10 folds"),
        (make.agedb, OWN_PAIRS, "new_30_age.mat: 21 images of 2 identities; 20 pairs (10 genuine) in 10 folds"),
        (
            make.rfw,
            OWN_PAIRS,
            "RFW: 26 images of 3 identities; 40 pairs (20 genuine) in 10 folds; 1 identities carry two",
        ),
        (make.rfw, "Asian", "RFW: 13 images of 2 identities; 20 pairs (10 genuine) in 10 folds"),
        (bfw, OWN_PAIRS, "bfw-v0.1.5-datatable.csv: 3 images of 2 identities; 2 pairs (1 genuine) in 2 folds"),
        (make.ijb, OWN_TEMPLATE_PAIRS, "5 images of 2 identities; 3 templates; 2 template pairs (1 genuine)"),
        (make.nist, OWN_TEMPLATE_PAIRS, "4 images of 2 identities; 3 templates; 2 template pairs (1 genuine)"),
        (make.utkface, None, "UTKFace: 3 images of 3 identities; one image per person as far as is known"),
        (make.fairface, None, "fairface_label_val.csv: 2 images of 2 identities"),
    ],
)
def test_what_is_found(tmp_path: Path, write: Callable[[], make.Files], pairs: str | None, summary: str) -> None:
    dataset = load_dataset(write_tree(tmp_path / "set", write()), pairs=pairs)
    assert summary in dataset.summary()
    report = check_dataset(dataset, 1)
    assert not report.failures
    zipped = load_dataset(zip_tree(tmp_path / "set.zip", {f"top/{k}": v for k, v in write().items()}), pairs=pairs)
    name = dataset_sha256(dataset, hash_images(dataset, 1))
    assert dataset_sha256(zipped, hash_images(zipped, 1)) == name
    convert_dataset(dataset, tmp_path / "copy")
    copy = load_dataset(
        tmp_path / "copy", pairs=pairs and (OWN_TEMPLATE_PAIRS if dataset.template_pairs else OWN_PAIRS)
    )
    assert dataset_sha256(copy, hash_images(copy, 1)) == name


def broken(
    tmp_path: Path, files: make.Files, name: str, old: str | None, new: str | None, message: str, pairs: str | None
) -> None:
    """Replace `old` by `new` in a file (all of it when `old` is None, the file itself when `new` is None)."""
    content = files[name]
    if new is None:
        del files[name]
    elif old is None:
        files[name] = new
    else:
        assert isinstance(content, str)
        assert old in content
        files[name] = content.replace(old, new, 1)
    with pytest.raises(InputError) as caught:
        load_dataset(write_tree(tmp_path / "set", files), pairs=pairs)
    assert message in str(caught.value)


P, S = "Protocol/Pair_list_F.txt", "Protocol/Split/FP/03/same.txt"


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        (P, "2 ../", "7 ../", "Pair_list_F.txt, line 2: expected '2 path', found '7 ../Data"),
        (P, "../Data/Images/001/frontal/01.jpg", "01.jpg", "line 1: '01.jpg' does not say whose image it is"),
        (P, "../Data/Images/001", "Data/../../x", "line 1: path 'Data/../../x/frontal/01.jpg' leads out of"),
        (S, "9,10", "9;10", "03/same.txt, line 1: expected two image numbers 'a,b', found '9;10'"),
        (S, "9,10", "1,99", "03/same.txt, line 1: image 99 is not in the list of 40"),
        (S, "9,10", "1,4", "03/same.txt, line 1: the pair is called genuine, but its images belong to '001' and '002'"),
        (S, "11,12\n", "", "03/same.txt: 1 pairs, but"),
        (S, None, None, "split not found"),
        ("Protocol/Split/FP/01/diff.txt", "1,3", "1,1", "01/diff.txt, line 1: the pair is called impostor"),
    ],
)
def test_broken_cfp(tmp_path: Path, name: str, old: str | None, new: str | None, message: str) -> None:
    broken(tmp_path, make.cfp(), name, old, new, message, "FP")


def test_cfp_needs_a_split(tmp_path: Path) -> None:
    folder = write_tree(tmp_path / "set", make.cfp())
    with pytest.raises(InputError, match="must name one"):
        load_dataset(folder, pairs=OWN_PAIRS)
    with pytest.raises(InputError, match="unknown split 'PP'"):
        load_dataset(folder, pairs="PP")
    pairs = load_dataset(folder, pairs="FP")
    assert pairs.pairs is not None
    assert {pairs.attributes["pose"][a] for a in pairs.pairs.a} == {"frontal"}
    assert {pairs.attributes["pose"][b] for b in pairs.pairs.b} == {"profile"}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("Ann_Lee_0001.jpg 1\n", "Ann_Lee_0001.jpg\n", "pairs_CALFW.txt, line 1: expected 'file label'"),
        ("Ann_Lee_0001.jpg 1\n", "Ann_Lee_0001.jpg x\n", "pairs_CALFW.txt, line 1: expected 'file label'"),
        ("Ann_Lee_0001.jpg 1\n", "Ann_Lee_0001.jpg 0\n", "line 2: the two lines of the pair have different labels"),
        ("Ann_Lee_0001.jpg 1\n", "Ann.jpg 1\n", "line 2: 'Ann.jpg' names no person"),
        ("Ann_Lee_0001.jpg 1\n", "Bob_Roe_0001.jpg 1\n", "line 2: the pair is called genuine, but its images belong"),
        ("Ann_Lee_0001.jpg 1\n", "Ann_Lee_0002.jpg 1\n", "line 2: an image is paired with itself"),
        ("Ann_Lee_0001.jpg 1\n", "", "line 79: a pair takes two lines, and this one stands alone"),
    ],
)
def test_broken_calfw(tmp_path: Path, old: str, new: str, message: str) -> None:
    broken(tmp_path, make.calfw(), "pairs_CALFW.txt", old, new, message, OWN_PAIRS)


def test_calfw_folds_hold_both_kinds(tmp_path: Path) -> None:
    dataset = load_dataset(write_tree(tmp_path / "set", make.calfw(30)), pairs=OWN_PAIRS)
    assert dataset.pairs is not None
    assert dataset.pairs.fold is not None
    for fold in range(10):
        inside = dataset.pairs.fold == fold
        assert inside.sum() == 6
        assert dataset.pairs.genuine[inside].sum() == 3


@pytest.mark.parametrize("form", ["cells", "record"])
def test_agedb_both_nestings(tmp_path: Path, form: str) -> None:
    dataset = load_dataset(write_tree(tmp_path / "set", make.agedb(form)), pairs=OWN_PAIRS)
    assert dataset.identities is not None
    assert dataset.identities[:3] == ("MariaCallas", "MariaCallas", "JeanGabin")
    assert dataset.attributes["age"][:3] == (35.0, 60.0, 40.0)
    assert dataset.attributes["gender"][:3] == ("female", "female", "male")
    assert dataset.pairs is not None
    assert dataset.pairs.genuine.tolist() == [True, False] * 10


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no matlab", "new_30_age.mat is not a MATLAB file that can be read"),
        (make.mat(pairs=np.zeros(3)), "new_30_age.mat: expected 'splits' with ten folds"),
        (make.mat(splits=np.zeros((9, 2, 3))), "expected 'splits' with ten folds, found (9, 2, 3)"),
        (make.mat(splits=np.zeros((10, 2, 3))), "split 1: expected two columns of file names and one of labels"),
        (make.agedb(label=0)["new_30_age.mat"], "split 1, pair 1: the label is 0; it must be 1 or -1"),
        (make.agedb(label=-1)["new_30_age.mat"], "split 1, pair 1: the pair is called impostor"),
    ],
)
def test_broken_agedb(tmp_path: Path, content: bytes, message: str) -> None:
    broken(tmp_path, make.agedb(), "new_30_age.mat", None, content, message, OWN_PAIRS)  # type: ignore[arg-type]


R, L = "test/txts/Asian/Asian_pairs.txt", "test/txts/Asian/Asian_lmk.txt"


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        (R, "m.01\t1\t2", "m.01\t1", "Asian_pairs.txt, line 1: expected 'id i j' or 'id1 i id2 j'"),
        (R, "m.01\t1\t2", "m.01\t0\t2", "Asian_pairs.txt, line 1: ('0', '2') are no image numbers"),
        (R, "m.01\t1\t2", "m.01\t2\t2", "Asian_pairs.txt, line 1: an image is paired with itself"),
        (R, "m.01\t1\tm.11\t1", "m.01\t1\tm.01\t2", "Asian_pairs.txt, line 2: the pair is called impostor"),
        (L, "1 2 3", "1 2 x", "Asian_lmk.txt, line 1: expected a path, one field and x1 y1 .. x5 y5"),
        (L, "\t0\t", "\t", "Asian_lmk.txt, line 1: expected a path"),
    ],
)
def test_broken_rfw(tmp_path: Path, name: str, old: str, new: str, message: str) -> None:
    broken(tmp_path, make.rfw(), name, old, new, message, OWN_PAIRS)


def test_rfw_landmarks_and_races(tmp_path: Path) -> None:
    folder = write_tree(tmp_path / "set", make.rfw())
    dataset = load_dataset(folder, pairs=OWN_PAIRS)
    assert set(dataset.attributes["race"]) == {"African", "Asian"}
    assert dataset.landmarks is not None
    assert dataset.landmarks[0].reshape(-1).tolist() == list(range(1, 11))
    with pytest.raises(InputError, match="unknown race 'Indian'"):
        load_dataset(folder, pairs="Indian")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (",label,", ",same,", "line 1: lacks the column label"),
        (",1,n1,n1,", ",2,n1,n1,", "line 2: label '2' and fold '1'"),
        (",1,n1,n1,", ",0,n1,n1,", "line 2: the pair is called impostor, but its images belong to 'n1' and 'n1'"),
        ("\n1,a/n1", "\n0,a/n1", "line 2: label '1' and fold '0'"),
        (",0.5\n", "\n", "line 2: more or fewer cells"),
        (",F,M,", ",M,M,", "line 3: image 'a/n1/1.jpg' is ('n1', 'M', 'A') here and ('n1', 'F', 'A') on an earlier"),
        ("a/n1/1.jpg", "../x.jpg", "line 2: path '../x.jpg' leads out of the dataset's folder"),
    ],
)
def test_broken_bfw(tmp_path: Path, old: str, new: str, message: str) -> None:
    broken(tmp_path, bfw(), "bfw-v0.1.5-datatable.csv", old, new, message, OWN_PAIRS)


def test_a_pickled_datatable_is_refused_unread(tmp_path: Path) -> None:
    hostile = b"cos\nsystem\n(S'touch " + str(tmp_path / "pwned").encode() + b"'\ntR."
    with pytest.raises(InputError, match="is a pickle, which is never read"):
        load_dataset(write_tree(tmp_path / "set", {"bfw-v0.1.5-datatable.pkl": hostile}))
    assert not (tmp_path / "pwned").exists()


M = "meta/ijbz_"


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        (f"{M}face_tid_mid.txt", "2.jpg 10 5", "2.jpg 10", "tid_mid.txt, line 2: expected 'image template media'"),
        (f"{M}face_tid_mid.txt", "2.jpg 10 5", "2.jpg ten 5", "tid_mid.txt, line 2: expected 'image template media'"),
        (f"{M}face_tid_mid.txt", "2.jpg", "1.jpg", "tid_mid.txt, line 2: image '1.jpg' was named before"),
        (
            f"{M}name_5pts_score.txt",
            "2.jpg",
            "7.jpg",
            "5pts_score.txt, line 2: names '7.jpg', but this row of the list",
        ),
        (f"{M}name_5pts_score.txt", "0.92", "", "5pts_score.txt, line 2: expected 'image x1 y1 .. x5 y5 score'"),
        (f"{M}name_5pts_score.txt", "0.92", "nan", "5pts_score.txt, line 2: expected"),
        (f"{M}name_5pts_score.txt", "5.jpg 30 40 70 40 50 60 35 80 65 80 0.95\n", "", "4 rows for 5 images"),
        (f"{M}face_tid_mid.txt", "5.jpg 12 8\n", "", "5pts_score.txt, line 5: one row more than the 4 images"),
        (f"{M}template_pair_label.txt", "11 12", "99 12", "pair_label.txt, line 2: no image belongs to template 99"),
        (f"{M}template_pair_label.txt", "11 12 0", "11 12 2", "pair_label.txt, line 2: the label is 2"),
        (f"{M}template_pair_label.txt", "11 12 0", "11 12", "pair_label.txt, line 2: expected 'template template 0|1'"),
        (f"{M}template_pair_label.txt", "11 12 0", "11 x 0", "pair_label.txt, line 2: expected 'template"),
        (f"{M}template_pair_label.txt", "11 12 0", "11 11 0", "line 2: a template is paired with itself"),
        (f"{M}template_pair_label.txt", "11 12 0", "11 12 1", "line 2: the label contradicts the people"),
        (f"{M}1N_gallery_S1.csv", "10,100", "98,100", "gallery_S1.csv, line 2: no image belongs to template '98'"),
        (f"{M}1N_probe_mixed.csv", "12,100", "10,300", "line 2: template 10 is of person '300' here and of '100'"),
        (f"{M}1N_probe_mixed.csv", "12,100", "10,100", "line 2: template 10 is probe here and gallery elsewhere"),
        (f"{M}template_pair_label.txt", None, "", "holds no template pairs"),
    ],
)
def test_broken_ijb(tmp_path: Path, name: str, old: str | None, new: str, message: str) -> None:
    broken(tmp_path, make.ijb(), name, old, new, message, OWN_TEMPLATE_PAIRS)


def test_ijb_roles_scores_and_unknown_people(tmp_path: Path) -> None:
    dataset = load_dataset(write_tree(tmp_path / "set", make.ijb()), pairs=OWN_TEMPLATE_PAIRS)
    assert dataset.roles == ("gallery", "gallery", "gallery-2", "probe", "probe")
    assert dataset.detector_scores is not None
    assert dataset.detector_scores.tolist() == [0.91, 0.92, 0.93, 0.94, 0.95]
    assert dataset.media_ids == ("5", "5", "6", "7", "8")
    assert decode(dataset.images[0].read()).shape == (112, 112, 3)
    files = make.ijb()
    del files["meta/ijbz_1N_gallery_S2.csv"]
    partly = load_dataset(write_tree(tmp_path / "partly", files))
    assert partly.identities is None
    assert "identities are unknown" in partly.summary()
    with pytest.raises(InputError, match="compares templates"):
        load_dataset(tmp_path / "set", pairs=OWN_PAIRS)


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("test1/match.csv", "2,3", "2,9", "match.csv, line 2: no list defines template '9'"),
        ("test1/match.csv", "2,3", "2", "match.csv, line 2: expected 'template,template'"),
        ("test1/match.csv", "2,3", "3,3", "match.csv, line 2: a template is paired with itself"),
        ("test1/match.csv", None, None, "list of comparisons not found"),
        ("test1/verif_templates.csv", "3,7", "1,7", "verif_templates.csv, line 2: template '1' of '7'; it is"),
        ("test1/verif_templates.csv", "1,1,3,3", "1,1,0,3", "verif_templates.csv, line 2: the box is 0 x 3 pixels"),
        ("test1/verif_templates.csv", "1,1,3,3", "1,x,3,3", "verif_templates.csv, line 2: 1, x, 3, 3 is no box"),
        ("test1/verif_templates.csv", "FACE_X", "X", "line 1: lacks the column FACE_X"),
        ("test1/enroll_templates.csv", "img/b.jpg", "img/a.jpg", "line 3: 'img/a.jpg' is in template 1 twice"),
        ("test1/enroll_templates.csv", "1,7,img/b.jpg", "1,8,img/b.jpg", "line 3: template '1' of '8'; it is ('7'"),
        ("test1/enroll_templates.csv", "img/b.jpg", "/b.jpg", "line 3: path '/b.jpg' is absolute"),
    ],
)
def test_broken_nist(tmp_path: Path, name: str, old: str | None, new: str | None, message: str) -> None:
    broken(tmp_path, make.nist(), name, old, new, message, OWN_TEMPLATE_PAIRS)


def test_nist_faces_are_cut_out(tmp_path: Path) -> None:
    dataset = load_dataset(write_tree(tmp_path / "set", make.nist()))
    whole = decode(make.jpg(0))
    assert np.array_equal(decode(dataset.images[0].read()), whole[3:8, 2:8])
    assert dataset.roles == ("gallery", "gallery", "gallery", "probe")
    outside = BoxSource(BytesSource(make.jpg(0), "x"), (50, 50, 4, 4))
    with pytest.raises(ImageError, match="outside the image"):
        outside.read()


def test_alignment_brings_landmarks_to_the_template() -> None:
    angle, scale = 0.3, 1.7
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = (ARCFACE_112 - 56) @ turn.T + [90, 70]
    found = similarity_transform(points, ARCFACE_112)
    assert np.allclose(points @ found[:, :2].T + found[:, 2], ARCFACE_112)
    # a picture that is bright where the left eye lies is bright there afterwards
    image = np.zeros((160, 200, 3), np.uint8)
    x, y = points[0].round().astype(int)
    image[y - 3 : y + 4, x - 3 : x + 4] = 255
    face = decode(AlignedSource(BytesSource(encode(image), "x"), points).read())
    ys, xs = np.nonzero(face[..., 0] > 128)
    assert abs(xs.mean() - ARCFACE_112[0, 0]) < 0.7
    assert abs(ys.mean() - ARCFACE_112[0, 1]) < 0.7
    same = decode(AlignedSource(BytesSource(encode(image[:112, :112]), "x"), ARCFACE_112).read())
    assert np.array_equal(same, image[:112, :112])


def test_utkface_labels(tmp_path: Path) -> None:
    dataset = load_dataset(write_tree(tmp_path / "set", make.utkface()))
    assert dataset.attributes == {
        "age": (25.0, None, 80.0),
        "gender": ("male", None, "female"),
        "race": ("black", None, "other"),
    }
    assert "1 names lack a label" in dataset.summary()
    broken(tmp_path / "b", {**make.utkface(), "me.jpg": b""}, "me.jpg", None, "", "me.jpg: the name is not age_", None)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("file,age", "path,age", "fairface_label_val.csv, line 1: lacks the column file"),
        ("val/2.jpg", "val/1.jpg", "fairface_label_val.csv, line 3: the file 'val/1.jpg' is empty or named before"),
        ("val/2.jpg", "../2.jpg", "fairface_label_val.csv, line 3: path '../2.jpg' leads out"),
        (",True\n", "\n", "fairface_label_val.csv, line 3: 4 cells, but the header has 5"),
    ],
)
def test_broken_fairface(tmp_path: Path, old: str, new: str, message: str) -> None:
    broken(tmp_path, make.fairface(), "fairface_label_val.csv", old, new, message, None)


def test_megaface_list(tmp_path: Path) -> None:
    folder = write_tree(tmp_path / "set", make.megaface())
    dataset = load_dataset(folder / "list.json")
    assert dataset.identities == ("Ann", "Ann", "Bob")
    assert not check_dataset(dataset, 1).failures
    with pytest.raises(InputError, match="has no pair list"):
        load_dataset(folder / "list.json", pairs=OWN_PAIRS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "list.json is not valid JSON"),
        ("[1]", "list.json: expected the keys path and id"),
        ('{"path": ["a"], "id": []}', "list.json: 1 paths, but 0 ids"),
        ('{"path": ["a", "a"], "id": [1, 2]}', "list.json, entry 1: 'a' of 2; expected a new path"),
        ('{"path": ["../a"], "id": [1]}', "list.json, entry 0: path '../a' leads out"),
    ],
)
def test_broken_megaface_lists(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "list.json").write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        load_dataset(tmp_path / "list.json")
    assert message in str(caught.value)
