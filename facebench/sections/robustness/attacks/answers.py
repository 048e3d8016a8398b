"""White-box attacks on answers: a sample of the judged images is changed so that the answer becomes wrong.

The contract is that of comparisons: success is judged on 8-bit images, saved and read again, through the adapter; an
image that was wrong before is left as it is and counts as wrong; what hints at hidden gradients is looked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.execution import environment
from facebench.execution.embedding import store_root
from facebench.files import cache_dir
from facebench.measure.sample import Images
from facebench.metrics.streams import Stream, generator
from facebench.schema import Comparator, Estimate, Flag, ModelCard, ProtocolSpec, Unmeasured
from facebench.schema.attack_report import AnswerAttackReport, Picture, Spent
from facebench.schema.attacks import AttackCell, AttackSpec
from facebench.sections.contract import RunContext, Saved, SectionResult
from facebench.sections.robustness.answers import answers_under
from facebench.sections.robustness.attacks.aims import Aims, aims_of
from facebench.sections.robustness.attacks.faces import FaceReader, draw_picture
from facebench.sections.robustness.attacks.masking import Facts, judge
from facebench.sections.robustness.attacks.measure import Measured, cell_report
from facebench.sections.robustness.attacks.needs import attack_needs
from facebench.sections.robustness.attacks.signs import signs_of
from facebench.sections.robustness.attacks.store import Batch, BatchStore, Sums

Vectors = NDArray[np.float32]
UNIVERSAL_BATCH = 50


def attack_answers(context: RunContext, asked: AttackSpec) -> SectionResult:
    """Attack a sample of the answers and measure what the leading figures become."""
    gaps = attack_needs(context.model, context.spec)
    cells = [cell for cell in asked.cells if cell.condition(None) not in {gap.what for gap in gaps}]
    if not cells:
        return SectionResult(unmeasured=gaps)
    return _Run(context, asked, cells).all(gaps)


def remeasure_answers(saved: Saved) -> SectionResult | None:
    """Compute the estimates of attacks again from the files beside the result; the checks are copied."""
    stored = saved.result.robustness
    if stored is None or stored.answer_attacks is None:
        return None
    report = stored.answer_attacks
    sample = saved.tensors["attacks.sample"]
    cells = [(cell.cell, cell.unreliable) for cell in report.cells]
    tensors = {"attacks.sample": sample} | {
        name: saved.tensors[name] for name in (condition for cell, _ in cells for condition in _conditions(cell))
    }
    rows = _estimates(
        saved.spec, saved.result.model, saved.images, saved.vectors, tensors, cells, saved.result.run.seed
    )
    gaps = tuple(gap for gap in saved.result.unmeasured if gap.what.startswith("attack:"))
    return SectionResult(estimates=rows, details=report, tensors=tensors, unmeasured=gaps)


@dataclass(eq=False)
class _Opened:
    rows: NDArray[np.int64]
    success: NDArray[np.bool_]


class _Run:
    def __init__(self, context: RunContext, asked: AttackSpec, cells: list[AttackCell]) -> None:
        self.context, self.asked, self.cells = context, asked, cells
        card = context.model.card
        self.aims: Aims = aims_of(context.spec, card, context.images, context.embedded.vectors)
        self.faces = FaceReader(context)
        described = card.model_dump(mode="json", exclude={"licence", "training_data"})
        runtime = {"packages": environment.packages(), "device": context.options.device}
        root = store_root(card, cache_dir(), context.options.out)
        self.store = BatchStore(root, {"model": described, "runtime": runtime, "task": _task_of(context.spec)})
        self.network = context.model.module()
        rng = generator(Stream.ATTACKED_ANSWERS, context.options.seed)
        self.drawn: NDArray[np.int64] = rng.permutation(self.aims.rows.size)[: asked.max_pairs]
        self.sample: NDArray[np.int64] = np.sort(self.drawn)

    def all(self, gaps: tuple[Unmeasured, ...]) -> SectionResult:
        context = self.context
        if not self.aims.right[self.sample].any():
            why = "every answer drawn was wrong before the attack"
            more = tuple(Unmeasured(what=cell.condition(None), why=why) for cell in self.cells)
            return SectionResult(unmeasured=(*gaps, *more))
        measured = [self._cell(cell) for cell in self.cells]
        opened = [self._opened(one) for one in measured]
        facts = [Facts(one.cell, found, one.signs, one.arrays) for one, found in zip(measured, opened, strict=True)]
        confidence = context.spec.uncertainty.confidence
        reports = [
            cell_report(one, found.success, self.sample.size, checks, confidence)
            for one, found, checks in zip(measured, opened, judge(facts), strict=True)
        ]
        tensors: dict[str, NDArray[Any]] = {"attacks.sample": self.aims.rows[self.sample]}
        for one in measured:
            for level, condition in enumerate(_conditions(one.cell)):
                after = context.embedded.vectors[tensors["attacks.sample"]].copy()
                after[np.searchsorted(self.sample, one.rows)] = one.arrays["vectors"][level]
                tensors[condition] = after
        cells = [(report.cell, report.unreliable) for report in reports]
        rows = _estimates(
            context.spec, context.model.card, context.images, context.embedded.vectors, tensors, cells,
            context.options.seed,
        )  # fmt: skip
        report = AnswerAttackReport(
            margin=self.aims.words, n_images=self.sample.size,
            n_clean_errors=int((~self.aims.right[self.sample]).sum()), cells=tuple(reports),
        )  # fmt: skip
        return SectionResult(estimates=rows, details=report, tensors=tensors, unmeasured=gaps)

    def _cell(self, cell: AttackCell) -> Measured:
        limit = min(cell.max_pairs or self.asked.max_pairs, self.asked.max_pairs)
        among = np.sort(self.drawn[:limit])
        rows = among[self.aims.right[among]]
        sums = Sums(rows)
        size = UNIVERSAL_BATCH if cell.known.universal else self.asked.batch
        for start in range(0, rows.size, size):
            sums.add(self._batch(cell, rows[start : start + size]))
            self.context.options.progress("attack", min(start + size, rows.size), rows.size)
        few = rows[: self.asked.check_pairs]
        signs, checks = signs_of(
            cell, self._rows(cell, few), self._target(few), sums.counts, self.context.options.device
        )
        counts = sums.counts
        spent = Spent(
            forwards=int(counts["forwards"]), backwards=int(counts["backwards"]), queries=0, checks=checks,
            seed=self.context.options.seed, seconds=round(counts["seconds"], 3),
        )  # fmt: skip
        return Measured(cell, limit, rows, sums.joined(), signs, spent, self._picture(sums))

    def _opened(self, one: Measured) -> _Opened:
        """Judge the 8-bit images by what the adapter said of them."""
        margins = [self.aims.margins(level, one.rows) for level in one.arrays["vectors"]]
        return _Opened(one.rows, np.stack(margins) < 0)

    def _batch(self, cell: AttackCell, part: NDArray[np.int64]) -> Batch:
        from facebench.probes.attacks.batch import run_gradient

        context, images = self.context, self.aims.rows[part]
        content = {
            "cell": cell.model_dump(mode="json", exclude={"max_pairs"}), "seed": context.options.seed,
            "batch": context.options.batch_size,
            "rows": [
                [str(context.embedded.sha256s[i]), context.images.image_ids[i], *map(float, self.aims.truth[row])]
                for i, row in zip(images, part, strict=True)
            ],
        }  # fmt: skip
        stored = self.store.get(content)
        if stored is not None:
            return stored
        outcome = run_gradient(cell, self._rows(cell, part), self._target(part), device=context.options.device)
        levels, n = outcome.pixels.shape[:2]
        vectors = context.embed(outcome.pixels.reshape(levels * n, *outcome.pixels.shape[2:]))
        shown = int(outcome.crossed[-1].argmax())
        batch = Batch(
            {
                "vectors": vectors.reshape(levels, n, -1), "crossed": outcome.crossed, "first": outcome.first,
                "distance": outcome.distance.astype(np.float32), "trace": outcome.trace, "trace_at": outcome.trace_at,
                "example": outcome.pixels[-1, shown][None], "example_row": part[shown : shown + 1],
            },
            {**vars(outcome.ledger), "seconds": round(outcome.seconds, 3)},
        )  # fmt: skip
        self.store.put(content, batch)
        return batch

    def _rows(self, cell: AttackCell, part: NDArray[np.int64]) -> Any:
        from facebench.probes.attacks.batch import Rows
        from facebench.probes.attacks.noise import row_seed

        images = self.aims.rows[part]
        faces, ids = self.faces.read(images), self.context.images.image_ids
        seeds = tuple(row_seed(self.context.options.seed, cell.label, ids[i], "") for i in images)
        return Rows(faces, faces, faces, True, seeds, np.full((part.size, 5, 2), np.nan))

    def _target(self, part: NDArray[np.int64]) -> Any:
        from facebench.probes.attacks.batch import Target

        return Target(self.network, self.aims.truth[part], 0.0, Comparator.COSINE, self.aims.rule)

    def _picture(self, sums: Sums) -> Picture | None:
        if not self.context.dataset.phantom or "example" not in sums.arrays:
            return None
        row = int(sums.arrays["example_row"][0][0])
        return draw_picture(self.faces.read(self.aims.rows[row : row + 1])[0], sums.arrays["example"][0][0])


def _task_of(spec: ProtocolSpec) -> Any:
    assert spec.task is not None
    return spec.task.model_dump(mode="json")


def _conditions(cell: AttackCell) -> list[str]:
    return [cell.condition(eps) for eps in cell.eps or (None,)]


def _estimates(
    spec: ProtocolSpec, card: ModelCard, images: Images, vectors: Vectors, tensors: Mapping[str, NDArray[Any]],
    cells: list[tuple[AttackCell, bool]], seed: int,
) -> tuple[Estimate, ...]:  # fmt: skip
    """Return the leading figures of the sample under every attack, beside the same sample as it was.

    Images that are not judged stay, as some of them set a threshold.
    """
    from facebench.measure.answers.truth import judged

    assert spec.task is not None
    counted = judged(spec.task, card, vectors, images.attributes, f"protocol {spec.name}").rows
    sample = tensors["attacks.sample"]
    kept = np.setdiff1d(np.arange(len(vectors)), np.setdiff1d(counted, sample))
    some, clean = images.some(kept), vectors[kept]
    places = np.searchsorted(kept, sample)
    probes = {}
    for cell, _ in cells:
        for condition in _conditions(cell):
            probes[condition] = clean.copy()
            probes[condition][places] = tensors[condition]
    misled = {condition for cell, unreliable in cells if unreliable for condition in _conditions(cell)}
    found = answers_under(spec, card, some, clean, probes, seed)
    return tuple(
        e.model_copy(update={"flags": (*e.flags, Flag.UNRELIABLE)}) if e.condition in misled else e for e in found
    )
