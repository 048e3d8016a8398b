"""The dataset report: counts checked by hand, problems and warnings."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from facebench.data import DatasetReport, check_dataset, load_dataset

from .factory import IMAGES, MANIFEST, PAIRS, REAL_DATA, manifest_files, png, write_tree


def report(tmp_path: Path, manifest: str = MANIFEST, pairs: str | None = None, **more: str | bytes) -> DatasetReport:
    return check_dataset(load_dataset(write_tree(tmp_path, manifest_files(manifest, **more)), pairs=pairs), workers=2)


def test_counts_of_all_against_all(tmp_path: Path) -> None:
    found = report(tmp_path)
    assert (found.n_images, found.n_identities, found.comparisons) == (5, 3, "all against all")
    counts = {
        group.group: (group.n_images, group.n_identities, group.n_genuine, group.n_impostor) for group in found.groups
    }
    assert counts == {
        "all": (5, 3, 2, 8),
        "race=asian": (2, 1, 1, 0),
        "race=black": (1, 1, 0, 0),
        "race=white": (1, 1, 0, 0),
    }
    assert found.attributes == {"race": {"asian": 2, "black": 1, "": 1, "white": 1}}
    assert found.ranges == {"age": (30.0, 50.0)}
    assert found.sizes == {"8 x 6": 5}
    assert found.single_image_identities == ("cid",)
    assert found.problems == ()
    assert found.failures == ()
    assert found.n_pairs is None


def test_counts_of_a_pair_list(tmp_path: Path) -> None:
    found = report(tmp_path, pairs="own", pairs__csv=PAIRS)
    assert (found.n_pairs, found.n_folds, found.comparisons) == (4, 2, "pair list")
    assert (found.groups[0].n_genuine, found.groups[0].n_impostor) == (2, 2)
    assert found.groups[1].group == "race=asian"
    assert (found.groups[1].n_genuine, found.groups[1].n_impostor) == (1, 0)


def test_unusable_images_are_problems(tmp_path: Path) -> None:
    root = write_tree(tmp_path, manifest_files())
    (root / "images/a1.png").unlink()
    (root / "images/a2.png").write_bytes(b"")
    (root / "images/b1.png").write_bytes(png()[:50])
    found = check_dataset(load_dataset(root), workers=2)
    assert [failure.stage for failure in found.failures] == ["read", "read", "decode"]
    assert any("1 images cannot be used (a1): the file does not exist" in problem for problem in found.problems)
    assert len(found.problems) == 3
    assert found.sizes == {"8 x 6": 2}


def warning(found: DatasetReport, words: str) -> str:
    return next((text for text in found.warnings if words in text), "")


def test_duplicates(tmp_path: Path) -> None:
    root = write_tree(tmp_path, {**manifest_files(), "images/a2.png": IMAGES["images/a1.png"], "images/c1.png": png(2)})
    found = check_dataset(load_dataset(root), workers=2)
    assert found.duplicates_within == (("a1", "a2"),)
    assert found.duplicates_across == (("b1", "c1"),)
    assert "b1 = c1" in warning(found, "different identities")
    assert "a1 = a2" in warning(found, "under one identity")


def test_attribute_warnings(tmp_path: Path) -> None:
    text = MANIFEST.replace("a2,images/a2.png,ann,asian", "a2,images/a2.png,ann,white")
    found = report(tmp_path, text)
    assert "ann: asian and white" in warning(found, "more than one race")
    assert "1 images" in warning(found, "'race' is empty")
    assert warning(found, "holds only the numbers 30, 31.5, 44, 50")
    assert "cid" in warning(found, "1 identities have one image")


def test_a_column_with_too_many_values_makes_no_groups(tmp_path: Path) -> None:
    rows = "".join(f"i{n},images/a1.png,p{n % 7},value {n}\n" for n in range(60))
    found = report(tmp_path, "image_id,path,identity,remark\n" + rows)
    assert [group.group for group in found.groups] == ["all"]
    assert "60 different values" in warning(found, "too many for groups")


def test_few_false_accepts(tmp_path: Path) -> None:
    rows = "".join(f"i{n},images/a1.png,p{n},{'ab'[n % 2]}\n" for n in range(100))
    found = report(tmp_path, "image_id,path,identity,half\n" + rows)
    assert [(group.n_impostor, group.false_accepts) for group in found.groups] == [(4950, 4), (1225, 1), (1225, 1)]
    assert "all: 4 of 4,950, half=a: 1 of 1,225" in warning(found, "fewer than 30 false accepts in 3 groups")
    assert warning(found, "no genuine comparison is possible")


def test_no_comparison_at_all(tmp_path: Path) -> None:
    found = report(tmp_path, "image_id,path\na,images/a1.png\nb,images/a2.png\n")
    assert "neither identities nor a pair list" in found.problems[0]
    assert found.n_identities is None
    found = report(tmp_path, "image_id,path,identity\na,images/a1.png,ann\nb,images/a2.png,ann\n")
    assert "no impostor comparison is possible" in found.problems[0]


def test_repeated_pairs_and_unused_images(tmp_path: Path) -> None:
    pairs = "1\t2\nAnn\t1\t2\nAnn\t2\t1\nAnn\t1\tBob\t1\nAnn\t2\tBob\t1\n"
    faces = {f"{name}/{name}_000{n}.png": png(n) for name in ("Ann", "Bob") for n in (1, 2)}
    found = check_dataset(load_dataset(write_tree(tmp_path, {**faces, "pairs.txt": pairs})), workers=1)
    assert "Ann/Ann_0002 - Ann/Ann_0001" in warning(found, "1 pairs of the list repeat an earlier one")
    assert warning(found, "1 images are in no pair")


def test_progress_counts_to_the_end(tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    dataset = load_dataset(write_tree(tmp_path, manifest_files()))
    check_dataset(dataset, workers=2, progress=lambda done, total: steps.append((done, total)))
    assert steps == [(n, 5) for n in range(1, 6)]


@pytest.mark.skipif(not (REAL_DATA / "att_faces").is_dir(), reason="the AT&T faces are not on this machine")
def test_att_faces() -> None:
    found = check_dataset(load_dataset(REAL_DATA / "att_faces", pairs="own"), workers=2)
    assert (found.n_images, found.n_identities, found.n_pairs) == (400, 40, 79_800)
    assert (found.groups[0].n_genuine, found.groups[0].n_impostor) == (1800, 78_000)
    assert found.sizes == {"112 x 112": 400}
    assert found.problems == ()


@pytest.mark.skipif(not (REAL_DATA / "utk_adult2000").is_dir(), reason="the UTKFace subset is not on this machine")
def test_utk_adult2000() -> None:
    found = check_dataset(load_dataset(REAL_DATA / "utk_adult2000"), workers=2)
    assert found.attributes["gender"] == Counter(male=1000, female=1000)
    assert set(found.attributes["race"].values()) == {400}
    assert found.groups[0].n_impostor == 1_999_000
    assert found.problems == ()
