"""Measure the coverage of every kind of interval, record it, and write its table into docs/metrics.md.

python -m benchmarks.coverage_study --runs 2000   measures and records; an hour on a core (`--only`, `--source`: a part)
python -m benchmarks.coverage_study --table       writes the table of docs/metrics.md from the recorded study
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from importlib.metadata import version

from scipy.stats import binom

from benchmarks.coverage_study import study
from benchmarks.coverage_study.designs import DESIGNS
from benchmarks.coverage_study.table import DOCS, RECORD, inserted

CHUNK = 50


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.coverage_study", description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=2000, help="runs of each design")
    parser.add_argument("--only", default="", help="designs whose name holds this text")
    parser.add_argument("--source", default="", help="only this source of intervals")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--table", action="store_true", help="only write the table from the record")
    parser.add_argument(
        "--dry", action="store_true", help="print, leave the record as it is, and fail where a kind covers too little"
    )
    arguments = parser.parse_args()
    wrong: list[study.Count] = []
    if not arguments.table:
        for counts in _measure(arguments):
            wrong += [
                each for each in counts if each.loose or binom.cdf(each.covered, each.intervals, study.LOWEST) < 1e-4
            ]
            if not arguments.dry:
                _record(counts, arguments)
    if arguments.dry:
        sys.exit("\n".join(f"covers too little: {each}" for each in wrong) or 0)
    DOCS.write_text(inserted(DOCS.read_text(encoding="utf-8"), json.loads(RECORD.read_text("utf-8"))), encoding="utf-8")


def _measure(arguments: argparse.Namespace) -> Iterator[list[study.Count]]:
    """Yield the counts of one design and source after the other."""
    sources = [name for name in study.SOURCES if arguments.source in ("", name)]
    with ProcessPoolExecutor(arguments.jobs) as pool:
        for design in (d for d in DESIGNS if arguments.only in d.name):
            for source in sources:
                starts = range(0, arguments.runs, CHUNK)
                jobs = [
                    pool.submit(
                        study.study, design, source, runs=min(CHUNK, arguments.runs - start), seed=arguments.seed,
                        first=start,
                    )
                    for start in starts
                ]  # fmt: skip
                found = study.count(design, [each for job in jobs for each in job.result()])
                for each in found:
                    print(
                        f"{design.name:45} {each.kind:28} {each.coverage:.3f} of {each.intervals} "
                        f"(missing {each.missing}, too high {each.below}, loose {each.loose}) width {each.width:.4f}",
                        flush=True,
                    )
                yield found


def _record(counts: list[study.Count], arguments: argparse.Namespace) -> None:
    """Replace what was measured anew in the record, and keep the rest."""
    old = json.loads(RECORD.read_text("utf-8"))["counts"] if RECORD.exists() else []
    new = [{**asdict(each), "runs": arguments.runs} for each in counts]
    again = {(each["design"], each["kind"]) for each in new}
    kept = [each for each in old if (each["design"], each["kind"]) not in again]
    order = {design.name: number for number, design in enumerate(DESIGNS)}
    rows = sorted([*kept, *new], key=lambda each: (each["kind"], order.get(each["design"], len(order))))
    record = {"facebench": version("facebench"), "python": platform.python_version(), "counts": rows}
    RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
