"""Speed of the phantom renderer: pictures per second of processor time, files per second on two workers, first picture.

    python benchmarks/phantoms.py [picture] [files] [cold]

`picture` counts the processor time of one process that keeps the pictures in memory, so that other work on the machine
matters less. `files` times the whole command `facebench data render` for 1,000 images on two workers, start included;
goal: 25 images/s on two cores that are otherwise idle. `cold` times one picture where no compiled kernels are stored;
goal: 60 s.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

IMAGES = 1_000


def picture(images: int = 60) -> float:
    """Return the processor seconds of a picture, after one unmeasured identity."""
    from facebench.phantoms import Request, iter_faces

    pictures = iter_faces(Request(identities=1 + images // 10, images_per_identity=10, seed=3))
    for _ in range(10):
        next(pictures)
    started = time.process_time()
    count = sum(1 for _ in pictures)
    return (time.process_time() - started) / count


def files() -> tuple[float, float]:
    """Return wall and processor seconds of the command for `IMAGES` images on two workers; kernels are compiled."""
    _render(1)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    wall = _render(IMAGES // 10)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def cold() -> float:
    """Return the wall seconds of the first picture with an empty store of kernels."""
    with tempfile.TemporaryDirectory() as store:
        return _render(1, images=1, NUMBA_CACHE_DIR=store)


def _render(identities: int, images: int = 10, **environment: str) -> float:
    with tempfile.TemporaryDirectory() as folder:
        request = ["--identities", str(identities), "--images", str(images), "--workers", "2"]
        started = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "facebench", "data", "render", str(Path(folder) / "faces"), *request],
            check=True,
            capture_output=True,
            env={**os.environ, **environment},
        )
        return time.perf_counter() - started


def main() -> None:
    """Print what was asked for; without names, all of it."""
    asked = sys.argv[1:] or ["picture", "files", "cold"]
    if "picture" in asked:
        seconds = picture()
        print(
            f"a picture: {seconds * 1e3:.0f} ms of one core, {1 / seconds:.1f} pictures a processor second", flush=True
        )
    if "files" in asked:
        wall, cpu = files()
        print(
            f"{IMAGES:,} images on two workers: {wall:.1f} s, {cpu:.1f} s of processor, {IMAGES / wall:.1f} images/s "
            "(goal >= 25)",
            flush=True,
        )
    if "cold" in asked:
        print(f"first picture, nothing compiled: {cold():.0f} s (goal <= 60)", flush=True)


if __name__ == "__main__":
    main()
