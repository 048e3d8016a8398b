"""Trains the reference models, and writes the table of what they can do.

    python -m benchmarks.zoo train [NAME ...]   train and replace the shipped weights; without names, all of them
    python -m benchmarks.zoo table [--check]    write the tables of docs/zoo.md from the entries of the leaderboard,
                                                or only say whether they have drifted from them

A training writes its record (sha256, images, seconds) to training.json beside the weights.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

from facebench.cli.progress import ProgressPrinter
from facebench.files import sha256_file, write_atomic
from facebench.models.zoo.by_name import train_model
from facebench.models.zoo.catalogue import describe
from facebench.models.zoo.convolutional import WEIGHTS
from facebench.models.zoo.recipes import RECIPES
from facebench.schema import Estimate, Result

RECORD = WEIGHTS / "training.json"
ROOT = Path(__file__).resolve().parent.parent
PAGE, BOARD = ROOT / "docs" / "zoo.md", ROOT / "leaderboard"
PROTOCOLS = ("phantom-core", "phantom-hard")
COMMAND = "python -m benchmarks.zoo table"
BEGIN, END = f"<!-- table: {COMMAND} -->", "<!-- end of table -->"


def train(names: list[str]) -> None:
    """Train models and record how it went."""
    trained = [name for name, own in RECIPES.items() if not own.weights_of]
    for name in names or trained:
        out, cpu = WEIGHTS / f"{name}.safetensors", time.process_time()
        with ProgressPrinter() as progress:
            log = train_model(name, out, progress.update)
        known = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.is_file() else {}
        known[name] = {"sha256": sha256_file(out), **log, "cpu_s": round(time.process_time() - cpu, 1)}
        write_atomic(RECORD, json.dumps(dict(sorted(known.items())), indent=1) + "\n")
        print(name, known[name], flush=True)


def page_with(results: dict[tuple[str, str], Result]) -> str:
    """Return the page with the tables of these results, by model and protocol."""
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    lines: list[str] = []
    for protocol in PROTOCOLS:
        some = next(result for (_, p), result in results.items() if p == protocol)
        lines += [f"### {protocol}", "", count(some), "", *heads(some)]
        lines += [
            line(row["name"], results[row["name"], protocol])
            for row in describe()
            if (row["name"], protocol) in results
        ]
        lines += [""]
    lines += [
        "### Training",
        "",
        "| model | identities | images seen | CPU seconds | weights, KiB |",
        "|---|---|---|---|---|",
    ]
    for name, log in record.items():
        size = (WEIGHTS / f"{name}.safetensors").stat().st_size / 1024
        lines.append(f"| `{name}` | {log['identities']} | {log['images_seen']:,} | {log['cpu_s']:.0f} | {size:.0f} |")
    page = PAGE.read_text(encoding="utf-8")
    before, after = page[: page.index(BEGIN) + len(BEGIN)], page[page.index(END) :]
    return before + "\n\n" + "\n".join(lines) + "\n\n" + after


def entries() -> dict[tuple[str, str], Result]:
    """Return the newest entry of each reference model on the leaderboard."""
    found = {}
    for protocol in PROTOCOLS:
        for row in describe():
            paths = (BOARD / protocol / row["name"]).glob("*.json")
            named = [path for path in paths if "." not in path.stem]  # not where a large file lies elsewhere
            results = [Result.model_validate_json(path.read_bytes()) for path in named]
            if results:
                found[row["name"], protocol] = max(results, key=lambda r: (r.run.started, r.result_id))
    return found


def table(*, check: bool) -> int:
    """Write the tables of the page from the leaderboard; or only say whether they are as they would be written."""
    page = page_with(entries())
    if check:
        same = PAGE.read_text(encoding="utf-8") == page
        print("docs/zoo.md is up to date" if same else "docs/zoo.md differs from the leaderboard; run: " + COMMAND)
        return 0 if same else 1
    write_atomic(PAGE, page)
    return 0


def count(result: Result) -> str:
    """Say how much was compared."""
    some = find(result, "tar", result.protocol.primary_fmr_target, "all")
    return (
        f"{result.data.n_images:,} images of {result.data.n_identities} identities: {some.n_genuine:,} genuine and "
        f"{some.n_impostor:,} impostor comparisons."
    )


def heads(result: Result) -> list[str]:
    """Return the head of a protocol's table."""
    target = f"{result.protocol.primary_fmr_target:.0e}".replace("e-0", "e-")
    names = [f"TAR at FMR {target}", "EER", f"FMR max/min by tone at {target}", f"FMR max/min by sex at {target}"]
    return ["| model | " + " | ".join(names) + " |", "|---|---|---|---|---|"]


def line(name: str, result: Result) -> str:
    """Return a model's row."""
    target = result.protocol.primary_fmr_target
    cells = [
        cell(find(result, "tar", target, "all"), lambda v: f"{v:.3f}"),
        cell(find(result, "eer", None, "all"), lambda v: f"{100 * v:.2f} %"),
        cell(find(result, "fmr_max_min", target, "tone"), lambda v: f"{v:.2f}"),
        cell(find(result, "fmr_max_min", target, "sex"), lambda v: f"{v:.2f}"),
    ]
    return f"| `{name}` | " + " | ".join(cells) + " |"


def find(result: Result, metric: str, target: float | None, group: str) -> Estimate:
    """Return one clean estimate."""
    return next(
        e
        for e in result.estimates
        if (e.metric, e.fmr_target, e.group, e.condition, e.rule) == (metric, target, group, "clean", "strict")
    )


def cell(estimate: Estimate, shown: Callable[[float], str]) -> str:
    """Return a value with its interval; bold where the interval of a ratio excludes 1."""
    low, high = (("?" if v is None else shown(v)) for v in (estimate.ci_low, estimate.ci_high))
    if estimate.value is None:
        return f"cannot tell ({', '.join(estimate.flags)})"
    text = f"{shown(estimate.value)} ({low} to {high})"
    found = estimate.metric == "fmr_max_min" and estimate.ci_low is not None and estimate.ci_low > 1
    return f"**{text}**" if found else text


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("train").add_argument("names", nargs="*")
    commands.add_parser("table").add_argument("--check", action="store_true")
    words = parser.parse_args()
    if words.command == "table":
        raise SystemExit(table(check=words.check))
    train(words.names)


if __name__ == "__main__":
    main()
