"""Mutate valid files of every format for a given time; anything but success or a FaceBench error is printed and kept.

python -m benchmarks.fuzz --minutes 120              all formats in turn
python -m benchmarks.fuzz --minutes 5 --only scores  those whose name holds a text
"""

from __future__ import annotations

import argparse
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path

from tests.fuzz.formats import Format, formats, refused_or_read
from tests.fuzz.mutations import mutated

ROUND = 50  # examples of one format before the next one's turn
SECONDS = 10


class TooSlowError(BaseException):
    """One example took longer than SECONDS."""


def main() -> None:
    """Run the command; exit 1 when something was found."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--only", default="", help="formats whose name holds this text")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="the first seed; every seed makes one file")
    parser.add_argument("--keep", type=Path, default=Path("out/fuzz"), help="folder for the files that were found")
    arguments = parser.parse_args()
    signal.signal(signal.SIGALRM, _too_slow)
    warnings.simplefilter("ignore")
    chosen = [one for one in formats() if arguments.only in one.name]
    until, seed, done, found = time.monotonic() + 60 * arguments.minutes, arguments.seed, Counter[str](), set[str]()
    while time.monotonic() < until:
        for one in chosen:
            if time.monotonic() >= until:
                break
            done.update(_round(one, seed, arguments.keep, found))
        seed += ROUND
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"{done.total():,} examples: {dict(done)}; {len(found)} distinct faults; peak memory {peak:,} MB")
    sys.exit(1 if found else 0)


def _round(one: Format, seed: int, keep: Path, found: set[str]) -> Counter[str]:
    outcomes: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for number in range(seed, seed + max(1, round(ROUND * one.share))):
            for name, content in one.files.items():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_bytes(content)
            data = mutated(one.files[one.target], one.kind, number)
            signal.alarm(SECONDS)
            try:
                outcomes[refused_or_read(one, root, data)] += 1
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                outcomes["other"] += 1
                _tell(one, number, data, error, keep, found)
            finally:
                signal.alarm(0)
    return outcomes


def _tell(one: Format, seed: int, data: bytes, error: BaseException, keep: Path, found: set[str]) -> None:
    """Print a fault once for each place it comes from, and keep the file."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "facebench" in frame.filename]
    place = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "?"
    if f"{type(error).__name__} {place}" in found:
        return
    found.add(f"{type(error).__name__} {place}")
    kept = keep / f"{seed}-{Path(one.target).name}"
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_bytes(data)
    print(f"{one.name}, seed {seed}: {type(error).__name__} at {place}: {error!s:.200}; kept as {kept}", flush=True)


def _too_slow(*_: object) -> None:
    raise TooSlowError(f"more than {SECONDS} s")


if __name__ == "__main__":
    main()
