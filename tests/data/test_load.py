"""Which format is found, folders of identities, and zip archives."""

from __future__ import annotations

import hashlib
import stat
import struct
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest

from facebench.data import Dataset, dataset_sha256, decode_batches, hash_images, load_dataset
from facebench.data.sources import BytesSource
from facebench.errors import InputError
from facebench.files import canonical_json
from facebench.schema import Failure

from .factory import IMAGES, MANIFEST, PAIRS, manifest_files, png, write_tree, zip_tree

FACES = {"ann/1.png": png(1), "ann/2.JPG": png(2), "bob/x.jpeg": png(3), "cid/1.png": png(4)}


def test_identity_folders(tmp_path: Path) -> None:
    dataset = load_dataset(
        write_tree(tmp_path, {**FACES, "README.txt": "hello", ".hidden/1.png": b"", "ann/.x.png": b""})
    )
    assert dataset.image_ids == ("ann/1", "ann/2", "bob/x", "cid/1")
    assert dataset.identities == ("ann", "ann", "bob", "cid")
    assert dataset.images[1].read() == png(2)
    assert dataset.attributes == {}
    assert (
        dataset.summary()
        == "identity folders: 4 images of 3 identities; files that are no images: 1 (README.txt), left out"
    )


def test_attributes_by_identity_and_by_image(tmp_path: Path) -> None:
    root = write_tree(tmp_path, {**FACES, "attributes.csv": "identity,race,age\nann,asian,30\ncid,white,\n"})
    assert load_dataset(root).attributes == {
        "race": ("asian", "asian", None, "white"),
        "age": (30.0, 30.0, None, None),
    }
    write_tree(tmp_path, {"attributes.csv": "image_id,glasses\nann/2,yes\n"})
    assert load_dataset(root).attributes == {"glasses": (None, "yes", None, None)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,race\nann,asian\n", "needs either a column identity or a column image_id"),
        ("identity,image_id,race\nann,ann/1,asian\n", "needs either"),
        ("identity,race\nann,asian\nbib,black\n", "line 3: identity 'bib' has no image"),
        ("identity,race\nann,asian\nann,black\n", "lines 2, 3: identity 'ann' is given 2 times"),
        ("identity,path\nann,asian\n", "the column name 'path' is reserved"),
        ("identity,templateid\nann,asian\n", "Did you mean 'template_id'"),
        ("identity,age\nann,nan\n", "line 2: age is 'nan'"),
    ],
)
def test_broken_attributes(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_dataset(write_tree(tmp_path, {**FACES, "attributes.csv": text}))


def test_identity_folders_with_a_pair_list(tmp_path: Path) -> None:
    root = write_tree(tmp_path, {**FACES, "pairs.csv": "image_a,image_b,genuine\nann/1,ann/2,1\nann/1,bob/x,0\n"})
    assert load_dataset(root).pairs is None
    pairs = load_dataset(root, pairs="own").pairs
    assert pairs is not None
    assert pairs.b.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"loose.png": png()}, r"loose\.png: expected identity/image"),
        ({"ann/session/1.png": png()}, r"ann/session/1\.png: expected identity/image"),
        ({"ann/1.jpg": png()}, r"has both ann/1\.jpg and ann/1\.png; keep one"),
    ],
)
def test_broken_folders(tmp_path: Path, files: dict[str, bytes], message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_dataset(write_tree(tmp_path, {**FACES, **files}))


def test_linked_folders_are_entered_and_circles_are_told(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "set", FACES)
    before = load_dataset(root)
    (root / "dan").symlink_to(write_tree(tmp_path / "dan", {"1.png": png()}))
    (root / "dan" / "back").symlink_to(root)
    (root / "self").symlink_to(root)
    (root / "gone").symlink_to(tmp_path / "nowhere")
    found = load_dataset(root)
    assert set(found.image_ids) == {*before.image_ids, "dan/1"}
    told = {item.what: (item.count, item.examples) for item in found.left_out}
    assert told["links to a folder they lie in"] == (2, ("dan/back", "self"))
    assert told["files that are no images"] == (1, ("gone",))


def test_a_link_in_an_archive_is_refused(tmp_path: Path) -> None:
    path = zip_tree(tmp_path / "set.zip", FACES)
    with zipfile.ZipFile(path, "a") as archive:
        link = zipfile.ZipInfo("ann/9.png")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(InputError, match=r"'ann/9\.png' is a link, which no archive may hold"):
        load_dataset(path)


def test_the_error_lists_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        load_dataset(write_tree(tmp_path / "set", {"readme.md": "x"}))
    for sign in ("manifest.csv or manifest.parquet", "pairs.txt", ".bin", "one per identity", "has readme.md"):
        assert sign in str(caught.value)
    with pytest.raises(InputError, match="Its top level has no files"):
        load_dataset(write_tree(tmp_path / "empty", {}))
    with pytest.raises(InputError, match="dataset not found"):
        load_dataset(tmp_path / "nowhere")
    with pytest.raises(InputError, match="is no dataset; expected a folder"):
        load_dataset(write_tree(tmp_path, {"x.txt": "x"}) / "x.txt")


@pytest.mark.parametrize("prefix", ["", "my faces/", "a/b/"])
def test_a_zip_reads_like_its_folder(tmp_path: Path, prefix: str) -> None:
    files = manifest_files(pairs__csv=PAIRS)
    folder = load_dataset(write_tree(tmp_path / "set", files), pairs="own")
    archive = zip_tree(tmp_path / "set.zip", {prefix + name: data for name, data in files.items()})
    if prefix == "a/b/":
        with pytest.raises(InputError, match=r"expected identity/image|holds no dataset"):
            load_dataset(archive)
        return
    packed = load_dataset(archive, pairs="own")
    hashes = hash_images(packed, 4)
    assert dataset_sha256(packed, hashes) == dataset_sha256(folder, hash_images(folder, 4))
    assert packed.images[0].where.endswith(f"set.zip: {prefix}images/a1.png")
    assert packed.root == archive


def test_identity_folders_in_a_zip_packed_on_a_mac(tmp_path: Path) -> None:
    files = {f"faces/{name}": data for name, data in FACES.items()}
    archive = zip_tree(tmp_path / "x.zip", {**files, "__MACOSX/faces/ann/._1.png": b"", "faces/.DS_Store": b""})
    assert load_dataset(archive).image_ids == ("ann/1", "ann/2", "bob/x", "cid/1")


def test_a_missing_or_damaged_member_is_a_failed_image(tmp_path: Path) -> None:
    files = manifest_files(MANIFEST + "d1,images/d1.png,dan,white,3\n")
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    content = bytearray(path.read_bytes())
    content[content.index(IMAGES["images/b1.png"]) + 50] ^= 0xFF
    path.write_bytes(bytes(content))
    (batch,) = decode_batches(load_dataset(path), [range(6)], workers=2)
    failed = {image.image_id: image.reason for image in batch if isinstance(image, Failure)}
    assert set(failed) == {"b1", "d1"}
    assert "damaged" in failed["b1"]
    assert failed["d1"] == "the archive has no such file"


def test_masks_in_a_zip_are_members_and_paths_may_not_leave_it(tmp_path: Path) -> None:
    text = "image_id,path,region_mask\na,images/a1.png,./masks//m.png\n"
    dataset = load_dataset(zip_tree(tmp_path / "a.zip", manifest_files(text)))
    assert dataset.region_masks == (Path("masks/m.png"),)
    with pytest.raises(InputError, match=r"line 2: region_mask: .* leads out"):
        load_dataset(zip_tree(tmp_path / "c.zip", manifest_files(text.replace("./masks", ".."))))
    with pytest.raises(InputError, match=r"line 2: path '\.\./x' leads out"):
        load_dataset(zip_tree(tmp_path / "b.zip", manifest_files("image_id,path\na,../x\n")))


def test_edits_are_no_attributes(tmp_path: Path) -> None:
    text = "image_id,path,counterfactual_of,attribute,level,part\na,images/a1.png,,,,x\nb,images/b1.png,a,tone,0.5,y\n"
    dataset = load_dataset(zip_tree(tmp_path / "a.zip", manifest_files(text)))
    assert dataset.edits == {"counterfactual_of": (None, "a"), "attribute": (None, "tone"), "level": (None, "0.5")}
    assert set(dataset.attributes) == {"part"}  # reserved only beside swap_of
    assert dataset.subset(1).edits["level"] == (None,)
    with pytest.raises(InputError, match="line 3: counterfactual_of names the image 'c'"):
        load_dataset(zip_tree(tmp_path / "b.zip", manifest_files(text.replace(",a,tone", ",c,tone"))))
    with pytest.raises(InputError, match="lacks the column level"):
        load_dataset(zip_tree(tmp_path / "c.zip", manifest_files(text.replace(",level", ",score"))))


@pytest.mark.parametrize("name", ["../evil.png", "/evil.png", "a/../../evil.png", "C:/evil.png"])
def test_members_that_leave_the_archive_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"evil\.png"):
        load_dataset(zip_tree(tmp_path / "x.zip", {**manifest_files(), name: b""}))


def test_a_zip_bomb_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("ann/1.png", bytes(1000))
    content = path.read_bytes()
    huge = struct.pack("<I", 0xFFFFFFF0)
    at = content.index(b"PK\x01\x02") + 24  # the size the central directory claims
    path.write_bytes(content[:at] + huge + content[at + 4 :])
    with pytest.raises(InputError, match="likely zip bomb"):
        load_dataset(path)


def test_unusable_archives(tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(b"PK nothing")
    with pytest.raises(InputError, match="is not a zip archive that can be read"):
        load_dataset(tmp_path / "x.zip")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile remarks on the name that is given twice on purpose
        with zipfile.ZipFile(tmp_path / "y.zip", "w") as archive:
            archive.writestr("a/1.png", b"")
            archive.writestr("a/1.png", b"")
    with pytest.raises(InputError, match="is in the archive twice"):
        load_dataset(tmp_path / "y.zip")
    path = zip_tree(tmp_path / "z.zip", {"manifest.csv": "image_id,path\na,b\n"})
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(bytes(content))
    with pytest.raises(InputError, match="is encrypted"):
        load_dataset(path)


def test_the_name_of_a_dataset_is_that_of_its_rows_as_canonical_json(tmp_path: Path) -> None:
    """Put together from columns, the lines have the bytes of each row as one JSON list."""
    points = np.array([[1.5, -0.0], [1e22, 1e-7], [3.0, 0.1], [2 / 3, 4.0], [5.0, 6.0]])
    dataset = Dataset(
        name="faces", root=tmp_path, image_ids=('a"b', "é\\c\n", "x"), images=(BytesSource(b"", "a"),) * 3,
        identities=("Zoë", "Zoë", "2"),
        attributes={"age": (31.0, None, -0.0), "race": ("Asian", 'B"', None)},
        landmarks=np.stack([points, np.full((5, 2), np.nan), -points]), template_ids=("1", None, "1"),
        media_ids=(None, "m", "m"), detector_scores=np.array([0.25, np.nan, 1.0]), roles=("probe", None, "gallery"),
    )  # fmt: skip
    hashes = ["0" * 64, None, "1" * 64]
    digest = hashlib.sha256(b"facebench dataset 1\n")
    digest.update((canonical_json(["age", "race"]) + "\n").encode())
    for row in range(3):
        marks = dataset.landmarks[row]
        score = float(dataset.detector_scores[row])
        cells = [
            dataset.image_ids[row], dataset.identities[row],
            [dataset.attributes["age"][row], dataset.attributes["race"][row]], dataset.template_ids[row],
            dataset.media_ids[row], None if np.isnan(marks).any() else marks.reshape(-1).tolist(),
            hashes[row] or "unreadable", None if np.isnan(score) else score, ["role", dataset.roles[row]],
        ]  # fmt: skip
        digest.update((canonical_json(cells) + "\n").encode())
    assert dataset_sha256(dataset, hashes) == digest.hexdigest()
