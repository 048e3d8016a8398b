"""The shipped sets hold what they promise."""

from __future__ import annotations

import io
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facebench.data import load_dataset
from facebench.errors import InputError, UnknownNameError
from facebench.phantoms.population import Request
from facebench.phantoms.shipped import SETS, builtin_path, shipped_dataset, shipped_names

TOTAL_BYTES = 15_000_000


def test_all_sets_fit_their_room() -> None:
    assert sum(shipped_dataset(name).stat().st_size for name in shipped_names()) <= TOTAL_BYTES


def test_no_set_shares_its_people_with_another_or_with_training() -> None:
    seeds = [SETS[name]["seed"] for name in shipped_names()]
    assert len(set(seeds)) == len(seeds)
    assert 0 not in seeds


@pytest.mark.parametrize("name", sorted(SETS))
def test_sets_are_as_asked_for_and_balanced(name: str) -> None:
    asked = {key: value for key, value in SETS[name].items() if key not in ("sha256", "labels")}
    dataset = load_dataset(builtin_path(Path(f"builtin:{name}")))
    assert len(dataset) == Request(**asked).images
    assert dataset.phantom
    assert dataset.identities is not None
    cells = zip(*(dataset.attributes[key] for key in ("sex", "tone", "age_band")), strict=True)
    people = dict(zip(dataset.identities, cells, strict=True))
    counts = Counter(people.values())
    assert len(counts) == 18
    assert len(set(counts.values())) == 1
    assert not any(str(value) == "nan" for value in dataset.attributes["age"])


def test_false_match_rate_is_resolvable_in_every_sex_and_tone() -> None:
    dataset = load_dataset(shipped_dataset("phantom-v1"))
    assert dataset.identities is not None
    groups = list(zip(dataset.attributes["sex"], dataset.attributes["tone"], strict=True))
    for group in set(groups):
        own = Counter(i for i, g in zip(dataset.identities, groups, strict=True) if g == group)
        images = sum(own.values())
        impostor = images * (images - 1) // 2 - sum(n * (n - 1) // 2 for n in own.values())
        assert impostor / 1000 >= 30, group


def test_twins_agree_with_the_probe_outside_their_mask() -> None:
    path = shipped_dataset("phantom-parts-v1")
    dataset = load_dataset(path)
    row_of = {image_id: row for row, image_id in enumerate(dataset.image_ids)}
    assert dataset.change_masks is not None
    with zipfile.ZipFile(path) as archive:

        def pixels(member: str) -> np.ndarray:
            return np.asarray(Image.open(io.BytesIO(archive.read(member))))

        twins = [row for row, original in enumerate(dataset.edits["swap_of"]) if original]
        assert len(twins) == 18 * 6
        for row in twins[::7]:
            original = dataset.edits["swap_of"][row]
            probe, twin = (
                np.asarray(Image.open(io.BytesIO(dataset.images[k].read()))) for k in (row_of[str(original)], row)
            )
            assert ((probe != twin).any(-1) == (pixels(str(dataset.change_masks[row])) > 0)).all()


def test_unknown_or_damaged_sets_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnknownNameError, match="unknown shipped dataset 'phantom-v9'"):
        builtin_path(Path("builtin:phantom-v9"))
    monkeypatch.setitem(SETS, "phantom-v1", SETS["phantom-v1"] | {"sha256": "0" * 64})
    with pytest.raises(InputError, match="missing or damaged"):
        shipped_dataset("phantom-v1")
