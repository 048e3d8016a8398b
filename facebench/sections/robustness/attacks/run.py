"""Runs the grid of attacks of a protocol with the model at hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.errors import InputError
from facebench.metrics.streams import Stream, generator
from facebench.models import load_model
from facebench.models.calling import call_model
from facebench.models.gradients import why_no_gradients
from facebench.phantoms.labels import ARCFACE_112
from facebench.schema import Alignment, Comparator, Unmeasured
from facebench.schema.attack_report import Picture, Signs, Spent
from facebench.schema.attacks import AttackCell, AttackSpec, Goal, Knowledge, Norm
from facebench.scoring import compare_pairs
from facebench.sections.contract import RunContext, SectionResult
from facebench.sections.robustness.attacks.cost import passes
from facebench.sections.robustness.attacks.examples import save_examples
from facebench.sections.robustness.attacks.faces import draw_picture
from facebench.sections.robustness.attacks.measure import Measured, measure_attacks
from facebench.sections.robustness.attacks.needs import attack_needs
from facebench.sections.robustness.attacks.sample import Victims, draw_victims, other_faces
from facebench.sections.robustness.attacks.signs import signs_of
from facebench.sections.robustness.attacks.store import Batch, Sums, batch_size, open_store

TWINS = 0.9999  # cosine of embeddings above which a surrogate is the victim itself


def attack_pairs(context: RunContext, spec: AttackSpec) -> SectionResult:
    """Attack a sample of the comparisons and judge what came out at the clean threshold.

    Raises:
        InputError: no cell can be run on this model, and nothing else was asked; a surrogate is the victim; there is
            nothing to attack.
    """
    return _Run(context, spec).all()


class _Run:
    def __init__(self, context: RunContext, spec: AttackSpec) -> None:
        self.context, self.spec = context, spec
        self.card = context.model.card
        self.clean = context.clean.at(spec.operating_point or spec.fmr_target or context.spec.primary)
        assert self.clean.threshold is not None  # every operating point has one
        self.threshold = self.clean.threshold
        self.comparator = self.card.comparator.value
        self.store = open_store(context)
        self.surrogates: dict[str, Any] = {}
        self.network: Any = None
        self.prototypes: Any = None
        self.done = 0.0

    def all(self) -> SectionResult:
        runnable, unmeasured = self._sift()
        if not runnable:
            return SectionResult(unmeasured=tuple(unmeasured))
        victims = {goal: self._victims(goal) for goal in dict.fromkeys(cell.goal for cell in runnable)}
        self.total = sum(passes(cell, len(victims[cell.goal].attacked(self._limit(cell)))) for cell in runnable)
        every, measured = list(victims.values()), []
        self._progress(0.0)
        for cell in runnable:
            found, gaps = self._cell(cell, victims[cell.goal])
            unmeasured += gaps
            if found is not None:
                measured.append(found)
        self._progress(0.0, finished=True)
        part = measure_attacks(
            self.context.spec, self.context.images, self.context.embedded.vectors, self.comparator,
            self.threshold, self.clean.point, every, measured,
        )  # fmt: skip
        if self.spec.save_examples:
            save_examples(self.context, self.spec.save_examples, every, measured)
        return SectionResult(
            estimates=part.estimates, unmeasured=(*unmeasured, *part.unmeasured), details=part.details,
            tensors=part.tensors,
        )  # fmt: skip

    # ---- which cells, which pairs

    def _sift(self) -> tuple[list[AttackCell], list[Unmeasured]]:
        """Return the cells that this model can be asked, and why not the others."""
        gaps = attack_needs(self.context.model, self.context.spec)
        left_out = {gap.what for gap in gaps}
        runnable = [cell for cell in self.spec.cells if cell.condition(None) not in left_out]
        for cell in runnable:
            if cell.surrogate is not None:
                self._surrogate(cell.surrogate)
        return runnable, list(gaps)

    def _victims(self, goal: Goal) -> Victims:
        context = self.context
        return draw_victims(
            goal, context.images, context.pairs, context.embedded.vectors, comparator=self.comparator,
            threshold=self.threshold, max_pairs=self.spec.max_pairs, seed=context.options.seed,
        )  # fmt: skip

    def _limit(self, cell: AttackCell) -> int:
        return min(cell.max_pairs or self.spec.max_pairs, self.spec.max_pairs)

    def _surrogate(self, reference: str) -> Any:
        """Load a surrogate once, and refuse the victim under another name."""
        if reference in self.surrogates:
            return self.surrogates[reference]
        options = self.context.options
        model = load_model(reference, device=options.device, trust_code=options.trust_code)
        no_gradients = why_no_gradients(model)
        if no_gradients:
            raise InputError(f"surrogate {reference}: transfer attacks need its gradients: {no_gradients}")
        same = model.card.weights_sha256 is not None and model.card.weights_sha256 == self.card.weights_sha256
        if not same and model.card.embedding_dim == self.card.embedding_dim:
            usable = np.flatnonzero(np.isfinite(self.context.embedded.vectors).all(1))[:4]
            a = self.context.embedded.vectors[usable].astype(np.float64)
            b = call_model(model, self.context.faces(usable)).astype(np.float64)
            cosine = (a * b).sum(1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))
            same = bool((cosine > TWINS).all())
        if same:
            raise InputError(
                f"surrogate {reference} is the victim itself: that is a white-box attack; name another model, "
                "trained on its own"
            )
        self.surrogates[reference] = model
        return model

    # ---- one cell

    def _cell(self, cell: AttackCell, victims: Victims) -> tuple[Measured | None, list[Unmeasured]]:
        rows = victims.attacked(self._limit(cell))
        gaps: list[Unmeasured] = []
        landmarks = self._landmarks(victims.probe)
        others = np.full(victims.probe.size, -1, np.int64)
        what = cell.condition(None)
        if cell.norm is Norm.PATTERN:
            known = np.asarray(np.isfinite(landmarks[rows]).all((1, 2)))
            rows = self._kept(rows, known, what, "the probe has no landmarks to place the pattern by", gaps)
        if cell.attack in ("hopskipjump", "boundary") and cell.goal is Goal.DODGING:
            context = self.context
            others = other_faces(
                victims, context.images, context.embedded.vectors, comparator=self.comparator,
                threshold=self.threshold, seed=context.options.seed,
            )  # fmt: skip
            rows = self._kept(rows, others[rows] >= 0, what, "no face to start from is rejected", gaps)
        if not rows.size:
            if not gaps:
                gaps.append(Unmeasured(what=what, why="every comparison drawn was wrong before the attack"))
            return None, gaps
        sums = Sums(rows)
        size = batch_size(cell, self.spec)
        for start in range(0, rows.size, size):
            part = rows[start : start + size]
            sums.add(self._batch(cell, victims, part, landmarks, others))
            self._progress(passes(cell, part.size))
        return self._measured(cell, victims, sums, landmarks, others), gaps

    def _kept(
        self, rows: NDArray[np.int64], keep: NDArray[np.bool_], what: str, why: str, gaps: list[Unmeasured]
    ) -> NDArray[np.int64]:
        if not keep.all():
            gaps.append(Unmeasured(what=what, why=f"{int((~keep).sum())} of {keep.size} pairs left out: {why}"))
        return rows[keep]

    def _rows(self, cell: AttackCell, victims: Victims, part: NDArray[np.int64], landmarks: Any, others: Any) -> Any:
        from facebench.probes.attacks.batch import Rows
        from facebench.probes.attacks.noise import row_seed

        ids, seed = self.context.images.image_ids, self.context.options.seed
        pairs = list(zip(victims.probe[part], victims.enrolled[part], strict=True))
        enrolled = self.context.faces(victims.enrolled[part])
        return Rows(
            faces=self.context.faces(victims.probe[part]), enrolled=enrolled,
            others=enrolled if (others[part] < 0).any() else self.context.faces(others[part]),
            genuine=cell.goal is Goal.DODGING,
            seeds=tuple(row_seed(seed, cell.label, ids[p], ids[e]) for p, e in pairs), landmarks=landmarks[part],
        )  # fmt: skip

    def _batch(self, cell: AttackCell, victims: Victims, part: NDArray[np.int64], landmarks: Any, others: Any) -> Batch:
        """Return an attacked batch, from the store if it is there."""
        ids = self.context.embedded.sha256s
        content = {
            "cell": cell.model_dump(mode="json", exclude={"max_pairs"}), "threshold": self.threshold,
            "seed": self.context.options.seed, "batch": self.context.options.batch_size,
            "surrogate": self._surrogate_card(cell),
            "known": [str(ids[i]) for i in self._known_images()] if cell.attack == "prototype" else None,
            "keep": self.spec.save_examples > 0,
            "rows": [
                [str(ids[i]) for i in (victims.probe[row], victims.enrolled[row], others[row])]
                + [self.context.images.image_ids[i] for i in (victims.probe[row], victims.enrolled[row])]
                + np.round(np.nan_to_num(landmarks[row]), 3).ravel().tolist()
                for row in part
            ],
        }  # fmt: skip
        stored = self.store.get(content)
        if stored is not None:
            return stored
        rows = self._rows(cell, victims, part, landmarks, others)
        outcome = self._attack(cell, rows, victims, part)
        levels, n = outcome.pixels.shape[:2]
        vectors = self.context.embed(outcome.pixels.reshape(levels * n, *outcome.pixels.shape[2:]))
        ledger = vars(outcome.ledger)
        shown = int(outcome.crossed[-1].argmax())  # one that crossed, if any did
        batch = Batch(
            {
                "vectors": vectors.reshape(levels, n, -1), "crossed": outcome.crossed, "first": outcome.first,
                "distance": outcome.distance.astype(np.float32), "trace": outcome.trace, "trace_at": outcome.trace_at,
                "example": outcome.pixels[-1, shown][None], "example_row": part[shown : shown + 1],
                **({"pixels": outcome.pixels.swapaxes(0, 1)} if self.spec.save_examples else {}),
            },
            {**ledger, "queries": outcome.queries, "seconds": round(outcome.seconds, 3)},
        )  # fmt: skip
        self.store.put(content, batch)
        return batch

    def _surrogate_card(self, cell: AttackCell) -> Any:
        if cell.surrogate is None:
            return None
        card = self._surrogate(cell.surrogate).card
        return card.model_dump(mode="json", exclude={"licence", "training_data"})

    def _attack(self, cell: AttackCell, rows: Any, victims: Victims, part: NDArray[np.int64]) -> Any:
        from facebench.probes.attacks.batch import run_blind, run_gradient, run_queries

        if cell.knowledge is Knowledge.BLACK_BOX:
            return run_queries(cell, rows, self._oracle(cell, victims, part))
        if cell.knowledge is Knowledge.NO_BOX:
            return run_blind(cell, rows, self._prototypes() if cell.attack == "prototype" else None)
        return run_gradient(cell, rows, self._aim(cell, rows, victims, part), device=self.context.options.device)

    def _known_images(self) -> NDArray[np.int64]:
        """Return the images a no-box attacker has: two each of ten people, drawn with the run's seed."""
        rng = generator(Stream.KNOWN_IMAGES, self.context.options.seed)
        identity = self.context.images.identity
        usable = np.flatnonzero(np.isfinite(self.context.embedded.vectors).all(1))
        people = [np.flatnonzero(identity[usable] == person)[:2] for person in rng.permutation(np.unique(identity))]
        return usable[np.concatenate([rows for rows in people if rows.size][:10])]

    def _prototypes(self) -> Any:
        if self.prototypes is None:
            from facebench.probes.attacks.batch import to_tensor
            from facebench.probes.attacks.nobox import train_prototypes

            known = self._known_images()
            people, seed = self.context.images.identity[known], self.context.options.seed
            self.prototypes = train_prototypes(to_tensor(self.context.faces(known)), people, seed=seed)
        return self.prototypes

    def _aim(self, cell: AttackCell, rows: Any, victims: Victims, part: NDArray[np.int64]) -> Any:
        """Return the network gradients are taken from, with the templates of the rows."""
        from facebench.probes.attacks.batch import Target

        if cell.surrogate is not None:
            model = self._surrogate(cell.surrogate)
            templates = call_model(model, rows.enrolled)
            return Target(model.module(), templates, self.threshold, model.card.comparator)
        if self.network is None:
            self.network = self.context.model.module()
        templates = self.context.embedded.vectors[victims.enrolled[part]]
        return Target(self.network, templates, self.threshold, Comparator(self.comparator))

    def _oracle(self, cell: AttackCell, victims: Victims, part: NDArray[np.int64]) -> Callable[..., Any]:
        """Return what answers queries: the adapter's own `embed` on 8-bit faces, and the clean threshold."""
        templates = self.context.embedded.vectors[victims.enrolled[part]]
        size, dodging = self.context.options.batch_size, cell.goal is Goal.DODGING

        def score(faces: NDArray[np.uint8], rows: NDArray[np.int64]) -> NDArray[np.float64]:
            vectors = np.concatenate(
                [call_model(self.context.model, faces[i : i + size]) for i in range(0, len(faces), size)]
            )
            ends = np.arange(len(faces))
            scores = compare_pairs(np.concatenate([templates[rows], vectors]), ends, ends + len(faces), self.comparator)
            margin = scores.astype(np.float64) - np.float64(np.float32(self.threshold))
            if dodging:
                return np.where(np.isfinite(scores), -margin, -np.inf)  # an unusable answer is no success of the attack
            return np.nextafter(margin, np.inf)  # a score at the threshold is accepted

        return score

    def _landmarks(self, images: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return (P, 5, 2) from the manifest, else of the alignment template, else NaN."""
        known = self.context.dataset.landmarks
        found = np.full((images.size, 5, 2), np.nan) if known is None else known[images].astype(np.float64)
        aligned = self.card.input is not None and self.card.input.alignment is Alignment.ARCFACE_112
        if aligned:
            found[np.isnan(found).any((1, 2))] = ARCFACE_112
        return found

    # ---- what the cell says

    def _measured(self, cell: AttackCell, victims: Victims, sums: Sums, landmarks: Any, others: Any) -> Measured:
        signs, checks = self._signs(cell, victims, sums, landmarks, others)
        counts = sums.counts
        spent = Spent(
            forwards=int(counts["forwards"]), backwards=int(counts["backwards"]), queries=int(counts["queries"]),
            checks=checks, seed=self.context.options.seed, seconds=round(counts["seconds"], 3),
        )  # fmt: skip
        return Measured(cell, self._limit(cell), sums.rows, sums.joined(), signs, spent, self._picture(victims, sums))

    def _signs(self, cell: AttackCell, victims: Victims, sums: Sums, landmarks: Any, others: Any) -> tuple[Signs, int]:
        """Look for hidden gradients on a few pairs; also after a resume, as their verdict is never stored."""
        part = sums.rows[: self.spec.check_pairs]
        if cell.knowledge is not Knowledge.WHITE_BOX:
            return Signs(n_pairs=0), 0
        rows = self._rows(cell, victims, part, landmarks, others)
        return signs_of(cell, rows, self._aim(cell, rows, victims, part), sums.counts, self.context.options.device)

    def _picture(self, victims: Victims, sums: Sums) -> Picture | None:
        """Return one attacked face at the largest budget, for phantom faces only: people are shown on request."""
        if not self.context.dataset.phantom:
            return None
        after, row = sums.arrays["example"][0][0], int(sums.arrays["example_row"][0][0])
        return draw_picture(self.context.faces(victims.probe[row : row + 1])[0], after)

    def _progress(self, passes_done: float, *, finished: bool = False) -> None:
        self.done += passes_done
        total = max(int(self.total), 1)
        self.context.options.progress("attack", total if finished else min(int(self.done), total - 1), total)
