"""Whether a model finds alike whom people find alike: rank correlation of its scores with human judgements."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facebench.data.table import number_column, read_table
from facebench.errors import InputError
from facebench.files import read_bytes
from facebench.measure.sample import Images
from facebench.metrics.alignment import judge_agreement, rank_alignment
from facebench.schema import Estimate, Flag, ProtocolSpec, Unmeasured
from facebench.scoring import compare_pairs, failed_rows
from facebench.sections.contract import RunContext, Saved, SectionResult, Tensors

CONDITION = "judgements"
COLUMNS = ("image_a", "image_b", "similarity")


@dataclass(frozen=True, eq=False)
class Judgements:
    """What people said.

    Attributes:
        first, second: (J,) images, as rows of the embeddings.
        judge: (J,) number of who judged.
        similarity: (J,) higher is more alike.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    judge: NDArray[np.int64]
    similarity: NDArray[np.float64]

    def tensors(self) -> Tensors:
        """Return what `remeasure` needs."""
        return {
            "first": self.first, "second": self.second, "judge": self.judge, "similarity": self.similarity,
        }  # fmt: skip


def run(context: RunContext) -> SectionResult:
    """Correlate the model's scores with the judgements of the file the protocol names.

    Raises:
        InputError: the file is missing or wrong; the message names file and line.
    """
    asked = context.spec.judgements
    assert asked is not None
    root = context.dataset.root
    path = (root if root.is_dir() else root.parent) / asked.path
    found = read_judgements(path, context.images, partial=context.options.limit is not None)
    vectors, comparator = context.embedded.vectors, context.model.card.comparator.value
    return _measured(context.spec, context.images, vectors, comparator, found)


def remeasure(saved: Saved) -> SectionResult:
    """Compute the correlation again from the embeddings and the stored judgements."""
    found = Judgements(**{name: saved.tensors[name] for name in ("first", "second", "judge", "similarity")})
    return _measured(saved.spec, saved.images, saved.vectors, saved.result.model.comparator.value, found)


def read_judgements(path: Path, images: Images, *, partial: bool = False) -> Judgements:
    """Read a CSV with the columns image_a, image_b, similarity and, if several people judged, judge.

    Args:
        path: of the file.
        images: that were compared.
        partial: leave out judgements of images that are not among them.

    Raises:
        InputError: no such file, a column is missing, an unknown image, a cell that is no number, an image compared
            with itself, or the same judgement twice.
    """
    table = read_table(read_bytes(path, "human judgements"), path.name, parquet=False)
    unknown = sorted(set(table.columns) - {*COLUMNS, "judge"})
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing or unknown:
        wrong = f"lacks the column {missing[0]}" if missing else f"has the unknown column {unknown[0]}"
        raise InputError(f"{path} {wrong}; it needs image_a, image_b, similarity and may have judge")
    numbers = number_column(table, "similarity")
    if numbers is None or None in numbers:
        raise InputError(f"{path}: similarity must be a number in every row, higher for more alike")
    row_of = {image: row for row, image in enumerate(images.image_ids)}
    ends = [[row_of.get(cell, -1) for cell in table.columns[name]] for name in COLUMNS[:2]]
    first, second = (np.array(column, np.int64) for column in ends)
    strange = np.flatnonzero((first < 0) | (second < 0))
    if strange.size and not partial:
        row = int(strange[0])
        image = table.columns["image_a" if first[row] < 0 else "image_b"][row]
        raise InputError(f"{table.place(row)}: image {image!r} is not in the dataset")
    own = np.flatnonzero((first == second) & (first >= 0))
    if own.size:
        raise InputError(f"{table.place(int(own[0]))}: an image is compared with itself; remove the row")
    _, judge = np.unique(table.columns.get("judge", [""] * len(table)), return_inverse=True)
    key = np.stack([np.minimum(first, second), np.maximum(first, second), judge], axis=1)
    known = (first >= 0) & (second >= 0)
    _, at, times = np.unique(key[known], axis=0, return_index=True, return_counts=True)
    if (times > 1).any():
        row = int(np.flatnonzero(known)[at[times > 1][0]])
        raise InputError(f"{table.place(row)}: this pair is judged more than once by the same judge; keep one row")
    similarity = np.array(numbers, np.float64)
    return Judgements(first[known], second[known], judge.astype(np.int64)[known], similarity[known])


def _measured(
    spec: ProtocolSpec, images: Images, vectors: NDArray[np.float32], comparator: str, found: Judgements
) -> SectionResult:
    usable = ~failed_rows(vectors)
    kept = usable[found.first] & usable[found.second]
    ends = np.sort(np.stack([found.first, found.second], axis=1)[kept], axis=1)
    pairs, place = np.unique(ends, axis=0, return_inverse=True)
    place = place.ravel()
    judged = np.bincount(place, found.similarity[kept]) / np.bincount(place)
    first, second = pairs[:, 0], pairs[:, 1]
    scores = compare_pairs(vectors, first, second, comparator).astype(np.float64)
    left, right = images.identity[first], images.identity[second]
    confidence = spec.uncertainty.confidence
    estimates: list[Estimate] = []
    unmeasured: list[Unmeasured] = []
    if not kept.all():
        why = "an image gave no embedding"
        unmeasured.append(Unmeasured(what=f"{int((~kept).sum()):,} of {kept.size:,} human judgements", why=why))
    everyone = np.ones(len(pairs), bool)
    subsets = [("all", everyone)] + ([("strangers", left != right)] if images.identities is not None else [])
    for name, chosen in subsets:
        aligned = rank_alignment(scores[chosen], judged[chosen], left[chosen], right[chosen], confidence=confidence)
        if aligned.value is None:
            why = "fewer than two comparisons were judged, or all got the same score or judgement"
            unmeasured.append(Unmeasured(what=f"alignment with human judgements, {name}", why=why))
            continue
        genuine = int((left == right)[chosen].sum()) if images.identities is not None else None
        estimates.append(
            Estimate(
                metric="judgement_alignment", value=aligned.value, condition=f"{CONDITION}:{name}",
                ci_low=aligned.ci_low, ci_high=aligned.ci_high,
                ci_method=None if aligned.ci_low is None else "jackknife-identities",
                n_genuine=genuine, n_impostor=int(chosen.sum()) - (genuine or 0),
                n_identities=int(np.unique(np.concatenate([left[chosen], right[chosen]])).size),
                flags=() if aligned.ci_low is not None else (Flag.NO_INTERVAL,),
            )
        )  # fmt: skip
    agreement = judge_agreement(found.judge[kept], place, found.similarity[kept])
    if agreement is not None:
        estimates.append(
            Estimate(
                metric="judge_agreement", value=agreement, condition=f"{CONDITION}:all",
                n_images=int(np.unique(pairs).size), flags=(Flag.NO_INTERVAL,),
            )
        )  # fmt: skip
    return SectionResult(estimates=tuple(estimates), unmeasured=tuple(unmeasured), tensors=found.tensors())
