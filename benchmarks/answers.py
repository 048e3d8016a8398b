"""Speed of answers from a file: a million predictions, five groupings, beside scikit-learn in a bootstrap loop.

    python benchmarks/answers.py [--rows 1000000] [--people 100000]

Prints seconds of `facebench run predictions:FILE` with and without identities, the seconds scikit-learn takes for one
bootstrap replicate of the same shares, recalls and F1 over all images and the groups, and how often the run would fit
into 1,000 of these.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

CLASSES = ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger")
GROUPS = {"sex": 2, "age_band": 4, "tone": 5, "light": 3, "device": 6}
PROTOCOL = f"""name: million
title: A million answers
dataset: {{name: faces}}
task: {{shape: classify, head: expression, truth: expression, classes: [{", ".join(CLASSES)}]}}
groups: {{attributes: [{", ".join(GROUPS)}], intersections: []}}
"""


def main() -> None:
    """Write the files, run, and time scikit-learn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--people", type=int, default=100_000)
    asked = parser.parse_args()
    rng = np.random.default_rng(0)
    truth = rng.integers(0, len(CLASSES), asked.rows)
    shares = rng.dirichlet(np.full(len(CLASSES), 0.5), asked.rows)
    shares[np.arange(asked.rows), truth] += 0.3
    shares /= shares.sum(axis=1, keepdims=True)
    who = rng.integers(0, asked.people, asked.rows)
    groups = {name: rng.integers(0, size, asked.people)[who] for name, size in GROUPS.items()}
    with tempfile.TemporaryDirectory() as folder:
        for known in (True, False):
            seconds = _run(Path(folder), truth, shares, who if known else None, groups)
            print(f"facebench, {'with' if known else 'without'} identities: {seconds:.1f} s", flush=True)
    each = _sklearn_replicate(truth, shares.argmax(axis=1), groups, rng)
    print(f"scikit-learn, one replicate: {each:.2f} s; 1,000 of them: {1000 * each:,.0f} s")
    print(f"that is {1000 * each / seconds:,.0f} times the run")


def _run(
    folder: Path, truth: np.ndarray, shares: np.ndarray, who: np.ndarray | None, groups: dict[str, np.ndarray]
) -> float:
    head = ["image_id", "path", *(["identity"] if who is not None else []), "expression", *groups]
    with (folder / "manifest.csv").open("w") as file:
        file.write(",".join(head) + "\n")
        for i in range(len(truth)):
            person = [] if who is None else [f"p{who[i]}"]
            marks = [f"g{values[i]}" for values in groups.values()]
            file.write(",".join([f"i{i}", f"images/{i}.png", *person, CLASSES[truth[i]], *marks]) + "\n")
    with (folder / "answers.csv").open("w") as file:
        file.write(",".join(["image_id", *(f"p_{name}" for name in CLASSES)]) + "\n")
        for i, row in enumerate(shares):
            file.write(f"i{i}," + ",".join(f"{value:.6f}" for value in row) + "\n")
    (folder / "p.yaml").write_text(PROTOCOL)
    words = [f"predictions:{folder}/answers.csv", f"{folder}/p.yaml", "--data", f"faces={folder}"]
    command = [sys.executable, "-m", "facebench", "run", *words, "--out", f"{folder}/out-{who is None}"]
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def _sklearn_replicate(
    truth: np.ndarray, said: np.ndarray, groups: dict[str, np.ndarray], rng: np.random.Generator
) -> float:
    from sklearn.metrics import accuracy_score, f1_score, recall_score

    start = time.perf_counter()
    rows = rng.integers(0, len(truth), len(truth))
    cells = [rows, *(rows[values[rows] == g] for values in groups.values() for g in np.unique(values))]
    for cell in cells:
        accuracy_score(truth[cell], said[cell])
        recall_score(truth[cell], said[cell], average=None)
        f1_score(truth[cell], said[cell], average="macro")
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
