"""A run without a model: the scores of a file, measured under a protocol."""

from __future__ import annotations

import hashlib
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from facebench.data.scores import ScoreTable
from facebench.errors import InputError, NotComparableError
from facebench.execution import environment
from facebench.execution.lock import only_run_in
from facebench.execution.options import Progress, RunOptions, check_options, no_progress
from facebench.files import canonical_json
from facebench.measure.every_score import measure_scores
from facebench.measure.sample import Images, Pairs, score_listed
from facebench.measure.sanity import file_doubts, score_doubts
from facebench.measure.saved import RESULT, load_scores, save_result, save_scores, unnamed_samples
from facebench.measure.searched_scores import searched_scores
from facebench.measure.study import in_similarities
from facebench.models.scores import ScoredModel
from facebench.run.findings import findings
from facebench.run.protocols import Protocol, reference
from facebench.schema import ComparisonKind, DataSummary, ProtocolSpec, Result
from facebench.sections import section_from_scores, sections_of
from facebench.sections.contract import Listed


def evaluate_scores(model: ScoredModel, protocol: Protocol, options: RunOptions) -> Result:
    """Measure the scores of a file under a protocol, write the result with the scores, and return the result.

    Raises:
        InputError: the protocol asks for something scores cannot give, or promises other counts.
    """
    check_options(options)
    with only_run_in(options.out):
        return _evaluate(model, protocol, options)


def _evaluate(model: ScoredModel, protocol: Protocol, options: RunOptions) -> Result:
    started, clock = environment.now(), time.monotonic()
    _check_protocol(protocol, model.table, options)
    table = model.table
    n = len(table.names) if table.names is not None else 2 * len(table.scores)
    named = None if table.names is None else Images(table.names, table.identities, dict(table.attributes), table.roles)
    images = named or unnamed_samples(n)
    pairs = Pairs(table.a.astype(np.int64), table.b.astype(np.int64), table.genuine, table.fold)
    spec = in_similarities(protocol.spec, model.card)
    found = _measure(spec, images, table.scores, pairs, options.seed, options.compat, options.progress)
    artifacts = save_scores(options.out, table.scores, pairs, named, n, protocol.spec)
    result = Result(
        protocol=reference(protocol.spec, protocol.sha256, comparisons_sha256(table)),
        model=model.card,
        data=_summary(model),
        run=environment.run_info(options, started=started, wall_s=time.monotonic() - clock, embedded_images=0),
        artifacts=artifacts,
        doubts=(*file_doubts(table.notes), *score_doubts(found["estimates"], found["curves"], own_scores=True)),
        **found,
    ).with_id()
    save_result(result, options.out / RESULT)
    return result


def remeasure_scores(stored: Result, folder: Path) -> dict[str, Any]:
    """Compute the fields of a result that hold what was found again from the scores beside it."""
    scores, images, pairs, spec = load_scores(stored, folder)
    if Protocol(spec, folder).sha256 != stored.protocol.sha256:
        raise NotComparableError(f"{folder}: the protocol beside the result is not the one the result names")
    return _measure(in_similarities(spec, stored.model), images, scores, pairs, stored.run.seed, stored.run.compat)


def comparisons_sha256(table: ScoreTable) -> str:
    """Return the sha256 that names which samples were compared; scores of two models on them share it."""
    facts = [table.names, table.identities, {name: list(table.attributes[name]) for name in sorted(table.attributes)}]
    digest = hashlib.sha256(b"facebench comparisons 1\n" + canonical_json(facts).encode())
    for column in (table.a, table.b, table.genuine, table.fold):
        if column is not None:
            digest.update(column.astype("<i8").tobytes())
    return digest.hexdigest()


def _measure(
    spec: ProtocolSpec, images: Images, scores: np.ndarray, pairs: Pairs, seed: int, compat: tuple[str, ...],
    progress: Progress = no_progress,
) -> dict[str, Any]:  # fmt: skip
    scored = score_listed(scores, pairs)
    searched, curves, gaps = searched_scores(spec, images, scored)
    clean = measure_scores(spec, images, scored, searched, seed=seed, compat=compat, progress=progress)
    clean = replace(clean, curves=(*clean.curves, *curves), unmeasured=(*clean.unmeasured, *gaps))
    listed = Listed(spec, images, pairs, scored, clean, seed)
    parts = {}
    for section in sections_of(spec):
        progress(section.name.replace("_", " "), 0, 1)
        parts[section.name] = section_from_scores(section, listed)
    return findings(clean, parts)


def _check_protocol(protocol: Protocol, table: ScoreTable, options: RunOptions) -> None:
    spec = protocol.spec
    if spec.comparisons.kind is ComparisonKind.ALL_PAIRS:
        raise InputError(
            f"protocol {spec.name} compares all images, but a file of scores brings its own comparisons; use the "
            "protocol `scores`, or one with comparisons: {kind: pair-list}"
        )
    sections = [section.name for section in sections_of(spec) if not section.takes_scores]
    if sections:
        raise InputError(f"protocol {spec.name} asks for {', '.join(sections)}, which needs the model, not its scores")
    if options.limit is not None:
        raise InputError("--limit cuts images; a file of scores is measured whole")
    found = {"genuine": int(table.genuine.sum()), "impostor": int((~table.genuine).sum())}
    for kind, promised in (("genuine", spec.dataset.n_genuine), ("impostor", spec.dataset.n_impostor)):
        if promised is not None and found[kind] != promised:
            raise InputError(
                f"protocol {spec.name} promises {promised:,} {kind} comparisons, the file has {found[kind]:,}"
            )


def _summary(model: ScoredModel) -> DataSummary:
    table = model.table
    counts: dict[str, dict[str, int]] = {}
    for name, column in table.attributes.items():
        words = [value for value in column if isinstance(value, str)]
        if words and len(set(words)) <= 40:
            counts[name] = {value: words.count(value) for value in sorted(set(words))}
    return DataSummary(
        name=str(model.card.options["file"]),
        n_images=0 if table.names is None else len(table.names),
        n_identities=None if table.identities is None else len(set(table.identities)),
        n_failed=0,
        attributes=counts,
        left_out=table.left_out or None,
        notes=table.notes or None,
    )
