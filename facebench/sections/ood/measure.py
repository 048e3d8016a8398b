"""Section ``ood``: out-of-distribution probes searched among clean images, with and without re-ranking.

Every image whose identity has another image is a query, clean and under each condition; the gallery of a query is all
other images, clean. Its own clean picture is left out: a search must find the person, not the picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.data import decode_batches
from facebench.errors import InputError
from facebench.execution.embedding import runtime_of, store_root
from facebench.files import cache_dir
from facebench.measure.rates import one_sided
from facebench.measure.sample import Images
from facebench.measure.study import groupings_of
from facebench.metrics import catalogue, uncertainty
from facebench.metrics.catalogue import Kind
from facebench.metrics.retrieval import Retrieval, retrieval
from facebench.models.gradients import why_no_gradients
from facebench.schema import Estimate, Flag, ProtocolSpec, Unmeasured
from facebench.schema.ood import OodDetails, OodSpec, RerankSpec
from facebench.scoring import similarity
from facebench.scoring.rerank import rerank, rerankers
from facebench.sections.contract import PlanRow, RunContext, Saved, SectionResult
from facebench.sections.ood.adversarial import AttackedFaces
from facebench.sections.robustness.altered import CLEAN, AlteredFaces
from facebench.sections.robustness.attacks.cost import passes as cell_passes
from facebench.store import EmbeddingStore, StoredBatch

Vectors = NDArray[np.float32]
METRICS = ("precision_at_1", "r_precision", "map_at_r")
RERANKING = "re-ranking by patches"
ATTACKED = "search with attacked probes"


def run(context: RunContext) -> SectionResult:
    """Embed the images under every condition, search, and put the lists in order again if the model allows.

    Raises:
        InputError: there are no identities, or a condition needs landmarks that are missing.
    """
    spec, images = _spec(context.spec), context.images
    if images.identities is None:
        raise InputError(f"protocol {context.spec.name} searches for identities, and the dataset names none")
    gaps = needs(context.model, context.spec)
    attacked = ATTACKED not in {gap.what for gap in gaps}
    names = spec.names(attacked=attacked)
    altered = AttackedFaces(context, spec.attack) if spec.attack and attacked else AlteredFaces(context)
    probes: dict[str, Vectors] = {CLEAN: context.embedded.vectors, **altered.embed(names)}
    tensors: dict[str, NDArray[Any]] = {name: vectors for name, vectors in probes.items() if name != CLEAN}
    method = None
    if spec.rerank is not None and hasattr(context.model, "embed_patches"):
        work = _Reranking(context, spec.rerank, altered)
        method = work.method
        for name in probes:
            scores = _scores(probes[name], context.embedded.vectors, context.model.card.comparator.value)
            tensors[f"rerank:{name}"] = work.patch_similarity(name, _best(scores, spec.rerank.top_k))
    identity = images.identity
    details = OodDetails(
        conditions=names, n_queries=int((np.bincount(identity)[identity] > 1).sum()),
        n_gallery=identity.size - 1, reranking=method,
    )  # fmt: skip
    comparator = context.model.card.comparator.value
    estimates = measure(context.spec, images, context.embedded.vectors, tensors, comparator)
    return SectionResult(estimates=estimates, unmeasured=gaps, details=details, tensors=tensors)


def remeasure(saved: Saved) -> SectionResult:
    """Compute the estimates again from saved embeddings and patch similarities."""
    assert saved.result.ood is not None
    names = saved.result.ood.conditions
    missing = [name for name in names if name not in saved.tensors]
    if missing:
        raise InputError(f"ood.safetensors lacks the embeddings of {missing[0]}; run the protocol again")
    comparator = saved.result.model.comparator.value
    estimates = measure(saved.spec, saved.images, saved.vectors, saved.tensors, comparator)
    gaps = tuple(gap for gap in saved.result.unmeasured if gap.what in (RERANKING, ATTACKED))
    return SectionResult(estimates=estimates, unmeasured=gaps, details=saved.result.ood, tensors=saved.tensors)


def plan(spec: ProtocolSpec, n_images: int, seconds_per_image: float) -> Sequence[PlanRow]:
    """Return what the section will cost; patches are a second pass of the network."""
    own = _spec(spec)
    names = len(own.names(attacked=True))
    rows = [PlanRow(f"search with {names} kinds of probes", n_images * names, n_images * names * seconds_per_image)]
    if own.attack is not None:
        passes = round(cell_passes(own.attack.cell, n_images))
        rows.append(PlanRow(own.attack.condition, passes, passes * seconds_per_image))
    if own.rerank is not None:
        passes = n_images * (names + 2)
        compared = n_images * (names + 1) * min(own.rerank.top_k, n_images - 1)
        rows.append(PlanRow("re-ranking by patches", passes, passes * seconds_per_image + compared * 1.5e-3))
    return rows


def measure(spec: ProtocolSpec, images: Images, clean: Vectors, tensors: Any, comparator: str) -> tuple[Estimate, ...]:
    """Return P@1, R-precision and MAP@R of every condition, plain and re-ranked, and P@1 of each group."""
    own, found = _spec(spec), []
    frame = _Frame(spec, images)
    for name in (CLEAN, *(name for name in own.names(attacked=True) if name in tensors)):
        vectors = clean if name == CLEAN else tensors[name]
        scores = _scores(vectors, clean, comparator)
        plain = frame.judge(scores)
        found += frame.estimates(plain, name, "")
        patches = tensors.get(f"rerank:{name}")
        if own.rerank is not None and patches is not None:
            after = frame.judge(_put_in_order(scores, patches, own.rerank))
            found += frame.estimates(after, name, "reranked_")
            found.append(frame.gain(plain.precision_at_1, after.precision_at_1, name))
    return tuple(found)


def _spec(spec: ProtocolSpec) -> OodSpec:
    assert spec.ood is not None  # a section is run only when the protocol asks for it
    return spec.ood


def needs(model: Any, spec: ProtocolSpec) -> tuple[Unmeasured, ...]:
    """Return what a model cannot be asked: attacks without gradients, re-ranking without features of patches."""
    asked, found = _spec(spec), []
    reason = why_no_gradients(model) if asked.attack is not None else None
    if reason is not None:
        found.append(Unmeasured(what=ATTACKED, why=f"ood.attack needs gradients: {reason}"))
    if asked.rerank is not None and not hasattr(model, "embed_patches"):
        why = (
            f"adapter {model.card.adapter!r} offers no patch features (embed_patches); the torch adapter does when its "
            "network has a method of that name"
        )
        found.append(Unmeasured(what=RERANKING, why=why))
    return tuple(found)


def _scores(probes: Vectors, clean: Vectors, comparator: str) -> Vectors:
    """Return (N, N) scores of every probe against every clean image; a picture is never found by itself."""
    scores = similarity(probes, clean, comparator)
    np.fill_diagonal(scores, -np.inf)
    return scores


def _best(scores: Vectors, top_k: int) -> NDArray[np.int64]:
    """Return (N, K) the best entries of each list."""
    order = np.argsort(-scores, axis=1, kind="stable")[:, : min(top_k, scores.shape[1] - 1)]
    return order.astype(np.int64)


def _put_in_order(scores: Vectors, patches: Vectors, spec: RerankSpec) -> Vectors:
    """Return scores in which the best entries stand in their new order, all above the rest of the list."""
    best = _best(scores, spec.top_k)
    before = np.take_along_axis(scores, best, axis=1)
    after = np.where(np.isfinite(before) & np.isfinite(patches), rerank(before, patches, spec.alpha), -np.inf)
    found = np.where(np.isfinite(scores), np.float32(-1e6), -np.inf).astype(np.float32)
    # entries beyond the best keep their order among themselves, well below
    rest = np.where(np.isfinite(scores), scores, 0)
    found = np.where(np.isfinite(found), found + rest, found)
    np.put_along_axis(found, best, after.astype(np.float32), axis=1)
    return found


class _Frame:
    """Queries, mates and groups: what all conditions share."""

    def __init__(self, spec: ProtocolSpec, images: Images) -> None:
        self.confidence = spec.uncertainty.confidence
        self.identity = images.identity
        self.mates = self.identity[:, None] == self.identity[None, :]
        np.fill_diagonal(self.mates, False)
        self.queries = np.flatnonzero(self.mates.any(axis=1))
        self.floor = spec.groups.min_identities if spec.groups else 2
        self.groups = [
            (name, grouping.label[self.queries] == g)
            for grouping in groupings_of(spec, images)[0]
            for g, name in enumerate(grouping.groups)
        ]

    def judge(self, scores: Vectors) -> Retrieval:
        """Return the metrics of every query."""
        return retrieval(scores[self.queries], self.mates[self.queries])

    def estimates(self, found: Retrieval, condition: str, prefix: str) -> list[Estimate]:
        """Return each metric over all queries, and P@1 of each group."""
        everyone = np.ones(self.queries.size, bool)
        rows = [(name, getattr(found, name), "all", everyone) for name in METRICS]
        rows += [("precision_at_1", found.precision_at_1, group, inside) for group, inside in self.groups]
        return [self._mean(prefix + name, values, condition, group, inside) for name, values, group, inside in rows]

    def _mean(
        self, metric: str, values: NDArray[np.float64], condition: str, group: str, inside: NDArray[np.bool_]
    ) -> Estimate:
        part, identity = values[inside], self.identity[self.queries[inside]]
        people = int(np.unique(identity).size)
        common: dict[str, Any] = {
            "metric": metric, "condition": condition, "group": group, "n_genuine": int(part.size),
            "n_identities": people,
        }  # fmt: skip
        flags: tuple[Flag, ...] = (Flag.FEW_IDENTITIES,) if group != "all" and people < self.floor else ()
        if not part.size:
            return Estimate(value=None, flags=(*flags, Flag.NO_GENUINE), **common)
        value = float(part.mean())
        if catalogue.metric(metric).kind is Kind.RATE:
            common["errors"] = int((part == 0).sum())
        if value in (0.0, 1.0):  # nothing varies: all that is sure is the bound over identities
            limits = one_sided(value == 1, part.size, people, part.size / people, self.confidence)
            return Estimate.model_validate({**common, **limits, "value": value, "flags": flags})
        variance = uncertainty.identity_variance(part - value, identity, part.size)
        found = uncertainty.wilson_from_variance(value, part.size, variance, self.confidence)
        return Estimate(
            value=value, ci_low=found.low, ci_high=found.high, ci_method="wilson-identity", n_eff=found.n_eff,
            flags=flags, **common,
        )  # fmt: skip

    def gain(self, before: NDArray[np.float64], after: NDArray[np.float64], condition: str) -> Estimate:
        """Return how much re-ranking adds to P@1, paired query by query."""
        change = after - before
        identity = self.identity[self.queries]
        value = float(change.mean())
        common: dict[str, Any] = {
            "metric": "rerank_gain", "condition": condition, "value": value, "n_genuine": int(change.size),
            "n_identities": int(np.unique(identity).size),
        }  # fmt: skip
        variance = uncertainty.identity_variance(change - value, identity, change.size)
        if variance == 0:
            return Estimate(flags=(Flag.NO_INTERVAL,), **common)
        half = uncertainty.normal_quantile(self.confidence) * float(np.sqrt(variance))
        return Estimate(ci_low=value - half, ci_high=value + half, ci_method="delta", **common)


class _Reranking:
    """Patch similarities of the best entries, kept on disk batch by batch."""

    def __init__(self, context: RunContext, spec: RerankSpec, altered: AlteredFaces) -> None:
        self._context, self._spec, self._altered = context, spec, altered
        self._comparator = rerankers.get(spec.comparator, where="ood.rerank")()
        self.method: str = self._comparator.method
        self._root = store_root(context.model.card, cache_dir(), context.options.out)
        self._gallery: Vectors | None = None

    def patch_similarity(self, name: str, best: NDArray[np.int64]) -> Vectors:
        """Return (N, K) similarities by patches of each altered image to its best entries; NaN if it failed."""
        context, altered = self._context, self._altered
        runtime = {
            **runtime_of(context.options),
            "rerank": self.method,
            "condition": name,
            "seed": context.options.seed,
        }
        store = EmbeddingStore(self._root, context.model.card, runtime=runtime)
        found = np.full(best.shape, np.nan, np.float32)
        everything = altered.content(list(range(len(best))))
        for number, batch in enumerate(altered.batches):
            content = [*everything, str(number), *(",".join(map(str, best[i])) for i in batch)]
            stored = store.get(content)
            if stored is None:
                stored = StoredBatch(self._batch(name, batch, best[batch]), ())
                store.put(content, stored)
            found[batch] = stored.vectors
            context.options.progress(f"re-ranking {name}", batch[-1] + 1, len(best))
        return found

    def _batch(self, name: str, batch: list[int], best: NDArray[np.int64]) -> Vectors:
        gallery = self._clean_patches()
        found = np.full(best.shape, np.nan, np.float32)
        for row, patches in self._patches(name, batch).items():
            found[row] = self._comparator.similarity(patches, gallery[best[row]])
        return found

    def _clean_patches(self) -> Vectors:
        """Return (N, P, D) patches of all clean images, zeros where an image failed; held in memory once."""
        if self._gallery is None:
            parts: dict[int, Vectors] = {}
            for batch in self._altered.batches:
                parts |= {batch[row]: patches for row, patches in self._patches(CLEAN, batch).items()}
            shape = next(iter(parts.values())).shape
            self._gallery = np.zeros((len(self._context.dataset.images), *shape), np.float32)
            for index, patches in parts.items():
                self._gallery[index] = patches
        return self._gallery

    def _patches(self, name: str, batch: list[int]) -> dict[int, Vectors]:
        """Return the (P, D) patches of the faces of a batch by their place in it."""
        context = self._context
        images = next(decode_batches(context.dataset, [batch], context.options.workers))
        with ThreadPoolExecutor(context.options.workers) as pool:
            faces = self._altered.faces(name, batch, images, pool)
        if not faces:
            return {}
        pixels = np.stack(list(faces.values()))
        padded = np.zeros((context.options.batch_size, *pixels.shape[1:]), np.uint8)
        padded[: len(pixels)] = pixels
        patches = np.asarray(context.model.embed_patches(padded), np.float32)[: len(pixels)]
        return dict(zip(faces, patches, strict=True))
