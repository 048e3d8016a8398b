"""Read a leaderboard and rank its entries: a rank is every place the data does not rule out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facebench.errors import InputError
from facebench.files import read_json
from facebench.leaderboard.copies import Known, known_entries
from facebench.leaderboard.folder import BOARD, Place, entries_of, find_elsewhere, kept, load_board, strays
from facebench.leaderboard.names import load_names, order_of, weights_of
from facebench.leaderboard.paired import Paired, load_paired
from facebench.leaderboard.validate import Report, validate_entry
from facebench.metrics import catalogue, families
from facebench.metrics import paired as tests
from facebench.schema import Estimate, Rank, Result, point_fields
from facebench.schema.leaderboard import Listed, ListedBoard, ModelNames, Problem, Validation

LEADING = catalogue.metric("tar")
LETTERS = 26  # beyond so many models letters say less than the rank interval
Floats = NDArray[np.float64]


def load_boards(root: Path, report: Report = lambda _: None) -> list[ListedBoard]:
    """Read every protocol of a leaderboard, with the last revision of each model ranked.

    Only entries that validate are listed; the others are named with the reasons. An entry whose verdict still holds is
    not computed again.

    Args:
        root: the leaderboard's folder.
        report: called with each validation as soon as it is known.

    Raises:
        InputError: the folder holds no board, or the definition of a protocol is malformed.
    """
    boards = sorted(Path(root).glob(f"*/{BOARD}"))
    if not boards:
        raise InputError(f"{root} holds no leaderboard: no <protocol>/{BOARD} was found")
    rivals, names = known_entries(root), load_names(root)
    return [_listed(Path(root), path.parent, rivals, names, report) for path in boards]


def _listed(root: Path, folder: Path, rivals: Sequence[Known], names: ModelNames, report: Report) -> ListedBoard:
    board = load_board(folder)
    accepted, left_out = [], []
    for place in entries_of(root, folder.name):
        validation = validate_entry(place.path, rivals, fresh=False).model_copy(update={"entry": place.relative})
        report(validation)
        if validation.accepted:
            accepted.append((place, validation))
        else:
            left_out.append(validation)
    for path in strays(folder):
        why = Problem(field="files", why="belongs to no entry")
        left_out.append(Validation(entry=path.relative_to(root).as_posix(), problems=(why,)))
    results = [Result.parse(read_json(place.path, "entry"), where=f"entry {place.path}") for place, _ in accepted]
    last = _last(results, names)
    paired = [load_paired(accepted[i][0].paired) for i in last]
    ranks = rank_entries([results[i] for i in last], paired)
    by_entry = dict(zip(last, zip(ranks, paired, strict=True), strict=True))
    listed = []
    for i, ((place, validation), result) in enumerate(zip(accepted, results, strict=True)):
        rank, sidecar = by_entry.get(i, (None, None))
        listed.append(
            Listed(
                result=result, path=place.relative, rank=rank, paired=sidecar is not None,
                elsewhere=_elsewhere(place, result), notes=validation.notes,
            )
        )  # fmt: skip
    ordered = sorted(listed, key=lambda entry: _order(entry, names))
    return ListedBoard(board=board, entries=tuple(ordered), left_out=tuple(left_out))


def _elsewhere(place: Place, result: Result) -> str:
    found = (find_elsewhere(place, artifact) for artifact in kept(result) if not place.packed(artifact).is_file())
    return next((pointer.where for pointer in found if pointer is not None), "")


def _last(results: Sequence[Result], names: ModelNames) -> list[int]:
    """Return the index of the last revision of each model, in the order of `models.json`."""
    last: dict[str, int] = {}
    for i, result in enumerate(results):
        j = last.get(result.model.name)
        if j is None or _revision(result, names) > _revision(results[j], names):
            last[result.model.name] = i
    return sorted(last.values())


def _revision(result: Result, names: ModelNames) -> int:
    return order_of(names, result.model.name, weights_of(result.model))[1]


def _order(entry: Listed, names: ModelNames) -> tuple[bool, float, str, int]:
    rank = entry.rank
    return (
        *LEADING.sort_key(None if rank is None else rank.value),
        entry.result.model.name,
        -_revision(entry.result, names),
    )


def leading(result: Result) -> Estimate | None:
    """Return the measure a leaderboard ranks by: TAR at the protocol's leading FMR target, failed images counted."""
    primary = result.protocol.primary
    wanted = (LEADING.name, primary, "all", None, "clean", "strict", "counted")
    for e in result.estimates:
        if (e.metric, e.point, e.group, e.group_b, e.condition, e.rule, e.failures) == wanted:
            return e
    return None


def rank_entries(results: Sequence[Result], paired: Sequence[Paired | None]) -> list[Rank]:
    """Rank results of one protocol; one is better than another when Holm's test over all pairs says so.

    Pairs that both have `Paired` are tested on the same comparisons; others by their two intervals as if independent,
    which is less sharp. An entry without a value has no rank.
    """
    values = [None if (e := leading(result)) is None else e.value for result in results]
    known = [i for i, value in enumerate(values) if value is not None]
    better = np.zeros((len(results),) * 2, bool)
    pairs = [(i, j) for n, i in enumerate(known) for j in known[n + 1 :]]
    errors = _errors(results, paired)
    differences = [float(values[j] or 0.0) - float(values[i] or 0.0) for i, j in pairs]
    p_values = [
        tests.p_two_sided(d, float(errors[i, j])) if np.isfinite(errors[i, j]) else 1.0
        for (i, j), d in zip(pairs, differences, strict=True)
    ]
    alpha = 1 - min((result.protocol.confidence for result in results), default=0.95)
    for (i, j), d, p in zip(pairs, differences, families.holm(p_values), strict=True):
        gain = LEADING.gain(0.0, d)
        if p < alpha and gain:
            better[(j, i) if gain > 0 else (i, j)] = True
    return _ranks(results, values, known, better)


def _ranks(
    results: Sequence[Result], values: Sequence[float | None], known: Sequence[int], better: NDArray[np.bool_]
) -> list[Rank]:
    inside = better[np.ix_(known, known)]
    intervals = dict(zip(known, tests.rank_intervals(inside), strict=True))
    order = sorted(range(len(known)), key=lambda n: LEADING.sort_key(values[known[n]]))
    letters = tests.tie_letters(order, inside) if 0 < len(known) <= LETTERS else [""] * len(known)
    ties = dict(zip(known, letters, strict=True))
    return [
        Rank(
            metric=LEADING.name, **point_fields(result.protocol.primary), model=result.model.name,
            value=values[i],
            best=intervals[i][0] if i in intervals else None, worst=intervals[i][1] if i in intervals else None,
            ties=ties.get(i, ""),
        )
        for i, result in enumerate(results)
    ]  # fmt: skip


def _errors(results: Sequence[Result], paired: Sequence[Paired | None]) -> Floats:
    """Return (M, M) the standard error of the difference of every two; NaN where it is not known."""
    single = np.array([_single_error(result) for result in results])
    errors: Floats = np.sqrt(single[:, None] ** 2 + single[None, :] ** 2)
    sizes = {p.missed.size for p in paired if p is not None}
    for size in sizes:
        group = [i for i, p in enumerate(paired) if p is not None and p.missed.size == size]
        sides = [p for p in paired if p is not None and p.missed.size == size]
        errors[np.ix_(group, group)] = _paired_errors(sides)
    return errors


def _single_error(result: Result) -> float:
    e = leading(result)
    if e is None or e.value is None or e.ci_low is None or e.ci_high is None:
        return float("nan")
    confidence = result.protocol.confidence
    return max(tests.side_error(e.value, limit, confidence) for limit in (e.ci_low, e.ci_high))


def _paired_errors(sides: Sequence[Paired]) -> Floats:
    """Return the standard errors of paired differences, with `small_count_variance` as in a comparison."""
    rates = np.stack([side.rates for side in sides])
    finite = np.isfinite(rates).astype(float)
    filled = np.where(finite > 0, rates, 0.0)
    n = finite @ finite.T
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = (filled @ finite.T - finite @ filled.T) / n
        square = (filled**2 @ finite.T + finite @ (filled**2).T - 2 * filled @ filled.T) / n
        variance = np.maximum(square - mean**2, 0.0) * n / (n - 1)
    variance[n < max(2, rates.shape[1] / 2)] = np.nan
    missed = np.stack([side.missed for side in sides]).astype(np.float32)
    total = missed.sum(axis=1)
    changed = np.rint(total[:, None] + total[None, :] - 2 * (missed @ missed.T)).astype(int)
    size, effect = missed.shape[1], missed.shape[1] / sides[0].n_identities
    errors = np.full(variance.shape, np.nan)
    for i, j in np.argwhere(np.isfinite(variance)):
        v = tests.small_count_variance(float(variance[i, j]), int(changed[i, j]), size, effect)
        errors[i, j] = np.sqrt(v)
    return errors
