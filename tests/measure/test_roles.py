"""Open-set search by roles, from a manifest and from IJB's 1:N lists, through the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from facebench.cli import application

from .test_templates import write

SEARCH = "identification: {gallery: role, ranks: [1, 2], cmc: 4, open_set: {fpir_targets: [0.3]}}\n"


def call(*words: Any) -> Any:
    return CliRunner().invoke(application(), [str(word) for word in words])


def protocol(path: Path, comparisons: str) -> Path:
    templates = "" if "template" not in comparisons else (
        "templates: {normalise_first: true, detector_weight: false, flip: false}\n"
    )  # fmt: skip
    path.write_text(
        f"name: search\ntitle: Search by roles\ncomparisons: {{kind: {comparisons}}}\n{templates}"
        f"fmr_targets: [0.1]\nprimary_fmr_target: 0.1\nuncertainty: {{replicates: 100}}\n{SEARCH}",
        encoding="utf-8",
    )
    return path


def measured(out: Path) -> dict[tuple[str, str, Any], dict[str, Any]]:
    result = json.loads((out / "result.json").read_text(encoding="utf-8"))
    return {(e["metric"], e["condition"], e.get("k")): e for e in result["estimates"]}


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEBENCH_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("kind", ["all-pairs", "templates", "template-pairs"])
def test_roles_of_a_manifest(tmp_path: Path, kind: str) -> None:
    # eight people; the last two are not enrolled, and the galleries hold three each
    rows = {6 * p + n: {"role": "gallery-2" if p > 2 else "gallery"} for p in range(6) for n in range(3)}
    rows |= {6 * p + n: {"role": ""} for p in (6, 7) for n in range(3)}
    faces = write(tmp_path / "faces", rows=rows)
    outs = [tmp_path / "a", tmp_path / "b"]
    for model, out in zip(("phantom-eigenfaces", "phantom-lbp"), outs, strict=True):
        done = call("run", model, protocol(tmp_path / "p.yaml", kind), "--data", f"faces={faces}", "--out", out)
        assert done.exit_code == 0, done.output
    found = measured(outs[0])
    per_person = 3 if kind == "all-pairs" else 1
    assert found["rank", "clean", 1]["n_genuine"] == 6 * per_person
    assert found["rank", "clean", 1]["n_identities"] == 6
    assert found["fnir", "clean", 1]["n_genuine"] == 6 * per_person
    assert found["fpir", "clean", None]["n_impostor"] == (3 + 2) * 2 * per_person
    assert [found["rank", f"gallery:{n}", 1]["n_genuine"] for n in (1, 2)] == [3 * per_person] * 2
    assert "Rank" in (outs[0] / "report.html").read_text(encoding="utf-8")
    again = call("rescore", outs[0] / "result.json")
    assert again.exit_code == 0, again.output
    done = call("compare", *outs, "--out", tmp_path / "c", "--json")
    assert done.exit_code == 0, done.output
    ranks = [d for d in json.loads(done.stdout)["differences"] if d["metric"] == "rank" and d["k"] == 1]
    assert [d["condition"] for d in ranks] == ["clean", "gallery:1", "gallery:2"]
    assert [d["n_comparisons"] for d in ranks] == [6 * per_person, *[3 * per_person] * 2]
    assert ranks[0]["base_value"] == pytest.approx(found["rank", "clean", 1]["value"])


def write_ijb(folder: Path, *, people: int = 8, strangers: int = 3) -> Path:
    """A gallery template of two images and a probe of one per person; strangers have probes only."""
    stem = "meta/ijbx"
    media, points = [], "30 40 70 40 50 60 35 80 65 80"
    lists: dict[str, list[str]] = {"gallery_S1": [], "gallery_S2": [], "probe_mixed": []}
    for p in range(people + strangers):
        if p < people:
            media += [f"{3 * p + n}.jpg {100 + p} {3 * p + n}" for n in (0, 1)]
            lists["gallery_S1" if p % 2 else "gallery_S2"].append(f"{100 + p},{p}")
        media.append(f"{3 * p + 2}.jpg {200 + p} {3 * p + 2}")
        lists["probe_mixed"].append(f"{200 + p},{p}")
    pairs = [f"{100 + p} {200 + q} {int(p == q)}" for p in range(people) for q in range(people + strangers)]
    names = [line.split()[0] for line in media]
    files = {
        f"{stem}_face_tid_mid.txt": "\n".join(media) + "\n",
        f"{stem}_name_5pts_score.txt": "".join(f"{name} {points} 0.9\n" for name in names),
        f"{stem}_template_pair_label.txt": "\n".join(pairs) + "\n",
        **{f"{stem}_1N_{k}.csv": "\n".join(["TEMPLATE_ID,SUBJECT_ID", *v]) + "\n" for k, v in lists.items()},
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "loose_crop").mkdir()
    for n, name in enumerate(names):
        Image.fromarray(np.full((100, 100, 3), 20 + n, np.uint8)).save(folder / "loose_crop" / name)
    return folder


def test_one_to_n_lists_of_ijb(tmp_path: Path) -> None:
    faces = write_ijb(tmp_path / "ijb")
    names = [line.split()[0] for line in (faces / "meta" / "ijbx_face_tid_mid.txt").read_text().splitlines()]
    # embeddings at hand: every person a direction of its own, the last mated probe turned to another person
    people = np.eye(12)[[int(name.split(".")[0]) // 3 for name in names]]
    people[names.index("23.jpg")] = 0.8 * np.eye(12)[1] + 0.6 * np.eye(12)[7]
    np.savez(tmp_path / "e.npz", embs=people.astype(np.float32), filenames=np.array(names))
    model = tmp_path / "m.yaml"
    model.write_text("name: stored\nadapter: embeddings\nweights: e.npz\nlicence: none\n", encoding="utf-8")
    done = call(
        "run", model, protocol(tmp_path / "p.yaml", "template-pairs"), "--data", f"faces={faces}", "--out",
        tmp_path / "out",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    found = measured(tmp_path / "out")
    assert found["rank", "clean", 1]["n_genuine"] == 8
    assert found["rank", "clean", 1]["errors"] == 1
    assert found["rank", "clean", 2]["errors"] == 0
    assert found["fnir", "clean", 1]["errors"] == 1
    assert found["fpir", "clean", None]["n_impostor"] == 4 * 2 + 3 * 2
    assert found["fmr", "clean", None]["n_identities"] == 11  # people are known from the 1:N lists
