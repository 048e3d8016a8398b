"""A whole run: bind the data, embed, measure, and write the result with all it was computed from."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.data import Dataset, dataset_sha256, repeated_images
from facebench.errors import InputError, NotComparableError
from facebench.execution import environment
from facebench.execution.compute import Compute
from facebench.execution.counterfactuals import set_apart
from facebench.execution.embedding import (
    Embedded,
    embed_dataset,
    embed_faces,
    lookup_embeddings,
    runtime_of,
    store_root,
)
from facebench.execution.lock import only_run_in
from facebench.execution.options import Progress, RunOptions, check_options, no_progress
from facebench.execution.repeat import reembed
from facebench.files import cache_dir, is_folder, release_pages
from facebench.measure.answers import check_model, measure_answers
from facebench.measure.choose_engine import measure_any
from facebench.measure.every_score import Measurement
from facebench.measure.sample import Images, Pairs
from facebench.measure.sanity import answer_doubts, picture_doubts, score_doubts
from facebench.measure.saved import (
    RESULT,
    is_scored,
    load_inputs,
    load_result,
    load_section,
    save_inputs,
    save_result,
    save_section,
)
from facebench.measure.study import images_of, in_similarities
from facebench.measure.templates import template_model, template_units
from facebench.run.external_scores import remeasure_scores
from facebench.run.findings import findings
from facebench.run.needs import unmet_needs
from facebench.run.protocols import Protocol, bind_dataset, reference
from facebench.run.thresholds import check_development
from facebench.schema import DataSummary, ModelCard, ProtocolSpec, Result
from facebench.sections import remeasure_section, run_section, sections_of
from facebench.sections.contract import RunContext, Saved, SectionResult
from facebench.store import EmbeddingStore


def evaluate(model: Any, protocol: Protocol, data: Mapping[str, Path], options: RunOptions) -> Result:
    """Run a model under a protocol, write the result and its inputs to ``options.out``, and return the result.

    Args:
        model: a FaceModel, or a model that looks embeddings up by image id.
        protocol: from `load_protocol`.
        data: dataset name to path.
        options: where to write, and how to run.

    Raises:
        IncompleteError: another run is in progress in that folder.
        FaceBenchError: bad input, a failing model, a full disk; whatever was embedded is kept.
    """
    check_options(options)
    with only_run_in(options.out):
        return _evaluate(model, protocol, data, options)


def _evaluate(model: Any, protocol: Protocol, data: Mapping[str, Path], options: RunOptions) -> Result:
    started, clock = environment.now(), time.monotonic()
    check_development(protocol.spec, model.card)
    check_model(protocol.spec.task, model.card, f"protocol {protocol.spec.name}")
    unmet_needs(model, protocol.spec)
    dataset = bind_dataset(protocol, data)
    if options.limit is not None:
        dataset = dataset.subset(options.limit)
    templates = protocol.spec.templates
    embedder = model if templates is None else template_model(model, templates)
    embedded = _embed(embedder, dataset, options)
    reembedded = reembed(embedder, dataset, embedded.vectors, options)
    manifest_sha256 = dataset_sha256(dataset, embedded.sha256s)
    _check_manifest(protocol, manifest_sha256, options.limit)
    embedded_all, edited = embedded, None
    if not protocol.spec.comparisons.include_counterfactuals:
        dataset, embedded, edited = set_apart(dataset, embedded)
    images = images_of(dataset)
    listed, vectors = dataset.pairs, embedded.vectors
    pairs = None if listed is None else Pairs(listed.a, listed.b, listed.genuine, listed.fold)
    if templates is not None:
        images, vectors, pairs = template_units(dataset, vectors, protocol.spec)
        release_pages(embedded.vectors)  # of half a million features, a gigabyte
    compute = _compute(options)
    spec = in_similarities(protocol.spec, model.card)
    found = _measure(
        spec, model.card, images, vectors, pairs, seed=options.seed, compat=options.compat, compute=compute
    )
    doubts = picture_doubts(dataset, model.card, embedded.failures, options.workers)
    if spec.task is None:
        doubts += score_doubts(found.estimates, found.curves)
    else:
        doubts += answer_doubts(spec.task, model.card, vectors, found.estimates)
    context = RunContext(
        model, spec, dataset, images, pairs, embedded, found, options, edited,
        lambda faces: embed_faces(model, faces, options.batch_size),
    )  # fmt: skip
    parts = _run_sections(context)
    artifacts = (
        *save_inputs(options.out, vectors, images, pairs, protocol.spec),
        *(save_section(options.out, name, part.tensors) for name, part in parts.items() if part.tensors),
        *(artifact for part in parts.values() for artifact in part.artifacts),
    )
    result = Result(
        protocol=reference(protocol.spec, protocol.sha256, manifest_sha256),
        model=model.card,
        data=_summary(dataset, embedded),
        run=environment.run_info(
            options, started=started, wall_s=time.monotonic() - clock, embedded_images=embedded.n_embedded,
            reembedded=reembedded,
        ),
        failures=(*embedded_all.failures, *(failure for part in parts.values() for failure in part.failures)),
        artifacts=artifacts,
        doubts=tuple(doubts), **findings(found, parts),
    ).with_id()  # fmt: skip
    save_result(result, options.out / RESULT)
    compute.clear()
    return result


def rescore(path: Path, progress: Progress = no_progress) -> tuple[Result, Result]:
    """Recompute every number of a result from the files beside it, without the model.

    Args:
        path: the result, or its folder.
        progress: told what is done.

    Returns:
        The result as stored, and the result with recomputed estimates, curves and id.
    """
    path = Path(path)
    folder = path if is_folder(path) else path.parent
    stored = load_result(path)
    return stored, stored.model_copy(update=remeasure(stored, folder, progress)).with_id()


def remeasure(stored: Result, folder: Path, progress: Progress = no_progress) -> dict[str, Any]:
    """Return the fields of a result that follow from the files beside it, under its own protocol."""
    if is_scored(stored):
        return remeasure_scores(stored, folder)
    vectors, images, pairs, spec = load_inputs(stored, folder)
    own = Protocol(spec, folder)
    spec = in_similarities(spec, stored.model)
    if own.sha256 != stored.protocol.sha256:
        raise NotComparableError(f"{folder}: the protocol beside the result is not the one the result names")
    run = stored.run
    compute = Compute(progress=progress)
    found = _measure(spec, stored.model, images, vectors, pairs, seed=run.seed, compat=run.compat, compute=compute)
    parts = {}
    for section in sections_of(spec):
        progress(section.name.replace("_", " "), 0, 1)
        saved = Saved(stored, spec, images, pairs, vectors, load_section(stored, folder, section.name), found)
        parts[section.name] = remeasure_section(section, saved)
    return findings(found, parts)


def _measure(
    spec: ProtocolSpec, card: ModelCard, images: Images, vectors: NDArray[np.float32], pairs: Pairs | None, *,
    seed: int, compat: Sequence[str], compute: Compute | None = None,
) -> Measurement:  # fmt: skip
    """Measure answers where the protocol has a task, else comparisons."""
    if spec.task is not None:
        return measure_answers(spec, card, images, vectors, seed=seed)
    return measure_any(
        spec, images, vectors, pairs, comparator=card.comparator.value, seed=seed, compat=compat, compute=compute
    )


def _run_sections(context: RunContext) -> dict[str, SectionResult]:
    wanted = list(sections_of(context.spec))
    found = {}
    for section in wanted:
        context.options.progress(section.name.replace("_", " "), 0, 1)
        found[section.name] = run_section(section, context)
    return found


def _embed(model: Any, dataset: Dataset, options: RunOptions) -> Embedded:
    if hasattr(model, "lookup"):
        return lookup_embeddings(model, dataset, workers=options.workers)
    root = store_root(model.card, cache_dir(), options.out)
    store = EmbeddingStore(root, model.card, runtime=runtime_of(options))
    return embed_dataset(
        model, dataset, store, batch_size=options.batch_size, workers=options.workers, progress=options.progress
    )


def _compute(options: RunOptions) -> Compute:
    folder = options.out / ".work" / "tiles"
    device = options.device if options.device.startswith("cuda") else "cpu"
    return Compute(options.executor, options.workers, device, folder, options.progress)


def _check_manifest(protocol: Protocol, found: str, limit: int | None) -> None:
    wanted = protocol.spec.dataset.manifest_sha256
    if wanted and limit is None and wanted != found:
        raise InputError(
            f"protocol {protocol.spec.name} is defined on other data: it wants manifest {wanted[:12]}…, "
            f"this dataset is {found[:12]}…"
        )


def _summary(dataset: Dataset, embedded: Embedded) -> DataSummary:
    counts: dict[str, dict[str, int]] = {}
    for name, column in dataset.attributes.items():
        words = [value for value in column if isinstance(value, str)]
        if words and len(set(words)) <= 40:
            counts[name] = {value: words.count(value) for value in sorted(set(words))}
    contents = [sha256 if isinstance(sha256, str) else None for sha256 in embedded.sha256s]
    return DataSummary(
        name=dataset.name,
        n_images=len(dataset.images),
        n_identities=None if dataset.identities is None else len(set(dataset.identities)),
        n_failed=len(embedded.failures),
        attributes=counts,
        phantom=dataset.phantom,
        left_out=(*dataset.left_out, *repeated_images(dataset, contents)) or None,
        notes=dataset.notes or None,
    )
