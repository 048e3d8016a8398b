"""All pairs of the size of LFW with 1,000 replicates and three groupings, from stored embeddings to result and report.

    python benchmarks/all_pairs.py               7,292 embeddings of 128 numbers
    python benchmarks/all_pairs.py --images 2000

The set is made up: 2,900 people with as many images as in LFW, few with many; race, sex and both crossed are the
groupings. The command runs as a process of its own, in one thread of linear algebra.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
from processes import Taken, run

IMAGES, DIMENSION, PEOPLE = 7_292, 128, 2_900
RACES = ("Asian", "Black", "Indian", "White")
PROTOCOL = """\
name: all-pairs
title: All pairs with three groupings
description: Every image is compared with every other; race, sex and both crossed are the groupings.
dataset: {name: faces}
comparisons: {kind: all-pairs}
fmr_targets: [1.0e-1, 1.0e-2, 1.0e-3, 1.0e-4]
primary_fmr_target: 1.0e-3
threshold_policy: pooled
groups: {attributes: all, intersections: pairwise, min_identities: 10}
uncertainty: {confidence: 0.95, replicates: 1000}
"""


def make_set(folder: Path, images: int = IMAGES, dimension: int = DIMENSION, seed: int = 7) -> Path:
    """Write a manifest, embeddings and a protocol, unless they are there; return their folder."""
    folder = folder / f"all-pairs-{images}"
    if (folder / "model.yaml").exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    people = max(2, round(PEOPLE * images / IMAGES))
    shares = np.arange(1, people + 1) ** -0.8
    drawn = rng.choice(people, images - people, p=shares / shares.sum())
    person = np.sort(np.concatenate([np.arange(people), drawn]))
    race, sex = rng.integers(0, len(RACES), people), rng.integers(0, 2, people)
    centres = rng.standard_normal((people, dimension)) + 0.3 * rng.standard_normal((len(RACES), dimension))[race]
    vectors = centres[person] + 0.8 * rng.standard_normal((images, dimension))
    np.save(folder / "embeddings.npy", vectors.astype(np.float32))
    rows = (f"{i}.png,{i}.png,person {p},{RACES[race[p]]},{'FM'[sex[p]]}" for i, p in enumerate(person))
    (folder / "manifest.csv").write_text("\n".join(["image_id,path,identity,race,sex", *rows]) + "\n", encoding="ascii")
    (folder / "ids.txt").write_text("".join(f"{i}.png\n" for i in range(images)), encoding="ascii")
    (folder / "protocol.yaml").write_text(PROTOCOL, encoding="ascii")
    text = "name: synthetic\nadapter: embeddings\nweights: embeddings.npy\nids: ids.txt\ncomparator: cosine\n"
    (folder / "model.yaml").write_text(text, encoding="ascii")
    return folder


def ours(folder: Path, workers: int = 2) -> Taken:
    """Run FaceBench on the set: embeddings read, result, its inputs and the report written."""
    out = folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    command = [sys.executable, "-m", "facebench", "run", folder / "model.yaml", folder / "protocol.yaml"]
    return run([*map(str, command), "--data", f"faces={folder}", "--out", str(out), "--workers", str(workers)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=IMAGES)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "facebench-benchmarks")
    options = parser.parse_args()
    taken = ours(make_set(options.folder, options.images))
    print(f"FaceBench: {taken.processor:.1f} s of processor, {taken.wall:.1f} s, {taken.memory / 1e9:.2f} GB")


if __name__ == "__main__":
    main()
