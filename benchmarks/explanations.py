"""What masks cost beyond the network: RISE and occlusion over the bare batched forward of as many faces.

Run: python benchmarks/explanations.py [--model phantom-arcface] [--repeats 5]
Goal: a ratio of at most 1.15. Each repeat times both sides one after the other, in CPU seconds of this process, so that
a busy machine slows both; the median ratio and its range are printed.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from facebench.execution.embedding import embed_faces
from facebench.models import load_model
from facebench.probes.saliency import METHODS, Explained, Target

BATCH = 32


def seconds(work: Callable[[], Any]) -> float:
    """Return the CPU seconds of a call."""
    started = time.process_time()
    work()
    return time.process_time() - started


def main() -> None:
    """Print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="phantom-arcface")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--masks", type=int, default=1000)
    parser.add_argument("--trust-code", action="store_true")
    asked = parser.parse_args()
    model: Any = load_model(asked.model, trust_code=asked.trust_code)
    faces = np.random.default_rng(0).integers(0, 256, (BATCH, 112, 112, 3)).astype(np.uint8)
    subject = Explained(faces[0], Target(model.embed(faces)[1]), lambda f: embed_faces(model, f, BATCH), BATCH)
    for name, options in (("rise", {"masks": asked.masks}), ("occlusion", {"patch": 16, "stride": 8})):
        method = METHODS.get(name)
        forwards = method(subject, **options).forwards
        ratios = []
        for _ in range(asked.repeats):
            bare = seconds(lambda n=forwards: [model.embed(faces) for _ in range(-(-n // BATCH))])
            ratios.append(seconds(lambda m=method, o=options: m(subject, **o)) / bare)
        low, high = min(ratios), max(ratios)
        print(
            f"{name}: {statistics.median(ratios):.2f} of the bare forward ({low:.2f} to {high:.2f}), {forwards} passes"
        )


if __name__ == "__main__":
    main()
