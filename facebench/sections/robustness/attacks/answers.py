"""White-box attacks on answers: a sample of the judged images is changed so that the answer becomes wrong.

The contract is that of comparisons: success is judged on 8-bit images, saved and read again, through the adapter; an
image that was wrong before is left as it is and counts as wrong; what hints at hidden gradients is looked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.errors import InputError
from facebench.measure.sample import Images
from facebench.metrics.streams import Stream, generator
from facebench.schema import Comparator, Estimate, Flag, ModelCard, ProtocolSpec, Unmeasured
from facebench.schema.attack_report import AnswerAttackReport, CellReport, Picture, Spent
from facebench.schema.attacks import AttackCell, AttackSpec
from facebench.sections.contract import RunContext, Saved, SectionResult
from facebench.sections.robustness.answers import answers_under
from facebench.sections.robustness.attacks.aims import Aims, aims_of
from facebench.sections.robustness.attacks.faces import draw_picture
from facebench.sections.robustness.attacks.masking import Facts, judge
from facebench.sections.robustness.attacks.measure import Measured, cell_report
from facebench.sections.robustness.attacks.needs import attack_needs
from facebench.sections.robustness.attacks.signs import signs_of
from facebench.sections.robustness.attacks.store import Batch, Sums, batch_size, open_store

Vectors = NDArray[np.float32]


def attack_answers(context: RunContext, asked: AttackSpec) -> SectionResult:
    """Attack a sample of the answers and measure what the leading figures become."""
    gaps = attack_needs(context.model, context.spec)
    cells = [cell for cell in asked.cells if cell.condition(None) not in {gap.what for gap in gaps}]
    if not cells:
        return SectionResult(unmeasured=gaps)
    return _Run(context, asked, cells).all(gaps)


def remeasure_answers(saved: Saved, gaps: tuple[Unmeasured, ...]) -> SectionResult | None:
    """Compute the estimates of attacks again from the files beside the result; the checks and gaps are copied."""
    stored = saved.result.robustness
    if stored is None or stored.answer_attacks is None:
        return SectionResult(unmeasured=gaps) if gaps else None
    report = stored.answer_attacks
    names = [name for number, one in enumerate(report.cells) for name in _names(number, one.cell)]
    missing = [name for name in names if name not in saved.tensors]
    if missing:
        raise InputError(f"robustness.safetensors lacks {missing[0]}; run the protocol again")
    tensors = {name: saved.tensors[name] for name in names}
    rows = _estimates(
        saved.spec, saved.result.model, saved.images, saved.vectors, tensors, report.cells, saved.result.run.seed
    )
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
        self.store = open_store(context, task=_task_of(context.spec))
        self.network = context.model.module()
        rng = generator(Stream.ATTACKED_ANSWERS, context.options.seed)
        self.drawn: NDArray[np.int64] = rng.permutation(self.aims.rows.size)[: asked.max_pairs]
        self.sample: NDArray[np.int64] = np.sort(self.drawn)

    def all(self, gaps: tuple[Unmeasured, ...]) -> SectionResult:
        context = self.context
        measured = []
        for cell in self.cells:
            if self.aims.right[self._among(cell)].any():
                measured.append(self._cell(cell))
            else:
                why = "every answer drawn was wrong before the attack"
                gaps = (*gaps, Unmeasured(what=cell.condition(None), why=why))
        if not measured:
            return SectionResult(unmeasured=gaps)
        opened = [self._opened(one) for one in measured]
        facts = [Facts(one.cell, found, one.signs, one.arrays) for one, found in zip(measured, opened, strict=True)]
        confidence = context.spec.uncertainty.confidence
        reports = [
            cell_report(one, found.success, self._among(one.cell).size, checks, confidence)
            for one, found, checks in zip(measured, opened, judge(facts), strict=True)
        ]
        tensors = {name: value for number, one in enumerate(measured) for name, value in self._tensors(number, one)}
        rows = _estimates(
            context.spec, context.model.card, context.images, context.embedded.vectors, tensors, reports,
            context.options.seed,
        )  # fmt: skip
        report = AnswerAttackReport(
            margin=self.aims.words, n_images=self.sample.size,
            n_clean_errors=int((~self.aims.right[self.sample]).sum()), cells=tuple(reports),
        )  # fmt: skip
        return SectionResult(estimates=rows, details=report, tensors=tensors, unmeasured=gaps)

    def _among(self, cell: AttackCell) -> NDArray[np.int64]:
        """Return the answers a cell is judged on: the first drawn, as many as it may attack."""
        return np.sort(self.drawn[: cell.max_pairs])

    def _tensors(self, number: int, one: Measured) -> list[tuple[str, NDArray[Any]]]:
        """Return what lies beside the result of a cell: its images, and all their answers under each budget."""
        among = self._among(one.cell)
        images = self.aims.rows[among]
        name, *conditions = _names(number, one.cell)
        found: list[tuple[str, NDArray[Any]]] = [(name, images)]
        for level, condition in enumerate(conditions):
            after = self.context.embedded.vectors[images].copy()
            after[np.searchsorted(among, one.rows)] = one.arrays["vectors"][level]
            found.append((condition, after))
        return found

    def _cell(self, cell: AttackCell) -> Measured:
        among = self._among(cell)
        rows = among[self.aims.right[among]]
        sums = Sums(rows)
        size = batch_size(cell, self.asked)
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
        return Measured(cell, among.size, rows, sums.joined(), signs, spent, self._picture(sums))

    def _opened(self, one: Measured) -> _Opened:
        """Judge the 8-bit images by what the adapter said of them."""
        margins = [self.aims.margins(level, one.rows) for level in one.arrays["vectors"]]
        return _Opened(one.rows, np.stack(margins) < 0)

    def _batch(self, cell: AttackCell, part: NDArray[np.int64]) -> Batch:
        from facebench.probes.attacks.batch import run_gradient

        context, images = self.context, self.aims.rows[part]
        content = {
            "cell": cell.model_dump(mode="json", exclude={"max_pairs"}), "seed": context.options.seed,
            "batch": context.options.batch_size, "aims": self.aims.key,
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
        faces, ids = self.context.faces(images), self.context.images.image_ids
        seeds = tuple(row_seed(self.context.options.seed, cell.label, ids[i], "") for i in images)
        return Rows(faces, faces, faces, True, seeds, np.full((part.size, 5, 2), np.nan))

    def _target(self, part: NDArray[np.int64]) -> Any:
        from facebench.probes.attacks.batch import Target

        return Target(self.network, self.aims.truth[part], 0.0, Comparator.COSINE, self.aims.rule)

    def _picture(self, sums: Sums) -> Picture | None:
        if not self.context.dataset.phantom or "example" not in sums.arrays:
            return None
        row = int(sums.arrays["example_row"][0][0])
        return draw_picture(self.context.faces(self.aims.rows[row : row + 1])[0], sums.arrays["example"][0][0])


def _task_of(spec: ProtocolSpec) -> Any:
    assert spec.task is not None
    return spec.task.model_dump(mode="json")


def _names(number: int, cell: AttackCell) -> list[str]:
    """Return the names of what lies beside the result of a cell: its sample, then each condition."""
    return [f"attacks.{number}.sample", *_conditions(cell)]


def _conditions(cell: AttackCell) -> list[str]:
    return [cell.condition(eps) for eps in cell.eps or (None,)]


def _estimates(
    spec: ProtocolSpec, card: ModelCard, images: Images, vectors: Vectors, tensors: Mapping[str, NDArray[Any]],
    cells: Sequence[CellReport], seed: int,
) -> tuple[Estimate, ...]:  # fmt: skip
    """Return the leading figures of each cell's own sample under attack, beside the same sample as it was.

    Images that are not judged stay, as some of them set a threshold.
    """
    from facebench.measure.answers.truth import judged

    assert spec.task is not None
    counted = judged(spec.task, card, vectors, images.attributes, f"protocol {spec.name}").rows
    found: list[Estimate] = []
    for number, one in enumerate(cells):
        name, *conditions = _names(number, one.cell)
        kept = np.setdiff1d(np.arange(len(vectors)), np.setdiff1d(counted, tensors[name]))
        clean = vectors[kept]
        probes = {}
        for condition in conditions:
            probes[condition] = clean.copy()
            probes[condition][np.searchsorted(kept, tensors[name])] = tensors[condition]
        rows, _ = answers_under(spec, card, images.some(kept), clean, probes, seed)  # attacks turn nothing: no gaps
        flags = (Flag.UNRELIABLE,) if one.unreliable else ()
        found += [row.model_copy(update={"flags": (*row.flags, *flags)}) for row in rows]
    return tuple(found)
