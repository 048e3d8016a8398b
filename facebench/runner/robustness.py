"""Section ``robustness``: corruptions, occlusions and geometry, each verification again at the clean thresholds."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from facebench.data import decode_batches
from facebench.errors import InputError
from facebench.files import cache_dir
from facebench.phantoms.labels import ARCFACE_112
from facebench.probes import conditions
from facebench.runner import environment
from facebench.runner.attacks.section import plan_attacks, remeasure_attacks, run_attacks, with_attacks
from facebench.runner.conditions import Baseline, condition_estimates, failure_to_acquire
from facebench.runner.embedding import Pixels, fit_face, store_root
from facebench.runner.sections import PlanRow, RunContext, Saved, SectionResult
from facebench.runner.summaries import Summary
from facebench.schema import Alignment, Estimate, Failure, ProtocolSpec
from facebench.schema.robustness import ConditionFailure, Example, RobustnessDetails, RobustnessSpec
from facebench.scoring import failed_rows
from facebench.store import EmbeddingStore, StoredBatch

Vectors = NDArray[np.float32]
EXAMPLE_SIDE = 80


def run(context: RunContext) -> SectionResult:
    """Embed the images under every condition and measure.

    Raises:
        InputError: a condition needs landmarks, and an image has none.
    """
    names = _spec(context.spec).expanded
    probes = ConditionEmbedder(context).embed(names)
    details = RobustnessDetails(
        conditions=names, apply_to=_spec(context.spec).apply_to, failures=_failures(context, probes),
        examples=_examples(context, names) if context.dataset.phantom else (),
    )  # fmt: skip
    baseline = Baseline(
        context.spec, context.images, context.embedded.vectors, context.pairs, context.clean,
        comparator=context.model.card.comparator.value,
    )  # fmt: skip
    estimates = measure(baseline, probes, both=details.apply_to == "both")
    found = SectionResult(estimates=estimates, details=details, tensors=probes)
    return with_attacks(found, run_attacks(context))


def remeasure(saved: Saved) -> SectionResult:
    """Compute the estimates again from the embeddings of the altered images; pictures and failures are copied."""
    names = _spec(saved.spec).expanded
    missing = [name for name in names if name not in saved.tensors]
    if missing:
        raise InputError(f"robustness.safetensors lacks the embeddings of {missing[0]}; run the protocol again")
    baseline = Baseline(
        saved.spec, saved.images, saved.vectors, saved.pairs, saved.clean,
        comparator=saved.result.model.comparator.value,
    )  # fmt: skip
    probes = {name: saved.tensors[name] for name in names}
    estimates = measure(baseline, probes, both=_spec(saved.spec).apply_to == "both")
    found = SectionResult(estimates=estimates, details=saved.result.robustness, tensors=probes)
    return with_attacks(found, remeasure_attacks(saved))


def plan(spec: ProtocolSpec, n_images: int, seconds_per_image: float) -> Sequence[PlanRow]:
    """Return what the section will cost."""
    asked = _spec(spec).expanded
    rows = [PlanRow("conditions", n_images * len(asked), n_images * len(asked) * seconds_per_image)] if asked else []
    return [*rows, *plan_attacks(spec, seconds_per_image)]


def measure(baseline: Baseline, probes: dict[str, Vectors], *, both: bool) -> tuple[Estimate, ...]:
    """Return the estimates of every condition, then those over all conditions of each family."""
    found: list[Estimate] = []
    summary = Summary(baseline)
    for condition, vectors in probes.items():
        scores = baseline.scores(vectors, both=both)
        part = [*condition_estimates(baseline, scores, condition), failure_to_acquire(baseline, vectors, condition)]
        summary.add(condition, scores)
        found += part
    return (*found, *summary.estimates())


def _spec(spec: ProtocolSpec) -> RobustnessSpec:
    assert spec.robustness is not None  # a section is run only when the protocol asks for it
    return spec.robustness


class ConditionEmbedder:
    """Embeds the images of a run under conditions; finished batches are kept, so that a killed run resumes."""

    def __init__(self, context: RunContext) -> None:
        self.context = context
        self._root = store_root(context.model.card, cache_dir(), context.options.out)
        options, n = context.options, len(context.dataset.images)
        self._batches = [list(range(i, min(i + options.batch_size, n))) for i in range(0, n, options.batch_size)]

    def embed(self, names: Sequence[str]) -> dict[str, Vectors]:
        """Return (N, D) embeddings under each condition; NaN rows for images that failed.

        Every image is decoded once, whatever the number of conditions.
        """
        context, n = self.context, len(self.context.dataset.images)
        found = {name: np.full((n, context.model.card.embedding_dim), np.nan, np.float32) for name in names}
        stores = {name: self._store(name) for name in names}
        contents = [self._content(batch) for batch in self._batches]
        missing: dict[int, list[str]] = {}
        for b, batch in enumerate(self._batches):
            for name in names:
                stored = stores[name].get(contents[b])
                if stored is None:
                    missing.setdefault(b, []).append(name)
                else:
                    found[name][batch] = stored.vectors
        total = n * len(names)
        done = total - sum(len(self._batches[b]) * len(left) for b, left in missing.items())
        context.options.progress("conditions", done, total)
        decoded = decode_batches(context.dataset, [self._batches[b] for b in missing], context.options.workers)
        with ThreadPoolExecutor(context.options.workers) as pool:
            for (b, left), images in zip(missing.items(), decoded, strict=True):
                batch = self._batches[b]
                for name in left:
                    vectors = self._altered(name, batch, images, pool)
                    stores[name].put(contents[b], StoredBatch(vectors, ()))
                    found[name][batch] = vectors
                    done += len(batch)
                    context.options.progress("conditions", done, total)
        return found

    def _store(self, name: str) -> EmbeddingStore:
        options = self.context.options
        runtime = {
            "packages": environment.packages(), "device": options.device, "batch_size": options.batch_size,
            "condition": conditions.version(name), "seed": options.seed,
        }  # fmt: skip
        return EmbeddingStore(self._root, self.context.model.card, runtime=runtime)

    def _content(self, batch: list[int]) -> list[str]:
        """Return all that decides the altered pictures of a batch besides condition and seed."""
        rows = []
        for i in batch:
            sha256, points = self.context.embedded.sha256s[i], landmarks_of(self.context, i)
            placed = "" if points is None else ",".join(f"{value:.4f}" for value in points.ravel())
            rows.append(f"{sha256} {self.context.dataset.image_ids[i]} {placed}")
        return rows

    def _altered(
        self, name: str, batch: list[int], images: Sequence[Pixels | Failure], pool: ThreadPoolExecutor
    ) -> Vectors:
        """Return the embeddings of one batch under one condition."""
        context, ids = self.context, self.context.dataset.image_ids

        def change(i: int, image: Pixels | Failure) -> Pixels | Failure:
            if isinstance(image, Failure):
                return image
            altered = conditions.alter(name, image, landmarks_of(context, i), ids[i], seed=context.options.seed)
            return fit_face(altered, ids[i], context.model.card.input)

        vectors = np.full((len(batch), context.model.card.embedding_dim), np.nan, np.float32)
        # a clean image that failed stays failed: it has nothing to be altered, or no shape its batch could take
        usable = [
            (row, face)
            for row, face in enumerate(pool.map(change, batch, images))
            if not isinstance(face, Failure) and not np.isnan(context.embedded.vectors[batch[row]]).any()
        ]
        if usable:
            rows, faces = zip(*usable, strict=True)
            vectors[list(rows)] = context.embed(np.stack(faces))
        return vectors


def landmarks_of(context: RunContext, index: int) -> NDArray[np.float64] | None:
    """Return the (5, 2) landmarks of an image: the manifest's, else those of the alignment template, else None."""
    known = context.dataset.landmarks
    if known is not None and np.isfinite(known[index]).all():
        return np.asarray(known[index])
    spec = context.model.card.input
    return ARCFACE_112 if spec is not None and spec.alignment is Alignment.ARCFACE_112 else None


def _failures(context: RunContext, probes: dict[str, Vectors]) -> tuple[ConditionFailure, ...]:
    clean = failed_rows(context.embedded.vectors)
    return tuple(
        ConditionFailure(condition=name, image_id=context.images.image_ids[i], reason="no usable embedding")
        for name, vectors in probes.items()
        for i in np.flatnonzero(failed_rows(vectors) & ~clean)
    )


def _examples(context: RunContext, names: Sequence[str]) -> tuple[Example, ...]:
    """Return small pictures of the first usable face, clean and under every condition."""
    usable = np.flatnonzero(~failed_rows(context.embedded.vectors))
    if not usable.size:
        return ()
    index = int(usable[0])
    (image,) = next(decode_batches(context.dataset, [[index]], 1))
    if isinstance(image, Failure):
        return ()
    points, image_id = landmarks_of(context, index), context.dataset.image_ids[index]
    seed = context.options.seed
    altered = [(name, conditions.alter(name, image, points, image_id, seed=seed)) for name in names]
    return tuple(Example(condition=name, picture=data_uri(face)) for name, face in [("clean", image), *altered])


def data_uri(face: Pixels) -> str:
    """Return a small JPEG of a face as a data URI."""
    from PIL import Image

    stream = io.BytesIO()
    small = Image.fromarray(face).resize((EXAMPLE_SIDE, EXAMPLE_SIDE), Image.Resampling.LANCZOS)
    small.save(stream, "JPEG", quality=78)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()
