"""What a run will cost and what its data can show, before anything is computed."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.data import Dataset, decode_batches, hash_images
from facebench.execution.counterfactuals import unedited
from facebench.execution.embedding import batch_contents, embed_faces, runtime_of, store_root
from facebench.execution.options import RunOptions
from facebench.files import cache_dir
from facebench.measure.every_score import measure
from facebench.measure.groups import Grouping
from facebench.measure.sample import Images, Pairs
from facebench.measure.study import groupings_of, images_of
from facebench.measure.templates import template_units
from facebench.metrics import power
from facebench.metrics.streams import FIXED_SEED, Fixed, fixed_generator
from facebench.metrics.uncertainty import errors_needed
from facebench.run.needs import unmet_needs
from facebench.run.protocols import Protocol, bind_dataset
from facebench.schema import Failure, ProtocolSpec, Unmeasured
from facebench.scoring import MAX_IMAGES
from facebench.sections import SECTIONS, sections_of
from facebench.sections.contract import PlanRow
from facebench.sections.efficiency.memory import now_mib
from facebench.store import EmbeddingStore

TIMED_IMAGES = 32
TIMED_COMPARISONS = 120_000
ASSUMED_FNMR = 0.05
"""The false non-match rate at which FNMR differentials are planned; nobody knows it before the run."""


@dataclass(frozen=True)
class GroupPlan:
    """One group of a plan.

    Attributes:
        n_identities: None without identity labels.
        expected_errors: false matches to expect at each FMR target, were the rate on target.
        design_effects: at each target, of score phantoms with the default shares of variance.
        resolvable: whether a threshold of the group's own could be set for each target: one false match or more.
    """

    name: str
    n_images: int
    n_identities: int | None
    n_genuine: int
    n_impostor: int
    expected_errors: tuple[float, ...]
    design_effects: tuple[float, ...]
    resolvable: tuple[bool, ...]
    enough_identities: bool


@dataclass(frozen=True)
class GroupingPlan:
    """One grouping: its groups, and the smallest ratio of rates it can show at each FMR target (None: none)."""

    name: str
    groups: tuple[GroupPlan, ...]
    fmr_ratio: tuple[float | None, ...]
    fnmr_ratio: float | None


@dataclass(frozen=True)
class Plan:
    """Cost and reach of a run.

    Attributes:
        seconds_per_image: decoding and embedding, timed on a small batch; None for stored embeddings.
        memory_mib: highest resident memory to expect of comparing and measuring; None where it cannot be told.
        parts: what each part of the run costs.
        fmr_targets: rising; `errors_for_double` are the errors each group needs to show a ratio of 2 at each of them.
    """

    protocol: str
    model: str
    n_images: int
    n_identities: int | None
    n_genuine: int
    n_impostor: int
    n_cached: int
    seconds_per_image: float | None
    memory_mib: float | None
    parts: tuple[PlanRow, ...]
    fmr_targets: tuple[float, ...]
    resolvable: tuple[bool, ...]
    groupings: tuple[GroupingPlan, ...]
    unmeasured: tuple[Unmeasured, ...]

    @property
    def seconds(self) -> float:
        """Of the whole run."""
        return sum(part.seconds for part in self.parts)


def plan(model: Any, protocol: Protocol, data: Mapping[str, Path], options: RunOptions) -> Plan:
    """Say what a run will cost and what its data can show.

    The model is timed on one small batch; nothing is written. See `evaluate` for the arguments.

    Raises:
        FaceBenchError: as `evaluate` would.
    """
    unmet = unmet_needs(model, protocol.spec)
    dataset = bind_dataset(protocol, data)
    if options.limit is not None:
        dataset = dataset.subset(options.limit)
    n_cached, per_image = _embedding_cost(model, dataset, options)
    n_embedded = len(dataset)
    if not protocol.spec.comparisons.include_counterfactuals:
        dataset = unedited(dataset)
    spec, images = protocol.spec, images_of(dataset)
    listed = dataset.pairs
    pairs = None if listed is None else Pairs(listed.a, listed.b, listed.genuine, listed.fold)
    if spec.templates is not None:
        images, _, pairs = template_units(dataset, np.ones((len(dataset), 1), np.float32), spec)
    groupings, unmeasured = groupings_of(spec, images)
    targets = sorted(spec.fmr_targets)
    n_genuine, n_impostor = _comparisons(images, pairs, None)
    embed = PlanRow("embedding", n_embedded - n_cached, (n_embedded - n_cached) * (per_image or 0.0))
    measuring_s, measuring_bytes = _measuring_cost(spec, images, n_genuine + n_impostor)
    parts = [
        embed,
        PlanRow("comparing and measuring", len(dataset), measuring_s),
    ]
    memory = _memory_mib(images, pairs, model.card.embedding_dim, measuring_bytes)
    for section in sections_of(spec):
        with SECTIONS.blame(section.name, "failed in its plan"):
            cost = getattr(section.measuring, "plan", None)
            unknown = [PlanRow(f"{section.name} (cost not known)", 0, 0.0)]
            parts += cost(spec, len(dataset), per_image or 0.0) if cost else unknown
    return Plan(
        protocol=spec.name, model=model.card.name, n_images=n_embedded,
        n_identities=None if images.identities is None else len(set(images.identities)),
        n_genuine=n_genuine, n_impostor=n_impostor, n_cached=n_cached, seconds_per_image=per_image, parts=tuple(parts),
        memory_mib=None if memory is None else round(memory, 1),
        fmr_targets=tuple(targets), resolvable=tuple(t * n_impostor >= 1 for t in targets),
        groupings=tuple(_grouping(g, spec, images, pairs, targets) for g in groupings),
        unmeasured=(*unmet, *unmeasured, *_gaps(images, n_genuine, targets, n_impostor)),
    )  # fmt: skip


def _gaps(images: Images, n_genuine: int, targets: Sequence[float], n_impostor: int) -> list[Unmeasured]:
    found = []
    if not n_genuine:
        found.append(Unmeasured(what="TAR, FNMR and EER", why="no identity has two images: no genuine comparisons"))
    if images.identities is None:
        found.append(Unmeasured(what="intervals that hold", why="no identity labels: intervals will be too narrow"))
    for target in targets:
        if target * n_impostor < 1:
            why = f"{n_impostor:,} impostor comparisons allow less than one false match"
            found.append(Unmeasured(what=f"FMR target {target:g}", why=why))
    return found


def _comparisons(images: Images, pairs: Pairs | None, inside: NDArray[np.bool_] | None) -> tuple[int, int]:
    """Return genuine and impostor comparisons with both ends inside."""
    if pairs is not None:
        kept = np.ones(pairs.a.size, bool) if inside is None else inside[pairs.a] & inside[pairs.b]
        return int((kept & pairs.genuine).sum()), int((kept & ~pairs.genuine).sum())
    everyone = np.ones(len(images.image_ids), bool) if inside is None else inside
    counts = power.images_per_identity(images.identity, everyone)
    genuine = int((counts * (counts - 1) // 2).sum())
    total = int(counts.sum())
    return genuine, total * (total - 1) // 2 - genuine


def _grouping(
    grouping: Grouping, spec: ProtocolSpec, images: Images, pairs: Pairs | None, targets: Sequence[float]
) -> GroupingPlan:
    groups = [_group(grouping, g, spec, images, pairs, targets) for g in range(len(grouping.groups))]
    ratios = tuple(
        power.detectable_ratio([g.expected_errors[t] / g.design_effects[t] for g in groups if g.n_impostor])
        for t in range(len(targets))
    )
    # misses of one identity may all go together, so no more than its identities count as independent
    with_genuine = [
        int((power.images_per_identity(images.identity, grouping.label == g) > 1).sum())
        for g, row in enumerate(groups)
        if row.n_genuine
    ]
    fnmr = power.detectable_ratio([ASSUMED_FNMR * n for n in with_genuine])
    return GroupingPlan(grouping.name, tuple(groups), ratios, fnmr)


def _group(
    grouping: Grouping,
    g: int,
    spec: ProtocolSpec,
    images: Images,
    pairs: Pairs | None,
    targets: Sequence[float],
) -> GroupPlan:
    inside = grouping.label == g
    n_genuine, n_impostor = _comparisons(images, pairs, inside)
    counts = power.images_per_identity(images.identity, inside)
    known = images.identities is not None
    floor = spec.groups.min_identities if spec.groups else 2
    effects = [power.impostor_design_effect(t, counts.tolist()) if pairs is None else 1.0 for t in targets]
    return GroupPlan(
        grouping.groups[g], int(inside.sum()), int(counts.size) if known else None, n_genuine, n_impostor,
        tuple(t * n_impostor for t in targets), tuple(effects), tuple(t * n_impostor >= 1 for t in targets),
        not known or counts.size >= floor,
    )  # fmt: skip


def _embedding_cost(model: Any, dataset: Dataset, options: RunOptions) -> tuple[int, float | None]:
    """Return how many images are in the store, and the seconds each other one takes."""
    if hasattr(model, "lookup"):
        return len(dataset), None
    store = EmbeddingStore(store_root(model.card, cache_dir(), options.out), model.card, runtime=runtime_of(options))
    contents = batch_contents(hash_images(dataset, options.workers), options.batch_size)
    cached = sum(len(content) for content in contents if store.path(content).is_file())
    rows = list(range(min(TIMED_IMAGES, options.batch_size, len(dataset))))
    faces, clock = None, time.monotonic()
    for batch in decode_batches(dataset, [rows], options.workers):
        readable = [image for image in batch if not isinstance(image, Failure)]
        faces = [image for image in readable if image.shape == readable[0].shape]
    decoding = time.monotonic() - clock
    if not faces:
        return cached, None
    pixels = np.stack(faces)
    embed_faces(model, pixels, len(pixels))  # the first call also builds the network
    clock = time.monotonic()
    embed_faces(model, pixels, len(pixels))
    return cached, (decoding + time.monotonic() - clock) / len(pixels)


def _measuring_cost(spec: ProtocolSpec, images: Images, n_comparisons: int) -> tuple[float, float]:
    """Return the seconds and the bytes measuring takes: of random embeddings of some images, scaled by comparisons."""
    keep = min(len(images.image_ids), int(np.sqrt(2 * TIMED_COMPARISONS)))
    plain = spec.model_copy(update={"identification": None})
    # spread over the whole dataset, which may be sorted by group
    rows = np.linspace(0, len(images.image_ids) - 1, keep).astype(int)
    some = _first(images, rows)
    if len(set(some.identity.tolist())) < 2:
        return 0.0, 0.0
    taken: dict[float, float] = {}
    for size in (min(keep, 40), keep // 2, keep):  # a small round first: compiled kernels are loaded once
        clock = time.monotonic()
        _measure_random(plain, images, rows[:size])
        taken[size * (size - 1) / 2] = time.monotonic() - clock
    # memory is watched in rounds of their own, because watching slows them
    used = {}
    for size in (keep // 3, 2 * keep // 3):
        tracemalloc.start()
        _measure_random(plain, images, rows[:size])
        used[size * (size - 1) / 2] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    replicates = 8.0 * spec.uncertainty.replicates * len(set(images.identity.tolist()))
    return _extrapolated(taken, n_comparisons), _extrapolated(used, n_comparisons) + replicates


def _extrapolated(found: Mapping[float, float], n: float) -> float:
    """Return a cost at n comparisons from those at the two greatest numbers: a part that stays, and one that grows."""
    *smaller, (many, much) = sorted(found.items())
    if not smaller:
        return much
    few, little = smaller[-1]
    each = max(0.0, (much - little) / (many - few))
    return max(0.0, much + each * (n - many))


def _first(images: Images, rows: NDArray[np.int_]) -> Images:
    return Images(
        tuple(images.image_ids[i] for i in rows),
        None if images.identities is None else tuple(images.identities[i] for i in rows),
        {name: tuple(column[i] for i in rows) for name, column in images.attributes.items()},
    )


def _measure_random(spec: ProtocolSpec, images: Images, rows: NDArray[np.int_]) -> None:
    part = _first(images, rows)
    if len(set(part.identity.tolist())) < 2:
        return
    vectors = fixed_generator(Fixed.TIMED_VECTORS).standard_normal((rows.size, 64)).astype(np.float32)
    measure(spec, part, vectors, None, comparator="cosine", seed=FIXED_SEED)


def _memory_mib(images: Images, pairs: Pairs | None, dim: int, measuring: float) -> float | None:
    """Return the highest resident memory to expect: what is held now, with the model, and what measuring adds.

    None above the size from which scores are not held: what that takes depends on the workers.
    """
    n = len(images.image_ids)
    if pairs is None and n > MAX_IMAGES:
        return None
    return now_mib() + (8.0 * n * max(dim, 1) + measuring) / 2**20


def sentences(found: Plan) -> list[str]:
    """Say in words what the data cannot show."""
    lines = [f"{gap.what}: {gap.why}." for gap in found.unmeasured]
    for grouping in found.groupings:
        thin = [g.name for g in grouping.groups if not g.enough_identities]
        if thin:
            lines.append(f"Fewer identities than the protocol asks for: {', '.join(thin)}.")
        for target, ratio in zip(found.fmr_targets, grouping.fmr_ratio, strict=True):
            if ratio is None or ratio > 3:
                seen = "no ratio at all" if ratio is None or ratio > 1000 else f"only a ratio of {ratio:.1f} or more"
                lines.append(f"FMR by {grouping.name} at target {target:g}: {seen} can be seen between its groups.")
        for t, target in enumerate(found.fmr_targets):
            blind = [g.name for g in grouping.groups if not g.resolvable[t]]
            if blind:
                lines.append(f"FMR target {target:g} is finer than one false match within: {', '.join(blind)}.")
    return lines


def needed_for_double(group: GroupPlan) -> tuple[float, ...]:
    """Return the errors a group needs to show a ratio of 2, at each FMR target."""
    return tuple(errors_needed(2.0, effect) for effect in group.design_effects)
