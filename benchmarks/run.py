"""Measures the speed of FaceBench against plain code doing the same work, and prints one table.

    make bench
    make bench ARGS="--model model.yaml --data faces/"      adds the embedding stage

Each figure is the least time of several repetitions, ours and the plain code's in turn, in one process; start-up times
are medians. Nothing here fails: goals are for people to compare with, on a machine that is otherwise idle.
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
from turns import least

FMR_TARGETS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    what: str
    ours: str
    plain: str
    figure: str
    goal: str


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

    staged, bare = least(3, ours, plain)
    return Row(
        f"embedding {n:,} images", f"{n / staged:.0f} images/s", f"{n / bare:.0f} images/s bare loop",
        f"{bare / staged:.2f} of its speed", ">= 0.85",
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
    """The engine's whole evaluation of all pairs, against the bare products of the blocks of both its passes."""
    from scale import overhead

    whole, bare = overhead(repetitions=2)[5]
    return Row(
        "all pairs of 20,000 x 512", f"{whole:.1f} s", f"{bare:.1f} s bare products", f"{whole / bare:.2f} x its time",
        "<= 1.25",
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


def template_pairs() -> Row:
    """1:1 of the size of IJB-C, lists read and report written, against the usual script (1.2 GB of disk)."""
    import ijbc

    folder = ijbc.make_set(Path(tempfile.gettempdir()) / "facebench-benchmarks", 1.0)
    us, them = ijbc.ours(folder), ijbc.rival(folder)
    return Row(
        "15.7 M listed pairs, 469,375 x 512", f"{us.wall:.0f} s, {us.memory / 1e9:.1f} GB",
        f"{them.wall:.0f} s, {them.memory / 1e9:.1f} GB script", f"{us.wall / them.wall:.2f} x its time",
        "<= .3, <= 2.5 GB",
    )  # fmt: skip


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
    parser.add_argument("--batch-size", type=int, default=64)
    options = parser.parse_args()
    print(f"{platform.platform()}, {os.cpu_count()} CPUs, Python {platform.python_version()}, numpy {np.__version__}")
    works: list[Callable[[], Row]] = [
        start_up, operating_points, bootstrap, white_box, corruptions, all_pairs, growth, identification,
        template_pairs, phantoms, first_phantom,
    ]  # fmt: skip
    if options.model and options.data:
        works.append(lambda: embedding(options.model, options.data, options.batch_size))
    else:
        print("embedding stage left out: give --model FILE --data DIR")
    print(f"\n{'what':<46}{'ours':<16}{'plain':<24}{'figure':<20}goal")
    for work in works:
        try:
            row = work()
        except subprocess.CalledProcessError as error:
            print(f"{getattr(work, '__name__', 'benchmark')}: failed: {error.stderr.decode()[-200:].strip()}")
            continue
        print(f"{row.what:<46}{row.ours:<16}{row.plain:<24}{row.figure:<20}{row.goal}", flush=True)


if __name__ == "__main__":
    main()
