"""Trains the reference models, and writes the table of what they can do.

    python benchmarks/zoo.py train [NAME ...]     train and replace the shipped weights; without names, all of them
    python benchmarks/zoo.py table OUT            run every model under phantom-core and phantom-hard, results in OUT,
                                                  and write docs/zoo.md; results already there are kept

A training writes its record (sha256, images, seconds) to training.json beside the weights.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

from facebench.cli.progress import ProgressPrinter
from facebench.execution.options import RunOptions
from facebench.files import sha256_file, write_atomic
from facebench.measure.saved import load_result
from facebench.models import load_model
from facebench.models.zoo.by_name import train_model
from facebench.models.zoo.catalogue import describe
from facebench.models.zoo.convolutional import WEIGHTS
from facebench.models.zoo.recipes import RECIPES
from facebench.run.evaluate import evaluate
from facebench.run.protocols import load_protocol
from facebench.schema import Estimate, Result

RECORD = WEIGHTS / "training.json"
PAGE = Path(__file__).resolve().parent.parent / "docs" / "zoo.md"
PROTOCOLS = ("phantom-core", "phantom-hard")
BEGIN, END = "<!-- table: python benchmarks/zoo.py table -->", "<!-- end of table -->"


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


def table(out: Path) -> None:
    """Run every model under both protocols and write the table into the page."""
    results = {(row["name"], p): measured(row["name"], p, out) for row in describe() for p in PROTOCOLS}
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    lines: list[str] = []
    for protocol in PROTOCOLS:
        some = next(result for (_, p), result in results.items() if p == protocol)
        lines += [f"### {protocol}", "", count(some), "", *heads(some)]
        lines += [line(row["name"], results[row["name"], protocol]) for row in describe()]
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
    write_atomic(PAGE, before + "\n\n" + "\n".join(lines) + "\n\n" + after)


def measured(name: str, protocol: str, out: Path) -> Result:
    """Return the result of a model under a protocol, from its folder if it is there for these weights."""
    model, folder = load_model(name), out / protocol / name
    if (folder / "result.json").is_file():
        found = load_result(folder)
        if found.model == model.card and found.protocol.sha256 == load_protocol(protocol).sha256:
            return found
    print(name, protocol, flush=True)
    with ProgressPrinter() as progress:
        return evaluate(model, load_protocol(protocol), {}, RunOptions(out=folder, workers=1, progress=progress.update))


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
    commands.add_parser("table").add_argument("out", type=Path)
    words = parser.parse_args()
    train(words.names) if words.command == "train" else table(words.out)


if __name__ == "__main__":
    main()
