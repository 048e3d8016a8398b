"""All-pairs comparison at any size: exact thresholds and counts without ever holding all scores.

The scores are computed twice, block by block, with the same bits. The first pass finds exact order statistics of the
impostor scores by a radix histogram on their ordered bits, and keeps the genuine scores; the second counts what
each threshold accepts, per group and identity. A sample says beforehand in which digits the order statistics will
lie; should one lie elsewhere, the first pass is run once more, for that digit. The second pass also sums functions of
the score that the first made known, see `facebench.scoring.sums`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facebench.errors import InputError
from facebench.metrics.verification import NEAR_THRESHOLD, just_above
from facebench.scoring.arrange import Arrangement, blocks
from facebench.scoring.digits import LONGEST_LIST, Places, digit_at, digits_of
from facebench.scoring.sums import Functions, PanelSums, SumCollector, Sums

Tensors = dict[str, NDArray[Any]]
Run = Callable[[str, Callable[[Any, Any], Tensors], Any, Sequence[tuple[int, int]]], Iterator[tuple[int, Tensors]]]
"""``run(stage, function, shared, tasks)`` yields the number and result of each task, in any order."""

SAMPLE = 1500
_TAIL_SHARE = 2e-4  # of the comparisons: all scores above this rank are listed
_LISTED = 1 << 24  # scores listed in all, about; digits with more are counted by place


def run_here(
    _stage: str,
    function: Callable[[Any, Any], Tensors],
    shared: Any,
    tasks: Sequence[tuple[int, int]],
) -> Iterator[tuple[int, Tensors]]:
    """Run tasks one after the other."""
    for number, task in enumerate(tasks):
        yield number, function(shared, task)


@dataclass(frozen=True, eq=False)
class Selection:
    """What the first pass found.

    Attributes:
        refused: per rank asked for, the impostor score at that rank in falling order.
        histogram: (65536,) impostor scores per digit, see `facebench.scoring.kernels`.
        genuine: (P,) scores of the genuine comparisons.
        genuine_ends: (P, 2) their images, as numbered in the original order.
        digit: in which FMR and FNMR cross; None without genuine comparisons.
        crossing: impostor scores of that digit, rising, one per distinct value, and their counts.
        passes: how often all scores were computed.
    """

    refused: tuple[float, ...]
    histogram: NDArray[np.int64]
    genuine: NDArray[np.float32]
    genuine_ends: NDArray[np.int32]
    digit: int | None
    crossing: tuple[NDArray[np.float32], NDArray[np.int64]]
    passes: int


@dataclass(frozen=True, eq=False)
class Counts:
    """What the second pass found, per threshold (T), in the order in which thresholds were given.

    Attributes:
        per_segment: (Sg, H, T) accepted impostor comparisons of each segment with partners in each group.
        squares: (C, T) sum over pairs of identities of k², k their accepted comparisons within a cell.
        products: (C, T) the same of k m, m all their comparisons within the cell.
        near: (T,) impostor comparisons within 2e-6 of the threshold.
        sums: of functions of the score, if any were asked for.
    """

    per_segment: NDArray[np.int32]
    squares: NDArray[np.int64]
    products: NDArray[np.int64]
    near: NDArray[np.int64]
    sums: Sums | None


@dataclass(frozen=True, eq=False)
class Cells:
    """How cells are numbered.

    Attributes:
        n_groups: of each grouping.
        sizes: (I, H) images of each identity in each group, groupings side by side, in the engine's order of
            identities; images that were not compared included, if their comparisons count.
    """

    n_groups: tuple[int, ...]
    sizes: NDArray[np.int32]

    @property
    def offsets(self) -> NDArray[np.int64]:
        """(G,) column at which the groups of each grouping begin."""
        return np.concatenate([[0], np.cumsum(self.n_groups)[:-1]]).astype(np.int64)

    @property
    def ends(self) -> list[tuple[int, int, int]]:
        """Grouping and both groups of every cell, in the order in which cells are numbered."""
        return [(s, g, h) for s, n in enumerate(self.n_groups) for g in range(n) for h in range(g, n)]

    def table(self) -> NDArray[np.int32]:
        """(G, M, M) number of the cell of two groups."""
        widest = max(self.n_groups)
        table = np.full((len(self.n_groups), widest, widest), -1, np.int32)
        for number, (s, g, h) in enumerate(self.ends):
            table[s, g, h] = table[s, h, g] = number
        return table


# ---- first pass


def select(
    arrangement: Arrangement,
    ranks: Sequence[int],
    n_lowest: tuple[int, int] = (0, 0),
    *,
    run: Run = run_here,
    crossing: bool = True,
) -> Selection:
    """Find impostor scores by rank, exactly.

    Args:
        arrangement: the images.
        ranks: 0 is the highest impostor score.
        n_lowest: impostor and genuine comparisons that are not computed and rank below all others, at ``-inf``.
        run: runs the tasks.
        crossing: also find the digit in which FMR and FNMR cross.

    Raises:
        InputError: a score is infinite: embeddings are too large.
    """
    from facebench.scoring.kernels import DIGITS

    tasks = arrangement.tasks()
    slots = _guess(arrangement, ranks, crossing)
    passes = 0
    genuine: list[Tensors] = [{} for _ in tasks]
    places = Places()
    while True:
        passes += 1
        coarse = np.zeros(DIGITS, np.int64)
        for number, found in run(f"select {passes}", tally_panels, (arrangement, slots, passes == 1), tasks):
            coarse[found["digit"]] += found["count"]
            places.add(found)
            if passes == 1:
                genuine[number] = {key: found[key] for key in ("genuine", "ends")}
        _refuse_infinite(coarse)
        if passes == 1:
            scores = np.concatenate([part["genuine"] for part in genuine])
            ends = np.concatenate([part["ends"] for part in genuine])
        wanted = {digit_at(coarse, rank) for rank in ranks} - {None}
        meeting = _crossing_digit(coarse, scores, n_lowest) if crossing else None
        missing = sorted({d for d in (*wanted, meeting) if d is not None and not places.whole(d, int(coarse[d]))})
        if not missing:
            break
        slots = np.full(DIGITS, -1, np.int16)
        slots[missing] = np.arange(len(missing))
    refused = tuple(places.at(coarse, rank) for rank in ranks)
    empty = (np.zeros(0, np.float32), np.zeros(0, np.int64))
    met = empty if meeting is None else places.values(meeting)
    return Selection(refused, coarse, scores, ends, meeting, met, passes)


def tally_panels(shared: tuple[Arrangement, NDArray[np.int16], bool], task: tuple[int, int]) -> Tensors:
    """Count the impostor scores of a pair of panels by digit, some by place, and keep the genuine scores."""
    from facebench.scoring.kernels import DIGITS, TAIL, tally

    arrangement, slots, keep_genuine = shared
    coarse = np.zeros(DIGITS, np.int64)
    fine = np.zeros((int(slots.max()) + 1, DIGITS), np.int32)
    tail = np.empty(LONGEST_LIST if (slots == TAIL).any() else 0, np.int32)
    n_tail = 0
    genuine, ends = [], []
    for rows, columns in blocks(arrangement, task):
        scores = arrangement.scores(rows, columns)
        diagonal = rows.start == columns.start
        starts = arrangement.starts(rows, columns.start) if diagonal else np.zeros(scores.shape[0], np.int64)
        n_tail = tally(scores.view(np.int32), starts, coarse, slots, fine, tail, n_tail)
        if diagonal and keep_genuine:
            found = _genuine(arrangement, scores, rows, starts)
            genuine.append(found[0])
            ends.append(found[1])
    digits = np.flatnonzero(coarse)
    counted = np.flatnonzero(fine)
    slot, place = counted >> 16, counted & 0xFFFF
    return {
        "digit": digits, "count": coarse[digits],
        "slot": np.flatnonzero(slots >= 0)[np.argsort(slots[slots >= 0])][slot],
        "place": place, "times": fine.ravel()[counted], "tail": tail[: min(n_tail, tail.size)].copy(),
        "genuine": np.concatenate([np.zeros(0, np.float32), *genuine]),
        "ends": np.concatenate([np.zeros((0, 2), np.int32), *ends]),
    }  # fmt: skip


def _genuine(
    arrangement: Arrangement, scores: NDArray[np.float32], rows: slice, starts: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Return the scores right of the diagonal that lie before the first impostor comparison, and their images."""
    own = np.arange(scores.shape[0])
    each = starts - own - 1
    first = np.repeat(own, each)
    second = np.arange(first.size) - np.repeat(np.cumsum(each) - each, each) + first + 1
    image = arrangement.image[rows]
    ends = np.stack([image[first], image[second]], axis=1)
    return scores[first, second], np.sort(ends, axis=1).astype(np.int32)


def _guess(arrangement: Arrangement, ranks: Sequence[int], crossing: bool) -> NDArray[np.int16]:
    """Return the digits to count by place, from the scores of a sample; a wrong guess costs a pass, never exactness."""
    from facebench.scoring.kernels import DIGITS, TAIL

    n = arrangement.image.size
    rows = np.unique(np.linspace(0, n - 1, min(n, max(500, min(SAMPLE, n // 8)))).astype(np.int64))
    part = arrangement.vectors[rows]
    scores = arrangement.product(part, part) if not arrangement.euclidean else _distances(part)
    person = arrangement.person_end[rows]
    different = np.triu(person[:, None] != person[None, :], 1)
    with np.errstate(over="ignore"):  # infinite scores are refused once all are counted
        falling = -np.sort(-np.asarray(scores, np.float32)[different])
    slots = np.full(DIGITS, -1, np.int16)
    if not falling.size or not np.isfinite(falling).all():
        return slots
    share = falling.size / max(arrangement.n_comparisons, 1)
    chosen: set[int] = set()
    tail_from = int(digits_of(falling[min(falling.size - 1, int(_TAIL_SHARE * falling.size))]))
    wanted = [rank * share for rank in ranks] + ([_sample_crossing(arrangement, falling)] if crossing else [])
    for rank in wanted:
        if rank < 0:
            continue
        slack = 5 * np.sqrt(rank) + 0.08 * rank + 3  # images of the sample share comparisons, so ranks vary more
        low, high = (int(np.clip(r, 0, falling.size - 1)) for r in (rank + slack, rank - slack))
        chosen |= set(range(int(digits_of(falling[low])), int(digits_of(falling[high])) + 1))
        if rank - slack <= 0:
            tail_from = min(tail_from, int(digits_of(falling[low])))
    slots[tail_from:] = TAIL
    # a list of scores is short where they are few; where they are many, counts by place are shorter
    expected = np.bincount(digits_of(falling), minlength=DIGITS) / share
    rare = sorted((d for d in chosen if d < tail_from), key=lambda d: (expected[d], d))
    listed = np.cumsum(expected[rare]) <= _LISTED
    slots[np.array(rare, np.int64)[listed]] = TAIL
    frequent = np.sort(np.array(rare, np.int64)[~listed])[:256]
    slots[frequent] = np.arange(frequent.size)
    return slots


def _distances(part: NDArray[Any]) -> NDArray[Any]:
    squared = (part * part).sum(1)[:, None] + (part * part).sum(1)[None, :] - 2 * part @ part.T
    found: NDArray[Any] = -np.sqrt(np.maximum(squared, 0))
    return found


def _sample_crossing(arrangement: Arrangement, falling: NDArray[np.float32]) -> float:
    """Return the rank in the sample at which FMR meets FNMR, or -1 without genuine comparisons."""
    own = np.arange(arrangement.image.size)
    following = own[(own + 1 < arrangement.person_end)]
    if not following.size:
        return -1.0
    some = following[np.linspace(0, following.size - 1, min(following.size, 4 * SAMPLE)).astype(np.int64)]
    a, b = arrangement.vectors[some], arrangement.vectors[some + 1]
    genuine = np.sort(-np.linalg.norm(a - b, axis=1) if arrangement.euclidean else np.einsum("nd,nd->n", a, b))
    fnmr = np.searchsorted(genuine, falling, side="left") / genuine.size
    fmr = np.arange(1, falling.size + 1) / falling.size
    return float(np.argmax(fmr >= fnmr))


def _crossing_digit(coarse: NDArray[np.int64], genuine: NDArray[np.float32], n_lowest: tuple[int, int]) -> int | None:
    """Return the digit at which the FMR, falling with the threshold, gets below the FNMR."""
    n, n_genuine = int(coarse.sum()) + n_lowest[0], genuine.size + n_lowest[1]
    if not n_genuine or not n:
        return None
    fmr = (coarse[::-1].cumsum()[::-1]) / n  # at or above each digit
    below = np.searchsorted(np.sort(digits_of(genuine)), np.arange(coarse.size), side="left")
    return max(0, int(np.argmax(fmr <= (below + n_lowest[1]) / n_genuine)) - 1)


def _refuse_infinite(coarse: NDArray[np.int64]) -> None:
    infinite = 0x7F80 + 32768
    if coarse[infinite:].any() or coarse[: 65536 - infinite].any():
        raise InputError("some scores are infinite: the embeddings are too large to be compared; scale them down")


def thresholds(selection: Selection) -> tuple[float, ...]:
    """Return the smallest thresholds that refuse the scores that were selected, under the strict rule."""
    return tuple(just_above(value, np.float32) for value in selection.refused)


# ---- second pass


def count(
    arrangement: Arrangement,
    cells: Cells,
    cutoffs: Sequence[float],
    functions: Functions | None = None,
    *,
    run: Run = run_here,
) -> Counts:
    """Count what each threshold accepts, per group and cell.

    Args:
        arrangement: the images.
        cells: how groups are numbered; in the order of the groupings in ``arrangement.labels``.
        cutoffs: (T,) thresholds that float32 holds exactly.
        functions: of the score, to be summed; the first grouping of `cells` is that of all images.
        run: runs the tasks.
    """
    order = np.argsort(-np.asarray(cutoffs, np.float64), kind="stable")
    falling = np.asarray(cutoffs, np.float32)[order]
    n_segments, width = arrangement.segment_person.size, sum(cells.n_groups)
    per_segment = np.zeros((n_segments, width, falling.size), np.int32)
    squares = np.zeros((len(cells.ends), falling.size), np.int64)
    products, near = np.zeros_like(squares), np.zeros(falling.size, np.int64)
    tasks = arrangement.tasks()
    shared = (arrangement, cells, cells.table(), _plain(arrangement, cells), falling, functions)
    collector = None if functions is None else SumCollector(arrangement, functions.values.shape[1])
    for number, found in run("count", count_panels, shared, tasks):
        a, b = tasks[number]
        per_segment[arrangement.segments(a)] += found["rows"]
        per_segment[arrangement.segments(b)] += found["columns"]
        squares += found["squares"]
        products += found["products"]
        near += found["near"]
        if collector is not None:
            collector.add(number, found)
    back = np.argsort(order)
    for array in (per_segment, squares, products):
        np.cumsum(array, axis=-1, out=array)
    sums = None if collector is None else collector.sums()
    return Counts(per_segment[..., back], squares[:, back], products[:, back], near[back], sums)


def _plain(arrangement: Arrangement, cells: Cells) -> NDArray[np.int32]:
    """Return (Sg,) the images of each segment's identity if they all have the same labels, else 0."""
    person = arrangement.segment_person
    alone = np.bincount(person)[person] == 1
    own = np.where(
        arrangement.labels >= 0, cells.sizes[person[:, None], cells.offsets + np.maximum(arrangement.labels, 0)], 0
    )
    size = own.max(axis=1)
    same = ((own == size[:, None]) | (arrangement.labels < 0)).all(axis=1)
    return np.where(alone & same, size, 0).astype(np.int32)


def count_panels(
    shared: tuple[Arrangement, Cells, NDArray[np.int32], NDArray[np.int32], NDArray[np.float32], Functions | None],
    task: tuple[int, int],
) -> Tensors:
    """Count what each threshold accepts in a pair of panels."""
    from facebench.scoring.kernels import count_accepted

    arrangement, cells, table, plain, cutoffs, functions = shared
    own = [arrangement.segments(panel) for panel in task]
    width, n_targets = sum(cells.n_groups), cutoffs.size
    rows_found, columns_found = (np.zeros((s.stop - s.start, width, n_targets), np.int32) for s in own)
    squares = np.zeros((len(cells.ends), n_targets), np.int64)
    products, near = np.zeros_like(squares), np.zeros(n_targets, np.int64)
    sums = None if functions is None else PanelSums(arrangement, functions, cells.sizes[:, 0], task)
    for rows, columns in blocks(arrangement, task):
        scores = arrangement.scores(rows, columns)
        diagonal = rows.start == columns.start
        starts = arrangement.starts(rows, columns.start) if diagonal else np.zeros(scores.shape[0], np.int64)
        row_segment, column_segment = arrangement.segment[rows], arrangement.segment[columns]
        count_accepted(
            scores, starts, row_segment, column_segment, arrangement.segment_person, arrangement.labels, cells.sizes,
            plain, cutoffs, NEAR_THRESHOLD, cells.offsets, table, rows_found[row_segment[0] - own[0].start :],
            columns_found[column_segment[0] - own[1].start :], squares, products, near,
        )  # fmt: skip
        if sums is not None:
            sums.add(scores, starts, rows, columns)
    found = {"rows": rows_found, "columns": columns_found, "squares": squares, "products": products, "near": near}
    return found if sums is None else {**found, **sums.tensors()}
