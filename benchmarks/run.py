"""Measures the speed of FaceBench against plain code doing the same work, and prints one table.

    make bench
    make bench ARGS="--only ijbc --repetitions 3"           one row, three times
    make bench ARGS="--model model.yaml --data faces/"      adds the embedding stage

Ours and the plain code take turns. Rows of whole commands count processor time (user and system) of all repetitions:
the figure is the median, the spread the least and the greatest. Other rows count the least of several repetitions.
Each row tells the load of the machine while it was measured. Nothing here fails: goals are for people to compare with.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from processes import Taken, run
from turns import least

FOLDER = Path(tempfile.gettempdir()) / "facebench-benchmarks"
FMR_TARGETS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    what: str
    ours: str
    plain: str
    figure: str
    goal: str
    spread: str = ""


def medians(what: str, taken: list[list[Taken]], goal: str, limit: float | None = None) -> Row:
    """Return the row of commands that took turns: ours, and the plain one that its processor time is divided by."""
    ours, plain = taken
    ratios = [a.processor / b.processor for a, b in zip(ours, plain, strict=True)]
    a, b = (statistics.median(each.processor for each in side) for side in taken)
    memory = max(each.memory for each in ours) / 1e9
    shown = f"{statistics.median(ratios):.2f} of its time" if limit is None else f"{a - b:.2f} s more"
    differences = [x.processor - y.processor for x, y in zip(ours, plain, strict=True)]
    low, high = (min(ratios), max(ratios)) if limit is None else (min(differences), max(differences))
    return Row(what, f"{a:.1f} s, {memory:.2f} GB", f"{b:.1f} s", shown, goal, f"{low:.2f} to {high:.2f}")


def start_up() -> Row:
    """The command line's `--help`, less the interpreter's own start."""
    environment = {**os.environ, "COLUMNS": "100"}
    commands = ([sys.executable, "-m", "facebench", "--help"], [sys.executable, "-c", "pass"])
    times: tuple[list[float], list[float]] = ([], [])
    for repetition in range(11):
        for command, taken in zip(commands, times, strict=True):
            started = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True, env=environment)
            if repetition:
                taken.append(time.perf_counter() - started)
    ours, plain = map(statistics.median, times)
    return Row("facebench --help", f"{ours:.3f} s", f"{plain:.3f} s python", f"{ours - plain:.3f} s more", "<= 0.25 s")


def operating_points() -> Row:
    """TAR at six FMR targets from 8 million impostor and 10,000 genuine scores."""
    from sklearn.metrics import roc_curve

    from facebench.metrics.verification import accepted
    from facebench.metrics.verification import operating_points as points

    rng = np.random.default_rng(1)
    impostor = rng.normal(0.0, 0.1, 8_000_000).astype(np.float32)
    genuine = rng.normal(0.5, 0.15, 10_000).astype(np.float32)
    labels = np.concatenate([np.zeros(impostor.size, np.int8), np.ones(genuine.size, np.int8)])
    scores = np.concatenate([impostor, genuine])

    def ours() -> list[float]:
        return [accepted(genuine, point.threshold) / genuine.size for point in points(impostor, FMR_TARGETS)]

    def plain() -> list[float]:
        fpr, tpr, _ = roc_curve(labels, scores)
        return [float(tpr[np.argmin(np.abs(fpr - target))]) for target in FMR_TARGETS]

    fast, slow = least(5, ours, plain)
    return Row(
        "TAR at 6 targets, 8 M scores", f"{fast * 1e3:.0f} ms", f"{slow * 1e3:.0f} ms roc_curve",
        f"{slow / fast:.0f} x faster", ">= 50 x",
    )  # fmt: skip


def bootstrap() -> Row:
    """1,000 vertex-bootstrap replicates of TAR and FMR at four targets, over all and over four groups."""
    from facebench.metrics import bootstrap as vertex

    rng = np.random.default_rng(2)
    n_images, n_identities, n_groups = 1_415, 1_000, 4
    identity = np.concatenate([np.arange(n_identities), np.arange(n_images - n_identities)])
    group = (identity % n_groups).astype(np.int64)
    first, second = (ends.astype(np.int32) for ends in np.triu_indices(n_images, 1))
    same = identity[first] == identity[second]
    scores = rng.normal(np.where(same, 0.5, 0.0), 0.1).astype(np.float32)
    table = np.arange(1, 1 + n_groups * n_groups, dtype=np.int32).reshape(n_groups, n_groups)
    table = np.minimum(table, table.T)
    ends = [(g, h) for g in range(n_groups) for h in range(g, n_groups)]
    number = {int(table[g, h]): i + 1 for i, (g, h) in enumerate(ends)}
    lookup = np.vectorize(number.__getitem__)(table).astype(np.int32)
    cells = np.stack([np.zeros(first.size, np.int32), lookup[group[first], group[second]]], axis=1)
    ranked = {}
    for kind, rows in (("genuine", same), ("impostor", ~same)):
        order = np.flatnonzero(rows)[np.argsort(-scores[rows], kind="stable")]
        ranked[kind] = vertex.RankedComparisons(
            scores[order], identity[first[order]].astype(np.int32), identity[second[order]].astype(np.int32),
            cells[order], 1 + len(ends),
        )  # fmt: skip
    labels = [np.zeros(n_images, np.int64), group]
    cell_ends = [np.array([[0, 0]]), np.array(ends)]

    def ours() -> object:
        weights = vertex.vertex_weights(n_identities, 1_000, np.random.default_rng(3))
        totals = vertex.all_pairs_totals(weights, identity, labels, cell_ends)
        pooled = vertex.Totals(totals.weight[:, :1], totals.filled[:, :1], totals.observed[:1])
        cutoffs = vertex.replicate_cutoffs(weights, ranked["impostor"], pooled, sorted(FMR_TARGETS[:4]))
        return [vertex.replicate_accepts(weights, ranked[kind], cutoffs) for kind in ("genuine", "impostor")]

    (taken,) = least(3, ours)
    return Row("1,000 bootstrap replicates, 1 M comparisons", f"{taken:.2f} s", "-", f"{taken:.2f} s", "<= 3 s")


def embedding(model_file: Path, data: Path, batch_size: int) -> Row:
    """Images to embeddings through the run's own stage, against a bare loop over decoded arrays."""
    import onnxruntime

    from facebench.data import decode_batches, load_dataset
    from facebench.execution.embedding import embed_dataset
    from facebench.models import load_model
    from facebench.schema import Failure
    from facebench.store import EmbeddingStore

    model = load_model(str(model_file))
    dataset = load_dataset(data)
    spec = model.card.input
    assert spec is not None, "the benchmark needs a model that takes images"
    n = len(dataset)
    batches = [range(start, min(start + batch_size, n)) for start in range(0, n, batch_size)]
    decoded = [
        np.stack([image for image in images if not isinstance(image, Failure)])
        for images in decode_batches(dataset, batches, os.cpu_count() or 1)
    ]
    import yaml

    described = yaml.safe_load(model_file.read_text(encoding="utf-8"))
    session = onnxruntime.InferenceSession(model_file.parent / described["weights"], providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    top, left, bottom, right = spec.crop or (0, 0, spec.height, spec.width)

    def plain() -> None:
        for faces in decoded:
            cut = faces[:, top:bottom, left:right]
            cut = cut[..., ::-1] if spec.colour == "BGR" else cut
            x = (cut.astype(np.float32) - np.float32(spec.mean)) / np.float32(spec.std)
            x = x.transpose(0, 3, 1, 2) if spec.layout == "NCHW" else x
            session.run(None, {name: np.ascontiguousarray(x)})

    def ours() -> None:
        with tempfile.TemporaryDirectory() as folder:
            store = EmbeddingStore(Path(folder), model.card, runtime={})
            workers = os.cpu_count() or 1
            embed_dataset(model, dataset, store, batch_size=batch_size, workers=workers, progress=lambda *_: None)

    staged, bare = least(3, ours, plain, clock=time.process_time)
    return Row(
        f"embedding {n:,} images, by processor time", f"{n / staged:.0f} images/s",
        f"{n / bare:.0f} images/s bare loop",
        f"{bare / staged:.2f} of its speed", ">= 0.9",
    )  # fmt: skip


def white_box() -> Row:
    """PGD-20 on verification pairs, against a bare torch loop with the same passes."""
    from attacks import measure

    ours, plain = measure()
    return Row(
        "PGD-20 on 4 pairs", f"{ours:.2f} s", f"{plain:.2f} s bare loop", f"{ours / plain:.2f} x its time", "<= 1.1"
    )


def corruptions() -> Row:
    """Altered pictures of 112 x 112 pixels a second on one core: of the slowest undrawn condition, and of the drawn."""
    from facebench.phantoms.labels import ARCFACE_112
    from facebench.probes.conditions import alter
    from facebench.schema.robustness import FAMILIES, LEVELS, expand

    face = np.random.default_rng(4).integers(0, 256, (112, 112, 3), np.uint8)
    rates = {}
    for name in expand(FAMILIES, [5]):
        (taken,) = least(3, lambda name=name: [alter(name, face, ARCFACE_112, str(i)) for i in range(8)])  # type: ignore[misc]
        rates[name] = 8 / taken
    drawn = [name for name in rates if name.startswith("occlusion:") and name in LEVELS]
    cheap = min((name for name in rates if name not in drawn), key=rates.__getitem__)
    slow = min(drawn, key=rates.__getitem__)
    return Row(
        "altered pictures, one core", f"{rates[cheap]:.0f}/s {cheap.split(':')[1]}",
        f"{rates[slow]:.0f}/s {slow.split(':')[1]}", f"{rates[cheap]:.0f}/s at least", ">= 200/s undrawn",
    )  # fmt: skip


def all_pairs() -> Row:
    """All pairs with every figure, against the bare products of one pass; one image per person in the last column."""
    from scale import overhead

    found = overhead(repetitions=2)
    whole, bare = found[5]
    alone = found[1][0] / found[1][1]
    return Row(
        "all pairs of 20,000 x 512, every figure", f"{whole:.1f} s", f"{bare:.1f} s one pass",
        f"{whole / bare:.2f} x its time", "<= 1.45", f"{alone:.2f} alone",
    )  # fmt: skip


def growth() -> Row:
    """The same evaluation of four times as many images."""
    from scale import growth as measured

    small, large = measured(repetitions=1)
    return Row(
        "all pairs of 40,000 x 512", f"{large:.1f} s", f"{small:.1f} s for 10,000", f"{large / small:.1f} x its time",
        "<= 17 x",
    )  # fmt: skip


def identification() -> Row:
    """Exact top-50 search in a gallery of 100,000, against faiss."""
    from importlib.util import find_spec

    from scale import least as least_cpu
    from scale import search

    if find_spec("faiss") is None:
        return Row("top-50 of 100,000 x 512", "-", "faiss-cpu not here", "-", "<= 1.1")
    ours, rival = least_cpu(3, *search())
    return Row(
        "top-50 of 100,000 x 512", f"{ours:.2f} s", f"{rival:.2f} s IndexFlatIP", f"{ours / rival:.2f} x its time",
        "<= 1.1",
    )  # fmt: skip


def template_pairs(repetitions: int = 1) -> Row:
    """1:1 of the size of IJB-C, lists read and report written, against the usual script (1.2 GB of disk)."""
    import ijbc

    folder = ijbc.make_set(FOLDER, 1.0)
    taken = [[ijbc.ours(folder), ijbc.rival(folder)] for _ in range(repetitions)]
    goal = "<= .3, <= 2.5 GB"
    return medians("IJB-C 1:1: 469,375 x 512, 15.7 M pairs", [list(side) for side in zip(*taken, strict=True)], goal)


def all_in_memory(repetitions: int = 1) -> Row:
    """All pairs of the size of LFW, 1,000 replicates, three groupings; result and report written."""
    import all_pairs as lfw

    folder = lfw.make_set(FOLDER)
    taken = [lfw.ours(folder) for _ in range(repetitions)]
    processor, wall = (sorted(getattr(each, kind) for each in taken) for kind in ("processor", "wall"))
    return Row(
        "all pairs of 7,292 x 128, 1,000 replicates",
        f"{statistics.median(processor):.1f} s, {max(each.memory for each in taken) / 1e9:.2f} GB", "-",
        f"{statistics.median(wall):.1f} s of clock", "<= 15 s, <= 1 GB", f"{processor[0]:.1f} to {processor[-1]:.1f} s",
    )  # fmt: skip


def report(repetitions: int = 3) -> Row:
    """`facebench report` of that result against a Python that reads it."""
    import all_pairs as lfw

    folder = lfw.make_set(FOLDER)
    result = folder / "out" / "result.json"
    if not result.exists():
        lfw.ours(folder)
    ours = [sys.executable, "-m", "facebench", "report", str(result), "--out", str(folder / "report.html")]
    plain = [sys.executable, "-c", f"import json; json.load(open({str(result)!r}))"]
    taken = [[run(ours), run(plain)] for _ in range(repetitions + 1)][1:]
    sides = [list(side) for side in zip(*taken, strict=True)]
    return medians("facebench report", sides, "<= 2 s more", limit=2.0)


def phantoms() -> Row:
    """Phantom faces written by two workers, start included; no plain code does the same."""
    from phantoms import IMAGES, files

    wall, _ = files()
    return Row(
        f"{IMAGES:,} phantom faces, 2 workers", f"{wall:.0f} s", "-", f"{IMAGES / wall:.1f} images/s", ">= 25/s",
    )  # fmt: skip


def first_phantom() -> Row:
    """One phantom face where no kernels have been compiled."""
    from phantoms import cold

    taken = cold()
    return Row("first phantom face, nothing compiled", f"{taken:.0f} s", "-", f"{taken:.0f} s", "<= 60 s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="model file with the onnx adapter")
    parser.add_argument("--data", type=Path, help="dataset of aligned faces")
    parser.add_argument("--batch-size", type=int, default=64, help="the last batch is padded; divide the images by it")
    parser.add_argument("--only", nargs="*", default=(), metavar="ROW", help="names of rows, such as lfw, report, ijbc")
    parser.add_argument("--repetitions", type=int, default=1, help="of the rows of whole commands")
    options = parser.parse_args()
    print(f"{platform.platform()}, {os.cpu_count()} CPUs, Python {platform.python_version()}, numpy {np.__version__}")
    times = options.repetitions
    works: dict[str, Callable[[], Row]] = {
        "lfw": lambda: all_in_memory(times), "report": lambda: report(max(3, times)),
        "ijbc": lambda: template_pairs(times), "all-pairs": all_pairs, "growth": growth,
        "search": identification, "start": start_up, "points": operating_points, "bootstrap": bootstrap,
        "pgd": white_box, "altered": corruptions, "phantoms": phantoms, "first-phantom": first_phantom,
    }  # fmt: skip
    if options.model and options.data:
        works["embedding"] = lambda: embedding(options.model, options.data, options.batch_size)
    else:
        print("embedding stage left out: give --model FILE --data DIR")
    unknown = sorted(set(options.only) - set(works))
    if unknown:
        parser.error(f"no row is called {', '.join(unknown)}; there are {', '.join(works)}")
    print(f"\n{'what':<44}{'ours':<17}{'plain':<24}{'figure':<20}{'spread':<18}{'goal':<18}load")
    for name in options.only or works:
        try:
            row = works[name]()
        except subprocess.CalledProcessError as error:
            print(f"{name}: failed: {(error.stderr or b'').decode()[-200:].strip() or error}")
            continue
        load = f"{os.getloadavg()[0]:.1f}"
        line = f"{row.what:<44}{row.ours:<17}{row.plain:<24}{row.figure:<20}{row.spread:<18}{row.goal:<18}{load}"
        print(line, flush=True)


if __name__ == "__main__":
    main()
