"""A whole run: bind the data, embed, measure, and write the result with all it was computed from."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facebench.data import Dataset, dataset_sha256
from facebench.errors import InputError, NotComparableError, WriteError
from facebench.files import cache_dir, explain_write_failure
from facebench.metrics.compat import RULES
from facebench.runner import environment
from facebench.runner.embedding import Embedded, Progress, embed_dataset, lookup_embeddings, store_root
from facebench.runner.files import RESULT, load_inputs, load_result, save_inputs, save_result
from facebench.runner.measure import Measurement, measure
from facebench.runner.protocols import Protocol, bind_dataset
from facebench.runner.sample import Images, Pairs
from facebench.schema import DataSummary, ProtocolRef, ProtocolSpec, Result, RunInfo
from facebench.store import EmbeddingStore


def no_progress(_stage: str, _done: int, _total: int) -> None:
    """Report nothing."""


@dataclass(frozen=True)
class RunOptions:
    """How a run is made; none of it changes what is measured, except seed, limit, batch size and compat."""

    out: Path
    seed: int = 0
    limit: int | None = None
    device: str = "cpu"
    workers: int = 2
    batch_size: int = 32
    compat: tuple[str, ...] = ()
    trust_code: bool = False
    progress: Progress = no_progress


def evaluate(model: Any, protocol: Protocol, data: Mapping[str, Path], options: RunOptions) -> Result:
    """Run a model under a protocol, write the result and its inputs to ``options.out``, and return the result.

    Args:
        model: a FaceModel, or a model that looks embeddings up by image id.
        protocol: from `load_protocol`.
        data: dataset name to path.
        options: where to write, and how to run.

    Raises:
        FaceBenchError: bad input, a failing model, a full disk; whatever was embedded is kept.
    """
    started, clock = environment.now(), time.monotonic()
    for rule in options.compat:
        if rule not in RULES:
            raise InputError(f"unknown compatibility rule {rule!r}; known: {', '.join(RULES)}")
    _check_writable(options.out)
    dataset = bind_dataset(protocol, data)
    if options.limit is not None:
        dataset = dataset.subset(options.limit)
    embedded = _embed(model, dataset, options)
    manifest_sha256 = dataset_sha256(dataset, embedded.sha256s)
    _check_manifest(protocol, manifest_sha256, options.limit)
    images = Images(dataset.image_ids, dataset.identities, dict(dataset.attributes))
    listed = dataset.pairs
    pairs = None if listed is None else Pairs(listed.a, listed.b, listed.genuine, listed.fold)
    options.progress("measure", 0, 1)
    comparator = model.card.comparator.value
    found = measure(
        protocol.spec, images, embedded.vectors, pairs, comparator=comparator, seed=options.seed, compat=options.compat
    )
    options.progress("measure", 1, 1)
    artifacts = save_inputs(options.out, embedded.vectors, images, pairs, protocol.spec)
    sha, dirty = environment.git_state()
    result = Result(
        protocol=reference(protocol.spec, protocol.sha256, manifest_sha256),
        model=model.card,
        data=_summary(dataset, len(embedded.failures)),
        run=RunInfo(
            facebench=environment.facebench_version(), seed=options.seed, device=options.device,
            batch_size=options.batch_size, limit=options.limit, compat=options.compat,
            packages=environment.packages(), python=environment.python_version(),
            platform=environment.describe_platform(), git_sha=sha, git_dirty=dirty, command=_command(),
            started=started, wall_s=round(time.monotonic() - clock, 3), trust_code=options.trust_code,
            embedded_images=embedded.n_embedded,
        ),
        estimates=found.estimates, curves=found.curves, unmeasured=found.unmeasured,
        failures=embedded.failures, artifacts=artifacts,
    ).with_id()  # fmt: skip
    save_result(result, options.out / RESULT)
    return result


def rescore(path: Path) -> tuple[Result, Result]:
    """Recompute every number of a result from the files beside it, without the model.

    Returns:
        The result as stored, and the result with recomputed estimates, curves and id.
    """
    path = Path(path)
    folder = path if path.is_dir() else path.parent
    stored = load_result(path)
    found = remeasure(stored, folder)
    fresh = stored.model_copy(
        update={"estimates": found.estimates, "curves": found.curves, "unmeasured": found.unmeasured}
    )
    return stored, fresh.with_id()


def remeasure(stored: Result, folder: Path) -> Measurement:
    """Return what the saved embeddings of a result say under its own protocol."""
    vectors, images, pairs, spec = load_inputs(stored, folder)
    own = Protocol(spec, folder)
    if own.sha256 != stored.protocol.sha256:
        raise NotComparableError(f"{folder}: the protocol beside the result is not the one the result names")
    comparator = stored.model.comparator.value
    run = stored.run
    return measure(spec, images, vectors, pairs, comparator=comparator, seed=run.seed, compat=run.compat)


def reference(spec: ProtocolSpec, sha256: str, manifest_sha256: str) -> ProtocolRef:
    """Return what a result says of its protocol."""
    return ProtocolRef(
        name=spec.name, title=spec.title, version=spec.version, sha256=sha256, manifest_sha256=manifest_sha256,
        primary_fmr_target=spec.primary_fmr_target, description=spec.description.strip(),
        data_statement=spec.data_statement.strip(), source=spec.source, licence=spec.licence,
        known_defects=spec.known_defects, threshold_policy=spec.threshold_policy,
        confidence=spec.uncertainty.confidence,
    )  # fmt: skip


def _embed(model: Any, dataset: Dataset, options: RunOptions) -> Embedded:
    if hasattr(model, "lookup"):
        return lookup_embeddings(model, dataset, workers=options.workers)
    runtime = {"packages": environment.packages(), "device": options.device, "batch_size": options.batch_size}
    store = EmbeddingStore(store_root(model.card, cache_dir(), options.out), model.card, runtime=runtime)
    return embed_dataset(
        model, dataset, store, batch_size=options.batch_size, workers=options.workers, progress=options.progress
    )


def _check_writable(out: Path) -> None:
    """Fail before the work, not after it."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe = out / ".writable"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise WriteError(explain_write_failure(out, error)) from error


def _check_manifest(protocol: Protocol, found: str, limit: int | None) -> None:
    wanted = protocol.spec.dataset.manifest_sha256
    if wanted and limit is None and wanted != found:
        raise InputError(
            f"protocol {protocol.spec.name} is defined on other data: it wants manifest {wanted[:12]}…, "
            f"this dataset is {found[:12]}…"
        )


def _summary(dataset: Dataset, n_failed: int) -> DataSummary:
    counts: dict[str, dict[str, int]] = {}
    for name, column in dataset.attributes.items():
        words = [value for value in column if isinstance(value, str)]
        if words and len(set(words)) <= 40:
            counts[name] = {value: words.count(value) for value in sorted(set(words))}
    return DataSummary(
        name=dataset.name,
        n_images=len(dataset.images),
        n_identities=None if dataset.identities is None else len(set(dataset.identities)),
        n_failed=n_failed,
        attributes=counts,
        phantom=dataset.phantom,
    )


def _command() -> str:
    words: Sequence[str] = ["facebench", *sys.argv[1:]]
    return shlex.join(words)
