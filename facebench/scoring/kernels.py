"""Inner loops of the comparison engine, compiled once with numba and cached on disk.

Scores are sorted by their bits: with the sign folded in, the bits of a float32 read as an integer rise with the number.
The upper 16 of them are its *digit*, the lower 16 its place within the digit. All kernels release the interpreter lock.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

DIGITS = 1 << 16
TAIL = -2
"""Mark of a digit whose scores are listed one by one, in the table of digits handed to `tally`."""


@njit(cache=True, nogil=True)
def _ordered(raw: Any) -> Any:
    return np.int32(raw ^ ((raw >> np.int32(31)) & np.int32(0x7FFFFFFF)))


@njit(cache=True, nogil=True)
def tally(bits: Any, starts: Any, coarse: Any, slots: Any, fine: Any, tail: Any, n_tail: int) -> int:
    """Count the scores of a block by digit, and those of some digits by their place within it.

    Args:
        bits: (R, C) int32, the bits of float32 scores.
        starts: (R,) first column that counts in each row.
        coarse: (65536,) int64, added to: scores per digit.
        slots: (65536,) int16: row of `fine` in which a digit is counted by place, `TAIL` to list its scores, -1
            neither.
        fine: (F, 65536) int32, added to.
        tail: (L,) int32, written from `n_tail` on: ordered bits of the listed scores; what does not fit is left
            out.
        n_tail: scores listed before.

    Returns:
        The scores that belong into the list so far, those left out included.
    """
    n_columns = bits.shape[1]
    digits = np.empty(n_columns, np.uint16)  # of a row, in a loop of its own: the processor does eight at a time
    for i in range(bits.shape[0]):
        for j in range(n_columns):
            digits[j] = np.uint16((_ordered(bits[i, j]) >> np.int32(16)) + np.int32(32768))
        for j in range(starts[i], n_columns):
            coarse[digits[j]] += 1
            slot = slots[digits[j]]
            if slot == -1:
                continue
            ordered = _ordered(bits[i, j])
            if slot >= 0:
                fine[slot, np.uint32(ordered & np.int32(0xFFFF))] += 1
            else:
                if n_tail < tail.size:
                    tail[n_tail] = ordered
                n_tail += 1
    return n_tail


@njit(cache=True, nogil=True)
def count_accepted(
    scores: Any, starts: Any, row_segment: Any, column_segment: Any, segment_person: Any, labels: Any, sizes: Any,
    plain: Any, cutoffs: Any, margin: float, offsets: Any, cells: Any, row_counts: Any, column_counts: Any,
    squares: Any, products: Any, near: Any,
) -> None:  # fmt: skip
    """Count, in a block of impostor scores, what each threshold accepts: per segment, group and cell.

    A segment is a run of images of one identity with the same labels; neighbouring segments with the same labels are
    counted together. Thresholds fall; what is written for threshold t is what it adds to threshold t - 1, so that
    running sums over t give the counts.

    Args:
        scores: (R, C) block; rows and columns hold whole identities.
        starts: (R,) first column that counts in each row.
        row_segment, column_segment: (R,), (C,) segment of each image, rising.
        segment_person: (Sg,) identity of each segment.
        labels: (Sg, G) group of each segment in each grouping, -1 for none.
        sizes: (I, H) images of each identity in each group, all groupings side by side.
        plain: (Sg,) images of the segment's identity if they all have the same labels, else 0.
        cutoffs: (T,) float32, falling; accept when score >= cutoff.
        margin: comparisons this close to a cutoff are counted in `near`.
        offsets: (G,) column of `sizes` at which the groups of a grouping begin.
        cells: (G, M, M) number of the cell between two groups of a grouping.
        row_counts, column_counts: (Sg_rows, H, T), (Sg_columns, H, T) int32, added to: accepted comparisons of a
            segment with partners in each group; counted from the first segment of the block.
        squares: (C, T) int64, added to: sum over pairs of identities of k², k their accepted comparisons in the cell.
        products: (C, T) int64, added to: the same of k m, m all their comparisons in the cell.
        near: (T,) int64, added to.
    """
    n_rows, n_columns = scores.shape
    n_targets = cutoffs.size
    first_row, first_column = row_segment[0], column_segment[0]
    n_found = column_segment[n_columns - 1] + 1 - first_column
    column = np.empty(n_columns, np.uint32)
    for j in range(n_columns):
        column[j] = column_segment[j] - first_column
    run = _runs(labels, first_column, n_found)
    heads = np.flatnonzero(np.diff(run)) + 1  # where each run but the first begins
    heads = np.concatenate((np.zeros(1, np.int64), heads))
    widest = 1
    width = 1
    for p in range(first_row + 1, row_segment[n_rows - 1] + 1):
        width = width + 1 if segment_person[p] == segment_person[p - 1] else 1
        widest = max(widest, width)
    found = np.zeros((widest, n_found, n_targets), np.int32)
    seen = np.zeros(n_found, np.bool_)
    touched = np.empty(n_found, np.uint32)
    hits = np.empty(n_columns, np.uint32)
    by_column = np.zeros((n_found, n_targets), np.int32)  # of all rows with the labels of this one
    by_run = np.zeros((heads.size, 4, n_targets), np.int64)  # of this identity: k, k m; of all such rows: k², k m
    floor = np.float32(cutoffs[n_targets - 1] - 2 * margin)
    some = np.empty((widest * n_found, 2), np.int64)
    sums = np.zeros((squares.shape[0], 1 + n_targets), np.int64)
    pending = np.int64(-1)  # a segment with the labels of the rows in `by_column`
    low = 0
    while low < n_rows:
        base = row_segment[low]
        person = segment_person[base]
        if plain[base]:
            if pending >= 0 and not _alike(labels, base, pending):
                _settle(
                    pending, first_column, run, labels, offsets, cells, by_column, by_run, column_counts, squares,
                    products,
                )  # fmt: skip
            pending = base
        high = low
        n_touched = 0
        while high < n_rows and segment_person[row_segment[high]] == person:
            n_hits = 0
            for j in range(starts[high], n_columns):
                hits[n_hits] = j
                n_hits += scores[high, j] >= floor
            own = row_segment[high] - base
            for index in range(n_hits):
                score = scores[high, hits[index]]
                band = n_targets
                while band > 0 and score >= cutoffs[band - 1]:
                    band -= 1
                t = band
                while t < n_targets and np.float64(score) - np.float64(cutoffs[t]) <= margin:
                    near[t] += 1
                    t += 1
                t = band - 1
                while t >= 0 and np.float64(cutoffs[t]) - np.float64(score) <= margin:
                    near[t] += 1
                    t -= 1
                if band < n_targets:
                    q = column[hits[index]]
                    if plain[base] == 1 and plain[first_column + np.int64(q)] == 1:
                        r = run[q]  # one image each: nothing to gather before it is squared
                        by_run[r, 0, band] += 1
                        by_run[r, 1, band] += 1
                        by_run[r, 2, band] += 1
                        by_column[q, band] += 1
                        continue
                    found[own, q, band] += 1
                    if not seen[q]:
                        seen[q] = True
                        touched[n_touched] = q
                        n_touched += 1
            high += 1
        n_own = row_segment[high - 1] - base + 1
        for index in range(n_touched):
            q = touched[index]
            if not seen[q]:  # done with another segment of its identity
                continue
            other = plain[first_column + np.int64(q)]
            if plain[base] and other:
                r = run[q]
                total = 0
                for t in range(n_targets):
                    k = found[0, q, t]
                    if k:
                        by_run[r, 0, t] += k
                        by_run[r, 1, t] += k * other
                        by_run[r, 2, t] += k * (2 * total + k)
                        by_column[q, t] += k
                        total += k
                        found[0, q, t] = 0
                seen[q] = False
                continue
            q0 = np.int64(q)
            v = segment_person[first_column + q0]
            while q0 > 0 and segment_person[first_column + q0 - 1] == v:
                q0 -= 1
            q1 = q0 + 1
            while q1 < n_found and segment_person[first_column + q1] == v:
                q1 += 1
            _add_mixed(
                found, n_own, q0, q1, base, base - first_row, first_column, person, v, labels, sizes, offsets, cells,
                sums, some, row_counts, column_counts, squares, products,
            )  # fmt: skip
            seen[q0:q1] = False
        if plain[base]:
            _settle_row(base, base - first_row, first_column, heads, labels, offsets, plain[base], by_run, row_counts)
        low = high
    if pending >= 0:
        _settle(pending, first_column, run, labels, offsets, cells, by_column, by_run, column_counts, squares, products)


@njit(cache=True, nogil=True)
def _alike(labels: Any, p: int, q: int) -> bool:
    for s in range(labels.shape[1]):  # noqa: SIM110 - compiled: numba knows no generators in all()
        if labels[p, s] != labels[q, s]:
            return False
    return True


@njit(cache=True, nogil=True)
def _runs(labels: Any, first: int, n: int) -> Any:
    """Number the runs of neighbouring segments with the same labels."""
    run = np.zeros(n, np.int64)
    for q in range(1, n):
        run[q] = run[q - 1] + (not _alike(labels, first + q, first + q - 1))
    return run


@njit(cache=True, nogil=True)
def _settle_row(
    p: int, row: int, first_column: int, heads: Any, labels: Any, offsets: Any, size: int, by_run: Any, row_counts: Any
) -> None:
    """Add what an identity was accepted for, run by run, to its own counts; clear them."""
    n_targets = by_run.shape[2]
    for r in range(heads.size):
        q = heads[r]
        for t in range(n_targets):
            k = by_run[r, 0, t]
            if k:
                for s in range(offsets.size):
                    h = labels[first_column + q, s]
                    if h >= 0 and labels[p, s] >= 0:
                        row_counts[row, offsets[s] + h, t] += k
                by_run[r, 3, t] += size * by_run[r, 1, t]
                by_run[r, 0, t] = 0
                by_run[r, 1, t] = 0


@njit(cache=True, nogil=True)
def _settle(
    p: int, first_column: int, run: Any, labels: Any, offsets: Any, cells: Any, by_column: Any, by_run: Any,
    column_counts: Any, squares: Any, products: Any,
) -> None:  # fmt: skip
    """Add what rows with the labels of segment `p` were accepted for to the counts of columns and cells; clear it."""
    n_targets = by_column.shape[1]
    for q in range(run.size):
        r = run[q]
        begins = q == 0 or run[q - 1] != r
        for s in range(offsets.size):
            g, h = labels[p, s], labels[first_column + q, s]
            if g < 0 or h < 0:
                continue
            cell = cells[s, g, h]
            for t in range(n_targets):
                column_counts[q, offsets[s] + g, t] += by_column[q, t]
                if begins:
                    squares[cell, t] += by_run[r, 2, t]
                    products[cell, t] += by_run[r, 3, t]
        by_column[q] = 0
        if begins:
            by_run[r, 2] = 0
            by_run[r, 3] = 0


@njit(cache=True, nogil=True)
def _add_mixed(
    found: Any, n_own: int, q0: int, q1: int, p0: int, row: int, first_column: int, u: int, v: int, labels: Any,
    sizes: Any, offsets: Any, cells: Any, sums: Any, some: Any, row_counts: Any, column_counts: Any, squares: Any,
    products: Any,
) -> None:  # fmt: skip
    """Add the accepted comparisons of two identities whose images carry several labels, and clear them in `found`.

    `sums` (C, 1 + T) is all zeros before and after; `some` is room for the comparisons of two identities.
    """
    n_targets = found.shape[2]
    n_some = 0
    for i in range(n_own):
        for j in range(q0, q1):
            for t in range(n_targets):
                if found[i, j, t]:
                    some[n_some, 0], some[n_some, 1] = i, j
                    n_some += 1
                    break
    for s in range(offsets.size):
        for index in range(n_some):
            i, j = some[index, 0], some[index, 1]
            g, h = labels[p0 + i, s], labels[first_column + j, s]
            if g < 0 or h < 0:
                continue
            cell = cells[s, g, h]
            sums[cell, 0] = 1
            for t in range(n_targets):
                row_counts[row + i, offsets[s] + h, t] += found[i, j, t]
                column_counts[j, offsets[s] + g, t] += found[i, j, t]
                sums[cell, 1 + t] += found[i, j, t]
        for index in range(n_some):
            g, h = labels[p0 + some[index, 0], s], labels[first_column + some[index, 1], s]
            if g < 0 or h < 0:
                continue
            cell = cells[s, g, h]
            if not sums[cell, 0]:  # settled at an earlier comparison of the same cell
                continue
            sums[cell, 0] = 0
            m = np.int64(sizes[u, offsets[s] + g]) * sizes[v, offsets[s] + h]
            if g != h:
                m += np.int64(sizes[u, offsets[s] + h]) * sizes[v, offsets[s] + g]
            total = np.int64(0)
            for t in range(n_targets):
                k = sums[cell, 1 + t]
                squares[cell, t] += k * (2 * total + k)
                products[cell, t] += k * m
                total += k
                sums[cell, 1 + t] = 0
    for index in range(n_some):
        found[some[index, 0], some[index, 1]] = 0
