"""Manifests: what is read, and each rule that a broken one is refused by."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from facebench.data import Dataset, FileSource, PairList, dataset_sha256, hash_images, load_dataset
from facebench.errors import InputError

from .factory import IMAGES, MANIFEST, PAIRS, REAL_DATA, manifest_files, png, write_tree


def read(tmp_path: Path, manifest: str = MANIFEST, pairs: str | None = None, **more: str | bytes) -> Dataset:
    return load_dataset(write_tree(tmp_path / "set", manifest_files(manifest, **more)), pairs=pairs)


def name_of(dataset: Dataset) -> str:
    return dataset_sha256(dataset, hash_images(dataset, 2))


def test_a_manifest_is_read(tmp_path: Path) -> None:
    dataset = read(tmp_path)
    assert dataset.image_ids == ("a1", "a2", "b1", "b2", "c1")
    assert dataset.identities == ("ann", "ann", "bob", "bob", "cid")
    assert dataset.attributes == {
        "race": ("asian", "asian", "black", None, "white"),
        "age": (30.0, 31.5, None, 44.0, 50.0),
    }
    assert dataset.images[1].read() == IMAGES["images/a2.png"]
    assert dataset.images[1].where.endswith("images/a2.png")
    assert dataset.pairs is None
    assert dataset.landmarks is None
    assert not dataset.phantom
    assert dataset.summary() == "manifest.csv: 5 images of 3 identities"


def test_the_file_itself_may_be_named(tmp_path: Path) -> None:
    root = write_tree(tmp_path, {**IMAGES, "mine.csv": MANIFEST})
    assert load_dataset(root / "mine.csv", name="own").name == "own"


def test_identity_is_optional(tmp_path: Path) -> None:
    dataset = read(tmp_path, "image_id,path\nx,images/a1.png\n")
    assert dataset.identities is None
    assert "without identities" in dataset.summary()


def test_bom_crlf_blank_lines_and_blanks_around_cells(tmp_path: Path) -> None:
    text = "\ufeffimage_id , path,race\r\n a1 ,images/a1.png, asian\r\n\r\na2,images/a2.png,asian\r\n"
    dataset = read(tmp_path, text)
    assert dataset.image_ids == ("a1", "a2")
    assert dataset.attributes == {"race": ("asian", "asian")}


def test_a_missing_image_file_is_no_manifest_error(tmp_path: Path) -> None:
    dataset = read(tmp_path, "image_id,path\nx,images/none.png\n")
    (failure,) = hash_images(dataset, 1)
    assert not isinstance(failure, str)
    assert (failure.stage, failure.reason) == ("read", "the file does not exist")


def test_landmarks_masks_templates_and_media(tmp_path: Path) -> None:
    text = (
        "image_id,path,template_id,media_id,region_mask,landmarks\n"
        "x,images/a1.png,t1,m1,masks/x.png,1 2 3 4 5 6 7 8 9 10.5\n"
        "y,images/a2.png,t1,,,\n"
    )
    dataset = read(tmp_path, text)
    assert dataset.landmarks is not None
    assert dataset.landmarks.shape == (2, 5, 2)
    assert dataset.landmarks[0, 4].tolist() == [9.0, 10.5]
    assert np.isnan(dataset.landmarks[1]).all()
    assert dataset.region_masks is not None
    assert dataset.region_masks[0] == tmp_path / "set/masks/x.png"
    assert dataset.region_masks[1] is None
    assert dataset.template_ids == ("t1", "t1")
    assert dataset.media_ids == ("m1", None)
    assert dataset.attributes == {}


def test_dataset_json_says_phantom(tmp_path: Path) -> None:
    dataset = read(tmp_path, dataset__json='{"phantom": true, "licence": "CC0"}')
    assert dataset.phantom
    assert dataset.info["licence"] == "CC0"


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "not valid JSON"), ("[]", "expected keys and values"), ('{"phantom": 1}', "phantom must be true or false")],
)
def test_dataset_json_is_checked(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(tmp_path, dataset__json=text)


HEAD = "image_id,path,identity,age,race\n"
ROW = "a1,images/a1.png,ann,30,asian\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        (HEAD, "has a header but no rows"),
        ("path,identity\nx.png,ann\n", "lacks the column image_id; it has path, identity"),
        ("file,subject\nx.png,ann\n", "lacks the columns image_id, path"),
        ("image_id,path,identitiy\na,x.png,ann\n", "unknown column 'identitiy'. Did you mean 'identity'"),
        ("image_d,path\na,x.png\n", "unknown column 'image_d'. Did you mean 'image_id'"),
        ("Image ID,path\na,x.png\n", "Did you mean 'image_id'"),
        ("image_id,path,landmark\na,x.png,1\n", "Did you mean 'landmarks'"),
        ("image_id;path\na;x.png\n", "separated by semicolons; save the file with commas"),
        ("image_id,path,race,race\na,x.png,1,2\n", "column 'race' is given twice"),
        (",image_id,path\n0,a,x.png\n", "column 1 has no name.*index=False"),
        (HEAD + ROW + "\n" + ROW, r"lines 2, 4: image_id 'a1' is given 2 times"),
        (HEAD + ROW + ",images/a2.png,ann,3,x\n", "line 3: image_id is empty"),
        (HEAD + "a,x.png,,1,x\nb,y.png,ann,1,x\nc,z.png,,1,x\n", "lines 2, 4: identity is empty"),
        (HEAD + "a,,ann,1,x\n", "line 2: path '' names no file"),
        (HEAD + ROW + "a2,../a2.png,ann,3,x\n", r"line 3: path '\.\./a2\.png' leads out"),
        (HEAD + "a2,images/../../a2.png,ann,3,x\n", "leads out"),
        (HEAD + "a2,/etc/passwd,ann,3,x\n", "line 2: path '/etc/passwd' is absolute"),
        (HEAD + "a2,C:/x.png,ann,3,x\n", "is absolute"),
        (HEAD + "a2,images\\a2.png,ann,3,x\n", "backslash; separate folders by /"),
        (HEAD + ROW + "a2,x.png,ann,nan,x\n", "line 3: age is 'nan'; leave the cell empty"),
        (HEAD + ROW + "a2,x.png,ann,-inf,x\n", "line 3: age is '-inf'"),
        (HEAD + ROW + "a2,x.png,ann,3,NaN\n", "line 3: race is 'NaN'"),
        (HEAD + ROW + "a2,x.png,ann,3\n", "line 3: 4 cells, but the header has 5"),
        (HEAD + 'a2,x.png,"ann,3,x\n', "not valid CSV"),
        (HEAD + '"a\n2",x.png,ann,3,x\n', "line 2: image_id 'a.n2' contains control characters"),
        ("image_id,path,landmarks\na,x.png,1 2 3\n", "line 2: landmarks '1 2 3' must be 10 numbers"),
        ("image_id,path,landmarks\na,x.png,1 2 3 4 5 6 7 8 9 nan\n", "must be 10 numbers"),
        ("image_id,path,region_mask\na,x.png,../m.png\n", "line 2: region_mask: path '../m.png' leads out"),
    ],
)
def test_broken_manifests_are_refused_with_their_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read(tmp_path, text)
    assert "manifest.csv" in str(caught.value)


def test_not_utf8(tmp_path: Path) -> None:
    root = write_tree(tmp_path, {"manifest.csv": b"image_id,path\na,\xff.png\n"})
    with pytest.raises(InputError, match=r"line 2: not UTF-8 text"):
        load_dataset(root)


def test_links_on_the_users_own_disk_are_followed(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "set", {"manifest.csv": "image_id,path\na,a.png\nb,deep/b.png\n"})
    write_tree(tmp_path / "elsewhere", {"b.png": png(1)})
    (root / "deep").symlink_to(tmp_path / "elsewhere")
    (root / "a.png").symlink_to(tmp_path / "elsewhere" / "b.png")
    assert [image.read() for image in load_dataset(root).images] == [png(1), png(1)]


def test_a_link_within_the_dataset_and_to_the_dataset_is_followed(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "set", {"manifest.csv": "image_id,path\na,a.png\n", **IMAGES})
    (root / "a.png").symlink_to(root / "images/a1.png")
    (tmp_path / "link").symlink_to(root)
    assert load_dataset(tmp_path / "link").images[0].read() == IMAGES["images/a1.png"]


def test_two_manifests_are_ambiguous(tmp_path: Path) -> None:
    root = write_tree(tmp_path, {"manifest.csv": MANIFEST, "manifest.parquet": b""})
    with pytest.raises(InputError, match=r"has both manifest\.csv and manifest\.parquet"):
        load_dataset(root)


def as_parquet(tmp_path: Path, frame: pd.DataFrame) -> Path:
    root = write_tree(tmp_path / "parquet", IMAGES)
    frame.to_parquet(root / "manifest.parquet", index=False)
    return root


def frame() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "image_id": ["a1", "a2", "b1", "b2", "c1"],
            "path": list(IMAGES),
            "identity": ["ann", "ann", "bob", "bob", "cid"],
            "race": pd.Categorical(["asian", "asian", "black", None, "white"]),
            "age": [30, 31.5, None, 44, 50],
        }
    )


def test_csv_and_parquet_of_the_same_rows_have_one_name(tmp_path: Path) -> None:
    from_csv, from_parquet = read(tmp_path), load_dataset(as_parquet(tmp_path, frame()))
    assert from_parquet.attributes == from_csv.attributes
    assert name_of(from_parquet) == name_of(from_csv)


def test_whole_numbers_and_truth_in_parquet(tmp_path: Path) -> None:
    table = frame().assign(identity=[1, 1, 2, 2, 3], glasses=[True, False, True, True, False])
    dataset = load_dataset(as_parquet(tmp_path, table))
    assert dataset.identities == ("1", "1", "2", "2", "3")
    assert dataset.attributes["glasses"] == ("True", "False", "True", "True", "False")


def test_broken_parquet(tmp_path: Path) -> None:
    root = as_parquet(tmp_path, frame().assign(identity=[1.0, 1.0, 2.0, 2.0, 3.0]))
    with pytest.raises(InputError, match="'identity' holds double; save it as text or whole numbers"):
        load_dataset(root)
    root = as_parquet(tmp_path, frame().assign(seen=pd.Timestamp(2020, 1, 1)))
    with pytest.raises(InputError, match="'seen' holds timestamp"):
        load_dataset(root)
    pq.write_table(pa.table({"image_id": ["a"], "path": ["x.png"], "age": [math.nan]}), root / "manifest.parquet")
    with pytest.raises(InputError, match="row 1: age is 'nan'"):
        load_dataset(root)
    latin1 = pa.StringArray.from_buffers(1, pa.py_buffer(np.array([0, 4], "<i4")), pa.py_buffer(b"caf\xe9"))
    pq.write_table(pa.table({"image_id": latin1, "path": ["x.png"]}), root / "manifest.parquet")
    with pytest.raises(InputError, match="holds text that is not UTF-8"):
        load_dataset(root)
    (root / "manifest.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(InputError, match="is not a Parquet file that can be read"):
        load_dataset(root)


def test_the_name_ignores_place_and_notices_content(tmp_path: Path) -> None:
    original = name_of(read(tmp_path / "one"))
    assert name_of(read(tmp_path / "two")) == original
    renamed = {name.replace("images/", "faces/"): data for name, data in IMAGES.items()}
    moved = write_tree(tmp_path / "three", {"manifest.csv": MANIFEST.replace("images/", "faces/"), **renamed})
    assert name_of(load_dataset(moved)) == original
    changed = {
        name_of(read(tmp_path / "four", MANIFEST.replace("asian", "white", 1))),
        name_of(read(tmp_path / "five", MANIFEST.replace("c1,images/c1", "c2,images/c1"))),
        name_of(read(tmp_path / "six", MANIFEST.replace("cid", "bob"))),
        name_of(read(tmp_path / "seven", MANIFEST.replace("images/c1.png", "images/b2.png"))),
        name_of(read(tmp_path / "eight", MANIFEST.replace("images/c1.png", "images/none.png"))),
        name_of(read(tmp_path / "nine", pairs="own", pairs__csv=PAIRS)),
        name_of(read(tmp_path / "ten", pairs="own", pairs__csv=PAIRS.replace("a1,b1,0,0", "a1,b1,0,1"))),
    }
    assert len(changed | {original}) == 8


def test_an_attribute_text_is_not_a_number_in_disguise(tmp_path: Path) -> None:
    text = "image_id,path,code\na,x.png,1_000\nb,y.png,2\n"
    assert read(tmp_path, text).attributes["code"] == ("1_000", "2")


def test_subset(tmp_path: Path) -> None:
    dataset = read(tmp_path, pairs="own", pairs__csv=PAIRS).subset(3)
    assert dataset.image_ids == ("a1", "a2", "b1")
    assert dataset.attributes["age"] == (30.0, 31.5, None)
    assert dataset.pairs is not None
    assert dataset.pairs.a.tolist() == [0, 0]
    assert dataset.pairs.b.tolist() == [1, 2]
    assert len(read(tmp_path).subset(100)) == 5


def test_pairs_by_id(tmp_path: Path) -> None:
    pairs = read(tmp_path, pairs="own", pairs__csv=PAIRS).pairs
    assert pairs is not None
    assert pairs.a.tolist() == [0, 0, 2, 4]
    assert pairs.b.tolist() == [1, 2, 3, 3]
    assert pairs.genuine.tolist() == [True, False, True, False]
    assert pairs.fold is not None
    assert pairs.fold.tolist() == [0, 0, 1, 1]
    assert pairs.n_folds == 2


def test_pairs_by_path_and_under_another_name(tmp_path: Path) -> None:
    text = "file_a,file_b,same\nimages/a1.png,images/a2.png,true\nimages/a1.png,images/b1.png,0\n"
    pairs = read(tmp_path, pairs="other.csv", other__csv=text).pairs
    assert pairs is not None
    assert pairs.genuine.tolist() == [True, False]
    assert pairs.fold is None


def test_a_path_shared_by_two_images_names_neither(tmp_path: Path) -> None:
    text = "file_a,file_b,same\nimages/a1.png,images/a2.png,1\n"
    manifest = MANIFEST + "a3,images/a1.png,ann,asian,30\n"
    with pytest.raises(InputError, match="several images of the manifest share one; use ids"):
        read(tmp_path, manifest, pairs="own", pairs__csv=text)


PAIR_HEAD = "image_a,image_b,genuine,fold\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "has the columns a, b; a pair list has image_a, image_b, genuine"),
        (PAIR_HEAD, "no rows"),
        (PAIR_HEAD + "a1,zz,1,0\na1,a2,1,0\na2,zz,1,0\n", "lines 2, 4: image_b 'zz' is not in the manifest"),
        (PAIR_HEAD + "a1,a2,nan,0\n", "line 2: genuine is 'nan'; it must be 1 or 0"),
        (PAIR_HEAD + "a1,a2,,0\n", "genuine is ''"),
        (PAIR_HEAD + "a1,a2,1,nan\n", "line 2: fold is 'nan'"),
        (PAIR_HEAD + "a1,a2,1,-1\n", "fold is '-1'"),
        (PAIR_HEAD + "a1,a2,1,1\n", "no pair is in fold 0"),
        (PAIR_HEAD + "a1,a1,1,0\n", "line 2: an image is paired with itself"),
        (PAIR_HEAD + "a1,a2,1,0\na1,b1,0,0\na2,a1,1,0\n", "lines 2, 4: the same two images are compared 2 times"),
        (PAIR_HEAD + "a1,a2,0,0\n", "line 2: genuine is 0, but the manifest says the images show 'ann' and 'ann'"),
        (PAIR_HEAD + "a1,b2,1,0\n", "show 'ann' and 'bob'"),
    ],
)
def test_broken_pair_lists(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read(tmp_path, pairs="own", pairs__csv=text)
    assert "pairs.csv" in str(caught.value)


def test_a_pair_list_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="pair list not found"):
        read(tmp_path, pairs="own")
    with pytest.raises(InputError, match="leads out"):
        read(tmp_path, pairs="../pairs.csv")


def test_a_dataset_made_in_code_is_checked(tmp_path: Path) -> None:
    image = FileSource("x.png")
    with pytest.raises(InputError, match="1 images for 2 images"):
        Dataset("d", tmp_path, ("a", "b"), (image,))
    with pytest.raises(InputError, match="given twice"):
        Dataset("d", tmp_path, ("a", "a"), (image, image))
    pairs = PairList(np.array([0]), np.array([1]), np.array([True]))
    with pytest.raises(InputError, match="beyond the 1"):
        Dataset("d", tmp_path, ("a",), (image,), pairs=pairs)
    with pytest.raises(InputError, match="columns of one length"):
        PairList(np.array([0]), np.array([1, 2]), np.array([True]))
    with pytest.raises(InputError, match="0 image hashes for 1 images"):
        dataset_sha256(Dataset("d", tmp_path, ("a",), (image,)), [])


def test_importing_is_cheap() -> None:
    code = "import sys, facebench.data; print({'torch', 'pandas', 'matplotlib', 'pyarrow', 'PIL'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.skipif(not (REAL_DATA / "att_faces").is_dir(), reason="the AT&T faces are not on this machine")
def test_att_faces() -> None:
    dataset = load_dataset(REAL_DATA / "att_faces", pairs="own")
    assert dataset.summary() == "manifest.csv: 400 images of 40 identities; 79,800 pairs (1,800 genuine)"
    assert name_of(dataset) != name_of(load_dataset(REAL_DATA / "att_faces"))
    assert all(isinstance(sha256, str) for sha256 in hash_images(dataset, 2))


@pytest.mark.skipif(not (REAL_DATA / "utk_adult2000").is_dir(), reason="the UTKFace subset is not on this machine")
def test_utk_adult2000() -> None:
    dataset = load_dataset(REAL_DATA / "utk_adult2000")
    assert len(dataset) == 2000
    assert set(dataset.attributes) == {"race", "gender", "age"}
    assert min(age for age in dataset.attributes["age"] if isinstance(age, float)) >= 18
