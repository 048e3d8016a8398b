"""Runs the explanation section: choose, draw, remove, play the inpainting game; then measure what was saved."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.errors import InputError, how_to_install
from facebench.execution import environment
from facebench.measure.every_score import Measurement
from facebench.measure.groups import Grouping
from facebench.measure.sample import Images
from facebench.measure.study import groupings_of
from facebench.metrics.explanation import centred_gaussian, inpainting_path
from facebench.metrics.streams import Stream, generator
from facebench.models.gradients import why_no_gradients
from facebench.probes.saliency import Explained, Target, traits_of
from facebench.probes.saliency.controls import Masked
from facebench.probes.saliency.regions import PARTS, REGIONS
from facebench.schema import Comparator, ProtocolSpec, Unmeasured
from facebench.schema.explanation import ExplanationDetails, ExplanationSpec, MethodVerdict
from facebench.sections.contract import RunContext, Saved, SectionResult
from facebench.sections.explanation import gallery
from facebench.sections.explanation.answers import choose_answers
from facebench.sections.explanation.costs import GAME_LEVELS
from facebench.sections.explanation.costs import plan as plan  # part of a section's contract
from facebench.sections.explanation.expressions import expression_estimates
from facebench.sections.explanation.judging import Tensors, controls, estimates, rank_stability, why_not
from facebench.sections.explanation.kept import Kept
from facebench.sections.explanation.maps import PLANTED, MethodMaps, draw, n_maps, removal_scores
from facebench.sections.explanation.sampling import Triplet, choose_pairs, find_triplets, read_faces, regions_of
from facebench.sections.explanation.writer import Explainees

_CONVENTIONS = {
    "supports the match": "supports the answer", "makes the faces alike": "supports the answer",
    "sets them apart": "speaks against it",
}  # fmt: skip
"""What the sign of a map means where it explains an answer and no match."""


@dataclass(frozen=True, eq=False)
class _Work:
    """What was chosen, ready to be explained."""

    pairs: list[tuple[int, int]]
    names: list[tuple[str, str]]
    triplets: list[Triplet]
    faces: dict[int, NDArray[np.uint8]]
    pair_subjects: list[Explained]
    triplet_subjects: list[Explained]


def needs(model: Any, spec: ProtocolSpec) -> tuple[Unmeasured, ...]:
    """Return the methods that need gradients of a model that gives none.

    Raises:
        InputError: the model's comparator is not cosine, or the installation lacks captum.
    """
    if spec.task is None and model.card.comparator is not Comparator.COSINE:
        raise InputError("explanations explain cosine scores; this model compares by " + model.card.comparator)
    methods = [method.name for method in _spec(spec).methods if traits_of(method.name).needs_gradients]
    reason = why_no_gradients(model) if methods else None
    if methods and reason is None and find_spec("captum") is None:
        raise InputError(
            f"{', '.join(methods)} need the package captum, which comes with FaceBench; {how_to_install()}"
        )
    return tuple(
        Unmeasured(what=f"saliency by {name}", why=f"it needs gradients: {reason}") for name in methods if reason
    )


def run(context: RunContext) -> SectionResult:
    """Draw and judge the maps of every method.

    Raises:
        InputError: there is no genuine pair, or faces have no known regions.
    """
    spec = _spec(context.spec)
    work = _choose(context, spec) if context.spec.task is None else _chosen_answers(context)
    if len(work.pairs) < 2:
        why = "no identity has two usable images, so there is no match to explain"
        if context.spec.task is not None:
            why = "fewer than two usable images have a truth that can be explained"
        return SectionResult(unmeasured=(Unmeasured(what="explanations", why=why),))
    kept = _kept(context)
    tensors = _base_tensors(context, work, kept)
    verdicts: list[MethodVerdict] = []
    drawn: dict[str, NDArray[np.float32]] = {}
    count = min(spec.control_pairs, len(work.pairs))
    total = sum(n_maps(m, len(work.pairs), len(work.triplets), count) for m in spec.methods)
    done = 0

    def step() -> None:
        nonlocal done
        done += 1
        context.options.progress("explain", min(done, total), total)

    masks = dict(zip(PLANTED, tensors["planted_masks"].astype(bool), strict=True))
    tensors["planted_response"] = np.array(
        [[_response(Masked(s.embed, None, masks[name]), s) for s in work.pair_subjects[:count]] for name in PLANTED]
    )
    for method in spec.methods:
        found = draw(method, work.pair_subjects, work.triplet_subjects, work.pair_subjects[:count], masks, kept, step)
        if found.first.flag != "unsupported":
            tensors |= _method_tensors(method.name, found, work, spec, kept)
            tensors[f"{method.name}/game"] = _game(work, tensors[f"{method.name}/triplets"], kept)
        drawn[method.name] = found.pairs[: spec.gallery]
        verdicts.append(_verdict(method.name, found, of_answers=context.spec.task is not None))
    for name, maps in _null_games(tensors, context.options.seed).items():
        tensors[f"{name}/game"] = _game(work, maps, kept)
    kept.clear()
    context.options.progress("explain", total, total)
    ids = context.images.image_ids
    details = ExplanationDetails(
        methods=tuple(verdicts),
        pairs=tuple(work.names),
        triplets=tuple((ids[t.probe], ids[t.twin], t.part) for t in work.triplets),
        gallery=gallery.rows(
            work.pairs, work.names, work.faces, drawn, spec.gallery, with_faces=context.dataset.phantom
        ),
    )
    return _measured(context.spec, context.images, context.clean, tensors, details)


def remeasure(saved: Saved) -> SectionResult:
    """Compute estimates and verdicts again from the saved maps; settings, costs and gallery are copied."""
    if saved.result.explanation is None:
        return SectionResult(unmeasured=tuple(g for g in saved.result.unmeasured if g.what == "explanations"))
    return _measured(saved.spec, saved.images, saved.clean, saved.tensors, saved.result.explanation)


def _spec(spec: ProtocolSpec) -> ExplanationSpec:
    assert spec.explanation is not None
    return spec.explanation


def _choose(context: RunContext, spec: ExplanationSpec) -> _Work:
    vectors = context.embedded.vectors
    usable = np.asarray(np.isfinite(vectors).all(axis=1))
    triplets = find_triplets(context.dataset, context.images, usable, spec.triplets, context.options.seed)
    twins = frozenset(t.twin for t in triplets)
    pairs = choose_pairs(context.images, usable, spec.pairs, context.options.seed, skip=twins)
    rows = [row for pair in pairs for row in pair] + [row for t in triplets for row in (t.probe, t.twin)]
    faces = read_faces(context.dataset, rows, context.options.workers) if rows else {}
    shapes = {face.shape for face in faces.values()}
    if len(shapes) > 1:
        raise InputError(f"explanations need faces of one size; the chosen ones have {sorted(shapes)[:3]}")
    # two files may hold the same picture; a face compared with itself explains nothing
    pairs = [(a, b) for a, b in pairs if a in faces and b in faces and not np.array_equal(faces[a], faces[b])]
    reason = why_no_gradients(context.model) or ""
    module = None if reason else context.model.module()

    def subject(probe: int, target: Target, reference: int | None) -> Explained:
        return Explained(
            faces[probe], target, context.embed, context.options.batch_size, module,
            None if reference is None else faces[reference], context.options.seed, reason,
        )  # fmt: skip

    ids = context.images.image_ids
    return _Work(
        pairs,
        [(ids[a], ids[b]) for a, b in pairs],
        triplets,
        faces,
        [subject(a, Target(vectors[b]), b) for a, b in pairs],
        [subject(t.probe, Target(_centre(vectors, t.mates), _centre(vectors, t.twin_mates)), None) for t in triplets],
    )


def _chosen_answers(context: RunContext) -> _Work:
    chosen = choose_answers(
        context.spec, context.model.card, context.images, context.embedded.vectors, context.options.seed
    )
    faces = read_faces(context.dataset, [row for row, _, _ in chosen], context.options.workers) if chosen else {}
    shapes = {face.shape for face in faces.values()}
    if len(shapes) > 1:
        raise InputError(f"explanations need faces of one size; the chosen ones have {sorted(shapes)[:3]}")
    chosen = [one for one in chosen if one[0] in faces]
    reason = why_no_gradients(context.model) or ""
    module, options = None if reason else context.model.module(), context.options
    subjects = [
        Explained(faces[row], target, context.embed, options.batch_size, module, None, options.seed, reason)
        for row, target, _ in chosen
    ]
    names = [(context.images.image_ids[row], name) for row, _, name in chosen]
    return _Work([(row, row) for row, _, _ in chosen], names, [], faces, subjects, [])


def _response(model: Masked, subject: Explained) -> float:
    return model.response(subject.probe) if isinstance(subject.target, Target) else model.moves(subject)


def _centre(vectors: NDArray[np.float32], rows: Sequence[int]) -> NDArray[np.float32]:
    """Return the mean of normalised embeddings: the gallery template of an identity."""
    chosen = vectors[list(rows)]
    return np.asarray((chosen / np.linalg.norm(chosen, axis=1, keepdims=True)).mean(0), np.float32)


def _kept(context: RunContext) -> Kept:
    card, options = context.model.card, context.options
    described = card.model_dump(mode="json", exclude={"licence", "training_data"})
    basis = [described, options.device, environment.packages(), environment.facebench_version()]
    return Kept(options.out / ".work" / "explanation", basis)


def _base_tensors(context: RunContext, work: _Work, kept: Kept) -> dict[str, NDArray[Any]]:
    height, width = work.faces[work.pairs[0][0]].shape[:2]
    points = _spec(context.spec).points
    regions = [regions_of(context.dataset, a, (height, width), points) for a, _ in work.pairs]
    stacked = np.stack([np.stack([found[name] for name in REGIONS]) for found in regions])
    planted = stacked.mean(axis=0) >= 0.5  # one fixed mask per part, where most faces have it
    rng = generator(Stream.BLIND_REMOVAL, context.options.seed)
    orders = [rng.permutation(height * width) for _ in work.pairs]
    levels = _spec(context.spec).levels
    blind = [_removal(s, o, levels, kept) for s, o in zip(work.pair_subjects, orders, strict=True)]
    found: dict[str, NDArray[Any]] = {
        "regions": stacked.astype(np.uint8),
        "planted_masks": np.stack([planted[PARTS.index(name)] for name in PLANTED]).astype(np.uint8),
        "random/removal": np.stack(blind),
        "pair_rows": np.array(work.pairs, np.int64),
        "triplet_rows": np.array([(t.probe, t.twin) for t in work.triplets], np.int64).reshape(-1, 2),
        "changed": np.array([t.changed for t in work.triplets], np.uint8).reshape(-1, height, width),
    }
    found["admitted"] = np.array([_admitted(context.embedded.vectors, t) for t in work.triplets], np.uint8)
    return found


def _method_tensors(
    name: str, maps: MethodMaps, work: _Work, spec: ExplanationSpec, kept: Kept
) -> dict[str, NDArray[Any]]:
    parts = ("pairs", "triplets", "planted", "random", "again", "near")
    stored: dict[str, NDArray[Any]] = {part: _stored(getattr(maps, part)) for part in parts}
    stored["removal"] = np.stack([
        _removal(subject, np.argsort(-h.astype(np.float64).ravel(), kind="stable"), spec.levels, kept)
        if np.isfinite(h).all()
        else np.full((2, spec.levels), np.nan)
        for subject, h in zip(work.pair_subjects, stored["pairs"], strict=True)
    ])  # fmt: skip
    if maps.gaps.size:
        stored["gaps"] = maps.gaps
    return {f"{name}/{part}": value for part, value in stored.items()}


def _removal(subject: Explained, order: NDArray[np.intp], levels: int, kept: Kept) -> NDArray[np.float64]:
    return kept.array(["removal", levels], subject, (order,), lambda: removal_scores(subject, order, levels))[0]


def _stored(maps: NDArray[np.float32]) -> NDArray[np.float16]:
    """Return maps scaled to a largest size of 1, as half floats: what is measured is what is saved."""
    if not maps.size:
        return maps.astype(np.float16)
    largest = np.abs(maps).max(axis=(-2, -1), keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(largest > 0, maps / largest, maps), np.float16)


def _verdict(name: str, maps: MethodMaps, *, of_answers: bool) -> MethodVerdict:
    """Return what is known of a method before its controls are judged."""
    first = maps.first
    convention = first.convention
    if of_answers:
        for words, others in _CONVENTIONS.items():
            convention = convention.replace(words, others)
    return MethodVerdict(
        method=name, qualified=False, why=first.why, convention=convention, settings=first.settings,
        forwards=first.forwards, backwards=first.backwards,
    )  # fmt: skip


def _admitted(vectors: NDArray[np.float32], triplet: Triplet) -> bool:
    """Return whether the model tells the probe from its twin: each is nearer to its own gallery."""
    target = Target(_centre(vectors, triplet.mates), _centre(vectors, triplet.twin_mates))
    probe, twin = target.score(vectors[[triplet.probe, triplet.twin]])
    return bool(probe > 0 > twin)


def _game(work: _Work, maps: NDArray[Any], kept: Kept) -> NDArray[np.float64]:
    """Return (T, 2, levels): share of outside pixels replaced, and whether the blend is taken for the twin."""
    found = np.zeros((len(work.triplets), 2, GAME_LEVELS))
    for row, (triplet, subject, h) in enumerate(zip(work.triplets, work.triplet_subjects, maps, strict=True)):
        if np.isfinite(h).all() and np.ptp(h) > 0:
            inputs = (h, work.faces[triplet.twin], triplet.changed)
            found[row] = kept.array(["game"], subject, inputs, lambda: _played(subject, *inputs))[0]  # noqa: B023
    return found


def _played(
    subject: Explained, h: NDArray[Any], twin: NDArray[np.uint8], changed: NDArray[np.bool_]
) -> NDArray[np.float64]:
    # a high margin means "the mate, not the twin": what carries it is replaced first
    masks = inpainting_path(h, GAME_LEVELS)
    outside = ~changed
    share = (masks & outside).sum(axis=(1, 2)) / max(int(outside.sum()), 1)
    size = subject.batch_size
    blends = (np.where(masks[i : i + size, ..., None], twin, subject.probe) for i in range(0, GAME_LEVELS, size))
    scores = np.concatenate([subject.scores(blend) for blend in blends])
    return np.stack([share, scores < 0]).astype(np.float64)


def _null_games(tensors: Tensors, seed: int) -> dict[str, NDArray[Any]]:
    changed = tensors["changed"].astype(np.float64)
    rng = generator(Stream.BLIND_GAMES, seed)
    shape = (changed.shape[1], changed.shape[2])
    gaussian = np.repeat(centred_gaussian(shape)[None], len(changed), axis=0)
    return {"random": rng.random(changed.shape), "centred_gaussian": gaussian, "oracle": changed}


def _measured(
    spec: ProtocolSpec, images: Images, clean: Measurement, tensors: Tensors, details: ExplanationDetails
) -> SectionResult:
    """Judge the controls and compute every estimate from the saved tensors."""
    own = _spec(spec)
    whom = _whom(spec, images, tensors, details)
    threshold = None if spec.task is not None else clean.at(spec.primary).threshold
    verdicts, found, gaps = [], [], []
    for verdict in details.methods:
        if f"{verdict.method}/pairs" not in tensors:
            verdicts.append(verdict)
            gaps.append(Unmeasured(what=f"saliency by {verdict.method}", why=verdict.why))
            continue
        judged = controls(verdict.method, tensors, whom, spec.uncertainty.confidence)
        why = why_not(judged)
        verdicts.append(verdict.model_copy(update={"qualified": not why, "why": why, "controls": judged}))
        found += estimates(
            verdict.method, not why, tensors, whom, own, confidence=spec.uncertainty.confidence, threshold=threshold
        )
        if spec.task is not None:
            found += expression_estimates(
                verdict.method, not why, tensors, whom, [name for _, name in details.pairs], spec.uncertainty.confidence
            )
    if spec.task is None and not len(whom.triplet_identity) and own.triplets:
        why = "the dataset holds no part swaps (columns swap_of, part, change_mask)"
        gaps.append(Unmeasured(what="saliency against known changes, inpainting game", why=why))
    tree, labels = gallery.tree(
        {v.method: tensors[f"{v.method}/pairs"] for v in details.methods if f"{v.method}/pairs" in tensors}
    )
    fresh = details.model_copy(
        update={
            "methods": tuple(verdicts), "rank_stability": rank_stability(found, own), "tree": tree,
            "tree_labels": labels, "admitted": int(tensors["admitted"].sum()) if len(whom.triplet_identity) else None,
        }
    )  # fmt: skip
    return SectionResult(estimates=tuple(found), unmeasured=tuple(gaps), details=fresh, tensors=tensors)


def _whom(spec: ProtocolSpec, images: Images, tensors: Tensors, details: ExplanationDetails) -> Explainees:
    probes = tensors["pair_rows"][:, 0]
    groups: dict[str, NDArray[np.bool_]] = {}
    for grouping in _groupings(spec, images):
        for g, name in enumerate(grouping.groups):
            groups[name] = grouping.label[probes] == g
    return Explainees(
        images.identity[probes], groups, images.identity[tensors["triplet_rows"][:, 0]],
        tuple(part for _, _, part in details.triplets),
    )  # fmt: skip


def _groupings(spec: ProtocolSpec, images: Images) -> Iterator[Grouping]:
    """Yield the groupings of single attributes; pairs are too few for intersections."""
    for grouping in groupings_of(spec, images)[0]:
        if "&" not in grouping.name:
            yield grouping
