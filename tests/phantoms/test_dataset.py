"""What is written to disk: the same bytes whatever the workers and the interruptions, and honest refusals."""

import csv
import hashlib
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facebench.errors import InputError
from facebench.phantoms import write_dataset

SMALL = {"identities": 3, "images_per_identity": 2, "seed": 5, "size": 64, "labels": True}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def rows(manifest: Path) -> list[dict[str, str]]:
    with manifest.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("reference"), **SMALL).parent


def test_manifest_describes_every_image(reference: Path) -> None:
    table = rows(reference / "manifest.csv")
    assert len(table) == 6
    for row in table:
        with Image.open(reference / row["path"]) as image, Image.open(reference / row["region_mask"]) as mask:
            assert image.size == mask.size == (64, 64)
            assert image.mode == "RGB"
            assert mask.mode == "L"
        assert row["sex"] in {"female", "male"}
        assert row["tone"] in {"light", "medium", "dark"}
        assert row["age_band"] in {"young", "middle", "older"}
        assert 19 <= float(row["age"]) <= 78
        assert row["accessory"] == "none"
        landmarks = np.array(row["landmarks"].split(), float)
        assert landmarks.shape == (10,)
        assert ((landmarks > 0) & (landmarks < 64)).all()
    description = json.loads((reference / "dataset.json").read_text(encoding="utf-8"))
    manifest = (reference / "manifest.csv").read_bytes()
    assert description["manifest_sha256"] == hashlib.sha256(manifest).hexdigest()
    with np.load(reference / "parameters.npz", allow_pickle=False) as parameters:
        assert parameters["values"].shape == (6, len(parameters["columns"]))
        assert list(parameters["image_id"]) == [row["image_id"] for row in table]
        assert np.isfinite(parameters["values"]).all()


def test_bytes_do_not_depend_on_workers(reference: Path, tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    write_dataset(tmp_path, **SMALL, workers=2, progress=lambda done, total: calls.append((done, total)))
    assert contents(tmp_path) == contents(reference)
    assert calls == [(2, 6), (4, 6), (6, 6)]


def test_stopped_run_resumes_to_the_same_bytes(reference: Path, tmp_path: Path) -> None:
    write_dataset(tmp_path, **SMALL)
    kept = tmp_path / "images/p000000/000.png"
    before = kept.stat().st_mtime_ns
    (tmp_path / "dataset.json").unlink()
    (tmp_path / "manifest.csv").unlink()
    (tmp_path / "images/p000001/001.png").unlink()
    truncated = tmp_path / "images/p000002/000.png"
    truncated.write_bytes(truncated.read_bytes()[:900])
    (tmp_path / "labels/p000002/001.png").write_bytes(b"")
    write_dataset(tmp_path, **SMALL)
    assert contents(tmp_path) == contents(reference)
    assert kept.stat().st_mtime_ns == before


def test_images_of_another_request_are_not_kept(tmp_path: Path, reference: Path) -> None:
    write_dataset(tmp_path, **(SMALL | {"seed": 6}))
    (tmp_path / "dataset.json").unlink()
    write_dataset(tmp_path, **SMALL)
    assert contents(tmp_path) == contents(reference)


def test_finished_dataset_is_not_overwritten_by_another(tmp_path: Path) -> None:
    write_dataset(tmp_path, identities=1, images_per_identity=1, size=32)
    write_dataset(tmp_path, identities=1, images_per_identity=1, size=32)
    with pytest.raises(InputError, match="holds another dataset"):
        write_dataset(tmp_path, identities=1, images_per_identity=1, size=32, seed=1)


def test_identity_ranges_continue_each_other(tmp_path: Path) -> None:
    asked = {"images_per_identity": 1, "size": 32, "seed": 2}
    write_dataset(tmp_path / "all", identities=3, **asked)
    write_dataset(tmp_path / "last", identities=1, first_identity=2, **asked)
    name = "images/p000002/000.png"
    assert (tmp_path / "all" / name).read_bytes() == (tmp_path / "last" / name).read_bytes()
    images = {path.read_bytes() for path in (tmp_path / "all/images").rglob("*.png")}
    assert len(images) == 3


def test_full_cross_fills_every_cell_alike(tmp_path: Path) -> None:
    manifest = write_dataset(tmp_path, identities=36, images_per_identity=1, size=32, full_cross=True)
    counts = Counter((row["sex"], row["tone"], row["age_band"]) for row in rows(manifest))
    assert len(counts) == 18
    assert set(counts.values()) == {2}


def test_marginals_are_met(tmp_path: Path) -> None:
    asked = {"sex": {"female": 0.5, "male": 0.5}, "tone": {"dark": 0.25, "light": 0.75}}
    manifest = write_dataset(tmp_path, identities=8, images_per_identity=1, size=32, attributes=asked)
    table = rows(manifest)
    assert Counter(row["sex"] for row in table) == {"female": 4, "male": 4}
    assert Counter(row["tone"] for row in table) == {"dark": 2, "light": 6}


def test_accessories_follow_their_probabilities(tmp_path: Path) -> None:
    manifest = write_dataset(
        tmp_path, identities=2, images_per_identity=2, size=32, accessories={"mask": 1.0, "cap": 0.0}
    )
    assert {row["accessory"] for row in rows(manifest)} == {"mask"}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"identities": 0}, "identities is 0"),
        ({"images_per_identity": -1}, "images_per_identity is -1"),
        ({"seed": -3}, "seed is -3"),
        ({"tier": "soft"}, "unknown tier 'soft'"),
        ({"size": 4}, "size is 4"),
        ({"workers": 0}, "workers is 0"),
        ({"attributes": {"height": {"tall": 1.0}}}, "unknown attribute 'height'"),
        ({"attributes": {"tone": {"pale": 1.0}}}, "unknown value 'pale'"),
        ({"attributes": {"tone": {"light": 0.7}}}, "sum to 0.7"),
        ({"attributes": {"tone": {"light": 1.5, "dark": -0.5}}}, "between 0 and 1"),
        ({"full_cross": True}, "multiple of 18"),
        ({"full_cross": True, "identities": 18, "attributes": {"tone": {"light": 1.0}}}, "not both"),
        ({"accessories": {"crown": 0.5}}, "unknown accessory 'crown'"),
        ({"accessories": {"mask": 0.7, "cap": 0.7}}, "sum to 1.4"),
        ({"accessories": {"mask": float("nan")}}, "between 0 and 1"),
    ],
)
def test_bad_requests_are_refused(tmp_path: Path, changed: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        write_dataset(tmp_path / "out", **({"identities": 1, "images_per_identity": 1, "size": 32} | changed))


def test_unwritable_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(InputError, match="Choose a folder you may write to"):
        write_dataset(tmp_path / "file" / "out", identities=1, images_per_identity=1)
