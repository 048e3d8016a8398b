"""Finished work on disk: what is damaged or belongs elsewhere is told, removed and made again, never believed."""

from __future__ import annotations

import logging
import multiprocessing
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from facebench.schema import Failure, ModelCard
from facebench.sections.robustness.attacks.store import Batch, BatchStore
from facebench.store import CheckedFolder, EmbeddingStore, StoredBatch, TileStore

CARD = ModelCard(name="m", adapter="test", embedding_dim=3)
VECTORS = np.array([[1, 2, 3], [np.nan, np.nan, np.nan]], np.float32)
FAILURES = (Failure(image_id="b", stage="embed", reason="the model returned NaN"),)


def truncate(path: Path, _other: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip_a_bit(path: Path, _other: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-2] ^= 1  # among the numbers: the format alone does not notice
    path.write_bytes(data)


def replace_by_another(path: Path, other: Path) -> None:
    shutil.copyfile(other, path)


def replace_by_a_foreign_file(path: Path, _other: Path) -> None:
    from safetensors.numpy import save_file

    save_file({"vectors": np.zeros((2, 3), np.float32)}, path, {"failures": "[]"})


def replace_by_text(path: Path, _other: Path) -> None:
    path.write_text("not this")


def empty(path: Path, _other: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize(
    "damage", [truncate, flip_a_bit, replace_by_another, replace_by_a_foreign_file, replace_by_text, empty]
)
def test_a_damaged_entry_is_told_dropped_and_made_again(
    damage: Callable[[Path, Path], None], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = EmbeddingStore(tmp_path, CARD, runtime={})
    batch = StoredBatch(VECTORS, FAILURES)
    store.put(["a", "b"], batch)
    store.put(["c"], StoredBatch(VECTORS[:1] + 1, ()))
    damage(store.path(["a", "b"]), store.path(["c"]))
    with caplog.at_level(logging.WARNING, "facebench"):
        assert store.get(["a", "b"]) is None
    assert str(store.path(["a", "b"])) in caplog.text
    assert "made again" in caplog.text
    assert not store.path(["a", "b"]).exists()
    store.put(["a", "b"], batch)
    found = store.get(["a", "b"])
    assert found is not None
    np.testing.assert_array_equal(found.vectors, VECTORS)
    assert found.failures == FAILURES
    other = store.get(["c"])
    assert other is not None
    np.testing.assert_array_equal(other.vectors, VECTORS[:1] + 1)


def test_every_bit_of_a_file_is_checked(tmp_path: Path) -> None:
    """No bit flip changes what is read: it is noticed, or it lies in padding."""
    folder = CheckedFolder(tmp_path)
    folder.put("x", {"a": np.arange(3.0), "none": np.zeros((0, 2), bool)}, {"n": 1})
    whole = folder.path("x").read_bytes()
    for place in range(len(whole)):
        data = bytearray(whole)
        data[place] ^= 1 << place % 8
        folder.path("x").write_bytes(data)
        found = folder.get("x")
        if found is not None:
            assert found[1] == {"n": 1}
            np.testing.assert_array_equal(found[0]["a"], np.arange(3.0))
            assert found[0]["none"].shape == (0, 2)


def test_tiles_and_attacked_batches_are_checked_too(tmp_path: Path) -> None:
    tiles = TileStore(tmp_path / "tiles")
    tiles.put(1, {"counts": np.arange(4)})
    shutil.copyfile(tmp_path / "tiles" / "1.safetensors", tmp_path / "tiles" / "2.safetensors")
    assert tiles.get(2) is None
    assert tiles.get(1) is not None
    batches = BatchStore(tmp_path, {"model": "m"})
    batches.put(["a"], Batch({"vectors": VECTORS}, {"forwards": 3.0}))
    assert batches.get(["a"]).counts == {"forwards": 3.0}  # type: ignore[union-attr]
    flip_a_bit(batches.path(["a"]), Path())
    assert batches.get(["a"]) is None


def write_and_read(folder: Path, seed: int) -> int:
    """Write and read the same names as others do at the same time; returns how often something else was read."""
    store = CheckedFolder(folder)
    wrong = 0
    for turn in range(60):
        name = f"{(turn + seed) % 5}"
        store.put(name, {"a": np.full(2000, int(name))}, name)
        found = store.get(name)
        wrong += found is None or found[1] != name or not (found[0]["a"] == int(name)).all()
    return wrong


def test_runs_at_the_same_time_share_a_cache(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        assert pool.starmap(write_and_read, [(tmp_path, seed) for seed in range(3)]) == [0, 0, 0]
    assert not list(tmp_path.glob("*.part"))
