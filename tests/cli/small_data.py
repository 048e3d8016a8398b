"""Small data for whole runs: phantom faces with every column there is, scores, answers, and a torch network."""

from __future__ import annotations

import csv
import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from facebench.phantoms.shipped import shipped_dataset

PATCHES = """
import torch
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(1))
    def embed_patches(self, x):
        return torch.nn.functional.avg_pool2d(x, 28) * self.scale
    def forward(self, x):
        return self.embed_patches(x).flatten(1)
"""


def _write_network(root: Path) -> None:
    """Write a torch network with features of patches."""
    import torch

    (root / "patches.py").write_text(PATCHES, encoding="utf-8")
    torch.save({"scale": torch.ones(1)}, root / "patches.pth")
    (root / "patches.yaml").write_text(
        "name: patches\nadapter: torch\nweights: patches.pth\nfactory: patches:Net\n"
        "input: {height: 112, width: 112, mean: 127.5, std: 127.5}\n",
        encoding="utf-8",
    )


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write a CSV file."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _taken(name: str, folder: Path, people: list[str], keep: Any) -> list[dict[str, str]]:
    """Copy some images of a shipped set; return their rows of the manifest."""
    archive = zipfile.ZipFile(shipped_dataset(name))
    rows = [
        row for row in csv.DictReader(io.StringIO(archive.read("manifest.csv").decode()))
        if row["path"].split("/")[1] in people and keep(row)
    ]  # fmt: skip
    folder.mkdir(parents=True)
    (folder / "dataset.json").write_text('{"phantom": true}', encoding="utf-8")
    for row in rows:
        for key in ("path", "region_mask", "change_mask"):
            if row.get(key):
                archive.extract(row[key], folder)
    return rows


def write_data(root: Path) -> None:
    """Write three small sets of phantom faces, two tables of scores and three of answers."""
    rng = np.random.default_rng(3)
    every_sixth = [f"p{6 * n:06d}" for n in range(12)]
    rows = _taken("phantom-smoke-v1", root / "faces", every_sixth, lambda row: True)
    for n, row in enumerate(rows):
        shot, person = n % 4, n // 4
        row |= {
            "lightness": f"{40 + 3 * person:.1f}", "yellow": "12.5", "sharpness": f"{rng.random():.3f}",
            "role": "gallery" if shot < 2 else "probe", "template_id": f"t{person}-{shot // 2}", "media_id": f"m{n}",
            "detector_score": f"0.{9 - shot}", "film": f"f{person // 2}",
            "mood": ("calm", "happy", "joy", "other")[shot],
            "votes_calm": str(rng.integers(0, 6)), "votes_joy": str(rng.integers(0, 6)), "votes_none": str(n % 3),
            "species": ("bona_fide", "print", "replay", "odd")[3 if n % 8 == 1 else shot],
            "split": ("dev", "test")[person % 2],
            "clip": f"c{person}-{shot}", "yaw": str(10 * shot), "pitch": str(n % 5), "roll": "1.5",
            "au1": str(rng.integers(0, 5)), "au2": "9" if n % 7 == 0 else str(rng.integers(0, 5)), "doubt": "3.5",
        }  # fmt: skip
    write_rows(root / "faces" / "manifest.csv", rows)
    _write_pairs(root / "faces", rows, rng)
    _write_answers(root, rows, rng)
    _write_network(root)
    parts = _taken(
        "phantom-parts-v1", root / "parts", ["p000000", "p000001", "p000002"], lambda row: row["part"] in ("", "eyes")
    )
    write_rows(root / "parts" / "manifest.csv", parts)
    edited = _taken(
        "phantom-counterfactual-v1", root / "edited", [f"p{n:06d}" for n in range(0, 24, 3)],
        lambda row: row["attribute"] in ("", "tone") and row["level"] in ("", "0.1", "0.9"),
    )  # fmt: skip
    write_rows(root / "edited" / "manifest.csv", edited)


def _write_pairs(folder: Path, rows: list[dict[str, str]], rng: np.random.Generator) -> None:
    n = len(rows)
    pairs = [(i, j) for i in range(n) for j in range(i + 1, n)]
    genuine = [(i, j) for i, j in pairs if i // 4 == j // 4]
    others = [pair for pair in pairs if pair[0] // 4 != pair[1] // 4]
    chosen = genuine + [others[k] for k in rng.permutation(len(others))[:300]]
    ids = [row["image_id"] for row in rows]
    listed = [{"image_a": ids[i], "image_b": ids[j], "genuine": int(i // 4 == j // 4)} for i, j in chosen]
    write_rows(folder / "some_pairs.csv", listed)
    opinions = [
        {"image_a": ids[i], "image_b": ids[j], "similarity": round(float(rng.random()), 3)} for i, j in chosen[::3]
    ]
    write_rows(folder / "opinions.csv", opinions)
    templates = [
        {"template_a": f"t{a}-0", "template_b": f"t{b}-1", "genuine": int(a == b)} for a in range(12) for b in range(12)
    ]
    write_rows(folder / "template_pairs.csv", templates)
    scores = [
        {
            "a": ids[i], "b": ids[j], "genuine": int(i // 4 == j // 4),
            "score": round(float(rng.normal(2 * (i // 4 == j // 4))), 4),
            "identity_a": f"p{i // 4}", "identity_b": f"p{j // 4}",
        }
        for i, j in chosen
    ]  # fmt: skip
    write_rows(folder.parent / "scores.csv", scores)


def _write_answers(root: Path, rows: list[dict[str, str]], rng: np.random.Generator) -> None:
    moods, units, ages, lives, angles = [], [], [], [], []
    for row in rows:
        calm = float(np.clip(rng.normal(0.8 if row["mood"] == "calm" else 0.3, 0.2), 0, 1))
        moods.append({"image_id": row["image_id"], "p_calm": calm, "p_joy": 1 - calm})
        fake = float(rng.normal(row["species"] != "bona_fide", 0.5))
        turns = {name: float(row[name]) + rng.normal(0, 5) for name in ("yaw", "pitch", "roll")}
        angles.append({"image_id": row["image_id"], **turns})
        lives.append({"image_id": row["image_id"], "fake": fake, "other": rng.random()})
        units.append({"image_id": row["image_id"], "p_AU1": rng.random(), "p_AU2": rng.random()})
        ages.append({"image_id": row["image_id"], "age": float(row["age"]) + rng.normal(0, 6)})
    for name, table in (("moods", moods), ("units", units), ("ages", ages), ("lives", lives), ("angles", angles)):
        write_rows(root / f"{name}.csv", table)
