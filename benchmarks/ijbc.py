"""1:1 verification of IJB-C size from features, lists read and report written, against the script people usually run.

    python benchmarks/ijbc.py                    the size of IJB-C: 469,375 features, 15,658,489 listed pairs
    python benchmarks/ijbc.py --share 0.1        a tenth of its images and pairs
    python benchmarks/ijbc.py --ours             FaceBench alone

The set is made up: people are directions, templates and media differ from their person, images from their media item.
It lies in insightface's layout under --folder and is made once. Both programs run as processes of their own, one after
the other, in one thread of linear algebra; the figures are processor time (user and system), time and largest memory.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from processes import Taken, run

N_IMAGES, N_GALLERY, N_PROBES, N_GENUINE, N_PAIRS, DIMENSION = 469_375, 3_531, 19_593, 19_557, 15_658_489, 512
FMR_TARGETS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
FEATURES, STEM = "features.npy", "ijbc"


# ---- the set


def make_set(folder: Path, share: float, seed: int = 5) -> Path:
    """Write a set of a share of the size of IJB-C, unless it is there; return its folder."""
    folder = folder / f"ijbc-{share:g}"
    if (folder / "model.yaml").exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    images = round(share * N_IMAGES)
    gallery, probes, genuine = (round(share**0.5 * n) for n in (N_GALLERY, N_PROBES, N_GENUINE))  # as dense a list
    n_templates = gallery + probes
    person = np.concatenate([np.arange(gallery), np.sort(rng.integers(0, gallery, probes))])
    template = np.concatenate([np.arange(n_templates), rng.integers(0, n_templates, images - n_templates)])
    template.sort()
    first = np.flatnonzero(np.diff(template, prepend=-1))
    opens = rng.random(images) < 0.55  # a media item holds two images or so
    opens[first] = True
    media = np.cumsum(opens)
    _write_features(folder / FEATURES, person[template], template, media, rng)
    _write_lists(folder, template, media, person, gallery, rng)
    counts = _write_pairs(folder, person, gallery, genuine, round(share * N_PAIRS), rng)
    _write_protocol(folder / "protocol.yaml", images, *counts)
    text = f"name: synthetic\nadapter: embeddings\nweights: {FEATURES}\nids: ids.txt\ncomparator: cosine\n"
    (folder / "model.yaml").write_text(text, encoding="utf-8")
    return folder


def _write_features(
    path: Path, person: NDArray[np.int64], template: NDArray[np.int64], media: NDArray[np.int64],
    rng: np.random.Generator,
) -> None:  # fmt: skip
    """Write (N, D) features: a direction of each person, and what its template, media item and image add.

    The directions lie in a space of few dimensions, so that impostors come as near as in real features.
    """
    few = 24
    spread = rng.standard_normal((few, DIMENSION), np.float32) / np.float32(few**0.5)
    drawn = [
        (rng.standard_normal((int(index.max()) + 1, few), np.float32) * np.float32(size)) @ spread
        for index, size in ((person, 1.0), (template, 0.8), (media, 1.0))
    ]
    stored = np.lib.format.open_memmap(path, "w+", np.float32, (person.size, DIMENSION))
    for start in range(0, person.size, 8192):
        rows = slice(start, start + 8192)
        block = rng.standard_normal((len(person[rows]), DIMENSION), np.float32)
        for values, index in zip(drawn, (person, template, media), strict=True):
            block += values[index[rows]]
        stored[rows] = block
    stored.flush()


def _write_lists(
    folder: Path, template: NDArray[np.int64], media: NDArray[np.int64], person: NDArray[np.int64], gallery: int,
    rng: np.random.Generator,
) -> None:  # fmt: skip
    names = [f"{image + 1}.jpg" for image in range(template.size)]
    points = rng.uniform(20, 90, (template.size, 10))
    scores = rng.uniform(0.8, 1.0, template.size)
    media_lines = (f"{n} {t + 1} {m}" for n, t, m in zip(names, template, media, strict=True))
    _write_lines(folder / f"{STEM}_face_tid_mid.txt", media_lines)
    landmarks = (
        f"{n} {' '.join(f'{v:.3f}' for v in five)} {s:.6f}" for n, five, s in zip(names, points, scores, strict=True)
    )
    _write_lines(folder / f"{STEM}_name_5pts_score.txt", landmarks)
    _write_lines(folder / "ids.txt", names)
    roles = np.where(np.arange(person.size) >= gallery, 2, person % 2)
    for role, name in enumerate(("gallery_G1", "gallery_G2", "probe_mixed")):
        rows = np.flatnonzero(roles[template] == role)
        listed = (f"{template[row] + 1},{person[template[row]] + 1},{names[row]}" for row in rows)
        _write_lines(folder / f"{STEM}_1N_{name}.csv", ["TEMPLATE_ID,SUBJECT_ID,FILENAME", *listed])


def _write_pairs(
    folder: Path, person: NDArray[np.int64], gallery: int, genuine: int, n_pairs: int, rng: np.random.Generator
) -> tuple[int, int]:
    """Write pairs of gallery templates and probes, in the order of the probes; return how many of each kind."""
    probes = np.arange(gallery, person.size)
    own = np.sort(rng.choice(probes, genuine, replace=False))
    each = np.full(probes.size, (n_pairs - genuine) // probes.size)
    each[: (n_pairs - genuine) % probes.size] += 1
    mated = set(own.tolist())
    with (folder / f"{STEM}_template_pair_label.txt").open("w", encoding="ascii") as stream:
        for probe, wanted in zip(probes.tolist(), each.tolist(), strict=True):
            mate = int(person[probe])
            if probe in mated:
                stream.write(f"{mate + 1} {probe + 1} 1\n")
            others = np.sort(rng.choice(gallery - 1, wanted, replace=False))
            others += others >= mate
            stream.write("".join(f"{other + 1} {probe + 1} 0\n" for other in others.tolist()))
    return genuine, n_pairs - genuine


def _write_protocol(path: Path, images: int, genuine: int, impostor: int) -> None:
    """Write the shipped protocol with the counts of this set."""
    import yaml

    from facebench.files import asset_dir

    spec = yaml.safe_load((asset_dir("protocols") / "ijbc.yaml").read_text(encoding="utf-8"))
    spec["dataset"] = {"name": "faces", "n_images": images, "n_genuine": genuine, "n_impostor": impostor}
    path.write_text(yaml.safe_dump(spec), encoding="utf-8")


def _write_lines(path: Path, lines: object) -> None:
    with path.open("w", encoding="ascii") as stream:
        stream.writelines(f"{line}\n" for line in lines)  # type: ignore[attr-defined]


# ---- the rival


def usual_script(folder: Path) -> None:
    """Print TAR at six FMR targets as the usual script finds it: pandas, a loop over templates, `roc_curve`."""
    import pandas as pd
    from sklearn.metrics import roc_curve

    meta = pd.read_csv(folder / f"{STEM}_face_tid_mid.txt", sep=" ", header=None).to_numpy()
    templates, media = meta[:, 1].astype(int), meta[:, 2].astype(int)
    pairs = pd.read_csv(folder / f"{STEM}_template_pair_label.txt", sep=" ", header=None).to_numpy()
    first, second, label = pairs[:, 0].astype(int), pairs[:, 1].astype(int), pairs[:, 2].astype(int)
    features = np.load(folder / FEATURES)
    features = features / np.linalg.norm(features, axis=1, keepdims=True)
    names = np.unique(templates)
    pooled = np.zeros((names.size, features.shape[1]))
    for row, name in enumerate(names):
        (inside,) = np.where(templates == name)
        rows, items = features[inside], media[inside]
        means = [rows[items == item].mean(0) for item in np.unique(items)]
        pooled[row] = np.mean(means, 0)
    pooled /= np.linalg.norm(pooled, axis=1, keepdims=True)
    place = np.zeros(names.max() + 1, int)
    place[names] = np.arange(names.size)
    scores = np.zeros(label.size)
    for start in range(0, label.size, 100_000):
        rows = slice(start, start + 100_000)
        scores[rows] = np.sum(pooled[place[first[rows]]] * pooled[place[second[rows]]], -1)
    fpr, tpr, _ = roc_curve(label, scores)
    print(json.dumps([float(tpr[np.argmin(np.abs(fpr - target))]) for target in FMR_TARGETS]))


# ---- the measurement


def ours(folder: Path, workers: int = 2) -> Taken:
    """Run FaceBench on the set: features and lists read, result, its inputs and the report written."""
    out = folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    command = [sys.executable, "-m", "facebench", "run", folder / "model.yaml", folder / "protocol.yaml"]
    command += ["--data", f"faces={folder}", "--out", out, "--workers", str(workers)]
    return run([str(word) for word in command])


def rival(folder: Path) -> Taken:
    """Run the usual script on the set."""
    return run([sys.executable, str(Path(__file__).resolve()), "--script", str(folder)])


def found_rates(folder: Path) -> list[float]:
    """Return the TAR at each FMR target in the result of `ours`, the highest target first."""
    result = json.loads((folder / "out" / "result.json").read_text(encoding="utf-8"))
    rates = {e["fmr_target"]: e["value"] for e in result["estimates"] if e["metric"] == "tar"}
    return [rates[target] for target in FMR_TARGETS]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--share", type=float, default=1.0, help="of the size of IJB-C")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "facebench-benchmarks")
    parser.add_argument("--ours", action="store_true", help="leave the usual script out")
    parser.add_argument("--script", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.script:
        usual_script(options.script)
        return
    folder = make_set(options.folder, options.share)
    taken = {"FaceBench": ours(folder)} if options.ours else {"FaceBench": ours(folder), "usual script": rival(folder)}
    for name, one in taken.items():
        print(f"{name}: {one.processor:.1f} s of processor, {one.wall:.1f} s, {one.memory / 1e9:.2f} GB")
    print(f"TAR of FaceBench:    {[round(value, 5) for value in found_rates(folder)]}")
    if not options.ours:
        us, them = taken.values()
        print(f"TAR of usual script: {[round(value, 5) for value in json.loads(them.printed)]}")
        print(
            f"ratio: {us.processor / them.processor:.2f} of its processor time, {us.wall / them.wall:.2f} of its time"
        )


if __name__ == "__main__":
    main()
