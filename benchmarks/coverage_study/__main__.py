"""Measure the coverage of every kind of interval, record it, and write its table into docs/metrics.md.

python -m benchmarks.coverage_study --runs 2000  goes on from the record up to 2,000 runs (`--only`, `--source`: a part)
python -m benchmarks.coverage_study --table      writes the table of docs/metrics.md from the recorded study

After a change of an interval the record of its source no longer holds: measure it `--anew`. All of it takes an hour on
a core.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

from benchmarks.coverage_study import study
from benchmarks.coverage_study.study import Count
from benchmarks.coverage_study.table import DOCS, RECORD, inserted

CHUNK = 50


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.coverage_study", description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=2000, help="runs of each design, those recorded included")
    parser.add_argument("--only", default="", help="designs whose name holds this text")
    parser.add_argument("--source", default="", help="only this source of intervals")
    parser.add_argument("--anew", action="store_true", help="forget what is recorded of these designs and sources")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--table", action="store_true", help="only write the table from the record")
    arguments = parser.parse_args()
    if not arguments.table:
        with ProcessPoolExecutor(arguments.jobs) as pool:
            for source, design, first in _wanted(arguments):
                _record(list(_measured(pool, source, design, first, arguments)), source, design)
    record = json.loads(RECORD.read_text("utf-8"))
    DOCS.write_text(inserted(DOCS.read_text(encoding="utf-8"), record), encoding="utf-8")


def _rows() -> list[dict[str, Any]]:
    return list(json.loads(RECORD.read_text("utf-8"))["counts"]) if RECORD.exists() else []


def _wanted(arguments: argparse.Namespace) -> Iterator[tuple[str, Any, int]]:
    """Yield source, design and the runs it has, where it has fewer than asked for."""
    for source, studied in study.SOURCES.items():
        for design in (d for d in studied.designs if arguments.only in d.name and arguments.source in ("", source)):
            of_it = [each["runs"] for each in _rows() if (each["source"], each["design"]) == (source, design.name)]
            first = 0 if arguments.anew else max(of_it, default=0)
            if first < arguments.runs:
                yield source, design, first


def _measured(
    pool: ProcessPoolExecutor, source: str, design: Any, first: int, arguments: argparse.Namespace
) -> Iterator[Count]:
    """Measure the runs that are missing and yield the counts, those recorded included."""
    starts = range(first, arguments.runs, CHUNK)
    jobs = [
        pool.submit(
            study.study, design, source, runs=min(CHUNK, arguments.runs - start), seed=arguments.seed, first=start
        )
        for start in starts
    ]
    found = study.count(source, design, [each for job in jobs for each in job.result()], arguments.runs - first)
    before = [Count(**each) for each in _rows() if (each["source"], each["design"]) == (source, design.name)]
    for each in study.together(before if first else [], found):
        print(
            f"{source:12} {each.design:40} {each.kind:34} {each.coverage:.3f} of {each.intervals} in {each.runs} runs "
            f"(missing {each.missing}, too high {each.below}, loose {each.loose}) width {each.width}",
            flush=True,
        )
        yield each


def _record(counts: list[Count], source: str, design: Any) -> None:
    """Replace what is recorded of a source and a design."""
    kept = [each for each in _rows() if (each["source"], each["design"]) != (source, design.name)]
    names = [each.name for studied in study.SOURCES.values() for each in studied.designs]
    order = {name: number for number, name in enumerate(dict.fromkeys(names))}
    rows = [*kept, *(asdict(each) for each in counts)]
    rows.sort(key=lambda each: (each["kind"], order.get(each["design"], len(order)), each["source"]))
    record = {"facebench": version("facebench"), "python": platform.python_version(), "counts": rows}
    RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
